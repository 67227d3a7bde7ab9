"""Makes several processes act as one: shared decisions and errors, and sums over all processes."""

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from torch import Tensor
from torch import distributed as dist

from wavenet.config import TrainConfig
from wavenet.errors import ConfigError, TrainingError, WaveNetError


def check_launcher(config: TrainConfig) -> None:
    """Raise ConfigError if srun or torchrun started another number of processes than the settings say.

    Otherwise each process would train alone, into the same folder, or wait for others that never come.
    """
    if TorchElasticEnvironment.detect():
        launcher, started, option = "torchrun", "WORLD_SIZE", "--nproc-per-node"
        here = int(os.environ.get("LOCAL_WORLD_SIZE", config.devices))
    elif SLURMEnvironment.detect():
        launcher, started, option = "SLURM", "SLURM_NTASKS", "--ntasks-per-node"
        here = int(os.environ.get("SLURM_NTASKS_PER_NODE", 0))  # set only if --ntasks-per-node was given
    else:
        return
    count, asked = int(os.environ[started]), config.devices * config.num_nodes
    if count != asked:
        raise ConfigError(
            f"devices={config.devices} times num_nodes={config.num_nodes} is {asked}, but {launcher} started {count} "
            f"({started}): give devices, the processes on each machine, and num_nodes so that they agree"
        )
    if count > 1 and here != config.devices:
        raise ConfigError(f"devices={config.devices}: start {launcher} with {option}={config.devices} as well")


@contextlib.contextmanager
def together(fabric: Fabric) -> Iterator[None]:
    """Raise a WaveNetError of one process in all of them, so that none waits for one that has ended.

    At the end of the block each process waits for the slowest, however long that takes.
    """
    error = None
    try:
        yield
    except WaveNetError as caught:
        error = caught
    if fabric.world_size > 1:
        errors: list[WaveNetError | None] = [None] * fabric.world_size
        group = dist.new_group(backend="gloo", timeout=timedelta(days=10000))
        dist.all_gather_object(errors, error, group=group)  # type: ignore[arg-type] (every process is of the group)
        dist.destroy_process_group(group)  # type: ignore[arg-type]
        error = error or next(filter(None, errors), None)
    if error is not None:
        raise error


@contextlib.contextmanager
def none_lost() -> Iterator[None]:
    """Raise TrainingError if the connection to another process is lost; that process reports the cause."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise TrainingError("another process of this run has ended; see its output") from error
        raise


def in_all(fabric: Fabric, values: Tensor, operation: Any = dist.ReduceOp.SUM) -> Tensor:
    """Reduce `values` over all processes, entry by entry, by `operation`, a sum by default."""
    if fabric.world_size == 1:
        return values
    values = values.to(fabric.device, copy=True)
    dist.all_reduce(values, operation)
    return values

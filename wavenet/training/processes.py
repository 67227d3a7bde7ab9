"""Several processes that act as one: decisions made once, errors shared, losses divided by counts in all."""

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
    """Raise ConfigError where srun or torchrun started another number of processes than the settings say.

    Each of them would else train alone, into the same folder, or wait for others that never come.
    """
    if TorchElasticEnvironment.detect():
        launcher, started, option = "torchrun", "WORLD_SIZE", "--nproc-per-node"
        here = int(os.environ.get("LOCAL_WORLD_SIZE", config.devices))
    elif SLURMEnvironment.detect():
        launcher, started, option = "SLURM", "SLURM_NTASKS", "--ntasks-per-node"
        here = int(os.environ.get("SLURM_NTASKS_PER_NODE", 0))  # set where it was asked for by that name
    else:
        return
    count, asked = int(os.environ[started]), config.devices * config.num_nodes
    if count != asked:
        raise ConfigError(
            f"devices={config.devices} times num_nodes={config.num_nodes} is {asked}, but {launcher} started {count} "
            f"({started}): give devices, the processes on each machine, and num_nodes so that they agree"
        )
    if count > 1 and here != config.devices:
        raise ConfigError(f"devices={config.devices}: {launcher} must be told as many by {option}={config.devices}")


@contextlib.contextmanager
def together(fabric: Fabric) -> Iterator[None]:
    """Within, a WaveNetError of one process is raised in all, so that none waits for one that has ended.

    Each process waits at the end for the slowest, however long that takes.
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
    """Within, TrainingError where the connection to another process is lost: that one says what happened to it."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise TrainingError("another process of this run has ended, see what it said") from error
        raise


def in_all(fabric: Fabric, values: Tensor, operation: Any = dist.ReduceOp.SUM) -> Tensor:
    """Entry by entry the sum, or what `operation` says, over the processes; of one process, its own."""
    if fabric.world_size == 1:
        return values
    values = values.to(fabric.device, copy=True)
    dist.all_reduce(values, operation)
    return values

"""Starts the processes that train together, or joins those that torchrun or SLURM has started."""

import atexit
import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import Signals
from typing import Any, TypeVar

import torch
from torch import distributed as dist
from torch import multiprocessing as torch_multiprocessing
from torch.multiprocessing.spawn import ProcessContext, ProcessExitedException

from wavenet.config import TrainConfig
from wavenet.errors import ConfigError, TrainingError, WaveNetError
from wavenet.model.device import find_device
from wavenet.model.launcher import Launched, launched, meeting_point
from wavenet.training.processes import Processes
from wavenet.training.reporter import Reporter
from wavenet.training.run_folder import kept

T = TypeVar("T")
Work = Callable[[Processes, TrainConfig, Path, Reporter | None], T]
"""What each process does. It is a function of a module, so that new processes find it."""
LEAVING_SECONDS = 20.0
"""What processes get to end by themselves once one of them has failed."""
MEETING_SECONDS = 600.0
"""How long processes of torchrun wait for the first one."""
ADDRESS = "wavenet: the first process"
"""Key in torchrun's store for where the first process's store is."""


def run(work: Work[T], config: TrainConfig, run_dir: Path, reporter: Reporter | None) -> T:
    """Call `work` in every process of the run, and return what it returns in this one; only it has the reporter.

    With devices=N, the others are started here, on this machine. Raises ConfigError for a missing device, or if
    torchrun or SLURM has started another number of processes than the settings say, and TrainingError if one of the
    processes dies; what other errors say, a process raises itself.
    """
    told, device = launched(), find_device(config.device)
    check_number(config, told)
    if config.threads:
        torch.set_num_threads(config.threads)
    if told is not None and told.size > 1:
        return work(_joined(told, config.device), config, run_dir, reporter)
    if config.devices == 1 or told is not None:
        return work(Processes(device=device), config, run_dir, reporter)
    with _started(work, config, run_dir) as processes:
        return work(processes, config, run_dir, reporter)


def check_number(config: TrainConfig, told: Launched | None) -> None:
    """Raise ConfigError if a launcher has started another number of processes than the settings say.

    Otherwise some would wait for others that never come. Settings that are left out say nothing.
    """
    asked = config.devices * config.num_nodes
    if told is not None and asked not in (1, told.size):
        raise ConfigError(
            f"devices={config.devices} times num_nodes={config.num_nodes} is {asked}, but {told.launcher} started "
            f"{told.size}: leave both out, or give devices, the processes on each machine, and num_nodes so that they "
            "agree"
        )
    if told is None and config.num_nodes > 1:
        raise ConfigError(
            f"num_nodes={config.num_nodes}: several machines need torchrun or srun, which start the command on each of "
            "them: see docs/several_machines.md"
        )
    if config.task == "speech" and told is not None and told.size > 1:
        raise ConfigError(f"task=speech trains in one process, but {told.launcher} started {told.size}")


def device_of(name: str, local_rank: int, launcher: str | None = None) -> torch.device:
    """The device of a process, one of several on this machine. Raises ConfigError if it has too few.

    SLURM can show each process only its own.
    """
    device = find_device(name)
    if device.type == "cpu":
        return device
    count = torch.cuda.device_count()
    if launcher == "SLURM" and count == 1:
        local_rank = 0
    if local_rank >= count:
        raise ConfigError(
            f"process {local_rank + 1} of this machine has no CUDA device, of which there are {count}: start at most "
            f"{count} processes, or use device=cpu"
        )
    return torch.device("cuda", local_rank)


_ours: dict[Launched, Processes] = {}
"""The processes that this one has joined: a launcher's meet once, however many runs they train."""


def _joined(told: Launched, device: str) -> Processes:
    """All processes that a launcher has started, once they have met."""
    if told not in _ours:
        mine = device_of(device, told.local_rank, told.launcher)
        if told.launcher == "SLURM":
            host, port = meeting_point()
            store = dist.TCPStore(host, port, told.size, is_master=told.rank == 0)
        else:
            shared, *_ = next(dist.rendezvous("env://", rank=told.rank, world_size=told.size))
            store = _first_ones_store(told.rank, shared)
        _ours[told] = Processes(told.rank, told.size, mine, store, told.here)
        atexit.register(_ours[told].leave)
    return _ours[told]


def _first_ones_store(rank: int, shared: dist.Store) -> dist.Store:
    """A store in the first process, which the others find by the one that torchrun shares with them.

    That one outlives processes: addresses that dead ones have left there would be taken for those of the living.
    """
    if rank == 0:
        store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # heard on all addresses
        shared.set(ADDRESS, f"{address_for_others(os.environ['MASTER_ADDR'])} {store.port}")
        return store
    began = time.monotonic()
    while True:
        host, port = shared.get(ADDRESS).decode().split()
        with contextlib.suppress(OSError):
            socket.create_connection((host, int(port)), timeout=5).close()
            return dist.TCPStore(host, int(port), is_master=False)
        if time.monotonic() - began > MEETING_SECONDS:
            raise TrainingError(f"the first process does not answer at {host}, port {port}, from this machine")
        time.sleep(0.1)


def address_for_others(main: str) -> str:
    """This machine's address, as others reach it that know the machine where torchrun's processes meet as `main`."""
    with socket.socket(socket.AF_INET6 if ":" in main else socket.AF_INET, socket.SOCK_DGRAM) as route:
        route.connect((main, 9))  # nothing is sent
        ours, theirs = route.getsockname()[0], route.getpeername()[0]
    return main if ours == theirs or ours.startswith("127.") else ours


@contextlib.contextmanager
def _started(work: Work, config: TrainConfig, run_dir: Path) -> Iterator[Processes]:
    """This process and devices - 1 new ones, which do the same work, until the end of the block."""
    size, threads = config.devices, torch.get_num_threads()
    mine, _ = device_of(config.device, 0), device_of(config.device, size - 1)
    store = dist.TCPStore("127.0.0.1", 0, size, is_master=True, wait_for_workers=False)
    each = config.threads or (threads if "OMP_NUM_THREADS" in os.environ else max(1, threads // size))
    told = store.port, each, work, config, run_dir
    others: Any = torch_multiprocessing.spawn(_other, told, size - 1, join=False)
    try:
        _wait(others, run_dir, store, size)
        torch.set_num_threads(each)
        processes = Processes(0, size, mine, store, here=size)
        try:
            yield processes
        except TrainingError as error:
            _end(others, run_dir, error)
            raise
        _end(others, run_dir)
    finally:
        for process in others.processes:
            process.kill()
        with contextlib.suppress(Exception):
            dist.destroy_process_group()
        torch.set_num_threads(threads)


def _other(index: int, port: int, threads: int, work: Work, config: TrainConfig, run_dir: Path) -> None:
    """The life of a new process, number index + 1. Its errors that users can mend are reported by the first."""
    torch.set_num_threads(threads)
    store = dist.TCPStore("127.0.0.1", port, config.devices, is_master=False)
    store.set(f"here {index + 1}", "")
    mine = device_of(config.device, index + 1)
    processes = Processes(index + 1, config.devices, mine, store, here=config.devices)
    with contextlib.suppress(WaveNetError):
        work(processes, config, run_dir, None)
    processes.leave()


def _wait(others: ProcessContext, run_dir: Path, store: dist.Store, size: int) -> None:
    """Wait until the new processes have begun. Raises TrainingError if one ends instead."""
    while not store.check([f"here {rank}" for rank in range(1, size)]):
        with _told(run_dir):
            others.join(timeout=0.05)


def _end(others: ProcessContext, run_dir: Path, error: Exception | None = None) -> None:
    """Wait for the other processes to end. Raises what a bug in one of them has raised, and TrainingError for one that
    was killed."""
    deadline = time.monotonic() + LEAVING_SECONDS
    with _told(run_dir, error):
        while not others.join(timeout=1):
            if error is not None and time.monotonic() > deadline:
                return


@contextlib.contextmanager
def _told(run_dir: Path, cause: Exception | None = None) -> Iterator[None]:
    """Raise TrainingError, in one line, for a process that was killed inside the block."""
    try:
        yield
    except ProcessExitedException as error:
        how = f"by {Signals(-error.exit_code).name}" if error.exit_code < 0 else f"with status {error.exit_code}"
        who = f"process {error.error_index + 1} of this run was ended {how}"
        raise TrainingError(f"{who}; {kept(run_dir)}") from (cause or error)

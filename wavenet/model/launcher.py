"""What torchrun and SLURM's srun tell each process that they start, in environment variables."""

import os
import re
from typing import NamedTuple


class Launched(NamedTuple):
    """One of several processes that a launcher has started, on one machine or many."""

    launcher: str
    """`torchrun` or `SLURM`."""
    rank: int
    """Which of the processes this is, from 0."""
    size: int
    """How many there are."""
    local_rank: int
    """Which of those on this machine this is, from 0."""
    here: int
    """How many of them are on this machine."""


def launched() -> Launched | None:
    """What the launcher says of this process, None if none has started it.

    In a batch script or an interactive shell of SLURM, only what `srun` starts is one of several processes.
    """
    found, told = os.environ, None
    here = found.get("LOCAL_WORLD_SIZE", "1")
    if torchrun() is not None:
        told = "torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK"
    elif "SLURM_STEP_NUM_TASKS" in found:
        told = "SLURM", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"
        here = re.split(r"\D", found.get("SLURM_STEP_TASKS_PER_NODE", "1"))[0]  # of `2(x3),1`, the first
    if told is None:
        return None
    launcher, *names = told
    rank, size, local_rank = (int(found[name]) for name in names)
    return Launched(launcher, rank, size, local_rank, int(here))


def is_first_process() -> bool:
    """Whether this process is the first of all, on one machine or many: only it prints and writes."""
    told = launched()
    return told is None or told.rank == 0


def allowed_restarts() -> int:
    """How often torchrun may start this run's processes again, after one of them has died: its --max-restarts."""
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0))


def torchrun() -> str | None:
    """What tells one run of torchrun from others, on all of its machines; None if this process is of none."""
    found = os.environ
    if "TORCHELASTIC_RUN_ID" not in found:
        return None
    return f"{found['TORCHELASTIC_RUN_ID']} at {found.get('MASTER_ADDR')}:{found.get('MASTER_PORT')}"


def may_be_again() -> bool:
    """Whether torchrun may have started this run's processes before, after one of them had died.

    Its count is asked only where its port does not tell it from others: on several machines each counts by itself.
    """
    found = os.environ
    own_port = found.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return own_port or int(found.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


def meeting_point() -> tuple[str, int]:
    """Host and port where the processes of one `srun` meet: on the first machine, at a port that the job decides.

    MASTER_ADDR and MASTER_PORT, where they are set, come first.
    """
    machines = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_JOB_NODELIST", "127.0.0.1")
    job, step = (int(os.environ.get(name, 0)) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    port = 15000 + (job * 31 + step) % 10000
    return os.environ.get("MASTER_ADDR", first_machine(machines)), int(os.environ.get("MASTER_PORT", port))


def first_machine(machines: str) -> str:
    """The first of a list as SLURM writes it: `gpu07` of `gpu[07-09,12],cpu1`."""
    first = re.match(r"([^,\[]*)(?:\[([^,\-\]]+)[^\]]*\])?([^,\[]*)", machines)
    return "".join(part or "" for part in first.groups()) if first else machines

"""`benchmark.py busy`: how fast training and generation are beside busy programs, which it starts itself.

Every contestant is a process that works for a moment on request and sleeps otherwise; they take turns, and medians are
shown. Run as a program, this file is one contestant: python scripts/busy.py training|generation THREADS
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

import wavenet  # noqa: F401 (before torch, so that its threads wait as they do in every command)

LOADS = {"quiet": 0, "beside one busy loop": 1, "beside two": 2}
ONE_CORE = "quiet, on one core"
POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
SECONDS = 0.7
"""How long a contestant works at a time."""


def measure(rounds: int, machine: str, spins: str) -> list[dict[str, Any]]:
    """Show the samples per second of every contestant under every load, and their share of its speed when quiet."""
    settings = {
        "as in every command": {},
        "spinning, OpenMP's default": {"GOMP_SPINCOUNT": "300000"},
        "sleeping at once": {"OMP_WAIT_POLICY": "PASSIVE"},
        **{f"{count} turns": {"GOMP_SPINCOUNT": count} for count in spins.split(",") if count},
    }
    contestants: dict[tuple[str, int, str], Worker] = {("training", 1, ""): Worker("training", 1, {})}
    for name, environment in settings.items():
        contestants["training", 2, name] = Worker("training", 2, environment)
    for threads in (1, 2):
        contestants["generation", threads, ""] = Worker("generation", threads, {})
    speeds: dict[tuple[str, int, str], dict[str, float]] = {key: {} for key in contestants}
    console, others = Console(width=140), []
    try:
        for load, loops in LOADS.items():
            taken, foreign = take_turns(contestants, rounds, loops)
            others.append(f"{load}: {foreign:.2f}")
            for key, found in taken.items():
                speeds[key][load] = statistics.median(found)
        alone = {key: worker for key, worker in contestants.items() if key[0] == "generation"}
        for worker in alone.values():
            worker.pin()
        taken, foreign = take_turns(alone, rounds, 0)
        others.append(f"{ONE_CORE}: {foreign:.2f}")
        for key, found in taken.items():
            speeds[key][ONE_CORE] = statistics.median(found)
    finally:
        for worker in contestants.values():
            worker.end()
    columns = [f"{load}, samples/s" for load in (*LOADS, ONE_CORE)]
    table = Table("", "threads", "waiting", *columns, title=f"busy: {machine}")
    for (kind, threads, waiting), found in speeds.items():
        cells = [f"{speed:,.0f} ({speed / found['quiet']:.2f})" for speed in found.values()]
        table.add_row(kind, str(threads), waiting, *cells)
    console.print(table)
    console.print(f"cores that other programs used meanwhile: {'; '.join(others)}")
    return [
        {"name": kind, "threads": threads, "waiting": waiting, "samples_per_second": found}
        for (kind, threads, waiting), found in speeds.items()
    ]


class Worker:
    """A contestant."""

    def __init__(self, kind: str, threads: int, environment: dict[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if name not in POLICIES}
        self._process = subprocess.Popen(
            [sys.executable, __file__, kind, str(threads)],
            env=kept | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._answer()

    def speed(self) -> float:
        """Work for SECONDS; return samples per second."""
        assert self._process.stdin is not None
        print("go", file=self._process.stdin, flush=True)
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            sys.exit("a contestant has failed, see the error above")
        return line

    def pin(self) -> None:
        """Restrict all its threads, and those that it starts later, to one core."""
        core = {min(os.sched_getaffinity(0))}
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            os.sched_setaffinity(int(thread), core)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def take_turns(workers: dict[Any, Worker], rounds: int, loops: int) -> tuple[dict[Any, list[float]], float]:
    """Each one's speeds beside this many busy loops, and how many cores other programs used meanwhile."""
    busy = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(loops)]
    ours = [worker.pid for worker in workers.values()] + [loop.pid for loop in busy]
    taken: dict[Any, list[float]] = {key: [] for key in workers}
    try:
        began, all_before, ours_before = time.perf_counter(), used(), used(*ours)
        for _ in range(rounds):
            for key, worker in workers.items():
                taken[key].append(worker.speed())
        foreign = (used() - all_before) - (used(*ours) - ours_before)
        return taken, foreign / (time.perf_counter() - began)
    finally:
        for loop in busy:
            loop.kill()
            loop.wait()


def used(*processes: int) -> float:
    """Seconds of processor time used by these processes, or by the whole machine if none are given."""
    ticks = os.sysconf("SC_CLK_TCK")
    if not processes:
        with open("/proc/stat") as file:
            user, nice, system, _, _, *rest = map(int, file.readline().split()[1:9])
        return (user + nice + system + sum(rest)) / ticks
    total = 0
    for process in processes:
        with open(f"/proc/{process}/stat") as file:
            total += sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
    return total / ticks


def training(threads: int) -> Callable[[], int]:
    """One training step of `base`; returns the samples that it scored."""
    import torch

    from wavenet.config import ModelConfig, OptimConfig
    from wavenet.model.distributions import Softmax
    from wavenet.model.wavenet import WaveNet
    from wavenet.training.machine import bfloat16_is_faster, keep_memory
    from wavenet.training.optimizers import make_optimizers

    keep_memory()
    torch.set_num_threads(threads)
    low, crop, model = bfloat16_is_faster(), 8192, WaveNet(ModelConfig())
    optimizers = make_optimizers(model, OptimConfig(), torch.bfloat16 if low else torch.float32)
    codes = torch.randint(0, 256, (1, crop + model.receptive_field))

    def step() -> int:
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            logits = model(codes[:, :-1])
        (Softmax().loss(logits, codes[:, model.receptive_field :]) / crop).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return crop

    return step


def generation(threads: int) -> Callable[[], int]:
    """One stream of `base` in int8 for a tenth of a second of sound; returns its samples."""
    import torch

    from wavenet.config import ModelConfig
    from wavenet.generation import CompiledEngine, exported
    from wavenet.generation.splitmix import uniforms
    from wavenet.model.distributions import Sampling
    from wavenet.model.wavenet import WaveNet

    torch.set_num_threads(1)
    engine = CompiledEngine(exported(WaveNet(ModelConfig()).eval(), 16000, "int8"), threads=threads)
    state, numbers = engine.start(torch.empty(1, 0, dtype=torch.int64)), uniforms([0], 0, 1600)

    def chunk() -> int:
        engine.generate(state, numbers, Sampling())
        return 1600

    return chunk


def main() -> None:
    work = {"training": training, "generation": generation}[sys.argv[1]](int(sys.argv[2]))
    for _ in range(3):
        work()
    print("ready", flush=True)
    for _ in sys.stdin:
        began, samples = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS:
            samples += work()
        print(samples / (time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    main()

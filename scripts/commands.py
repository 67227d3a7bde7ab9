"""`benchmark.py commands`: how long whole commands take, and their peak memory."""

import shutil
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from rich.console import Console
from rich.table import Table


def commands(rounds: int, machine: str) -> list[dict[str, Any]]:
    """Median seconds and peak memory of whole commands, with `base` on the bundled recordings, in a new folder.

    `machine` is what the table is called.
    """
    table = Table("command", "seconds", "peak MiB", title=machine)
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        train = "-m wavenet.cli.train data.dir=bundled steps=3 sample_every=0 device=cpu "
        train += f"data.cache_dir={folder}/cache run.dir={folder}/run"
        generate = f"-m wavenet.cli.generate checkpoint={folder}/run device=cpu output={folder}/made seconds="
        exported = f"-m wavenet.cli.generate checkpoint={folder}/made.wavenet output={folder}/made"
        for name, arguments in {
            "from wavenet import load": ["-c", "from wavenet import load"],
            "wavenet-train --help": ["-m", "wavenet.cli.train", "--help"],
            "wavenet-train steps=3": train.split(),
            "wavenet-generate seconds=0.01": (generate + "0.01").split(),
            "wavenet-generate seconds=2": (generate + "2").split(),
            "wavenet-export": f"-m wavenet.cli.export checkpoint={folder}/run output={folder}/made.wavenet".split(),
            "of the exported file": f"{exported} seconds=0.01".split(),
            "of it, read by Hydra": f"{exported} seconds=1e-2".split(),
        }.items():
            runs = []
            for _ in range(rounds):
                if "steps=3" in arguments:
                    shutil.rmtree(f"{folder}/run", ignore_errors=True)  # training refuses to overwrite a run
                runs.append(whole_process([sys.executable, *arguments]))
            seconds, memory = (statistics.median(values) for values in zip(*runs, strict=True))
            measured.append({"name": name, "seconds": seconds, "peak_mib": memory})
            table.add_row(name, f"{seconds:.2f}", f"{memory:.0f}")
    Console(width=120).print(table)
    return measured


def whole_process(command: list[str]) -> tuple[float, float]:
    """Seconds from start to end, and peak MiB, of a command that must succeed."""
    # from a small process: the reported peak of a child is at least its parent's size when it started
    watcher = (
        "import resource, subprocess, sys, time\n"
        "began = time.perf_counter()\n"
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)\n"
        "print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    watched = subprocess.run([sys.executable, "-S", "-c", watcher, *command], stdout=subprocess.PIPE, check=False)
    if watched.returncode:
        sys.exit(f"{' '.join(command)} failed")
    seconds, memory = map(float, watched.stdout.split())
    return seconds, memory

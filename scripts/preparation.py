"""Measures how a large folder is prepared, and what a random window of it costs.

    python scripts/preparation.py [hours=2,20,200] [kind=wav] [workers=0] [place=/tmp/large] [report=FILE]

For each number of hours a folder of one-minute recordings is made in `place`, prepared, and read at random. `kind` is
wav (16 kHz, mono, 16 bits, which is not resampled) or flac (44.1 kHz, two channels). The recordings are links to eight
files of synthetic sound, so they are read from memory: the rate is that of the processor. Everything is removed at the
end. 200 hours take 11.6 GB.
"""

import contextlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

KINDS = {"wav": (16000, 1), "flac": (44100, 2)}
CROP, FIELD, WINDOWS = 8192, 1024, 1000
"""Scored samples of a window, samples of context before them, and windows read."""


def main() -> None:
    given = {"hours": "2,20,200", "kind": "wav", "workers": "0", "place": "", "report": ""}
    asked = {name: value for name, _, value in (setting.partition("=") for setting in sys.argv[1:])}
    if not set(asked) <= set(given) or (given | asked)["kind"] not in KINDS:
        sys.exit(__doc__)
    given |= asked
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=given["place"] or None) as place:
        for hours in map(float, given["hours"].split(",")):
            folder = make(Path(place), given["kind"], hours)
            figures.append({"hours": hours, "kind": given["kind"]})
            for step in ("prepare", "again", "windows"):
                made = subprocess.run(
                    [sys.executable, __file__, step, str(folder), f"{place}/cache", given["workers"]],
                    stdout=subprocess.PIPE,
                    check=True,
                    text=True,
                )
                figures[-1] |= json.loads(made.stdout)
            print(in_words(figures[-1]), flush=True)
            shutil.rmtree(f"{place}/cache")
            shutil.rmtree(folder)
    if given["report"]:
        machine = {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()}
        Path(given["report"]).write_text(json.dumps({"machine": machine, "folders": figures}, indent=1))


def make(place: Path, kind: str, hours: float) -> Path:
    """A folder of one-minute recordings: noise and tones whose level changes, like speech's."""
    rate, channels = KINDS[kind]
    for number in range(8):
        path = place / f"{number}.{kind}"
        if not path.exists():
            chance, times = np.random.default_rng(number), np.arange(60 * rate) / rate
            level = np.abs(np.sin(2 * np.pi * chance.uniform(1, 4) * times))
            sound = (
                chance.normal(0, 0.05, (len(times), channels))
                + 0.2 * np.sin(2 * np.pi * 100 * (number + 1) * times)[:, None]
            )
            soundfile.write(path, sound * level[:, None], rate)
    folder = place / "folder"
    for number in range(round(hours * 60)):
        beside = folder / f"{number // 1000}"
        beside.mkdir(parents=True, exist_ok=True)
        os.link(place / f"{number % 8}.{kind}", beside / f"{number}.{kind}")
    return folder


def measure(step: str, folder: str, cache: str, workers: str) -> dict[str, Any]:
    """One step, in a process of its own, so that its memory can be measured."""
    from wavenet.config import DataConfig
    from wavenet.recordings.preparation import prepare
    from wavenet.recordings.split import whole
    from wavenet.recordings.windows import Windows

    before, (began, used) = memory(), (time.perf_counter(), time.process_time())
    prepared = prepare(DataConfig(dir=folder, cache_dir=cache, workers=int(workers)))
    seconds, core_seconds = time.perf_counter() - began, time.process_time() - used
    if step == "again":
        return {"start_s": seconds}
    if step == "prepare":
        length = len(prepared.codes) / prepared.sample_rate
        gigabytes = prepared.codes.dtype.itemsize * len(prepared.codes) / 1e9
        sizes = {"gigabytes": gigabytes, "before_mb": before, "peak_mb": memory()}
        return {"seconds": seconds, "rate_per_core": length / core_seconds, **sizes}
    windows = Windows(prepared.codes, whole(prepared), CROP, FIELD)
    chosen = np.random.default_rng(0).integers(0, len(windows), WINDOWS).tolist()
    for shard in prepared.cache.glob("*.codes"):
        with open(shard, "rb") as file, contextlib.suppress(AttributeError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    told: dict[str, Any] = {"shards": len(list(prepared.cache.glob("*.codes")))}
    for state in ("cold", "warm"):
        times = []
        for index in chosen:
            began = time.perf_counter()
            windows.item(index)
            times.append(time.perf_counter() - began)
        told |= {f"window_{state}_us": 1e6 * float(np.median(times))}
    return told


def memory() -> float:
    """The most memory that this process has taken so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def in_words(told: dict[str, Any]) -> str:
    parts = (
        f"{told['hours']:g} h of {told['kind']}: {told['gigabytes']:.2f} GB in {told['shards']} shards",
        f"{told['seconds']:.0f} s, {told['rate_per_core']:,.0f} x real time per core",
        f"peak memory {told['peak_mb']:.0f} MB ({told['before_mb']:.0f} before)",
        f"next start {told['start_s']:.2f} s",
        f"a window {told['window_cold_us']:.0f} us from the disk, {told['window_warm_us']:.0f} us from memory",
    )
    return "; ".join(parts)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in ("prepare", "again", "windows"):
        print(json.dumps(measure(*sys.argv[1:])))
    else:
        main()

"""wavenet-generate missing=true: many sounds, in one process or in several that share them, over as many runs as it
takes.

The output folder keeps the settings that decide the sounds. Files appear only once they are complete, so what is there
need not be made again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavenet.cli.display import Display
from wavenet.cli.jobs.opening import opened
from wavenet.cli.paths import check_folder
from wavenet.config import GenerateConfig
from wavenet.errors import ConfigError, counted
from wavenet.files import atomic, expanded
from wavenet.generation.rendering import Prepared, write
from wavenet.generation.request import Request
from wavenet.model import shipped
from wavenet.model.launcher import launched

if TYPE_CHECKING:
    from wavenet.generation.playing import ExportedFile
    from wavenet.voice import Voice

SETTINGS = "settings.json"
"""File in the output folder: what decides the sounds there."""
MOST = 24
"""Sounds made side by side: what is lost when a process is killed."""
DECIDING = ("seconds", "temperature", "top_k", "top_p", "prime", "label", "guidance", "features", "instruction_set")


def job(config: GenerateConfig) -> None:
    """Make this process's share of the sounds that are missing.

    Raises ConfigError if the folder holds sounds that other settings have made, or none that are known.
    """
    folder, told = expanded(config.output), launched()
    if folder.suffix:
        raise ConfigError(f"output is {config.output}, but missing=true needs a folder, a name without an extension")
    check_folder(folder)
    found = shipped.first() if config.checkpoint is None else shipped.find(config.checkpoint)
    voice = opened(found.path)
    rank, size = (told.rank, told.size) if told else (0, 1)
    seeds = range(config.seed, config.seed + config.count)
    with Display() as display:
        say: Callable[[str], None] = display.say if rank == 0 else lambda _: None
        for line in found.said:
            say(line)
        engine = _ready(config, voice, seeds[:1]).engine
        check_settings(folder, _deciding(config, voice) | {"engine": engine.name, "precision": engine.precision})
        blocks = shares(seeds, rank, size)
        whole = sum(len(block) for block in blocks)
        missing = [run for block in blocks for run in _missing(folder, block)]
        there = whole - sum(len(run) for run in missing)
        whose = "" if size == 1 else f", the share of the first of {size} processes"
        say(f"{folder}: {counted(whole, 'sound')}{whose}; {there} of them were there before")
        for run in missing:
            _make(config, voice, folder, run)
            there += len(run)
            say(f"{there} of {whole}")


def shares(seeds: range, rank: int, size: int) -> list[range]:
    """The seeds of one of several processes, in pieces that are made side by side.

    They do not depend on what is there, since the others change that.
    """
    length = min(MOST, -(-len(seeds) // size))
    return [seeds[first : first + length] for first in range(0, len(seeds), length)][rank::size]


def _missing(folder: Path, seeds: range) -> list[range]:
    """Those seeds without a file, as ranges."""
    runs: list[range] = []
    for seed in seeds:
        if _path(folder, seed).exists():
            continue
        if runs and runs[-1].stop == seed:
            runs[-1] = range(runs[-1].start, seed + 1)
        else:
            runs.append(range(seed, seed + 1))
    return runs


def _ready(config: GenerateConfig, voice: Voice | ExportedFile, seeds: range) -> Prepared:
    """These sounds, before their first sample."""
    some = dataclasses.replace(config, seed=seeds.start, count=len(seeds))
    return voice.perform(Request(some, voice.sample_rate, voice.data, some.prime, some.features))


def _make(config: GenerateConfig, voice: Voice | ExportedFile, folder: Path, seeds: range) -> None:
    """Make these sounds side by side, all or none."""
    ready = _ready(config, voice, seeds)
    try:
        with contextlib.ExitStack() as stack:
            paths = [stack.enter_context(atomic(_path(folder, seed))) for seed in seeds]
            if not write(ready.pieces(), ready.levels, voice.sample_rate, paths).finished:
                raise KeyboardInterrupt
    except OSError as error:
        raise ConfigError(f"output: cannot write to {folder} ({error.strerror}); choose another output") from error


def check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Keep the settings in a new folder. Raises ConfigError if others, or unknown ones, have made what is there."""
    kept = folder / SETTINGS
    try:
        unknown = not kept.exists() and any(folder.glob("seed_*"))
        if unknown and not kept.exists():  # another process may have begun in between
            raise ConfigError(
                f"output: {folder} holds sounds but no {SETTINGS}, so what made them is unknown: choose another output"
            )
        if not kept.exists():
            with atomic(kept) as path:
                path.write_text(json.dumps(settings, indent=2) + "\n")
        theirs = json.loads(kept.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"output: cannot use {kept} ({error}); choose another output") from error
    for name, value in json.loads(json.dumps(settings)).items():
        other = theirs.get(name) if isinstance(theirs, dict) else None
        if other != value:
            raise ConfigError(
                f"output: the sounds in {folder} were made with {name}={other}, not {value}: give that, or choose "
                "another output"
            )


def _deciding(config: GenerateConfig, voice: Voice | ExportedFile) -> dict[str, Any]:
    """What decides a sound besides its seed; files are told apart by what is in them."""
    settings = {name: getattr(config, name) for name in DECIDING}
    for name in ("prime", "features"):
        if settings[name] is not None:
            settings[name] = _digest(expanded(settings[name]))
    return {"network": _digest(voice.path)} | settings


def _digest(path: Path) -> str | None:
    if not path.is_file():
        return None  # what reads it says so
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _path(folder: Path, seed: int) -> Path:
    return folder / f"seed_{seed}.wav"

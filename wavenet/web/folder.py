"""The page and its voices as a folder that plays from any static web server."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from wavenet.errors import CheckpointError, ConfigError, WaveNetError
from wavenet.files import atomic
from wavenet.generation.export import is_exported
from wavenet.voice import load
from wavenet.web.listing import NO_CHECKPOINT, Listing, page_files
from wavenet.web.sources import Source, snapshot

LIST = "voices.json"


def check_empty(folder: Path) -> None:
    """Raise ConfigError unless `folder` is new, empty, or one that `write` has made."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"output: {folder} is a file, not a folder; choose another output")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / LIST).is_file():
        raise ConfigError(f"output: {folder} already holds something else; choose another output")


def write(listing: Listing, folder: Path, say: Callable[[str], None]) -> int:
    """Write the folder, and return how many voices it holds; `say` is told what is left out, and why.

    Raises ConfigError if there is nothing to write or the folder cannot be written.
    """
    entries = []
    try:
        for source in listing.sources():
            file = folder / "voices" / f"{listing.name(source)}.wavenet"
            try:
                _export(source, file)
            except WaveNetError as error:
                say(f"{source.title} is left out: {error}")
                continue
            told = {"name": listing.name(source), "title": source.title, "credit": source.credit}
            entries.append(told | {"file": file.relative_to(folder).as_posix()})
        if not entries:
            raise ConfigError("none of the voices can be played in a browser: train one, and name its run")
        for address, path in page_files():
            (folder / address).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / address)
        with atomic(folder / LIST) as temporary:
            temporary.write_text(json.dumps(entries, indent=1) + "\n")
    except OSError as error:
        raise ConfigError(f"output: cannot write to {folder} ({error.strerror}); choose another output") from error
    return len(entries)


def _export(source: Source, file: Path) -> None:
    """Raises WaveNetError if it cannot be exported, OSError if the file cannot be written."""
    now = snapshot(source)
    if now is None or now.refusal is not None:
        raise CheckpointError(NO_CHECKPOINT if now is None else now.refusal or "")
    if is_exported(now.file):
        with atomic(file) as temporary:
            shutil.copyfile(now.file, temporary)
    else:
        load(now.file).export(file)

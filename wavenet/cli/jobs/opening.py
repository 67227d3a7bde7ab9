"""Opens what plays: an exported file, which needs no torch, or a checkpoint, for which torch is imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wavenet.generation.format import is_exported

if TYPE_CHECKING:
    from wavenet.generation.playing import ExportedFile
    from wavenet.voice import Voice


def opened(path: Path) -> Voice | ExportedFile:
    """Raises CheckpointError if the file is damaged, ConfigError for an exported file if there are no kernels."""
    if is_exported(path):
        from wavenet.generation.playing import ExportedFile

        return ExportedFile(path)
    from wavenet.voice import opened

    return opened(path)

"""Where a checkpoint is: a file, or the best one of a run folder."""

import os
from pathlib import Path

from wavenet.errors import CheckpointError

GIVE = "give a run folder or a .safetensors file (wavenet-generate also takes an exported one)"


def find(path: str | Path) -> Path:
    """The shared file that `path` means: itself, or the best (else the last) in a run folder or its checkpoints."""
    path = Path(path)
    if os.path.isdir(path):  # also False if its parent folder cannot be read
        for folder in (path / "checkpoints", path):
            for name in ("best", "last"):
                if os.path.isfile(folder / f"{name}.safetensors"):
                    return folder / f"{name}.safetensors"
        raise CheckpointError(f"{path} holds no checkpoints/best.safetensors: {GIVE}")
    if not os.path.isfile(path):
        raise CheckpointError(f"checkpoint {path} does not exist: {GIVE}")
    return path

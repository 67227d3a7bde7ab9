"""Checkpoints: one self-describing `.safetensors` file to share, one training state beside it to resume from.

The shared file holds the (averaged) weights and, in its header, all that it takes to use them: format version, model
settings, sample rate, mu-law convention, training step and validation bits. Reading it never unpickles. The training
state is read with `weights_only=True`. Both are written whole or not at all.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from wavenet.config import MULAW_LEVELS, ModelConfig
from wavenet.errors import CheckpointError, ConfigError
from wavenet.files import atomic
from wavenet.model import WaveNet

FORMAT_VERSION = 1
MULAW = {"mu": MULAW_LEVELS - 1, "levels": MULAW_LEVELS, "rounding": "half up", "zero": MULAW_LEVELS // 2}
"""The convention of `wavenet.mulaw`, so that a reader of the file need not guess."""


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to use, on the CPU, in float32 and evaluation mode, and where it came from."""

    path: Path
    model: WaveNet
    sample_rate: int
    """Hz"""
    step: int
    valid_bits: float | None
    """Bits per sample on the validation part when it was saved; None if it was never validated."""


def save(path: Path, model: WaveNet, sample_rate: int, step: int, valid_bits: float | None) -> None:
    """Write the shared file. Raises CheckpointError where it cannot be written; an older file there stays whole."""
    header = {
        "format_version": FORMAT_VERSION,
        "model": dataclasses.asdict(model.config),
        "sample_rate": sample_rate,
        "mulaw": MULAW,
        "step": step,
        "valid_bits": valid_bits,
    }
    tensors = {name: tensor.detach().float().contiguous().cpu() for name, tensor in model.state_dict().items()}
    try:
        with atomic(path) as temporary:
            save_file(tensors, temporary, metadata={"wavenet": json.dumps(header)})
    except (OSError, SafetensorError) as error:
        raise _cannot_write(path, error) from error


def load(path: str | Path) -> Checkpoint:
    """Read a shared file, or a run folder's best one.

    Raises CheckpointError where there is none, it is truncated or altered, of a newer format, or its weights do not
    fit the model that its header describes.
    """
    path = find(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} is not a readable checkpoint ({error}); is it cut short?") from error
    if "wavenet" not in metadata:
        raise CheckpointError(f"{path} is a safetensors file of something else: it has no WaveNet header")
    try:
        header = json.loads(metadata["wavenet"])
        version = header["format_version"]
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"{path} has format version {version}, this program reads {FORMAT_VERSION}: update it"
            )
        if header["mulaw"] != MULAW:
            raise CheckpointError(
                f"{path} uses another mu-law convention, {header['mulaw']}; this program's is {MULAW}"
            )
        for name, tensor in tensors.items():
            if not tensor.is_floating_point() or not tensor.isfinite().all():
                raise ValueError(f"{name} holds {tensor.dtype} that are not all finite floating-point numbers")
        model = WaveNet(ModelConfig.from_dict(header["model"]))
        model.load_state_dict(tensors)
        rate, step, bits = header["sample_rate"], header["step"], header["valid_bits"]
        if not (type(rate) is int and rate > 0 and type(step) is int and isinstance(bits, float | int | None)):
            raise ValueError(f"sample_rate {rate!r}, step {step!r}, valid_bits {bits!r}")
        checkpoint = Checkpoint(path, model.eval(), rate, step, bits)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RuntimeError, ConfigError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])  # the second line names the tensor
        raise CheckpointError(
            f"{path} has a header that does not fit its weights ({reason}); it was altered"
        ) from error
    return checkpoint


def find(path: str | Path) -> Path:
    """The shared file that `path` means: itself, or in a run folder the best one, else the last."""
    path = Path(path)
    if path.is_dir():
        for name in ("best", "last"):
            candidate = path / "checkpoints" / f"{name}.safetensors"
            if candidate.is_file():
                return candidate
        raise CheckpointError(f"{path} holds no checkpoints/best.safetensors: give a run folder or a .safetensors file")
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist: give a run folder or a .safetensors file")
    return path


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write what resuming needs: tensors, numbers and strings alone. Raises CheckpointError where it cannot."""
    try:
        with atomic(path) as temporary:
            torch.save(state, temporary)
    except (OSError, RuntimeError) as error:
        raise _cannot_write(path, error) from error


def load_state(path: str | Path) -> dict[str, Any]:
    """Read a training state, or a run folder's last one. Raises CheckpointError if it is missing or damaged."""
    path = Path(path)
    if path.is_dir():
        path = path / "checkpoints" / "last.state"
    if not path.is_file():
        raise CheckpointError(f"there is no training state at {path}: resume= takes a run folder or its last.state")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["format_version"] != FORMAT_VERSION:
            raise CheckpointError(
                f"{path} has format version {state['format_version']}, this program reads {FORMAT_VERSION}"
            )
    except CheckpointError:
        raise
    except Exception as error:  # torch.load raises a different class for every kind of damage
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path} is not a readable training state ({reason}); is it cut short?") from error
    return state


def _cannot_write(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"cannot write {path} ({error}); free space or choose another run.dir, then resume")

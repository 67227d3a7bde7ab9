"""What a training run leaves behind, and where two of them differ."""

import json
from pathlib import Path

import torch

from wavenet.model import checkpoint

TIMES = {"seconds", "per_step"}
"""Entries of a state that measure time."""


def outcome(run: Path) -> dict[str, object]:
    """All that a run leaves, but times: its state, its checkpoints and its curves."""
    state = checkpoint.load_state(run)
    found: dict[str, object] = {name: value for name, value in state.items() if name not in TIMES | {"config"}}
    found |= {name: (run / f"checkpoints/{name}.safetensors").read_bytes() for name in ("best", "last")}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found["curves"] = [
        {name: x for name, x in row.items() if not name.endswith(("per_second", "minutes"))} for row in rows
    ]
    found["sounds"] = {path.name: path.read_bytes() for path in sorted(run.glob("samples/*.wav"))}
    return found


def differences(one: object, other: object, name: str = "") -> list[str]:
    """Where two outcomes are not equal bit for bit."""
    if type(one) is not type(other):
        return [name]
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [name]  # type: ignore[arg-type] (it is one too)
    if isinstance(one, dict):
        assert isinstance(other, dict)
        keys = [] if one.keys() == other.keys() else [f"{name}: {one.keys() ^ other.keys()}"]
        return keys + [
            d for key in one.keys() & other.keys() for d in differences(one[key], other[key], f"{name}/{key}")
        ]
    if isinstance(one, list | tuple):
        assert isinstance(other, list | tuple)
        if len(one) != len(other):
            return [f"{name}: {len(one)} or {len(other)}"]
        return [d for i, pair in enumerate(zip(one, other, strict=True)) for d in differences(*pair, f"{name}/{i}")]
    return [] if one == other else [f"{name}: {str(one)[:80]} or {str(other)[:80]}"]

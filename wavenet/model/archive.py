"""Training states, read without trust: torch's zip file of tensors' bytes and a pickle that arranges them.

`torch.load` with `weights_only=True` runs no code from a file. It still believes what the file says of sizes, also of
compressed and of overlapping parts, and checks no checksums, so all of that is checked here first.
"""

import io
import pickletools
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ALLOWED = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2"} | {
    f"torch {kind}Storage"
    for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
}
"""What a state's pickle may name."""
MOST_GROWTH = 8
"""How many times a state's size its contents may take, once every reference within it is followed."""
NUMBER, WHOLE = (int, float), (int,)
ENTRIES = {
    **dict.fromkeys(("config", "model", "averaged", "recordings"), (dict,)),
    **dict.fromkeys(("sample_rate", "step", "steps", "best_step", "valid_step"), WHOLE),
    **dict.fromkeys(("seconds", "per_step", "best_bits", "best"), NUMBER),
    **dict.fromkeys(("finished", "steps_fixed"), (bool,)),
    "optimizers": (list,),
    "random": (Tensor,),
    "valid_bits": (int, float, type(None)),
}
"""Entries of a state -> the types that they may have."""


def read(path: Path) -> Any:
    """What `torch.save` wrote, on the CPU. Raises ValueError, or whatever torch and zipfile raise, for anything else.

    It takes at most three times the file's size in memory.
    """
    size, copy = path.stat().st_size, io.BytesIO()
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(copy, "w") as checked:
        parts = whole.infolist()
        if any(part.compress_type != zipfile.ZIP_STORED or part.file_size != part.compress_size for part in parts):
            raise ValueError("a part of it is compressed")
        if sum(part.file_size for part in parts) > size or len({part.filename for part in parts}) < len(parts):
            raise ValueError("its parts overlap")
        for part in parts:
            content = whole.read(part)  # which checks its checksum
            if part.filename.endswith("/data.pkl"):
                _check_names(content)
            checked.writestr(part.filename, content)
    copy.seek(0)
    found = torch.load(copy, map_location="cpu", weights_only=True)
    if _extent(found, {}) > MOST_GROWTH * size:
        raise ValueError("its parts repeat each other")
    return found


def check_entries(state: Mapping[str, Any]) -> None:
    """Raise ValueError for an entry that is not of its type, or a number that is below zero."""
    for name, value in state.items():
        kinds = ENTRIES.get(name)
        if kinds is None:
            continue
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"its {name} is {type(value).__name__}")
        if isinstance(value, int | float) and not value >= 0:
            raise ValueError(f"its {name} is {value}")


def _check_names(pickled: bytes) -> None:
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name in ("GLOBAL", "INST", "STACK_GLOBAL") and argument not in ALLOWED:
            raise ValueError(f"it names {argument}")


def _extent(value: Any, known: dict[int, int]) -> int:
    """Bytes of a value, and of every value in it as often as it is there; `known` are those met before."""
    if id(value) in known:
        return known[id(value)]
    known[id(value)] = 0  # a value within itself
    if isinstance(value, Tensor):
        extent = value.numel() * value.element_size()
    elif isinstance(value, Mapping):
        extent = sum(_extent(key, known) + _extent(one, known) for key, one in value.items())
    elif isinstance(value, list | tuple):
        extent = sum(_extent(one, known) for one in value)
    else:
        extent = len(value) if isinstance(value, str) else 0
    known[id(value)] = 1 + extent
    return known[id(value)]

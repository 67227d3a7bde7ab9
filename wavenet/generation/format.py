"""How an exported file is known from others; csrc/FORMAT.md describes all of it."""

from pathlib import Path

MAGIC = b"WAVENET\n"
VERSION = 3
PRECISIONS = ("float32", "bfloat16", "int8")


def is_exported(path: Path) -> bool:
    """Whether this file begins as an exported network does."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False

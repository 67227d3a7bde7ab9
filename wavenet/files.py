"""Files that are whole or absent: written under a temporary name, flushed to the disk, then renamed."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

NOT_FULL = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EROFS)
"""What the system says where a place cannot be written to for another reason than its size."""


def remedy(error: BaseException) -> str:
    """What helps where writing failed, up to the name of the other place."""
    return "choose" if getattr(error, "errno", None) in NOT_FULL else "free space or choose"


def temporary_name(path: Path) -> Path:
    """A hidden name beside `path` that nobody else takes, not even a process of the same number in another container.

    It keeps the extension, which tells libraries what to write, and is never too long for a file system.
    """
    suffix = path.suffix if len(path.suffix) <= 16 else ""
    return path.with_name(f".{path.stem[:32]}.{secrets.token_hex(6)}{suffix}")


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place, on any failure it is removed.

    Missing parent folders are created. Whatever stood at `path` stays whole until the rename. The file gets the mode
    that the umask leaves, whoever writes it. Raises OSError where the folder cannot be written or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        if temporary.stat().st_mode != mode:
            temporary.chmod(mode)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

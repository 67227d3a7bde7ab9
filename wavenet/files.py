"""Paths as people write them, files that are written whole or not at all, and locks that end with their process.

A file is written under a temporary name, flushed to the disk, then renamed. A pipe or a device is never replaced: the
bytes are written to it. Links are followed.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from wavenet.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

STANDARD_OUTPUT = Path("/dev/stdout")

NOT_FULL = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.EPIPE, errno.ENXIO, errno.ELOOP),
)
"""Errors of a place that cannot be written to although the disk is not full."""

LEFT_OVER = re.compile(r"\..{1,32}\.[0-9a-f]{12}(\.[^.]{1,15})?")
"""Names that `temporary_name` gives; such a file is left where its process was killed."""

MOST_LINKS = 40
"""How many links in a row are followed, as on Linux."""


def expanded(path: str | Path) -> Path:
    """`path` with a leading ~ or ~name replaced by that home folder. Raises ConfigError if the home is unknown."""
    found = os.path.expanduser(path)
    if os.fspath(found).startswith("~"):
        user = os.fspath(found).split("/")[0][1:]
        reason = f"there is no user {user}" if user else "this account has no home folder"
        raise ConfigError(f"{path} cannot be found: {reason}; write the path without ~")
    return Path(found)


def followed(path: str | Path) -> Path:
    """The path that `path` links to. An open file of this process, such as /proc/self/fd/1, is returned as it is.

    Raises OSError if the links form a circle.
    """
    path = Path(path)
    for _ in range(MOST_LINKS):
        if not path.is_symlink() or _descriptor(path) is not None:
            return path
        path = path.parent / os.readlink(path)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def streamed(path: str | Path) -> bool:
    """Whether `path` is a pipe, a device or /dev/stdout, so that bytes pass straight through it."""
    try:
        path = followed(path)
    except OSError:
        return False
    return _descriptor(path) is not None or (os.path.exists(path) and not (path.is_file() or path.is_dir()))


def is_stdout(path: str | Path) -> bool:
    """Whether `path` is a name of the standard output."""
    try:
        return _descriptor(followed(path)) == 1
    except OSError:
        return False


def open_stream(path: str | Path) -> BinaryIO:
    """Open a `streamed` path for writing; /dev/stdout and the like continue where the process itself writes."""
    path = followed(path)
    number = _descriptor(path)
    return open(path if number is None else os.dup(number), "wb")


def _descriptor(path: Path) -> int | None:
    """The number of this process's open file that a name like /dev/stdout stands for; None for any other path."""
    if path == STANDARD_OUTPUT:
        return 1
    if path.name.isdecimal() and os.path.realpath(path.parent) == f"/proc/{os.getpid()}/fd":
        return int(path.name)
    return None


def remedy(error: BaseException) -> str:
    """The advice after a failed write, for "another place" to follow: "choose" or "free space or choose"."""
    return "choose" if getattr(error, "errno", None) in NOT_FULL else "free space or choose"


def temporary_name(path: Path) -> Path:
    """A hidden name beside `path` that no other process uses, not even one with the same number in another container.

    It keeps the extension, which tells libraries what to write, and is never too long for a file system.
    """
    suffix = path.suffix if len(path.suffix) <= 16 else ""
    return path.with_name(f".{path.stem[:32]}.{secrets.token_hex(6)}{suffix}")


def remove_left_over(folder: Path) -> None:
    """Remove the unfinished files in a folder that no other process writes to, as far as that is possible."""
    for path in folder.glob(".*"):
        if LEFT_OVER.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on any failure it is removed.

    Missing parent folders are created. An older file at `path` stays whole until the rename. The new file gets the mode
    that the umask allows. A link is followed, and a pipe or a device is written to, not replaced. Raises OSError if the
    folder cannot be written or the disk is full.
    """
    if streamed(path):
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder, Path(path).name)
            temporary.touch()
            yield temporary
            with open(temporary, "rb") as whole, open_stream(path) as stream:
                shutil.copyfileobj(whole, stream)
        return
    path = followed(path)
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


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, which names this process. The system releases it however the process ends.

    The file is removed when the block is left. If the system or the disk has no locks, nothing is held. Raises
    BlockingIOError if another process holds it, OSError if it cannot be written.
    """
    while True:
        file = open(path, "a+")  # noqa: SIM115 (it stays open)
        if _waited_for(file) is False:
            file.close()
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), str(path))
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(file.fileno())):
                break
        file.close()  # the process that held it has removed it since it was opened
    with file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()


def is_locked(path: Path) -> bool | None:
    """Whether a process holds the lock file `path`; None if the system or the disk has no locks.

    Raises OSError if the file does not exist or cannot be opened.
    """
    with open(path) as file:
        taken = _lock(file, shared=True)
    return None if taken is None else not taken


def lock_holder(path: Path) -> str | None:
    """The process that holds the lock file `path`, in words; None if no process is known to hold it."""
    try:
        return (path.read_text() or "another process") if is_locked(path) else None
    except OSError:
        return None


def _waited_for(file: IO[str]) -> bool | None:
    """As `_lock`, but a process that merely looks whether the file is locked, for a moment, is waited for."""
    while (got := _lock(file)) is False and _lock(file, shared=True):
        fcntl.flock(file, fcntl.LOCK_UN)  # type: ignore[union-attr] (it could be locked)
        time.sleep(0.001)
    return got


def _lock(file: IO[str], shared: bool = False) -> bool | None:
    """Whether the file could be locked; None if the system or the disk has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:  # some network disks report EACCES for a locked file
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True

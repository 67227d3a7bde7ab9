"""Paths as people write them, files that are written whole or not at all, and locks that end with their process.

A file is written under a temporary name, flushed to the disk, then renamed. What is no regular file, such as a pipe or
a device, is never replaced: the bytes go through it. Links are followed.
"""

import contextlib
import errno
import os
import secrets
import shutil
import socket
import tempfile
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
"""What the system says where a place cannot be written to for another reason than its size."""

MOST_LINKS = 40
"""Links that are followed one after another, as on Linux."""


def expanded(path: str | Path) -> Path:
    """`path` with the home folder for a leading ~ or ~name. Raises ConfigError where the system knows no such home."""
    found = os.path.expanduser(path)
    if os.fspath(found).startswith("~"):
        user = os.fspath(found).split("/")[0][1:]
        reason = f"there is no user {user}" if user else "this account has no home folder"
        raise ConfigError(f"{path} cannot be found: {reason}; write the path without ~")
    return Path(found)


def followed(path: str | Path) -> Path:
    """Where `path` leads by its links. One of this process's own open files stays what it is, /proc/self/fd/1 say.

    Raises OSError where the links go round in a circle.
    """
    path = Path(path)
    for _ in range(MOST_LINKS):
        if not path.is_symlink() or _descriptor(path) is not None:
            return path
        path = path.parent / os.readlink(path)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def streamed(path: str | Path) -> bool:
    """Whether what is written to `path` goes straight through it: a pipe, a device, /dev/stdout."""
    try:
        path = followed(path)
    except OSError:
        return False
    return _descriptor(path) is not None or (os.path.exists(path) and not (path.is_file() or path.is_dir()))


def is_stdout(path: str | Path) -> bool:
    """Whether this is a name of the standard output."""
    try:
        return _descriptor(followed(path)) == 1
    except OSError:
        return False


def open_stream(path: str | Path) -> BinaryIO:
    """Open what is `streamed` for writing; /dev/stdout and its likes go on where the process itself writes."""
    path = followed(path)
    number = _descriptor(path)
    return open(path if number is None else os.dup(number), "wb")


def _descriptor(path: Path) -> int | None:
    """The number of the open file of this process that a name like /dev/stdout stands for, None for any other."""
    if path == STANDARD_OUTPUT:
        return 1
    if path.name.isdecimal() and os.path.realpath(path.parent) == f"/proc/{os.getpid()}/fd":
        return int(path.name)
    return None


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
    that the umask leaves, whoever writes it. A link is followed, and a pipe or a device is written to, not replaced.
    Raises OSError where the folder cannot be written or the disk is full.
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
    """Hold the lock file `path`, which names this process. The system releases it when the process ends in any way.

    The file is removed when the block is left. Where the system or the disk has no locks, nothing is held. Raises
    BlockingIOError where another process holds it, OSError where it cannot be written.
    """
    while True:
        file = open(path, "a+")  # noqa: SIM115 (it stays open)
        if _lock(file) is False:
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
    """Whether a process holds the lock file `path`; None where the system or the disk has no locks.

    Raises OSError where there is no such file, or it cannot be opened.
    """
    with open(path) as file:
        taken = _lock(file, shared=True)
    return None if taken is None else not taken


def lock_holder(path: Path) -> str | None:
    """The process that holds the lock file `path`, in words; None where none is known to hold it."""
    try:
        return (path.read_text() or "another process") if is_locked(path) else None
    except OSError:
        return None


def _lock(file: IO[str], shared: bool = False) -> bool | None:
    """Whether the file could be locked; None where the system or the disk has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:  # some network disks say EACCES for a file that is locked
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True

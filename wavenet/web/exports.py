"""Exported files of the sources, made when they are first asked for and again when the checkpoint has changed.

While a new one is made, the old one is given.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from wavenet.errors import CheckpointError
from wavenet.generation.format import is_exported
from wavenet.web.sources import Snapshot, Source, snapshot

Export = Callable[[Path], Awaitable[bytes]]
"""Turns a checkpoint into the bytes of an exported file. Raises CheckpointError."""


@dataclass(frozen=True)
class Exported:
    """The bytes of an exported file, and the checkpoint that they were made from."""

    data: bytes
    origin: Snapshot

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.data).hexdigest()[:20]}"'


class Exports:
    """At most one export of a source is under way at a time."""

    def __init__(self, export: Export) -> None:
        self._export = export
        self._kept: dict[Path, Exported] = {}
        self._refused: dict[Path, Snapshot] = {}
        self._underway: dict[Path, asyncio.Task[None]] = {}

    def state(self, source: Source) -> Snapshot | None:
        """What `get` gives: the checkpoint of the export that is kept, or else the one on the disk, with the reason why
        it cannot be exported."""
        if (kept := self._kept.get(source.path)) is not None:
            return kept.origin
        now, refused = snapshot(source), self._refused.get(source.path)
        return refused if now and refused and refused.version == now.version else now

    async def get(self, source: Source) -> Exported:
        """The export that is kept, or the first. Raises CheckpointError if there is none and it cannot be made."""
        if source.path not in self._kept:
            await self._made(source)
        if (kept := self._kept.get(source.path)) is None:
            refused = self.state(source)
            raise CheckpointError((refused and refused.refusal) or "it has no checkpoint yet")
        return kept

    def renew(self, source: Source) -> None:
        """Begin a new export if one is kept and the checkpoint has changed since. Returns at once."""
        kept, now = self._kept.get(source.path), snapshot(source)
        if kept is None or now is None or now.refusal is not None:
            return
        refused = self._refused.get(source.path)
        if now.version not in (kept.origin.version, refused and refused.version):
            self._begin(source)

    async def _made(self, source: Source) -> None:
        await asyncio.shield(self._begin(source))  # a listener who leaves does not end it for the others

    def _begin(self, source: Source) -> asyncio.Task[None]:
        if (task := self._underway.get(source.path)) is None:
            task = self._underway[source.path] = asyncio.create_task(self._make(source))
            task.add_done_callback(lambda _: self._underway.pop(source.path))
        return task

    async def _make(self, source: Source) -> None:
        """Keep a new export, or the reason why there is none."""
        now = snapshot(source)
        if now is None or now.refusal is not None:
            return
        with contextlib.suppress(OSError):  # it has gone since
            try:
                data = now.file.read_bytes() if is_exported(now.file) else await self._export(now.file)
                self._kept[source.path] = Exported(data, now)
            except CheckpointError as error:
                self._refused[source.path] = replace(now, refusal=str(error))

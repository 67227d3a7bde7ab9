"""A copy of prepared audio in a store such as s3, which several machines share: `data.cache_dir=s3://bucket/cache`.

Training reads a local copy. What another machine has prepared is fetched, and what is prepared here is added, shard by
shard, the index last. Shards have names of their own and never change, so machines that prepare at the same time only
add to the store; the index is that of the last of them. Nothing is removed from the store.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from wavenet.errors import AudioError
from wavenet.files import atomic
from wavenet.recordings import shards
from wavenet.recordings.shards import INDEX, Line


class Remote:
    """The folder `name` below an address that fsspec knows. All methods raise AudioError if it cannot be used."""

    def __init__(self, address: str, name: str) -> None:
        self.address = address
        with self._told():
            import fsspec

            self._store, root = fsspec.core.url_to_fs(address)
            self._root = f"{root.rstrip('/')}/{name}"

    def exists(self) -> bool:
        with self._told():
            return self._store.exists(f"{self._root}/{INDEX}")

    def pull(self, place: Path, recordings: str, names: Iterable[str], fits: Callable[[Line], bool]) -> Iterator[Line]:
        """Fetch the shards that hold recordings of these names whose lines fit, and give the lines whose codes have
        their checksums, when they are in the index of the folder `place`."""
        names = set(names)
        if not names or not self.exists():
            return
        with self._told():
            lines = shards.parse(self._store.cat_file(f"{self._root}/{INDEX}"))
        wanted: dict[str, list[Line]] = {}
        for line in lines.values():
            if line.name in names and fits(line) and line.lasting:
                wanted.setdefault(line.shard, []).append(line)
        with shards.Index(place, recordings) as index:
            for shard, found in wanted.items():
                if shard and not (place / shard).exists():
                    with self._told(), contextlib.suppress(FileNotFoundError), atomic(place / shard) as temporary:
                        self._store.get_file(f"{self._root}/{shard}", str(temporary))
                bad = {line.name for line in shards.damaged(place, found)}
                for line in found:
                    if line.name not in bad:
                        index.append(line)
                        yield line

    def push(self, place: Path) -> None:
        """Add the shards of the folder `place` that are not in the store, then the index."""
        with self._told():
            bucket = self._root.split("/")[0]  # empty for stores of folders, whose paths begin with a slash
            if bucket and not self._store.exists(bucket):
                raise FileNotFoundError(f"there is no {bucket}")
            self._store.makedirs(self._root, exist_ok=True)
            there: set[str] = set()
            with contextlib.suppress(FileNotFoundError):  # stores like s3 have no empty folders
                there = {path.rsplit("/", 1)[-1] for path in self._store.ls(self._root, detail=False, refresh=True)}
            for shard in sorted({line.shard for line in shards.read(place).values()} - there - {""}):
                self._store.put_file(str(place / shard), f"{self._root}/{shard}")
            self._store.pipe_file(f"{self._root}/{INDEX}", (place / INDEX).read_bytes())

    @contextlib.contextmanager
    def _told(self) -> Iterator[Any]:
        try:
            yield
        except ImportError as error:
            raise AudioError(f"data.cache_dir: {self.address} needs another package ({error})") from error
        except Exception as error:  # each store has its own
            reason = f"{type(error).__name__}: {error}".replace("\n", " ")
            raise AudioError(f"data.cache_dir: {self.address} cannot be used ({reason})") from error

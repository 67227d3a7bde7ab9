"""A cache in a store that several machines share: fetched, added to, never trusted without its checksums."""

from pathlib import Path

import fsspec
import pytest
import soundfile
from conftest import tone

from wavenet.config import DataConfig
from wavenet.errors import AudioError
from wavenet.recordings import building, shards
from wavenet.recordings.preparation import Prepared, prepare


@pytest.fixture(params=["memory", "file"])
def address(request, tmp_path):
    yield {"memory": "memory://bucket/cache", "file": f"file://{tmp_path}/store"}[request.param]
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def machine(tmp_path, monkeypatch, address):
    """Prepares the folder with a local cache of its own, and counts what is decoded."""
    (tmp_path / "sounds").mkdir()
    for number in range(4):
        soundfile.write(tmp_path / "sounds" / f"{number}.wav", tone(300 + number, 16000, 0.5), 16000)
    decode = building.decode

    def run(name: str, progress=None) -> tuple[Prepared, list[str]]:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        decoded: list[str] = []

        def noting(item, **settings):
            decoded.append(item[0].name)
            return decode(item, **settings)

        monkeypatch.setattr(building, "decode", noting)
        return prepare(DataConfig(dir=str(tmp_path / "sounds"), cache_dir=address, workers=1), progress), decoded

    return run


def in_store(address: str, pattern: str) -> list[str]:
    store, root = fsspec.core.url_to_fs(address)
    return sorted(store.glob(f"{root}/*/{pattern}"))


def test_a_second_machine_decodes_nothing(machine, address):
    first, decoded = machine("one")
    assert len(decoded) == 4
    second, decoded = machine("two")
    assert decoded == []
    assert second.recordings == first.recordings
    assert bytes(second.codes[:]) == bytes(first.codes[:])
    assert second.cache != first.cache
    assert len(in_store(address, "*.codes")) == 1
    assert second.notes == []


def test_what_one_machine_adds_the_other_gets(machine, address, tmp_path):
    machine("one"), machine("two")
    soundfile.write(tmp_path / "sounds" / "new.wav", tone(900, 16000, 0.5), 16000)
    assert machine("two")[1] == ["new.wav"]
    found, decoded = machine("one")
    assert (len(found.recordings), decoded) == (5, [])
    assert len(in_store(address, "*.codes")) == 2


def test_an_interrupted_preparation_is_continued_by_another_machine(machine, monkeypatch):
    monkeypatch.setattr(shards, "SHARD", 8000)

    def interrupt(done, count):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        machine("one", interrupt)
    _, decoded = machine("two")
    assert decoded == ["2.wav", "3.wav"]


def test_a_flipped_bit_in_the_store_is_told_and_a_missing_shard_made_again(machine, address):
    first, _ = machine("one")
    (shard,) = in_store(address, "*.codes")
    store, _ = fsspec.core.url_to_fs(address)
    content = bytearray(store.cat_file(shard))
    content[9000] ^= 4
    store.pipe_file(shard, bytes(content))
    second, decoded = machine("two")
    assert decoded == ["1.wav"]
    assert bytes(second.codes[:]) == bytes(first.codes[:])
    store.rm_file(shard)
    third, decoded = machine("three")
    assert sorted(decoded) == ["0.wav", "2.wav", "3.wav"]
    assert bytes(third.codes[:]) == bytes(first.codes[:])


def test_what_was_prepared_before_there_was_a_store_is_added_to_it(machine, address, tmp_path):
    machine("one")
    store, root = fsspec.core.url_to_fs(address)
    store.rm(root, recursive=True)
    assert machine("one")[1] == []
    assert machine("two")[1] == []
    assert len(in_store(address, shards.INDEX)) == 1


@pytest.mark.parametrize("content", [b"", b"\xff\n{}\n"])
def test_a_damaged_index_in_the_store_is_replaced(machine, address, content):
    machine("one")
    store, _ = fsspec.core.url_to_fs(address)
    (index,) = in_store(address, shards.INDEX)
    store.pipe_file(index, content)
    assert len(machine("two")[1]) == 4
    assert machine("three")[1] == []


@pytest.mark.parametrize("address", ["nosuch://bucket/x", "ftp://127.0.0.1:9/x", "file:///proc/nowhere"])
def test_a_store_that_cannot_be_used_is_told(tmp_path, monkeypatch, address):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "local"))
    soundfile.write(tmp_path / "a.wav", tone(300, 16000, 0.5), 16000)
    with pytest.raises(AudioError, match=rf"data\.cache_dir: {address} (cannot be used|needs another package) \("):
        prepare(DataConfig(dir=str(tmp_path), cache_dir=address))


def test_the_command_takes_an_address(call, tmp_path):
    status, _, err = call("cache", "cache_dir=s3://bucket/cache")
    assert status == 1
    assert err.startswith("error: cache_dir: s3://bucket/cache is not on this machine")
    assert not Path("s3:").exists()

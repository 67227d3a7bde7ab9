"""What changes under a run: its recordings, its cache, another run on the same cache, and the clock."""

import json
import os
import shutil
import time
import zlib
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
import victim
from mutations import altered, cut, rearranged, strange
from outcomes import differences, outcome
from tally import Tally, lengths, tally
from test_full_disk import _no_pictures, folder, whole

from wavenet.config import DataConfig
from wavenet.errors import AudioError
from wavenet.recordings import shards
from wavenet.recordings.preparation import prepare
from wavenet.training import Reporter, train

__all__ = ["_no_pictures", "folder", "tally", "whole"]  # fixtures


class Change(Reporter):
    """Does something after the third step."""

    def __init__(self, what) -> None:
        self.what = what

    def step(self, step, *_):
        if step == 3:
            self.what()


@pytest.fixture
def own(folder, tmp_path) -> Path:
    """Recordings and a cache that a test may take away."""
    shutil.copytree(folder / "recordings", tmp_path / "recordings")
    return tmp_path


@pytest.mark.parametrize("what", ["the recordings", "the cache", "one recording"])
def test_what_is_taken_away_while_a_run_learns(own, whole, what):
    """It has what it needs open; only a new start needs it again."""

    def change() -> None:
        if what == "one recording":
            (own / "recordings/0.wav").write_bytes(b"RIFF nothing")
        else:
            shutil.rmtree(own / ("recordings" if what == "the recordings" else "cache"))

    torch.manual_seed(0)
    config = victim.settings(own, own / "run")
    train(config, own / "run", Change(change))
    assert not [name for name in differences(outcome(whole), outcome(own / "run")) if "config" not in name]
    if what == "the recordings":
        with pytest.raises(AudioError, match=r"recordings does not exist"):
            prepare(config.data)
    elif what == "one recording":
        assert [skipped.name for skipped in prepare(config.data).skipped] == ["0.wav"]
    else:
        assert len(prepare(config.data).recordings) == 5


def damaged_index(good: bytes, chance: Random) -> bytes:
    """One with a line that tells something else, under a right checksum; or with any damage."""
    if chance.random() < 0.5:
        return chance.choice([altered, cut, rearranged])(good, chance)
    rows = good.splitlines()
    at = chance.randrange(len(rows))
    told = strange(json.loads(rows[at][9:]), chance) if rows[at] else {}
    text = json.dumps(told).encode()
    rows[at] = b"%08x %s" % (zlib.crc32(text), text)
    return b"\n".join(rows) + b"\n"


@lengths(60, 2000)
def test_a_damaged_cache(tally: Tally, count, own):
    """A bit of a shard is flipped, a shard is cut, or the index tells something else: the codes are those of before."""
    config = victim.settings(own, own / "run").data
    whole = prepare(config)
    codes, kept = np.array(whole.codes), whole.cache
    shard = next(kept.glob("*.codes")).name
    good = {name: (kept / name).read_bytes() for name in (shards.INDEX, shard)}
    for seed in range(count):
        chance = Random(seed)
        for path in kept.iterdir():
            path.unlink()
        for name, content in good.items():
            (kept / name).write_bytes(content)
        if chance.random() < 0.5:
            at, content = chance.randrange(len(good[shard])), bytearray(good[shard])
            content[at] ^= 1 << chance.randrange(8)
            flipped = chance.random() < 0.7
            (kept / shard).write_bytes(content if flipped else good[shard][:at])
            how = "a bit of a shard" if flipped else "a cut shard"
        else:
            (kept / shards.INDEX).write_bytes(damaged_index(good[shards.INDEX], chance))
            how = "the index"
        try:
            found = prepare(config)
            same = np.array_equal(found.codes, codes) and bool(found.report())
            noted = how != "a bit of a shard" or any("checksum" in note for note in found.notes)
        except Exception as error:
            tally.lose(f"{seed}: {how}: {error!r}")
            continue
        tally.survived(f"{how}, read again") if same and noted else tally.lose(f"{seed}: {how}: other codes")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="these processes are forked")
@lengths(2, 50)
def test_two_runs_that_prepare_one_folder_at_once(tally: Tally, count, own):
    config = victim.settings(own, own / "run").data
    expected = prepare(config)
    codes, root = np.array(expected.codes), expected.cache.parent
    for _ in range(count):
        shutil.rmtree(root)
        children = []
        for _ in range(3):
            if (child := os.fork()) == 0:
                status = 1
                try:
                    status = 0 if np.array_equal(prepare(config).codes, codes) else 2
                finally:
                    os._exit(status)
            children.append(child)
        ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        left = sorted(os.listdir(root))
        if ended == [0, 0, 0] and left == [expected.cache.name]:
            tally.survived()
        else:
            tally.lose(f"{ended}, {left}")


def test_a_clock_that_is_set_back(own, whole, monkeypatch):
    """By a year, in the middle of a run; and files that were made in the future."""
    real, back = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() - back[0])

    def change() -> None:
        back[0] = 365 * 24 * 3600.0

    torch.manual_seed(0)
    config = victim.settings(own, own / "run")
    train(config, own / "run", Change(change))
    assert not [name for name in differences(outcome(whole), outcome(own / "run")) if "config" not in name]
    kept = prepare(config.data).cache
    shutil.copytree(own / "recordings", own / "others")
    other = prepare(DataConfig(str(own / "others"), sample_rate=victim.RATE, cache_dir=config.data.cache_dir)).cache
    assert kept.exists()
    assert other.exists()

"""What changes under a run: its recordings, its cache, another run on the same cache, and the clock."""

import json
import os
import shutil
import time
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
import victim
from mutations import altered, cut, strange
from outcomes import differences, outcome
from tally import Tally, lengths, tally
from test_full_disk import _no_pictures, folder, refused, trained, whole

from wavenet.config import DataConfig
from wavenet.errors import AudioError
from wavenet.files import is_locked
from wavenet.recordings import cache
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


@lengths(60, 2000)
def test_a_damaged_cache(tally: Tally, count, own):
    """Its index is altered or cut, or its codes are; a run says so, or works with what is whole."""
    config = victim.settings(own, own / "run").data
    kept = prepare(config).cache
    good = {name: (kept / name).read_bytes() for name in (cache.INDEX, "codes")}
    for seed in range(count):
        chance = Random(seed)
        for name, content in good.items():
            (kept / name).write_bytes(content)
        name = chance.choice([cache.INDEX, cache.INDEX, "codes"])
        if name == "codes":
            content = cut(good[name], chance)
        elif chance.random() < 0.5:
            content = json.dumps(strange(json.loads(good[name]), chance)).encode()
        else:
            content = chance.choice([altered, cut])(good[name], chance)
        (kept / name).write_bytes(content)
        found: list = []
        if refused(lambda found=found: found.append(prepare(config))):
            tally.survived("refused in words")
            continue
        assert all(
            np.asarray(found[0].codes[r.start : r.start + r.samples]).size == r.samples for r in found[0].recordings
        )
        assert found[0].report()
        tally.survived("used")


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
    assert is_locked(own / "run/.lock") if (own / "run/.lock").exists() else True

"""Sounds on the way: of what is held out, as long as is asked for, judged, and cut short by a signal."""

import json

import pytest
import soundfile
import torch
from test_processes import RATE, folder
from test_training_data import data

from wavenet import audio
from wavenet.model.wavenet import WaveNet
from wavenet.training import samples
from wavenet.training.metrics import RunLog
from wavenet.training.samples import Samples

__all__ = ["data", "folder"]  # fixtures


@pytest.fixture
def model(data) -> WaveNet:
    torch.manual_seed(0)
    made = WaveNet(data.model)
    made.conditioning.features.standardise(data.some_frames())
    return made


@pytest.fixture
def log(tmp_path):
    made = RunLog(tmp_path / "run", RATE)
    yield made
    made.close()


class Bare:
    """Records without pictures, which take long to draw."""

    def __init__(self, folder) -> None:
        self.folder = folder

    def sound(self, step, path, recording):
        return audio.read(path, RATE)

    def learned(self, *_) -> None:
        pass

    scalars = learned


def test_a_sound_its_pictures_and_a_verdict_are_left(data, model, log):
    lines = []
    Samples(data, log, seconds=0.6, seed=3, say=lines.append).make(model, 7, held_out_bits=5.0, progress=lambda _: None)
    made = log.folder / "samples" / "step_000007.wav"
    assert soundfile.info(made).frames == round(0.6 * RATE)
    for picture in (made.with_suffix(".png"), log.folder / "labels.png", log.folder / "features.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
    assert any(line.startswith("step 7: the generated sound is noise") for line in lines)
    row = json.loads(log.path.read_text().splitlines()[-1])
    assert row["step"] == 7
    assert {"sample/level", "sample/pitch", "sample/bits"} <= set(row)


def test_it_is_made_of_what_is_held_out(data, model, tmp_path, monkeypatch):
    """Along its features and with its labels, but hearing itself alone."""
    told = []
    conditions = samples.Conditions
    monkeypatch.setattr(samples, "Conditions", lambda *given: told.append(given[1]) or conditions(*given))
    Samples(data, Bare(tmp_path), 0.01, 3, lambda _: None).make(model, 1, None, lambda _: None)
    ((companion,),) = told
    (span,) = data.sides.valid
    assert torch.equal(companion.labels, data.annotations.labels(span.recording))
    assert companion.codes is None


def test_a_signal_cuts_it_short(data, model, tmp_path):
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    Samples(data, Bare(tmp_path), 3.0, 3, lambda _: None).make(model, 1, None, stop)
    assert 0 < soundfile.info(tmp_path / "samples" / "step_000001.wav").frames < 3 * RATE

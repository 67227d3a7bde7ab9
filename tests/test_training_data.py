"""What a run learns from: read once, told apart by a fingerprint, and announced before the first step."""

import dataclasses

import numpy as np
import pytest
import soundfile
from test_processes import RATE, folder, settings

from wavenet.config import FeatureConfig
from wavenet.errors import AudioError
from wavenet.model.wavenet import WaveNet
from wavenet.training import announcements
from wavenet.training.data import TrainingData, read
from wavenet.training.processes import Processes

__all__ = ["folder"]  # a fixture


@pytest.fixture(scope="module")
def data(folder) -> TrainingData:
    config = settings(folder)
    config.model.features = FeatureConfig(kinds=["mel"], hop=40, window=160, mels=8)
    return read(config, lambda *_: None)


def test_a_fingerprint_tells_recordings_apart(data):
    prepared = data.prepared
    fewer = dataclasses.replace(data, prepared=dataclasses.replace(prepared, recordings=prepared.recordings[1:]))
    assert data.fingerprint == dataclasses.replace(data).fingerprint
    assert data.fingerprint["count"] == fewer.fingerprint["count"] + 1 == 20
    assert data.fingerprint["digest"] != fewer.fingerprint["digest"]


def test_everything_held_out_is_one_line(tmp_path):
    config = settings(tmp_path)
    config.data.labels, config.data.frames = [], None
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(4000) / 3), RATE)
    (tmp_path / "metadata.csv").write_text("file_name,split\na.wav,valid\n")
    with pytest.raises(AudioError, match="held out, so none is left to train on"):
        read(config, lambda *_: None)


def test_a_run_is_announced(data, tmp_path):
    lines = announcements.recordings(tmp_path, data, "auto")
    assert lines[0] == f"run folder: {tmp_path}"
    assert lines[-1] == "training on 3 seconds, validating on 1 second"
    (line,) = announcements.network(WaveNet(data.model), RATE, Processes(), "float32")
    assert line.endswith("parameters, receptive field 16 samples = 4 ms; cpu, float32")


@pytest.mark.parametrize(
    ("fraction", "said"), [(0.1, "mark some as valid in metadata.csv"), (0.0, "set data.valid_fraction above 0")]
)
def test_nothing_held_out_is_said(fraction, said):
    assert announcements.baselines(None, fraction) == f"there is no validation part, so nothing is measured; {said}"

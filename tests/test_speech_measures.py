"""The arithmetic of scripts/speech.py: error rates, prosody, mel inversion; and the listeners, where installed."""

import itertools
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import QUICK
from hypothesis import given
from hypothesis import strategies as st

from wavenet import audio
from wavenet.audio import features
from wavenet.config import FeatureConfig
from wavenet.errors import CheckpointError
from wavenet.evaluation import fidelity

SCRIPTS = Path(__file__).parents[1] / "scripts"
sys.path.append(str(SCRIPTS))
import griffin_lim  # noqa: E402
import hearing  # noqa: E402
import prosody  # noqa: E402
import speech  # noqa: E402
from resynthesis import Contest, Utterance  # noqa: E402

RATE = 16000
LISTENS = pytest.mark.skipif(bool(hearing.missing()), reason="the listeners are not installed: make measures")
UNITS = st.lists(st.sampled_from("abc"), max_size=6)


# ---- words and phones


@pytest.mark.parametrize(
    ("expected", "heard", "edits"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("ab", "ba", 2)],
)
def test_edits(expected, heard, edits):
    assert hearing.edits(expected, heard) == edits


@given(UNITS, UNITS, UNITS)
def test_edits_are_a_distance(a, b, c):
    assert hearing.edits(a, b) == hearing.edits(b, a) <= max(len(a), len(b))
    assert (hearing.edits(a, b) == 0) == (a == b)
    assert hearing.edits(a, c) <= hearing.edits(a, b) + hearing.edits(b, c)


def test_an_error_rate_weighs_sounds_by_their_length():
    assert hearing.error_rate([(["a"] * 9, ["a"] * 9), (["b"], ["c"])]) == pytest.approx(0.1)
    assert hearing.error_rate([(["a"], ["a", "b", "c"])]) == 2
    assert hearing.error_rate([([], ["a"])]) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Author of the danger trail, Philip Steels, etc.", "author of the danger trail philip steels etc"),
        ("It\u2019s a WELL-known 'caf\u00e9'.", "it's a well known cafe"),
        ("Dr. Jones & Mrs. Smith: 50%", "doctor jones and missus smith fifty percent"),
        ("The 21st of 1,984", "the twenty first of one thousand nine hundred eighty four"),
        ("300,000 and 0", "three hundred thousand and zero"),
        ("a_b \u2014 ...", "a b"),
        ("", ""),
    ],
)  # fmt: skip
def test_words_as_they_are_compared(text, words):
    assert hearing.words(text) == words.split()


@given(st.text("aZ0 19'\u2019,-&%.\u00e9\u00df_"))
def test_words_of_any_text_are_their_own_words(text):
    assert all(hearing.words(word) == [word] for word in hearing.words(text) if word.isascii())


def test_numbers_in_words():
    assert list(map(hearing.cardinal, (0, 13, 18, 40))) == ["zero", "thirteen", "eighteen", "forty"]
    assert list(map(hearing.ordinal, (1, 5, 12, 20))) == ["first", "fifth", "twelfth", "twentieth"]
    assert hearing.ordinal(2_000_103) == "two million one hundred third"


# ---- prosody


def test_the_measures_of_durations():
    true = np.array([0.05, 0.10, 0.20, 0.08])
    found = prosody.compare(durations=(true, true + 0.01))
    assert found == {"duration_rmse": pytest.approx(10), "duration_correlation": pytest.approx(1)}
    assert prosody.compare(durations=(true, 0.3 - true))["duration_correlation"] == pytest.approx(-1)
    assert prosody.compare(durations=(true, np.full(4, 0.1)))["duration_correlation"] is None


def test_the_measures_of_pitch():
    true = np.array([0, 100, 200, 400, 150])
    found = prosody.compare(f0=(true, np.array([90, 200, 200, 400, 0])))
    assert found["f0_cents"] == pytest.approx(1200 / math.sqrt(3))
    assert found["f0_cents_median"] == 0
    assert found["f0_rmse"] == pytest.approx(100 / math.sqrt(3))
    assert found["f0_correlation"] == pytest.approx(np.corrcoef([100, 200, 400], [200, 200, 400])[0, 1])
    assert found["voicing_error"] == pytest.approx(2 / 5)
    assert set(prosody.compare(f0=(np.zeros(3), np.ones(3))).values()) == {None, 1.0}


def test_cepstral_distortion_is_the_difference_of_smooth_spectra_in_decibels():
    mel, bands = np.random.default_rng(0).normal(size=(7, 80)), (np.arange(80) + 0.5) / 80
    assert prosody.compare(mel=(mel, mel + 3))["mcd"] == pytest.approx(0)  # as loud again
    for order in (1, 24):
        rippled = mel + 0.5 * np.cos(math.pi * order * bands)
        expected = 20 / math.log(10) * 0.5 / math.sqrt(2)
        assert prosody.compare(mel=(mel, rippled))["mcd"] == pytest.approx(expected)
    assert prosody.compare(mel=(mel, mel + np.cos(math.pi * 25 * bands)))["mcd"] == pytest.approx(0)


def test_pairs_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match=r"durations: .*\(2,\).*\(3,\)"):
        prosody.compare(durations=(np.ones(2), np.ones(3)))


# ---- Griffin-Lim


def voice(seconds: float = 1.0) -> torch.Tensor:
    """A gliding tone of ten harmonics."""
    time = torch.arange(int(RATE * seconds)) / RATE
    phase = 2 * math.pi * (120 * time + 20 * time.square())
    return 0.1 * torch.stack([torch.sin(k * phase) / k for k in range(1, 11)]).sum(dim=0)


def frames(sound: torch.Tensor, config: FeatureConfig) -> torch.Tensor:
    codes = features.encoding_of(np.zeros(0, np.uint8)).encode(sound).numpy().astype(np.uint8)
    return torch.from_numpy(features.frames(codes, config, RATE, Path()))


@pytest.mark.parametrize("config", [FeatureConfig(kinds=["mel"], hop=80, window=400, mels=80, hold=5)])
def test_inverted_frames_are_the_same_frames(config):
    log_mel = frames(voice(), config)
    magnitudes = griffin_lim.linear(log_mel, config, RATE)
    assert magnitudes.shape == (201, len(log_mel))
    assert magnitudes.min() >= 0
    bank = features.mel_bank(201, 80, RATE)
    again = torch.log(magnitudes.t() @ bank * (2 / torch.hann_window(400).sum()) + features.LEAST_MAGNITUDE)
    assert float((again - log_mel).abs().mean()) < 0.02


def test_griffin_lim_lies_where_the_recording_does():
    config, recording = FeatureConfig(kinds=["mel"], hop=80, window=400, mels=80), voice()
    made = griffin_lim.sound(frames(recording, config), config, RATE, len(recording))
    assert len(made) == len(recording)
    assert torch.equal(made, griffin_lim.sound(frames(recording, config), config, RATE, len(recording)))
    bursts = recording * (torch.arange(len(recording)) % 1600 < 400)
    made = griffin_lim.sound(frames(bursts, config), config, RATE, len(bursts))
    distances = {late: fidelity.stft_distance(bursts, made.roll(late)) for late in (-20, 0, 20)}
    assert min(distances, key=distances.__getitem__) == 0
    made = griffin_lim.sound(frames(recording, config), config, RATE, len(recording))
    f0, again = speech._frames(recording, made, RATE)["f0"]
    assert prosody.compare(f0=(f0.numpy(), again.numpy()))["f0_cents_median"] < 5


# ---- the command


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["speech.py", *arguments])
    speech.main()


@pytest.fixture
def deaf(monkeypatch):
    """Listeners that are not installed."""
    monkeypatch.setattr(hearing, "PACKAGES", dict.fromkeys(hearing.PACKAGES, ("no_such_package",)))
    monkeypatch.setattr(hearing, "missing", lambda: ["hama", "no_such_package"])


@pytest.mark.usefixtures("deaf")
def test_a_folder_of_sounds_beside_its_recordings(tmp_path, monkeypatch, capsys):
    for place in ("made/her", "true/her"):
        (tmp_path / place).mkdir(parents=True)
        audio.write(tmp_path / place / "a.wav", voice(0.6), RATE)
    (tmp_path / "t.csv").write_text("file_name,text,split\nher/a.flac,Hello,valid\nb.wav,Bye,train\n")
    where = [f"folder={tmp_path}/made", f"recordings={tmp_path}/true", f"texts={tmp_path}/t.csv"]
    run(monkeypatch, "sounds", *where, "split=valid", f"report={tmp_path}/r.json")
    assert "no_such_package" in capsys.readouterr().out
    [row] = json.loads((tmp_path / "r.json").read_text())["rows"]
    assert (row["name"], row["f0_cents"], row["voicing_error"], row["mcd"]) == ("made", 0, 0, 0)
    assert row["word_error_rate"] is None
    assert row["sounds"] == [{"name": "her/a", "text": "Hello"}]
    with pytest.raises(SystemExit, match="no sounds that"):
        run(monkeypatch, "sounds", *where, "split=train")
    with pytest.raises(SystemExit, match="python scripts/speech"):
        run(monkeypatch, "sounds", *where, "unheard=of")


@pytest.mark.usefixtures("deaf")
def test_recordings_made_again(call, tones, monkeypatch, capsys):
    more = ["experiment=vocoder", "minutes=null", "precision=float32", *QUICK]
    status, _, err = call("train", f"data.dir={tones}", "run.dir=v", *more)
    assert (status, err) == (0, "")
    run(
        monkeypatch, "vocoder", f"data.dir={tones}", "checkpoint=v", "count=1", "output=kept", "report=r.json",
        "precision=float32",
    )  # fmt: skip
    rows = {row["name"]: row for row in json.loads(Path("r.json").read_text())["rows"]}
    assert list(rows) == ["recordings", "their codes", "Griffin-Lim", "model, step 3"]
    distances = [row["log_spectral_distance"] for row in rows.values()]
    assert distances == sorted(distances)
    assert distances[0] == 0
    kept = sorted(Path("kept").rglob("*.wav"))
    assert [path.parent.name for path in kept] == ["Griffin-Lim", "model-step-3", "recordings", "their-codes"]
    assert len({audio.probe(path).samples for path in kept}) == 1
    assert "step 3" in capsys.readouterr().out


@LISTENS
def test_the_listeners_understand_a_recording():
    sound = audio.read(SCRIPTS.parent / "data" / "allison" / "conf-invalidpin.flac", RATE)
    natural = [Utterance("a", sound, "That pin is invalid for this conference.", sound)]
    row = speech.measure("natural", Contest({"natural": natural}, RATE), speech.Listeners())
    assert row["word_error_rate"] == row["phone_error_rate_to_recording"] == 0
    assert row["phone_error_rate"] < 0.2
    assert 3 < row["opinion"] < 5


@pytest.mark.usefixtures("deaf")
def test_phones_of_any_language_are_heard_by_a_recogniser(call, tones, trained, tmp_path):
    """A network that recognises whole recordings hears the same phones in them one by one, without stress."""
    recordings = sorted(shutil.copytree(tones, tmp_path / "tones").glob("*.flac"))
    with open(tmp_path / "tones" / "phones.csv", "w") as table:
        table.write("file_name,start_sample,end_sample,phone\n")
        for path, (number, phone) in itertools.product(recordings, enumerate(("\u02c8a", "SIL", "b"))):
            length = audio.probe(path).samples
            table.write(f"{path.name},{length * number // 3},{length * (number + 1) // 3},{phone}\n")
    more = ["experiment=phones", "minutes=null", "precision=float32", *QUICK, "crop=4000"]
    assert call("train", "data.dir=tones", "run.dir=r", *more)[::2] == (0, "")
    hear = hearing.recogniser(Path("r"))
    assert call("recognise", "checkpoint=r", "data.dir=tones", "output=heard.csv", "split=all")[::2] == (0, "")
    rows = [line.split(",") for line in Path("heard.csv").read_text().splitlines()[1:]]
    assert {name for name, *_ in rows} == {path.name for path in recordings}
    for path in recordings:
        rate = audio.probe(path).sample_rate
        heard = [phone.strip("\u02c8") for name, *_, phone in rows if name == path.name and phone != "SIL"]
        assert hear(audio.read(path, rate), rate) == heard
    with pytest.raises(CheckpointError, match="does not recognise phones"):
        hearing.recogniser(trained)

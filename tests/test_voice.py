"""The front door for Python: a voice makes the commands' sounds, measures, is saved and exported."""

import itertools
import json
import sys

import numpy as np
import pytest
import soundfile
import torch
from conftest import tone

import wavenet
from wavenet import audio
from wavenet.config import ContextConfig, DataConfig, FeatureConfig, ModelConfig
from wavenet.errors import AudioError, CheckpointError, ConfigError
from wavenet.model import checkpoint, native
from wavenet.model.wavenet import WaveNet

RATE = 8000
SMALL = {"stacks": 1, "layers_per_stack": 5, "residual_channels": 8, "gate_channels": 8, "skip_channels": 8}
KINDS = {
    "plain": {},
    "labels": {"labels": {"speaker": ["carlo", "june"], "tags": ["loud", "slow"]}},
    "features": {"features": FeatureConfig(["mel"], hop=40, window=64, mels=6)},
    "context": {"context": ContextConfig([32], layers=2, channels=4)},
    "mixture": {"mixtures": 3},
}
built = pytest.mark.skipif(native.code() is None, reason="the kernels are not built")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A checkpoint of each kind of random network, and a recording."""
    folder = tmp_path_factory.mktemp("voices")
    for name, settings in KINDS.items():
        torch.manual_seed(1)
        model = WaveNet(ModelConfig(**SMALL, **settings, condition_channels=4))
        for parameter in model.parameters():
            parameter.data += 0.2 * torch.randn_like(parameter)
        checkpoint.save(folder / f"{name}.safetensors", model, RATE, 7, 5.25, DataConfig())
    soundfile.write(folder / "tone.wav", tone(300, RATE, 0.4), RATE)
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """int8's scales are measured on less sound."""
    for name, value in (("MADE", 512), ("SAMPLES", 64), ("CANDIDATES", 4)):
        monkeypatch.setattr(f"wavenet.generation.calibration.{name}", value)


def voice(files, kind="plain") -> wavenet.Voice:
    return wavenet.load(files / f"{kind}.safetensors")


ASKED = {
    "plain": [{}, {"temperature": 0.8, "top_k": 40}, {"count": 2, "engine": "cached"}, {"precision": "bfloat16"}],
    "labels": [{"labels": {"speaker": "june", "tags": ["slow", "loud"]}, "guidance": 2.0}],
    "features": [{"features": "tone.wav"}],
    "context": [{"prime": "tone.wav", "top_p": 0.9}],
    "mixture": [{"prime": "tone.wav"}],
}


@pytest.mark.parametrize(("kind", "settings"), [(kind, how) for kind, hows in ASKED.items() for how in hows])
def test_it_makes_the_samples_of_the_command(files, call, kind, settings, monkeypatch, tmp_path):
    path = files / f"{kind}.safetensors"
    given = {name: files / value if value == "tone.wav" else value for name, value in settings.items()}
    labels = given.pop("labels", {})
    told = [
        f"label.{name}={value if isinstance(value, str) else f'[{chr(44).join(value)}]'}"
        for name, value in labels.items()
    ]
    words = [f"{name}={value}" for name, value in given.items()]
    status, _, err = call("generate", f"checkpoint={path}", "seed=3", "seconds=0.15", "output=made", *words, *told)
    assert status == 0, err
    monkeypatch.chdir(files)
    sound = wavenet.load(path).generate(0.15, seed=3, labels=labels, **given)
    assert sound.dtype == torch.float32
    assert sound.shape == (given.get("count", 1), 1200)
    written = [
        soundfile.read(tmp_path / "made" / f"seed_{seed}.wav", dtype="int16") for seed in range(3, 3 + len(sound))
    ]
    assert {rate for _, rate in written} == {RATE}
    np.testing.assert_array_equal(
        (sound * 32768).round().clamp(-32768, 32767).numpy(), [values for values, _ in written]
    )


def test_a_stream_is_the_sound_in_pieces_and_may_have_no_end(files):
    one = voice(files)
    pieces = list(one.stream(0.5, seed=2, count=2))
    assert len(pieces) > 1
    assert torch.equal(torch.cat(pieces, dim=1), one.generate(0.5, seed=2, count=2))
    endless = torch.cat(list(itertools.islice(one.stream(seed=2), 50)), dim=1)
    assert endless.shape[1] > 5 * RATE
    assert torch.equal(endless[:, : 5 * RATE], one.generate(seed=2))
    with pytest.raises(ConfigError, match="temperature is -1, but it must be at least 0"):
        one.stream(temperature=-1)
    with pytest.raises(TypeError, match="unknown setting 'tempo'; the settings are seed"):
        one.stream(tempo=1)


def test_a_stream_of_a_model_with_features_ends_with_them(files):
    assert voice(files, "features").generate(features=files / "tone.wav").shape == (1, 3200)
    assert sum(piece.shape[1] for piece in voice(files, "features").stream(features=files / "tone.wav")) == 3200


@pytest.mark.parametrize("engine", ["cached", pytest.param("compiled", marks=built)])
def test_a_prime_may_be_a_file_or_numbers(files, engine):
    one, sound = voice(files), audio.read(files / "tone.wav", RATE)
    how = {"seconds": 0.02, "engine": engine, "precision": "float32"}
    expected = one.generate(prime=files / "tone.wav", **how)
    for given in (str(files / "tone.wav"), sound, sound[None], sound.numpy(), (sound, RATE)):
        assert torch.equal(one.generate(prime=given, **how), expected)
    assert not torch.equal(one.generate(**how), expected)
    twice = torch.from_numpy(tone(300, 2 * RATE, 0.4)).float()
    assert torch.equal(
        one.generate(prime=(twice, 2 * RATE), **how), one.generate(prime=audio.resample(twice, 2 * RATE, RATE), **how)
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (torch.zeros(2, 100), r"prime is a torch.float32 tensor of shape \(2, 100\), but it must be"),
        (torch.zeros(100, dtype=torch.int64), "prime is a torch.int64 tensor"),
        (torch.full((100,), torch.nan), "prime holds NaN or infinite samples"),
        (torch.zeros(0), "prime: the sound given holds no samples"),
        ("gone.wav", "prime: gone.wav cannot be used"),
    ],
)
def test_a_prime_that_is_none(files, given, said):
    with pytest.raises(AudioError, match=said):
        voice(files).generate(prime=given)


def test_features_may_be_frames_or_a_sound(files, tmp_path):
    one, frames = voice(files, "features"), np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32)
    np.save(tmp_path / "frames.npy", frames)
    made = [one.generate(features=given) for given in (tmp_path / "frames.npy", frames, torch.from_numpy(frames))]
    assert made[0].shape == (1, 800)
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])
    sound = audio.read(files / "tone.wav", RATE)
    from_file = one.generate(features=files / "tone.wav")
    assert torch.equal(one.generate(features=sound), from_file)
    assert torch.equal(one.generate(features=sound[None]), from_file)
    with pytest.raises(ConfigError, match="the array has 7 numbers per row, the model 6"):
        one.generate(features=np.zeros((20, 7)))
    with pytest.raises(AudioError, match="not finite"):
        one.generate(features=np.full((20, 6), np.inf))


@pytest.mark.parametrize("kind", KINDS)
def test_bits_are_those_of_the_command(files, call, kind, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "tone.wav").write_bytes((files / "tone.wav").read_bytes())
    how = [
        f"checkpoint={files / kind}.safetensors",
        f"data.dir={tmp_path / 'one'}",
        "report=r.json",
        "use_labels=false",
    ]
    status, _, err = call("evaluate", *how)
    assert status == 0, err
    expected = json.loads((tmp_path / "r.json").read_text())["bits_per_sample"]
    one, sound = voice(files, kind), audio.read(files / "tone.wav", RATE)
    assert one.bits(files / "tone.wav") == pytest.approx(expected, abs=1e-5)
    each = one.bits(sound, per_sample=True)
    assert each.shape == (3200,)
    assert float(each.mean()) == pytest.approx(expected, abs=1e-4)
    assert not each.is_inference()


def test_bits_depend_on_what_is_told(files):
    one, sound = voice(files, "labels"), audio.read(files / "tone.wav", RATE)
    assert (
        one.bits(sound) != one.bits(sound, labels={"speaker": "june"}) != one.bits(sound, labels={"speaker": "carlo"})
    )
    with pytest.raises(ConfigError, match=r"label\.speaker is 'jun', but it must be one of carlo, june"):
        one.bits(sound, labels={"speaker": "jun"})
    with pytest.raises(ConfigError, match="was trained without: leave it out"):
        one.bits(sound, features=sound)


def test_what_is_saved_is_loaded(files, tmp_path):
    one = voice(files)
    again = wavenet.load(one.save(tmp_path / "run" / "checkpoints" / "best.safetensors"))
    for place in ("run", "run/checkpoints"):
        assert wavenet.load(tmp_path / place).path == again.path
    for name in ("sample_rate", "step", "valid_bits", "data", "labels"):
        assert getattr(again, name) == getattr(one, name)
    assert torch.equal(again.generate(0.1), one.generate(0.1))
    with pytest.raises(ConfigError, match=r"must end in \.safetensors"):
        one.save(tmp_path / "model.pt")


@built
def test_what_is_exported_plays_and_refuses_the_rest(files, tmp_path):
    one = voice(files, "labels")
    exported = one.export(tmp_path / "june.wavenet", "float32", {"speaker": "june"})
    for other in (exported, wavenet.load(tmp_path / "june.wavenet")):
        expected = one.generate(0.1, labels={"speaker": "june"}, precision="float32", prime=files / "tone.wav")
        assert torch.equal(other.generate(0.1, prime=files / "tone.wav"), expected)
        assert torch.equal(torch.cat(list(other.stream(0.1, prime=files / "tone.wav")), dim=1), expected)
    for asked, said in (
        (lambda: exported.bits(files / "tone.wav"), "is an exported file, which holds no torch model"),
        (lambda: exported.save(tmp_path / "x.safetensors"), "is an exported file, which holds no torch model"),
        (lambda: exported.export(tmp_path / "x.wavenet"), "is an exported file, which holds no torch model"),
        (lambda: exported.model, "is an exported file, which holds no torch model"),
        (lambda: exported.generate(labels={"speaker": "june"}), "label.speaker is not a label"),
        (lambda: exported.generate(engine="naive"), "only compiled runs it"),
        (lambda: one.export(tmp_path / "x.wav"), r"an exported network is no \.wav file"),
        (lambda: voice(files, "features").export(tmp_path / "x.wavenet"), "has features, which an exported file"),
    ):
        with pytest.raises((CheckpointError, ConfigError), match=said) as error:
            asked()
        assert "\n" not in str(error.value)


@built
def test_an_engine_is_kept_while_nothing_has_changed(files, monkeypatch):
    made, one = [], voice(files, "labels")
    make = wavenet.generation.performance.make_engine
    monkeypatch.setattr("wavenet.generation.performance.make_engine", lambda *how: made.append(1) or make(*how))
    first = one.generate(0.1)
    assert torch.equal(one.generate(0.1), first)
    assert not torch.equal(one.generate(0.1, seed=1, temperature=0.5), first)
    assert len(made) == 1
    june = one.generate(0.1, labels={"speaker": "june"})
    with torch.no_grad():
        one.model.output.weight.data += torch.randn_like(one.model.output.weight)
    assert not torch.equal(one.generate(0.1, labels={"speaker": "june"}), june)
    assert len(made) == 3


def test_torchs_threads_stay_as_they_were(files):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for _ in voice(files).stream(0.15, engine="cached"):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_it_says_what_it_is(files, tmp_path):
    one = voice(files, "labels")
    parameters = sum(p.numel() for p in one.model.parameters())
    assert repr(one) == (
        f"Voice({str(files / 'labels.safetensors')!r}: sample rate 8000 Hz; parameters {parameters:,}; step 7; "
        "held out 5.250 bits per sample; speaker carlo, june; tags loud, slow)"
    )
    shown = one._repr_html_()
    for cell in ("<th>speaker</th><td>carlo, june</td>", "<td>8000 Hz</td>", "<td>5.250 bits per sample</td>"):
        assert cell in shown
    assert one.model is one.model
    if native.code() is not None:
        assert repr(voice(files).export(tmp_path / "x.wavenet")).endswith(
            "x.wavenet': exported int8; sample rate 8000 Hz)"
        )


def test_a_sound_is_heard_in_a_notebook(files, monkeypatch):
    one = voice(files)
    heard = []
    display = type(sys)("IPython.display")
    display.Audio = lambda data, **how: heard.append((data, how))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setitem(sys.modules, "IPython", type(sys)("IPython"))
    one.play(one.generate(0.1))
    ((data, how),) = heard
    assert (data.shape, how) == ((800,), {"rate": RATE, "normalize": False})
    with pytest.raises(AudioError, match=r"only one of 2 sounds can be played at a time: voice\.play\(sounds\[0\]\)"):
        one.play(torch.zeros(2, 800))
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(wavenet.WaveNetError, match="pip install ipython"):
        one.play(torch.zeros(800))


def test_a_damaged_prime_is_warned_of(files, tmp_path):
    content = (files / "tone.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match="cut.wav is damaged or cut short; the rest is used"):
        voice(files).generate(0.1, prime=tmp_path / "cut.wav")

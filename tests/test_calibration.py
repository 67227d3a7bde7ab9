"""int8's scales: measured on what is heard and made where it is loud, under every kind of conditioning."""

import numpy as np
import pytest
import soundfile
import torch

from wavenet.config import ContextConfig, DataConfig, FeatureConfig, ModelConfig, OptimConfig
from wavenet.evaluation.bits import score_with_engine
from wavenet.generation import CompiledEngine, calibration, export, exported, projection
from wavenet.model import native
from wavenet.model.conditioning import Companion
from wavenet.model.distributions import make_distribution
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.annotations import Annotations, after_silence, describe
from wavenet.recordings.preparation import prepare
from wavenet.recordings.split import split
from wavenet.recordings.windows import Windows
from wavenet.training.optimizers import make_optimizers

RATE, SILENCE, SOUND, HOP = 4000, 3000, 3000, 20
KINDS = {
    "nothing": {},
    "labels": {"labels": {"folder": ["high", "low"]}},
    "mel": {"features": FeatureConfig(kinds=["mel"], hop=HOP, window=64, mels=10)},
    "pitch": {"features": FeatureConfig(kinds=["pitch"], hop=HOP)},
    "file": {"features": FeatureConfig(kinds=["file"], hop=HOP)},
    "context": {"context": ContextConfig(pools=[32], layers=3, channels=8)},
    "mixtures and mel": {"mixtures": 3, "features": FeatureConfig(kinds=["mel"], hop=HOP, window=64, mels=10)},
    "everything": {
        "labels": {"folder": ["high", "low"]},
        "features": FeatureConfig(kinds=["mel", "pitch", "file"], hop=HOP, window=64, mels=10),
        "context": ContextConfig(pools=[32], layers=3, channels=8),
    },
}
COSTS = dict.fromkeys(KINDS, 0.003) | {"mixtures and mel": 0.02}
"""Bits per sample that int8 may cost: more of a mixture's fine steps, for which int8 is not the default."""

pytestmark = pytest.mark.skipif(native.code() is None, reason="the kernels are not built")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tones with harmonics and noise that swell, after 3/4 s of silence, and what they are in arrays beside them."""
    random, path = np.random.default_rng(0), tmp_path_factory.mktemp("tones")
    for label, hertz in (("high", 330.0), ("low", 190.0)):
        (path / label).mkdir()
        for take in range(3):
            time = np.arange(SOUND) / RATE
            swell = np.clip(np.sin(2 * np.pi * 2 * time), 0, 1) * np.linspace(0.3, 1, SOUND)
            phase = 2 * np.pi * hertz * time + take
            sound = swell * (0.4 * np.sin(phase) + 0.25 * np.sin(2 * phase) + 0.15 * np.sin(3 * phase))
            sound += swell * 0.05 * random.standard_normal(SOUND)
            level = np.concatenate([np.zeros(SILENCE), swell])
            sound = np.concatenate([np.zeros(SILENCE), sound]) + 0.001 * random.standard_normal(SILENCE + SOUND)
            soundfile.write(path / label / f"{take}.wav", sound, RATE)
            frames = np.stack([level, np.full_like(level, hertz / 300)], axis=1)[HOP // 2 :: HOP]
            np.save(path / label / f"{take}.npy", frames.astype(np.float32))
    return path


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(k, marks=pytest.mark.slow) if k in ("nothing", "labels", "mel", "pitch") else k for k in KINDS
    ],
)
def trained(request, folder, tmp_path_factory):
    """A model that has learned a little, the recordings, and what is known of them."""
    torch.manual_seed(0)
    shape = {"residual_channels": 16, "gate_channels": 16, "skip_channels": 32, "head_channels": 32}
    config = ModelConfig(1, 6, condition_channels=16, **shape, **KINDS[request.param])
    labels = ["folder"] if config.labels else []
    data = DataConfig(dir=str(folder), sample_rate=RATE, labels=labels, cache_dir=str(folder / "cache"))
    prepared = prepare(data, encoding=make_distribution(config.mixtures).encoding)
    config = describe(prepared, data, config)
    model, known = WaveNet(config), Annotations(prepared, config)
    if model.conditioning is not None and model.conditioning.features is not None:
        model.conditioning.features.standardise(known.some_frames())
    spans, field = split(prepared, data).all, model.receptive_field
    windows = Windows(prepared.codes, spans, 1000, field, known if config.conditioned else None)
    optimizers, steps = make_optimizers(model, OptimConfig()), 100
    for step in range(steps):
        batch = windows.batch([step % len(windows)])
        rows = model.rows(batch.pieces, batch.codes.shape[1] - 1)
        loss = model.distribution.loss(model(batch.codes[:, :-1], rows), batch.targets)
        (loss / batch.targets.numel()).backward()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * min(1, step / 20) * (1 - step / steps)
            optimizer.step()
            optimizer.zero_grad()
    return request.param, model.eval(), prepared, spans, known


def bits(packed, model, prepared, spans, known):
    engine = CompiledEngine(packed, condition=projection(model))
    total, samples = score_with_engine(engine, prepared.codes, spans, model.conditioning, known)
    return total / samples


def cost(trained, companions):
    """Bits per sample that int8 costs on the recordings, with scales measured on these."""
    kind, model, _, _, _ = trained
    exact, whole = (
        bits(packed, *trained[1:])
        for packed in (export.pack(model, RATE, "float32"), exported(model, RATE, "int8", companions))
    )
    return whole - exact, COSTS[kind]


def test_int8_costs_little_on_recordings_that_are_heard(trained):
    *_, spans, known = trained
    measured, allowed = cost(trained, [known.companion(span.recording) for span in spans])
    assert abs(measured) < allowed


def test_int8_costs_little_for_sounds_to_come(trained):
    """Where nothing but what they are told is known, and that begins with silence for longer than a sound is made."""
    *_, spans, known = trained
    companions = [after_a_while(known.companion(span.recording)) for span in spans]
    measured, allowed = cost(trained, companions)
    assert abs(measured) < allowed


def after_a_while(companion: Companion) -> Companion:
    """The same without its recording, with the frame of its beginning held for 10,000 samples in front."""
    frames, held = companion.frames, 10_000
    later = None if frames is None else lambda start, stop: frames(start - held // HOP, stop - held // HOP)
    return companion._replace(codes=None, frames=later, samples=companion.samples + held)


def test_features_are_followed_to_where_they_are_loud(trained):
    kind, model, _, spans, known = trained
    if kind != "file":
        pytest.skip("its frames tell the loudness itself, so that the model surely follows them")
    told = [after_a_while(known.companion(spans[0].recording))]
    sounds = model.distribution.encoding.decode(calibration.heard(model, told)[0][:, model.receptive_field :])
    loudness = sounds.square().mean(dim=1).sqrt()
    assert (loudness > 0.05).sum() >= 3


def test_the_loudest_of_each_part_of_the_recordings_is_heard_and_the_quietest():
    """Bursts in silence, each louder than the one before: each part's loudest burst is found, wherever it lies."""
    codes = np.full(60_000, 128, dtype=np.uint8)
    bursts = [3_000, 14_000, 29_000, 31_000, 47_000, 55_000]
    for number, start in enumerate(bursts):
        codes[start : start + 1200] = 150 + 10 * number + np.arange(1200) % 3
    model = WaveNet(ModelConfig(1, 3))
    examples = [
        Companion(torch.zeros(0), codes=after_silence(part), samples=len(part)) for part in np.split(codes, [20_000])
    ]
    heard, rows = calibration.heard(model, examples)
    assert rows is None
    assert heard.shape == (7, model.receptive_field + calibration.SAMPLES)
    assert [int(piece.max()) // 10 * 10 for piece in heard[:6]] == [150, 160, 170, 180, 190, 200]
    assert heard[6].unique().tolist() == [128]


def test_a_prime_is_heard_beside_what_the_model_makes():
    codes = np.full(9000, 250, dtype=np.uint8)
    prime = Companion(torch.zeros(0), codes=after_silence(codes), samples=9000)
    heard, _ = calibration.heard(WaveNet(ModelConfig(1, 3)), [Companion(torch.zeros(0)), prime])
    primed = (heard[:, -calibration.SAMPLES :] == 250).all(dim=1)
    assert primed.sum() == 4
    assert len(heard) == 8

"""Exported files play without torch, and what they play is what the compiled engine makes with it."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

import wavenet
from wavenet.audio import tables
from wavenet.audio.encodings import MULAW, SIXTEEN_BIT
from wavenet.config import ModelConfig
from wavenet.errors import ConfigError
from wavenet.generation import CompiledEngine, Conditions, generate
from wavenet.generation.conditions import LabelWeights
from wavenet.generation.export import pack
from wavenet.generation.player import Player
from wavenet.model import native
from wavenet.model.conditioning import Companion
from wavenet.model.distributions import Sampling
from wavenet.model.wavenet import WaveNet

compiled = pytest.mark.skipif(native.code() is None, reason="the kernels are not built")
SHAPE = {"residual_channels": 12, "gate_channels": 10, "skip_channels": 16, "head_channels": 16}
HEAVY = ("torch", "torchaudio", "hydra", "omegaconf", "matplotlib", "soxr", "wavenet.voice", "wavenet.training.tasks")
COMMAND = f"""
import sys
from wavenet.cli.generate import main
main()
print([name for name in {HEAVY} if name in sys.modules])
"""


def packed(mixtures: int = 0, labels: bool = True) -> bytes:
    torch.manual_seed(0)
    told = {"speaker": ["june", "carlo"], "mood": ["wild"]} if labels else {}
    model = WaveNet(ModelConfig(2, 3, mixtures=mixtures, labels=told, condition_channels=8, **SHAPE)).eval()
    return pack(model, 8000, "float32", steerable=labels)


@pytest.mark.parametrize("encoding", [MULAW, SIXTEEN_BIT], ids=["mu-law", "16 bit"])
def test_the_tables_are_those_of_the_encodings(encoding):
    codes = torch.arange(encoding.levels)
    assert np.array_equal(tables.amplitudes(encoding.levels), encoding.decode(codes).numpy())
    assert np.array_equal(tables.mulaw_codes(encoding.levels), encoding.mulaw(codes).numpy())


@compiled
@pytest.mark.parametrize("mixtures", [0, 2])
@pytest.mark.parametrize("primed", [0, 5, 300])
@pytest.mark.parametrize("guidance", [None, 1.0, 2.5])
def test_what_is_played_is_what_the_engine_makes(mixtures, primed, guidance):
    """guidance: None for a sound without labels."""
    if mixtures and guidance == 2.5:
        pytest.skip("a mixture supports no guidance")
    data = packed(mixtures)
    engine, player = CompiledEngine(data, threads=2), Player(data, threads=2)
    sampling = Sampling(0.9) if guidance is None else Sampling(0.9, guidance=guidance)
    prime = torch.randint(player.levels, (primed,)) if primed else None
    weights = None if guidance is None else np.array([0.7, 0.3, -1], np.float32)
    conditions = None
    if weights is not None:
        told = [Companion(torch.from_numpy(weights))] * 3
        conditions = Conditions(LabelWeights(engine.distribution.encoding), told, guided=guidance != 1)
    made = list(generate(engine, 700, [3, 4, 9], sampling, prime, 256, conditions))
    heard = None if prime is None else prime.numpy()
    played = list(player.play(700, [3, 4, 9], sampling, heard, weights, 256))
    for part, to_tensor in ((0, lambda codes: codes.astype(np.int64)), (1, np.asarray)):
        expected = torch.cat([piece[part] for piece in made], dim=1)
        found = np.concatenate([to_tensor(piece[part]) for piece in played], axis=1)
        assert torch.equal(torch.from_numpy(found), expected.long() if part == 0 else expected)


@compiled
def test_a_mixture_refuses_what_it_does_not_support():
    with pytest.raises(ConfigError, match="top_k is 3, but this model ends in a mixture"):
        next(Player(packed(2)).play(10, [0], Sampling(top_k=3)))


@compiled
@pytest.mark.parametrize("mixtures", [0, 2])
def test_the_command_plays_without_torch(mixtures, tmp_path):
    (tmp_path / "voice.wavenet").write_bytes(packed(mixtures))
    arguments = ["checkpoint=voice.wavenet", "seconds=0.2", "seed=5", "label.speaker=june", "output=sound.wav"]
    how = {"capture_output": True, "text": True, "check": True, "cwd": tmp_path}
    done = subprocess.run([sys.executable, "-c", COMMAND, *arguments], **how)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout
    voice = wavenet.load(tmp_path / "voice.wavenet")
    expected = voice.generate(0.2, seed=5, labels={"speaker": "june"})[0]
    found = soundfile.read(tmp_path / "sound.wav", dtype="int16")[0]
    assert np.array_equal(found, (expected * 32768).round().clamp(max=32767).numpy())


@compiled
def test_a_prime_is_read_with_torch_and_continued(tmp_path, call):
    (tmp_path / "voice.wavenet").write_bytes(packed(labels=False))
    sound = 0.5 * np.sin(np.arange(800) * 0.3).astype(np.float32)
    soundfile.write(tmp_path / "prime.wav", sound, 8000, subtype="FLOAT")
    given = [f"checkpoint={tmp_path}/voice.wavenet", f"prime={tmp_path}/prime.wav", "keep_prime=true", "seconds=0.1"]
    status, _, errors = call("generate", *given, f"output={tmp_path}/made.wav")
    assert not status, errors
    found = soundfile.read(tmp_path / "made.wav", dtype="float32")[0]
    expected = wavenet.load(tmp_path / "voice.wavenet").generate(0.1, prime=sound)[0].numpy()
    assert np.abs(found[:800] - sound).max() < 1e-4
    assert np.abs(found[800:] - expected).max() < 1e-4

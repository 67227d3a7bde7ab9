"""Checkpoints and exported files of earlier versions still load, and make what they made.

tests/files/ was written by the first version that had these formats; expected.json is what it made of them.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from wavenet.generation import CachedEngine, CompiledEngine, Conditions, Engine, generate
from wavenet.model import checkpoint, native
from wavenet.model.conditioning import Companion
from wavenet.recordings.annotations import clamped

FILES = Path(__file__).parent / "files"
EXPECTED = json.loads((FILES / "expected.json").read_text())
EXPORTED = sorted(path.name for path in FILES.glob("*.wavenet"))


def check(name: str, engine: Engine, tolerance: float, conditions: Conditions | None = None) -> None:
    """It makes the codes and bits that are kept, by seed 5; or of given codes the same bits, where rounding differs."""
    codes, bits = torch.tensor([EXPECTED[name]["codes"]]), torch.tensor([EXPECTED[name]["bits"]])
    if conditions is not None:
        made = list(generate(engine, codes.shape[1], [5], conditions=conditions))
        assert torch.equal(torch.cat([c for c, _ in made], dim=1).long(), codes)
        found = torch.cat([b for _, b in made], dim=1)
    else:
        found = engine.score(engine.start(torch.empty(1, 0)), codes)
    torch.testing.assert_close(found, bits, rtol=0, atol=tolerance)


def test_a_checkpoint_of_version_1_makes_what_it_made():
    loaded = checkpoint.load(FILES / "version_1.safetensors")
    assert (loaded.sample_rate, loaded.step, loaded.valid_bits) == (8000, 7, 5.5)
    frames = np.random.default_rng(0).standard_normal((16, 2)).astype(np.float32)
    told = Companion(torch.tensor([1.0, 0.0]), clamped(frames))
    assert loaded.model.conditioning is not None
    check(loaded.path.name, CachedEngine(loaded.model), 1e-4, Conditions(loaded.model.conditioning, [told]))


@pytest.mark.parametrize("instruction_set", native.instruction_sets())
@pytest.mark.parametrize("name", EXPORTED)
def test_an_exported_file_of_version_2_says_what_it_said(name, instruction_set):
    engine = CompiledEngine((FILES / name).read_bytes(), instruction_set)
    assert engine.sample_rate == 8000
    check(name, engine, 1e-4 if "float32" in name else 0.02)


def test_there_are_files_of_every_precision():
    engines = [CompiledEngine((FILES / name).read_bytes()) for name in EXPORTED] if native.code() else []
    assert {engine.precision for engine in engines} in (set(), {"float32", "bfloat16", "int8"})

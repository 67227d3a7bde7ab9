"""Validation: the best is kept, chosen on the same audio all along, and its figures are its own."""

import hashlib
import math
import types

import pytest
import torch

from wavenet.config import DataConfig
from wavenet.model import checkpoint
from wavenet.model.wavenet import WaveNet
from wavenet.training.processes import Processes
from wavenet.training.saving import Checkpoints
from wavenet.training.validation import Validation

ALONE = Processes()
WHOLE = 60.0
"""Seconds of this validation part."""


class Part:
    """A validation part of a minute, on which a network's bits are what its first bias holds, and 0.5 more on all."""

    seconds = WHOLE
    harder = 0.0

    def is_whole(self, seconds: float) -> bool:
        return seconds >= self.seconds

    def bits(self, model: WaveNet, seconds: float) -> float:
        return model.output.bias[0].item() + self.harder + (0.5 if self.is_whole(seconds) else 0.0)

    def frame_accuracy(self, model: WaveNet, seconds: float) -> float | None:
        return None

    def fingerprint(self, seconds: float) -> str:
        return hashlib.sha256(f"{self.seconds} {self.harder} {seconds}".encode()).hexdigest()


@pytest.fixture
def validation(small, tmp_path):
    def make(seconds: float = 10.0, run: str = "run", part: Part | None = None) -> Validation:
        torch.manual_seed(0)
        checkpoints = Checkpoints(ALONE, tmp_path / run, DataConfig(sample_rate=4000))
        made = Validation(
            Part() if part is None else part,
            WaveNet(small),
            checkpoints,
            seconds,
            lambda found: made.told.append(found),
        )
        made.told = []
        return made

    return make


def learn(validation: Validation, bits: float) -> None:
    with torch.no_grad():
        validation.model.output.bias[0] = bits


def best(tmp_path, run: str = "run") -> checkpoint.Checkpoint:
    return checkpoint.load(tmp_path / run / "checkpoints" / "best.safetensors")


def test_the_best_is_kept_whatever_comes_after(validation, tmp_path):
    made = validation()
    for step, bits in enumerate((5.0, 4.0, 4.5), start=1):
        learn(made, bits)
        made.validate(step)
    assert (made.best_step, made.best_bits, made.latest_bits) == (2, 4.0, 4.5)
    assert (best(tmp_path).step, best(tmp_path).valid_bits) == (2, 4.0)
    assert best(tmp_path).model.output.bias[0].item() == 4.0
    assert [(found.step, found.bits, found.part) for found in made.told][1:] == [
        (2, 4.0, "on 10 s held out"),
        (3, 4.5, "on 10 s held out"),
    ]
    assert (made.bits_at(3), made.bits_at(2)) == (4.5, None)


@pytest.mark.parametrize("last", [3.0, 6.0])
def test_in_the_end_the_best_is_measured_on_all_that_is_held_out(validation, tmp_path, last):
    """Whether that is the last step or an earlier one; the figure is of the checkpoint that is named."""
    made, lines = validation(), []
    learn(made, 4.0)
    made.validate(1)
    assert made.bits_of_best == 4.0
    learn(made, last)
    made.finish(2, lines.append)
    assert [found.part for found in made.told] == ["on 10 s held out", "on 10 s held out", "held out"]
    assert made.latest_bits == last + 0.5
    assert (made.best_step, made.bits_of_best) == ((2, 3.5) if last == 3 else (1, 4.5))
    assert (best(tmp_path).step, best(tmp_path).valid_bits) == (made.best_step, made.bits_of_best)
    assert lines == ([] if last == 3 else ["step 1, the best: 4.500 bits per sample held out"])


def test_a_short_validation_part_is_measured_once(validation):
    made = validation(seconds=WHOLE)
    made.finish(1, lambda _: None)
    assert [found.part for found in made.told] == ["held out"]


def test_nothing_held_out_is_nothing_measured(validation):
    class Empty(Part):
        def __bool__(self) -> bool:
            return False

    made = validation(part=Empty())
    made.validate(1)
    made.measure_best_anew(pytest.fail)
    made.finish(2, pytest.fail)
    assert (made.told, made.best_step, made.bits_of_best) == ([], 0, None)


@pytest.fixture
def begun(validation, tmp_path):
    """What a run leaves whose best was its second step: its state, and where that lies."""
    made = validation(run="begun")
    for step, bits in ((2, 4.0), (3, 5.0)):
        learn(made, bits)
        made.validate(step)
    state = tmp_path / "begun" / "checkpoints" / "last.state"
    state.touch()
    return made.state(), str(tmp_path / "begun")


@pytest.mark.parametrize("run", ["begun", "elsewhere"])
def test_a_run_that_goes_on_takes_its_best_along(validation, begun, tmp_path, run):
    made = validation(run=run)
    made.restore(*begun)
    assert made.state() == begun[0]
    made.measure_best_anew(pytest.fail)
    learn(made, 4.5)
    made.validate(4)
    assert (best(tmp_path, run).step, best(tmp_path, run).valid_bits) == (2, 4.0)


def test_where_the_best_is_gone_the_next_is_the_best(validation, begun, tmp_path):
    (tmp_path / "begun" / "checkpoints" / "best.safetensors").unlink()
    made = validation(run="elsewhere")
    made.restore(*begun)
    assert (made.best_step, made.best_bits) == (0, math.inf)
    learn(made, 6.0)
    made.validate(4)
    assert best(tmp_path, "elsewhere").step == 4


def test_the_best_is_measured_anew_where_another_part_is_held_out(validation, begun, tmp_path):
    part, lines = Part(), []
    part.harder = 2.0
    made = validation(run="begun", part=part)
    made.restore(*begun)
    made.measure_best_anew(lines.append)
    assert lines == [
        "the best so far, step 2, measured again: 6.000 bits per sample on what is held out now, "
        "4.000 on what was held out before"
    ]
    assert best(tmp_path, "begun").valid_bits == made.best_bits == 6.0
    made.measure_best_anew(pytest.fail)  # once is enough
    learn(made, 3.5)
    made.validate(4)
    assert (made.best_step, made.best_bits) == (4, 5.5)


def test_a_state_of_an_older_version_has_its_best_measured(validation, begun):
    stored, run = begun
    made = validation(run="begun")
    made.restore({name: stored[name] for name in ("best_bits", "best_step", "valid_bits")}, run)
    assert made.bits_at(3) is None
    made.measure_best_anew(pytest.fail)  # and found as it was
    assert made.best_bits == 4.0


def test_only_the_first_process_writes(small, tmp_path):
    other = types.SimpleNamespace(is_first=False)
    checkpoints = Checkpoints(other, tmp_path, DataConfig(sample_rate=4000))
    checkpoints.share("best", WaveNet(small), 1, None)
    checkpoints.save_state({})
    assert not list(tmp_path.iterdir())

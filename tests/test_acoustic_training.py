"""Training an acoustic model: every recording once an epoch, padding that changes nothing, and exact resuming."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from wavenet.config import AcousticConfig, OptimConfig, TrainConfig
from wavenet.model import checkpoint
from wavenet.model.conditioning import Companion
from wavenet.recordings.annotations import clamped
from wavenet.speech import storing
from wavenet.speech.acoustic import AcousticModel
from wavenet.speech.corpus import Corpus
from wavenet.speech.sentences import GAPS
from wavenet.speech.timing import Timed
from wavenet.training.acoustic import LOSSES, AcousticTrainer, losses
from wavenet.training.reporter import Reporter

UNITS, MELS, STEP = sorted({"a", "b"} | set(GAPS)), 4, 160


class Told:
    """Recordings whose frames tell the unit: the mel bands of a are low, those of b high."""

    def __init__(self, count: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.timed, self.frames, recordings = {}, [], []
        for number in range(count):
            said = [*random.choice(["a", "b"], random.integers(1, 6)).tolist()]
            lasts = random.integers(2, 9, len(said))
            bounds = np.concatenate([[0, 0], np.cumsum(lasts), [lasts.sum()]]) * float(STEP)
            self.timed[number] = Timed(["^", *said, "."], bounds)
            high = np.repeat([unit == "b" for unit in said], lasts * 2)[:, None]
            frames = random.normal(0, 0.1, (len(high), MELS + 3)) + np.where(high, 1.0, -1.0)
            frames[:, MELS + 1] = high[:, 0]
            frames[:, MELS] *= high[:, 0]
            self.frames.append(frames.astype(np.float32))
            recordings.append(SimpleNamespace(samples=int(bounds[-1]), name=f"{number}.wav"))
        self.prepared = SimpleNamespace(recordings=recordings, sample_rate=16000)

    def companion(self, recording: int) -> Companion:
        return Companion(torch.empty(0), frames=clamped(self.frames[recording]))

    def labels(self, recording: int) -> torch.Tensor:
        return torch.empty(0)

    def corpus(self) -> Corpus:
        return Corpus(self, self.timed, STEP, 2)  # type: ignore[arg-type] (it has all that a corpus reads)


def trainer(folder: Path, steps: int, told: Told, **settings) -> AcousticTrainer:
    acoustic = AcousticConfig(channels=8, encoder_layers=1, decoder_layers=1, batch_size=4)
    every = {"validate_every": 1000, "checkpoint_every": 1000, "log_every": 1}
    config = TrainConfig(steps=steps, acoustic=acoustic, optim=OptimConfig(warmup_steps=5), **every, **settings)
    torch.manual_seed(1)
    model = AcousticModel(acoustic, UNITS, MELS)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    held_out = Told(5, seed=1).corpus()
    return AcousticTrainer(config, model, told.corpus(), held_out, folder, {}, Reporter(), torch.device("cpu"))


def test_every_recording_comes_once_an_epoch():
    corpus = Told(23).corpus()
    batches = -(-23 // 4)
    for epoch in range(2):
        seen = [i for number in range(batches) for i in corpus.chosen(epoch * batches + number, 4, seed=3)]
        assert sorted(seen) == list(range(23))
    again = Told(23).corpus()
    assert again.chosen(7, 4, seed=3) == corpus.chosen(7, 4, seed=3)
    assert any(again.chosen(i, 4, seed=3) != again.chosen(i, 4, seed=4) for i in range(batches))


def test_padding_changes_no_loss():
    corpus, model = (
        Told(3).corpus(),
        AcousticModel(AcousticConfig(channels=8, dropout=0, predictor_dropout=0), UNITS, MELS).eval(),
    )
    with torch.inference_mode():
        alone = torch.stack([losses(model, corpus.batch([i], model)) for i in range(3)])
        together = losses(model, corpus.batch([0, 1, 2], model))
    weights = torch.from_numpy(corpus.steps).float()
    assert float(together[0]) == pytest.approx(float((alone[:, 0] * weights).sum() / weights.sum()), rel=1e-4)
    counts = torch.tensor([len(corpus.units(i)) for i in range(3)]).float()
    assert float(together[1]) == pytest.approx(float((alone[:, 1] * counts).sum() / counts.sum()), rel=1e-4)


def test_it_learns_what_units_sound_like(tmp_path):
    run = trainer(tmp_path, 150, Told(40))
    before = losses(run.averaged, run.held_out.batch(range(5), run.model))
    run.run()
    found = storing.load_acoustic(tmp_path / "checkpoints" / "best.safetensors")
    after = losses(found.model, run.held_out.batch(range(5), run.model))
    assert float(after[0]) < 0.5 * float(before[0])
    mel = found.model.say(["^", "a", "b", "."], durations=torch.tensor([0, 5, 5, 0])).frames[:, :MELS].mean(dim=1)
    assert mel[:8].max() < 0 < mel[-8:].min()
    logged = (tmp_path / "metrics.jsonl").read_text()
    assert all(f'"valid/{name}"' in logged and f'"train/{name}"' in logged for name in LOSSES)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    told = Told(10)
    whole = trainer(tmp_path / "whole", 8, told)
    whole.run()
    first = trainer(tmp_path / "parts", 8, told)
    for _ in range(3):
        first.train_step()
        first.clock.count(first.step, first.clock.read())
    first.save()
    second = trainer(tmp_path / "parts", 8, told)
    second.restore(checkpoint.load_state(tmp_path / "parts"))
    second.run()
    for ours, theirs in zip(whole.averaged.parameters(), second.averaged.parameters(), strict=True):
        assert torch.equal(ours, theirs)

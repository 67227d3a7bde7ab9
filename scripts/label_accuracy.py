"""Measures whether a model says what its labels ask for, with a classifier trained on the recordings.

    python scripts/label_accuracy.py checkpoint=runs/digits data.dir=~/digits label=digit [report=FILE] [seed=0]
        [temperature=1] [guidance=1] [threads=2]

For every held-out recording, one sound of the same labels and length is made. The classifier, a small convolutional
network on log-mel spectra, is trained only on the training part; its accuracy on the held-out recordings is the best
that the sounds can reach.
"""

import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.audio import features
from wavenet.config import DataConfig, FeatureConfig
from wavenet.generation import Conditions, generate, make_engine
from wavenet.model import checkpoint
from wavenet.model.distributions import Sampling
from wavenet.recordings.annotations import Annotations
from wavenet.recordings.preparation import prepare
from wavenet.recordings.split import Span, split

DEFAULTS = {"report": "", "seed": "0", "temperature": "1", "guidance": "1", "threads": "2", "label": ""}
SECONDS, EPOCHS, BATCH = 1.0, 20, 32
STREAMS = 24


def main() -> None:
    given = {name: value for name, _, value in (argument.partition("=") for argument in sys.argv[1:])}
    options = DEFAULTS | given
    if not {"checkpoint", "data.dir", "label"} <= set(given) or not set(given) <= {*DEFAULTS, "checkpoint", "data.dir"}:
        sys.exit(__doc__)
    torch.set_num_threads(int(options["threads"]))
    loaded = checkpoint.load(Path(options["checkpoint"]).expanduser())
    assert loaded.model.conditioning is not None, "this model was trained without labels"
    labels = list(loaded.model.config.labels)
    data = DataConfig(dir=options["data.dir"], sample_rate=loaded.sample_rate, labels=labels, **loaded.data)
    encoding = loaded.model.distribution.encoding
    prepared = prepare(data, encoding=encoding)
    known, sides = Annotations(prepared, loaded.model.config, split_by=data.split_by), split(prepared, data)
    columns = [i for i, (label, _) in enumerate(loaded.model.conditioning.names) if label == options["label"]]

    def example(codes: Tensor) -> Tensor:
        return spectrum(encoding.decode(codes), loaded.sample_rate)

    def recorded(spans: list[Span]) -> tuple[Tensor, Tensor]:
        sounds = [torch.from_numpy(prepared.codes[span.start : span.stop].copy()) for span in spans]
        truth = torch.stack([known.labels(span.recording)[columns].argmax() for span in spans])
        return torch.stack([example(sound) for sound in sounds]), truth

    classifier = train(*recorded(sides.train), classes=len(columns))
    held_out, truth = recorded(sides.valid)
    on_recordings = accuracy(classifier, held_out, truth)
    print(f"classifier on {len(truth)} held-out recordings: {on_recordings:.1%}")

    guidance = float(options["guidance"])
    companions = [known.companion(span.recording) for span in sides.valid]
    engine = make_engine("auto", loaded.model, examples=companions, streams=STREAMS)
    sampling, made = Sampling(float(options["temperature"]), guidance=guidance), []
    for first in range(0, len(companions), STREAMS):
        group, spans = companions[first : first + STREAMS], sides.valid[first : first + STREAMS]
        told = Conditions(loaded.model.conditioning, group, guided=guidance != 1)
        seeds = [int(options["seed"]) + first + i for i in range(len(group))]
        longest = max(span.samples for span in spans)
        codes = torch.cat([c for c, _ in generate(engine, longest, seeds, sampling, conditions=told)], dim=1)
        made += [example(row[: span.samples]) for row, span in zip(codes, spans, strict=True)]
    on_made = accuracy(classifier, torch.stack(made), truth)
    print(f"classifier on {len(made)} sounds made with their labels and lengths: {on_made:.1%}")
    if options["report"]:
        figures = {"classifier_accuracy": on_recordings, "accuracy": on_made, "sounds": len(made)}
        Path(options["report"]).write_text(json.dumps(figures) + "\n")


def spectrum(sound: Tensor, sample_rate: int) -> Tensor:
    """Log-mel spectrum (40, frames) of a second, cut or filled with silence, 10 ms a frame."""
    length = int(SECONDS * sample_rate)
    config = FeatureConfig(kinds=["mel"], hop=sample_rate // 100, window=sample_rate // 32, mels=40)
    sound = F.pad(sound[:length], (0, max(length - len(sound), 0)))
    return features.log_mel(sound / sound.abs().max().clamp(min=1e-3), config, sample_rate).t()


def train(examples: Tensor, truth: Tensor, classes: int) -> nn.Module:
    """A convolutional classifier of (n, 40, frames), moved and masked at random while it learns."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.BatchNorm2d(1)]
    for inside, out in ((1, 24), (24, 48), (48, 96)):
        layers += [nn.Conv2d(inside, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
    network = nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d((5, 1)), nn.Flatten(), nn.Dropout(0.3), nn.Linear(480, classes)
    )
    steps = EPOCHS * (len(examples) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps + 1)
    for step in range(steps):
        if step % (len(examples) // BATCH) == 0:
            order = torch.randperm(len(examples))
        chosen = order[(step * BATCH) % (len(order) // BATCH * BATCH) :][:BATCH]
        batch = torch.roll(examples[chosen], int(torch.randint(-10, 11, ())), dims=2).clone()
        band, start = int(torch.randint(0, 34, ())), int(torch.randint(0, 90, ()))
        batch[:, band : band + 6] = batch.mean()
        batch[:, :, start : start + 10] = batch.mean()
        loss = F.cross_entropy(network(batch.unsqueeze(1)), truth[chosen], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.inference_mode()
def accuracy(classifier: nn.Module, examples: Tensor, truth: Tensor) -> float:
    return float((classifier(examples.unsqueeze(1)).argmax(dim=1) == truth).double().mean())


if __name__ == "__main__":
    main()

"""A process that forks a training run for each run folder that it reads: `python victim.py FOLDER`.

It writes the run's process number, and then how that ended. torch is imported once, so a run begins at once.
"""

import os
import signal
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
import soundfile
import torch
import torch.utils.tensorboard  # each run would import it

from wavenet.audio import plots
from wavenet.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from wavenet.errors import WaveNetError
from wavenet.model import checkpoint
from wavenet.training import metrics, train
from wavenet.training.run_folder import has_state

RATE, STEPS = 8000, 10
RUN, REFUSED, STOPPED, FAILED = 0, 1, 2, 3
"""How a run ends."""


def recordings(folder: Path) -> Path:
    """Five recordings of two speakers."""
    folder.mkdir(parents=True)
    rows = ["file_name,speaker"]
    for number in range(5):
        noise = np.random.default_rng(number).normal(0, 0.1, 3000)
        soundfile.write(folder / f"{number}.wav", noise, RATE)
        rows.append(f"{number}.wav,{number % 2}")
    (folder / "metadata.csv").write_text("\n".join(rows))
    return folder


def settings(folder: Path, run: Path) -> TrainConfig:
    """Labels, an average, accumulated gradients; validations, sounds, and a checkpoint at every step."""
    data = DataConfig(str(folder / "recordings"), sample_rate=RATE, cache_dir=str(folder / "cache"), min_seconds=0)
    data.labels = ["speaker"]
    small = ModelConfig(1, 3, residual_channels=8, gate_channels=8, skip_channels=8, head_channels=8)
    config = TrainConfig(data=data, model=small, steps=STEPS, crop=200, batch_size=2, accumulate=2, device="cpu")
    config.threads, config.precision, config.label_dropout = 1, "float32", 0.5
    config.optim = OptimConfig(warmup_steps=2, ema_decay=0.9)
    config.checkpoint_every, config.validate_every, config.validate_seconds = 1, 3, 0.2
    config.sample_every, config.sample_seconds, config.log_every = 4, 0.05, 1
    config.resume = str(run) if has_state(run) else None
    return config


def run(folder: Path, place: Path) -> int:
    """Train in `place`, from its beginning or from where it was left."""
    if has_state(place) and (state := checkpoint.load_state(place))["finished"] and state["step"] == STEPS:
        return RUN  # it was killed after its last word
    try:
        result = train(settings(folder, place), place)
    except WaveNetError as error:
        print(f"refused: {error}", file=sys.stderr, flush=True)
        return REFUSED
    return RUN if result.stopped_by is None else STOPPED


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    metrics.RunLog.curves = metrics.RunLog._picture = lambda *_: None
    plots.spectrograms = plots.embeddings = lambda *_: None  # they take longer than all the rest
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            status = FAILED
            try:
                status = run(folder, Path(line.strip()))
            except BaseException:
                traceback.print_exc()
            os._exit(status)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

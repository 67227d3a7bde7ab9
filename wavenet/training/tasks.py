"""What `wavenet-train` can be asked for, by the setting `task`."""

from pathlib import Path

from wavenet.config import TrainConfig
from wavenet.training import speech, trainer
from wavenet.training.reporter import Reporter
from wavenet.training.result import Result

TASKS = {"sound": trainer.train, "speech": speech.train_voice}


def train(config: TrainConfig, run_dir: Path, reporter: Reporter | None = None) -> Result:
    """Train what `config.task` names, and write everything under `run_dir`. Raises as the function in TASKS does."""
    return TASKS[config.task](config, run_dir, reporter)

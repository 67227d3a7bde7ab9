"""Training: the loop, its optimizers, its schedule and its records."""

from wavenet.training.reporter import Reporter
from wavenet.training.result import Result
from wavenet.training.trainer import train

__all__ = ["Reporter", "Result", "train"]

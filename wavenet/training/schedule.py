"""The learning rate as a function of only the step, so that resuming needs no schedule state."""

import math

from wavenet.config import OptimConfig


def learning_rate_factor(step: int, steps: int, config: OptimConfig) -> float:
    """Share of the peak learning rate for step 0..steps - 1: a linear rise times the schedule's decay."""
    rise = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    done = min(step / steps, 1.0)
    shape = {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "constant": 1.0}[config.schedule]
    return rise * (config.final_lr_ratio + (1 - config.final_lr_ratio) * shape)

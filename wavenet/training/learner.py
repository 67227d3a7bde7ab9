"""The learner: the network, the moving average of its weights, and its optimizers."""

import copy
import math

import torch
from torch import Tensor, nn

from wavenet.config import TrainConfig
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.decoding import PhoneStatistics
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.windows import Batch
from wavenet.training import initial
from wavenet.training.objective import Loss, Objective, backward
from wavenet.training.optimizers import make_optimizers
from wavenet.training.processes import Processes
from wavenet.training.schedule import learning_rate_factor


class Learner:
    """A network of `config.model`, in each of the processes; the seed decides its first weights."""

    def __init__(
        self,
        processes: Processes,
        config: TrainConfig,
        frames: Tensor | None,
        phones: PhoneStatistics | None = None,
        start: Checkpoint | None = None,
    ) -> None:
        """frames: (n, channels) of features, whose mean and scale the model takes; None without features.

        phones: of the training part, for a model that recognises them. start: the network whose weights are taken over,
        with the mean and scale of its features.
        """
        self.processes, self.config = processes, config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = WaveNet(config.model)
        if frames is not None and self.model.conditioning is not None and self.model.conditioning.features is not None:
            self.model.conditioning.features.standardise(frames)
        if self.model.recognition is not None:
            self.model.recognition.statistics = phones
        self.taken_over = initial.take_over(self.model, start, config.data.sample_rate) if start is not None else []
        """What was taken over, in lines."""
        products = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
        self.model.to(processes.device)
        self.optimizers = make_optimizers(self.model, config.optim, products)
        self.objective = processes.wrapped(Objective(self.model))
        self.averaged = copy.deepcopy(self.model).requires_grad_(False)
        """The weights that are validated, used for sounds, and shared."""

    @property
    def learning_rate(self) -> float:
        return self.optimizers[0].param_groups[0]["lr"]

    def gradients(self, batches: list[Batch]) -> tuple[Loss, float]:
        """Compute the clipped gradients of these batches and of those of the other processes.

        Returns the loss, and the norm of the gradients before clipping.
        """
        weight = self.config.model.recognition.weight
        loss = backward(self.processes, self.objective, batches, weight, self.config.precision)
        limit = self.config.optim.clip_norm or math.inf
        return loss, float(nn.utils.clip_grad_norm_(self.model.parameters(), limit))

    def update(self, step: int, steps: int) -> None:
        """Update the weights by their gradients, as step 0..steps - 1, and the average by the weights."""
        advance(self.optimizers, learning_rate_factor(step, steps, self.config.optim))
        average(self.averaged, self.model, step, self.config.optim.ema_decay)


def advance(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    """Take one step of each optimizer, at `factor` times its peak rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        optimizer.step()
        optimizer.zero_grad()


@torch.no_grad()
def average(averaged: nn.Module, model: nn.Module, step: int, decay: float) -> None:
    """Move the averaged weights towards those of step 0, 1, ...; a decay of 0 makes them equal."""
    # a new average would remember the first weights: 1 / (step + 2) is the plain mean until the decay takes over
    weight = max(1 - decay, 1 / (step + 2)) if decay else 1.0
    torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), weight)

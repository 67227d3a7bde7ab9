"""The oracle: the whole receptive field through the model for every sample. Slow, and plainly right."""

import copy

import torch
from torch import Tensor

from wavenet.generation.engine import Engine, State
from wavenet.model import WaveNet


class NaiveEngine(Engine):
    """Runs `WaveNet.forward` on the last receptive field of codes, again for each sample."""

    name = "naive"

    def __init__(self, model: WaveNet, dtype: torch.dtype = torch.float32, sample_rate: int = 16000) -> None:
        self.model = copy.deepcopy(model).eval().to(dtype)
        self.precision = str(dtype).removeprefix("torch.")
        self.receptive_field, self.sample_rate = model.receptive_field, sample_rate
        self.device = next(model.parameters()).device

    @torch.inference_mode()
    def start(self, context: Tensor) -> State:
        codes = self.heard(context)
        return State([[codes]], 0, self._logits(codes))

    @torch.inference_mode()
    def step(self, state: State, codes: Tensor) -> None:
        heard = torch.cat([state.memory[0][0], codes.unsqueeze(1)], dim=1)[:, 1:]
        state.memory, state.position, state.logits = [[heard]], state.position + 1, self._logits(heard)

    def _logits(self, codes: Tensor) -> Tensor:
        return self.model(codes)[:, -1].float()

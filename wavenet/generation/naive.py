"""The reference engine: runs the whole receptive field through the model for every sample. Slow, but simple."""

import copy

import torch
from torch import Tensor

from wavenet.generation.engine import Engine, State, heard_rows
from wavenet.model.wavenet import WaveNet


class NaiveEngine(Engine):
    """Runs `WaveNet.forward` on the last receptive field of codes for each sample."""

    name = "naive"

    def __init__(self, model: WaveNet, dtype: torch.dtype = torch.float32, sample_rate: int = 16000) -> None:
        self.model = copy.deepcopy(model).eval().to(dtype)
        self.precision = str(dtype).removeprefix("torch.")
        self.receptive_field, self.sample_rate = model.receptive_field, sample_rate
        self.device, self.distribution = next(model.parameters()).device, model.distribution

    @torch.inference_mode()
    def start(self, context: Tensor, rows: Tensor | None = None) -> State:
        codes, told = self.heard(context), heard_rows(rows, self.receptive_field)
        kept = [codes] if told is None else [codes, told.to(self.device)]
        return State([kept], 0, self._logits(*kept))

    @torch.inference_mode()
    def step(self, state: State, codes: Tensor, rows: Tensor | None = None) -> None:
        news = [codes] if rows is None else [codes, rows.to(self.device)]
        kept = [
            torch.cat([old, new.unsqueeze(1)], dim=1)[:, 1:] for old, new in zip(state.memory[0], news, strict=True)
        ]
        state.memory, state.position, state.logits = [kept], state.position + 1, self._logits(*kept)

    def _logits(self, codes: Tensor, rows: Tensor | None = None) -> Tensor:
        rows = None if rows is None else rows.to(self.model.skip.weight.dtype)
        return self.model(codes, rows)[:, -1].float()

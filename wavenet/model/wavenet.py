"""WaveNet: causal dilated gated residual blocks over codes of sound (van den Oord et al. 2016, arXiv:1609.03499).

    e_t     = sum_k E_k[c_{t-k}]                         initial filter, 1 tap by default
    h_l     = sum_k W_l[k] x_l[t - k d_l] + V_l y_t + b_l    dilated convolution, filter and gate halves
    z_l     = tanh(filter half) * sigmoid(gate half)
    x_{l+1} = x_l + R_l z_l + r_l                        not computed for the last layer: no dead weights
    logits  = A2 relu(A1 relu(sum_l S_l z_l + s) + a1) + a2     read by `distributions`

y_t is the row of `conditioning` for the predicted sample, made from labels, features and context stacks, if any. Frame
classes, if any, also come from relu(sum_l S_l z_l + s), in `recognition`.

Every tensor is channels-last, (batch B, time T, channels C), so a dilated convolution is one matrix product over its
concatenated taps, and the skip sum is one product over all gated outputs. No layer pads: its output is shorter than its
input by the time steps that it needs as context, which the model's caller supplies.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.config import ModelConfig
from wavenet.model import fused as stack
from wavenet.model import twins
from wavenet.model.conditioning import Conditioning, Piece
from wavenet.model.distributions import make_distribution
from wavenet.model.layers import CausalEmbedding, CausalScalar, ResidualBlock, cosines, full_linear
from wavenet.model.recognition import FrameHead


class WaveNet(nn.Module):
    """The network of the module's docstring; `config` names every width."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.distribution = make_distribution(config.mixtures)
        dilations = config.layer_dilations
        filters = CausalEmbedding if config.input == "embedding" else CausalScalar
        self.initial = filters(config.residual_channels, config.initial_filter, config.bias, self.distribution.encoding)
        last = len(dilations) - 1
        widths = (config.residual_channels, config.gate_channels, config.kernel_size)
        condition = config.condition_channels if config.conditioned else 0
        blocks = [ResidualBlock(*widths, d, i == last, config.bias, condition) for i, d in enumerate(dilations)]
        self.blocks: Sequence[ResidualBlock] = nn.ModuleList(blocks)  # type: ignore[assignment] (told by what it holds)
        self.skip = nn.Linear(len(dilations) * config.gate_channels, config.skip_channels, config.bias)
        self.hidden = nn.Linear(config.skip_channels, config.head_channels, config.bias)
        outputs = self.distribution.outputs
        self.output = nn.Linear(config.head_channels, outputs, config.bias)
        if not config.mixtures:
            with torch.no_grad():  # at the scale of torch's own initial weights
                smooth = cosines(outputs - 1, decay=1.0) @ torch.randn(outputs - 1, config.head_channels)
                self.output.weight.copy_(smooth * self.output.weight.std() / smooth.std())
        self.conditioning = Conditioning(config) if config.conditioned else None
        self.recognition = FrameHead(config.skip_channels, config.recognition) if config.recognition.classes else None
        self._compared, self._stands_in = 0, False  # the code that `fused` last checked, and its result

    @property
    def receptive_field(self) -> int:
        """Number of samples that one prediction depends on."""
        return 1 + self.initial.context + sum(block.conv.context for block in self.blocks)

    def forward(self, codes: Tensor, rows: Tensor | None = None) -> Tensor:
        """Logits of the code that follows each fully seen position.

        codes: (B, T) whole numbers of `distribution.encoding`, 0..255 for mu-law, T at least the receptive field.
        rows: (B, T, condition_channels) of `conditioning`, entry i for the sample after code i; without them,
            the model is unconditioned.
        Returns (B, T - receptive_field + 1, distribution.outputs): entry i predicts the code after position
            i + receptive_field - 1.
        Raises ValueError if T is too short.
        """
        return self.predict(self.activations(codes, rows))

    def activations(self, codes: Tensor, rows: Tensor | None = None) -> Tensor:
        """The skip sum after its ReLU, (B, T - receptive_field + 1, skip_channels), for the arguments of `forward`."""
        if codes.shape[1] < self.receptive_field:
            raise ValueError(f"{codes.shape[1]} codes are fewer than the receptive field of {self.receptive_field}")
        steps = codes.shape[1] - self.receptive_field + 1
        x = self.initial(codes)
        run = stack.run if stack.supports(x) and self.fused else self.plain_stack
        return F.relu(run(self.blocks, self.skip, x, steps, rows))

    @property
    def fused(self) -> bool:
        """Whether the compiled stack may replace the blocks: it is enabled, and computes what they do."""
        code = twins.watched(*self.blocks) if self.config.fused else None
        if code is not None and code != self._compared:
            self._compared, self._stands_in = code, twins.same(self, "stack", _stacks)
        return code is not None and self._stands_in

    @property
    def edited(self) -> bool:
        """Whether the layers' own code runs only because the compiled stack would give other results."""
        return self.config.fused and stack.supports(self.skip.weight) and not self.fused

    def rows(self, pieces: Sequence[Sequence[Piece]], length: int) -> Tensor | None:
        """Rows (B, length, condition_channels) for `forward`; None if the model is unconditioned."""
        return None if self.conditioning is None else self.conditioning.batch(pieces, length)

    @staticmethod
    def plain_stack(
        blocks: Sequence[ResidualBlock], skip: nn.Linear, x: Tensor, steps: int, rows: Tensor | None = None
    ) -> Tensor:
        """The skip sum of the last `steps` steps: x (B, T, residual) -> (B, steps, skip)."""
        gated = []
        for block in blocks:
            x, z = block(x, rows)
            gated.append(z[:, -steps:])
        return skip(torch.cat(gated, dim=-1))

    def head(self, gated: Tensor) -> Tensor:
        """Every layer's z side by side, (..., layers * gate) -> logits (..., outputs)."""
        return self.predict(F.relu(self.skip(gated)))

    def predict(self, activations: Tensor) -> Tensor:
        """The skip sum after its ReLU, (..., skip_channels) -> logits (..., outputs)."""
        hidden = F.relu(self.hidden(activations))
        if self.config.mixtures:
            return full_linear(hidden, self.output.weight, self.output.bias)
        return self.output(hidden)


def _stacks(model: WaveNet) -> tuple[Tensor, Tensor]:
    """Outputs of the compiled and the plain stack for a few random steps, in training and evaluation mode."""
    steps, context = 5, sum(block.conv.context for block in model.blocks)
    x = torch.randn(2, context + steps, model.config.residual_channels)
    rows = torch.randn(2, context + steps, model.config.condition_channels) if model.config.conditioned else None
    how = (model.blocks, model.skip, x, steps, rows)
    made = [(stack.run(*how), model.train(mode).plain_stack(*how)) for mode in (True, False)]
    fused, plain = zip(*made, strict=True)
    return torch.cat(fused), torch.cat(plain)

"""The optimizers: Muon on the weight matrices and AdamW on the rest, or AdamW on all."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.config import OptimConfig
from wavenet.model.wavenet import WaveNet

INSIDE = (
    "blocks.",
    "skip.",
    "hidden.",
    "recognition.convolutions.",
    "conditioning.context.",
    "conditioning.features.neighbours",
    "conditioning.features.mix",
)
"""Where Muon's matrices are: between layers. AdamW takes the input and output layers, and upsampling, which starts as
interpolation and would move away from it under Muon."""


NOTHING, LEAST = 1e-30, 1e-9
"""What is smaller is rounded to zero in a momentum, and in a matrix whose norm is 1. The momentum of a weight that has
stopped learning, such as one behind a ReLU that never fires, shrinks at every step. Processors take many times as long
for numbers below 1e-38, and for products that are: a run in which a fifth of a layer got there became nine times as
slow."""


def make_optimizers(
    model: nn.Module, config: OptimConfig, products: torch.dtype = torch.bfloat16, inside: tuple[str, ...] = INSIDE
) -> list[torch.optim.Optimizer]:
    """Optimizers that together hold every parameter once; the schedule scales each group's `peak_lr`.

    products: the precision of Muon's matrix products. inside: how the names of the matrices begin that Muon trains.
    """
    betas = (config.betas[0], config.betas[1])
    if config.name == "adamw":
        decayed = [p for p in model.parameters() if p.ndim > 1]
        rest = [p for p in model.parameters() if p.ndim <= 1]
        groups = [(config.lr, config.weight_decay, decayed), (config.lr, 0.0, rest)]
        optimizers: list[torch.optim.Optimizer] = []
    else:
        matrices = {name: p for name, p in model.named_parameters() if p.ndim > 1 and name.startswith(inside)}
        taken = set(map(id, matrices.values()))
        groups = [(config.adamw_lr, 0.0, [p for p in model.parameters() if id(p) not in taken])]
        # The skip sum is one product of S_1 ... S_L side by side. Making each of them orthogonal by itself was found
        # to learn faster with a softmax, and slower with a mixture.
        skip = []
        if isinstance(model, WaveNet):
            count = 1 if model.config.mixtures else len(model.blocks)
            skip = [{"params": [matrices.pop("skip.weight")], "side_by_side": count}]
        muon = [{"params": list(matrices.values())}, *skip]
        optimizers = [Muon(muon, config.lr, config.momentum, config.weight_decay, products)]
    grouped = [{"params": p, "lr": lr, "weight_decay": decay} for lr, decay, p in groups if p]
    optimizers.append(torch.optim.AdamW(grouped, betas=betas, fused=True))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


class Muon(torch.optim.Optimizer):
    """`torch.optim.Muon`, with all matrices of one shape orthogonalised at once.

    An update is the nearest orthogonal matrix to the momentum, found by five Newton-Schulz steps (Jordan et al. 2024)
    and scaled by sqrt(max(1, rows / columns)). A WaveNet's layers are alike, so one batched product serves them all. A
    convolution's weights (out, in, taps) count as a matrix (out, in * taps). In a group with `side_by_side`, each
    parameter is that many matrices of equal width, orthogonalised one by one.
    """

    COEFFICIENTS = (3.4445, -4.7750, 2.0315)
    STEPS = 5

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float,
        weight_decay: float,
        products: torch.dtype = torch.bfloat16,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "side_by_side": 1}
        super().__init__(parameters, defaults)
        self.products = products

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override] (torch's overloads)
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape].append(parameter)
            for shape, parameters in alike.items():
                gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
                buffers = [self._momentum(parameter) for parameter in parameters]
                torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
                for buffer in buffers:
                    buffer.copy_(F.hardshrink(buffer, NOTHING))
                updates = torch._foreach_lerp(gradients, buffers, group["momentum"])  # Nesterov's look ahead
                matrices = torch.cat(torch.stack(updates).flatten(2).chunk(group["side_by_side"], dim=2))
                rate = group["lr"] * max(1, matrices.shape[1] / matrices.shape[2]) ** 0.5
                orthogonal = self._orthogonalise(matrices).to(parameters[0].dtype)
                orthogonal = torch.cat(orthogonal.chunk(group["side_by_side"]), dim=2).unflatten(2, shape[1:])
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(parameters, list(orthogonal), alpha=-rate)

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        return state["momentum"]

    def _orthogonalise(self, matrices: Tensor) -> Tensor:
        """(n, rows, columns) -> (n, rows, columns), each U S V^T becomes about U V^T."""
        a, b, c = self.COEFFICIENTS
        tall = matrices.shape[1] > matrices.shape[2]
        x = (matrices.mT if tall else matrices).to(self.products)
        x = F.hardshrink(x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7), LEAST)
        for _ in range(self.STEPS):
            gram = x @ x.mT
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        return x.mT if tall else x

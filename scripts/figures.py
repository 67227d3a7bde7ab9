"""Draw the pictures that need no training: those of docs/convolutions.md, and the chart of generation speed.

    python scripts/figures.py [output=docs/pictures]

`receptive_field.png`: which inputs the last output of a stack depends on, without and with dilation, by gradient.
`convolutions.png`: where the zeros go, in the kernel or in the input, and how often a transposed convolution's kernels
overlap. torch computes every number and connection in these two pictures.
`generation.png`: a chart of docs/benchmarks/2026-11-24-epyc.json, a report of `scripts/benchmark.py generation`.
"""

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from wavenet.audio import plots
from wavenet.cli.terminal import steady_streams
from wavenet.files import atomic

ROOT = Path(__file__).parents[1]
REACHED, KERNEL, ZERO, FAINT, INK = "#0072B2", "#E69F00", "#D55E00", "#c9ced3", "#222222"  # of wavenet.mplstyle
LAYERS = 4
INPUTS = 18
SIGNAL = (2, 1, 3, 0, 4, 1, 2, 3, 1, 2)
TAPS = (1, 2, 1)


def main() -> None:
    given = {name: value for name, _, value in (setting.partition("=") for setting in sys.argv[1:])}
    if not set(given) <= {"output"}:
        sys.exit(__doc__)
    output = Path(given.get("output") or ROOT / "docs" / "pictures")
    figures = {"receptive_field": receptive_field(), "convolutions": convolutions(), "generation": generation()}
    for name, figure in figures.items():
        save(figure, output / f"{name}.png")
        print(output / f"{name}.png")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG with 200 colours, a third of the usual size; whole or not at all."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110, facecolor="white")
    with atomic(path) as temporary:
        Image.open(picture).convert("RGB").quantize(200).save(temporary, optimize=True)


def generation() -> Figure:
    """Chart how fast the peer and each engine make one stream on one thread."""
    report = json.loads((ROOT / "docs" / "benchmarks" / "2026-11-24-epyc.json").read_text())
    machine = report["machine"].split(",")[0]
    return plots.speeds(report["rows"], f"How fast one sound is made on one core ({machine})")


@dataclass(frozen=True)
class Connections:
    """A stack's graph, inputs first. Nothing is padded: None marks a step for which a layer has too little past."""

    paths: list[list[float | None]]
    """For every node, the number of paths to the last output."""
    edges: list[list[tuple[int, int]]]
    """For every layer, pairs of an input step and an output step that depends on it."""


def connections(dilations: Sequence[int], kernel_size: int, inputs: int) -> Connections:
    """Run a one-channel stack whose weights are all 1, so that a gradient counts paths."""
    weight = torch.ones(1, 1, kernel_size)
    nodes, edges = [torch.ones(1, 1, inputs, requires_grad=True)], []
    for dilation in dilations:
        below = nodes[-1]
        nodes.append(F.conv1d(below, weight, dilation=dilation))
        edges.append([])
        for target, output in enumerate(nodes[-1].flatten()):
            sources = torch.autograd.grad(output, below, retain_graph=True)[0].flatten().nonzero().flatten().tolist()
            edges[-1] += [(inputs - below.numel() + s, inputs - nodes[-1].numel() + target) for s in sources]
    gradients = torch.autograd.grad(nodes[-1][0, 0, -1], nodes)
    paths: list[list[float | None]] = [[*[None] * (inputs - g.numel()), *g.flatten().tolist()] for g in gradients]
    return Connections(paths, edges)


@plots.styled
def receptive_field() -> Figure:
    """A plain and a dilated stack, one below the other, with every connection that leads to the last output."""
    figure = Figure(figsize=(9, 5.4))
    stacks = {"plain": [1] * LAYERS, "dilated": [2**layer for layer in range(LAYERS)]}
    for axes, (name, dilations) in zip(figure.subplots(len(stacks), 1), stacks.items(), strict=True):
        stack = connections(dilations, kernel_size=2, inputs=INPUTS)
        heard = sum(1 for paths in stack.paths[0] if paths)
        _draw_stack(axes, stack, dilations)
        written = ", ".join(map(str, dilations))
        title = f"{name} (dilations {written}, kernel size 2): the last output sees {heard} inputs"
        axes.set_title(title, loc="left", color=INK)
    figure.supxlabel("number in an input: how many paths lead from it to the last output", fontsize=11, color=INK)
    return figure


def _draw_stack(axes: Axes, stack: Connections, dilations: Sequence[int]) -> None:
    for height, pairs in enumerate(stack.edges):
        for source, target in pairs:
            leads = bool(stack.paths[height + 1][target])
            style = {"color": REACHED, "linewidth": 1.8, "zorder": 2} if leads else {"color": FAINT, "linewidth": 0.7}
            axes.plot([source, target], [height, height + 1], **style)
    for height, row in enumerate(stack.paths):
        for step, paths in enumerate(row):
            if paths is None:
                continue
            colour = KERNEL if height == len(stack.edges) and paths else REACHED if paths else "white"
            axes.scatter(step, height, s=230, color=colour, edgecolors=REACHED if paths else FAINT, zorder=3)
            if height == 0:
                ink = "white" if paths else FAINT
                axes.text(step, height, f"{paths:.0f}", color=ink, ha="center", va="center_baseline", zorder=4)
    labels = ["input", *(f"dilation {dilation}" for dilation in dilations)]
    axes.set_yticks(range(len(labels)), labels, color=INK)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.set(xlim=(-0.6, len(stack.paths[0]) - 0.4), ylim=(-0.45, len(labels) - 0.55))
    axes.spines[:].set_visible(False)


@plots.styled
def convolutions() -> Figure:
    """Zeros in the kernel beside zeros in the input, and below, how often kernels of size 3 and 4 overlap."""
    figure = Figure(figsize=(9, 5.8))
    (left, right), (uneven, even) = figure.subplots(2, 2, height_ratios=(1.2, 1))
    _draw_dilated(left)
    _draw_transposed(right)
    for axes, kernel_size in ((uneven, 3), (even, 4)):
        _draw_overlaps(axes, kernel_size, stride=2, inputs=6)
    return figure


def _draw_dilated(axes: Axes) -> None:
    dilation, shown = 2, 7
    context = (len(TAPS) - 1) * dilation
    padded = F.pad(torch.tensor([[SIGNAL]], dtype=torch.float32), (context, 0)).requires_grad_()
    output = F.conv1d(padded, torch.tensor([[TAPS]], dtype=torch.float32), dilation=dilation)
    kernel = _weights_under(output[0, 0, shown], padded, skipped=context)
    middle = (min(kernel) + max(kernel)) // 2
    _draw_strip(axes, 3, "input", dict(enumerate(SIGNAL)))
    _draw_strip(axes, 2, "kernel", dict(enumerate(TAPS, start=middle - len(TAPS) // 2)), KERNEL)
    _draw_strip(axes, 1, "with zeros", kernel, KERNEL, zeros=[step for step, weight in kernel.items() if not weight])
    _draw_output(axes, output, shown, kernel)
    title = f"dilated (dilation {dilation}): zeros in the kernel\n{len(SIGNAL)} samples in, {output.shape[-1]} out"
    axes.set_title(title, color=INK)


def _draw_transposed(axes: Axes) -> None:
    stride, shown = 2, 5
    signal = torch.tensor([[SIGNAL[: len(SIGNAL) // stride]]], dtype=torch.float32)
    weight = torch.tensor([[TAPS]], dtype=torch.float32)
    spread = F.conv_transpose1d(signal, torch.ones(1, 1, 1), stride=stride, output_padding=stride - 1).requires_grad_()
    output = F.conv1d(spread, weight.flip(2), padding=1)
    assert torch.equal(output, F.conv_transpose1d(signal, weight, stride=stride, padding=1, output_padding=1))
    kernel = _weights_under(output[0, 0, shown], spread)
    samples = {stride * step: value for step, value in enumerate(signal.flatten().tolist())}
    everything = dict(enumerate(spread.flatten().tolist()))
    _draw_strip(axes, 3, "input", samples)
    _draw_strip(axes, 2, "with zeros", everything, zeros=[step for step in everything if step not in samples])
    _draw_strip(axes, 1, "kernel", kernel, KERNEL)
    _draw_output(axes, output, shown, kernel)
    title = f"transposed (stride {stride}): zeros in the input\n{signal.shape[-1]} samples in, {output.shape[-1]} out"
    axes.set_title(title, color=INK)


def _weights_under(output: Tensor, signal: Tensor, skipped: int = 0) -> dict[int, float]:
    """The kernel over the signal (1, 1, T) for one output, by step counted from `skipped`."""
    weights = torch.autograd.grad(output, signal)[0].flatten()
    steps = weights.nonzero().flatten().tolist()
    return {step - skipped: weights[step].item() for step in range(steps[0], steps[-1] + 1)}


def _draw_strip(
    axes: Axes, row: int, name: str, cells: dict[int, float], colour: str = "white", zeros: Sequence[int] = ()
) -> None:
    """Draw numbers in boxes, by step; those that an operation inserts, at `zeros`, are red."""
    axes.text(-0.8, row, name, ha="right", va="center", color=INK)
    for step, value in cells.items():
        face, edge = ("white", ZERO) if step in zeros else (colour, INK)
        axes.add_patch(Rectangle((step - 0.46, row - 0.3), 0.92, 0.6, facecolor=face, edgecolor=edge, zorder=3))
        axes.text(step, row, f"{value:.0f}", color=edge, ha="center", va="center_baseline", zorder=4)


def _draw_output(axes: Axes, output: Tensor, shown: int, kernel: dict[int, float]) -> None:
    """Draw the lowest row, and lines from the kernel above it to the output that it makes there."""
    cells = dict(enumerate(output.flatten().tolist()))
    _draw_strip(axes, 0, "output", cells)
    _draw_strip(axes, 0, "", {shown: cells[shown]}, KERNEL)
    for side, step in ((-0.46, min(kernel)), (0.46, max(kernel))):
        axes.plot([step + side, shown + side], [0.7, 0.3], color=KERNEL)
    axes.set(xlim=(-3.6, len(cells) - 0.4), ylim=(-0.45, 3.45))
    axes.axis("off")


def _draw_overlaps(axes: Axes, kernel_size: int, stride: int, inputs: int) -> None:
    """Stack every input's footprint: the height is the number of kernels that reach an output."""
    weight = torch.ones(1, 1, kernel_size)
    footprints = F.conv_transpose1d(torch.eye(inputs).unsqueeze(1), weight, stride=stride).squeeze(1)
    counts = F.conv_transpose1d(torch.ones(1, 1, inputs), weight, stride=stride).flatten()
    bottom = torch.zeros_like(counts)
    for number, footprint in enumerate(footprints):
        colour = (REACHED, "#56B4E9")[number % 2]
        axes.bar(range(len(counts)), footprint.tolist(), 0.92, bottom.tolist(), color=colour, edgecolor="white")
        bottom += footprint
    for step, count in enumerate(counts.tolist()):
        axes.text(step, count + 0.06, f"{count:.0f}", ha="center", va="bottom", color=INK)
    interior = counts[kernel_size - 1 : stride * inputs]
    uneven = interior.min() < interior.max()
    what = "uneven, a checkerboard" if uneven else "even, except at the ends"
    axes.set_title(f"kernel {kernel_size}, stride {stride}: {what}", color=ZERO if uneven else INK)
    axes.set(ylim=(0, 2.6), xlim=(-0.6, 13.6), xlabel="how many inputs reach each output")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.spines["bottom"].set_visible(True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with steady_streams():
        main()

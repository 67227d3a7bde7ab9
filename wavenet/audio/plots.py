"""Figures: spectrograms, learning curves, learned labels and features, speeds.

This is the only module that imports matplotlib. All figures share one style, wavenet.mplstyle.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from matplotlib import rcParams, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from torch import Tensor
from torchaudio.transforms import Spectrogram

from wavenet.files import atomic

P = ParamSpec("P")
T = TypeVar("T")

STYLE = Path(__file__).with_name("wavenet.mplstyle")
FLOOR_DB = -80
"""Decibels below the loudest point that are still drawn."""
QUIET, FIRST, SECOND = "#999999", "#0072B2", "#D55E00"
"""Grey for what others are compared with, and the first two colours of the style. They are written out because
matplotlib looks up a name such as C0 only when it draws, outside the style."""
DASHES = ("-", "--", ":", "-.")
SMOOTHED = 50
"""A curve of at least this many points is smoothed: each point becomes the mean of a fifteenth of them."""
LONG_LABEL = 40
"""The name of a curve with more letters than this moves the legend above the curves."""


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """`draw`, in the package's style."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with style.context(STYLE):
            return draw(*args, **kwargs)

    return drawn


@styled
def spectrograms(sounds: dict[str, Tensor], sample_rate: int) -> Figure:
    """Spectrograms of sounds (samples,), one below the other: 32 ms windows every 4 ms, dB below the loudest point."""
    size = max(2 ** round(np.log2(0.032 * sample_rate)), 16)
    spectrogram = Spectrogram(n_fft=size, hop_length=size // 8)
    padded = [torch.nn.functional.pad(sound, (0, max(size - len(sound), 0))) for sound in sounds.values()]
    powers = [spectrogram(sound).clamp(min=1e-12) for sound in padded]
    loudest = max(float(power.max()) for power in powers)
    figure = Figure(figsize=(9, 2.6 * len(sounds)))
    rows = figure.subplots(len(sounds), 1, squeeze=False)[:, 0]
    for axes, title, sound, power in zip(rows, sounds, padded, powers, strict=True):
        decibels = 10 * torch.log10(power / loudest)
        extent = (0, len(sound) / sample_rate, 0, sample_rate / 2000)
        image = axes.imshow(decibels.numpy(), origin="lower", aspect="auto", extent=extent, vmin=FLOOR_DB, vmax=0)
        axes.set(title=title, ylabel="frequency (kHz)", xlim=(0, max(map(len, padded)) / sample_rate))
    rows[-1].set_xlabel("time (s)")
    figure.colorbar(image, ax=list(rows), label="power (dB, loudest: 0)", aspect=15 * len(sounds), pad=0.01)
    return figure


@styled
def embeddings(names: list[tuple[str, str]], vectors: Tensor) -> Figure:
    """The learned vectors (n, C) of each label's values, on the two axes along which they differ most (PCA).

    Both axes have the same scale, so values that lie close together are alike. The axes say how much of all differences
    they show.
    """
    labels = list(dict.fromkeys(label for label, _ in names))
    figure, written = Figure(figsize=(5 * len(labels), 4.8)), {}
    for axes, label in zip(figure.subplots(1, len(labels), squeeze=False)[0], labels, strict=True):
        chosen = [i for i, (other, _) in enumerate(names) if other == label]
        centred = vectors[chosen] - vectors[chosen].mean(dim=0)
        _, sizes, axes_of_most = torch.linalg.svd(centred, full_matrices=False)
        places = torch.nn.functional.pad(centred @ axes_of_most[:2].t(), (0, max(2 - len(axes_of_most), 0))).numpy()
        shares = torch.nn.functional.pad(sizes.square() / sizes.square().sum().clamp(min=1e-12), (0, 2))
        axes.scatter(places[:, 0], places[:, 1], s=25)
        axes.margins(0.12)
        axes.set_aspect("equal", adjustable="datalim")
        first, second = (f"{float(share):.0%} of the differences" for share in shares[:2])
        title = f"{label}: close means alike"
        axes.set(title=title, xlabel=f"first axis: {first}", ylabel=f"second axis: {second}")
        written[axes] = [(names[i][1], place) for place, i in zip(places, chosen, strict=True)]
    figure.draw_without_rendering()  # lays the figure out, so that positions are known
    for axes, points in written.items():
        _write_beside(axes, points)
    return figure


def _write_beside(axes: Axes, points: list[tuple[str, np.ndarray]]) -> None:
    """Write names beside points, inside the frame and clear of each other where possible."""
    frame, dots = axes.get_window_extent(), axes.transData.transform([place for _, place in points])
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in dots]
    ways = [(7, 0, "left", "center"), (-7, 0, "right", "center"), (0, 7, "center", "bottom"), (0, -7, "center", "top")]
    for name, place in points:
        for last, (x, y, side, height) in enumerate([*ways, ways[0]], start=-len(ways)):
            text = axes.annotate(
                name,
                (place[0], place[1]),
                xytext=(x, y),
                textcoords="offset points",
                ha=side,
                va=height,
                parse_math=False,
            )
            box = text.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if not last or (inside and not any(box.overlaps(other) for other in taken)):
                taken.append(box)
                break
            text.remove()


@styled
def upsampled(sound: Tensor, rows: Tensor, sample_rate: int) -> Figure:
    """The rows made from features, below the spectrogram of the recording (n,) that they describe.

    rows: (n, C), one per sample. Each channel is scaled by its own mean and deviation, and drawn from blue to red.
    """
    title = "its features as the network sees them: one row per sample, blue is low, red is high"
    figure = spectrograms({"recording": sound, title: sound}, sample_rate)
    axes = figure.axes[1]
    axes.clear()
    scaled = (rows - rows.mean(dim=0)) / rows.std(dim=0).clamp(min=1e-6)
    extent = (0, len(rows) / sample_rate, 0, rows.shape[1])
    step = max(1, len(rows) // 2000)
    axes.imshow(
        scaled[::step].t().numpy(), origin="lower", aspect="auto", extent=extent, vmin=-3, vmax=3, cmap="RdBu_r"
    )
    axes.set(title=title, xlabel="time (s)", ylabel="channel")
    return figure


@styled
def curves(series: dict[str, np.ndarray], levels: dict[str, float]) -> Figure:
    """Bits per sample over steps, beside horizontal levels to compare with.

    Each series is (n, 2) of step and bits. One with many points is smoothed, over the faint raw one. The scale leaves
    out the first steep fall.
    """
    figure = Figure(figsize=(8, 4.5))
    axes = figure.subplots()
    shown = _draw(axes, {label: points for label, points in series.items() if len(points)})
    for (label, level), dashes in zip(levels.items(), ("--", ":", "-."), strict=False):
        axes.axhline(level, label=f"{label} ({level:.2f})", linestyle=dashes, color=QUIET)
    _zoom(axes, np.concatenate([*shown, list(levels.values())]) if shown else np.array([0.0, 8.0]))
    axes.set(title="What a sample costs: lower is better", xlabel="step", ylabel="bits per sample")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if any(len(label) > LONG_LABEL for label in series):
        _as_written(figure.legend(loc="outside upper left"))  # inside, it would hide the curves
    else:
        _as_written(axes.legend())
    return figure


@styled
def comparison(steps: dict[str, np.ndarray], minutes: dict[str, np.ndarray]) -> Figure:
    """Bits per sample of several runs, by name: over steps on the left, over minutes on the right.

    Each series is (n, 2), of step and bits, or of minutes and bits, and drawn as in `curves`. One that is empty is left
    out.
    """
    figure = Figure(figsize=(11, 4.5 + 0.22 * len(steps)))
    left, right = figure.subplots(1, 2, sharey=True)
    shown = _draw(left, steps)
    _draw(right, minutes)
    if shown:
        _zoom(left, np.concatenate(shown))
    left.set(title="What a sample costs: lower is better", xlabel="step", ylabel="bits per sample")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.set(title="and how long that takes", xlabel="minutes")
    if shown:
        _as_written(figure.legend(*left.get_legend_handles_labels(), loc="outside lower left"))
    return figure


def _draw(axes: Axes, series: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Draw curves, each in a colour and then a dash of its own; return their values without the first steep fall."""
    shown, colours = [], rcParams["axes.prop_cycle"].by_key()["color"]
    for number, (label, points) in enumerate(series.items()):
        if not len(points):
            continue
        few, colour, dash = len(points) < SMOOTHED, colours[number % len(colours)], DASHES[number // len(colours) % 4]
        marker = "o" if few else None
        axes.plot(*smoothed(points).T, label=label, color=colour, linestyle=dash, marker=marker, markersize=4)
        if not few:
            axes.plot(*points.T, color=colour, alpha=0.2, linewidth=1, zorder=1)
        shown.append(smoothed(points)[len(points) // 10 :, 1])
    return shown


def _as_written(legend: Legend) -> None:
    for text in legend.get_texts():
        text.set_parse_math(False)  # a folder's name may hold dollar signs


def _zoom(axes: Axes, values: np.ndarray) -> None:
    space = 0.05 * (values.max() - values.min()) + 0.01
    axes.set_ylim(values.min() - space, values.max() + space)


def smoothed(points: np.ndarray) -> np.ndarray:
    """(n, 2) of step and bits, each point averaged with its neighbours. A short series is returned as it is."""
    if len(points) < SMOOTHED:
        return points
    half = len(points) // 30
    sums = np.cumsum(np.concatenate([[0.0], points[:, 1]]))
    first, last = np.arange(len(points)) - half, np.arange(len(points)) + half + 1
    first, last = first.clip(0), last.clip(max=len(points))
    return np.stack([points[:, 0], (sums[last] - sums[first]) / (last - first)], axis=1)


@styled
def speeds(rows: list[dict[str, Any]], title: str) -> Figure:
    """Samples per second as bars on a logarithmic scale, from the rows that scripts/benchmark.py reports.

    The bars show `base`, one stream on one thread: the peer, and each engine in each precision with the widest
    instructions. Tables hold the rest.
    """
    chosen: dict[str, dict[str, Any]] = {}
    for row in rows:
        ours = row["ratio_to_peer"] != 1
        if (row["model"], row["streams"], row["threads"]) == ("base", 1, 1):
            chosen.setdefault(f"{row['engine']}, {row['precision']}" if ours else row["name"], row)
    figure = Figure(figsize=(9, 0.45 * len(chosen) + 1.3))
    axes = figure.subplots()
    values = [row["samples_per_second"] for row in chosen.values()]
    colours = [QUIET if row["ratio_to_peer"] == 1 else FIRST for row in chosen.values()]
    bars = axes.barh(range(len(chosen)), values, color=colours, height=0.7)
    axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=4)
    axes.axvline(16000, color=SECOND, linestyle="--", zorder=0)
    axes.annotate(
        "real time at 16 kHz", (16000, 1), xycoords=("data", "axes fraction"), color=SECOND, ha="center", va="bottom"
    )
    axes.set(xscale="log", xlabel="samples per second (logarithmic scale)", xlim=(min(values) / 1.5, max(values) * 3))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_yticks(range(len(chosen)), list(chosen))
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


@styled
def speech(
    text: str, sound: Tensor, sample_rate: int, mel: Tensor, moments: list[tuple[float, float, str, str]]
) -> Figure:
    """What becomes of a text: its words and units in time, the log-mel spectrum (n, mels), and the sound (samples,).

    moments: start and stop in seconds, unit and word, in order of time.
    """
    figure = Figure(figsize=(9, 5))
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(1, 2.6, 1.4))
    seconds = len(sound) / sample_rate
    words: list[list[Any]] = []
    for start, stop, unit, word in moments:
        top.axvline(start, color=QUIET, linewidth=0.5)
        middle.axvline(start, color="white", linewidth=0.5, alpha=0.6)
        top.text((start + stop) / 2, 0.25, unit, ha="center", va="center", fontsize=8, clip_on=True)
        if word and words and words[-1][2] == word and words[-1][1] == start:
            words[-1][1] = stop
        elif word:
            words.append([start, stop, word])
    for start, stop, word in words:
        top.text((start + stop) / 2, 0.75, word, ha="center", va="center", fontsize=9, color=FIRST, clip_on=True)
    top.set(title=text, ylim=(0, 1), yticks=[])
    middle.imshow(mel.T, origin="lower", aspect="auto", extent=(0, seconds, 0, mel.shape[1]), interpolation="nearest")
    middle.set(ylabel="mel band")
    bottom.plot(np.arange(len(sound)) / sample_rate, sound, color=FIRST, linewidth=0.5)
    bottom.set(xlabel="seconds", ylabel="amplitude", xlim=(0, seconds), ylim=(-1, 1))
    for axes in (top, middle, bottom):
        axes.grid(visible=False)
    return figure

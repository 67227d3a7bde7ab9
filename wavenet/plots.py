"""Figures: spectrograms and learning curves. The only importer of matplotlib."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torchaudio.transforms import Spectrogram

from wavenet.files import atomic

FLOOR_DB = -90
"""Decibels below the picture's peak that are still drawn."""


def spectrograms(sounds: dict[str, Tensor], sample_rate: int) -> Figure:
    """Spectrograms, (samples,) each, one below the other: 32 ms windows every 4 ms, decibels below each one's peak."""
    size = max(2 ** round(np.log2(0.032 * sample_rate)), 16)
    hop = size // 8
    spectrogram = Spectrogram(n_fft=size, hop_length=hop)
    figure = Figure(figsize=(9, 2.6 * len(sounds)), layout="constrained")
    for axes, (title, sound) in zip(figure.subplots(len(sounds), 1, squeeze=False)[:, 0], sounds.items(), strict=True):
        sound = torch.nn.functional.pad(sound, (0, max(size - len(sound), 0)))
        power = spectrogram(sound).clamp(min=1e-12)
        decibels = 10 * torch.log10(power / power.max())
        extent = (0, len(sound) / sample_rate, 0, sample_rate / 2000)
        axes.imshow(decibels.numpy(), origin="lower", aspect="auto", extent=extent, vmin=FLOOR_DB, vmax=0, cmap="magma")
        axes.set(title=title, xlabel="seconds", ylabel="kHz")
    return figure


def embeddings(names: list[tuple[str, str]], vectors: Tensor) -> Figure:
    """What was learned of labels: each one's vectors (n, C) on the two axes along which they differ most (PCA)."""
    labels = list(dict.fromkeys(label for label, _ in names))
    figure = Figure(figsize=(5 * len(labels), 4.5), layout="constrained")
    for axes, label in zip(figure.subplots(1, len(labels), squeeze=False)[0], labels, strict=True):
        chosen = [i for i, (other, _) in enumerate(names) if other == label]
        centred = vectors[chosen] - vectors[chosen].mean(dim=0)
        _, _, axes_of_most = torch.linalg.svd(centred, full_matrices=False)
        places = torch.nn.functional.pad(centred @ axes_of_most[:2].t(), (0, max(2 - len(axes_of_most), 0))).numpy()
        axes.scatter(places[:, 0], places[:, 1])
        for place, i in zip(places, chosen, strict=True):
            axes.annotate(names[i][1], place, xytext=(4, 4), textcoords="offset points", parse_math=False)
        axes.set(title=label, xlabel="first principal axis", ylabel="second")
    return figure


def upsampled(sound: Tensor, rows: Tensor, sample_rate: int) -> Figure:
    """What was learned of features: rows (n, C), one per sample, each channel from blue to red, below the spectrogram
    of the recording (n,) that they describe."""
    figure = spectrograms({"recording": sound, "its features at the sample rate": sound}, sample_rate)
    axes = figure.axes[1]
    axes.clear()
    scaled = (rows - rows.mean(dim=0)) / rows.std(dim=0).clamp(min=1e-6)
    extent = (0, len(rows) / sample_rate, 0, rows.shape[1])
    step = max(1, len(rows) // 2000)
    axes.imshow(
        scaled[::step].t().numpy(), origin="lower", aspect="auto", extent=extent, vmin=-3, vmax=3, cmap="RdBu_r"
    )
    axes.set(title="its features, upsampled to one row per sample", xlabel="seconds", ylabel="channel")
    return figure


def curves(series: dict[str, np.ndarray], levels: dict[str, float]) -> Figure:
    """Bits per sample over steps: each series (n, 2) of step and bits, with horizontal levels to compare with."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for label, points in series.items():
        axes.plot(points[:, 0], points[:, 1], label=label, marker="o" if len(points) < 20 else None)
    for (label, level), style in zip(levels.items(), ("--", ":", "-."), strict=False):
        axes.axhline(level, label=f"{label} ({level:.2f})", linestyle=style, color="grey")
    axes.set(xlabel="step", ylabel="bits per sample")
    axes.legend()
    return figure


def speeds(rows: list[dict[str, Any]], title: str) -> Figure:
    """Samples per second as bars, on a logarithmic scale: rows as scripts/benchmark.py reports them."""
    figure = Figure(figsize=(9, 0.3 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    labels = []
    for r in rows:
        many = f", {r['streams']} streams" if r["streams"] > 1 else ""
        cores = f", {r['threads']} threads" if r["threads"] > 1 else ""
        labels.append(f"{r['name']}: {r['model']}, {r['engine']} {r['precision']}{many}{cores}")
    values = [r["samples_per_second"] for r in rows]
    bars = axes.barh(range(len(rows)), values, color=["grey" if r["ratio_to_peer"] == 1 else "C0" for r in rows])
    axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3)
    axes.axvline(16000, color="C3", linestyle="--", label="real time at 16 kHz")
    axes.set(xscale="log", xlabel="samples per second", title=title, xlim=(min(values) / 1.5, max(values) * 4))
    axes.set_yticks(range(len(rows)), labels)
    axes.invert_yaxis()
    axes.legend(loc="lower right")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)

"""Pictures: everything inside the frame, scales where there is something to read off, one style for all."""

import numpy as np
import pytest
import torch
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from wavenet.audio import plots


def drawn(figure: Figure) -> Figure:
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    return figure


def test_spectrograms_have_a_scale_in_decibels():
    t = torch.arange(8000) / 8000
    loud = torch.sin(2 * torch.pi * 1000 * t)
    figure = drawn(plots.spectrograms({"made": loud / 10, "recording": loud}, 8000))
    quiet, recording, scale = figure.axes
    assert scale.get_ylabel() == "power (dB, loudest: 0)"
    peaks = [float(axes.images[0].get_array().max()) for axes in (quiet, recording)]  # type: ignore[union-attr] (it has one)
    assert peaks == pytest.approx([-20, 0], abs=0.1)


def test_names_of_labels_stay_inside_their_frame():
    torch.manual_seed(0)
    names = [("speaker", name) for name in ("nicolas", "lucas", "yweweler", "george", "theo", "jackson")]
    figure = drawn(plots.embeddings(names, torch.randn(6, 8)))
    (axes,) = figure.axes
    frame = axes.get_window_extent()
    assert len(axes.texts) == 6
    for text in axes.texts:
        box = text.get_window_extent()
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1, text.get_text()
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1, text.get_text()


def test_names_of_neighbours_can_be_read():
    names = [("speaker", name) for name in ("jackson", "yweweler", "theo", "nicolas")]
    figure = drawn(plots.embeddings(names, torch.tensor([[0.3, 0.05], [0.45, 0.1], [0.2, -0.1], [-2.0, -0.5]])))
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    same = plots.embeddings([("speaker", "x")] * 40, torch.zeros(40, 3))  # no room for all: written all the same
    assert len(drawn(same).axes[0].texts) == 40


def test_what_lies_close_is_alike():
    """A picture whose axes have scales of their own may show far apart what is not."""
    places = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 1.0], [10.0, 1.0]])
    figure = drawn(plots.embeddings([("digit", str(i)) for i in range(4)], places))
    (axes,) = figure.axes
    origin, right, up = axes.transData.transform([(0, 0), (1, 0), (0, 1)])
    assert right[0] - origin[0] == pytest.approx(up[1] - origin[1])
    assert axes.get_xlabel() == "first axis: 99% of the differences"


def test_curves_are_smooth_over_the_faint_raw_ones():
    random = np.random.default_rng(0)
    steps = np.arange(1, 1001)
    raw = np.stack([steps, 3 + 5 * np.exp(-steps / 30) + random.normal(0, 0.5, 1000)], axis=1)
    figure = plots.curves({"training": raw, "validation": raw[99::100]}, {"unigram": 7.5, "linear predictor": 4.4})
    (axes,) = figure.axes
    smooth, faint, held_out, *levels = axes.lines
    assert smooth.get_color() == faint.get_color() != held_out.get_color()
    assert faint.get_alpha() == 0.2
    late = np.asarray(smooth.get_ydata(), dtype=float)[200:]
    assert late.std() < 0.15
    assert abs(late.mean() - 3) < 0.05
    assert len(np.asarray(held_out.get_ydata())) == 10
    assert [line.get_label() for line in levels] == ["unigram (7.50)", "linear predictor (4.40)"]


def test_curves_alone_are_zoomed_on_their_ends():
    steps = np.arange(1, 201)
    runs = {f"{i}": np.stack([steps, 4 + i / 10 + 4 * np.exp(-steps / 5)], axis=1) for i in range(4)}
    (axes,) = plots.curves(runs, {}).axes
    low, high = axes.get_ylim()
    assert 3.9 < low < 4.0
    assert 4.3 < high < 5


def test_long_names_of_curves_stand_above_them_as_they_are():
    points = np.array([[1.0, 5.0], [2.0, 4.0]])
    name = "data.dir=/home/me/$\\nosuch$, optim.lr=0.02, model.stacks=3"
    figure = drawn(plots.curves({name: points}, {}))
    (legend,), (axes,) = figure.legends, figure.axes
    assert [text.get_text() for text in legend.get_texts()] == [name]
    assert axes.get_legend() is None
    assert legend.get_window_extent().y0 >= axes.get_window_extent().y1


def test_smoothing_keeps_what_is_straight():
    line = np.stack([np.arange(500.0), np.arange(500.0)], axis=1)
    assert np.allclose(plots.smoothed(line)[16:-16], line[16:-16])
    assert plots.smoothed(line[:20]) is not None
    assert np.array_equal(plots.smoothed(line[:20]), line[:20])


def test_speeds_show_few_bars_and_whole_titles():
    shape = {"threads": 1, "model": "base", "ratio_to_peer": 1}
    rows = [
        {
            "name": "peer",
            "engine": "incremental",
            "precision": "float32",
            "streams": 1,
            "samples_per_second": 600,
            **shape,
        }
    ]
    for instructions in ("avx512", "avx2"):
        for precision in ("float32", "bfloat16", "int8"):
            for streams, threads, model in ((1, 1, "base"), (24, 1, "base"), (24, 2, "base"), (1, 1, "large")):
                row = {"name": f"wavenet, {instructions}", "engine": "compiled", "precision": precision}
                row |= {"streams": streams, "threads": threads, "model": model, "ratio_to_peer": 9.0}
                rows.append(row | {"samples_per_second": 5000 if instructions == "avx2" else 90_000})
    title = "generation: AMD EPYC, 2 cores, Linux, torch 2.14.1+cu130, a machine with a rather long name"
    figure = drawn(plots.speeds(rows, title))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        *("peer", "compiled, float32", "compiled, bfloat16", "compiled, int8")
    ]
    assert [bar.get_width() for bar in axes.patches] == [600, 90_000, 90_000, 90_000]
    box = figure.texts[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_figures_leave_the_readers_own_style_alone():
    before = dict(rcParams)
    plots.curves({"a": np.array([[1.0, 2.0]])}, {})
    assert dict(rcParams) == before

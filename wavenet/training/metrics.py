"""A run's records: metrics.jsonl, sounds and pictures under the run folder, and the boards that show them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from wavenet import audio
from wavenet.audio import plots
from wavenet.files import atomic
from wavenet.training.boards import Board
from wavenet.training.runs import read_metrics


class RunLog:
    """Writes what a run measures. Metric names are paths, such as `train/bits`; values are floats."""

    def __init__(
        self,
        folder: Path,
        sample_rate: int,
        from_step: int = 0,
        boards: Sequence[Board] = (),
        measured: bool = True,
    ) -> None:
        """A resumed run writes what comes after `from_step` again and, unless all was `measured` there, what is
        measured at that step."""
        self.folder, self.sample_rate, self.boards = folder, sample_rate, boards
        self.path = folder / "metrics.jsonl"
        self.baselines: dict[str, float] = {}
        folder.mkdir(parents=True, exist_ok=True)
        kept = [row for row in read_metrics(folder) if row["step"] <= from_step]
        if not measured:
            kept = [row for row in kept if row["step"] < from_step or any(name.startswith("train/") for name in row)]
        with atomic(self.path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in kept))

    def settings(self, values: dict[str, Any]) -> None:
        """Show the settings, {"optim": {"lr": 0.02}, ...}, on every board."""
        for board in self.boards:
            board.settings(values)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Append one line to metrics.jsonl, and show the values on every board, beside the baselines."""
        with open(self.path, "a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if "valid/bits" in values:
            values = values | {f"baseline/{name}": value for name, value in self.baselines.items()}
        for board in self.boards:
            board.scalars(step, values)

    def sound(self, step: int, path: Path, recording: Tensor) -> Tensor:
        """Show a generated file, and draw its spectrogram beside that of a recording, (samples,).

        Returns the file's sound, (samples,).
        """
        made = audio.read(path, self.sample_rate)
        for board in self.boards:
            board.sound(step, "sample", made, self.sample_rate)
        figure = plots.spectrograms({"generated": made, "recording": recording}, self.sample_rate)
        self._picture(step, "sample/spectrogram", figure, path.with_suffix(".png"))
        return made

    def learned(self, step: int, name: str, figure: plots.Figure) -> None:
        """Write a picture of what the model has learned so far to <name>.png, and show it."""
        self._picture(step, name, figure, self.folder / f"{name}.png")

    def curves(self) -> None:
        """Draw the run's training and validation bits so far, with the baselines, to curves.png."""
        rows = read_metrics(self.folder)
        series = {
            label: np.array([(row["step"], row[name]) for row in rows if name in row]).reshape(-1, 2)
            for label, name in (("training", "train/bits"), ("validation", "valid/bits"))
        }
        plots.save(plots.curves(series, self.baselines), self.folder / "curves.png")

    def close(self) -> None:
        for board in self.boards:
            board.close()

    def _picture(self, step: int, name: str, figure: plots.Figure, path: Path) -> None:
        plots.save(figure, path)
        for board in self.boards:
            board.picture(step, name, figure)

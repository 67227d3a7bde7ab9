"""A run's records: metrics.jsonl and TensorBoard, sounds and pictures, all under the run folder."""

import json
from pathlib import Path

import numpy as np
from torch import Tensor

from wavenet import audio, plots


class RunLog:
    """Writes what a run measures. Metric names are paths, `train/bits` say; values are floats."""

    def __init__(self, folder: Path, sample_rate: int, from_step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import; only training needs it

        self.folder, self.sample_rate = folder, sample_rate
        self.path = folder / "metrics.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        kept = [line for line in self._lines() if json.loads(line)["step"] <= from_step]
        self.path.write_text("".join(kept))  # a resumed run writes the steps after its checkpoint again
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=from_step + 1 if from_step else None)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Append one line to metrics.jsonl and a point per value to TensorBoard."""
        with open(self.path, "a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def sound(self, step: int, path: Path, recording: Tensor) -> None:
        """Add a generated file to TensorBoard, and draw its spectrogram beside a real recording's, (samples,)."""
        made = audio.read(path, self.sample_rate)
        self._board.add_audio(path.stem, made, step, self.sample_rate)
        figure = plots.spectrograms({"generated": made, "recording": recording}, self.sample_rate)
        plots.save(figure, path.with_suffix(".png"))
        self._board.add_figure(f"{path.stem}/spectrogram", figure, step)

    def learned(self, step: int, name: str, figure: plots.Figure) -> None:
        """Write a picture of what the model has learned so far to <name>.png, and to TensorBoard."""
        plots.save(figure, self.folder / f"{name}.png")
        self._board.add_figure(name, figure, step)

    def curves(self, baselines: dict[str, float]) -> None:
        """Draw the run's training and validation bits so far, with levels to compare with, to curves.png."""
        rows = [json.loads(line) for line in self._lines()]
        series = {
            label: np.array([(row["step"], row[name]) for row in rows if name in row]).reshape(-1, 2)
            for label, name in (("training", "train/bits"), ("validation", "valid/bits"))
        }
        plots.save(plots.curves(series, baselines), self.folder / "curves.png")

    def close(self) -> None:
        self._board.close()

    def _lines(self) -> list[str]:
        """Whole lines only: a run that was killed may have left half of one."""
        if not self.path.is_file():
            return []
        return [line for line in self.path.read_text().splitlines(keepends=True) if line.endswith("}\n")]

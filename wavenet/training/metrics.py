"""A run's records: metrics.jsonl and TensorBoard, sounds and pictures, all under the run folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from torch import Tensor

from wavenet import audio
from wavenet.audio import plots
from wavenet.training.runs import flat, read_metrics


class RunLog:
    """Writes what a run measures. Metric names are paths, `train/bits` say; values are floats.

    Whatever comes again and again keeps its tag in TensorBoard, where steps are then a slider.
    """

    def __init__(self, folder: Path, sample_rate: int, from_step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import; only training needs it

        self.folder, self.sample_rate = folder, sample_rate
        self.path = folder / "metrics.jsonl"
        self.baselines: dict[str, float] = {}
        folder.mkdir(parents=True, exist_ok=True)
        kept = [row for row in read_metrics(folder) if row["step"] <= from_step]
        # a resumed run writes the steps after its checkpoint again
        self.path.write_text("".join(json.dumps(row) + "\n" for row in kept))
        # in the run folder itself: TensorBoard calls a run by the folder of its events
        self._board = SummaryWriter(str(folder), purge_step=from_step + 1 if from_step else None)
        charts = {"bits per sample": {"bits per sample": ["Multiline", ["train/bits", "valid/bits", "baseline/.*"]]}}
        self._board.add_custom_scalars(charts)

    def settings(self, values: dict[str, Any]) -> None:
        """Show TensorBoard the settings, {"optim": {"lr": 0.02}, ...}: as text, and to compare runs by."""
        from torch.utils.tensorboard.summary import hparams

        text = yaml.safe_dump(values, sort_keys=False)
        self._board.add_text("settings", "\n".join(f"    {line}" for line in text.splitlines()))
        told = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in flat(values).items()}
        assert self._board.file_writer is not None, "the text made it"
        for summary in hparams(told, {"valid/bits": 0}):
            self._board.file_writer.add_summary(summary)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Append one line to metrics.jsonl and a point per value to TensorBoard."""
        with open(self.path, "a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
        for name, value in self.baselines.items() if "valid/bits" in values else ():
            self._board.add_scalar(f"baseline/{name}", value, step)

    def sound(self, step: int, path: Path, recording: Tensor) -> Tensor:
        """Add a generated file to TensorBoard, and draw its spectrogram beside a real recording's, (samples,).

        Returns the file's sound, (samples,).
        """
        made = audio.read(path, self.sample_rate)
        self._board.add_audio("sample", made, step, self.sample_rate)
        figure = plots.spectrograms({"generated": made, "recording": recording}, self.sample_rate)
        plots.save(figure, path.with_suffix(".png"))
        self._board.add_figure("sample/spectrogram", figure, step)
        return made

    def learned(self, step: int, name: str, figure: plots.Figure) -> None:
        """Write a picture of what the model has learned so far to <name>.png, and to TensorBoard."""
        plots.save(figure, self.folder / f"{name}.png")
        self._board.add_figure(name, figure, step)

    def curves(self) -> None:
        """Draw the run's training and validation bits so far, with the baselines, to curves.png."""
        rows = read_metrics(self.folder)
        series = {
            label: np.array([(row["step"], row[name]) for row in rows if name in row]).reshape(-1, 2)
            for label, name in (("training", "train/bits"), ("validation", "valid/bits"))
        }
        plots.save(plots.curves(series, self.baselines), self.folder / "curves.png")

    def close(self) -> None:
        self._board.close()

"""Dashboards that show a run while it trains: TensorBoard and, if asked for, Weights & Biases."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import yaml
from torch import Tensor

from wavenet.audio.plots import Figure
from wavenet.errors import ConfigError
from wavenet.training.runs import flat


class Board(Protocol):
    """Shows what a run measures. Names are paths, such as `train/bits`, and stay the same from step to step."""

    def settings(self, values: dict[str, Any]) -> None:
        """Show the run's settings, {"optim": {"lr": 0.02}, ...}."""
        ...

    def scalars(self, step: int, values: dict[str, float]) -> None: ...

    def sound(self, step: int, name: str, sound: Tensor, sample_rate: int) -> None:
        """Show a sound (samples,) in [-1, 1]."""
        ...

    def picture(self, step: int, name: str, figure: Figure) -> None: ...

    def close(self) -> None: ...


def check(wandb: bool) -> None:
    """Raise ConfigError if Weights & Biases is asked for and not installed."""
    if wandb:
        _import_wandb()


def open_boards(folder: Path, from_step: int, wandb: bool, say: Callable[[str], None]) -> list[Board]:
    """The boards of a run that is at `from_step`. Their files are in its folder.

    If TensorBoard is not installed, `say` receives a line about it. Raises ConfigError as `check` does.
    """
    boards: list[Board] = []
    try:
        boards.append(TensorBoard(folder, from_step))
    except ImportError:
        say("TensorBoard is not installed, so nothing is written for it: pip install 'wavenet[tensorboard]' adds it")
    if wandb:
        boards.append(WeightsAndBiases(folder))
    return boards


class TensorBoard:
    """`tensorboard --logdir runs` shows it. Raises ImportError if TensorBoard is not installed."""

    def __init__(self, folder: Path, from_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import; only training needs it

        # in the run folder itself, because TensorBoard names a run after the folder of its events
        self._writer = SummaryWriter(str(folder), purge_step=from_step + 1 if from_step else None)
        charts = {"bits per sample": {"bits per sample": ["Multiline", ["train/bits", "valid/bits", "baseline/.*"]]}}
        self._writer.add_custom_scalars(charts)
        self._hook = threading.excepthook
        threading.excepthook = self._heard

    def settings(self, values: dict[str, Any]) -> None:
        """Show the settings twice: as text, and in the table that compares runs."""
        from torch.utils.tensorboard.summary import hparams

        text = yaml.safe_dump(values, sort_keys=False)
        self._writer.add_text("settings", "\n".join(f"    {line}" for line in text.splitlines()))
        told = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in flat(values).items()}
        assert self._writer.file_writer is not None, "the text made it"
        for summary in hparams(told, {"valid/bits": 0}):
            self._writer.file_writer.add_summary(summary)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def sound(self, step: int, name: str, sound: Tensor, sample_rate: int) -> None:
        self._writer.add_audio(name, sound, step, sample_rate)

    def picture(self, step: int, name: str, figure: Figure) -> None:
        self._writer.add_figure(name, figure, step)

    def _heard(self, failure: threading.ExceptHookArgs) -> None:
        """A full disk ends the writer's thread, which raises that here, too; its traceback need not be printed."""
        if not isinstance(failure.exc_value, OSError) or "tensorboard" not in type(failure.thread).__module__:
            self._hook(failure)

    def close(self) -> None:
        try:
            self._writer.close()
        finally:
            threading.excepthook = self._hook


class WeightsAndBiases:
    """A run of the project `wavenet`, kept offline under <run folder>/wandb; `wandb sync` uploads it.

    No account is needed. With WANDB_MODE=online in the environment it is uploaded as it trains. A resumed run appears
    there as a new run. Raises ConfigError if the package wandb is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self._wandb = wandb = _import_wandb()
        self._run = wandb.init(
            project="wavenet",
            name=folder.name,
            dir=str(folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
            settings=wandb.Settings(silent=True, console="off"),
        )

    def settings(self, values: dict[str, Any]) -> None:
        self._run.config.update(values)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def sound(self, step: int, name: str, sound: Tensor, sample_rate: int) -> None:
        self._run.log({name: self._wandb.Audio(sound.numpy(), sample_rate=sample_rate)}, step=step)

    def picture(self, step: int, name: str, figure: Figure) -> None:
        self._run.log({name: self._wandb.Image(figure)}, step=step)

    def close(self) -> None:
        self._run.finish()


def _import_wandb() -> Any:
    try:
        import wandb  # type: ignore[import-not-found] (an extra)
    except ImportError as error:
        raise ConfigError(
            "wandb is true, but Weights & Biases is not installed: pip install 'wavenet[wandb]', or leave wandb out"
        ) from error
    return wandb

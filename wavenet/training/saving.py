"""A run's checkpoints: `best` and `last`, to share, and the state to resume from. The first process writes them."""

import copy
import shutil
from pathlib import Path
from typing import Any

from wavenet.config import DataConfig
from wavenet.files import atomic, expanded
from wavenet.model import checkpoint
from wavenet.model.wavenet import WaveNet
from wavenet.training.processes import Processes
from wavenet.training.run_folder import writing


class Checkpoints:
    """The folder `checkpoints` of a run folder. All processes call each method; the first one reads and writes."""

    def __init__(self, processes: Processes, run_dir: Path, data: DataConfig) -> None:
        self.processes, self.run_dir, self.data = processes, run_dir, data

    def share(self, name: str, model: WaveNet, step: int, bits: float | None) -> None:
        """Write <name>.safetensors; `bits`: per sample on the validation part, if measured.

        Raises CheckpointError if it cannot be written.
        """
        if self.processes.is_first:
            checkpoint.save(self._path(name), model, self.data.sample_rate, step, bits, self.data)

    def save_state(self, state: dict[str, Any]) -> None:
        """Write last.state. Raises CheckpointError if it cannot be written."""
        if self.processes.is_first:
            checkpoint.save_state(self.run_dir / "checkpoints" / "last.state", state)

    def best(self, like: WaveNet) -> WaveNet:
        """The network of best.safetensors, in all processes; `like` is a network with the same settings."""
        weights = None
        with self.processes.together():
            if self.processes.is_first:
                weights = checkpoint.load(self._path("best")).model.state_dict()
        best = copy.deepcopy(like)
        best.load_state_dict(self.processes.broadcast(weights))  # type: ignore[arg-type] (the first has them)
        return best

    def take_best(self, resumed: str) -> bool:
        """Copy the resumed run's best checkpoint if it is in another folder; return whether it exists."""
        found, best = checkpoint.find_state(expanded(resumed)).with_name("best.safetensors"), self._path("best")
        if not self.processes.broadcast(found.is_file()):
            return False
        if self.processes.is_first and found.resolve() != best.resolve():
            with writing(self.run_dir), atomic(best) as temporary:
                shutil.copyfile(found, temporary)
        return True

    def _path(self, name: str) -> Path:
        return self.run_dir / "checkpoints" / f"{name}.safetensors"

"""Training: a folder of recordings in, a run folder with checkpoints, curves and sounds out.

`trainer` is the loop, and the place to begin reading. It gets batches (`data`, `batches`); a learner (`learner`, with
the loss in `objective`, `optimizers` and `schedule`); times (`clock`, `stopping`); validation (`held_out`,
`validation`); and a run folder (`run_folder`, `saving`, `state`, `resuming`, `samples`, `metrics`). It reports
progress to a `Reporter`, in the words of `announcements`. `runs` reads the folders of earlier runs.

`tasks` chooses between that loop and `speech`, which trains a voice that speaks: an acoustic model (`acoustic`), then a
vocoder by the same loop.

It hands out `train`, its `Result` and `Reporter`. It may import every room but `wavenet.cli` and `wavenet.voice`.
`train` is imported when it is first used: what it needs takes seconds to import, and every command shows its progress
by a `Reporter`.
"""

from typing import TYPE_CHECKING, Any

from wavenet.training.reporter import Reporter
from wavenet.training.result import Result

if TYPE_CHECKING:
    from wavenet.training.tasks import train

__all__ = ["Reporter", "Result", "train"]


def __getattr__(name: str) -> Any:
    if name != "train":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wavenet.training.tasks import train

    return train

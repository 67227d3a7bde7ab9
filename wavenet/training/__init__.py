"""Training: a folder of recordings in, a run folder with checkpoints, curves and sounds out.

`trainer` is the loop, and the place to begin reading. It gets batches (`data`, `batches`); a learner (`learner`, with
the loss in `objective`, `optimizers` and `schedule`); times (`clock`, `stopping`); validation (`held_out`,
`validation`); and a run folder (`run_folder`, `saving`, `state`, `resuming`, `samples`, `metrics`). It reports
progress to a `Reporter`, in the words of `announcements`. `runs` reads the folders of earlier runs.

`tasks` chooses between that loop and `speech`, which trains a voice that speaks: an acoustic model (`acoustic`), then a
vocoder by the same loop.

It hands out `train`, its `Result` and `Reporter`. It may import every room but `wavenet.cli` and `wavenet.voice`.
"""

from wavenet.training.reporter import Reporter
from wavenet.training.result import Result
from wavenet.training.tasks import train

__all__ = ["Reporter", "Result", "train"]

"""Training: a folder of recordings in, a run folder with checkpoints, curves and sounds out.

`trainer` is the loop, and the place to begin. It is given batches (`data`, `batches`); a learner (`learner`, with the
loss in `objective`, `optimizers` and `schedule`); what is due and when (`clock`, `stopping`); validation (`held_out`,
`validation`); and a run folder (`run_folder`, `checkpoints`, `state`, `resuming`, `samples`, `metrics`). Whoever
watches is told through a `Reporter`, in the words of `announcements`. `runs` reads what runs have left.

It may import every room but the commands.
"""

from wavenet.training.reporter import Reporter
from wavenet.training.result import Result
from wavenet.training.trainer import train

__all__ = ["Reporter", "Result", "train"]

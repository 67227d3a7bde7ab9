"""How good a model is: its bits per sample, those of simple predictors, and a judgement of its sounds.

It hands out the scores of `bits`; `baselines`, `fidelity` and `verdict` are used as modules. It may import
`wavenet.generation`, `wavenet.recordings`, `wavenet.model` and the rooms below them.
"""

from wavenet.evaluation.bits import (
    CROP,
    STREAMS,
    Score,
    bits_of_samples,
    frame_classes,
    frame_posteriors,
    resynthesise,
    score,
    score_with_engine,
)

__all__ = [
    "CROP",
    "STREAMS",
    "Score",
    "bits_of_samples",
    "frame_classes",
    "frame_posteriors",
    "resynthesise",
    "score",
    "score_with_engine",
]

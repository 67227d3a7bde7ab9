"""How good a model is: bits per sample, what simple predictors reach, and what is to be heard in its sounds.

It knows recordings, models and engines, and nothing of training.
"""

from wavenet.evaluation.bits import (
    CROP,
    STREAMS,
    Score,
    bits_of_samples,
    frame_classes,
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
    "resynthesise",
    "score",
    "score_with_engine",
]

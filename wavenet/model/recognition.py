"""Recognition: the phone of each 10 ms frame, from a WaveNet's own activations (van den Oord et al. 2016, section 3.4).

    pooled_f = mean over the samples of frame f of relu(skip sum)      `hop` samples, 160 are 10 ms at 16 kHz
    x        = relu(C_n ... relu(C_1 norm(pooled)))                    non-causal: a frame also sees later frames
    logits   = A x + a                                                 logits over the classes, per frame

It is trained together with the prediction of the next sample, on the sum of both losses. The paper mentions no norm (Ba
et al. 2016); without one, and with torch's initial weights, signals start so small that a short run learns far less.

Frames become a sequence of phones in `decoding`, or greedily: the likeliest class of each frame, repeats collapsed.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import edit_distance

from wavenet.config import RecognitionConfig
from wavenet.model.decoding import PhoneStatistics
from wavenet.model.distributions import IGNORED

SILENCES = ("sil", "sp", "spn", "pau", "<sil>")
"""Names that aligners give to silence, in lower case."""

Class = TypeVar("Class")


class FrameHead(nn.Module):
    """Frame classes from the skip sum's activations, for one recording or part of one at a time.

    (samples, skip_channels) -> `pool` -> (frames, skip_channels) -> `classify` -> (frames, classes), where frames are
    ceil(samples / hop) and the last may be short. Beyond either end the convolutions see zeros, so the first and last
    frames of a part differ from those of the whole recording (`RecognitionConfig.reach`).
    """

    def __init__(self, skip_channels: int, config: RecognitionConfig) -> None:
        super().__init__()
        self.hop = config.hop
        self.norm = nn.LayerNorm(skip_channels)
        widths = [skip_channels, *[config.channels] * config.layers]
        around = config.kernel_size // 2
        convolutions = [nn.Conv1d(*pair, config.kernel_size, padding=around) for pair in itertools.pairwise(widths)]
        for convolution in convolutions:
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        self.convolutions = nn.ModuleList(convolutions)
        self.classes = nn.Linear(config.channels, len(config.classes))
        self.statistics: PhoneStatistics | None = None
        """Of the training set's phones, for `decoding`. Training sets it, and a checkpoint keeps it."""

    def pool(self, activations: Tensor) -> Tensor:
        """Mean over each frame's samples: (samples, C) -> (frames, C)."""
        return torch.stack([frame.mean(dim=0) for frame in activations.split(self.hop)])

    def classify(self, pooled: Tensor) -> Tensor:
        """(frames, skip_channels) -> logits (frames, classes)."""
        x = self.norm(pooled).t()
        for convolution in self.convolutions:
            x = F.relu(convolution(x))
        return self.classes(x.t())

    def forward(self, activations: Tensor) -> Tensor:
        return self.classify(self.pool(activations))


def count_right(made: Tensor, told: Tensor) -> tuple[int, int]:
    """How many frames are right, and how many have a known class; made and told are (frames,)."""
    return int((made == told).sum()), int((told != IGNORED).sum())


def runs(classes: Iterable[Class]) -> list[tuple[Class, int, int]]:
    """Each frame's class -> runs of equal classes, (class, first frame, frame after the last)."""
    found, first = [], 0
    for kind, group in itertools.groupby(classes):
        last = first + len(list(group))
        found.append((kind, first, last))
        first = last
    return found


def spoken(names: Iterable[str]) -> list[str]:
    """The phones that are not silence."""
    return [name for name in names if name.lower() not in SILENCES]


def phone_error_rate(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> float | None:
    """Levenshtein distances over reference phones, summed over (recognised, reference) sequences.

    None if no reference has any phones.
    """
    counts = [(edit_distance(made, told), len(told)) for made, told in pairs]
    phones = sum(count for _, count in counts)
    return sum(count for count, _ in counts) / phones if phones else None

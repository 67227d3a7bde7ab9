"""The network: layers, conditioning, distributions, recognition; its compiled passes; its checkpoints.

It hands out `WaveNet`; `checkpoint` saves and loads it. It may import `wavenet.audio`, `wavenet.config`,
`wavenet.files` and `wavenet.errors`. `WaveNet` is imported when it is first used: it needs torch, which some modules
here do without.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavenet.model.wavenet import WaveNet

__all__ = ["WaveNet"]


def __getattr__(name: str) -> Any:
    if name != "WaveNet":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wavenet.model.wavenet import WaveNet

    return WaveNet

"""The network: layers, conditioning, distributions, recognition; its compiled passes; its checkpoints.

It hands out `WaveNet`; `checkpoint` saves and loads it. It may import `wavenet.audio`, `wavenet.config`,
`wavenet.files` and `wavenet.errors`.
"""

from wavenet.model.wavenet import WaveNet

__all__ = ["WaveNet"]

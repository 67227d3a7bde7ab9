"""The network: layers, conditioning, distributions, recognition; its compiled passes; its checkpoints.

It knows settings and encodings of sound, and nothing of folders, engines or training.
"""

from wavenet.model.wavenet import WaveNet

__all__ = ["WaveNet"]

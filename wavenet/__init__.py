"""WaveNet: learn the sounds of a folder of recordings, and make more of them."""

from importlib.metadata import PackageNotFoundError, version

from wavenet.checkpoint import Checkpoint, load
from wavenet.config import ModelConfig
from wavenet.errors import WaveNetError
from wavenet.model import WaveNet

try:
    __version__ = version("wavenet")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0+unknown"

__all__ = ["Checkpoint", "ModelConfig", "WaveNet", "WaveNetError", "__version__", "load"]

"""WaveNet: learn the sounds of a folder of recordings, and make more of them."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavenet.cli.calls import train
    from wavenet.config import ModelConfig
    from wavenet.errors import WaveNetError
    from wavenet.model.checkpoint import Checkpoint
    from wavenet.model.wavenet import WaveNet
    from wavenet.voice import Voice, load

    __version__: str

if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
    # How often a thread of torch's looks for its next piece of work before it sleeps: about a quarter of a millisecond,
    # longer than most of what lies between two. GNU OpenMP's own 300,000 keep a core busy for 20 ms, which training
    # beside another program, where threads are late, spends most of its time in. Read once, when torch is imported.
    os.environ["GOMP_SPINCOUNT"] = "4000"

__all__ = ["Checkpoint", "ModelConfig", "Voice", "WaveNet", "WaveNetError", "__version__", "load", "train"]


def __getattr__(name: str) -> Any:
    """The names above, imported when they are first asked for, since torch comes with them."""
    if name not in __all__:
        raise AttributeError(f"module 'wavenet' has no attribute {name!r}")
    found: dict[str, Any]
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = {name: version("wavenet")}
        except PackageNotFoundError:  # a checkout that is not installed
            found = {name: "0+unknown"}
    elif name == "train":
        from wavenet.cli.calls import train

        found = {name: train}
    else:
        from wavenet.config import ModelConfig
        from wavenet.errors import WaveNetError
        from wavenet.model.checkpoint import Checkpoint
        from wavenet.model.wavenet import WaveNet
        from wavenet.voice import Voice, load

        found = {kind.__name__: kind for kind in (Checkpoint, ModelConfig, Voice, WaveNet, WaveNetError, load)}
    globals().update(found)
    return found[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

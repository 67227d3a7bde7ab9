"""WaveNet: learn the sounds of a folder of recordings, and generate more of them.

It hands out `load`, `train`, `prepare`, `Voice` and the types that they use. It may import every room, but loads them
only when a name is first used, so that `import wavenet` is quick.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavenet.cli.calls import prepare, train
    from wavenet.config import ModelConfig
    from wavenet.errors import WaveNetError
    from wavenet.model.checkpoint import Checkpoint
    from wavenet.model.wavenet import WaveNet
    from wavenet.voice import Voice, load

    __version__: str

if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
    # How often a torch thread polls for work before it sleeps. 10,000 polls take less than a millisecond, longer
    # than most gaps between two pieces of work. GNU OpenMP's default, 300,000, keeps a core busy for 20 ms, which slows
    # training beside another program. GNU OpenMP reads the variable once, when torch is imported.
    os.environ["GOMP_SPINCOUNT"] = "10000"

__all__ = ["Checkpoint", "ModelConfig", "Voice", "WaveNet", "WaveNetError", "__version__", "load", "prepare", "train"]


def __getattr__(name: str) -> Any:
    """The names above, imported when they are first used, because they import torch."""
    if name not in __all__:
        raise AttributeError(f"module 'wavenet' has no attribute {name!r}")
    found: dict[str, Any]
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = {name: version("wavenet")}
        except PackageNotFoundError:  # a checkout that is not installed
            found = {name: "0+unknown"}
    elif name in ("prepare", "train"):
        from wavenet.cli.calls import prepare, train

        found = {"prepare": prepare, "train": train}
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

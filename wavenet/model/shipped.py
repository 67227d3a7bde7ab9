"""Networks that come with wavenet, found by name: NAME.safetensors in wavenet/voices, beside NAME.md, its card."""

from pathlib import Path
from typing import NamedTuple

from wavenet.errors import CheckpointError
from wavenet.files import expanded
from wavenet.model import checkpoint

FOLDER = Path(__file__).parents[1] / "voices"


class Found(NamedTuple):
    """What a user means by the name or the path of a network."""

    path: Path
    remark: str | None = None
    """One line to show if the name could have meant something else."""


def find(source: str | Path) -> Found:
    """The file of a network that comes with wavenet, by its name, or else the path that `source` is.

    A name that is also the path of a checkpoint means that path, and the remark says so. A folder of that name that
    holds no checkpoint, such as one of recordings, does not count.
    """
    there = FOLDER / f"{source}.safetensors"
    if Path(source).name != str(source) or not there.is_file():
        return Found(expanded(source))
    try:
        own = checkpoint.find(source)
    except CheckpointError:
        return Found(there)
    remark = (
        f"{source} means {own} here, not the voice of that name that comes with wavenet: rename the path to use that"
    )
    return Found(Path(source), remark)

"""The voices that come with wavenet: NAME.safetensors in wavenet/voices, and NAME.md, its model card.

All that is said of a voice is read from these two files.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from wavenet.errors import CheckpointError
from wavenet.files import expanded
from wavenet.model import finding, hub
from wavenet.model.card import divided

FOLDER = Path(__file__).parents[1] / "voices"
ORDER = ("piano", "prompts", "piano_tiny", "digits")
"""Which voices come first, if they are there; the others follow by name."""
ALL = "wavenet-generate --voices lists the voices that come with wavenet"


@dataclass(frozen=True)
class Shipped:
    """A voice that comes with wavenet, as its file's header and its card describe it."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def header(self) -> dict[str, Any]:
        """As `checkpoint.save` writes it. Raises CheckpointError if it cannot be read."""
        try:
            with safe_open(self.path, framework="np") as file:
                return json.loads(file.metadata()["wavenet"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{self.path}, which comes with wavenet, cannot be read: install it again") from error

    @cached_property
    def card(self) -> tuple[dict[str, Any], str]:
        """The front matter of the card, such as its licence, and its text; both empty without a card."""
        try:
            text = self.path.with_suffix(".md").read_text(encoding="utf-8")
        except OSError:
            return {}, ""
        header, text = divided(text)
        return header, text.strip()

    @property
    def what(self) -> str:
        """The first sentence of the card."""
        paragraphs = [part for part in self.card[1].split("\n\n") if part.strip() and not part.startswith("#")]
        return " ".join(paragraphs[0].split()).split(". ")[0].rstrip(".") + "." if paragraphs else ""

    @property
    def licence(self) -> str:
        front = self.card[0]
        return front.get("license_name") or front.get("license", "").upper() or "see its card"

    @property
    def labels(self) -> dict[str, list[str]]:
        return self.header["model"].get("labels", {})

    @property
    def speaks(self) -> bool:
        return "attached" in self.header

    @property
    def plays(self) -> bool:
        """Whether it makes sound by itself, without features or a text."""
        return not self.header["model"].get("features", {}).get("kinds")

    @property
    def example(self) -> str:
        """A command line that lets one hear it."""
        if self.speaks:
            return f'wavenet-speak checkpoint={self.name} text="Hello, world!"'
        chosen = "".join(f" label.{label}={values[0]}" for label, values in self.labels.items())
        return f"wavenet-generate checkpoint={self.name}{chosen}{'' if self.plays else ' features=recording.wav'}"


def voices() -> list[Shipped]:
    """All that are there, in ORDER."""
    found = [Shipped(path) for path in FOLDER.glob("*.safetensors")]
    return sorted(found, key=lambda one: (ORDER.index(one.name) if one.name in ORDER else len(ORDER), one.name))


class Found(NamedTuple):
    """What a user means by the name or the path of a network."""

    path: Path
    said: tuple[str, ...] = ()
    """Lines to show if it could have meant something else."""


def find(source: str | Path) -> Found:
    """The file of a voice that comes with wavenet, by its name; of an address on the hub, hf://owner/name; or else the
    path that `source` is.

    A name that is also the path of a checkpoint means that path, and a line says so. A folder of that name that
    holds no checkpoint, such as one of recordings, does not count. Raises CheckpointError for a name of nothing, and as
    `hub.download` does.
    """
    if hub.is_address(source):
        return Found(hub.download(source))
    path = expanded(source)
    if path.name != str(source):
        return Found(path)
    there = next((one.path for one in voices() if one.name == str(source)), None)
    if there is None:
        if not path.exists() and not path.suffix:
            names = ", ".join(one.name for one in voices())
            raise CheckpointError(
                f"checkpoint {source} does not exist, and no voice of that name comes with wavenet ({names} do): "
                f"{finding.GIVE}"
            )
        return Found(path)
    try:
        own = finding.find(path)
    except CheckpointError:
        return Found(there)
    return Found(path, (f"{source} means {own} here, not the voice of that name that comes with wavenet",))


def first() -> Found:
    """The first voice that makes sound by itself. Raises CheckpointError if there is none."""
    for one in voices():
        if one.plays:
            return Found(one.path, (f"no checkpoint is given, so {one.name} plays; {ALL}",))
    raise CheckpointError(
        "no voice that comes with wavenet makes sound by itself: give checkpoint=, a run folder or a .safetensors file"
    )


def shown(path: Path) -> str:
    """The path of a network, or the name of one that comes with wavenet."""
    return path.stem if path.parent == FOLDER else str(path)

"""Model cards: what a checkpoint is, in Markdown, below a header in YAML that the hub reads."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import yaml

from wavenet.config import ModelConfig
from wavenet.errors import ConfigError

if TYPE_CHECKING:
    from wavenet.model.checkpoint import Checkpoint

TAGS = ["wavenet", "audio"]
MARK = "---\n"


def divided(text: str) -> tuple[dict[str, Any], str]:
    """The header of a card, as what it says, and the text below; the header is empty if there is none."""
    if not text.startswith(MARK):
        return {}, text
    header, _, rest = text.removeprefix(MARK).partition(f"\n{MARK}")
    return yaml.safe_load(header) or {}, rest.lstrip("\n")


def card(loaded: Checkpoint, repository: str, license: str, own: str | None = None) -> str:
    """A checkpoint's card with the header that the hub asks for: `own`, if it has one, or else what its file tells.

    license: as the hub writes it, such as `cc0-1.0`. Raises ConfigError if it is empty, or if `own` names another.
    """
    if not license.strip():
        raise ConfigError("license is empty, but the hub asks for one: give that of the recordings, as in cc-by-4.0")
    header, text = divided(own) if own is not None else ({}, described(loaded, repository))
    if (named := header.get("license", license)) != license:
        raise ConfigError(f"license is {license}, but the card beside {loaded.path} names {named}: give that")
    tags = TAGS + [tag for tag in header.get("tags", []) if tag not in TAGS]
    header |= {"license": license, "library_name": "wavenet", "tags": tags}
    if loaded.attached is not None:
        header.setdefault("pipeline_tag", "text-to-speech")
    return f"{MARK}{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}{MARK}\n{text.strip()}\n"


def described(loaded: Checkpoint, repository: str) -> str:
    """A card's text from what the file of a checkpoint tells."""
    config = loaded.model.config
    kinds = config.features.kinds
    weights = sum(parameter.numel() for parameter in loaded.model.parameters())
    facts = {"Sound": f"{loaded.sample_rate} Hz, one channel, {'16-bit' if config.mixtures else 'mu-law'}."}
    if loaded.attached is not None:
        facts["Texts"] = "It speaks: texts become frames, and frames become sound."
    elif kinds:
        facts["Features"] = f"It follows {', '.join(kinds)}."
    facts |= {f"Label `{label}`": f"{', '.join(values)}." for label, values in config.labels.items()}
    if loaded.valid_bits is not None:
        facts["Figures"] = f"{loaded.valid_bits:.3f} bits per sample on recordings that were held out of training."
    facts["Network"] = f"{weights:,} weights, after {loaded.step} steps. {_settings('model', _changed(config))}".strip()
    facts["Recordings"] = _settings("data", loaded.data) or "How they were read is not stored."
    use = f"voice.generate(seconds=5{', features=recording' * bool(kinds)})"
    use = 'voice.speak("Hello, world!")' if loaded.attached is not None else use
    return "\n".join(
        [
            f"# {repository.partition('/')[2]}\n",
            "A WaveNet. It learned the sounds of a folder of recordings, sample by sample, and makes more of them.\n",
            *(f"- **{name}.** {fact}" for name, fact in facts.items()),
            "\n```python\nimport wavenet\n",
            f'voice = wavenet.load("hf://{repository}")',
            f"sound = {use}\n```",
        ]
    )


def _changed(config: ModelConfig) -> dict[str, Any]:
    """The settings of a network that are not the defaults, without what a card tells in other words."""
    told = {"labels", "features", "recognition", "fused"}
    plain = dataclasses.asdict(ModelConfig())
    return {n: value for n, value in dataclasses.asdict(config).items() if n not in told and value != plain[n]}


def _settings(section: str, values: dict[str, Any]) -> str:
    """Settings as they are written on a command line."""
    written = [f"{section}.{name}={'null' if value is None else value}" for name, value in values.items()]
    return f"`{' '.join(written)}`" if written else ""

"""The text of --help: every setting with its default and its docstring, which is read from the schema's source."""

import ast
import dataclasses
import functools
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

from wavenet import config

EXAMPLES = {
    "train": """Learn the sounds of a folder of recordings.

  wavenet-train data.dir=~/recordings
  wavenet-train data.dir=~/recordings model=large optim.lr=0.01 steps=50000
  wavenet-train data.dir=~/recordings data.labels=[folder]
  wavenet-train data.dir=~/recordings experiment=vocoder
  wavenet-train resume=runs/2026-01-31_12-00-00
  wavenet-train --multirun optim.lr=0.005,0.01,0.02 data.dir=~/recordings
""",
    "generate": """Make new sounds with a trained model.

  wavenet-generate checkpoint=runs/2026-01-31_12-00-00 seconds=30 count=4
  wavenet-generate checkpoint=model.safetensors prime=intro.wav temperature=0.9 seed=7 output=more.flac
  wavenet-generate checkpoint=model.safetensors prime=loop.wav keep_prime=true seconds=8
  wavenet-generate checkpoint=model.safetensors seconds=60 output=- | aplay -f S16_LE -r 16000
  wavenet-generate checkpoint=runs/speakers label.speaker=june guidance=2
  wavenet-generate checkpoint=runs/vocoder features=recording.wav
""",
    "evaluate": """Measure how well a model predicts a folder of recordings, in bits per sample.

  wavenet-evaluate checkpoint=runs/2026-01-31_12-00-00 data.dir=~/held-out
""",
    "recognise": """Write down what is said when, with a model that was trained with data.frames.

  wavenet-train experiment=phones data.dir=~/recordings run.dir=runs/phones
  wavenet-recognise checkpoint=runs/phones data.dir=~/recordings split=valid report=figures.json
  wavenet-recognise checkpoint=runs/phones data.dir=~/others output=others.csv
""",
    "cache": """List what is kept of folders of recordings, once decoded, and remove it.

  wavenet-cache
  wavenet-cache remove=~/recordings
  wavenet-cache unused_days=30
""",
    "export": """Write a trained model as one file that plays without Python.

  wavenet-export checkpoint=runs/2026-01-31_12-00-00 output=voice.wavenet
  wavenet-generate checkpoint=voice.wavenet seconds=30
""",
}


class Setting(NamedTuple):
    """A setting as a reader meets it."""

    name: str
    """With dots: model.features.hop, say."""
    default: str
    """As it is written on the command line, or `required`, or `none`."""
    meaning: str
    """Its docstring, in one line."""


def describe(command: str, schema: type, groups: dict[str, list[str]]) -> str:
    """The whole help text of a command."""
    used = {name: options for name, options in groups.items() if name in ("experiment", *_sections(schema))}
    if command != "train":
        used.pop("experiment", None)
    lines = [EXAMPLES[command], "Any setting can be given as name=value.\n"]
    if used and command == "train":
        lines.append("Presets:")
        lines += [f"  {name}={'|'.join(options)}" for name, options in used.items()]
        lines.append("")
    lines.append("Settings:")
    lines += map(_written, settings(schema()))
    lines.append(
        "\nFlags: --multirun (a sweep: a,b,c in a value), --cfg job (show the settings), --config-dir (your presets),\n"
        "--version."
    )
    return "\n".join(lines) + "\n"


def _sections(schema: type) -> list[str]:
    return [field.name for field in dataclasses.fields(schema) if isinstance(field.default_factory, type)]


def settings(values: Any, prefix: str = "") -> Iterator[Setting]:
    """Every setting of a schema's object, nested ones by their dotted names, in the order of the schema."""
    docs = _docstrings()
    for field in dataclasses.fields(values):
        value = getattr(values, field.name)
        if dataclasses.is_dataclass(value):
            yield from settings(value, f"{prefix}{field.name}.")
            continue
        shown = "required" if value == "???" else "none" if value is None else str(value).lower()
        yield Setting(prefix + field.name, shown, " ".join(docs[type(values).__name__][field.name].split()))


def _written(setting: Setting) -> str:
    meaning = textwrap.fill(setting.meaning, 100, initial_indent="      ", subsequent_indent="      ")
    return f"  {setting.name} ({setting.default})\n{meaning}"


@functools.cache
def _docstrings() -> dict[str, dict[str, str]]:
    """Class -> field -> the string below the field."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(config)).body:
        if isinstance(node, ast.ClassDef):
            fields = found.setdefault(node.name, {})
            for field, below in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                    fields[ast.unparse(field.target)] = ast.literal_eval(below.value)
    return found

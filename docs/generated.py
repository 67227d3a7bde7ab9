"""A Sphinx extension: pages that are made from the code, and docstrings in Markdown's backticks.

- A line `<!-- settings of train -->` in a page becomes a list of all settings of `wavenet-train`, each with its default
  and its docstring in `wavenet.config`.
- A line `<!-- voices -->` becomes a table of the voices that come with wavenet, and their cards.
- A line `<!-- modules of wavenet.model -->` becomes the API of each module in that folder.
- Docstrings of this project put code between single backticks and use no other markup; Sphinx reads reStructuredText.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import wavenet
from wavenet import config
from wavenet.model import shipped

PACKAGE = Path(wavenet.__file__).parent
SCHEMAS = {
    "train": config.TrainConfig,
    "generate": config.GenerateConfig,
    "evaluate": config.EvaluateConfig,
    "recognise": config.RecogniseConfig,
    "align": config.AlignConfig,
    "speak": config.SpeakConfig,
    "export": config.ExportConfig,
    "serve": config.ServeConfig,
    "compare": config.CompareConfig,
    "cache": config.CacheConfig,
}
SETTINGS = re.compile(r"^<!-- settings of (\w+) -->$", re.MULTILINE)
VOICES = re.compile(r"^<!-- voices -->$", re.MULTILINE)
MODULES = re.compile(r"^<!-- modules of ([\w.]+) -->$", re.MULTILINE)
ELSEWHERE = "data."
"""Settings that several commands share; they are listed once, with the command that comes first."""


def settings(command: str) -> str:
    """All settings of a command as Markdown, a heading for each group."""
    groups: dict[str, list[str]] = {"": []}
    shared = command not in ("train", "cache")
    for setting in config.settings(SCHEMAS[command]):
        if not (shared and setting.name.startswith(ELSEWHERE)):
            group = groups.setdefault(setting.name.rpartition(".")[0], [])
            group.append(f"`{setting.name}` ({setting.shown})\n: {_escaped(setting.docstring)}\n")
    lines = []
    for group, entries in groups.items():
        lines += [*([f"### {group}\n"] if group else []), *entries]
    if shared and any(field.name == "data" for field in dataclasses.fields(SCHEMAS[command])):
        lines.append("`data.dir` and the other settings of [data](#data) as in training.\n")
    return "\n".join(lines)


def voices() -> str:
    """The voices that come with wavenet, as Markdown: a table, then the text of each card."""
    rows = ["| voice | what it is | labels | licence | size |", "|---|---|---|---|---|"]
    cards = []
    for voice in shipped.voices():
        labels = "; ".join(f"`{label}`: {', '.join(values)}" for label, values in voice.labels.items())
        size = f"{voice.path.stat().st_size / 1e6:.1f} MB"
        rows.append(f"| [{voice.name}](#{voice.name}) | {voice.what} | {labels} | {voice.licence} | {size} |")
        cards.append("\n" + re.sub("^#", "##", voice.card[1], flags=re.MULTILINE))
    return "\n".join([*rows, *cards])


def _escaped(text: str) -> str:
    """Markdown in which only backticks mean something."""
    return re.sub(r"([*_<>\[\]])(?=[^`]*(?:`[^`]*`[^`]*)*$)", r"\\\1", text)


def modules(room: str) -> str:
    """What autodoc finds in each module of a folder of the package; its __init__ only says what the room is for."""
    folder = PACKAGE.joinpath(*room.split(".")[1:])
    lines = ["```{eval-rst}", f".. automodule:: {room}", *(["   :no-members:"] if folder.is_dir() else []), "```", ""]
    for path in sorted(folder.glob("[!_]*.py")):
        name = f"{room}.{path.stem}"
        lines += [f"## {path.stem}", "", "```{eval-rst}", f".. automodule:: {name}", "```", ""]
    return "\n".join(lines)


def insert(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = SETTINGS.sub(lambda mark: settings(mark[1]), source[0])
    source[0] = VOICES.sub(lambda _: voices(), source[0])
    source[0] = MODULES.sub(lambda mark: modules(mark[1]), source[0])


def to_restructured_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings with code in single backticks -> reStructuredText, in place."""
    text = "\n".join(lines)
    literal = re.compile(r"``.+?``|`[^`]+`")
    pieces, codes = literal.split(text), literal.findall(text)
    pieces = [re.sub(r"([*|\\]|_\b)", r"\\\1", piece) for piece in pieces]
    quoted = [f"``{code.strip('`')}``" for code in codes]
    joined = "".join(piece + code for piece, code in zip(pieces, [*quoted, ""], strict=True))
    lines[:] = _blocks(joined).split("\n")


def _blocks(text: str) -> str:
    """Indented lines after a blank one are shown as they are: equations, commands. Others continue a sentence."""
    lines, inside = [], False
    for line in text.split("\n"):
        indented = line.startswith("    ")
        if indented and not inside and (not lines or not lines[-1].strip()):
            lines += ["::", ""]
            inside = True
        elif line.strip() and not indented:
            inside = False
        lines.append(line.replace("\\", "") if inside else line[4:] if indented else line)
    return "\n".join(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", insert)
    app.connect("autodoc-process-docstring", to_restructured_text)
    return {"parallel_read_safe": True}

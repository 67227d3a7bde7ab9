"""README and docs: their commands and snippets work in order, on a folder of made-up sounds; what they name exists."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavenet import config

ROOT = Path(__file__).parents[1]
OWN_TEST = {"extending.md"}
"""Pages whose snippets have a test file of their own."""
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LANGUAGES = {"", "text", "bash", "python", "js", "c", "{toctree}", "{eval-rst}", "{include}"}
"""bash and python are run; text is what cannot be: other programs, and commands on recordings that are not here."""
HERE = ["threads=1", "device=cpu"]
TINY = ["model.stacks=1", "model.layers_per_stack=4", "model.residual_channels=8", "model.gate_channels=8"]
TINY += ["model.skip_channels=16", "model.head_channels=16"]
QUICK = {
    "train": [*HERE, "crop=1120", "sample_seconds=0.1"],
    "generate": HERE,
    "evaluate": HERE,
    "recognise": HERE,
    "align": [],
    "export": [],
    "cache": [],
    "compare": [],
}
SHORTER = {
    "minutes=15": "steps=2",
    "minutes=5": "steps=4",
    "seconds=60": "seconds=0.1",
    "seconds=10": "seconds=0.1",
    "seconds=5": "seconds=0.1",
    "resynthesise=20": "resynthesise=2",
    'model="base"': 'model="tiny", sample_every=0',
}
INSTEAD = {
    "experiment=phones": ["crop=4000"],  # a frame is told by 3,840 samples around it
    "experiment=speakers": ["data.dir=~/recordings"],  # as many speakers, in less sound
}


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in FENCED.findall(page.read_text()) if found == language]


@pytest.fixture
def recordings(tmp_path, monkeypatch) -> Path:
    """~/recordings, with labels and phones."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "recordings"
    for name in ("intro", "a", "b", "c", "deep/d", "deep/e"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        soundfile.write(folder / f"{name}.wav", np.random.default_rng(len(name)).normal(0, 0.1, 4000), 16000)
    rows = [f"{name}.wav,{start},{start + 2000},{start}" for name in ("intro", "a", "b", "c") for start in (0, 2000)]
    (folder / "phones.csv").write_text("\n".join(["file_name,start_sample,end_sample,phone", *rows]))
    speakers = zip(("intro", "a", "b", "c", "deep/d", "deep/e"), ("june", "carlo") * 3, strict=True)
    (folder / "metadata.csv").write_text("file_name,speaker\n" + "\n".join(f"{a}.wav,{b}" for a, b in speakers))
    return folder


def test_commands_and_snippets_work_as_written(call, recordings, monkeypatch):
    lines = [line for page in PAGES for block in blocks(page, "bash") for line in block.splitlines() if line.strip()]
    done = 0
    for line in dict.fromkeys(lines):
        program, *arguments = shlex.split(line, comments=True)
        command = program.removeprefix("wavenet-")
        assert command in QUICK, line
        shortened = [SHORTER.get(argument, argument) for argument in arguments]
        names = {argument.partition("=")[0] for argument in shortened}
        if command == "train" and not {"steps", "resume"} & names:
            shortened += ["minutes=null", "steps=2"]
        if command == "train" and "resume" not in names:
            shortened += TINY if done == 0 else [*TINY, "sample_every=0"]
        if command == "generate" and "seconds" not in names:
            shortened.append("seconds=0.1")
        instead = [setting for argument in arguments for setting in INSTEAD.get(argument, [])]
        status, _, err = call(command, *shortened, *QUICK[command], *instead)
        assert (status, err) == (0, ""), line
        done += 1
    assert done >= 20
    assert Path("more.flac").is_file()
    for page in PAGES:
        names = {}
        for number, snippet in enumerate([] if page.name in OWN_TEST else blocks(page, "python")):
            for long, short in SHORTER.items():
                snippet = snippet.replace(long, short)
            exec(compile(snippet, f"{page.relative_to(ROOT)}, snippet {number + 1}", "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page):
    text = page.read_text()
    assert {language for language, _ in FENCED.findall(text)} <= LANGUAGES
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        target = (page.parent / link).resolve()
        assert target.exists(), link
    for path in re.findall(r"(?<![\w/.-])(?:wavenet|scripts|data|configs|tests|docs)/[\w./]*\w", text):
        assert (ROOT / path).exists(), path
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_settings_that_are_named_exist():
    schemas = (config.TrainConfig, config.GenerateConfig, config.EvaluateConfig, config.RecogniseConfig)
    schemas += (config.ServeConfig,)
    known = {setting.name for schema in schemas for setting in config.settings(schema)} | {"remove", "experiment"}
    known |= {"data", "model", "optim", "osc", "name", "weights_only"}
    for page in PAGES:
        for name in re.findall(r"`((?:[a-z_]+\.)*[a-z_0-9]+)=[^`]", FENCED.sub("", page.read_text())):
            assert name in known or name.startswith("label."), (page.name, name)


def test_the_notebook_is_stored_without_results():
    for cell in json.loads((ROOT / "docs" / "notebook.ipynb").read_text())["cells"]:
        assert not cell.get("outputs"), "clear its outputs: `make docs` makes them anew"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150

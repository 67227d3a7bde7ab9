"""The README's commands work, in order, on a folder of made-up sounds; what it names exists."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
QUICK = {
    "train": ["crop=1120", "threads=1", "device=cpu"],
    "generate": ["threads=1", "device=cpu"],
    "evaluate": ["threads=1", "device=cpu"],
    "recognise": ["threads=1", "device=cpu"],
    "export": [],
}
LONGER = {"experiment=phones": "crop=4000"}
"""A frame is told by 3,840 samples around it."""
SHORTER = {
    "minutes=15": "steps=3",
    "seconds=10": "seconds=0.1",
    "minutes=5": "steps=4",
    "resynthesise=20": "resynthesise=2",
}


def commands() -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines() if line.strip()]


def test_commands_work_as_written(call, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("intro", "a", "b", "c", "deep/d", "deep/e"):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / f"{name}.wav", np.random.default_rng(len(name)).normal(0, 0.1, 4000), 16000)
    rows = [f"{name}.wav,{start},{start + 2000},{start}" for name in ("intro", "a", "b", "c") for start in (0, 2000)]
    (folder / "phones.csv").write_text("\n".join(["file_name,start_sample,end_sample,phone", *rows]))
    lines = commands()
    assert len(lines) >= 5
    for program, *arguments in lines:
        command = program.removeprefix("wavenet-")
        assert command in QUICK
        shortened = [SHORTER.get(argument, argument) for argument in arguments]
        if command == "train" and not any(argument.startswith("steps") for argument in shortened):
            shortened += ["minutes=null", "steps=2"]
        if command == "generate" and not any(argument.startswith("seconds") for argument in shortened):
            shortened.append("seconds=0.1")
        longer = [LONGER[argument] for argument in arguments if argument in LONGER]
        status, _, err = call(command, *shortened, *QUICK[command], *longer)
        assert (status, err) == (0, ""), (program, arguments)
    assert Path("more.flac").is_file()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))))
def test_make_targets_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:wavenet|scripts|data|configs)/[\w./]+", README))))
def test_paths_exist(path):
    assert (ROOT / path.rstrip(".")).exists() or path.startswith("wavenet/configs")


def test_links_to_pictures_exist():
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / picture).is_file()

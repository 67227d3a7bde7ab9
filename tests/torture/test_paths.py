"""No table, checkpoint or state makes the program read or write outside what the user named."""

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
import victim
import worker
from test_full_disk import _no_pictures, folder
from test_mutated_files import rewritten

from wavenet.config import RecognitionConfig
from wavenet.errors import WaveNetError
from wavenet.model import checkpoint
from wavenet.recordings import metadata
from wavenet.recordings.preparation import prepare
from wavenet.training import train
from wavenet.voice import load, opened

__all__ = ["_no_pictures", "folder"]  # fixtures
EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.listdir", "os.scandir")
_watched: list[tuple[str, list[str]]] = []


def _hook(event: str, arguments: tuple) -> None:
    if _watched and event in EVENTS:
        place, found = _watched[-1]
        for argument in arguments:
            if isinstance(argument, str | bytes | os.PathLike):
                path = os.path.realpath(os.fsdecode(argument))
                if path.startswith(place):
                    found.append(f"{event} {path}")


@pytest.fixture(scope="module", autouse=True)
def _hooked():
    sys.addaudithook(_hook)  # for as long as the process lives
    yield
    _watched.clear()


@pytest.fixture
def outside(tmp_path):
    """A folder that nobody named, with a recording and a table in it; the test fails if it is touched."""
    place = tmp_path / "outside"
    victim.recordings(place)
    found: list[str] = []
    _watched.append((str(place.resolve()), found))
    yield place
    _watched.pop()
    assert found == []


@pytest.fixture
def own(folder, tmp_path) -> Path:
    (tmp_path / "here").mkdir()
    shutil.copytree(folder / "recordings", tmp_path / "here/recordings")
    return tmp_path / "here"


def test_tables_name_only_what_is_in_the_folder(own, outside):
    ways = [
        "../../outside/0.wav",
        str(outside / "1.wav"),
        "./../../outside/2.wav",
        "x/../../../outside/3.wav",
        "..\\..\\outside\\4.wav",
    ]
    rows = "".join(f"{way},0\n" for way in ways)
    (own / "recordings/metadata.csv").write_text("file_name,speaker\n" + rows + "0.wav,0\n1.wav,1\n")
    phones = "".join(f"{way},0,900,a\n" for way in [*ways, "0.wav", "1.wav"])
    (own / "recordings/phones.csv").write_text("file_name,start_sample,end_sample,phone\n" + phones)
    config = victim.settings(own, own / "run")
    told = metadata.read(prepare(config.data), ["speaker"])
    assert sorted(told.unknown) == sorted(ways)
    assert told.recordings == {"0.wav", "1.wav"}
    config.data.frames, config.steps = "phones.csv", 1
    config.model.recognition = RecognitionConfig(hop=40, layers=1, channels=4, kernel_size=3)
    assert train(config, own / "run").steps == 1


@pytest.mark.parametrize("way", ["../outside", "/{outside}", "../../outside/0.wav", "x/../../outside\0"])
def test_checkpoints_name_nothing(tmp_path, outside, way):
    way = way.format(outside=outside)
    path = tmp_path / "x.safetensors"
    checkpoint.save(path, worker.model(labels={"a": ["b", "c"]}), 8000, 1, None)
    path.write_bytes(rewritten(path.read_bytes(), labels={way: [way, "c"]}))
    voice = load(path)
    assert voice.labels == {way: [way, "c"]}
    sound = voice.generate(0.01, labels={way: way}, threads=1, device="cpu")
    assert sound.isfinite().all()
    for output in ("y.wavenet", "y.safetensors"):
        with contextlib.suppress(WaveNetError):  # a name with a zero byte cannot be exported
            voice.export(tmp_path / output, "float32") if output == "y.wavenet" else voice.save(tmp_path / output)
        if not (tmp_path / output).exists():
            continue
        assert opened(tmp_path / output).labels == voice.labels


def test_a_state_decides_nowhere_to_write(own, outside):
    """Only where the recordings and their cache are is taken from it, where the user named nothing else."""
    run = own / "run"
    config = victim.settings(own, run)
    config.steps = 2
    train(config, run)
    state = checkpoint.load_state(run)
    for name in ("run.dir", "report", "init", "resume"):
        place = state["config"]
        *sections, last = name.split(".")
        for section in sections:
            place = place[section]
        place[last] = str(outside / "made")
    torch.save(state, run / "checkpoints/last.state")
    config = victim.settings(own, run)
    assert train(config, run).steps == victim.STEPS
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"] == victim.STEPS

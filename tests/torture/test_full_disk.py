"""Disks that fill up under whatever writes: one line says so, what was there stays whole, and work goes on later."""

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
import torch
import victim
from outcomes import differences, outcome
from tally import Tally, lengths, tally

from wavenet.audio import plots
from wavenet.config import ModelConfig
from wavenet.errors import WaveNetError
from wavenet.files import LEFT_OVER
from wavenet.generation import CompiledEngine, render
from wavenet.generation.export import pack
from wavenet.model import checkpoint, native
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.preparation import prepare
from wavenet.training import metrics, train
from wavenet.voice import load

__all__ = ["tally"]  # a fixture
Small = Callable[[int], contextlib.AbstractContextManager]
"""A disk of so many bytes."""


@pytest.fixture(params=["limit of files", "tmpfs"])
def disk(request, tmp_path) -> Iterator[tuple[Path, Small]]:
    """A folder, and what makes it small meanwhile."""
    place = tmp_path / "disk"
    place.mkdir()
    if request.param == "tmpfs":
        mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(place)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("no tmpfs can be mounted here")

        @contextlib.contextmanager
        def small(size: int) -> Iterator[None]:
            filler = place / "filler"
            filler.write_bytes(bytes(shutil.disk_usage(place).free - size))
            try:
                yield
            finally:
                filler.unlink()

        yield place, small
        subprocess.run(["umount", str(place)], check=True)
        return

    @contextlib.contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    yield place, limited


@pytest.fixture(scope="module", autouse=True)
def _no_pictures():
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((metrics.RunLog, "curves"), (metrics.RunLog, "_picture")):
            patch.setattr(owner, name, lambda *_: None)
        for name in ("spectrograms", "embeddings"):
            patch.setattr(plots, name, lambda *_: None)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("full")
    victim.recordings(place / "recordings")
    return place


def trained(folder: Path, run: Path) -> None:
    torch.manual_seed(0)  # the state holds what is left of it
    train(victim.settings(folder, run), run)


@pytest.fixture(scope="module")
def whole(folder, _no_pictures) -> Path:
    """A run with room enough."""
    trained(folder, folder / "whole")
    return folder / "whole"


def left_over(place: Path) -> list[str]:
    return [str(path) for path in place.rglob(".*") if LEFT_OVER.fullmatch(path.name)]


def refused(work: Callable[[], object]) -> bool:
    """Whether it failed with one line; any other error is a loss."""
    try:
        work()
    except WaveNetError as error:
        said = str(error)
    else:
        return False
    assert "\n" not in said
    assert "Errno" not in said
    return True


@lengths(2, 40)
def test_a_disk_that_fills_up_in_preparation(tally: Tally, count, disk, folder):
    place, small = disk
    for size in Random(0).choices(range(1, 16_000), k=count):
        config = victim.settings(folder, place / "run").data
        config.cache_dir = str(place / "cache")
        shutil.rmtree(place / "cache", ignore_errors=True)
        with small(size):
            full = refused(lambda config=config: prepare(config))
        assert not list((place / "cache").glob("*/.parts.*"))
        assert len(prepare(config).recordings) == 5
        tally.survived("full" if full else "room enough")


@lengths(2, 40)
def test_a_disk_that_fills_up_in_training(tally: Tally, count, disk, folder, whole):
    place, small = disk
    run = place / "run"
    reference = outcome(whole)
    for size in Random(0).choices(range(100, 200_000), k=count):
        shutil.rmtree(run, ignore_errors=True)
        with small(size):
            full = refused(lambda: trained(folder, run))
        assert not left_over(run)
        for path in run.rglob("*.safetensors"):
            checkpoint.load(path)
        if full and not (run / "checkpoints/last.state").exists():
            shutil.rmtree(run, ignore_errors=True)
        if full:
            trained(folder, run)
        assert not differences(reference, outcome(run))
        tally.survived("full, then gone on with" if full else "room enough")


@pytest.mark.skipif(native.code() is None, reason="the kernels are not built")
@lengths(3, 60)
@pytest.mark.parametrize("kind", [".wav", ".flac", ".wavenet", ".safetensors"])
def test_a_disk_that_fills_up_in_generation_and_export(tally: Tally, count, kind, disk, tmp_path):
    place, small = disk
    torch.manual_seed(0)
    model = WaveNet(ModelConfig(1, 3, residual_channels=8, gate_channels=8))
    checkpoint.save(tmp_path / "x.safetensors", model, 8000, 1, None)
    voice, chance, path = load(tmp_path / "x.safetensors"), Random(0), place / f"x{kind}"
    path.write_bytes(b"WAVENET\nold")
    engine = CompiledEngine(pack(model.eval(), 8000, "float32"))

    def make() -> None:
        if kind in (".wav", ".flac"):
            render(engine, 8000, [path], 8000, [0])
        elif kind == ".wavenet":
            voice.export(path, "float32")
        else:
            voice.save(path)

    for _ in range(count):
        before = path.read_bytes()
        with small(chance.randrange(30_000)):
            full = refused(make)
        if full:
            assert path.read_bytes() == before, "what was there is gone"
        assert not left_over(place)
        assert os.listdir(place) == [path.name]
        tally.survived("full" if full else "room enough")

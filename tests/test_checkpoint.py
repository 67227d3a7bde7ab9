"""Checkpoints: what goes in comes out, damage is one clear line, and nothing is ever unpickled or half written."""

import contextlib
import json
import pickle
import resource
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from wavenet.config import ModelConfig
from wavenet.errors import CheckpointError
from wavenet.model import checkpoint
from wavenet.model.wavenet import WaveNet


@pytest.fixture
def saved(small, tmp_path):
    small.input, small.dilations = "scalar", [1, 3]
    model = WaveNet(small)
    path = tmp_path / "checkpoints" / "best.safetensors"
    checkpoint.save(path, model, 22050, 123, 3.5)
    return model, path


def test_round_trip(saved):
    model, path = saved
    loaded = checkpoint.load(path)
    assert (loaded.sample_rate, loaded.step, loaded.valid_bits) == (22050, 123, 3.5)
    assert loaded.model.config == model.config
    assert not loaded.model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)


def test_a_run_folder_means_its_best_then_its_last(saved, tmp_path):
    _, best = saved
    last = best.with_name("last.safetensors")
    last.write_bytes(best.read_bytes())
    assert checkpoint.find(tmp_path) == checkpoint.find(tmp_path / "checkpoints") == best
    best.unlink()
    assert checkpoint.find(tmp_path) == last
    last.unlink()
    for path in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(CheckpointError, match=r"give a run folder or a \.safetensors file"):
            checkpoint.find(path)


def test_sharing_never_unpickles(saved, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("unpickled")

    for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, refuse)
    checkpoint.load(saved[1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "x.safetensors"
    narrow = ModelConfig(layers_per_stack=2, residual_channels=2, gate_channels=2, skip_channels=2, head_channels=2)
    checkpoint.save(path, WaveNet(narrow), 8000, 1, None)
    return path.read_bytes()


@given(share=st.floats(0, 0.999))
def test_a_truncated_file_is_refused(share, whole, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "x.safetensors"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    assert str(caught.value) == f"{path} is not a readable checkpoint: it is cut short or altered"


def altered(path, change):
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["wavenet"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    change(header, tensors)
    save_file(tensors, path, metadata={"wavenet": json.dumps(header)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda header, _: header.update(format_version=99), "format version 99"),
        (lambda header, _: header["mulaw"].update(mu=256), "another mu-law convention"),
        (lambda header, _: header["model"].update(skip_channels=13), "does not fit its weights"),
        (lambda header, _: header["model"].update(stacks=-1), "does not fit its weights"),
        (
            lambda header, _: header["model"]["features"].update(novelty=1),
            r"was written by a newer version, which has a setting model\.features\.novelty; update this program",
        ),
        (lambda header, _: header["data"].update(novelty=1), r"newer version, which has a setting data\.novelty"),
        (lambda header, _: header.pop("sample_rate"), "does not fit its weights"),
        (lambda _, tensors: tensors.pop("hidden.weight"), "does not fit its weights"),
    ],
)
def test_an_altered_file_is_refused(saved, change, said):
    altered(saved[1], change)
    with pytest.raises(CheckpointError, match=said) as caught:
        checkpoint.load(saved[1])
    assert "\n" not in str(caught.value)


def test_a_file_of_something_else_is_refused(tmp_path):
    save_file({"x": torch.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="something else"):
        checkpoint.load(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"WAVENET\n\x01\0\0\0", "is an exported network: give a run folder or a .safetensors file"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "is a recording: give a run folder or a .safetensors file"),
        (b"fLaC\0\0\0\x22", "is a recording: give a run folder or a .safetensors file"),
        (b"PK\x03\x04\0\0\x08\x08", "is a training state: give a run folder or a .safetensors file"),
        (b"text", "is no checkpoint: give a run folder or a .safetensors file"),
    ],
)
def test_a_file_of_another_kind_is_told_from_a_damaged_one(tmp_path, start, said):
    path = tmp_path / "file"
    path.write_bytes(start)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    assert str(caught.value).startswith(f"{path} {said}")


def test_resume_tells_what_it_is_given(saved, tmp_path):
    (tmp_path / "x.wav").write_bytes(b"RIFF1234WAVE")
    for path, kind in ((saved[1], "a checkpoint"), (tmp_path / "x.wav", "a recording")):
        with pytest.raises(CheckpointError) as caught:
            checkpoint.load_state(path)
        assert str(caught.value) == f"{path} is {kind}: resume= takes a run folder or its last.state"


@contextlib.contextmanager
def full_disk(most: int = 500):
    """Within, no file can grow above `most` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_older_file(saved):
    model, path = saved
    before = path.read_bytes()
    with full_disk(), pytest.raises(CheckpointError) as caught:
        checkpoint.save(path, model, 22050, 124, 3.4)
    said = f"cannot write {path} (File too large); free space or choose another run.dir"
    assert str(caught.value) == said
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_files_have_the_mode_that_the_umask_leaves(saved, state):
    (saved[1].parent / "plain").touch()
    for path in (saved[1], state[1]):
        assert path.stat().st_mode == (saved[1].parent / "plain").stat().st_mode


class Surprise:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_state_that_executes_is_refused(tmp_path, capsys):
    path = tmp_path / "last.state"
    torch.save({"format_version": 1, "x": Surprise()}, path)
    with pytest.raises(CheckpointError):
        checkpoint.load_state(path)
    assert capsys.readouterr().out == ""


def test_weights_of_any_type_come_back_as_float32(small, tmp_path):
    model = WaveNet(small).bfloat16()
    checkpoint.save(tmp_path / "x.safetensors", model, 8000, 1, None)
    with safe_open(tmp_path / "x.safetensors", framework="pt") as file:
        assert file.get_tensor("hidden.weight").dtype == torch.float32
    loaded = checkpoint.load(str(tmp_path / "x.safetensors"))
    assert loaded.valid_bits is None
    assert all(p.dtype == torch.float32 for p in loaded.model.parameters())
    assert torch.equal(loaded.model.hidden.weight, model.hidden.weight.float())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensor: tensor.to(torch.int32), r"hidden\.bias holds torch\.int32"),
        (lambda tensor: tensor * float("nan"), r"hidden\.bias holds .* not all finite"),
        (lambda tensor: tensor[1:].clone(), r"hidden\.bias"),
    ],
)
def test_weights_that_cannot_be_are_named(saved, change, said):
    _, path = saved
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    tensors["hidden.bias"] = change(tensors["hidden.bias"])
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(CheckpointError, match=said):
        checkpoint.load(path)


def test_a_run_folder_is_loaded(saved, tmp_path):
    assert checkpoint.load(tmp_path).path == saved[1]


@pytest.mark.parametrize(
    "change",
    [
        {"sample_rate": float("inf")},
        {"sample_rate": -8000},
        {"step": "many"},
        {"valid_bits": [3.5]},
        {"model": None},
        {"mulaw": None},
    ],
    ids=str,
)
def test_a_header_of_other_types_is_refused(saved, change):
    altered(saved[1], lambda header, _: header.update(change))
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(saved[1])
    assert "\n" not in str(caught.value)


@given(share=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255), inside=st.booleans())
def test_a_changed_byte_is_never_a_traceback(share, mask, inside, whole, tmp_path_factory):
    """In the weights it can go unseen; anywhere it is a readable checkpoint or a CheckpointError."""
    damaged = bytearray(whole)
    header = 8 + int.from_bytes(whole[:8], "little")
    damaged[int(share * (header if inside else len(whole)))] ^= mask
    path = tmp_path_factory.mktemp("changed") / "x.safetensors"
    path.write_bytes(damaged)
    try:
        checkpoint.load(path)
    except CheckpointError as error:
        assert "\n" not in str(error)  # noqa: PT017 (loading is as good)


def test_an_interrupted_save_leaves_the_older_file(saved, monkeypatch):
    def interrupt(path, data):
        path.write_text("half")
        raise KeyboardInterrupt

    model, path = saved
    before = path.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", interrupt)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, model, 22050, 124, 3.4)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_folder_that_is_a_file_is_one_line(saved, tmp_path):
    (tmp_path / "taken").write_text("")
    for write in (
        lambda path: checkpoint.save(path, saved[0], 8000, 1, None),
        lambda path: checkpoint.save_state(path, {"format_version": 1}),
    ):
        with pytest.raises(CheckpointError, match="cannot write") as caught:
            write(tmp_path / "taken" / "x")
        assert "\n" not in str(caught.value)


@pytest.fixture
def state(tmp_path):
    stored = {"format_version": 1, "step": 7, "weights": {"a": torch.arange(500.0)}, "names": ["x"]}
    path = tmp_path / "checkpoints" / "last.state"
    checkpoint.save_state(path, stored)
    return stored, path


def test_a_state_comes_back(state, tmp_path):
    stored, path = state
    for place in (path, str(path), tmp_path, path.parent):
        loaded = checkpoint.load_state(place)
        assert torch.equal(loaded.pop("weights")["a"], stored["weights"]["a"])
        assert loaded == {name: value for name, value in stored.items() if name != "weights"}
    path.unlink()
    with pytest.raises(CheckpointError, match="there is no training state"):
        checkpoint.load_state(tmp_path)


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.9, 0.99])
def test_a_truncated_state_is_refused(state, share):
    whole = state[1].read_bytes()
    state[1].write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_state(state[1])
    assert str(caught.value) == f"{state[1]} is not a readable training state: it is cut short or altered"


@pytest.mark.parametrize("content", [{"format_version": 2}, {"step": 1}, [1, 2], 5])
def test_a_state_of_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "last.state")
    with pytest.raises(CheckpointError):
        checkpoint.load_state(tmp_path / "last.state")


def test_a_full_disk_leaves_the_older_state(state):
    """And names the disk's reason, not a line of torch's source."""
    stored, path = state
    before = path.read_bytes()
    with full_disk(), pytest.raises(CheckpointError) as caught:
        checkpoint.save_state(path, stored)
    said = f"cannot write {path} (File too large); free space or choose another run.dir, then resume"
    assert str(caught.value) == said
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["last.state"]


@pytest.mark.parametrize(
    ("config", "name"),
    [({"novelty": 1}, "novelty"), ({"model": {"context": {"novelty": 1}}}, r"model\.context\.novelty")],
)
def test_a_state_of_a_newer_version_is_not_called_altered(state, config, name):
    checkpoint.save_state(state[1], {"format_version": 1, "config": config})
    with pytest.raises(CheckpointError, match=f"written by a newer version, which has a setting {name}; update"):
        checkpoint.load_state(state[1])

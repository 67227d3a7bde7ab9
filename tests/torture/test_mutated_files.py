"""Thousands of damaged or hostile files: no crash, no hang, bounded memory, and each one is reported."""

import io
import json
import struct
import zipfile
from random import Random

import pytest
import torch
import worker
from tally import Tally, in_processes, lengths, peak, tally

from wavenet.config import ModelConfig
from wavenet.errors import CheckpointError
from wavenet.generation import CompiledEngine
from wavenet.generation.export import pack
from wavenet.model import checkpoint, native
from wavenet.model.wavenet import WaveNet
from wavenet.speech.acoustic import MOST_STEPS, whole_steps

__all__ = ["tally"]  # a fixture


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def tried(tally: Tally, case: str, count: int, folder, capfd) -> None:
    """In this process if they are few, which is quicker, and in others, which may die, if they are many."""
    if count > 1000:
        in_processes(tally, case, count // (worker.AT_ONCE if case == "audio" else 1), folder)
        return
    worker.CASES[case](-1, folder)  # what is needed once
    before = peak()
    capfd.readouterr()
    for seed in range(count // (worker.AT_ONCE if case == "audio" else 1)):
        for how, number in worker.CASES[case](seed, folder).items():
            tally.survived(how, number)
    printed = "".join(capfd.readouterr())
    assert printed == ""
    assert peak() - before < worker.GROWTH


@lengths(100, 10_000)
def test_mutated_recordings(tally, count, tmp_path, capfd):
    tried(tally, "audio", count, tmp_path, capfd)


@pytest.mark.skipif(native.code() is None, reason="the kernels are not built")
@lengths(150, 4_000)
def test_mutated_exported_files(tally, count, tmp_path, capfd):
    tried(tally, "exported", count, tmp_path, capfd)


@lengths(100, 4_000)
def test_mutated_checkpoints(tally, count, tmp_path, capfd):
    tried(tally, "checkpoint", count, tmp_path, capfd)


@lengths(20, 2_000)
def test_mutated_training_states(tally, count, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("wavenet.training.metrics.RunLog.curves", lambda *_: None)
    worker.run.cache_clear()
    tried(tally, "state", count, tmp_path, capfd)


# ---- what was found, and stays mended


def rewritten(good: bytes, **changed) -> bytes:
    """A checkpoint whose header describes another model."""
    (size,) = struct.unpack("<Q", good[:8])
    header = json.loads(good[8 : 8 + size])
    told = json.loads(header["__metadata__"]["wavenet"])
    told["model"] |= changed
    header["__metadata__"]["wavenet"] = json.dumps(told)
    written = json.dumps(header).encode()
    return struct.pack("<Q", len(written)) + written + good[8 + size :]


@pytest.mark.parametrize(
    "changed",
    [
        {"residual_channels": 10**6},
        {"skip_channels": 2**40},
        {"stacks": 10**12},
        {"layers_per_stack": 24, "stacks": 10**6},
        {"dilations": [1, 2, 2**50]},
        {"kernel_size": 10**9},
        {"initial_filter": 10**9},
        {"labels": {"x": [str(i) for i in range(1000)]}, "condition_channels": 10**8},
        {"context": {"pools": [65536] * 1000, "layers": 16, "channels": 10**6}},
        {"features": {"kinds": ["mel"], "mels": 10**10}},
        {"recognition": {"classes": ["a"], "layers": 10**9}},
    ],
)
def test_a_header_asks_for_no_more_than_its_weights_fill(tmp_path, changed):
    """Before, each of these asked for gigabytes, or forever."""
    path = tmp_path / "x.safetensors"
    checkpoint.save(path, worker.model(), 8000, 1, None)
    path.write_bytes(rewritten(path.read_bytes(), **changed))
    before = peak()
    with pytest.raises(CheckpointError, match="does not fit its weights"):
        checkpoint.load(path)
    assert peak() - before < 64


@pytest.mark.skipif(native.code() is None, reason="the kernels are not built")
def test_an_exported_file_asks_for_no_more_than_1024_times_its_size():
    """Before, a file of 6 KB could ask for 256 MB, and one of 1 MB for 1 GB."""
    model = WaveNet(ModelConfig(1, 1, residual_channels=4, gate_channels=4, skip_channels=4, head_channels=4))
    good = pack(model, 8000, "float32")
    body = bytearray(good[:-4])
    at, most = 12 + 4 * 11, 1024 * len(good) // (16 * 4)  # the dilation; lanes of 16, float32
    body[at : at + 4] = struct.pack("<I", most)
    assert CompiledEngine(worker.mutations.sealed(body)).kernel.state_bytes < 1024 * len(good) + 4096
    body[at : at + 4] = struct.pack("<I", most + 1)
    with pytest.raises(CheckpointError, match=rf"a file of {len(good)} bytes may ask for at most 1024 times its size"):
        CompiledEngine(worker.mutations.sealed(body))


def with_parts(state: bytes, change, kind: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(state)) as whole, zipfile.ZipFile(made, "w", kind) as other:
        for part in whole.infolist():
            other.writestr(part.filename, change(part.filename, whole.read(part)))
    return made.getvalue()


@pytest.fixture
def state(tmp_path) -> bytes:
    checkpoint.save_state(
        tmp_path / "last.state", {"format_version": 1, "config": {}, "model": {"x": torch.arange(5000.0)}}
    )
    return (tmp_path / "last.state").read_bytes()


def refused(tmp_path, content: bytes) -> None:
    (tmp_path / "last.state").write_bytes(content)
    before = peak()
    with pytest.raises(CheckpointError, match="not a readable training state: it is cut short or altered"):
        checkpoint.load_state(tmp_path / "last.state")
    assert peak() - before < 64


def test_a_flipped_bit_of_a_state_is_seen(tmp_path, state):
    """torch.load does not look at the checksums."""
    (tmp_path / "last.state").write_bytes(state)
    assert checkpoint.load_state(tmp_path / "last.state")["model"]["x"][-1] == 4999
    at = state.index(torch.arange(5000.0).numpy().tobytes())
    for place in Random(0).sample(range(20_000), 10):
        refused(tmp_path, state[: at + place] + bytes([state[at + place] ^ 4]) + state[at + place + 1 :])


def test_a_state_that_unpacks_to_more_than_its_size_is_refused(tmp_path, state):
    """Before, 60 KB took 60 MB."""
    bomb = with_parts(
        state, lambda name, old: bytes(60_000_000) if name.endswith("/data/0") else old, zipfile.ZIP_DEFLATED
    )
    assert len(bomb) < 1e6
    refused(tmp_path, bomb)


def test_a_state_of_the_format_before_zip_is_refused(tmp_path):
    """torch would make room for as many numbers as it claims to hold."""
    file = io.BytesIO()
    torch.save({"x": torch.zeros(3)}, file, _use_new_zipfile_serialization=False)
    refused(tmp_path, file.getvalue())


def test_a_tensor_that_is_larger_than_its_bytes_is_refused(tmp_path, state):
    file = io.BytesIO()
    torch.save({"format_version": 1, "config": {}, "model": {"x": torch.zeros(1).expand(10**9)}}, file)
    refused(tmp_path, file.getvalue())


def test_a_state_that_repeats_itself_is_refused(tmp_path):
    """It is small, but saying it takes forever."""
    nested: list = ["x"]
    for _ in range(60):
        nested = [nested, nested]
    checkpoint.save_state(tmp_path / "x.state", {"format_version": 1, "config": {"init": nested}})
    refused(tmp_path, (tmp_path / "x.state").read_bytes())


@pytest.mark.parametrize("name", ["posix\nsystem", "builtins\neval", "torch._utils\n_rebuild_sparse_tensor"])
def test_a_state_names_nothing_but_tensors(tmp_path, state, name):
    call = b"c" + name.encode() + b"\n0"

    def change(part: str, old: bytes) -> bytes:
        return old[:2] + call + old[2:] if part.endswith("data.pkl") else old

    refused(tmp_path, with_parts(state, change))


def test_a_unit_never_lasts_long():
    """Weights that were altered once asked for as many frames as they liked."""
    lasts = torch.tensor([2.0, float("inf"), float("nan"), 1e30])
    assert whole_steps(lasts, torch.ones(4, dtype=torch.bool)).tolist() == [2, MOST_STEPS, MOST_STEPS, MOST_STEPS]

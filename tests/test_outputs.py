"""What is written and where to: pipes, devices and links, the standard output, and places that are named oddly."""

import io
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from wavenet import files
from wavenet.audio import io as audio
from wavenet.cli.jobs.train import make_folder
from wavenet.config import DataConfig, ModelConfig, TrainConfig
from wavenet.errors import AudioError, ConfigError, TrainingError
from wavenet.model import checkpoint
from wavenet.model.wavenet import WaveNet
from wavenet.training import train

posix = pytest.mark.skipif(os.name != "posix", reason="pipes have names there")
RATE = 8000
HEADER = (
    b"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data"
)


@pytest.fixture
def model(tmp_path) -> Path:
    torch.manual_seed(0)
    shape = ModelConfig(stacks=1, layers_per_stack=4, residual_channels=8, gate_channels=8, skip_channels=8)
    checkpoint.save(tmp_path / "m.safetensors", WaveNet(shape), RATE, 7, 5.0)
    return tmp_path / "m.safetensors"


class Pipe:
    """A named pipe that is read to its end meanwhile."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path, self.got = path, b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        self.got = self.path.read_bytes()

    def bytes(self) -> bytes:
        self._reader.join(timeout=20)
        assert self.path.is_fifo(), "it was replaced by a file"
        return self.got


def write_through(path: Path, text: str) -> None:
    with files.atomic(path) as temporary:
        temporary.write_text(text)


@posix
def test_a_pipe_is_written_through_not_replaced(tmp_path):
    pipe = Pipe(tmp_path / "pipe")
    os.symlink("pipe", tmp_path / "link")
    write_through(tmp_path / "link", "figures")
    assert pipe.bytes() == b"figures"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]


@posix
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root makes device nodes")
def test_a_device_is_written_through_not_replaced(tmp_path):
    device = tmp_path / "null"  # a node of our own
    try:
        os.mknod(device, 0o666 | 0o020000, os.makedev(1, 3))
        device.write_text("")
    except OSError:
        pytest.skip("device nodes cannot be used here")
    os.symlink("null", tmp_path / "null.wav")
    write_through(device, "figures")
    audio.write(tmp_path / "null.wav", np.zeros(10), RATE)
    assert device.is_char_device()
    assert (tmp_path / "null.wav").is_symlink()


@posix
def test_links_are_followed(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "old").write_text("old")
    for name, target in (("link", "deep/old"), ("further", "link"), ("new", "deep/new"), ("sound.wav", "deep/s.wav")):
        os.symlink(target, tmp_path / name)
    write_through(tmp_path / "further", "newer")
    write_through(tmp_path / "new", "new")
    audio.write(tmp_path / "sound.wav", np.zeros(10), RATE)
    assert (tmp_path / "deep" / "old").read_text() == "newer"
    assert (tmp_path / "deep" / "new").read_text() == "new"
    assert soundfile.info(tmp_path / "deep" / "s.wav").frames == 10
    assert all((tmp_path / name).is_symlink() for name in ("link", "further", "new", "sound.wav"))


@posix
def test_links_in_a_circle_are_an_error_of_the_system(tmp_path):
    os.symlink("b", tmp_path / "a")
    os.symlink("a", tmp_path / "b")
    with pytest.raises(OSError, match="symbolic links"):
        write_through(tmp_path / "a", "x")
    with pytest.raises(AudioError, match="choose another place"):
        audio.write(tmp_path / "a", np.zeros(10), RATE)
    assert not files.streamed(tmp_path / "a")


@posix
def test_the_standard_output_goes_on_where_the_process_itself_writes(tmp_path):
    """Opened by its name, a file would be cut to nothing, or written over from its start."""
    code = (
        "import os, sys; from wavenet import files\n"
        "for name in ('/dev/stdout', '/proc/self/fd/1', 'link'):\n"
        "    assert files.is_stdout(name) and files.streamed(name)\n"
        "    with files.atomic(name) as path: path.write_text(name + ' ')\n"
        "    os.write(1, b'and on ')\n"
        "assert not files.is_stdout('/dev/stderr') and not files.is_stdout('other')"
    )
    os.symlink("/dev/stdout", tmp_path / "link")
    with open(tmp_path / "all", "w") as out:
        out.write("before ")
        out.flush()
        subprocess.run([sys.executable, "-c", code], stdout=out, cwd=tmp_path, check=True)
    expected = "before /dev/stdout and on /proc/self/fd/1 and on link and on "
    assert (tmp_path / "all").read_text() == expected
    piped = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=tmp_path, check=True)
    assert piped.stdout.decode() == expected.removeprefix("before ")


@posix
@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x"])
def test_sound_into_a_pipe_has_a_streaming_header(tmp_path, name):
    pipe = Pipe(tmp_path / name)
    sound = np.linspace(-1, 1, 3000)
    with audio.Writer(pipe.path, RATE) as writer:
        writer.write(sound[:1000])
        writer.write(sound[1000:])
    audio.write(tmp_path / "file.wav", sound, RATE)
    got = pipe.bytes()
    assert got[:44] == HEADER + struct.pack("<I", 0xFFFFFFFF)
    assert got[44:] == (tmp_path / "file.wav").read_bytes()[44:]
    (tmp_path / "kept.wav").write_bytes(got)
    assert torch.equal(audio.read(tmp_path / "kept.wav", RATE), audio.read(tmp_path / "file.wav", RATE))


@posix
def test_a_pipe_whose_reader_has_gone_is_named(tmp_path):
    os.mkfifo(tmp_path / "x.wav")
    reader = os.open(tmp_path / "x.wav", os.O_RDONLY | os.O_NONBLOCK)
    writer = audio.Writer(tmp_path / "x.wav", RATE)
    os.close(reader)
    with pytest.raises(AudioError, match=r"cannot write .*x\.wav: the program reading it has closed it"):
        writer.write(np.zeros(10))


@posix
def test_every_command_writes_through_pipes(call, model, tmp_path):
    """Neither is the pipe looked into for what it is, which would wait for ever, nor replaced."""
    pipes = {name: Pipe(tmp_path / name) for name in ("sound", "report", "network")}
    status, _, err = call("generate", f"checkpoint={model}", "seconds=0.1", "output=sound", "report=report")
    assert (status, err) == (0, "")
    assert len(pipes["sound"].bytes()) == 44 + 2 * RATE // 10
    assert b'"files": [\n    "sound"' in pipes["report"].bytes()
    status, out, err = call("export", f"checkpoint={model}", "output=network")
    assert (status, err) == (0, "")
    assert pipes["network"].bytes().startswith(b"WAVENET\n")
    assert "play it" not in out  # a pipe is not there to be played any more


def test_the_standard_output_gets_bare_samples_and_no_words(call, model):
    call("generate", f"checkpoint={model}", "seconds=0.1", "output=file.wav")
    before, raw = os.dup(1), os.open("raw", os.O_WRONLY | os.O_CREAT)
    try:
        os.dup2(raw, 1)
        status, out, err = call("generate", f"checkpoint={model}", "seconds=0.1", "output=-")
    finally:
        os.dup2(before, 1)
        os.close(before)
        os.close(raw)
    assert (status, out) == (0, "")
    assert Path("raw").read_bytes() == Path("file.wav").read_bytes()[44:]
    assert "aplay -f S16_LE -r 8000" in err
    assert "wrote to the standard output\n" in err
    assert not Path("-").exists()


def test_a_report_to_the_standard_output_has_it_alone(call, model):
    status, out, err = call("generate", f"checkpoint={model}", "seconds=0.1", "output=-", "report=-")
    assert (status, out) == (1, "")
    assert err == "error: two results both go to standard output; write one of them to a file\n"
    _, out, err = call("generate", f"checkpoint={model}", "seconds=0.1", "output=x.wav", "report=-")
    assert "wrote x.wav" in err
    assert "wrote" not in out


def test_sound_is_not_poured_over_a_terminal(call, model, monkeypatch):
    monkeypatch.setattr(os, "isatty", lambda number: True)
    status, _, err = call("generate", f"checkpoint={model}", "output=-")
    assert status == 1
    assert err.startswith("error: output is -, which is the terminal here: pipe it on")


def test_the_prime_is_kept_where_that_is_asked_for(call, model):
    prime = np.random.default_rng(0).integers(-9000, 9000, 30000).astype(np.int16)
    soundfile.write("loop.wav", prime, RATE)
    given = [f"checkpoint={model}", "seconds=0.1", "prime=loop.wav"]
    status, out, err = call("generate", *given, "output=without.wav")
    assert (status, err) == (0, "")
    assert "keep_prime=true puts the prime in front" in out
    status, out, _ = call("generate", *given, "keep_prime=true", "count=2", "output=with")
    assert status == 0
    assert "keep_prime" not in out
    made, without = (soundfile.read(name, dtype="int16")[0] for name in ("with/seed_0.wav", "without.wav"))
    assert np.array_equal(made, np.concatenate([prime, without]))
    status, _, err = call("generate", f"checkpoint={model}", "keep_prime=true")
    assert (status, err) == (1, "error: keep_prime is true, but there is no prime to keep: give prime=recording.wav\n")


def test_however_few_seconds_are_a_sample(call, model):
    assert call("generate", f"checkpoint={model}", "seconds=0.00001", "output=x.wav")[0] == 0
    assert soundfile.info("x.wav").frames == 1


def test_a_folder_may_have_a_dot(call, model):
    assert call("generate", f"checkpoint={model}", "seconds=0.01", "output=out/take.2")[0] == 0
    assert Path("out/take.2/seed_0.wav").is_file()
    assert call("generate", f"checkpoint={model}", "output=x.m4a")[2].startswith("error: output is x.m4a, but a file")


# ---- places that are named oddly, or are not there


@pytest.mark.parametrize("setting", ["data.dir", "run.dir", "report", "data.cache_dir"])
def test_a_home_that_nobody_has(call, setting):
    status, _, err = call("train", f"{setting}=~nosuch/x")
    assert status == 1
    assert err == f"error: {setting}: ~nosuch/x cannot be found: there is no user nosuch; write the path without ~\n"
    assert not Path("~nosuch").exists()


@posix
def test_an_account_without_a_home(call, monkeypatch, recordings):
    import pwd

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    said = "error: data.dir: ~/x cannot be found: this account has no home folder; write the path without ~\n"
    assert call("train", "data.dir=~/x") == (1, "", said)
    said = "error: cache_dir: ~/.cache cannot be found without a home folder: give cache_dir=...\n"
    assert call("cache") == (1, "", said)
    status, _, err = call("train", f"data.dir={recordings}", "model=tiny", "device=cpu")
    assert status == 1
    assert err.startswith("error: ")
    assert "home folder" in err
    assert "data.cache_dir" in err
    assert err.count("\n") == 1


@posix
def test_a_working_folder_that_was_deleted(call, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    status, _, err = call("train", "data.dir=/x")
    monkeypatch.chdir(tmp_path)
    assert status == 1
    assert err == "error: the current folder cannot be used (No such file or directory): change to another one\n"


@posix
def test_a_run_folder_that_is_not_text(call):
    status, _, err = call("train", "data.dir=/x", "run.dir=" + os.fsdecode(b"r\xff"))
    assert status == 1
    assert err.startswith("error: run.dir: r? is not valid UTF-8, and TensorBoard cannot write to such a folder; ")


def test_runs_that_begin_in_one_second_get_folders_of_their_own(tmp_path):
    made = [make_folder(tmp_path / "runs" / "now", new=True) for _ in range(3)]
    assert [path.name for path in made] == ["now", "now_2", "now_3"]
    assert make_folder(tmp_path / "runs" / "now", new=False) == tmp_path / "runs" / "now"  # as it was asked for
    (tmp_path / "job").mkdir()
    assert make_folder(tmp_path / "job", new=True, by_hydra=True).name == "job"
    (tmp_path / "job" / "checkpoints").mkdir()
    assert make_folder(tmp_path / "job", new=True, by_hydra=True).name == "job_2"
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="it is a file"):
        make_folder(tmp_path / "file", new=False)


def test_a_path_with_a_home_is_expanded_once_and_for_all(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.expanded("~/x") == tmp_path / "x"
    assert files.expanded("./~x") == Path("~x")
    with pytest.raises(ConfigError, match="there is no user nosuch"):
        files.expanded("~nosuch/x")


def test_names_in_letters_that_the_output_lacks(call, model, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", out)
    assert call("generate", f"checkpoint={model}", "seconds=0.01", "output=звук.wav")[0] == 0
    out.flush()
    assert rb"wrote \u0437\u0432\u0443\u043a.wav" in out.buffer.getvalue()
    assert Path("звук.wav").is_file()


def test_a_home_that_nobody_has_is_told_by_the_library_too(tmp_path):
    for settings in ({"data": DataConfig(dir="~nosuch/x")}, {"resume": "~nosuch/run"}):
        with pytest.raises(ConfigError, match="there is no user nosuch"):
            train(TrainConfig(**settings, device="cpu"), tmp_path / "run")

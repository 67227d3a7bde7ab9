"""What the commands show: it never ends the work, is broken between words, and tells how far things are anywhere."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from wavenet.cli.display import Display
from wavenet.cli.terminal import REPEAT_SECONDS, Steady, interruptible, steady_streams
from wavenet.config import ModelConfig
from wavenet.model import checkpoint
from wavenet.model.wavenet import WaveNet

posix = pytest.mark.skipif(os.name != "posix", reason="closed pipes and SIGHUP are told otherwise there")
RATE = 8000
QUICK = ["model=tiny", "crop=512", "sample_every=0", f"data.sample_rate={RATE}", "device=cpu", "threads=1"]


def start(command: str, *arguments: str, **more) -> subprocess.Popen:
    code = f"from wavenet.cli.{command} import main; main()"
    environment = os.environ | {"XDG_CACHE_HOME": str(Path(more["cwd"]) / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment, text=True, **more)


@pytest.fixture
def folder(tmp_path) -> Path:
    t = np.arange(RATE) / RATE
    (tmp_path / "recordings").mkdir()
    for i in range(3):
        soundfile.write(tmp_path / "recordings" / f"{i}.wav", 0.5 * np.sin(2 * np.pi * (300 + 50 * i) * t), RATE)
    return tmp_path / "recordings"


def show_all(display: Display) -> None:
    with display:
        display.say("a line")
        display.offer("next", "wavenet-train")
        display.preparing(1, 1)
        display.step(1, 1, 8.0, 100.0, 0.0)
        display.generating(1, 1, 1.0, RATE)
        display.recognising(1, 1)
        display.say("the last line")


@posix
@pytest.mark.parametrize("place", ["closed pipe", "/dev/full", "closed file", "lost terminal"])
def test_a_display_that_cannot_be_written_is_dropped(place, monkeypatch, tmp_path):
    if place == "lost terminal":
        leader, number = os.openpty()
        os.close(leader)
    elif place == "closed pipe":
        reader, number = os.pipe()
        os.close(reader)
    else:
        number = os.open("/dev/full" if place == "/dev/full" else tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    with open(number, "w") as stream:
        if place == "closed file":
            stream.close()
        monkeypatch.setattr(sys, "stdout", stream)
        show_all(Display())
        with steady_streams():
            print("and what is printed besides")
        if not stream.closed:
            stream.flush()  # as at the program's end: nothing is left that fails


def test_it_goes_on_where_only_one_stream_is_lost(monkeypatch, capsys):
    class Lost(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Lost())
    with steady_streams():
        print("nowhere")
        print("somewhere", file=sys.stderr)
    assert capsys.readouterr().err == "somewhere\n"


def test_closed_streams_are_none_and_are_opened_to_nowhere(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with steady_streams():
        print("nowhere")
        show_all(Display())


@posix
def test_training_goes_on_when_its_reader_leaves(folder, tmp_path):
    """As in `wavenet-train ... | head -1`: it ends as ever, and its checkpoint is whole."""
    arguments = [f"data.dir={folder}", "run.dir=run", "steps=12", "validate_every=4", *QUICK]
    with start("train", *arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == ""
        assert run.wait(timeout=120) == 0
    assert checkpoint.load(tmp_path / "run").step > 0
    assert checkpoint.load_state(tmp_path / "run")["step"] == 12


@posix
def test_generating_ends_in_good_order_with_its_terminal(tmp_path):
    """A closing terminal sends SIGHUP, often twice, and takes no more words: the sound is under its name and whole."""
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "m.safetensors", WaveNet(ModelConfig(stacks=1, residual_channels=8)), RATE, 7, 5.0)
    leader, terminal = os.openpty()
    given = ["checkpoint=m.safetensors", "seconds=100000", "output=made", "engine=cached"]
    run = start("generate", *given, cwd=tmp_path, stdout=terminal, stderr=terminal, stdin=terminal)
    os.close(terminal)
    made, words = tmp_path / "made", b""
    while b"generating" not in words:  # which is shown once the first samples are there
        words += os.read(leader, 4096)
    os.close(leader)
    run.send_signal(signal.SIGHUP)
    run.send_signal(signal.SIGHUP)
    assert run.wait(timeout=120) == 128 + signal.SIGHUP
    assert [path.name for path in made.iterdir()] == ["seed_0.wav"]
    assert soundfile.info(made / "seed_0.wav").frames >= 1024


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_and_sighup_do_what_ctrl_c_does(call, tmp_path, monkeypatch, number):
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "m.safetensors", WaveNet(ModelConfig(stacks=1, residual_channels=8)), RATE, 7, 5.0)

    def generating(self: Display, done: int, *_: float) -> None:
        if done >= 2048:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Display, "generating", generating)
    before = signal.getsignal(number)
    status, out, err = call("generate", "checkpoint=m.safetensors", "seconds=100", "output=made", "count=2")
    assert (status, err) == (128 + number, f"stopped by {signal.Signals(number).name}\n")
    assert "wrote made/seed_1.wav" in out
    assert {path.name: soundfile.info(path).frames for path in Path("made").iterdir()} == {
        "seed_0.wav": 2048,
        "seed_1.wav": 2048,
    }
    assert signal.getsignal(number) == before


@posix
def test_a_signal_that_is_repeated_at_once_is_one(monkeypatch):
    with interruptible() as received:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGINT)  # while the first one is heeded
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 2 * REPEAT_SECONDS)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert received == [signal.SIGHUP, signal.SIGINT, signal.SIGTERM]


STOPPED = """
import signal, time
from wavenet.cli import app
from wavenet.config import CacheConfig

def stop(*_):
    raise KeyboardInterrupt

def job(*_):
    before = signal.signal(signal.SIGINT, stop)  # as training does, which has a second Ctrl-C end it at once
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        signal.signal(signal.SIGINT, before)

app.run("cache", CacheConfig, job)
"""


@posix
@pytest.mark.parametrize("gap", [0.0, 0.01, 0.04])
def test_however_often_ctrl_c_is_pressed_it_is_one_word(gap):
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout.readline() == "ready\n"
        for _ in range(3):
            run.send_signal(signal.SIGINT)
            time.sleep(gap)
        assert (run.stderr.read(), run.wait(timeout=60)) == ("interrupted\n", 130)


@posix
def test_an_ignored_signal_stays_ignored(monkeypatch):
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible() as received:
            os.kill(os.getpid(), signal.SIGHUP)
        assert received == []
    finally:
        signal.signal(signal.SIGHUP, before)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch, columns: int, terminal: str = "xterm") -> tuple[Display, Terminal]:
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("TERM", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    return Display(), stream


def test_lines_are_broken_between_words(monkeypatch):
    display, stream = shown(monkeypatch, 40)
    line = "step 500: 3.456 bits per sample held out (unigram 7.46, linear 4.44): better than a linear predictor"
    path = "/" + 60 * "x" + "/a-b"
    display.say(line)
    display.say(f"wrote {path}")
    display.offer("hear it", f"wavenet-generate checkpoint={path} seconds=10")
    first, last = stream.getvalue().split("wrote")
    assert first.split() == line.split()
    assert max(map(len, first.splitlines())) <= 40
    assert path in last  # whole, for the terminal to break, so that it can be copied
    assert f"hear it: wavenet-generate checkpoint={path} seconds=10\n" in last


def test_lines_stay_whole_where_there_is_no_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    Display().say("words " * 30)
    assert capsys.readouterr().out.count("\n") == 1


def test_a_path_is_shown_as_it_is(capsys):
    Display().say("wrote a:car:b [red]x[/red]")
    assert capsys.readouterr().out == "wrote a:car:b [red]x[/red]\n"


@pytest.mark.parametrize(
    ("columns", "told"), [(100, "12,345 samples/s"), (48, "1:30 left"), (34, "step 105/200, 4.321")]
)
def test_what_matters_most_fits_on_a_narrow_terminal(monkeypatch, columns, told):
    display, stream = shown(monkeypatch, columns)
    with display:
        display.step(105, 200, 4.321, 12345.0, 90.0)
    lines = stream.getvalue().replace("\r", "\n").splitlines()
    assert any(told in line for line in lines)
    assert ("━" in stream.getvalue()) == (columns == 100)


def test_a_dumb_terminal_is_told_in_lines(monkeypatch):
    display, stream = shown(monkeypatch, 80, "dumb")
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with display:
        for step, now in ((1, 100.0), (2, 105.0), (3, 111.0)):  # noqa: B007 (the clock reads `now`)
            display.step(step, 10, 8.0, 1000.0, 60.0)
    assert [line.split(",")[0] for line in stream.getvalue().splitlines() if line] == [
        "training: step 1/10",
        "training: step 3/10",
    ]


def test_help_into_a_pipe_that_is_closed(tmp_path):
    with start("train", "--help", cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        run.stdout.close()
        assert (run.stderr.read(), run.wait(timeout=120)) == ("", 0)


def test_a_steady_stream_passes_on_what_it_can():
    stream = io.StringIO()
    assert Steady(stream).write("x") == 1
    assert stream.getvalue() == "x"
    assert Steady(stream).writable()

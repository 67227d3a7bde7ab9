"""wavenet-serve as a command: a real process with real exports, ports, words of the command line, and the folder."""

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from test_serve import make_run, save

import wavenet
from wavenet.cli.jobs import serve as jobs
from wavenet.config import FeatureConfig, ServeConfig
from wavenet.errors import ConfigError
from wavenet.generation import CompiledEngine
from wavenet.model import native, shipped
from wavenet.web import listing, serving

built = pytest.mark.skipif(native.code() is None, reason="the kernels are not built")


def fetch(port: int, path: str) -> tuple[int, bytes]:
    """As it is written: other clients tidy a path up before they ask."""
    connection = http.client.HTTPConnection("localhost", port, timeout=300)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


@built
def test_a_real_server(tmp_path):
    run = make_run(tmp_path / "runs" / "mine")
    (tmp_path / "secret.txt").write_text("secret")
    command = [sys.executable, "-m", "wavenet.cli.serve", "runs", "voices=false", "port=0"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().rsplit(":")[-1])
        (entry,) = json.loads(fetch(port, "/voices.json")[1])
        status, exported = fetch(port, "/" + entry["file"])
        assert status == 200
        assert zlib.crc32(exported[:-4]) == int.from_bytes(exported[-4:], "little")
        assert CompiledEngine(exported).sample_rate == 8000
        for path in (
            *("/../secret.txt", "/%2e%2e/secret.txt", "/..%2f..%2fsecret.txt", "//secret.txt", "/./secret.txt"),
            *("/runs/mine/samples/../config.yaml", "/runs/mine/samples/%2e%2e/config.yaml", "/runs%2fmine%2fx.yaml"),
            *(f"//{tmp_path}/secret.txt", f"{tmp_path}/secret.txt", "/voices/mine.wavenet%00", "/..%5csecret.txt"),
        ):
            assert fetch(port, path)[0] == 404, path
        save(run / "checkpoints" / "best.safetensors", 30)
        deadline = time.monotonic() + 300
        while (now := json.loads(fetch(port, "/voices.json")[1])[0])["version"] == entry["version"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert now["run"]["step"] == 30
        assert fetch(port, "/" + entry["file"])[1] != exported
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
        assert (process.returncode, out, err) == (128 + signal.SIGINT, "", "interrupted\n")
    finally:
        process.kill()
        process.communicate()


def test_the_next_free_port_is_taken_unless_one_was_asked_for():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with contextlib.closing(serving.listen("127.0.0.1", port, only=False)) as free:
            assert port < free.getsockname()[1] < port + serving.PORTS
            assert serving.reached_by(free) == ("localhost", False)
        with pytest.raises(ConfigError, match=f"port is {port}, but another program uses it: choose another"):
            serving.listen("127.0.0.1", port, only=True)
    for host in ("192.0.2.1", "no.such.host.invalid"):
        with pytest.raises(ConfigError, match=f"host is '{re.escape(host)}', which this machine does not have"):
            serving.listen(host, 0, only=True)


def test_another_port_and_other_listeners_are_announced(call, run, monkeypatch):
    monkeypatch.setattr(serving, "serve", lambda app, worker, listener: listener.close())
    with contextlib.closing(serving.listen("127.0.0.1", 0, only=True)) as taken:
        port = taken.getsockname()[1]
        status, _, err = call("serve", "run", f"port={port}")
        assert (status, err.count("\n")) == (1, 1)
    _, out, _ = call("serve", "run")
    assert re.search(r"^open in a browser, Ctrl-C ends it: http://localhost:80\d\d$", out, re.MULTILINE)
    assert "network" not in out
    _, out, _ = call("serve", "run", "host=0.0.0.0", "port=0")
    assert "http://localhost:" in out
    assert "others on the network can reach it too" in out


@pytest.mark.parametrize("words", [["a run", "b,c", "[d]"], ["checkpoint=a run", "b,c", "checkpoint=[d]"]])
def test_words_are_what_to_play(call, run, monkeypatch, words):
    found = []
    monkeypatch.setattr(jobs, "write", lambda listing, output, remarks: found.extend(listing.named))
    for name in ("a run", "b,c", "[d]"):
        Path(run).parent.joinpath(name).mkdir()
        save(Path(name) / "checkpoints" / "best.safetensors")
    status, _, err = call("serve", *words, "output=folder", "voices=false")
    assert (status, err) == (0, "")
    assert list(map(str, found)) == ["a run", "b,c", "[d]"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["empty/none"], "empty/none does not exist: name a run folder, a folder of runs, or a file to play"),
        (["empty"], "empty holds no run, checkpoint or exported file: name a run folder"),
        (["empty/notes.txt"], "empty/notes.txt is neither a checkpoint nor an exported file: name a run folder"),
        (["checkpoint="], "checkpoint is empty: give a path, as in checkpoint=..."),
        (["port=70000"], "port is 70000, but it must be 0 to 65535"),
        (["prot=8000"], "unknown setting prot (did you mean port?)"),
        (["output=empty/notes.txt"], "output: empty/notes.txt is a file, not a folder; choose another output"),
        (["output=empty"], "output: empty already holds something else; choose another output"),
    ],
)
def test_what_is_wrong_is_named(call, tmp_path, arguments, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("notes")
    status, _, err = call("serve", *arguments)
    assert status == 1
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


def test_the_extra_is_named(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "wavenet.web.serving")
    monkeypatch.delattr("wavenet.web.serving")
    status, _, err = call("serve")
    assert (status, err) == (1, "error: wavenet-serve needs two packages more: pip install 'wavenet[serve]'\n")


@built
def test_a_folder_for_a_friend(call, run, tmp_path, monkeypatch):
    monkeypatch.setattr("wavenet.generation.calibration.MADE", 512)
    monkeypatch.setattr("wavenet.generation.calibration.SAMPLES", 64)
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("the page")
    monkeypatch.setattr(listing, "PAGE", tmp_path / "page")
    monkeypatch.setattr(listing, "MODULES", tmp_path / "page")
    (tmp_path / "page" / "wavenet.wasm").write_bytes(b"\0asm")
    save(tmp_path / "vocoder.safetensors", features=FeatureConfig(["mel"], hop=40, window=64, mels=6))
    words = ["run", "vocoder.safetensors", "output=friend"]
    for _ in range(2):  # a second time replaces what the first has written
        status, out, err = call("serve", *words, "voices=false")
        assert (status, err) == (0, "")
        assert "vocoder is left out: it follows features (mel)" in out
        assert "wrote friend with 1 voice: copy it to any static web server" in out
    there = {path.relative_to("friend").as_posix() for path in Path("friend").rglob("*") if path.is_file()}
    assert there == {"index.html", "wavenet.wasm", "voices.json", "voices/run.wavenet"}
    entries = json.loads(Path("friend/voices.json").read_text())
    assert entries == [{"name": "run", "title": "run", "credit": "", "file": "voices/run.wavenet"}]
    played = wavenet.load("friend/voices/run.wavenet").generate(0.05, seed=3)
    assert played.equal(wavenet.load("run").generate(0.05, seed=3))
    status, _, err = call("serve", "vocoder.safetensors", "output=other", "voices=false")
    assert (status, err) == (1, "error: none of the voices can be played in a browser: train one, and name its run\n")


def test_the_worker_says_what_is_wrong_and_ends_with_its_input(tmp_path):
    questions = f'["{tmp_path}/none", "{tmp_path}/out.wavenet"]\n'
    command = [sys.executable, "-P", "-m", "wavenet.web.worker"]
    done = subprocess.run(command, input=questions, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert json.loads(done.stdout).startswith(f"checkpoint {tmp_path}/none does not exist")


def test_what_is_listed_of_a_hub_and_of_the_wheel(tmp_path, monkeypatch):
    path = save(tmp_path / "snapshots" / "model.safetensors")
    monkeypatch.setattr("wavenet.model.hub.download", lambda address: path)
    for address in ("hf://ann/bells", "hf:/ann/bells"):  # as it was written, and as a path
        (source,) = jobs.listed(ServeConfig([address], voices=False))[0].sources()
        assert (source.title, source.name, source.path) == ("ann/bells", "ann-bells", path)
    sources = {source.title: source for source in jobs.listed(ServeConfig(["piano"]))[0].sources()}
    assert next(iter(sources)) == "piano"
    assert {one.name for one in shipped.voices()} == set(sources)
    assert sources["piano"].credit.endswith(" CC BY-SA 3.0 DE")

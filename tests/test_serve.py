"""wavenet-serve: what is listed, what may be read, what is refused; exports follow a run that is still training."""

import asyncio
import contextlib
import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
import torch
from starlette.testclient import TestClient

from wavenet.config import FeatureConfig, ModelConfig
from wavenet.errors import CheckpointError
from wavenet.files import locked
from wavenet.model import checkpoint
from wavenet.model.wavenet import WaveNet
from wavenet.web import guard, listing, server
from wavenet.web.listing import Listing
from wavenet.web.sources import Source, found, snapshot

MAGIC = b"WAVENET\n"


class Worker:
    """In place of the process: an export names its checkpoint's step, and waits while `hold` is set."""

    def __init__(self) -> None:
        self.asked: list[Path] = []
        self.hold = threading.Event()
        self.release = threading.Event()
        self.refuses = ""

    async def export(self, path: Path) -> bytes:
        self.asked.append(path)
        if self.hold.is_set():
            await asyncio.to_thread(self.release.wait, 60)
        if self.refuses:
            raise CheckpointError(self.refuses)
        return MAGIC + path.read_bytes()[-64:]

    async def close(self) -> None:
        self.release.set()


def wait_for(holds) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def model(seed: int = 0, **settings) -> WaveNet:
    torch.manual_seed(seed)
    small = {"stacks": 1, "layers_per_stack": 2, "residual_channels": 4, "gate_channels": 4, "skip_channels": 4}
    return WaveNet(ModelConfig(**small, head_channels=4, **settings))


def save(path: Path, step: int = 1, **settings) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(path, model(step, **settings), 8000, step, None)
    return path


def make_run(folder: Path) -> Path:
    save(folder / "checkpoints" / "best.safetensors", 10)
    save(folder / "checkpoints" / "last.safetensors", 20)
    (folder / "checkpoints" / "last.state").write_bytes(b"a state")
    (folder / "config.yaml").write_text("secret: 1")
    (folder / "metrics.jsonl").write_text('{"step": 10}\n')
    (folder / "curves.png").write_bytes(b"\x89PNG")
    (folder / "samples").mkdir()
    for name in ("step_000010.wav", "step_000020.wav", "other.wav"):
        (folder / "samples" / name).write_bytes(b"RIFF" + bytes(100))
    return folder


@pytest.fixture
def page(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "page"
    (folder / "parts").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "parts" / "player.js").write_text("1")
    (folder / ".hidden").write_text("")
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "wavenet.wasm").write_bytes(b"\0asm")
    monkeypatch.setattr(listing, "PAGE", folder)
    monkeypatch.setattr(listing, "MODULES", tmp_path / "modules")
    return folder


@contextlib.contextmanager
def client(*named: Path, shipped=(), worker=None, host="127.0.0.1"):
    app = server.make_app(Listing(named, shipped), worker or Worker(), host)
    with TestClient(app, "http://localhost:8000") as made:
        yield made


def test_everything_that_was_named_is_listed_with_a_reason_where_it_cannot_play(tmp_path, page):
    make_run(tmp_path / "runs" / "mine")
    (tmp_path / "runs" / "begun" / "checkpoints").mkdir(parents=True)
    save(tmp_path / "runs" / "alone.safetensors")
    (tmp_path / "runs" / "there.wavenet").write_bytes(MAGIC + b"more")
    (tmp_path / "runs" / "notes.txt").write_text("")
    save(tmp_path / "vocoder.safetensors", features=FeatureConfig(["mel"], hop=40, window=64, mels=6))
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    shipped = [Source(save(tmp_path / "shipped" / "mine.safetensors"), "mine", "CC0")]
    named = [tmp_path / name for name in ("runs", "vocoder.safetensors", "cut.safetensors", "runs/mine")]
    with client(*named, shipped=shipped) as site:
        voices = {voice["name"]: voice for voice in site.get("/voices.json").json()}
        assert list(voices) == ["alone", "begun", "mine", "there", "vocoder", "cut", "mine-2"]
        files = {name: voice.get("file") for name, voice in voices.items()}
        plays = {name: f"voices/{name}.wavenet" for name in ("alone", "mine", "there", "mine-2")}
        assert files == dict.fromkeys(voices) | plays
        assert "no checkpoint yet" in voices["begun"]["reason"]
        assert all(voices[name]["version"] for name in voices if name != "mine-2")  # the page looks again at these
        assert "version" not in voices["mine-2"]
        assert voices["vocoder"]["reason"].startswith("it follows features (mel), which an exported file cannot hold")
        assert "cut short or altered" in voices["cut"]["reason"]
        assert voices["mine-2"]["credit"] == "CC0"
        run = voices["mine"]["run"]
        assert run["step"] == 10
        assert run["training"] is False
        assert run["updated"].endswith("+00:00")
        assert run["curves"] == "runs/mine/curves.png"
        assert run["metrics"] == "runs/mine/metrics.jsonl"
        assert run["samples"] == ["runs/mine/samples/step_000010.wav", "runs/mine/samples/step_000020.wav"]
        assert "run" not in voices["alone"]
        assert site.get("/voices/there.wavenet").content == MAGIC + b"more"
        exported = {name: site.get(f"/voices/{name}.wavenet").content for name in ("mine", "mine-2", "alone")}
        assert len(set(exported.values())) == 2  # alone and mine-2 are the same network
        make_run(tmp_path / "runs" / "later")
        assert "later" in [voice["name"] for voice in site.get("/voices.json").json()]


def test_only_what_was_named_can_be_read(tmp_path, page):
    (tmp_path / "secret.txt").write_text("secret")
    outside = make_run(tmp_path / "elsewhere" / "outside")
    mine = make_run(tmp_path / "runs" / "mine")
    (tmp_path / "runs" / "link").symlink_to(outside)
    (tmp_path / "runs" / "file.wavenet").symlink_to(outside / "checkpoints" / "best.safetensors")
    (mine / "samples" / "step_000030.wav").symlink_to(tmp_path / "secret.txt")
    (mine / "curves.png").unlink()
    (mine / "curves.png").symlink_to(tmp_path / "secret.txt")
    second = make_run(tmp_path / "runs" / "second")
    shutil.rmtree(second / "samples")
    (second / "samples").symlink_to(outside / "samples")
    (second / "checkpoints" / "best.safetensors").unlink()
    (second / "checkpoints" / "best.safetensors").symlink_to(outside / "checkpoints" / "best.safetensors")
    with client(tmp_path / "runs") as site:
        voices = {voice["name"]: voice for voice in site.get("/voices.json").json()}
        assert list(voices) == ["mine", "second"]
        assert voices["mine"]["run"]["samples"][-1].endswith("step_000020.wav")
        assert "curves" not in voices["mine"]["run"]
        assert voices["second"]["run"]["samples"] == []
        assert voices["second"]["run"]["step"] == 20
        for path in (
            *("/.hidden", "/secret.txt", "/page/index.html", "/runs/mine", "/runs/mine/samples/"),
            *("/voices/link.wavenet", "/voices/file.wavenet", "/voices/mine.safetensors"),
            *("/runs/mine/config.yaml", "/runs/mine/checkpoints/last.state", "/runs/mine/samples/other.wav"),
            *("/runs/mine/samples/step_000030.wav", "/runs/mine/curves.png", "/runs/second/samples/step_000010.wav"),
        ):
            answer = site.get(path)
            assert (answer.status_code, answer.text) == (404, "there is nothing here"), path
    with client(tmp_path / "runs" / "link") as site:  # a link that was named itself is followed
        assert site.get("/voices.json").json()[0]["run"]["step"] == 10


def test_files_have_their_types_and_are_sent_once(tmp_path, page):
    run = make_run(tmp_path / "mine")
    kinds = {
        "/": "text/html; charset=utf-8",
        "/index.html": "text/html; charset=utf-8",
        "/parts/player.js": "text/javascript; charset=utf-8",
        "/wavenet.wasm": "application/wasm",
        "/voices.json": "application/json",
        "/voices/mine.wavenet": "application/octet-stream",
        "/runs/mine/curves.png": "image/png",
        "/runs/mine/metrics.jsonl": "application/x-ndjson",
        "/runs/mine/samples/step_000010.wav": "audio/wav",
    }
    with client(run) as site:
        for path, kind in kinds.items():
            answer = site.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (200, kind), path
            assert answer.headers["cache-control"] == "no-cache"
            again = site.get(path, headers={"If-None-Match": f'"x", W/{answer.headers["etag"]}'})
            assert (again.status_code, again.content) == (304, b"")
            head = site.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(answer.content))
        sound = "/runs/mine/samples/step_000010.wav"
        part = site.get(sound, headers={"Range": "bytes=0-3"})  # without ranges, Safari plays no sound
        assert (part.status_code, part.content) == (206, b"RIFF")
        before = site.get("/runs/mine/metrics.jsonl").headers["etag"]
        with open(run / "metrics.jsonl", "a") as file:
            file.write('{"step": 20}\n')
        after = site.get("/runs/mine/metrics.jsonl", headers={"If-None-Match": before})
        assert (after.status_code, len(after.text.splitlines())) == (200, 2)
        (run / "samples" / "step_000010.wav").unlink()
        assert site.get(sound).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/voices.json", {}, 405),
        ("PUT", "/index.html", {}, 405),
        ("DELETE", "/voices/mine.wavenet", {}, 405),
        ("OPTIONS", "/", {}, 405),
        ("GET", "/", {"Content-Length": "5"}, 413),
        ("GET", "/", {"Transfer-Encoding": "chunked"}, 413),
        ("GET", "/?" + "x" * guard.MOST_ADDRESS, {}, 414),
        ("GET", "/" + "x" * guard.MOST_ADDRESS, {}, 414),
        ("GET", "/", {"Host": "evil.example"}, 421),
        ("GET", "/", {"Host": "evil.example:8000"}, 421),
        ("GET", "/", {"Host": "localhost.evil.example:8000"}, 421),
        ("GET", "/", {"Host": ""}, 421),
        ("GET", "/", {"Host": "127.0.0.1:8000"}, 200),
        ("GET", "/", {"Host": "[::1]:8000"}, 200),
        ("GET", "/", {"Host": "LOCALHOST"}, 200),
        ("GET", "/none", {}, 404),
    ],
)
def test_what_a_page_does_not_ask_is_refused(page, method, path, headers, status):
    with client() as site:
        answer = site.request(method, path, headers=headers)
    assert answer.status_code == status
    for name, value in guard.HEADERS.items():
        assert answer.headers[name] == value
    assert "'wasm-unsafe-eval'" in answer.headers["content-security-policy"]
    assert "unsafe-inline" not in answer.headers["content-security-policy"]


def test_a_named_host_may_be_asked_for(page):
    with client(host="studio.lan") as site:
        assert site.get("/", headers={"Host": "studio.lan:8000"}).status_code == 200
        assert site.get("/", headers={"Host": f"{guard.own_names().pop()}:8000"}).status_code == 200
        assert site.get("/", headers={"Host": "studio.wan:8000"}).status_code == 421


def test_requests_at_once_are_limited(tmp_path, page, monkeypatch):
    monkeypatch.setattr(server, "AHEAD", 0)
    monkeypatch.setattr(guard, "MOST_REQUESTS", 1)
    worker, statuses = Worker(), []
    worker.hold.set()

    def ask() -> None:
        statuses.append(site.get("/voices/a.wavenet").status_code)

    with client(save(tmp_path / "a.safetensors"), worker=worker) as site:
        first, second = threading.Thread(target=ask), threading.Thread(target=ask)
        first.start()
        wait_for(lambda: worker.asked)
        refused = site.get("/")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        monkeypatch.setattr(guard, "MOST_REQUESTS", 3)
        assert site.get("/").status_code == 200
        second.start()
        worker.release.set()
        first.join()
        second.join()
    assert statuses == [200, 200]
    assert len(worker.asked) == 1  # both were given the same export


def test_the_old_export_is_given_until_the_new_one_is_there(tmp_path, page):
    worker, run = Worker(), make_run(tmp_path / "mine")
    best, last = (run / "checkpoints" / f"{name}.safetensors" for name in ("best", "last"))
    os.utime(last, (1, 1))

    def entry() -> dict:
        return site.get("/voices.json").json()[0]

    with client(run, worker=worker) as site, locked(run / ".lock"):
        first, old = entry(), site.get("/voices/mine.wavenet").content
        assert old == MAGIC + best.read_bytes()[-64:]
        assert first["run"] | {"step": 10, "training": True} == first["run"]
        assert entry()["version"] == first["version"]
        worker.hold.set()
        save(last, 30)  # training has written a newer one
        assert entry()["version"] == first["version"]
        wait_for(lambda: worker.asked[-1] == last)
        assert site.get("/voices/mine.wavenet").content == old
        worker.release.set()
        wait_for(lambda: entry()["version"] != first["version"])
        now = entry()
        assert now["run"]["step"] == 30
        assert site.get("/voices/mine.wavenet").content == MAGIC + last.read_bytes()[-64:]
        assert worker.asked == [best, last]
        save(last, 40)
        worker.refuses = "damaged"  # the one that plays goes on playing
        for _ in range(3):
            assert entry()["run"]["step"] == 30
            time.sleep(0.02)
        assert len(worker.asked) == 3


def test_a_finished_run_plays_its_best(tmp_path):
    (source,) = found(make_run(tmp_path / "mine"))
    os.utime(tmp_path / "mine" / "checkpoints" / "best.safetensors", (1, 1))
    finished = snapshot(source)
    with locked(tmp_path / "mine" / ".lock"):
        training = snapshot(source)
    assert [now and now.step for now in (finished, training)] == [10, 20]


def test_what_cannot_be_exported_is_told_and_not_tried_again(tmp_path, page, monkeypatch):
    monkeypatch.setattr(server, "AHEAD", 0)
    worker = Worker()
    worker.refuses = "a.safetensors has a header that does not fit its weights"
    with client(save(tmp_path / "a.safetensors"), worker=worker) as site:
        assert site.get("/voices.json").json()[0]["file"]
        answer = site.get("/voices/a.wavenet")
        assert (answer.status_code, answer.text) == (404, worker.refuses)
        (entry,) = site.get("/voices.json").json()
        assert (entry["reason"], "file" in entry) == (worker.refuses, False)
        site.get("/voices/a.wavenet")
        assert len(worker.asked) == 1
        worker.refuses = ""
        save(tmp_path / "a.safetensors", 2)
        assert site.get("/voices.json").json()[0]["file"] == "voices/a.wavenet"
        assert site.get("/voices/a.wavenet").status_code == 200


def test_the_first_voices_are_exported_ahead(tmp_path, page):
    worker = Worker()
    with client(*(save(tmp_path / f"{n}.safetensors", n) for n in range(9)), worker=worker):
        wait_for(lambda: len(worker.asked) == server.AHEAD)
    assert [path.stem for path in worker.asked] == [str(n) for n in range(server.AHEAD)]


def test_the_list_is_json_that_says_what_it_said(tmp_path, page):
    with client(make_run(tmp_path / "odd name (#1)?")) as site:
        (entry,) = json.loads(site.get("/voices.json").text)
        assert (entry["name"], entry["title"]) == ("odd-name-1", "odd name (#1)?")
        assert site.get("/" + entry["file"]).status_code == 200
        assert site.get("/" + entry["run"]["samples"][0]).status_code == 200

"""hf://owner/name and push_to_hub, with a stand-in for the hub that speaks what huggingface_hub asks of it.

Large files go there by LFS. The hub itself takes them by its own protocol, Xet, which is huggingface_hub's affair.
"""

import base64
import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import torch
import yaml

import wavenet
from wavenet.config import ModelConfig
from wavenet.errors import CheckpointError, ConfigError
from wavenet.model import card, checkpoint, hub, shipped
from wavenet.model.checkpoint import Attached
from wavenet.model.wavenet import WaveNet

logging = pytest.importorskip("huggingface_hub.utils.logging")
constants = pytest.importorskip("huggingface_hub.constants")
SMALL = {"stacks": 1, "layers_per_stack": 3, "residual_channels": 8, "gate_channels": 6, "skip_channels": 12}


class Hub(ThreadingHTTPServer):
    """Repositories with one branch, whose commits are numbers of 40 digits."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.repositories: dict[str, list[dict[str, bytes]]] = {}
        self.blobs: dict[str, bytes] = {}
        self.gated: set[str] = set()
        self.tokens: set[str] = set()
        self.requests: list[str] = []
        self.refuses = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, name: str, **files: bytes) -> None:
        self.repositories.setdefault(name, []).append({file.replace("__", "."): data for file, data in files.items()})


class Answers(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        pass

    def answer(self, data: bytes = b"", status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def refuse(self, code: str, status: int = 404) -> None:
        self.answer(b"{}", status, X_Error_Code=code, X_Error_Message=code)

    def json(self, value, status: int = 200) -> None:
        self.answer(json.dumps(value).encode(), status, Content_Type="application/json")

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def commit(self, name: str, revision: str) -> int | None:
        """The number of the commit; None if the answer that there is none has been given."""
        commits = self.server.repositories.get(name)
        if self.server.refuses:
            self.refuse("", self.server.refuses)
        elif not commits:
            self.refuse("RepoNotFound", 401)
        elif name in self.server.gated:
            self.refuse("GatedRepo", 403)
        elif revision == "main":
            return len(commits) - 1
        elif revision.isdecimal() and int(revision) < len(commits):
            return int(revision)
        else:
            self.refuse("RevisionNotFound")
        return None

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        api, parts = path.startswith("/api/models/"), path.removeprefix("/api/models").strip("/").split("/", 4)
        if len(parts) < 4:  # what huggingface_hub asks for itself
            self.answer(b"", 404)
            return
        name, what, revision = "/".join(parts[:2]), parts[2], parts[3]
        number = self.commit(name, revision)
        if number is None:
            return
        files, commit = self.server.repositories[name][number], f"{number:040d}"
        if api and what == "tree":
            self.json([{"type": "file", "path": path, "size": len(data), "oid": "0"} for path, data in files.items()])
        elif what == "resolve" and parts[4] in files:
            etag = hashlib.sha256(files[parts[4]]).hexdigest()
            self.answer(files[parts[4]], ETag=f'"{etag}"', X_Repo_Commit=commit)
        else:
            self.answer(b"", 404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)

    do_HEAD = do_GET  # noqa: N815

    def do_PUT(self) -> None:
        data = self.body()
        self.server.blobs[hashlib.sha256(data).hexdigest()] = data
        self.answer()

    def do_POST(self) -> None:
        path, data = urlsplit(self.path).path, self.body()
        self.server.requests.append(f"POST {path}")
        token = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        if path == "/api/validate-yaml":
            self.json({"errors": [], "warnings": []})
        elif token not in self.server.tokens:
            self.refuse("", 401)
        elif path == "/api/repos/create":
            asked = json.loads(data)
            name = f"{asked['organization']}/{asked['name']}"
            exists = name in self.server.repositories
            self.server.repositories.setdefault(name, [])
            self.json({"url": f"{self.server.address}/{name}"}, 409 if exists else 200)
        elif "/preupload/" in path:
            modes = {"README.md": "regular"}
            files = [file["path"] for file in json.loads(data)["files"]]
            told = [{"path": f, "uploadMode": modes.get(f, "lfs"), "shouldIgnore": False} for f in files]
            self.json({"files": told})
        elif path.endswith(".git/info/lfs/objects/batch"):
            upload = {"upload": {"href": f"{self.server.address}/blob"}}
            self.json({"objects": [one | {"actions": upload} for one in json.loads(data)["objects"]]})
        elif "/commit/" in path:
            name, files = path.removeprefix("/api/models/").partition("/commit/")[0], {}
            for line in map(json.loads, data.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = self.server.blobs[value["oid"]]
            commits = self.server.repositories[name]
            commits.append((commits[-1] if commits else {}) | files)
            self.json({"commitUrl": f"{self.server.address}/{name}/commit/0", "commitOid": f"{len(commits) - 1:040d}"})


def point(monkeypatch, address: str) -> None:
    """What HF_ENDPOINT does, which is read when huggingface_hub is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def there(tmp_path, monkeypatch):
    """The stand-in, instead of the hub, and an empty cache."""
    server = Hub()
    server.tokens.add("hf_secret")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # before it tries once more
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    yield server
    logging.set_verbosity(verbosity)
    server.shutdown()
    thread.join()
    server.server_close()


def save(path: Path, seed: int = 0, attached=None, **settings) -> wavenet.Voice:
    torch.manual_seed(seed)
    model = WaveNet(ModelConfig(**SMALL, head_channels=10, **settings))
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(path, model, 8000, 30 + seed, 4.321, None, attached)
    return wavenet.load(path)


def same(one: wavenet.Voice, other: wavenet.Voice) -> bool:
    theirs = other.model.state_dict()
    return all(tensor.equal(theirs[name]) for name, tensor in one.model.state_dict().items())


def test_what_is_pushed_is_loaded(there, tmp_path, call):
    voice = save(tmp_path / "mine.safetensors", labels={"speaker": ["june", "carlo"]})
    address = voice.push_to_hub("ann/mine", license="cc0-1.0", token="hf_secret")
    assert address == f"{there.address}/ann/mine"
    (files,) = there.repositories["ann/mine"]
    assert set(files) == {"model.safetensors", "README.md"}
    loaded = wavenet.load("hf://ann/mine")
    assert same(loaded, voice)
    assert (loaded.step, loaded.valid_bits, loaded.labels) == (voice.step, voice.valid_bits, voice.labels)
    assert loaded.path.is_relative_to(tmp_path / "hub")

    other = save(tmp_path / "other.safetensors", seed=1)
    other.push_to_hub("hf://ann/mine", license="cc0-1.0", token="hf_secret", small=True)
    assert wavenet.load("hf://ann/mine").step == 31
    assert same(wavenet.load(f"hf://ann/mine@{0:040d}"), voice)
    assert wavenet.load(Path("hf://ann/mine/model.safetensors")).step == 31

    # the commands take the same address, in the same place
    status, _, err = call("generate", "checkpoint=hf://ann/mine", "seconds=0.01", "engine=cached", "output=x.wav")
    assert (status, err) == (0, "")
    assert Path("x.wav").is_file()


@pytest.mark.parametrize("offline", ["unplugged", "HF_HUB_OFFLINE"])
def test_without_a_network_the_cache_is_used(there, tmp_path, monkeypatch, offline):
    voice = save(tmp_path / "a.safetensors")
    data = voice.path.read_bytes()
    there.add("ann/usual", model__safetensors=data)
    there.add("ann/other", piano__safetensors=data, README__md=b"")
    before = [wavenet.load(f"hf://ann/{name}").path for name in ("usual", "other")]
    assert [path.name for path in before] == ["model.safetensors", "piano.safetensors"]
    if offline == "unplugged":
        point(monkeypatch, "http://127.0.0.1:1")
    else:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(there.requests)
    assert [wavenet.load(f"hf://ann/{name}").path for name in ("usual", "other")] == before
    unknown = ["hf://ann/new", "hf://ann/usual/more.safetensors", "hf://ann/usual@v2"]
    for address in unknown[:1] if offline == "unplugged" else unknown:  # a hub that is away is asked several times
        with pytest.raises(CheckpointError, match="cannot be reached, and the cache does not hold it"):
            wavenet.load(address)
    with pytest.raises(CheckpointError, match="hf://ann/new: the hub cannot be reached"):
        voice.push_to_hub("ann/new", license="mit", token="hf_secret")
    assert len(there.requests) == asked


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("hf://ann", ConfigError, "hf://ann is no address of a model: write hf://owner/name, hf://owner/name@revision"),
        ("hf://", ConfigError, "hf:// is no address of a model"),
        ("hf://ann/a b", ConfigError, "hf://ann/a b is no address of a model"),
        ("hf://datasets/ann/mine", ConfigError, "hf://datasets/ann/mine is the address of a dataset, not of a model"),
        ("hf://ann/none", CheckpointError, "hf://ann/none does not exist, or is not public: check the name, or log in"),
        ("hf://ann/mine@v2", CheckpointError, "hf://ann/mine@v2 has no such revision: check the part after @"),
        (
            "hf://ann/mine/x.safetensors",
            CheckpointError,
            "hf://ann/mine/x.safetensors does not exist: the repository holds a.safetensors, b.safetensors",
        ),
        (
            "hf://ann/mine",
            CheckpointError,
            r"hf://ann/mine holds several checkpoints (a.safetensors, b.safetensors): name one, as in hf://ann/mine/a.s",
        ),
        (
            "hf://ann/texts",
            CheckpointError,
            "hf://ann/texts holds no checkpoint: none of its files ends in .saf",
        ),
        ("hf://ann/closed", CheckpointError, "hf://ann/closed asks for consent first: give it on the hub's page, or"),
        (
            "hf://ann/else",
            CheckpointError,
            "model.safetensors is a safetensors file of something else: it has",
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line(there, call, address, error, said):
    there.add("ann/mine", a__safetensors=b"", b__safetensors=b"", notes__txt=b"")
    there.add("ann/texts", README__md=b"")
    there.add("ann/closed", model__safetensors=b"")
    there.add("ann/else", model__safetensors=b"\x02\0\0\0\0\0\0\0{}")
    there.gated.add("ann/closed")
    with pytest.raises(error) as caught:
        wavenet.load(address)
    assert said in str(caught.value)
    status, _, err = call("generate", f"checkpoint={address}")
    assert (status, err) == (1, f"error: {caught.value}\n")
    assert "\n" not in str(caught.value)


def test_a_hub_in_trouble(there, tmp_path):
    voice = save(tmp_path / "a.safetensors")
    there.refuses = 500
    with pytest.raises(CheckpointError, match="hf://ann/a: the hub cannot be reached, and the cache does not hold it"):
        wavenet.load("hf://ann/a")
    for token in (None, "hf_wrong"):
        with pytest.raises(CheckpointError, match=r"hf://ann/a(:| does not exist).*`hf auth login`"):
            voice.push_to_hub("ann/a", license="mit", token=token)
    assert there.repositories == {}


def test_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    said = r"hf:// and push_to_hub need huggingface_hub: pip install 'wavenet\[hub\]'"
    with pytest.raises(ConfigError, match=said):
        wavenet.load("hf://ann/mine")
    with pytest.raises(ConfigError, match=said):
        save(tmp_path / "a.safetensors").push_to_hub("ann/a", license="mit")


def test_one_place_knows_the_hub(there, tmp_path):
    there.add("ann/mine", model__safetensors=save(tmp_path / "a.safetensors").path.read_bytes())
    assert shipped.find("hf://ann/mine").path == hub.download("hf://ann/mine")
    assert not hub.is_address("runs/mine")


# ---- cards


def parts(text: str) -> tuple[dict, str]:
    _, header, rest = text.split("---\n", 2)
    return yaml.safe_load(header), rest


def test_a_card_is_made_from_the_checkpoint(tmp_path):
    voice = save(tmp_path / "a.safetensors", labels={"speaker": ["june", "carlo"]})
    header, text = parts(card.card(voice._checkpoint(), "ann/mine", "cc-by-4.0"))
    assert header == {"license": "cc-by-4.0", "library_name": "wavenet", "tags": ["wavenet", "audio"]}
    for said in (
        *("# mine\n", "8000 Hz", "`speaker`", "june, carlo", "4.321 bits per sample", "after 30 steps"),
        *("model.residual_channels=8", 'wavenet.load("hf://ann/mine")', "voice.generate(seconds=5)"),
    ):
        assert said in text, said
    spoken = save(tmp_path / "b.safetensors", attached=Attached("speech", {}, {}))
    header, text = parts(card.card(spoken._checkpoint(), "ann/mine", "mit"))
    assert header["pipeline_tag"] == "text-to-speech"
    assert 'voice.speak("Hello, world!")' in text


def test_a_card_of_ones_own_is_kept(there, tmp_path):
    voice = save(tmp_path / "a.safetensors")
    (tmp_path / "a.md").write_text(
        "---\nlicense: cc-by-4.0\ntags: [bells]\nlanguage: de\n---\n\n# Bells\n\nOf Ulm, größte.\n"
    )
    with pytest.raises(ConfigError, match=r"license is mit, but the card beside .*a.safetensors names cc-by-4.0: give"):
        voice.push_to_hub("ann/bells", license="mit", token="hf_secret")
    voice.push_to_hub("ann/bells", license="cc-by-4.0", token="hf_secret")
    header, text = parts(there.repositories["ann/bells"][0]["README.md"].decode())
    assert header == {
        "license": "cc-by-4.0",
        "tags": ["wavenet", "audio", "bells"],
        "language": "de",
        "library_name": "wavenet",
    }
    assert text == "\n# Bells\n\nOf Ulm, größte.\n"


def test_a_license_and_a_name_are_required(tmp_path):
    voice = save(tmp_path / "a.safetensors")
    with pytest.raises(TypeError, match="license"):
        voice.push_to_hub("ann/a")  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="license is empty"):
        voice.push_to_hub("ann/a", license=" ")
    with pytest.raises(ConfigError, match="the repository is 'a', but it must be owner/name"):
        voice.push_to_hub("a", license="mit")

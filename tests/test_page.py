"""The page of wavenet/web/page, in a real Chromium: what its audio thread plays, and what its controls do to it."""

import functools
import http.server
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from wavenet.audio.encodings import MULAW
from wavenet.config import ModelConfig
from wavenet.generation import CompiledEngine, export
from wavenet.generation.splitmix import uniforms
from wavenet.model.distributions import Sampling
from wavenet.model.wavenet import WaveNet

playwright = pytest.importorskip("playwright.sync_api", reason="the extra wavenet[dev] has Playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")

WEB = Path(__file__).parents[1] / "wavenet" / "web"
BLOCK = 320
"""Samples that the Worker makes at once, at 16 kHz."""

LISTEN = """
globalThis.taken = []; // what the audio thread has taken from its ring and plays
const Node = AudioWorkletNode;
globalThis.AudioWorkletNode = class extends Node {
  constructor(context, name, options) {
    super(context, name, options);
    globalThis.context = context;
    this.port.addEventListener("message", (event) => {
      if (!event.data.taken) globalThis.report = event.data;
      else { taken.push(...event.data.taken); event.stopImmediatePropagation(); }
    });
  }
};
"""
WORKLET = """
const register = registerProcessor;
globalThis.registerProcessor = (name, Processor) => register(name, name !== "player" ? Processor :
  class extends Processor {
  take(input) {
    const before = this.place;
    super.take(input);
    this.port.postMessage({ taken: input.slice(0, this.place - before) });
  }
});
"""
SLOW = """
const quick = Network.prototype.generate;
Network.prototype.generate = function (count) {
  const until = performance.now() + (2000 * count) / this.rate;
  const samples = quick.call(this, count);
  while (performance.now() < until);
  return samples;
};
"""


def voice(rate: int = 16000, seed: int = 0, labels: dict[str, list[str]] | None = None) -> bytes:
    """A small network with random weights, exported."""
    torch.manual_seed(seed)
    config = ModelConfig(
        stacks=1, layers_per_stack=5, residual_channels=16, gate_channels=16, skip_channels=32, head_channels=32,
        labels=labels or {},
    )  # fmt: skip
    model = WaveNet(config).eval()
    with torch.no_grad():
        model.output.weight.mul_(4)  # surer of itself, so that temperature and top-p matter
    scales = export.input_scales(model, torch.randint(256, (1, 2000)))
    return export.pack(model, rate, "int8", scales, steerable=bool(labels))


def reference(
    packed: bytes, *parts: tuple[int, Sampling], seed: int = 0, prime: np.ndarray | None = None
) -> np.ndarray:
    """What the portable C++ kernel plays: so many samples with these settings, then so many with those."""
    engine = CompiledEngine(packed, "portable")
    heard = torch.empty(1, 0, dtype=torch.long) if prime is None else MULAW.encode(torch.from_numpy(prime))[None].long()
    state, made = engine.start(heard), []
    for count, sampling in parts:
        codes, _ = engine.generate(state, uniforms([seed], sum(map(len, made)), count), sampling)
        made.append(codes[0])
    return MULAW.decode(torch.cat(made)).numpy()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder that any static web server could serve, and its address."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(WEB / "page", folder, dirs_exist_ok=True)
    shutil.copy(WEB / "wavenet.wasm", folder)
    (folder / "worklet.js").write_text(WORKLET + (folder / "worklet.js").read_text())
    voices = {
        "one": voice(),
        "two": voice(8000, 1),
        "many": voice(seed=2, labels={"speaker": ["ada", "bob", "eve"], "mood": ["low", "high"]}),
    }
    for name, packed in voices.items():
        (folder / f"{name}.wavenet").write_bytes(packed)
    entries = [{"name": name, "file": f"{name}.wavenet", "title": name.title(), "credit": "made up"} for name in voices]
    (folder / "voices.json").write_text(json.dumps(entries))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        fake = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *fake])
        yield browser
        browser.close()


class Player:
    """A page, and what its audio thread plays."""

    def __init__(self, page, packed: bytes) -> None:
        self.page, self.packed, self.errors = page, packed, []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if line.type in ("error", "warning") else None)

    def play(self) -> "Player":
        self.page.click("#play:enabled")
        return self.until(lambda: self.place > 0)

    def until(self, holds: Callable[[], bool], seconds: float = 20) -> "Player":
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"waited {seconds} s; {self.errors}"
            self.page.wait_for_timeout(20)
        return self

    @property
    def place(self) -> int:
        return self.page.evaluate("taken.length")

    @property
    def gaps(self) -> int:
        return self.page.evaluate("report.gaps")

    def taken(self, count: int) -> np.ndarray:
        self.until(lambda: self.place >= count)
        return np.array(self.page.evaluate(f"taken.slice(0, {count})"), np.float32)

    def slide(self, name: str, value: float) -> None:
        self.page.get_by_role("slider", name=name).fill(str(value))


@pytest.fixture
def open_page(site, browser) -> Iterator[Callable[..., Player]]:
    contexts = []

    def open_page(query: str = "?voice=one", slow: bool = False, **settings) -> Player:
        folder, address = site
        context = browser.new_context(**settings)
        contexts.append(context)
        context.set_default_timeout(20000)
        context.add_init_script(LISTEN)
        if slow:
            body = (folder / "wasm.js").read_text() + SLOW
            context.route("**/wasm.js", lambda route: route.fulfill(body=body, content_type="text/javascript"))
        page = context.new_page()
        name = query.partition("voice=")[2] or "one"
        player = Player(page, (folder / f"{name}.wavenet").read_bytes())
        page.goto(address + query)
        return player

    yield open_page
    for context in contexts:
        context.close()


def parting(sound: np.ndarray, other: np.ndarray) -> int:
    """The first place where two sounds differ."""
    differ = np.flatnonzero(sound != other[: len(sound)])
    assert len(differ), "they are the same"
    return int(differ[0])


PLAIN = Sampling()


def test_the_page_is_small_and_asks_only_for_its_own_files(site, open_page):
    files = [path for path in (WEB / "page").rglob("*") if path.is_file()] + [WEB / "wavenet.wasm"]
    assert sum(path.stat().st_size for path in files) < 400_000
    player, asked = open_page(), []
    player.page.on("request", lambda request: asked.append(request.url))
    player.page.reload()
    player.play()
    assert len(asked) >= 12
    assert all(url.startswith((site[1], "data:")) for url in asked)
    assert not player.errors


def test_what_is_played_is_what_the_portable_kernel_makes_without_a_gap(open_page):
    player = open_page().play()
    count = 3 * 16000
    np.testing.assert_array_equal(player.taken(count), reference(player.packed, (count, PLAIN)))
    assert player.gaps == 0
    assert "real time" in player.page.inner_text("#speed")
    assert not player.errors


@pytest.mark.slow
def test_half_a_minute_without_a_gap(open_page):
    player = open_page().play().until(lambda: player.place >= 30 * 16000, 60)
    assert player.gaps == 0

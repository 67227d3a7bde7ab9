"""The page of wavenet/web/page, in a real Chromium: what its audio thread plays, and what its controls do to it."""

import base64
import contextlib
import functools
import http.server
import io
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from wavenet.audio.encodings import MULAW
from wavenet.config import ModelConfig
from wavenet.generation import CompiledEngine, export
from wavenet.generation.engine import State
from wavenet.generation.splitmix import uniforms
from wavenet.model.distributions import Sampling
from wavenet.model.wavenet import WaveNet

playwright = pytest.importorskip("playwright.sync_api", reason="the extra wavenet[dev] has Playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")

WEB = Path(__file__).parents[1] / "wavenet" / "web"
KERNELS = [WEB / "wavenet.wasm", WEB / "wavenet-relaxed.wasm"]
"""Of which the page loads one."""
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
const listened = (Processor) => class extends Processor {
  take(input) {
    const before = this.place;
    super.take(input);
    this.port.postMessage({ taken: input.slice(0, this.place - before) });
  }
};
globalThis.registerProcessor = (name, Processor) => register(name, name === "player" ? listened(Processor) : Processor);
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
    for kernel in KERNELS:
        shutil.copy(kernel, folder)
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
def driver():
    with playwright.sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def browser(driver):
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

    def taken(self, end: int, begin: int = 0) -> np.ndarray:
        """What was played from one place to another."""
        self.until(lambda: self.place >= end)
        return self.samples(f"{begin}, {end}")

    def samples(self, part: str) -> np.ndarray:
        text = self.page.evaluate(f"JSON.stringify(taken.slice({part}))")  # a list would take seconds
        return np.array(json.loads(text), np.float32)

    def hear(self, sound: np.ndarray) -> None:
        """Wait until this sound is played, but for the 80 samples in which it fades in."""
        piece = sound[80:]
        tail = 24000

        def heard() -> bool:
            heard = self.samples(f"-{tail}")
            starts = np.flatnonzero(heard[: -len(piece)] == piece[0])
            return any(np.array_equal(heard[start : start + len(piece)], piece) for start in starts)

        self.until(heard, 10)

    def slide(self, name: str, value: float) -> None:
        self.page.get_by_role("slider", name=name).fill(str(value))


@pytest.fixture
def open_page(site, browser) -> Iterator[Callable[..., Player]]:
    contexts = []

    def open_page(query: str = "?voice=one", slow: bool = False, kernel: str | None = None, **settings) -> Player:
        folder, address = site
        context = browser.new_context(**settings)
        contexts.append(context)
        context.set_default_timeout(20000)
        context.add_init_script(LISTEN)
        if slow:
            body = (folder / "wasm.js").read_text() + SLOW
            context.route("**/wasm.js", lambda route: route.fulfill(body=body, content_type="text/javascript"))
        if kernel is not None:
            chosen = f"export const fittingKernel = () => {kernel!r};"
            context.route("**/kernel.js", lambda route: route.fulfill(body=chosen, content_type="text/javascript"))
        page = context.new_page()
        name = query.partition("voice=")[2] or "one"
        player = Player(page, (folder / f"{name}.wavenet").read_bytes())
        page.goto(address + query)
        return player

    yield open_page
    for context in contexts:
        context.close()


PLAIN = Sampling()


def test_the_page_is_small_and_asks_only_for_its_own_files(site, open_page):
    files = [path for path in (WEB / "page").rglob("*") if path.is_file()]
    files.append(max(KERNELS, key=lambda path: path.stat().st_size))
    assert sum(path.stat().st_size for path in files) < 400_000
    player, asked = open_page(), []
    player.page.on("request", lambda request: asked.append(request.url))
    player.page.reload()
    player.play()
    assert len(asked) >= 12
    assert all(url.startswith((site[1], "data:")) for url in asked)
    assert not player.errors


def test_a_page_opened_from_a_disk_says_what_it_needs(site, browser):
    folder, address = site
    page = browser.new_page()
    page.goto((folder / "index.html").as_uri())
    words = page.locator("#unstarted")
    words.wait_for(state="visible")
    assert "plays from a web server" in words.inner_text()
    page.goto(address)
    page.wait_for_selector("#play:enabled")
    assert words.count() == 0
    page.close()


@pytest.mark.parametrize("kernel", ["fitting", "wavenet.wasm"])
def test_what_is_played_is_what_the_portable_kernel_makes_without_a_gap(open_page, kernel):
    player = open_page(kernel=None if kernel == "fitting" else kernel).play()
    count = 3 * 16000
    np.testing.assert_array_equal(player.taken(count), reference(player.packed, (count, PLAIN)))
    assert player.gaps == 0
    assert "real time" in player.page.inner_text("#speed")
    assert not player.errors


@pytest.mark.slow
def test_half_a_minute_without_a_gap(open_page):
    player = open_page().play()
    player.until(lambda: player.place >= 30 * 16000, 60)
    assert player.gaps == 0


@pytest.mark.slow
def test_from_opening_the_page_to_the_first_sound(open_page):
    times: list[float] = []
    while len(times) < 6 and min(times, default=1) >= 1:  # the first ones find a browser that is starting up
        began = time.monotonic()
        player = open_page().play()
        times.append(time.monotonic() - began)
        player.page.close()  # or it would play beside the next
    assert min(times) < 1


def test_a_slider_is_heard_soon_and_the_sound_goes_on_from_where_it_was(open_page):
    for _ in range(3):
        player = open_page().play()
        try:
            hear_sliders(player)
            return
        except AssertionError:
            if not player.gaps:
                raise
    pytest.skip("this machine is too busy to play without gaps, around which the sound is faded")


def hear_sliders(player: Player) -> None:
    """Move sliders, and compare all that is played with the kernel's samples."""
    engine = CompiledEngine(player.packed, "portable")
    state, place, sampling, late = engine.start(torch.empty(1, 0, dtype=torch.long)), 0, PLAIN, []

    def made(state: State, begin: int, count: int, sampling: Sampling) -> np.ndarray:
        return MULAW.decode(engine.generate(state, uniforms([0], begin, count), sampling)[0][0]).numpy()

    for name, value, then in (
        ("temperature", 0.5, Sampling(temperature=0.5)),
        ("top-p", 0.6, Sampling(temperature=0.5, top_p=0.6)),
        ("temperature", 1.2, Sampling(temperature=1.2, top_p=0.6)),
    ):
        player.until(lambda place=place: player.place > place + 4000)
        before, begin = player.place, place
        player.slide(name, value)
        sound = player.taken(before + 12000, begin)
        while True:  # block by block, with the old setting or the new one
            block = sound[place - begin : (place // BLOCK + 1) * BLOCK - begin]
            after = state.select([0])
            if not np.array_equal(made(after, place, len(block), sampling), block):
                break
            state, place = after, place + len(block)
        # the last blocks of the old setting may be the first of the new one, if both make the same
        rest = sound[place - begin :]
        np.testing.assert_array_equal(made(state, place, len(rest), then), rest)
        late.append((place - before) / 16000)
        sampling, place = then, place + len(rest)
    assert min(late) < 0.2
    assert max(late) < 0.9


def test_seed_restart_and_prime_begin_another_sound(open_page):
    player = open_page().play()
    page = player.page
    page.fill("#seed", "7")
    page.press("#seed", "Enter")
    seventh = reference(player.packed, (1000, PLAIN), seed=7)
    player.hear(seventh)
    page.click("#restart")
    player.hear(seventh)
    hum = (0.5 * np.sin(np.arange(3200) / 7)).astype(np.float32)
    page.set_input_files("#soundfile", {"name": "hum.wav", "mimeType": "audio/wav", "buffer": _wav(hum, 16000)})
    page.get_by_text("continues hum.wav").wait_for()
    player.hear(reference(player.packed, (1000, PLAIN), seed=7, prime=hum))
    page.click("#microphone")
    page.get_by_text("Listening").wait_for()
    page.wait_for_timeout(700)
    page.click("#microphone")
    page.get_by_text("continues the microphone").wait_for()
    place = player.place
    player.until(lambda: player.place > place + 8000)  # it plays on by itself
    page.click("#forget")
    player.hear(seventh)
    assert not player.errors


def test_labels_are_mixed(open_page):
    player = open_page("?voice=many").play()
    engine = CompiledEngine(player.packed, "portable")
    assert engine.labels == {"speaker": ["ada", "bob", "eve"], "mood": ["low", "high"]}

    def made(*weights: float) -> np.ndarray:
        row = torch.tensor(weights)[None, None]
        state = engine.start(torch.empty(1, 0, dtype=torch.long), row)
        return MULAW.decode(engine.generate(state, uniforms([0], 0, 1000), PLAIN, row)[0][0]).numpy()

    np.testing.assert_array_equal(player.taken(1000), made(1, 0, 0, 1, 0))
    player.slide("speaker bob", 0.5)  # a sum above 1 is scaled down to 1
    player.page.get_by_role("button", name="only mood high").click()
    assert player.page.get_by_role("slider", name="mood low").input_value() == "0"
    player.page.click("#restart")
    player.hear(made(1 / 1.5, 0.5 / 1.5, 0, 0, 1))


def test_another_voice_at_another_rate_while_playing(site, open_page):
    player = open_page().play()
    player.page.get_by_role("radio", name="Two").check()
    player.hear(reference((site[0] / "two.wavenet").read_bytes(), (1000, PLAIN)))
    player.page.get_by_role("radio", name="One").check()
    player.hear(reference(player.packed, (1000, PLAIN)))
    assert not player.errors


def test_files_that_cannot_be_played_are_told_in_words(open_page):
    player = open_page().play()
    broken = player.packed[:1000] + b"?" + player.packed[1001:]
    for name, content, told in (
        ("cut.wavenet", player.packed[:500], "cut.wavenet|cut: the file's checksum is wrong"),
        ("other.wavenet", broken, "checksum is wrong"),
        ("text.wavenet", b"hello", "text.wavenet: it is not an exported network"),
        ("notes.txt", b"hello", "notes.txt: it is neither an exported network nor a sound"),
    ):
        _drop(player.page, name, content)
        player.page.get_by_role("alert").get_by_text(told.split("|")[-1]).wait_for()
    before = player.place
    player.until(lambda: player.place > before + 8000)
    assert player.page.get_by_role("radio", name="One").is_checked()
    _drop(player.page, "mine.wavenet", player.packed)
    player.page.get_by_role("radio", name="mine").wait_for(state="attached")


def test_pause_keeps_the_place_and_the_last_minute_is_saved(open_page, tmp_path):
    player = open_page().play()
    player.until(lambda: player.place > 8000)
    player.page.keyboard.press("Space")
    player.until(lambda: player.page.evaluate("globalThis.context.state") == "suspended")
    place = player.place
    with player.page.expect_download() as download:
        player.page.click("#save")
    download.value.save_as(tmp_path / "sound.wav")
    samples, rate = soundfile.read(tmp_path / "sound.wav", dtype="int16")
    expected = reference(player.packed, (place, PLAIN))
    assert (rate, len(samples)) == (16000, place)
    np.testing.assert_array_equal(samples, np.clip(np.round(expected * 32768), -32768, 32767))
    player.page.wait_for_timeout(100)
    assert player.place == place
    player.page.click("#play")
    player.until(lambda: player.place > place + 4000)
    faded = 200
    np.testing.assert_array_equal(
        player.taken(place + 4000)[place + faded :], reference(player.packed, (place + 4000, PLAIN))[place + faded :]
    )


def test_an_audio_context_that_was_closed_is_opened_again(open_page):
    player = open_page().play()
    player.until(lambda: player.place > 4000)
    player.page.evaluate("globalThis.context.close()")
    player.page.click("#play")
    place = player.place
    player.page.click("#play")
    player.until(lambda: player.place > place + 8000)
    assert not player.errors


def test_three_pages_play_at_once_and_one_of_them_hangs(open_page):
    players = [open_page().play() for _ in range(3)]
    players[0].page.evaluate("setTimeout(() => { const end = Date.now() + 900; while (Date.now() < end); })")
    places = [player.place for player in players]
    for player, place in zip(players, places, strict=True):
        player.until(lambda player=player, place=place: player.place > place + 16000)
        assert player.gaps == 0


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("Xvfb"), reason="Xvfb is not installed, whose windows have tabs that can be hidden"
)
def test_a_hidden_tab_plays_on(site, driver, tmp_path):
    port, display = "9377", ":77"
    arguments = ["--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={tmp_path}", "about:blank"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with contextlib.ExitStack() as programs:
        screen = programs.enter_context(subprocess.Popen(["Xvfb", display, "-screen", "0", "1000x800x24"], **quiet))
        programs.callback(screen.terminate)
        time.sleep(1)
        command = [CHROMIUM, f"--remote-debugging-port={port}", *arguments]
        chromium = programs.enter_context(subprocess.Popen(command, env=os.environ | {"DISPLAY": display}, **quiet))
        programs.callback(chromium.terminate)
        for _ in range(100):
            with contextlib.suppress(playwright.Error):  # it is still starting
                # Playwright's defaults would tell every page that it is seen
                browser = driver.chromium.connect_over_cdp(f"http://127.0.0.1:{port}", no_defaults=True)
                break
            time.sleep(0.1)
        context = browser.contexts[0]
        context.add_init_script(LISTEN)
        page = context.pages[0]
        page.goto(site[1] + "?voice=one")
        player = Player(page, (site[0] / "one.wavenet").read_bytes()).play()
        context.new_page().bring_to_front()
        player.until(lambda: page.evaluate("document.visibilityState") == "hidden")
        place = player.place
        time.sleep(20)
        assert player.place - place > 18 * 16000
        assert player.gaps == 0
        browser.close()


def test_an_engine_slower_than_real_time_is_told_and_loses_nothing(open_page):
    player = open_page(slow=True).play()
    player.page.locator("#slow").get_by_text("pieces").wait_for()
    player.until(lambda: player.gaps > 0)
    assert float(player.page.inner_text("#slow b").split()[0]) < 0.6
    place = player.place
    history = reference(player.packed, (place, PLAIN))
    heard = player.taken(place)
    assert np.mean(heard == history) > 0.8  # but for the fades around the gaps
    assert np.all(np.abs(heard) <= np.abs(history) + 1e-6)


def test_a_voice_in_training_is_offered_when_it_has_changed(site, open_page):
    folder, _ = site
    (folder / "metrics.jsonl").write_text("".join(f'{{"step": {i}, "train/bits": {8 / i}}}\n' for i in range(1, 9)))
    entry = {"name": "run", "file": "two.wavenet", "title": "mine", "credit": "", "version": "a"}
    run = {
        "step": 10,
        "updated": "2026-01-01T10:00:00+00:00",
        "training": True,
        "samples": [],
        "metrics": "metrics.jsonl",
    }
    listed = folder / "voices.json"
    before = listed.read_text()
    try:
        listed.write_text(
            json.dumps([entry | {"run": run}, {"name": "later", "title": "later", "reason": "no checkpoint"}])
        )
        player = open_page("")
        player.page.get_by_text("This is step 10").wait_for()
        assert player.page.locator("#run polyline").count() == 1
        assert player.page.get_by_role("radio").count() == 1
        player.page.get_by_text("1 cannot be played here").click()
        assert player.page.get_by_text("later: no checkpoint.").is_visible()
        listed.write_text(json.dumps([entry | {"version": "b", "run": run | {"step": 20}}]))
        player.page.get_by_text("mine has learned more, up to step 20").wait_for()
        player.page.click("#switch")
        player.page.get_by_text("This is step 20").wait_for()
        player.page.locator("#newer").wait_for(state="hidden")
    finally:
        listed.write_text(before)


def test_a_phone_a_keyboard_and_a_screen_reader(open_page):
    phone = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}
    player = open_page("?voice=many", reduced_motion="reduce", **phone)
    page = player.page
    page.locator("#play:enabled").wait_for()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    named = "(n) => n.ariaLabel || n.textContent.trim() || n.labels?.[0]?.textContent.trim()"
    controls = page.locator("button, input").filter(visible=True)
    unnamed = controls.evaluate_all(f"nodes => nodes.filter((n) => !({named})(n)).length")
    assert unnamed == 0
    seen = []
    for _ in range(8):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert seen[:5] == ["play", "restart", "seed", "dice", "open"] or seen[:4] == ["play", "restart", "seed", "dice"]
    temperature = page.get_by_role("slider", name="temperature")
    temperature.scroll_into_view_if_needed()
    box = temperature.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 4, box["y"] + 10)
    assert abs(float(temperature.input_value()) - 1.5 / 4) < 0.02
    temperature.dblclick()
    temperature.press("ArrowLeft")
    assert page.get_by_role("slider", name="temperature").get_attribute("aria-valuetext") == "0.99, tame to wild"
    page.keyboard.press("Space")
    player.until(lambda: player.place > 0)
    assert page.get_by_role("button", name="Pause").get_attribute("aria-pressed") == "true"


def test_a_folder_without_voices_and_an_unknown_voice(site, open_page):
    listed = site[0] / "voices.json"
    before = listed.read_text()
    listed.rename(site[0] / "away.json")
    try:
        page = open_page("").page
        page.get_by_text("No voice is here yet").wait_for()
        assert page.locator("#play").is_disabled()
    finally:
        listed.write_text(before)
    page = open_page("").page
    page.goto(site[1] + "?voice=none")
    page.get_by_role("alert").get_by_text("No voice called none").wait_for()


def test_resampling_keeps_a_sine_and_does_not_hear_blocks(open_page):
    page = open_page("").page
    for source, target in ((16000, 48000), (16000, 44100), (44100, 48000), (48000, 16000)):
        hertz = 0.37 * min(source, target)
        whole, parts, late = page.evaluate(
            """async ([source, target, hertz]) => {
              const { Resampler } = await import("./resampler.js");
              const turn = (2 * Math.PI * hertz) / source;
              const input = Float32Array.from({ length: source }, (_, i) => Math.sin(turn * i));
              const run = (sizes) => {
                const resampler = new Resampler(source, target);
                const output = new Float32Array(target / 4);
                for (let at = 0, from = 0, k = 0; at < output.length; k++) {
                  const part = output.subarray(at, at + sizes[k % sizes.length]);
                  const count = resampler.needs(part.length);
                  resampler.process(input.subarray(from, from + count), part);
                  at += part.length;
                  from += count;
                }
                return [[...output], resampler.late];
              };
              const [whole, late] = run([target]);
              return [whole, run([128, 1, 7, 300])[0], late];
            }""",
            [source, target, hertz],
        )
        np.testing.assert_array_equal(parts, whole)
        seconds = (np.arange(len(whole)) * source / target - late) / source
        error = np.abs(np.array(whole) - np.sin(2 * np.pi * hertz * seconds))[1000:].max()
        assert 20 * np.log10(error) < -70


def _wav(samples: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


def _drop(page, name: str, content: bytes) -> None:
    """Drops a file on the page."""
    files = page.evaluate_handle(
        """([name, bytes]) => {
          const moved = new DataTransfer();
          moved.items.add(new File([Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0))], name));
          return moved;
        }""",
        [name, base64.b64encode(content).decode()],
    )
    page.dispatch_event("body", "drop", {"dataTransfer": files})

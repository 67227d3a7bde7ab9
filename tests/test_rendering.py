"""Sounds as files: they hold the very codes, also when interrupted, and trouble is reported once."""

import pytest
import soundfile
import torch
from test_generation import codes, make

from wavenet.audio import mulaw
from wavenet.audio.encodings import MULAW
from wavenet.generation import CachedEngine, generate, render
from wavenet.generation.streams import CHUNK
from wavenet.generation.watch import Watch


def test_rendering_writes_what_is_generated(tmp_path):
    engine = CachedEngine(make(layers_per_stack=4))
    heard = []
    paths = [tmp_path / "a.wav", tmp_path / "b.flac"]
    made = render(engine, 8000, paths, 1200, [1, 2], progress=heard.append)
    expected = torch.cat([codes for codes, _ in generate(engine, 1200, [1, 2])], dim=1)
    for path, stream in zip(paths, expected, strict=True):
        sound, rate = soundfile.read(path, dtype="float32")
        assert rate == 8000
        torch.testing.assert_close(torch.from_numpy(sound), MULAW.decode(stream), atol=1.6 / 32768, rtol=0)
    assert (made.samples, made.finished, heard[-1]) == (2400, True, 1200)
    assert 4 < made.bits_per_sample < 12


def test_ctrl_c_leaves_valid_files(tmp_path):
    def stop(done):
        if done >= CHUNK:
            raise KeyboardInterrupt

    made = render(CachedEngine(make()), 8000, [tmp_path / "a.wav"], 10**9, [1], progress=stop)
    assert not made.finished
    assert soundfile.info(tmp_path / "a.wav").frames == made.samples == CHUNK


@pytest.mark.parametrize(
    ("name", "stream", "bits"),
    [
        ("silent", torch.tensor([128, 129, 127, 130] * 2000), 1.0),
        ("stuck", torch.full((8000,), 200), 1.0),
        ("stuck", torch.tensor([10, 240] * 4000), 1.0),
        ("noise", codes(1, 8000)[0], 7.9),
        (None, mulaw.encode(0.5 * torch.sin(torch.arange(8000) * 0.1731)), 2.0),
    ],
)
def test_trouble_is_told_once(name, stream, bits):
    for size in (8000, 333):
        watch = Watch(8000)
        for piece in stream.to(torch.uint8).split(size):
            watch.hear(piece.numpy(), torch.full((len(piece),), bits).numpy())
        assert watch.warnings == ([f"{name} from 0.0 s on"] if name else [])


def test_sounds_hold_the_very_codes_and_bits(tmp_path):
    engine, paths = CachedEngine(make(layers_per_stack=4)), [tmp_path / "a.wav", tmp_path / "b.flac"]
    made = render(engine, 11025, paths, 700, [1, 2])
    pieces = list(generate(engine, 700, [1, 2]))
    for path, stream in zip(paths, torch.cat([made for made, _ in pieces], dim=1), strict=True):
        sound, rate = soundfile.read(path, dtype="float32")
        assert rate == 11025
        assert torch.equal(mulaw.encode(torch.from_numpy(sound)), stream)
    assert made.bits_per_sample == pytest.approx(float(torch.cat([bits for _, bits in pieces], dim=1).mean()), rel=1e-5)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_ctrl_c_before_the_first_sample_leaves_a_valid_file_or_none(name, tmp_path):
    class Interrupted(CachedEngine):
        def start(self, context, rows=None):
            raise KeyboardInterrupt

    made = render(Interrupted(make(layers_per_stack=2)), 8000, [tmp_path / name], 1000, [1])
    assert (made.finished, made.samples) == (False, 0)
    for path in tmp_path.iterdir():
        assert (path.name, soundfile.info(path).frames) == (name, 0)


@pytest.mark.parametrize(("code", "said"), [(mulaw.ZERO, "silent"), (200, "stuck")])
def test_a_model_that_knows_one_code_is_told_of(code, said, tmp_path):
    model = make(layers_per_stack=2)
    model.output.weight.data.zero_()
    model.output.bias.data = torch.full((256,), -50.0)
    model.output.bias.data[code] = 50
    made = render(CachedEngine(model), 2000, [tmp_path / "a.wav", tmp_path / "b.wav"], 2500, [1, 2])
    assert made.warnings == [f"{name}: {said} from 0.0 s on" for name in ("a.wav", "b.wav")]
    assert made.bits_per_sample < 1e-6

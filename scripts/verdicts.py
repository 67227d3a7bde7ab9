"""Verdicts on sounds from noise to the recordings themselves: makes the table of docs/verdict.md.

    python scripts/verdicts.py music drums ~/speech ... [work=runs/verdicts] [model=tiny] [steps=60,250,1000]

Trains on each folder for each number of steps, unless work/MODEL-FOLDER-STEPS already holds that run. Every model makes
eight sounds of two seconds, which are judged as in training. So are held-out recordings, the same with white noise 20
and 10 dB below them, and noise with their spectrum, either of each moment (a whisper) or of the whole.
`music` and `drums` are synthetic: harmonic notes over a bass with rests, and loops of a kick, a snare and a hi-hat.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from wavenet.audio import io as audio
from wavenet.config import DataConfig
from wavenet.evaluation import verdict
from wavenet.generation import generate, make_engine
from wavenet.model import checkpoint
from wavenet.recordings.preparation import prepare
from wavenet.recordings.split import split

RATE, SECONDS, SOUNDS = 16000, 2, 8


def main() -> None:
    folders = [argument for argument in sys.argv[1:] if "=" not in argument]
    given = dict(argument.split("=", 1) for argument in sys.argv[1:] if "=" in argument)
    if not folders or set(given) - {"work", "model", "steps"}:
        sys.exit(__doc__)
    work = Path(given.get("work", "runs/verdicts"))
    print("| recordings | sound | bits, held out | under linear | level | spectrum | movement | pitch | verdict |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in folders:
        folder = make_up(name, work / name) if name in MADE_UP else Path(name).expanduser()
        rows(folder, work, given.get("model", "tiny").split(","), given.get("steps", "60,250,1000").split(","))


def rows(folder: Path, work: Path, models: list[str], steps: list[str]) -> None:
    """Print one folder's rows."""
    first = next(path for path in sorted(folder.rglob("*")) if path.suffix in (".flac", ".wav"))
    rate = min(RATE, soundfile.info(first).samplerate)
    config = DataConfig(dir=str(folder), sample_rate=rate)
    prepared = prepare(config)
    sides, samples = split(prepared, config), SECONDS * rate
    recordings = verdict.Recordings(verdict.pieces(prepared.codes, sides.train, samples), rate)
    held_out = verdict.pieces(prepared.codes, sides.valid, samples)
    whole, torch_seed = torch.cat(held_out), torch.manual_seed(0)
    level = whole.square().mean().sqrt()
    hiss = torch.randn(len(whole), generator=torch_seed) * level
    sounds = {
        "held-out recordings": whole,
        "with noise, -20 dB": whole + 0.1 * hiss,
        "with noise, -10 dB": whole + 0.316 * hiss,
        "whispered": noise_like(whole, rate, every_moment=True),
        "steady noise": noise_like(whole, rate, every_moment=False),
    }
    for name, sound in sounds.items():
        row(folder.name, name, "", "", [verdict.of_sound(piece, recordings) for piece in sound.split(samples)])
    for model in models:
        for number in steps:
            run = trained(folder, work, model, number, rate)
            report = json.loads((run / "report.json").read_text())
            bits, linear = report["bits_per_sample"], report["linear_bits"]
            loaded = checkpoint.load(run / "checkpoints" / "last.safetensors")
            engine = make_engine("auto", loaded.model, sample_rate=rate)
            made = list(generate(engine, samples, list(range(SOUNDS))))
            decoded = loaded.model.distribution.encoding.decode(torch.cat([codes for codes, _ in made], dim=1))
            their_bits = torch.cat([chunk for _, chunk in made], dim=1).mean(dim=1).tolist()
            judged = [verdict.of_sound(s, recordings, b, bits) for s, b in zip(decoded, their_bits, strict=True)]
            row(folder.name, f"{model}, {number} steps", f"{bits:.2f}", f"{linear - bits:+.2f}", judged)


def row(folder: str, name: str, bits: str, better: str, judged: list[verdict.Judgement | None]) -> None:
    """Medians of the figures, and how often each verdict was given."""
    found = [one for one in judged if one is not None]
    values = {key: statistics.median(one.figures[key] for one in found) for key in verdict.LEAST}
    heads = [one.words.split(":")[0].split(";")[0] for one in found]
    said = "; ".join(f"{head} ({heads.count(head)})" for head in sorted(set(heads), key=heads.count, reverse=True))
    numbers = f"{values['level']:+.0f} | {values['spectrum']:.1f} | {values['movement']:.1f} | {values['pitch']:+.0%}"
    print(f"| {folder} | {name} | {bits} | {better} | {numbers} | {said} |", flush=True)


def trained(folder: Path, work: Path, model: str, steps: str, rate: int) -> Path:
    """The folder of a run, which is trained if it does not exist."""
    run = work / f"{model}-{folder.name}-{steps}"
    if not (run / "report.json").is_file():
        settings = {"data.dir": folder.absolute(), "data.sample_rate": rate, "model": model, "steps": steps}
        settings |= {"run.dir": run, "report": run / "report.json", "sample_every": 0}
        arguments = [f"{name}={value}" for name, value in settings.items()]
        done = subprocess.run([sys.executable, "-m", "wavenet.cli.train", *arguments], stdout=sys.stderr, check=False)
        if done.returncode:
            sys.exit(done.returncode)
    return run


def noise_like(sound: Tensor, rate: int, every_moment: bool) -> Tensor:
    """Noise with the spectrum of a sound (n,): that of each moment, smoothed over 300 Hz, or that of the whole."""
    window = torch.hann_window(512)
    shape = torch.stft(sound, 512, 128, window=window, return_complex=True).abs().square()
    width = 2 * max(1, round(300 / (rate / 512))) + 1
    if every_moment:
        padded = torch.nn.functional.pad(shape.t()[:, None], (width // 2, width // 2), mode="reflect")
        shape = torch.nn.functional.avg_pool1d(padded, width, 1)[:, 0].t()
    else:
        shape = shape.mean(dim=1, keepdim=True)
    noise = torch.randn(len(sound), generator=torch.Generator().manual_seed(0))
    made = torch.stft(noise, 512, 128, window=window, return_complex=True) * shape.sqrt()
    made = torch.istft(made, 512, 128, window=window, length=len(sound))
    return made * (sound.square().mean() / made.square().mean()).sqrt()


# ---- synthetic sounds of fifteen seconds each


def music(random: np.random.Generator) -> np.ndarray:
    """Decaying notes of eight harmonics, some of them left out, over a bass two octaves below."""
    sound, root = np.zeros(15 * RATE), random.choice([57, 59, 60, 62])
    for shift, length in ((0, 0.3), (-24, 1.2)):
        at = 0.0
        while at < 14:
            seconds = length * random.choice([1, 1, 2])
            if random.random() > 0.2:
                pitch = root + shift + random.choice([0, 2, 4, 7, 9, 12, 14, 16])
                note = struck(440 * 2 ** ((pitch - 69) / 12), min(seconds * 1.1, 14.9 - at), random)
                sound[int(at * RATE) :][: len(note)] += 0.25 * note
            at += seconds
    return sound + random.normal(0, 3e-4, len(sound))


def struck(hertz: float, seconds: float, random: np.random.Generator) -> np.ndarray:
    t = time(seconds)
    harmonics = [
        np.sin(2 * np.pi * k * hertz * t + random.uniform(0, 6.28)) * np.exp(-t * (1.5 + 0.8 * k)) / k**1.3
        for k in range(1, 9)
        if k * hertz < 7000
    ]
    return sum(harmonics) * np.minimum(1, t / 0.01) * np.minimum(1, (seconds - t) / 0.02)


def drums(random: np.random.Generator) -> np.ndarray:
    """A repeated bar of sixteen steps, with mistakes."""
    sound, step = np.zeros(16 * RATE), 15 / random.choice([90, 100, 110])
    pattern = random.choice(["k.h.s.h.k.k.s.hh", "k.hhs.h.khk.s.h.", "khh.shh.k.h.s.h."])
    for number in range(int(15 / step)):
        if (hit := pattern[number % 16]) != "." and random.random() > 0.05:
            beaten = beat(hit, random) * random.uniform(0.8, 1)
            sound[int(number * step * RATE) :][: len(beaten)] += beaten
    return np.clip(sound[: 15 * RATE] + random.normal(0, 3e-4, 15 * RATE), -1, 1)


def beat(hit: str, random: np.random.Generator) -> np.ndarray:
    """A kick, a snare or a hi-hat."""
    t = time({"k": 0.3, "s": 0.2, "h": 0.06}[hit])
    if hit == "k":
        return 0.7 * np.sin(2 * np.pi * (50 * t + 12 * (1 - np.exp(-t * 25)))) * np.exp(-t * 12)
    noise = random.normal(0, 0.5, len(t) + (hit == "h"))
    if hit == "s":
        return (0.35 * noise + 0.25 * np.sin(2 * np.pi * 190 * t)) * np.exp(-t * 22)
    return 0.25 * np.diff(noise) * np.exp(-t * 70)


def time(seconds: float) -> np.ndarray:
    return np.arange(int(seconds * RATE)) / RATE


MADE_UP = {"music": music, "drums": drums}


def make_up(name: str, folder: Path) -> Path:
    """Write five minutes of a synthetic sound, with two files held out."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(20):
        with audio.Writer(folder / f"{number:02}.flac", RATE) as writer:
            writer.write(torch.from_numpy(MADE_UP[name](np.random.default_rng(number))).float())
    held_out = "\n".join(f"{number:02}.flac,{'valid' if number in (7, 14) else 'train'}" for number in range(20))
    (folder / "metadata.csv").write_text(f"file_name,split\n{held_out}\n")
    return folder


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    main()

"""Mutated files, tried one after another in one process: `python worker.py CASE FIRST LAST FOLDER`.

Each case is a function of a seed and a folder, and returns how its tries survived. Anything that it raises is a loss.
"""

import contextlib
import functools
import resource
import shutil
import signal
import sys
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random

import mutations
import numpy as np
import soundfile
import torch

from wavenet.audio.encodings import MULAW
from wavenet.config import AcousticConfig, DataConfig, ModelConfig, OptimConfig, TrainConfig
from wavenet.errors import CheckpointError, WaveNetError
from wavenet.generation.export import pack
from wavenet.model import checkpoint
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.preparation import prepare
from wavenet.recordings.reader import Reader, read_prime
from wavenet.speech import storing
from wavenet.speech.acoustic import AcousticModel
from wavenet.training import metrics, train
from wavenet.voice import opened

AT_ONCE = 20
"""Mutated recordings in a folder."""
SECONDS = 60
"""After which a try hangs."""
GROWTH = 400
"""MB that a process may grow by, whatever is tried."""
FILES = Path(__file__).parents[1] / "files"


@functools.cache
def sounds() -> dict[str, bytes]:
    return mutations.sounds()


def audio(seed: int, folder: Path) -> Counter[str]:
    """A folder of damaged recordings and a good one is prepared, and each of them primes."""
    chance, place = Random(seed), folder / "audio"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "good.wav").write_bytes(sounds()["pcm.wav"])
    names = ["good.wav"]
    for number in range(AT_ONCE):
        name, content = mutations.mutated_sound(sounds(), chance)
        names.append(f"{number:02d}.{name}")
        (place / names[-1]).write_bytes(content)
    config = DataConfig(str(place), sample_rate=8000, cache_dir=str(folder / "cache"), min_seconds=0.01, workers=2)
    config.normalise = chance.choice(["off", "peak", "loudness"])
    found = prepare(config)
    shutil.rmtree(found.cache)
    used = {recording.name: recording.signal.damage for recording in found.recordings}
    left = {skipped.name: skipped.reason for skipped in found.skipped}
    assert sorted([*used, *left]) == sorted(names), f"not each one is reported: {used} {left}"
    assert all(left.values())
    assert used["good.wav"] == ""
    assert all(0 <= int(code) < 256 for code in (np.min(found.codes), np.max(found.codes)))
    assert found.report()
    how = Counter({"left out with a reason": len(left), "read": list(used.values())[:-1].count("")})
    how["read in part, and said"] = len(names) - 1 - how["left out with a reason"] - how["read"]
    for name in names[1:]:
        with contextlib.suppress(WaveNetError):
            codes = read_prime(place / name, Reader(8000, {}), 1000, MULAW)
            assert 0 < len(codes) <= 1000
    return how


def model(**settings) -> WaveNet:
    torch.manual_seed(0)
    return WaveNet(
        ModelConfig(1, 3, residual_channels=4, gate_channels=4, skip_channels=4, head_channels=4, **settings)
    )


@functools.cache
def exports() -> list[bytes]:
    labelled = model(labels={"speaker": ["june", "allison"]})
    made = [path.read_bytes() for path in sorted(FILES.glob("*.wavenet"))]
    return [*made, pack(labelled, 8000, "float32", steerable=True), pack(model(mixtures=2), 8000, "bfloat16")]


def refused(error: WaveNetError) -> str:
    assert "\n" not in str(error), error
    return "refused in words"


def plays(path: Path) -> str:
    """What the file does: it is refused, or it makes sound."""
    try:
        voice = opened(path)
        labels = {label: values[0] for label, values in voice.labels.items()}
        sound = voice.generate(0.01 if voice.sample_rate < 10**6 else 1e-5, labels=labels, device="cpu", threads=1)
    except WaveNetError as error:
        return refused(error)
    assert sound.isfinite().all()
    return "sound"


def exported(seed: int, folder: Path) -> Counter[str]:
    chance, path = Random(seed), folder / "x.wavenet"
    path.write_bytes(mutations.mutated_export(chance.choice(exports()), chance))
    return Counter([plays(path)])


@functools.cache
def checkpoints(folder: Path) -> list[tuple[bytes, str]]:
    """Good ones, and how each is used."""
    made, path = [((FILES / "version_1.safetensors").read_bytes(), "")], folder / "good.safetensors"
    for settings in ({"labels": {"a": ["b", "c"]}}, {"mixtures": 2, "input": "scalar"}, {"initial_filter": 3}):
        checkpoint.save(path, model(**settings), 8000, 5, 1.5, DataConfig(), small="mixtures" in settings)
        made.append((path.read_bytes(), ""))
    units = ["a", "b", "sil"]
    torch.manual_seed(0)
    spoken = AcousticModel(AcousticConfig(channels=4, encoder_layers=1, decoder_layers=1), units, 8)
    storing.save_acoustic(path, storing.Acoustic(spoken, {"kind": "words"}, units, 3))
    return [*made, (path.read_bytes(), "acoustic")]


def shared(seed: int, folder: Path) -> Counter[str]:
    """A checkpoint."""
    chance, path = Random(seed), folder / "x.safetensors"
    good, use = chance.choice(checkpoints(folder))
    path.write_bytes(mutations.mutated_checkpoint(good, chance))
    if not use:
        return Counter([plays(path)])
    try:
        found = storing.load_acoustic(path)
        said = found.model.say(found.example[:5])
    except CheckpointError as error:
        return Counter([refused(error)])
    assert len(said.frames) < 10**6
    return Counter(["sound"])


@functools.cache
def run(folder: Path) -> tuple[TrainConfig, bytes]:
    """Settings of a small run, and its state after three steps."""
    metrics.RunLog.curves = lambda *_: None
    place = folder / "recordings"
    place.mkdir(parents=True, exist_ok=True)
    rows = ["file_name,speaker"]
    for number in range(4):
        noise = np.random.default_rng(number).normal(0, 0.1, 2000)
        soundfile.write(place / f"{number}.wav", noise, 8000)
        rows.append(f"{number}.wav,{number % 2}")
    (place / "metadata.csv").write_text("\n".join(rows))
    data = DataConfig(str(place), sample_rate=8000, cache_dir=str(folder / "cache"), min_seconds=0, labels=["speaker"])
    small = ModelConfig(1, 3, residual_channels=4, gate_channels=4, skip_channels=4, head_channels=4)
    config = TrainConfig(
        data=data, model=small, steps=3, crop=100, batch_size=2, sample_every=0, device="cpu", threads=1
    )
    config.optim, config.precision, config.validate_seconds = OptimConfig(warmup_steps=1), "float32", 0.1
    shutil.rmtree(folder / "good", ignore_errors=True)
    train(config, folder / "good")
    return config, (folder / "good/checkpoints/last.state").read_bytes()


def state(seed: int, folder: Path) -> Counter[str]:
    """A training state, which a run goes on from."""
    chance, canary = Random(seed), folder / "canary"
    config, good = run(folder)
    place = folder / "resumed"
    shutil.rmtree(place, ignore_errors=True)
    (place / "checkpoints").mkdir(parents=True)
    (place / "checkpoints/last.state").write_bytes(mutations.mutated_state(good, chance, str(canary)))
    config = TrainConfig(**{**vars(config), "steps": 4, "resume": str(place)})
    how = "resumed"
    try:
        assert train(config, place).steps == 4
    except WaveNetError as error:
        how = refused(error)
    assert not canary.exists(), "something in it was executed"
    return Counter([how])


CASES = {"audio": audio, "exported": exported, "checkpoint": shared, "state": state}


def main(case: str, first: int, last: int, folder: Path) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    CASES[case](-1, folder)  # what is needed once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with open(folder / "told", "w", buffering=1) as told:
        for seed in range(first, last):
            print("begun", seed, file=told)
            signal.alarm(SECONDS)
            try:
                for how, number in CASES[case](seed, folder).items():
                    print("survived", number, how, file=told)
            except Exception:
                where = " | ".join(line.strip() for line in traceback.format_exc().splitlines()[-5:])
                print(f"lost {case} {seed}: {where}", file=told)
            signal.alarm(0)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
            if grown > GROWTH:
                print(f"lost {case} {seed}: the process grew by {grown:.0f} MB", file=told)
                before += grown


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))

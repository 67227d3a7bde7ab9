"""What helps to learn a few minutes of sound: the same run with and without some settings, as a table.

    python scripts/small_folder.py FOLDER [+init=piano] [+"augment.polarity=true augment.speed=4"] ... [steps=400] ...

Takes the beginning of each of the folder's recordings: train_seconds=300 of those for training, and valid_seconds=60 of
those held out. Trains on them without the settings that begin with a plus, and once with each group of them; if there
are none, with each augmentation. All other settings are wavenet-train's, for every run. Says how many bits per sample
each run needs, and how long it took to reach goal=BITS: left out, what the run without them reached. A run that lies in
work=runs/small is not repeated.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import soundfile
import torch

from wavenet.audio.encodings import MULAW
from wavenet.config import DataConfig
from wavenet.model import checkpoint
from wavenet.recordings.preparation import Prepared, prepare
from wavenet.recordings.split import Span, split
from wavenet.training import runs

AUGMENTATIONS = (
    "augment.polarity=true",
    "augment.gain=[-6,3]",
    "augment.speed=4",
    "augment.polarity=true augment.gain=[-6,3] augment.speed=4",
)
OWN = {"train_seconds": "300", "valid_seconds": "60", "goal": "", "work": "runs/small"}


def main() -> None:
    folders = [argument for argument in sys.argv[1:] if "=" not in argument]
    variants = [argument[1:] for argument in sys.argv[1:] if argument.startswith("+")] or list(AUGMENTATIONS)
    settings = [argument for argument in sys.argv[1:] if "=" in argument and not argument.startswith("+")]
    own = OWN | dict(one.split("=", 1) for one in settings if one.split("=", 1)[0] in OWN)
    settings = [one for one in settings if one.split("=", 1)[0] not in OWN]
    if len(folders) != 1:
        sys.exit(__doc__)
    work = Path(own["work"]).expanduser()
    rate = dict(one.split("=", 1) for one in settings).get("data.sample_rate", str(DataConfig.sample_rate))
    few = cut(Path(folders[0]).expanduser(), int(rate), work, float(own["train_seconds"]), float(own["valid_seconds"]))
    done = [(variant, run([*settings, *shlex.split(variant)], few, work)) for variant in ("", *variants)]
    plain = done[0][1].series("valid/bits")
    goal = float(own["goal"] or plain[:, 1].min())
    print(
        f"| settings | bits, held out | at step | steps to {goal:.3f} | minutes to {goal:.3f} |\n|---|---|---|---|---|"
    )
    for variant, found in done:
        bits = found.series("valid/bits")
        reached = bits[bits[:, 1] <= goal + 5e-4]
        state = checkpoint.load_state(found.folder)
        steps = f"{reached[0, 0]:.0f}" if len(reached) else "-"
        minutes = f"{reached[0, 0] * state['seconds'] / state['step'] / 60:.1f}" if len(reached) else "-"
        best = bits[bits[:, 1].argmin()]
        name = f"`{variant}`" if variant else "none"
        print(f"| {name} | {best[1]:.3f} | {best[0]:.0f} | {steps} | {minutes} |")


def cut(folder: Path, rate: int, work: Path, *seconds: float) -> Path:
    """A folder of the beginnings of recordings: those for training in train/, those held out in valid/."""
    few = work / f"{folder.name}-{rate}-{'-'.join(f'{part:g}' for part in seconds)}"
    if not few.is_dir():
        config = DataConfig(dir=str(folder), sample_rate=rate)
        prepared = prepare(config)
        sides = split(prepared, config)
        write(prepared, sides.train, seconds[0], few / "train")
        write(prepared, sides.valid, seconds[1], few / "valid")
    return few


def write(prepared: Prepared, spans: list[Span], seconds: float, folder: Path) -> None:
    folder.mkdir(parents=True)
    share = min(1, seconds * prepared.sample_rate / sum(span.samples for span in spans))
    for number, span in enumerate(spans):
        codes = prepared.codes[span.start : span.start + round(span.samples * share)]
        name = Path(prepared.recordings[span.recording].name).stem
        soundfile.write(
            folder / f"{number:04d}_{name}.wav", MULAW.decode(torch.from_numpy(codes)).numpy(), prepared.sample_rate
        )


def run(settings: list[str], few: Path, work: Path) -> runs.Run:
    """The run with these settings, trained unless it is there."""
    name = re.sub(r"[^\w.=-]+", "_", " ".join([few.name, *settings]))
    folder = work / name[:200]
    if not (folder / "checkpoints" / "best.safetensors").is_file():
        command = [sys.executable, "-m", "wavenet.cli.train", f"data.dir={few}", f"run.dir={folder}", "sample_every=0"]
        subprocess.run([*command, *settings], check=True, stdout=sys.stderr)
    return runs.read(folder)


if __name__ == "__main__":
    main()

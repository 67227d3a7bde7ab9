"""`make demo`: train a small network on data/ for about three minutes, generate, and show where everything is."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import torch

from wavenet.audio import io as audio
from wavenet.audio import plots
from wavenet.cli.terminal import steady_streams
from wavenet.config import DataConfig
from wavenet.evaluation import verdict
from wavenet.evaluation.baselines import Baselines
from wavenet.recordings.preparation import prepare
from wavenet.recordings.split import split
from wavenet.training.clock import FEW_STEPS

ROOT = Path(__file__).parents[1]


def main() -> None:
    run = ROOT / "runs" / "demo"
    number = 2
    while run.exists():
        run, number = ROOT / "runs" / f"demo_{number}", number + 1
    command("train", "experiment=demo", f"data.dir={ROOT / 'data'}", f"run.dir={run}", f"report={run / 'train.json'}")
    sounds = run / "generated"
    command(
        "generate", f"checkpoint={run}", "seconds=4", "count=2", f"output={sounds}", f"report={run / 'generate.json'}"
    )
    trained, made = (json.loads((run / name).read_text()) for name in ("train.json", "generate.json"))

    generated = audio.read(made["files"][0], made["sample_rate"])
    recording = audio.read(ROOT / "data" / "allison" / "vm-tocallback.flac", made["sample_rate"])
    pictures = {"generated": generated, "recording": recording[: len(generated)]}
    plots.save(plots.spectrograms(pictures, made["sample_rate"]), run / "spectrogram.png")

    data = DataConfig(dir=str(ROOT / "data"))
    prepared = prepare(data)  # from the cache
    pieces = verdict.pieces(prepared.codes, split(prepared, data).train, len(generated))
    judged = verdict.of_sound(generated, verdict.Recordings(pieces, made["sample_rate"]))

    print(f"\ngenerated sounds   {sounds}")
    print(f"spectrograms       {run / 'spectrogram.png'}")
    print(f"the first one is   {judged.words if judged else 'too short to be judged'}")
    print(f"learning curve     {run / 'curves.png'}")
    print(f"held out           {trained['bits_per_sample']:.2f} bits per sample")
    print(f"                   ({Baselines(trained['unigram_bits'], trained['linear_bits'])})")
    print(f"generation         {made['samples_per_second']:,.0f} samples/s = {made['realtime_factor']:.2f} x real time")
    program = "wavenet-generate"
    if shutil.which(program) is None:
        program = os.path.relpath(Path(sys.executable).with_name(program))
    print(f"more of it         {shlex.join([program, f'checkpoint={run}', 'seconds=30'])}")
    if trained["steps"] < FEW_STEPS:
        again = shlex.join([program.replace("generate", "train"), f"resume={run}", "minutes=5"])
        print(
            f"\nThere was time for only {trained['steps']} steps, after which a model makes little but noise: the "
            f"machine is slow, or was busy.\nContinue training when it is idle with: {again}"
        )


def command(name: str, *settings: str) -> None:
    done = subprocess.run([sys.executable, "-m", f"wavenet.cli.{name}", *settings], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with steady_streams():
        main()

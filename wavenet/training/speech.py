"""Training a voice that speaks: texts in time, then an acoustic model, then a vocoder, then one file of both.

    <run folder>/phones.csv                     which unit is heard when, unless the recordings' folder has a table
    <run folder>/acoustic/                      the acoustic model's run
    <run folder>/vocoder/                       the vocoder's run, like any other
    <run folder>/checkpoints/best.safetensors   the voice

The acoustic model comes first, so that the vocoder can also learn from the frames that it makes. A run that was stopped
goes on with the part that it was at.
"""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wavenet.config import TrainConfig
from wavenet.errors import AudioError, ConfigError, counted
from wavenet.files import atomic, expanded
from wavenet.generation.calibration import measured
from wavenet.generation.export import Scale
from wavenet.model import checkpoint, native
from wavenet.model.wavenet import WaveNet
from wavenet.speech import speakable, storing
from wavenet.speech.acoustic import AcousticModel
from wavenet.speech.corpus import Corpus
from wavenet.speech.front_ends import FrontEnd, make_front_end, restore
from wavenet.speech.sentences import GAPS
from wavenet.speech.speaker import example
from wavenet.training import initial, resuming, starting, trainer
from wavenet.training.acoustic import AcousticTrainer
from wavenet.training.data import TrainingData, read
from wavenet.training.machine import choose_precision, keep_memory, memory_errors
from wavenet.training.processes import Processes
from wavenet.training.reporter import Dispensable, Reporter
from wavenet.training.result import Result
from wavenet.training.run_folder import claimed, has_state, write_settings, writing

ACOUSTIC, VOCODER = "acoustic", "vocoder"
"""Folders of the two runs."""
MADE = "made_frames.f32"
"""File of the frames that the acoustic model makes, in the vocoder's folder."""
INIT = "init.safetensors"
"""Copy of the network that the run starts from, until the run is finished."""
LEAST_MINUTES = 0.01
"""What the vocoder gets even if the acoustic model has taken all the time."""


def train_voice(config: TrainConfig, run_dir: Path, reporter: Reporter | None = None) -> Result:
    """Train a voice as `config` says, and write everything under `run_dir`; the result is the vocoder's.

    Raises as `trainer.train` does, and AudioError for a folder whose recordings have no texts. A finished run is left
    as it is, unless `config` asks for more steps or minutes: then the vocoder learns on.
    """
    return starting.run(_train_voice, config, run_dir, reporter)


def _train_voice(process: Processes, config: TrainConfig, run_dir: Path, reporter: Reporter | None) -> Result:
    """`train_voice`, in its only process."""
    told = Dispensable(reporter) if reporter else Reporter()
    _check_resumed(config, run_dir)
    keep_memory()
    precision = choose_precision(config.precision, process)
    config = dataclasses.replace(config, precision=precision)  # saved, so that a resumed run keeps it
    with claimed(run_dir, config.resume, config.data.dir):
        front_end = _front_end(config)
        data = read(config, told.preparing)
        spoken = speakable.read(data.prepared, front_end, run_dir / "phones.csv", told.say, told.aligning)
        with writing(run_dir):
            write_settings(run_dir, dataclasses.asdict(config))
        if config.init is not None and config.resume is None:
            with writing(run_dir), atomic(run_dir / INIT) as copy:
                shutil.copyfile(checkpoint.find(expanded(config.init)), copy)
            told.say(f"{run_dir / INIT}: a copy of {config.init}, until the run is finished")
        _save_settings(config, front_end, run_dir)  # from here on the folder holds a run
        described = dataclasses.replace(config, model=data.model)
        stage = _acoustic_stage(described, run_dir)
        stopped = _train_acoustic(stage, data, spoken, run_dir / ACOUSTIC, told, process.device)
        trained = checkpoint.load_state(run_dir / ACOUSTIC)
        if stopped is not None:
            return Result(run_dir, None, trained["step"], 0.0, None, None, None, stopped, 0)
        best = run_dir / ACOUSTIC / "checkpoints" / "best.safetensors"
        acoustic = storing.load_acoustic(best)
        stage, made = _vocoder_stage(described, run_dir, trained), run_dir / VOCODER / MADE
        voice, result = run_dir / "checkpoints" / "best.safetensors", _trained(stage, run_dir / VOCODER)
        if result is not None and _as_new(voice, result.checkpoint):
            return dataclasses.replace(result, run_dir=run_dir, checkpoint=voice)
        if result is None:
            if config.acoustic.tuned:
                stage.data.made_frames = str(made)
                if not _as_new(made, best):
                    made.unlink(missing_ok=True)  # an earlier acoustic model made them
                _make_frames(acoustic.model, data, spoken, config, made, told)
            result = trainer.train(stage, run_dir / VOCODER, told)
        if result.checkpoint is None:
            return dataclasses.replace(result, run_dir=run_dir)
        vocoder = checkpoint.load(result.checkpoint)
        storing.save_voice(voice, vocoder, acoustic._replace(scales=_scales(acoustic, vocoder.model)))
        if result.stopped_by is None:
            for needless in (made, run_dir / INIT):
                needless.unlink(missing_ok=True)
        return dataclasses.replace(result, run_dir=run_dir, checkpoint=voice)


def spent(run_dir: Path) -> float:
    """Seconds that a voice's run has trained so far. Raises CheckpointError for a state that cannot be read."""
    begun = [run_dir / name for name in (ACOUSTIC, VOCODER) if has_state(run_dir / name)]
    return sum(checkpoint.load_state(folder)["seconds"] for folder in begun)


def _as_new(path: Path, other: Path | None) -> bool:
    """Whether a file exists and is not older than the other one, which exists."""
    return path.is_file() and other is not None and path.stat().st_mtime_ns >= other.stat().st_mtime_ns


def _check_resumed(config: TrainConfig, run_dir: Path) -> None:
    """Raise CheckpointError or ConfigError if a resumed run cannot continue with these settings, or in this folder."""
    if config.resume is None:
        return
    resuming.load(config, needed=("config",))  # its parts have states of their own
    theirs = checkpoint.find_state(expanded(config.resume)).parent
    if theirs.resolve() != (run_dir / "checkpoints").resolve():
        raise ConfigError(
            f"run.dir is {run_dir}, but a voice continues in its own folder, {theirs.parent}: leave run.dir out"
        )


def _front_end(config: TrainConfig) -> FrontEnd:
    """What reads the texts; a resumed run has kept its own, so that its lexicon's file is not needed again."""
    kept = None if config.resume is None else checkpoint.load_state(expanded(config.resume)).get("front_end")
    return make_front_end(config.data.language, config.data.lexicon) if kept is None else restore(kept)


def _save_settings(config: TrainConfig, front_end: FrontEnd, run_dir: Path) -> None:
    """Write the state of the whole run, from which `resume=` takes its settings."""
    settings = dataclasses.asdict(dataclasses.replace(config, resume=None))
    state = {"format_version": checkpoint.FORMAT_VERSION, "config": settings, "step": 0}
    state |= {"front_end": front_end.stored()}
    checkpoint.save_state(run_dir / "checkpoints" / "last.state", state)


def _acoustic_stage(config: TrainConfig, run_dir: Path) -> TrainConfig:
    """The settings of the acoustic model's run: its share of the whole."""
    share = config.acoustic.share
    minutes = None if config.minutes is None else config.minutes * share
    return _stage(config, run_dir, ACOUSTIC, max(1, round(config.steps * share)), minutes)


def _vocoder_stage(config: TrainConfig, run_dir: Path, acoustic: dict[str, Any]) -> TrainConfig:
    """The settings of the vocoder's run: what the acoustic model's, whose state this is, has left."""
    if config.minutes is None:
        return _stage(config, run_dir, VOCODER, max(1, config.steps - acoustic["step"]), None)
    return _stage(config, run_dir, VOCODER, config.steps, max(LEAST_MINUTES, config.minutes - acoustic["seconds"] / 60))


def _stage(config: TrainConfig, run_dir: Path, name: str, steps: int, minutes: float | None) -> TrainConfig:
    """The settings of a part, which goes on where it was stopped."""
    return dataclasses.replace(
        config,
        task="sound",
        data=dataclasses.replace(config.data),
        steps=steps,
        minutes=minutes,
        resume=str(run_dir / name) if has_state(run_dir / name) else None,
        init=str(run_dir / INIT) if config.init is not None else None,
        report=None,
    )


def _train_acoustic(
    config: TrainConfig,
    data: TrainingData,
    spoken: speakable.Spoken,
    folder: Path,
    reporter: Reporter,
    device: torch.device,
) -> int | None:
    """Train the acoustic model, or the rest of it; return the signal that stopped it, or None."""
    stored = None if config.resume is None else checkpoint.load_state(folder)
    if stored is not None and _finished(stored):
        return None
    r, hop = config.acoustic.frames_per_step, config.model.features.hop
    sides = []
    held_out = [span for span in data.sides.valid if span.start == span.origin]  # whole, not the rest of a single one
    for spans in (data.sides.train, held_out):
        timed = {span.recording: spoken.timed[span.recording] for span in spans if span.recording in spoken.timed}
        sides.append(Corpus(data.annotations, timed, hop * r, r))
    train, valid = sides
    if not len(train):
        raise AudioError(f"data.dir: no training recording of {data.prepared.folder} has a text: see docs/speech.md")
    labels = sum(map(len, config.model.labels.values()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = AcousticModel(config.acoustic, spoken.units, config.model.features.mels, labels)
    frames = data.some_frames()
    assert frames is not None, "a voice has frames"
    model.standardise(frames)
    if (start := initial.load(config)) is not None:
        for line in initial.take_over_acoustic(model, config.model, spoken.front_end, start):
            reporter.say(line)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    reporter.say(
        f"acoustic model: {parameters:,} parameters, {counted(len(set(spoken.units) - set(GAPS)), 'unit')}, learns "
        f"from {counted(len(train), 'recording')}, measured on {len(valid)}"
    )
    with writing(folder):
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    with memory_errors(f"acoustic.batch_size={config.acoustic.batch_size}: halve it"):
        run = AcousticTrainer(config, model, train, valid, folder, spoken.front_end, reporter, device)
        if stored is not None:
            run.restore(stored)
        return run.run()


def _make_frames(
    model: AcousticModel,
    data: TrainingData,
    spoken: speakable.Spoken,
    config: TrainConfig,
    path: Path,
    reporter: Reporter,
) -> None:
    """Write the frames that the acoustic model makes of every recording, told its durations and prosody; recordings
    without a text keep their own."""
    known = data.annotations
    assert known.frames is not None, "a voice has frames"
    if path.is_file() and path.stat().st_size == known.frames.nbytes:
        return
    r = config.acoustic.frames_per_step
    corpus = Corpus(known, spoken.timed, config.model.features.hop * r, r)
    numbers = {recording: index for index, recording in enumerate(corpus.recordings)}
    count = len(data.prepared.recordings)
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary, open(temporary, "wb") as file:
            for recording in range(count):
                rows = known.rows(recording)
                made = np.array(known.frames[rows])
                if recording in numbers:
                    index = numbers[recording]
                    lasts, told = torch.from_numpy(corpus.durations(index)), corpus.frames(index)
                    units, labels = corpus.units(index), known.labels(recording)
                    said = model.say(units, labels, durations=lasts, prosody=told)
                    made = said.frames[: len(made)].numpy()
                file.write(np.ascontiguousarray(made, dtype=np.float32).data)
                reporter.speaking(recording + 1, count)


def _trained(config: TrainConfig, folder: Path) -> Result | None:
    """How the vocoder's run ended if it is finished, and `config` asks for no more than it has had; else None."""
    if config.resume is None:
        return None
    stored = checkpoint.load_state(folder)
    more = config.minutes != stored["config"]["minutes"] if config.minutes else config.steps > stored["step"]
    if more or not _finished(stored):
        return None
    best = checkpoint.find(folder)
    return Result(folder, best, stored["step"], 0.0, checkpoint.load(best).valid_bits, None, None, None, 0)


def _scales(acoustic: storing.Acoustic, vocoder: WaveNet) -> list[Scale]:
    """The vocoder's int8 scales, so that a voice is soon ready to speak; those of several speakers differ."""
    if vocoder.config.labels or vocoder.config.mixtures or native.code() is None:
        return []
    return measured(vocoder, [example(acoustic, vocoder)])


def _finished(stored: dict[str, Any]) -> bool:
    """Whether a run's state is that of its last step."""
    return stored["step"] >= stored["steps"] and stored.get("finished", True)

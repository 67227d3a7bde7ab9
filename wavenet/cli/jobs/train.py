"""wavenet-train: trains on a folder of recordings, and writes a run folder."""

import contextlib
import copy
import sys
from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from wavenet.cli.display import Display, check_report, setting, takes_stdout, write_report
from wavenet.config import BUNDLED, TrainConfig, build
from wavenet.errors import ConfigError, TrainingError, WaveNetError, counted, printable
from wavenet.files import expanded
from wavenet.model import checkpoint, shipped
from wavenet.model.launcher import allowed_restarts, is_first_process
from wavenet.training import Reporter, Result, initial, speech, train
from wavenet.training.clock import FEW_STEPS, few_steps
from wavenet.training.run_folder import begun_before, has_state
from wavenet.training.state import check


def job(config: TrainConfig, given: Collection[str] = ()) -> float | None:
    """Train, and return the bits per sample of the validation part, None if not measured.

    given: names of the settings that the user gave, such as `steps` or `model`, as in `settled`.
    """
    config, run_dir = settled(config, given)
    with Display(takes_stdout(config.report)) as display:
        try:
            result = run(config, run_dir, display)
        except WaveNetError:
            if is_first_process():
                raise
            sys.exit(1)  # the first process reports it
        if not is_first_process():
            return result.bits_per_sample
        if result.stopped_by is not None:
            words = f"stopped at step {result.steps}; continue with"
            display.offer(words, f"wavenet-train {setting('resume', run_dir)}")
            sys.exit(128 + result.stopped_by)
        speed = f" at {result.samples_per_second:,.0f} samples/s" if result.samples_per_second else ""
        display.say(f"done: {counted(result.steps, 'step')}{speed}")
        if config.minutes is not None and result.steps < FEW_STEPS:
            share = 1 - config.acoustic.share if config.task == "speech" else 1  # the vocoder's
            display.say(few_steps(result.steps, config.minutes * share, done=True))
        if result.best_step not in (0, result.steps):
            display.say(f"the best of them, step {result.best_step}, is kept for use")
        if config.task == "speech":
            display.offer("let it speak", f"wavenet-speak {setting('checkpoint', run_dir)} text='Hello, world!'")
            return result.bits_per_sample
        told = " features=recording.wav" if config.model.features.kinds else ""
        told += f" label.{config.data.labels[0]}=..." if config.data.labels else ""
        display.offer("hear it", f"wavenet-generate {setting('checkpoint', run_dir)}{told}")
        if config.data.frames is not None:
            display.offer("let it recognise", f"wavenet-recognise {setting('checkpoint', run_dir)} data.dir=...")
    return result.bits_per_sample


def settled(config: TrainConfig, given: Collection[str]) -> tuple[TrainConfig, Path]:
    """Complete the settings of a run, and make its folder.

    given: names of the settings that the user gave. Of the others, run.dir becomes a new folder, and a run that
    config.resume names provides the rest. Raises WaveNetError for settings that are contradictory or impossible.
    """
    config, named = copy.deepcopy(config), "run.dir" in given
    _check_restarts(config, given)
    folder = expanded(config.run.dir) if named and config.run.dir else None
    again = folder is not None and begun_before(folder)
    if folder is not None and again and has_state(folder):  # torchrun has started it again: it goes on by itself
        config.resume, config.init, given = str(folder), None, set(given) - {"init"}
    if config.resume is not None:
        if "init" in given and config.init is not None:
            raise ConfigError(
                "init and resume are both given: a resumed run goes on with its own weights, so leave init= out, or "
                "start a new run without resume="
            )
        config, resumed = _resumed(config, given, more=not again)
        run_dir = folder or resumed
    else:
        _decide_length(config, given)
        _check_data(config, given)
        if config.init is not None:
            config.init = str(shipped.find(config.init).path.absolute())
            config = initial.settled(config, given)
        run_dir = folder or expanded(config.run.dir or f"runs/{datetime.now():%Y-%m-%d_%H-%M-%S}")
    if config.data.dir not in (None, BUNDLED):  # so that the run can be resumed from any folder
        config.data.dir = str(expanded(config.data.dir).absolute())
    if config.data.lexicon is not None:
        config.data.lexicon = str(expanded(config.data.lexicon).absolute())
    run_dir = make_folder(run_dir, new=not named and config.resume is None)
    check_report(config.report)
    return config, run_dir


def run(config: TrainConfig, run_dir: Path, reporter: Reporter) -> Result:
    """Train, and write the report if one is asked for. Raises WaveNetError, as `training.train` does."""
    try:
        result = train(config, run_dir, reporter)
    finally:
        with contextlib.suppress(OSError):
            run_dir.rmdir()  # only if it is still empty
    if is_first_process():
        write_report(
            config.report,
            {
                "run_dir": str(result.run_dir),
                "checkpoint": str(result.checkpoint) if result.checkpoint else None,
                "steps": result.steps,
                "samples_per_second": result.samples_per_second,
                "bits_per_sample": result.bits_per_sample,
                "unigram_bits": result.unigram_bits,
                "linear_bits": result.linear_bits,
                "forecast": asdict(result.forecast) if result.forecast else None,
            },
        )
    return result


def make_folder(run_dir: Path, new: bool, by_hydra: bool = False) -> Path:
    """Make the run's folder; a `new` one gets a number if another run has taken its name in the same second.

    by_hydra: whether it is the folder of a sweep's job, which Hydra has already made.

    Raises TrainingError if it cannot be made, and ConfigError for a name that is not valid UTF-8.
    """
    if printable(str(run_dir)) != str(run_dir):
        raise ConfigError(
            f"run.dir: {printable(str(run_dir))} is not valid UTF-8, and TensorBoard cannot write to such a folder; "
            "choose another run.dir"
        )
    path, number = run_dir, 2
    try:
        run_dir.parent.mkdir(parents=True, exist_ok=True)
        new = new and is_first_process()
        while True:
            try:
                path.mkdir(exist_ok=not new)
                return path
            except FileExistsError:
                if not new:
                    raise
                if by_hydra and path.is_dir() and not any(path.iterdir()):
                    return path
                path, number = run_dir.with_name(f"{run_dir.name}_{number}"), number + 1
    except OSError as error:
        reason = "it is a file" if run_dir.is_file() else error.strerror
        raise TrainingError(f"run.dir: cannot make {run_dir} ({reason}); choose another run.dir") from error


def _decide_length(config: TrainConfig, given: Collection[str]) -> None:
    """Let a given number of steps override a preset's minutes. Raises ConfigError if both are given."""
    if "steps" in given and config.minutes is not None:
        if "minutes" in given:
            raise ConfigError(f"steps={config.steps} and minutes={config.minutes:g} are both given: leave one out")
        config.minutes = None


def _check_data(config: TrainConfig, given: Collection[str]) -> None:
    """Raise ConfigError if no recordings are given, so that hours of training do not start by accident."""
    if config.data.dir is None:
        now = f"minutes={config.minutes:g}" if config.minutes else f"steps={config.steps}"
        if config.minutes is None and "steps" not in given:
            now += ", hours on most computers"
        raise ConfigError(
            "data.dir is not set: give your folder of recordings, as in data.dir=~/recordings, and how long to train, "
            f"as in minutes=15 (now {now}); or try experiment=demo, three minutes with the bundled recordings"
        )


def _check_restarts(config: TrainConfig, given: Collection[str]) -> None:
    """Raise ConfigError for settings with which a run that torchrun starts again would not find or do what is left."""
    how = f"torchrun may start this run again (--max-restarts={allowed_restarts()})"
    if allowed_restarts() and config.resume is None and "run.dir" not in given:
        raise ConfigError(f"run.dir is not given, but {how}, and it goes on in its folder: give run.dir=runs/mine")
    if allowed_restarts() and config.resume is not None and "minutes" in given:
        raise ConfigError(f"minutes is given with resume, but {how}, which would add them again: give steps instead")


def _resumed(config: TrainConfig, given: Collection[str], more: bool) -> tuple[TrainConfig, Path]:
    """The settings of the run that config.resume names, overridden by the given ones, and its folder.

    more: whether given minutes come on top of those that the run has had.
    """
    state_path = checkpoint.find_state(expanded(config.resume or ""))
    folder = state_path.parent if state_path.parent.name else state_path.parent.absolute()
    state = checkpoint.load_state(state_path)
    check(state, str(config.resume), ("config",))
    _decide_length(config, given)
    stored = checkpoint.settings(TrainConfig, state["config"], state_path)
    asked = checkpoint.settings(TrainConfig, asdict(config), state_path)
    stored["data.dir"] = stored["data.dir"] or BUNDLED  # what None meant in older versions
    stored |= {"model.labels": {}, "model.recognition.classes": [], "report": None}  # training fills in the first two
    if "experiment" in given:  # a whole recipe, on the same recordings
        chosen = (asked.keys() - {"data.dir", "report"}) | (asked.keys() & set(given))
    else:
        chosen = {name for name in asked if name in given or name.startswith(tuple(f"{group}." for group in given))}
        chosen |= {name for name in asked if any(entry.startswith(f"{name}.") for entry in given)}
    merged = stored | {name: asked[name] for name in chosen} | {"resume": config.resume}
    if more and config.minutes is not None and {"minutes", "experiment"} & set(given):
        seconds = speech.spent(folder.parent) if stored["task"] == "speech" else state.get("seconds", 0.0)
        merged["minutes"] = seconds / 60 + config.minutes
    elif "steps" in given:
        merged["minutes"] = None
    if merged["batch_size"] == "auto" and "accumulate" not in given:  # a step learns from as much as before
        merged["accumulate"] = stored["accumulate"] * stored["batch_size"]
    return build(TrainConfig, merged), folder.parent

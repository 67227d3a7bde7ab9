"""wavenet-align: writes which letter or phone is heard when, and names the recordings whose text does not fit."""

from pathlib import Path

from wavenet.cli.display import Display, check_report, destination, takes_stdout, write_report
from wavenet.cli.paths import check_folder
from wavenet.config import AlignConfig
from wavenet.errors import AudioError, ConfigError, some
from wavenet.files import streamed
from wavenet.recordings import alignments
from wavenet.recordings.folder import find_folder
from wavenet.recordings.preparation import prepare
from wavenet.speech import aligning, texts
from wavenet.speech.front_ends import make_front_end, read_all


def job(config: AlignConfig) -> None:
    output = find_output(config)
    check_report(config.report)
    front_end = make_front_end(config.data.language, config.data.lexicon)
    with Display(to_stderr=takes_stdout(config.output, config.report)) as display:
        prepared = prepare(config.data, display.preparing)
        for line in prepared.report():
            display.say(line)
        told = texts.read(prepared)
        for line in told.report:
            display.say(line)
        names = {number: prepared.recordings[number].name for number in told.texts}
        sentences, faults = read_all(front_end, told.texts)
        reasons = [f"{names[number]}: {fault}" for number, fault in faults.items()]
        if not sentences:
            raise AudioError(f"data.dir: no text of {prepared.folder} can be said; the first: {reasons[0]}")
        if reasons:
            display.say(f"texts that cannot be said, whose recordings are not aligned: {some(reasons)}")
        made = aligning.align_recordings(prepared, sentences, display.aligning)
        for line in made.report(prepared):
            display.say(line)
        aligning.write(output, prepared, made)
        display.say(f"wrote {output}")
    write_report(
        config.report,
        {
            "file": str(output),
            "recordings": len(made.found),
            "seconds": sum(prepared.recordings[number].samples for number in made.found) / prepared.sample_rate,
            "units": sorted(made.units),
            "misfits": [{"file_name": names[number], "fit": made.found[number].fit} for number in made.misfits],
            "median_fit": made.median_fit,
            "skipped": {names[number]: why for number, why in (faults | made.skipped).items()},
        },
    )


def find_output(config: AlignConfig) -> Path:
    """Where to write. Raises ConfigError if that is no place for a file, or would replace a table that exists."""
    if config.output is None:
        output = find_folder(config.data) / alignments.NAME
        if output.exists():
            raise ConfigError(
                f"output: {output} already exists, and may have been made by hand; output=... names another file, or "
                "the same one to replace it"
            )
    else:
        output = destination(config.output)
    if not streamed(output):
        check_folder(output.parent)
    if output.is_dir():
        raise ConfigError(f"output: {output} is a folder; name a file")
    return output

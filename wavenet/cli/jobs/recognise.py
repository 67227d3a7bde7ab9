"""wavenet-recognise: writes what is said when in a folder of recordings, and how much is right if that is known."""

import csv
from collections.abc import Collection, Iterator

import torch
from rich.table import Table

from wavenet import audio, evaluation
from wavenet.cli.display import Display, check_report, destination, takes_stdout, write_report
from wavenet.cli.jobs.common import annotate, as_trained, divide
from wavenet.cli.paths import check_folder
from wavenet.config import RecogniseConfig, RecognitionConfig
from wavenet.errors import CheckpointError, ConfigError
from wavenet.files import atomic, streamed
from wavenet.model import checkpoint, recognition, shipped
from wavenet.model.decoding import PhoneStatistics, decode
from wavenet.model.device import find_device
from wavenet.recordings import alignments
from wavenet.recordings.alignments import Alignments
from wavenet.recordings.preparation import Prepared, prepare
from wavenet.recordings.split import Span

UNKNOWING = "was written by an older version, without statistics of phones"


def job(config: RecogniseConfig, given: Collection[str] = ()) -> float | None:
    if config.threads:
        torch.set_num_threads(config.threads)
    found = shipped.find(config.checkpoint)
    loaded = checkpoint.load(found.path)
    device, known = find_device(config.device), loaded.model.config.recognition
    model = loaded.model.to(device)
    if model.recognition is None:
        raise CheckpointError(
            f"{loaded.path} cannot recognise: it was trained without data.frames, which experiment=phones sets"
        )
    statistics = statistics_for(config.decoding, loaded)
    check_report(config.report)
    output = destination(config.output)
    if not streamed(output):
        check_folder(output.parent)
    if output.is_dir():
        raise ConfigError(f"output: {output} is a folder; name a file")
    as_trained(config.data, loaded, given)
    counts, pairs, frames = [], [], 0
    with Display(to_stderr=takes_stdout(config.output, config.report)) as display:
        if statistics is None and config.decoding == "auto":
            display.say(f"{loaded.path} {UNKNOWING}, so the phone of each frame is decided by itself")
        prepared = prepare(config.data, display.preparing, model.distribution.encoding)
        for line in [*found.said, *prepared.report()]:
            display.say(line)
        _, spans = divide(prepared, config.data, config.split, display)
        reference = find_reference(prepared, config.data.frames, known)
        for line in reference.segments.report() if reference is not None else []:
            display.say(line)
        if (
            reference is not None
            and output.exists()
            and output.samefile(prepared.folder / (config.data.frames or alignments.NAME))
        ):
            raise ConfigError(f"output: {output} has the reference phones and would be lost; choose another output")
        told = annotate(prepared, config.data, model.config, config.use_labels, display)
        try:
            with (
                atomic(output) as temporary,
                # names need not be valid text, and are written as they are
                open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
            ):
                table = csv.writer(file, lineterminator="\n")
                table.writerow(alignments.COLUMNS)
                for done, span in enumerate(spans, start=1):
                    posteriors = evaluation.frame_posteriors(model, prepared.codes, span, told, device)
                    made = posteriors.argmax(dim=1)
                    found = decode(posteriors, statistics) if statistics else recognition.runs(made.tolist())
                    runs = [(known.classes[number], first, last) for number, first, last in found]
                    table.writerows(rows(prepared, span, runs, known.hop))
                    frames += len(made)
                    if reference is not None and reference.segments[span.recording]:
                        place = span.recording, span.start - span.origin, span.stop - span.origin
                        counts.append(recognition.count_right(made, reference.frame_classes(*place)))
                        names = [name for name, _, _ in runs], reference.phones(*place)
                        pairs.append((recognition.spoken(names[0]), recognition.spoken(names[1])))
                    display.recognising(done, len(spans))
        except OSError as error:
            raise ConfigError(f"output: cannot write {output} ({error.strerror}); choose another place") from error
        right, scored = map(sum, zip(*counts, strict=True)) if counts else (0, 0)
        accuracy = right / scored if scored else None
        errors = recognition.phone_error_rate(pairs)
        if accuracy is None or errors is None:
            display.say("the phones of these recordings are not known, so nothing is compared")
        else:
            figures = Table("recordings", "frames", "frame accuracy", "phone error rate")
            figures.add_row(f"{len(spans)}", f"{frames}", f"{accuracy:.1%}", f"{errors:.1%}")
            display.console.print(figures)
        display.say(f"wrote {output}")
    write_report(
        config.report,
        {"files": len(spans), "frames": frames, "frame_accuracy": accuracy, "phone_error_rate": errors},
    )
    return accuracy


def statistics_for(decoding: str, loaded: checkpoint.Checkpoint) -> PhoneStatistics | None:
    """What `decoding` needs of the training set; None to decide every frame by itself.

    Raises CheckpointError if that is asked for and the checkpoint does not hold it.
    """
    head = loaded.model.recognition
    statistics = None if decoding == "frames" or head is None else head.statistics
    if decoding == "viterbi" and statistics is None:
        raise CheckpointError(f"decoding=viterbi: {loaded.path} {UNKNOWING}; use decoding=frames, or train it further")
    return statistics


def find_reference(prepared: Prepared, name: str | None, known: RecognitionConfig) -> Alignments | None:
    """The known phones, from the given file, or else from the folder's phones.csv if it has one."""
    if name is None and not (prepared.folder / alignments.NAME).is_file():
        return None
    return Alignments(alignments.read(prepared, name or alignments.NAME), known)


def rows(prepared: Prepared, span: Span, runs: list[tuple[str, int, int]], hop: int) -> Iterator[tuple]:
    """(file_name, start_sample, end_sample, phone) of each run of frames, in samples of the recording's own rate."""
    name = prepared.recordings[span.recording].name
    scale = audio.probe(prepared.folder / name).sample_rate / prepared.sample_rate
    begin, end = span.start - span.origin, span.stop - span.origin
    for phone, first, last in runs:
        yield name, round((begin + first * hop) * scale), round(min(begin + last * hop, end) * scale), phone

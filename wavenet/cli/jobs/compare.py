"""wavenet-compare: runs side by side, in a table and a picture."""

from pathlib import Path

from wavenet.cli import comparing
from wavenet.cli.display import Display, check_report, takes_stdout, write_report
from wavenet.config import CompareConfig
from wavenet.errors import ConfigError, some
from wavenet.files import expanded
from wavenet.training import runs
from wavenet.training.runs import Run


def job(config: CompareConfig) -> None:
    """Compare the runs that are named. Raises ConfigError if there is none, or if the files cannot be written."""
    check_report(config.report)
    with Display(takes_stdout(config.report)) as display:
        found = comparing.best_first(_read(config.runs, display))
        comparing.show(found, display)
        output = expanded(config.output)
        table, picture = output.with_name(f"{output.name}.csv"), output.with_name(f"{output.name}.png")
        try:
            timeless = comparing.write(found, table, picture)
        except OSError as error:
            raise ConfigError(f"output: cannot write {config.output} ({error.strerror}); choose another one") from error
        if timeless:
            display.say(f"not drawn over minutes, since they have saved no time: {some(timeless)}")
        display.say(f"wrote {table} and {picture}")
    write_report(config.report, {"runs": comparing.rows(found)})


def _read(given: list[str], display: Display) -> list[Run]:
    """The runs in these places; everything else that is named there is told in one line."""
    if not given:
        raise ConfigError("runs is empty: give the folders of runs, as in wavenet-compare runs/*")
    places, others = {}, []
    for name in given:
        below = runs.folders(expanded(name))
        places |= dict.fromkeys(below)  # each once, in order
        if not below:
            others.append(name)
    found, remarks = runs.readable([Path(place) for place in places])
    if others:
        remarks.append(f"no run of wavenet-train: {some(others)}")
    if not found:
        raise ConfigError(f"runs: there is nothing to compare; {'; '.join(remarks)}")
    for line in remarks:
        display.say(line)
    return found

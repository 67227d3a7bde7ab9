"""Training that is killed, stopped, hung up on and put to sleep ends as it would have ended, bit for bit."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import victim
from outcomes import differences, outcome
from tally import Tally, lengths, tally

from wavenet.files import LEFT_OVER

__all__ = ["tally"]  # a fixture
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="these processes are forked")


class Forked:
    """Starts runs, one at a time, in a process that has imported everything."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, folder / "said"
        command = [sys.executable, str(Path(victim.__file__)), str(folder)]
        self._errors = open(self.said, "w")  # noqa: SIM115 (closed below)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._errors, text=True)

    def start(self, run: Path) -> int:
        """The number of the new process."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{run}\n")
        self._process.stdin.flush()
        return int(self._line())

    def whole(self, run: Path) -> int:
        """The exit status of a run that nothing disturbs."""
        self.start(run)
        status = self.ended()
        assert status is not None
        return status

    def ended(self, within: float | None = None) -> int | None:
        """Wait for its exit status, negative for a signal; None if it takes longer than `within` seconds."""
        if not select.select([self._process.stdout], [], [], within)[0]:
            return None
        return int(self._line())

    def saving(self, run: Path) -> int | None:
        """Wait for the next checkpoint of the process that was started last, or for its exit status."""
        state = run / "checkpoints/last.state"
        before = state.stat().st_mtime_ns if state.exists() else 0
        while (status := self.ended(within=0.005)) is None:
            with contextlib.suppress(FileNotFoundError):
                if state.stat().st_mtime_ns != before:
                    break
        return status

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()  # type: ignore[union-attr] (it is a pipe)
        self._errors.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.said.read_text()
        return line


@pytest.fixture(scope="module")
def forked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    victim.recordings(folder / "recordings")
    process = Forked(folder)
    yield process
    process.close()


@pytest.fixture(scope="module")
def whole(forked) -> tuple[Path, list[float]]:
    """A run that nothing disturbed, and seconds from a run's first checkpoint to its end."""
    run = forked.folder / "whole"
    forked.start(run)
    assert forked.saving(run) is None, forked.said.read_text()
    began = time.monotonic()
    assert forked.ended() == 0, forked.said.read_text()
    return run, [time.monotonic() - began]


def struck(forked: Forked, run: Path, seconds: list[float], chance: Random, numbers: list[int]) -> int:
    """Send a new run signals at a random moment, usually after a checkpoint, and wait for its exit status."""
    process, status = forked.start(run), None
    if chance.random() < 0.8:
        status = forked.saving(run)
    began = time.monotonic()
    if status is None:
        status = forked.ended(within=chance.uniform(0, min(seconds)))
    if status is not None:  # too late; the machine may have been busier before
        seconds.append(max(time.monotonic() - began, 0.05))
        return status
    for number in numbers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
    status = forked.ended()
    assert status is not None
    return status


def disturbed(
    tally: Tally,
    count: int,
    run: Path,
    reference: dict[str, object],
    attempt: Callable[[Path], int],
    undisturbed: Callable[[Path], int],
) -> None:
    """Runs that `attempt` disturbs, `count` times in all, and that go on to their end; `undisturbed` ends the last."""
    made = 0
    while made < count:
        shutil.rmtree(run, ignore_errors=True)
        while (status := (attempt if made < count else undisturbed)(run)) not in (
            victim.RUN,
            victim.REFUSED,
            victim.FAILED,
        ):
            made += 1
            if not (run / "checkpoints/last.state").exists():
                tally.survived("before anything was saved")
                shutil.rmtree(run, ignore_errors=True)  # as the message of a second start says
                continue
            tally.survived("gone on with")
        wrong = [] if status == victim.RUN else [f"status {status}"]
        wrong += [] if wrong else differences(reference, outcome(run))
        wrong += [f"left over: {path.name}" for path in run.rglob(".*") if LEFT_OVER.fullmatch(path.name)]
        if wrong:
            tally.lose(f"after {made} disturbances: {wrong[:5]}")


@lengths(3, 100)
def test_killed_training_ends_bit_for_bit_as_if_it_had_not_been(tally, count, forked, whole):
    """SIGKILL at a random moment, again and again. A cluster of processes is another `attempt`, that kills one."""
    reference, chance = outcome(whole[0]), Random(0)

    def attempt(run: Path) -> int:
        return struck(forked, run, whole[1], chance, [signal.SIGTERM if chance.random() < 0.1 else signal.SIGKILL])

    disturbed(tally, count, forked.folder / "killed", reference, attempt, forked.whole)


@lengths(1, 30)
def test_a_terminal_that_closes_saves_first(tally, count, forked, whole):
    reference, chance = outcome(whole[0]), Random(1)

    def attempt(run: Path) -> int:
        return struck(forked, run, whole[1], chance, [signal.SIGHUP] * 3)

    disturbed(tally, count, forked.folder / "hung up", reference, attempt, forked.whole)


@lengths(1, 10)
def test_a_laptop_that_sleeps_changes_nothing(tally, count, forked, whole):
    """SIGSTOP, a second, SIGCONT."""
    reference, chance, run = outcome(whole[0]), Random(2), forked.folder / "asleep"
    for _ in range(count):
        shutil.rmtree(run, ignore_errors=True)
        process = forked.start(run)
        for _ in range(3):
            time.sleep(chance.uniform(0, min(whole[1]) / 2))
            try:
                os.kill(process, signal.SIGSTOP)
                time.sleep(0.3)
                os.kill(process, signal.SIGCONT)
            except ProcessLookupError:
                break
        assert forked.ended() == 0, forked.said.read_text()
        wrong = differences(reference, outcome(run))
        tally.lose(str(wrong[:5])) if wrong else tally.survived()

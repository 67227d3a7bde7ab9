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

    def ended(self, within: float | None = None) -> int | None:
        """Wait for its exit status, negative for a signal; None if it takes longer than `within` seconds."""
        if not select.select([self._process.stdout], [], [], within)[0]:
            return None
        return int(self._line())

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
def whole(forked) -> tuple[Path, float]:
    """A run that nothing disturbed, and its seconds."""
    run = forked.folder / "whole"
    began = time.monotonic()
    forked.start(run)
    assert forked.ended() == 0, forked.said.read_text()
    return run, time.monotonic() - began


def disturbed(
    tally: Tally, count: int, run: Path, reference: dict[str, object], attempt: Callable[[Path], int | None]
) -> None:
    """Runs that are disturbed by `attempt` until they end by themselves, `count` times in all."""
    made = 0
    while made < count:
        shutil.rmtree(run, ignore_errors=True)
        while (status := attempt(run)) not in (victim.RUN, victim.REFUSED, victim.FAILED):
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
    reference, seconds = outcome(whole[0]), [whole[1]]
    chance = Random(0)

    def attempt(run: Path) -> int | None:
        process, began = forked.start(run), time.monotonic()
        status = forked.ended(within=chance.uniform(0, min(seconds)))
        if status is not None:  # before it could be killed; a busy machine may have been slower before
            seconds.append(max(time.monotonic() - began, 0.1))
            return status
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM if chance.random() < 0.1 else signal.SIGKILL)
        return forked.ended()

    disturbed(tally, count, forked.folder / "killed", reference, attempt)


@lengths(1, 30)
def test_a_terminal_that_closes_saves_first(tally, count, forked, whole):
    reference, chance = outcome(whole[0]), Random(1)

    def attempt(run: Path) -> int | None:
        process = forked.start(run)
        while not (run / "metrics.jsonl").exists() and Path(f"/proc/{process}").exists():
            time.sleep(0.005)  # earlier, it ends at once
        time.sleep(chance.uniform(0, 0.5 * whole[1]))
        for _ in range(3):
            try:
                os.kill(process, signal.SIGHUP)
            except ProcessLookupError:
                break
        return forked.ended()

    disturbed(tally, count, forked.folder / "hung up", reference, attempt)


@lengths(1, 10)
def test_a_laptop_that_sleeps_changes_nothing(tally, count, forked, whole):
    """SIGSTOP, a second, SIGCONT."""
    reference, chance, run = outcome(whole[0]), Random(2), forked.folder / "asleep"
    for _ in range(count):
        shutil.rmtree(run, ignore_errors=True)
        process = forked.start(run)
        for _ in range(3):
            time.sleep(chance.uniform(0, whole[1] / 3))
            try:
                os.kill(process, signal.SIGSTOP)
                time.sleep(0.3)
                os.kill(process, signal.SIGCONT)
            except ProcessLookupError:
                break
        assert forked.ended() == 0, forked.said.read_text()
        wrong = differences(reference, outcome(run))
        tally.lose(str(wrong[:5])) if wrong else tally.survived()

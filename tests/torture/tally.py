"""Counts of what was tried, what survived and what was lost, and processes that die in place of the tests."""

import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest


def lengths(short: int, long: int) -> pytest.MarkDecorator:
    """Run a test `short` in the suite, and `long` in `make torture`; its argument is `count`."""
    return pytest.mark.parametrize("count", [short, pytest.param(long, marks=pytest.mark.torture)])


@dataclass
class Tally:
    """What became of the tries of one case."""

    case: str
    tried: int = 0
    lost: list[str] = field(default_factory=list)
    how: Counter[str] = field(default_factory=Counter)
    """In which way those that survived did."""

    def survived(self, how: str = "", number: int = 1) -> None:
        self.tried += number
        self.how[how] += number

    def lose(self, what: str) -> None:
        self.tried += 1
        self.lost.append(what)

    @property
    def line(self) -> str:
        ways = ", ".join(f"{number} {how}" for how, number in sorted(self.how.items()) if how)
        kept = self.tried - len(self.lost)
        return f"{self.case}: tried {self.tried}, survived {kept}{f' ({ways})' if ways else ''}, lost {len(self.lost)}"


@pytest.fixture
def tally(request, capfd) -> Iterator[Tally]:
    """The test's own, which is printed in `make torture`; whatever was lost fails the test."""
    found = Tally(request.node.originalname.removeprefix("test_").replace("_", " "))
    yield found
    if request.node.get_closest_marker("torture"):
        with capfd.disabled():
            print(f"\n{found.line}")
    assert found.tried, "nothing was tried"
    assert not found.lost, f"{found.line}:\n" + "\n".join(found.lost[:20])


def peak() -> float:
    """The most memory that this process has ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_processes(tally: Tally, case: str, count: int, folder: Path) -> None:
    """Tries of tests/torture/worker.py in a process of their own; one that dies, or hangs, is a loss, and the next try
    goes on in a new process."""
    said, begun, next_one = folder / "said", folder / "told", 0
    while next_one < count:
        with open(said, "ab") as output:
            command = [sys.executable, Path(__file__).with_name("worker.py"), case, next_one, count, folder]
            done = subprocess.run(list(map(str, command)), stdout=output, stderr=output, check=False)
        if not begun.exists():
            pytest.fail(said.read_text(errors="replace"))
        lines = begun.read_text().splitlines()
        begun.unlink()
        for line in lines:
            kind, _, rest = line.partition(" ")
            if kind == "survived":
                number, _, how = rest.partition(" ")
                tally.survived(how, int(number))
            elif kind == "lost":
                tally.lose(rest)
        number = int(lines[-1].split()[1]) if lines and lines[-1].startswith("begun") else None
        if done.returncode == 0:
            break
        assert number is not None, said.read_text(errors="replace")
        how = signal.Signals(-done.returncode).name if done.returncode < 0 else f"status {done.returncode}"
        tally.lose(f"{case} {number}: the process ended by {how}")
        next_one = number + 1
    if printed := said.read_text(errors="replace"):
        tally.lose(f"something was printed: {printed[:2000]}")

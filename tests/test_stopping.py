"""Signals: the first one is noted, a second one ends at once, and a closed terminal is not impatient."""

import os
import signal
import threading

import pytest

from wavenet.training.processes import Processes
from wavenet.training.stopping import Stopper

pytestmark = pytest.mark.skipif(os.name != "posix", reason="these signals are POSIX")
ALONE = Processes()


@pytest.fixture(autouse=True)
def _terminal():
    """As in a terminal, though whatever runs these tests may ignore hang-ups."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_is_noted_and_the_second_ends_at_once(number):
    before, lines = signal.getsignal(number), []
    stopper = Stopper(lines.append)
    with stopper.listening():
        assert stopper.in_any(ALONE) is None
        stopper.interrupt()
        signal.raise_signal(number)
        assert stopper.in_any(ALONE) == stopper.received == number
        with pytest.raises(KeyboardInterrupt):
            stopper.interrupt()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert lines == ["stopping after this step; interrupt again to stop at once, without saving"]
    assert signal.getsignal(number) is before


def test_a_closed_terminal_sends_several_hang_ups():
    stopper = Stopper(lambda _: None)
    with stopper.listening():
        for _ in range(3):
            signal.raise_signal(signal.SIGHUP)
    assert stopper.received == signal.SIGHUP


def test_nohup_hears_of_none():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stopper = Stopper(lambda _: None)
    with stopper.listening():
        signal.raise_signal(signal.SIGHUP)
    assert stopper.received is None


def test_another_thread_leaves_handlers_alone():
    seen = []

    def work() -> None:
        with Stopper(lambda _: None).listening():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]

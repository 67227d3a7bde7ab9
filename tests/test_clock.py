"""The clock: minutes become steps, what is due comes in time, and time not spent does not count. No test waits."""

import math
from itertools import pairwise

import pytest

from wavenet.config import TrainConfig
from wavenet.training.clock import FEW_STEPS, WARM_STEPS, Clock, Occasion, Stopwatch, few_steps, in_words

HOUR = 3600.0


class Machine:
    """The system's clocks: `seconds` go by, in which the process runs, on `cores` of the machine's, or is stopped."""

    def __init__(self) -> None:
        self.wall, self.used = 1000.0, 50.0

    def __call__(self) -> tuple[float, float]:
        return self.wall, self.used

    def run(self, seconds: float, cores: float = 1.0) -> None:
        self.wall += seconds
        self.used += seconds * cores

    def stop(self, seconds: float) -> None:
        self.wall += seconds


class Run:
    """A run of made-up steps and occasions, each of so many seconds."""

    def __init__(
        self, machine: Machine, takes: dict[str, float] | None = None, stored=None, step=0, **settings
    ) -> None:
        self.machine, self.takes, self.step = machine, takes or {}, step
        self.config = TrainConfig(**settings)
        self.clock = Clock(self.config, stopwatch=Stopwatch(machine))
        if stored is not None:
            self.clock.restore(stored, step)
        self.began, self.done, self.totals, self.lines = machine.wall, {}, [], []

    def train(self, seconds: float, until: float = math.inf, cores: float = 1.0) -> "Run":
        """Steps of so many seconds, to the last one or until so many steps are done."""
        while self.step < min(self.clock.steps, until):
            began = self.clock.read()
            self.machine.run(seconds, cores)
            self.step += 1
            self.clock.count(self.step, began)
            self.lines += self.clock.forecast(self.step)
            if self.clock.fixed:
                self.totals.append(self.clock.steps)
            for name in [] if self.step == self.clock.steps else self.clock.due(self.step):
                began = self.clock.read()
                self.done.setdefault(name, []).append(self.seconds)
                self.machine.run(self.takes.get(name, 0.0))
                self.clock.took(name, began)
        return self

    @property
    def seconds(self) -> float:
        return self.machine.wall - self.began


@pytest.mark.parametrize("minutes", [0.5, 2.5, 15, 60])
@pytest.mark.parametrize("step", [0.1, 0.25, 1.2])
def test_minutes_are_kept_with_all_that_is_done_in_them(minutes, step):
    takes = {"validation": 0.02 * 60 * minutes, "sound": 2.0, "checkpoint": 0.1}
    run = Run(Machine(), takes, minutes=minutes).train(step)
    assert run.seconds == pytest.approx(60 * minutes, rel=0.12, abs=2 * WARM_STEPS * step)
    assert len(set(run.totals)) == 1, "the number of steps is told once, and stays"
    assert run.totals[0] == run.step


def test_what_is_due_comes_about_ten_times_a_run_and_first_within_a_minute():
    for minutes in (1, 2.5, 15, 60):
        run = Run(Machine(), {"validation": 0.001}, minutes=minutes).train(0.1)
        every = 6 * minutes
        for times in (run.done["validation"], run.done["checkpoint"], run.done["sound"]):
            assert times[0] <= min(every, 60) + 0.2
            assert 8 <= len(times) <= 10
            assert max(b - a for a, b in pairwise(times)) <= every + 0.2


def test_a_long_run_is_saved_every_ten_minutes():
    times = Run(Machine(), minutes=600).train(2.0).done["checkpoint"]
    assert max(b - a for a, b in pairwise([0, *times])) <= 602


def test_validations_and_sounds_take_a_twentieth_of_a_short_run_each():
    run = Run(Machine(), {"validation": 5.0, "sound": 3.0}, minutes=2.5).train(0.1)
    for name, seconds in (("validation", 5.0), ("sound", 3.0)):
        assert run.done[name]
        assert seconds * len(run.done[name]) <= 0.05 * 150 + seconds  # the first one, of which nothing was known
    assert len(run.done["checkpoint"]) >= 8


def test_a_setting_that_is_given_wins_over_the_share_of_time():
    run = Run(Machine(), minutes=1, validate_every=7, sample_every=0, checkpoint_every=50).train(0.1)
    assert run.done["validation"] == pytest.approx([0.7 * i for i in range(1, len(run.done["validation"]) + 1)])
    assert "sound" not in run.done
    assert len(run.done["checkpoint"]) == (run.step - 1) // 50


def test_a_run_by_steps_does_everything_by_steps():
    run = Run(Machine(), steps=5001).train(0.1)
    assert [len(run.done[name]) for name in ("validation", "checkpoint", "sound")] == [5, 5, 1]
    assert run.done["validation"][0] == pytest.approx(100)
    assert run.step == 5001


def test_a_stopped_process_spends_no_time():
    """45 seconds of SIGSTOP in a run of 36 once left 32 steps of it."""
    machine = Machine()
    run = Run(machine, minutes=0.6)
    run.train(0.1, until=150)
    began = run.clock.read()
    machine.run(0.05)
    machine.stop(45)
    machine.run(0.05)
    run.step += 1
    run.clock.count(run.step, began)
    run.train(0.1)
    assert run.step == pytest.approx(360, abs=4)
    assert run.clock.read() == pytest.approx(36, abs=1)
    assert run.seconds == pytest.approx(36 + 45, abs=1)


@pytest.mark.parametrize("cores", [0.1, 0.5, 2.0, 16.0])
def test_a_process_that_waits_for_a_busy_core_spends_its_time(cores):
    machine = Machine()
    watch = Stopwatch(machine)
    for _ in range(100):
        machine.run(0.25, cores)
        watch.read()
    assert watch.spent == pytest.approx(25)


def test_a_night_asleep_counts_for_what_was_worked_in_it():
    machine = Machine()
    watch = Stopwatch(machine)
    machine.run(10, cores=2)
    machine.stop(8 * HOUR)
    assert watch.read() == pytest.approx(20)
    machine.run(3, cores=0.5)
    assert watch.read() == pytest.approx(23)


def test_the_number_of_steps_follows_the_speed_and_then_stays():
    machine = Machine()
    run = Run(machine, minutes=5, sample_every=0)
    run.train(0.2, until=100)  # 20 seconds
    assert not run.clock.fixed
    assert run.clock.steps == pytest.approx(1500, abs=20)
    run.train(0.4, until=200)  # 60 seconds
    assert not run.clock.fixed
    assert run.clock.steps == pytest.approx(200 + 240 / 0.4, abs=20)
    run.train(0.4)
    assert run.clock.fixed
    assert set(run.totals) == {run.step}
    assert run.seconds == pytest.approx(300, abs=3)


def test_kernels_compiled_in_the_first_step_are_forgotten():
    run = Run(Machine(), minutes=5)
    run.train(8.0, until=1)
    run.train(0.1, until=3)
    assert run.clock.steps == pytest.approx(3 + (300 - 8.2) / 0.1, abs=30)


def test_a_resumed_run_has_what_is_left_of_its_minutes():
    first = Run(Machine(), minutes=10).train(0.1, until=1000)  # 100 seconds of 600
    stored = first.clock.state() | {"config": {"minutes": 10}}
    assert stored["seconds"] == pytest.approx(100)
    second = Run(Machine(), minutes=10, stored=stored, step=1000).train(0.1)
    assert second.seconds == pytest.approx(500, abs=3)
    assert second.clock.state()["seconds"] == pytest.approx(600, abs=3)


def test_a_resumed_run_keeps_its_steps_once_they_are_fixed():
    first = Run(Machine(), minutes=10).train(0.1, until=4000)
    stored = first.clock.state() | {"config": {"minutes": 10}}
    assert stored["steps_fixed"]
    second = Run(Machine(), minutes=10, stored=stored, step=4000).train(0.3)
    assert second.step == first.clock.steps, "bit for bit: the learning rate falls as it would have"
    longer = Run(Machine(), minutes=20, stored=stored, step=4000)
    assert not longer.clock.fixed
    assert longer.train(0.1).seconds == pytest.approx(800, abs=5)


def test_a_state_of_an_older_version_is_resumed():
    stored = {"steps": 50, "steps_fixed": True, "config": {"minutes": None}}
    assert Run(Machine(), minutes=1, stored=stored, step=50).train(0.1).seconds == pytest.approx(60, abs=2)
    by_steps = Run(Machine(), steps=80, stored=stored, step=50)
    assert (by_steps.clock.steps, by_steps.clock.fixed) == (80, True)


def test_several_processes_go_by_the_clock_of_the_first():
    told = []

    def agree(own):
        told.append(own)
        return (77, True) if isinstance(own, tuple) else ["sound"]

    machine = Machine()
    clock = Clock(TrainConfig(minutes=1), agree, Stopwatch(machine))
    began = clock.read()
    machine.run(9)
    clock.count(1, began)
    assert (clock.steps, clock.fixed) == (77, True)
    assert clock.due(1) == ["sound"]
    assert told[1] == ["validation", "checkpoint", "sound"]


def test_a_run_says_how_long_it_takes_and_when_the_first_of_all_comes():
    run = Run(Machine(), minutes=2.5)
    expected = "this takes 2.5 minutes; the first validation, checkpoint and sound come after 15 seconds"
    assert run.clock.announcement() == expected
    assert run.train(0.1).lines == ["0.1 s a step: about 1,500 steps in all"]

    run = Run(Machine(), minutes=90, sample_every=0, validate_every=100)
    assert run.clock.announcement() == "this takes 1 hour 30 minutes; the first checkpoint comes after 1 minute"

    run = Run(Machine(), steps=20000)
    assert run.clock.announcement() is None
    assert run.train(2.0, until=30).lines == [
        "2 s a step: 20,000 steps take about 11 hours 6 minutes from here; "
        "the first validation and checkpoint come after 33 minutes, the first sound comes after 2 hours 46 minutes"
    ]
    assert Run(Machine(), steps=12).train(0.01).lines == ["0.01 s a step: 12 steps take about 1 second from here"]
    assert Run(Machine(), steps=3).train(0.01).lines == []


def test_few_steps_for_the_minutes_are_said():
    """A demo on a busy machine once ended after 52 steps, with noise and no hint."""
    lines = Run(Machine(), minutes=2.5).train(2.9).lines
    assert lines[0] == "2.9 s a step: about 52 steps in all"
    assert lines[1].startswith("warning: only about 52 steps fit into 2.5 minutes, after which a model makes little")
    assert len(Run(Machine(), minutes=2.5).train(150 / FEW_STEPS / 1.2).lines) == 1
    assert "about 1,200 steps" in few_steps(1234, 15)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 second"),
        (20, "20 seconds"),
        (59.9, "1 minute"),
        (60, "1 minute"),
        (90, "1.5 minutes"),
        (150, "2.5 minutes"),
        (900, "15 minutes"),
        (3599, "1 hour"),
        (5220, "1 hour 27 minutes"),
        (40000, "11 hours 7 minutes"),
    ],
)
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words


def test_an_occasion_keeps_to_its_grid():
    occasion = Occasion(None, 90, 0)
    assert not occasion.due(1, 59.9)
    assert occasion.due(1, 60)
    occasion.took(60, 61)
    assert occasion.next == 90
    occasion.took(90, 100)
    assert occasion.next == 300
    assert occasion.share == pytest.approx(10 / 210)
    assert not Occasion(0, 90, 0).due(90, 90)

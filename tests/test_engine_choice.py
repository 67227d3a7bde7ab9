"""Which engine engine=auto takes, on a CPU and beside another device."""

import pytest
import torch
from test_twins import built, make

from wavenet.generation import CachedEngine, calibration, engine_choice, make_engine
from wavenet.model.wavenet import WaveNet
from wavenet.training import machine
from wavenet.training.processes import Processes


class Fake(CachedEngine):
    """An engine that takes a while for each sample."""

    def __init__(self, model: WaveNet, name: str, seconds: float) -> None:
        super().__init__(model)
        self.name, self.seconds, self.streams = name, seconds, 0  # type: ignore[misc] (a class's constant elsewhere)


def clock(monkeypatch, engines):
    """Time passes by what the fakes take."""
    now = [0.0]

    def spend(self, state, uniforms, sampling, rows=None):
        now[0] += self.seconds * uniforms.shape[1]
        self.streams = len(uniforms)
        return uniforms, uniforms

    monkeypatch.setattr(Fake, "generate", spend)
    monkeypatch.setattr(engine_choice.time, "perf_counter", lambda: now[0])
    return engines


@built
@pytest.mark.parametrize(("cached_takes", "chosen"), [(1e-3, "compiled"), (1e-9, "cached")])
def test_elsewhere_than_on_a_cpu_the_compiled_engine_runs_unless_it_is_measured_slower(
    monkeypatch, cached_takes, chosen
):
    model = make()
    fakes = clock(
        monkeypatch, {"compiled": Fake(model, "compiled", 1e-5), "cached": Fake(model, "cached", cached_takes)}
    )
    monkeypatch.setattr(engine_choice, "_device", lambda model: "cuda")
    monkeypatch.setattr(engine_choice, "CompiledEngine", lambda *given: fakes["compiled"])
    monkeypatch.setattr(engine_choice, "CachedEngine", lambda *given: fakes["cached"])
    engine = make_engine("auto", model, streams=7)
    assert engine.name == chosen
    assert [fake.streams for fake in fakes.values()] == [7, 7]


@built
def test_on_a_cpu_nothing_is_timed(monkeypatch):
    monkeypatch.setattr(engine_choice, "_seconds", None)
    monkeypatch.setattr(calibration, "MADE", 1024)
    assert make_engine("auto", make()).name == "compiled"


def test_precisions_that_a_device_emulates_are_not_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert machine.choose_precision("auto", Processes(device=torch.device("cuda"))) == "float32"

"""What a run will take: trial steps that change nothing, a forecast that holds, batches that fit into the memory."""

import dataclasses

import pytest
import torch

from wavenet.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from wavenet.errors import ConfigError, TrainingError
from wavenet.model import checkpoint
from wavenet.model.wavenet import WaveNet
from wavenet.training import Reporter, forecast, memory, train
from wavenet.training.clock import Clock

SMALL = ModelConfig(stacks=1, layers_per_stack=5, residual_channels=8, gate_channels=8, skip_channels=8)


class Lines(Reporter):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture
def config(tones, tmp_path):
    data = DataConfig(str(tones), sample_rate=4000, cache_dir=str(tmp_path / "cache"), valid_fraction=0.4)
    settings = {"steps": 60, "crop": 256, "accumulate": 4, "device": "cpu", "threads": 1, "precision": "float32"}
    return TrainConfig(data, SMALL, optim=OptimConfig(warmup_steps=5), sample_every=0, log_every=20, **settings)


def same(one, other) -> bool:
    """Whether two nests of tensors are equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_a_run_with_a_forecast_equals_one_without(config, tmp_path, monkeypatch):
    states = []
    for name, shortest in (("with", 20), ("without", 1000)):
        monkeypatch.setattr(forecast, "SHORTEST_STEPS", shortest)
        first = dataclasses.replace(config, steps=30, label_dropout=0.5)
        results = [train(first, tmp_path / name)]
        resumed = dataclasses.replace(first, steps=60, resume=str(tmp_path / name))  # with an optimizer that has moved
        results.append(train(resumed, tmp_path / name))
        assert [result.forecast is not None for result in results] == [name == "with"] * 2
        state = checkpoint.load_state(tmp_path / name)
        kept = ("model", "averaged", "optimizers", "random", "valid_bits", "best_bits")
        states.append({key: state[key] for key in kept})
    assert same(*states)


def test_what_is_said_before_the_first_step(config, tmp_path):
    told = Lines()
    result = train(config, tmp_path / "run", told)
    assert result.forecast is not None
    (line,) = (line for line in told.lines if line.startswith("forecast: "))
    assert line.startswith("forecast: 60 steps of ")
    assert line.endswith(" of disk")
    disk = sum(path.stat().st_size for path in (tmp_path / "run").rglob("*"))
    assert 0.5 < result.forecast.disk_bytes / disk < 2  # what is constant counts most in so small a run
    held = memory.peak(torch.device("cpu"))
    assert 0.8 < result.forecast.memory_bytes / held < 1.2
    assert not any("less" in line for line in told.lines)
    short = dataclasses.replace(config, steps=forecast.SHORTEST_STEPS - 1)
    assert train(short, tmp_path / "short").forecast is None


def test_too_little_memory_and_disk_are_told(monkeypatch, tmp_path):
    class Run:
        processes, run_dir, clock = type("P", (), {"device": torch.device("cpu")}), tmp_path, Clock(TrainConfig())

    monkeypatch.setattr(memory, "free", lambda _: 1000)
    told = forecast.Forecast(20000, 7800.0, 0.39, 1e13, 1e18)
    said = forecast.lines(told, Run)
    assert said[0].startswith("forecast: 20,000 steps of 0.39 s take 2 hours 10 minutes, 10000 GB of ")
    assert [line.partition(":")[0] for line in said[1:]] == ["warning", "warning"]


def test_how_often_things_recur():
    clock = Clock(TrainConfig(steps=2500, validate_every=500, sample_every=0))
    assert [clock.often(name, 0, 0.0) for name in ("validation", "checkpoint", "sound")] == [4, 2, 0]  # not at the end
    assert clock.often("validation", 1200, 0.0) == 2
    assert Clock(TrainConfig(minutes=30)).often("validation", 0, 1800.0) == 10


@pytest.mark.parametrize(
    ("room", "chosen"),
    [(1e12, (256, 4, 1)), (None, (256, 4, 1)), (2.5, (256, 2, 2)), (1.2, (256, 1, 4)), (0.8, (128, 1, 8))],
)
def test_crop_and_batch_fit_the_memory(config, tmp_path, monkeypatch, room, chosen):
    """With a pass that takes one unit of memory for a window of 256 samples and its context."""
    unit, field = 10**6, WaveNet(SMALL).receptive_field
    monkeypatch.setattr(memory, "LEAST_CROP", 64)
    monkeypatch.setattr(memory, "STATES", 0)
    held = iter([0, unit * (64 + field) // (256 + field), unit * (128 + field) // (256 + field)])
    monkeypatch.setattr(memory, "used", lambda _: next(held))
    monkeypatch.setattr(memory, "free", lambda _: room and int(room * unit / memory.SHARE))
    told = Lines()
    result = train(dataclasses.replace(config, batch_size="auto", steps=5), tmp_path / "run", told)
    kept = checkpoint.load_state(result.run_dir)["config"]
    assert (kept["crop"], kept["batch_size"], kept["accumulate"]) == chosen
    assert any(f"batch_size={chosen[1]} crop={chosen[0]} accumulate={chosen[2]}" in line for line in told.lines)


def test_auto_learns_the_same_windows(config, tmp_path):
    one = train(dataclasses.replace(config, steps=5), tmp_path / "one")
    four = train(dataclasses.replace(config, steps=5, batch_size="auto"), tmp_path / "four")
    assert one.bits_per_sample == pytest.approx(four.bits_per_sample, rel=1e-5)


def test_no_crop_fits(config, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda _: 1000)
    with pytest.raises(TrainingError, match="batch_size=auto: a pass with crop=256 takes"):
        train(dataclasses.replace(config, batch_size="auto"), tmp_path / "run")


@pytest.mark.parametrize("value", [0, 2.5, "many", True])
def test_other_batch_sizes_are_refused(value):
    with pytest.raises(ConfigError, match=r"batch_size is .*, but it must be a whole number of at least 1, or auto"):
        TrainConfig(batch_size=value)


def test_memory_as_the_system_tells_it(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 99 kB\nMemAvailable:  40 kB\n")
    cpu = torch.device("cpu")
    assert memory.free(cpu, tmp_path) == 40960
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    (tmp_path / "sys/fs/cgroup/memory.current").write_text("10000\n")
    assert memory.free(cpu, tmp_path) == 40960
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("30000\n")
    assert memory.free(cpu, tmp_path) == 20000
    assert memory.free(cpu, tmp_path / "nowhere") is None
    assert 10e6 < memory.used(cpu) <= 1.01 * memory.peak(cpu)
    assert [memory.in_words(n) for n in (850e3, 1.26e9, 12e6, 3e10)] == ["850 kB", "1.3 GB", "12 MB", "30 GB"]

"""Measures speed beside PyPI's wavenet-vocoder and the machine's own limit, in one run.

    python scripts/benchmark.py training   [report=FILE] [threads=2] [rounds=12]
    python scripts/benchmark.py generation [report=FILE] [chart=FILE.png] [threads=2] [rounds=7]
    python scripts/benchmark.py conditioning [report=FILE] [rounds=7]
    python scripts/benchmark.py commands   [report=FILE] [rounds=3]
    python scripts/benchmark.py forecast   [report=FILE] [rounds=1] [steps=100]
    python scripts/benchmark.py busy       [report=FILE] [rounds=9] [spins=10000,20000]

`commands` measures how long whole processes take, and their peak memory. `forecast` compares what training says before
its first step with what it then takes. `busy` runs busy loops beside training and
generation on one thread and on two; `spins` lists spin counts to try for waiting threads. The others need the extra,
pip install -e '.[benchmark]'; contestants take turns, so that a machine whose speed drifts is fair to all. Medians are
shown. Close other programs first.
"""

import importlib
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import busy  # before torch, so that its threads wait as they do in every command
import forecasts
import torch
import yaml
from commands import commands
from hardware import machine
from rich.console import Console
from rich.table import Table

from wavenet.audio import plots
from wavenet.config import ContextConfig, FeatureConfig, ModelConfig, OptimConfig
from wavenet.generation import (
    CachedEngine,
    CompiledEngine,
    Conditions,
    Engine,
    NaiveEngine,
    exported,
    generate,
    make_engine,
)
from wavenet.generation.export import PRECISIONS
from wavenet.generation.splitmix import uniforms
from wavenet.model import native
from wavenet.model.conditioning import Companion
from wavenet.model.distributions import Sampling, Softmax
from wavenet.model.wavenet import WaveNet
from wavenet.recordings import annotations
from wavenet.training.machine import keep_memory
from wavenet.training.optimizers import make_optimizers

PEER = "wavenet-vocoder 0.1.1"
CROP = 8192
FRAMES = ((8, 4), (80, 5), (80, 1), (200, 1), (256, 1))
"""Hops of features, and samples that share a row, whose speed is measured."""


def main() -> None:
    what, *settings = sys.argv[1:] or ["help"]
    defaults = {
        "training": {"report": "", "threads": "2", "rounds": "12"},
        "generation": {"report": "", "chart": "", "threads": "2", "rounds": "7"},
        "conditioning": {"report": "", "rounds": "7"},
        "commands": {"report": "", "rounds": "3"},
        "forecast": {"report": "", "rounds": "1", "steps": "100"},
        "busy": {"report": "", "rounds": "9", "spins": ""},
    }
    given = {name: value for name, _, value in (setting.partition("=") for setting in settings)}
    if what not in defaults or not set(given) <= set(defaults[what]):
        sys.exit(__doc__)
    options = defaults[what] | given
    rounds, threads = int(options["rounds"]), int(options.get("threads", 1))
    torch.set_num_threads(threads if what == "training" else 1)
    torch.manual_seed(0)
    apart: dict[str, Callable[[], Any]] = {
        "commands": lambda: commands(rounds, machine()),
        "forecast": lambda: forecasts.measure(rounds, machine(), options["steps"]),
        "busy": lambda: busy.measure(rounds, machine(), options["spins"]),
    }
    if what in apart:
        figures: dict[str, Any] = {"machine": machine(), what: apart[what]()}
    else:
        contests = {"training": training, "generation": generation, "conditioning": conditioning}
        rows, more = contests[what](threads, rounds)
        figures = {"machine": machine(), "peer": PEER, "rows": rows, **more}
        show(what, rows)
        for name, seconds in more.get("seconds", {}).items():
            print(f"{name:30} {seconds * 1e3:10.2f} ms")
        if "process_peak_mib" in more:
            memory, state = more["process_peak_mib"], more["state_bytes"]
            print(f"peak memory                    {memory:10.0f} MiB, {state:,} bytes a stream")
        if options.get("chart"):
            plots.save(plots.speeds(rows, f"{what}: {machine()}"), Path(options["chart"]))
    if options["report"]:
        Path(options["report"]).write_text(json.dumps(figures, indent=2) + "\n")


def training(threads: int, rounds: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Forward, backward and optimizer step of `base` on windows of 8192 scored samples, as in the recipe."""
    keep_memory()
    model = WaveNet(ModelConfig())
    optimizers = {kind: make_optimizers(model, OptimConfig(), kind) for kind in (torch.float32, torch.bfloat16)}
    codes = torch.randint(0, 256, (1, CROP + model.receptive_field))

    def ours(precision: torch.dtype) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            logits = model(codes[:, :-1])
        (Softmax().loss(logits, codes[:, model.receptive_field :]) / CROP).backward()
        for optimizer in optimizers[precision]:
            optimizer.step()
            optimizer.zero_grad()

    peer = make_peer()
    adam = torch.optim.Adam(peer.parameters(), lr=1e-3)
    one_hot = torch.nn.functional.one_hot(codes, 256).transpose(1, 2).float()

    def theirs() -> None:
        logits = peer(one_hot)[:, :, model.receptive_field - 1 : -1]
        torch.nn.functional.cross_entropy(logits, codes[:, model.receptive_field :]).backward()
        adam.step()
        adam.zero_grad()

    matrices = {kind: torch.randn(4096, 4096, dtype=kind) for kind in (torch.float32, torch.bfloat16)}
    # a multiply-add is two operations, and the backward costs twice the forward
    operations = 6 * multiply_adds(model)
    seconds = take_turns(
        {
            "theirs": theirs,
            "float32": lambda: ours(torch.float32),
            "bfloat16": lambda: ours(torch.bfloat16),
            **{f"{kind} products": lambda m=matrix: torch.mm(m, m) for kind, matrix in matrices.items()},
        },
        rounds,
    )
    peer_speed = CROP / seconds["theirs"]
    rows = [row(PEER, "base", None, "float32", 1, threads, peer_speed, peer_speed, None)]
    for kind in matrices:
        precision, limit = str(kind).removeprefix("torch."), 2 * 4096**3 / seconds[f"{kind} products"] / operations
        for name, speed in (("wavenet, training", CROP / seconds[precision]), ("matrix products alone", limit)):
            rows.append(row(name, "base", None, precision, 1, threads, speed, peer_speed, limit))
    return rows, {}


def generation(threads: int, rounds: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Sampling with random weights, which is as fast as with trained ones, and everything else a user waits for.

    A compiled engine's limit is a bare loop that reads the same weights from the same place, on one core.
    """
    base, large = WaveNet(ModelConfig()).eval(), WaveNet(_preset("large")).eval()
    peer = make_peer().eval()
    peer.make_generation_fast_()
    start = torch.nn.functional.one_hot(torch.tensor([[128]]), 256).transpose(1, 2).float()

    def theirs() -> None:
        with torch.inference_mode():
            peer.incremental_forward(start, T=400, softmax=True, quantize=True)

    def sampling(engine: Engine, streams: int, samples: int) -> Callable[[], object]:
        state = engine.start(torch.empty(streams, 0, dtype=torch.int64))
        noise = uniforms(list(range(streams)), 0, samples)
        return lambda: engine.generate(state, noise, Sampling())

    compiled = {precision: exported(base, 16000, precision) for precision in PRECISIONS}
    makers: list[tuple[str, str, str, int, int, Engine, int]] = [
        ("wavenet", "base", "float32", 1, 1, NaiveEngine(base), 4)
    ]
    for dtype, precision in ((torch.float32, "float32"), (torch.bfloat16, "bfloat16")):
        engine = CachedEngine(base, dtype)
        makers += [("wavenet", "base", precision, streams, 1, engine, 400) for streams in (1, 8)]
    for instruction_set in native.instruction_sets():
        name = f"wavenet, {instruction_set}"
        for precision, packed in compiled.items():
            fastest = instruction_set == native.instruction_sets()[0]
            for streams, over in ((1, 1), (1, threads), (24, 1), (24, threads)) if fastest else ((1, 1),):
                engine = CompiledEngine(packed, instruction_set, over)
                makers.append((name, "base", precision, streams, over, engine, 6000 // streams))
    engine = CompiledEngine(exported(large, 16000, "int8"), threads=1)
    makers.append((f"wavenet, {engine.instruction_set}", "large", "int8", 1, 1, engine, 2000))

    jobs: dict[str, Callable[[], object]] = {"theirs": theirs}
    for i, (_, _, _, streams, _, engine, samples) in enumerate(makers):
        jobs[f"{i}"] = sampling(engine, streams, samples)
        if isinstance(engine, CompiledEngine) and streams == over == 1:
            jobs[f"limit {i}"] = lambda kernel=engine.kernel: [kernel.read_weights() for _ in range(200)]
    seconds = take_turns(jobs, rounds)
    slowest = 400 / seconds["theirs"]
    rows = [row(PEER, "base", "incremental_forward", "float32", 1, 1, slowest, slowest, None)]
    for i, (name, model, precision, streams, over, engine, samples) in enumerate(makers):
        limit = 200 / seconds[f"limit {i}"] if f"limit {i}" in seconds else None
        speed, rival = streams * samples / seconds[f"{i}"], slowest if model == "base" else None
        rows.append(row(name, model, engine.name, precision, streams, over, speed, rival, limit))
    return rows, waiting(CompiledEngine(compiled["int8"], threads=1), rounds)


def conditioning(threads: int, rounds: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The cost of conditioning: `base` in int8, one stream on one core, including the computation of the rows.

    Each kind runs between two runs without conditioning, and is compared with these alone, in processor time: other
    programs disturb it little. x peer is the speed beside theirs.
    """
    frames = {(hop, hold): FeatureConfig(["mel", "pitch"], hop, 400, hold=hold) for hop, hold in FRAMES}
    models = {
        "labels": ModelConfig(labels={"speaker": ["a", "b"]}),
        "labels, guided": ModelConfig(labels={"speaker": ["a", "b"]}),
        **{f"frames of {hop}, hold {hold}": ModelConfig(features=told) for (hop, hold), told in frames.items()},
        "context stack": ModelConfig(context=ContextConfig(pools=[256])),
    }
    plain = make_engine("compiled", WaveNet(ModelConfig()).eval(), "int8", threads=1)
    rows, speeds, starts = [], [], {}
    for name, config in models.items():
        model, guided = WaveNet(config).eval(), name == "labels, guided"
        assert model.conditioning is not None
        count = 2 * 16000 // config.features.hop  # changes to the end: constant rows would cost less
        known = count * config.features.hop if config.features.kinds else 0
        told = annotations.clamped(torch.randn(count, config.features.channels).numpy())
        examples = [Companion(torch.ones(len(model.conditioning.names)), told, samples=known)]
        began = time.perf_counter()
        engine = make_engine("compiled", model, "int8", threads=1, examples=examples)
        starts[f"start, {name}"] = time.perf_counter() - began
        conditions = Conditions(model.conditioning, examples, guided)
        how: dict[str, Any] = {"sampling": Sampling(guidance=2.0 if guided else 1.0), "conditions": conditions}
        found = []
        for _ in range(rounds + 1):
            before, taken, after = (processor_time(*job) for job in ((plain, {}), (engine, how), (plain, {})))
            found.append((16000 / taken, 32000 / (before + after)))
        ratio = statistics.median(speed / beside for speed, beside in found[1:])
        speed = statistics.median(speed for speed, _ in found[1:])
        speeds += [beside for _, beside in found[1:]]
        rows.append(row(name, "base", "compiled", "int8", 1, 1, speed, speed / ratio, None))
    usual = statistics.median(speeds)
    return [row("nothing told", "base", "compiled", "int8", 1, 1, usual, usual, None), *rows], {"seconds": starts}


def processor_time(engine: Engine, how: dict[str, Any]) -> float:
    """Seconds of the processor that a second of sound takes."""
    began = time.process_time()
    for _ in generate(engine, 16000, [0], **how):
        pass
    return time.process_time() - began


def waiting(engine: CompiledEngine, rounds: int) -> dict[str, Any]:
    """Median times that a user waits for, with `base` in int8 on one core."""
    second = torch.randint(0, 256, (1, 16000), dtype=torch.uint8)
    seconds = take_turns(
        {
            "loading": lambda: CompiledEngine(engine.exported),
            "first sample": lambda: list(generate(engine, 1, [0])),
            "priming with 1 s": lambda: engine.start(second),
            **{f"sound of {n} s": lambda n=n: [None for _ in generate(engine, n * 16000, [0])] for n in (1, 60)},
        },
        rounds,
    )
    began = time.perf_counter()
    for _ in generate(engine, 600 * 16000, [0]):
        pass
    seconds["sound of 600 s"] = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "state_bytes": engine.kernel.state_bytes, "process_peak_mib": peak}


def _preset(name: str) -> ModelConfig:
    return ModelConfig(**yaml.safe_load((Path(__file__).parents[1] / "configs" / "model" / f"{name}.yaml").read_text()))


def make_peer() -> Any:
    """PyPI's wavenet-vocoder in the same size: 20 layers in 2 stacks, kernel 2, 64/128/256 channels."""
    try:
        peer = importlib.import_module("wavenet_vocoder")  # noqa: TID251 (an extra: it need not be there)
    except ImportError:
        sys.exit("wavenet-vocoder is not installed: pip install -e '.[benchmark]'")
    return peer.WaveNet(
        out_channels=256,
        layers=20,
        stacks=2,
        residual_channels=64,
        gate_channels=128,
        skip_out_channels=256,
        kernel_size=2,
        dropout=0.0,
    )


def take_turns(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each job; the jobs take turns, and the first round does not count."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds + 1):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def multiply_adds(model: WaveNet) -> int:
    """Multiply-adds in the forward pass of one sample: every matrix element once."""
    return sum(p.numel() for name, p in model.named_parameters() if p.ndim == 2 and not name.startswith("initial"))


def row(
    name: str,
    model: str,
    engine: str | None,
    precision: str,
    streams: int,
    threads: int,
    speed: float,
    peer: float | None,
    limit: float | None,
) -> dict[str, Any]:
    return {
        "name": name,
        "model": model,
        "engine": engine,
        "precision": precision,
        "streams": streams,
        "threads": threads,
        "samples_per_second": speed,
        "ratio_to_peer": speed / peer if peer else None,
        "ratio_to_limit": speed / limit if limit else None,
    }


def show(what: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=f"{what}: {machine()}")
    for column in ("", "model", "engine", "precision", "streams", "threads", "samples/s", "x peer", "of limit"):
        table.add_column(column, justify="left" if column in ("", "model", "engine", "precision") else "right")
    for r in rows:
        table.add_row(
            r["name"],
            r["model"],
            r["engine"] or "",
            r["precision"],
            str(r["streams"]),
            str(r["threads"]),
            f"{r['samples_per_second']:,.0f}",
            f"{r['ratio_to_peer']:.2f}" if r["ratio_to_peer"] else "",
            f"{r['ratio_to_limit']:.0%}" if r["ratio_to_limit"] else "",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

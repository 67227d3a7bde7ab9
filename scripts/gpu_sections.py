"""The sections of gpu_check: each makes rows with a result or the reason why there is none."""

import copy
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gpu_graph import GraphedSteps, captured
from gpu_measure import ROOT, Check, NotRunError, Row, products_per_second, tf32
from torch import Tensor, nn

import wavenet
from wavenet.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from wavenet.generation import CachedEngine, CompiledEngine, Engine, NaiveEngine, exported
from wavenet.generation.splitmix import uniforms
from wavenet.model import fused as stack
from wavenet.model import native
from wavenet.model.distributions import Sampling
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.preparation import prepare
from wavenet.recordings.split import split
from wavenet.recordings.windows import Windows
from wavenet.training import train
from wavenet.training.machine import keep_memory
from wavenet.training.optimizers import make_optimizers

KINDS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
EQUAL = 1e-4
"""Relative error up to which float32 gradients, whose sums differ in order, count as equal. TF32 causes about 1e-3."""


def machine(check: Check) -> None:
    """The machine, and the two limits of everything that runs on it."""

    def card() -> Row:
        if check.device.type != "cuda":
            raise NotRunError(f"device is {check.device}")
        asked = "name,memory.total,driver_version,clocks.max.sm"
        command = ["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        found: Row = {"nvidia-smi": told, "capability": ".".join(map(str, torch.cuda.get_device_capability()))}
        for name, emulated in (("bfloat16", False), ("bfloat16, emulation counted", True)):
            found[name] = torch.cuda.is_bf16_supported(including_emulation=emulated)
        return found

    def software() -> Row:
        cpuinfo = Path("/proc/cpuinfo")
        lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        return {
            "processor": names[0] if names else platform.processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "wavenet": wavenet.__version__,
            "kernels": ", ".join(native.instruction_sets()) or native.missing,
        }

    def product(kind: torch.dtype, low: bool) -> Row:
        if low and check.device.type != "cuda":
            raise NotRunError("a CPU has no TF32")
        tf32(low)
        return {"tflops": products_per_second(check, kind) / 1e12}

    def copying() -> Row:
        source = torch.randn((1 << 20) if check.quick else (1 << 28), device=check.device)
        target = torch.empty_like(source)
        return {"gb_per_second": 2 * source.nbytes / check.time(lambda: target.copy_(source)) / 1e9}

    check.row("card", card)
    check.row("processor and software", software)
    check.row("matrix product, bfloat16", lambda: product(torch.bfloat16, False))
    check.row("matrix product, TF32", lambda: product(torch.float32, True))
    check.row("matrix product, float32", lambda: product(torch.float32, False))
    check.row("copy, bytes read and written", copying)


def tests(check: Check) -> None:
    """Run tests/test_gpu.py, with a row for each test as it ends."""
    import pytest

    class Rows:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.passed and report.when != "call":
                return
            row: Row = {"what": report.nodeid.partition("::test_")[2], "passed": report.passed, "s": report.duration}
            if report.skipped:
                del row["passed"]
                row["not_run"] = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            elif report.failed:
                crash = getattr(report.longrepr, "reprcrash", None)
                row["failed"] = str(crash.message if crash else report.longrepr).partition("\n")[0][:300]
            check.emit(row)

    os.environ["WAVENET_GPU_TESTS_ON"] = check.device.type
    how = ["-m", "gpu", "-q", "-W", "default", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    status = pytest.main([str(ROOT / "tests" / "test_gpu.py"), *how], plugins=[Rows()])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        check.emit({"what": "pytest", "failed": f"it ended with status {status!r}"})


class Learner:
    """An optimizer step as in training (loss, gradient, update, average), without reading results back."""

    def __init__(self, config: ModelConfig, device: torch.device, precision: str) -> None:
        torch.manual_seed(0)
        self.model, self.device, self.kind = WaveNet(config).to(device), device, KINDS[precision]
        self.optimizers = make_optimizers(self.model, OptimConfig(), self.kind)
        self.averaged = copy.deepcopy(self.model).requires_grad_(False)
        self.loss: Callable[[Tensor, Tensor], Tensor] = self.plain_loss
        if device.type == "cuda":
            for group in self.optimizers[-1].param_groups:
                group["capturable"] = True  # its step count is on the device, where a graph can increase it

    def plain_loss(self, codes: Tensor, targets: Tensor) -> Tensor:
        """Nats per sample."""
        logits = self.model(codes[:, :-1])
        return nn.functional.cross_entropy(logits.float().flatten(0, -2), targets.flatten())

    def gradient(self, codes: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.kind == torch.bfloat16):
            loss = self.loss(codes, targets)
        loss.backward()
        return loss.detach()

    def step(self, codes: Tensor, targets: Tensor) -> None:
        self.gradient(codes, targets)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        torch._foreach_lerp_(list(self.averaged.parameters()), [p.detach() for p in self.model.parameters()], 0.01)


def equality(check: Check) -> None:
    """One step of `base` on recordings from data/: how far loss, gradient and update differ from float32 on the CPU."""
    config = check.model("base")
    prepared = prepare(DataConfig())
    crop = 1024 if check.quick else 8192
    windows = Windows(prepared.codes, split(prepared, DataConfig()).train, crop, config.receptive_field)
    batch = windows.batch([i for i in range(len(windows)) if len(windows[i][1]) == crop][:2])

    def step(device: torch.device, precision: str, low: bool) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        tf32(low)
        learner = Learner(config, device, precision)
        before = nn.utils.parameters_to_vector(learner.model.parameters()).detach().cpu()
        codes, targets = batch.codes.to(device), batch.targets.to(device)
        loss = learner.gradient(codes, targets).double().cpu()
        named = learner.model.named_parameters()
        gradients = {name: p.grad.double().cpu() for name, p in named if p.grad is not None}
        learner.model.zero_grad()
        learner.step(codes, targets)
        return loss, gradients, nn.utils.parameters_to_vector(learner.model.parameters()).detach().cpu() - before

    reference = step(torch.device("cpu"), "float32", False)

    def compare(device: torch.device, precision: str, low: bool) -> Row:
        if low and device.type != "cuda":
            raise NotRunError("a CPU has no TF32")
        loss, gradients, update = step(device, precision, low)
        errors = {name: relative(gradients[name], known) for name, known in reference[1].items()}
        worst = max(errors, key=lambda name: errors[name])
        flat, known = (torch.cat([g.flatten() for g in found.values()]) for found in (gradients, reference[1]))
        found: Row = {
            "loss_error": relative(loss, reference[0]),
            "gradient_error": relative(flat, known),
            "worst": f"{worst} {errors[worst]:.1e}",
            "update_error": relative(update, reference[2]),
        }
        if precision == "float32" and not low:
            found["equal"] = found["gradient_error"] < EQUAL
        return found

    for device, precision, low in (
        (check.device, "float32", False),
        (check.device, "float32", True),
        (check.device, "bfloat16", False),
        (torch.device("cpu"), "bfloat16", False),  # the error of bfloat16 by itself
    ):
        what = f"{device.type}, {'TF32' if low else precision}, against cpu, float32"
        check.row(what, lambda d=device, p=precision, t=low: compare(d, p, t))


def relative(found: Tensor, known: Tensor) -> float:
    return float((found - known).norm() / known.norm().clamp(min=1e-30))


def training(check: Check) -> None:
    """Whole steps on codes on the device: scored samples per second, and their share of the matrix products' limit."""
    stack.supports = lambda x: False  # also on a CPU, so that a rehearsal runs the plain code, as a device does
    tf32(True)
    ceilings = {name: products_per_second(check, kind) for name, kind in KINDS.items()}

    def measure(name: str, crop: int, batch: int, precision: str, mode: str | None, graph: bool) -> Row:
        config = check.model(name)
        learner = Learner(config, check.device, precision)
        if mode is not None:
            torch.compiler.reset()
            learner.loss = torch.compile(learner.plain_loss, mode=mode, dynamic=False)
        codes = torch.randint(0, 256, (batch, crop + config.receptive_field), device=check.device)
        targets = codes[:, config.receptive_field :]
        if graph and check.device.type != "cuda":
            raise NotRunError("a CPU has no CUDA graphs")
        step: Callable[[], None] = lambda: learner.step(codes, targets)  # noqa: E731
        found: Row = {}
        with check.peak_memory() as memory:
            if mode is not None:
                began = time.perf_counter()
                step()
                check.wait()
                found["compiled_in_s"] = time.perf_counter() - began
            seconds = check.time(captured(step) if graph else step)
        speed = crop * batch / seconds
        # a multiply-add is two operations, and the backward costs twice the forward
        elements = [p.numel() for n, p in learner.model.named_parameters() if p.ndim == 2 and not n.startswith("init")]
        share = 6 * sum(elements) * speed / ceilings[precision]
        return {"samples_per_second": speed, "share_of_products": share, "ms": 1e3 * seconds, **memory, **found}

    small, large = [(8192, 1), (8192, 16)], [(65536, 2), (65536, 8)]
    plain = [("float32", None, False), ("bfloat16", None, False), ("bfloat16", None, True)]
    compiled = [("bfloat16", "default", False), ("bfloat16", "default", True), ("bfloat16", "reduce-overhead", False)]
    plan = [("base", *size, *way, 4.0) for size in small + large for way in plain]
    plan += [("large", *size, *way, 6.0) for size in (small[1], large[0]) for way in plain]
    plan += [("base", *large[0], *way, needs) for way, needs in zip(compiled, (45.0, 25.0, 25.0), strict=True)]
    plan += [("large", *large[0], *compiled[1], 50.0)]
    for name, crop, batch, precision, mode, graph, needs in plan:
        if check.quick:
            crop, batch = crop // 32, min(batch, 2)
        words = "eager" if mode is None else f"compiled, {mode}"
        precise = "TF32" if precision == "float32" and check.device.type == "cuda" else precision
        what = f"{name}, {batch} x {crop}, {precise}, {words}{', CUDA graph of the step' if graph else ''}"
        how = (name, crop, batch, precision, mode, graph)
        check.row(what, lambda how=how: measure(*how), needs)


def generation(check: Check) -> None:
    """`base` with random weights, float32 without TF32: samples per second of all streams, and whether codes agree."""
    tf32(False)
    torch.manual_seed(0)
    model = WaveNet(check.model("base")).eval()
    cached = CachedEngine(copy.deepcopy(model).to(check.device))
    block, silence = 4 if check.quick else 32, torch.empty(1, 0, dtype=torch.int64)
    on_device = check.device.type == "cuda"

    def speed(engine: Engine, streams: int, samples: int) -> Row:
        state = engine.start(silence.expand(streams, -1))
        noise = uniforms(list(range(streams)), 0, samples)
        return {"samples_per_second": streams * samples / check.time(lambda: engine.generate(state, noise, Sampling()))}

    def graphed(streams: int, compile: bool) -> GraphedSteps:
        return GraphedSteps(cached, cached.start(silence.expand(streams, -1)), block, compile, graph=on_device)

    def graph_speed(streams: int, compile: bool) -> Row:
        began = time.perf_counter()
        steps = graphed(streams, compile)
        taken, noise = time.perf_counter() - began, uniforms(list(range(streams)), 0, block)
        seconds = check.time(lambda: steps.generate(noise))
        return {"samples_per_second": streams * block / seconds, "made_ready_in_s": taken}

    count = 16 if check.quick else 512
    noise = uniforms([0, 1], 0, count)

    def codes_of(engine: Engine, samples: int = count) -> Tensor:
        return engine.generate(engine.start(silence.expand(2, -1)), noise[:, :samples], Sampling())[0].long()

    def same(made: Tensor) -> Row:
        differing = (made != known[:, : made.shape[1]]).any(dim=0).nonzero()
        return {
            "samples": made.shape[1],
            "equal": not len(differing),
            "first_difference": int(differing[0]) if len(differing) else None,
        }

    def packed(precision: str, threads: int) -> CompiledEngine:
        return CompiledEngine(exported(model, 16000, precision), threads=threads)

    known = codes_of(CachedEngine(model))
    where, few = check.device.type, 16 if check.quick else 64
    check.row(f"codes: cached on {where}, as cached on the CPU", lambda: same(codes_of(cached)))
    check.row(
        f"codes: {'CUDA graph' if on_device else 'steps of a CUDA graph, run plainly'}, as cached on the CPU",
        lambda: same(graphed(2, False).generate(noise)),
        needs=5,
    )
    check.row(f"codes: naive on {where}, as cached on the CPU", lambda: same(codes_of(NaiveEngine(cached.model), few)))
    check.row("codes: compiled in float32, as cached on the CPU", lambda: same(codes_of(packed("float32", 1))))
    cores = os.cpu_count() or 1
    for streams in (1, 64):
        check.row(f"cached on {where}, {streams} streams", lambda s=streams: speed(cached, s, few), needs=3)
        for precision in ("int8", "float32"):
            for threads in sorted({1, 2 if streams == 1 else cores} if not check.quick else {1}):
                what = f"compiled on the CPU, {precision}, {streams} streams, {threads} threads"
                how = (precision, threads, streams)
                check.row(what, lambda p=precision, t=threads, s=streams: speed(packed(p, t), s, 64 * few // s))
    for compile, needs in ((False, 5.0), (True, 25.0)):
        for streams in (1, 64) if compile else (1, 64, 1024):
            words = f"{'compiled step' if compile else 'step'} in {'a CUDA graph' if on_device else 'plain calls'}"
            how = (streams, compile)
            check.row(f"cached, {words}, {streams} streams", lambda how=how: graph_speed(*how), needs)


def run(check: Check) -> None:
    """wavenet.training.train with `base` on data/: bits per sample held out, and the whole loop's speed."""
    steps, crop = (6, 512) if check.quick else (200, 8192)

    def trained(device: str, **settings: Any) -> Row:
        keep_memory()
        settings = {"steps": steps, "crop": crop, "sample_every": 0, "device": device, **settings}
        config = TrainConfig(model=check.model("base"), **settings)
        with tempfile.TemporaryDirectory() as folder, check.peak_memory() as memory:
            began = time.perf_counter()
            result = train(config, Path(folder) / "run")
            taken = time.perf_counter() - began
        found = {"bits_per_sample": result.bits_per_sample, "linear_predictor": result.linear_bits}
        found |= {"steps": result.steps, "samples_per_second": result.samples_per_second, "seconds": taken}
        return found | (memory if device == "cuda" else {})

    device = check.device.type
    minutes, one = (0.02, 0.01) if check.quick else (0.3, 0.1)
    check.row(f"{device}, {steps} steps of 1 x {crop}, bfloat16", lambda: trained(device, precision="bfloat16"))
    check.row(f"cpu, {steps} steps of 1 x {crop}, auto", lambda: trained("cpu"), needs=35)
    check.row(
        f"{device}, {minutes} minutes of 16 x {crop}", lambda: trained(device, minutes=minutes, batch_size=16), 40
    )
    check.row(
        f"{device}, {one} minutes of 1 x {crop}, float32", lambda: trained(device, minutes=one, precision="float32"), 20
    )


SECTIONS: dict[str, tuple[Callable[[Check], None], float]] = {
    "machine": (machine, 40),
    "tests": (tests, 80),
    "equality": (equality, 40),
    "training": (training, 140),
    "generation": (generation, 75),
    "run": (run, 85),
}
"""The seconds that each section may take, 460 in all."""

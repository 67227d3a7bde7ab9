"""On a CUDA device: the same numbers, codes and files as on a CPU. scripts/gpu_check.py runs these and measures.

WAVENET_GPU_TESTS_ON=cpu rehearses them on a machine without a device.
"""

import copy
import json
import os
import time

import numpy as np
import pytest
import soundfile
import torch
from test_conditioning import KINDS, companion_of, model_of

from wavenet import evaluation
from wavenet.config import DataConfig, ModelConfig, OptimConfig, RecognitionConfig, TrainConfig
from wavenet.generation import CachedEngine, Conditions, NaiveEngine, State, exported, generate, make_engine
from wavenet.generation.splitmix import uniforms
from wavenet.model import checkpoint, native
from wavenet.model.device import find_device
from wavenet.model.distributions import IGNORED, Sampling
from wavenet.model.wavenet import WaveNet
from wavenet.recordings.split import Span
from wavenet.training import train
from wavenet.training.optimizers import make_optimizers

DEVICE = torch.device(os.environ.get("WAVENET_GPU_TESTS_ON", "cuda"))
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE.type == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
]
RATE = 4000
SHAPES = {"plain": {}, "scalar": {"input": "scalar"}, "filter": {"initial_filter": 3}, "mixture": {"mixtures": 3}}
TABLE = "file_name,speaker\n" + "".join(f"{i}.wav,{'june' if i % 2 else 'carlo'}\n" for i in range(6))
PHONES = "file_name,start_sample,end_sample,phone\n" + "".join(
    f"{i}.wav,0,2000,a\n{i}.wav,2000,4000,b\n" for i in range(6)
)


@pytest.fixture(autouse=True)
def without_tf32(monkeypatch):
    """Convolutions are in TF32 unless told otherwise, which no comparison here could tell from a mistake."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six recordings of a second, labelled, with phones."""
    path, random = tmp_path_factory.mktemp("recordings"), np.random.default_rng(0)
    for i in range(6):
        tone = 0.2 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)
        soundfile.write(
            path / f"{i}.wav", tone + np.convolve(random.normal(0, 0.1, RATE), np.hanning(16), "same"), RATE
        )
    (path / "metadata.csv").write_text(TABLE)
    (path / "phones.csv").write_text(PHONES)
    return path


@pytest.fixture
def settings(folder, tmp_path):
    def make(kind: str = "", **changes) -> TrainConfig:
        shape = {"residual_channels": 8, "gate_channels": 8, "skip_channels": 16, "head_channels": 16}
        told = {name: value for name, value in KINDS.get(kind, {}).items() if name != "labels"}
        model = ModelConfig(stacks=1, layers_per_stack=4, **shape, **told)
        data = DataConfig(str(folder), sample_rate=RATE, cache_dir=str(tmp_path / "cache"), valid_fraction=0.3)
        data.labels = ["speaker"] if kind in ("labels", "all") else []
        quick = {"steps": 8, "crop": 512, "precision": "float32", "sample_every": 0, "device": DEVICE.type}
        return TrainConfig(data=data, model=model, **(quick | changes))

    return make


def model_like(kind: str) -> WaveNet:
    """On the CPU, of one of SHAPES or one of KINDS of conditioning."""
    return model_of("labels", labels={}, **SHAPES[kind]) if kind in SHAPES else model_of(kind)


def window(model: WaveNet, length: int = 200) -> tuple[torch.Tensor, list]:
    """Codes (2, length), and the pieces that condition them, where any do."""
    levels = model.distribution.encoding.levels
    codes = torch.randint(0, levels, (2, length), generator=torch.Generator().manual_seed(3))
    if model.conditioning is None:
        return codes, [[], []]
    known = [
        companion_of(model, seed)._replace(codes=lambda start, stop: torch.full((stop - start,), 90)) for seed in (0, 1)
    ]
    return codes, [[(companion, 1 - model.receptive_field, length)] for companion in known]


def loss_of(model: WaveNet) -> torch.Tensor:
    device = next(model.parameters()).device
    codes, pieces = window(model)
    codes = codes.to(device)
    logits = model(codes[:, :-1], model.rows(pieces, codes.shape[1] - 1))
    targets = codes[:, model.receptive_field :].clone()
    targets[:, -5:] = IGNORED
    return model.distribution.loss(logits, targets) / targets.numel()


@pytest.mark.parametrize("kind", [*SHAPES, *KINDS])
def test_model_equals_the_cpu(kind):
    model = model_like(kind)
    codes, pieces = window(model)
    made = []
    with torch.inference_mode():
        for device in ("cpu", DEVICE):
            there = copy.deepcopy(model).to(device)
            made.append(there(codes.to(device), there.rows(pieces, codes.shape[1])).cpu())
    torch.testing.assert_close(made[1], made[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [*SHAPES, *KINDS])
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_training_steps_equal_the_cpu(kind, optimizer):
    losses, gradients = [], []
    for device in ("cpu", DEVICE):
        model = model_like(kind).to(device).train()
        optimizers = make_optimizers(model, OptimConfig(name=optimizer, lr=0.002), torch.float32)
        loss_of(model).backward()
        gradients.append({name: p.grad.cpu().clone() for name, p in model.named_parameters() if p.grad is not None})
        followed = []
        for _ in range(5):
            for step in optimizers:
                step.step()
                step.zero_grad()
            loss = loss_of(model)
            loss.backward()
            followed.append(float(loss.detach()))
        losses.append(followed)
    assert gradients[0].keys() == gradients[1].keys()
    for name, known in gradients[0].items():
        assert float((gradients[1][name] - known).norm() / known.norm().clamp(min=1e-6)) < 1e-3, name
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


@pytest.mark.parametrize("kind", [*SHAPES, *KINDS])
@pytest.mark.parametrize("engine", [CachedEngine, NaiveEngine])
def test_engines_make_the_codes_of_the_cpu(kind, engine):
    model = model_like(kind)
    guided = bool(model.config.labels)
    made = []
    for device in ("cpu", DEVICE):
        there, told = copy.deepcopy(model).to(device), None
        if there.conditioning is not None:
            told = Conditions(there.conditioning, [companion_of(model, seed) for seed in (0, 1)], guided)
        how = {"sampling": Sampling(guidance=2.0 if guided else 1.0), "chunk": 50, "conditions": told}
        chunks = [(c.t(), b.t()) for c, b in generate(engine(there), 120, [1, 2], **how)]
        made.append([torch.cat(parts) for parts in zip(*chunks, strict=True)])
    (codes, bits), (codes_there, bits_there) = made
    if kind == "mixture":  # a loud code of 16 bits may be its neighbour, after which all may differ
        assert int((codes_there[:20].long() - codes[:20].long()).abs().max()) <= 2
    else:
        torch.testing.assert_close(codes_there, codes)
        torch.testing.assert_close(bits_there, bits, atol=1e-3, rtol=0)


def test_states_are_cut_copied_and_stored():
    engine = CachedEngine(model_like("plain").to(DEVICE))
    noise = uniforms([1, 2, 3], 0, 60)
    state = engine.start(torch.empty(3, 0, dtype=torch.int64))
    engine.generate(state, noise[:, :30], Sampling())
    one = state.select([2])
    stored = State.from_state_dict(state.state_dict())
    rest, _ = engine.generate(state, noise[:, 30:], Sampling())
    assert torch.equal(engine.generate(one, noise[2:, 30:], Sampling())[0], rest[2:])
    assert torch.equal(engine.generate(stored, noise[:, 30:], Sampling())[0], rest)


def test_engine_scores_given_codes_as_the_cpu_does():
    model = model_like("plain")
    codes, _ = window(model)
    scored = []
    for device in ("cpu", DEVICE):
        engine = CachedEngine(copy.deepcopy(model).to(device))
        scored.append(engine.score(engine.start(codes[:, :50]), codes[:, 50:]))
    torch.testing.assert_close(scored[1], scored[0], atol=1e-3, rtol=0)


def test_a_model_on_the_device_exports_as_one_on_the_cpu():
    model = model_like("plain")
    assert exported(copy.deepcopy(model).to(DEVICE), 16000, "float32") == exported(model, 16000, "float32")


@pytest.mark.skipif(native.code() is None, reason="needs the compiled kernels")
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_engine_takes_a_model_and_rows_from_the_device(kind):
    model = model_like(kind).to(DEVICE)
    assert model.conditioning is not None
    for precision in ("float32", "int8"):
        told = Conditions(model.conditioning, [companion_of(model)])
        engine = make_engine("compiled", model, precision, examples=[companion_of(model)])
        made = torch.cat([codes for codes, _ in generate(engine, 100, [1], conditions=told)], dim=1)
        assert made.shape == (1, 100)


@pytest.mark.skipif(native.code() is None, reason="needs the compiled kernels")
def test_engine_auto_is_about_as_fast_as_the_fastest():
    """On a machine with a device that is the compiled one, on the machine's CPU."""
    model = WaveNet(ModelConfig()).eval().to(DEVICE)

    engines = {name: make_engine(name, model) for name in ("auto", "compiled", "cached")}

    def seconds(name: str) -> float:
        began = time.perf_counter()
        for _ in generate(engines[name], 200, [1]):
            pass
        return time.perf_counter() - began

    taken = {name: min(seconds(name) for _ in range(4)) for name in engines}
    assert taken["auto"] < 3 * min(taken.values()), taken


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_trained_there_it_is_read_anywhere_and_resumed_on_either(settings, tmp_path, precision):
    config = settings(precision=precision, checkpoint_every=4)
    result = train(config, tmp_path / "run")
    assert result.steps == 8
    assert np.isfinite(result.bits_per_sample)
    loaded = checkpoint.load(tmp_path / "run")
    assert all(p.device.type == "cpu" and p.dtype == torch.float32 for p in loaded.model.parameters())
    state = checkpoint.load_state(tmp_path / "run")
    assert state["step"] == 8
    for device in {DEVICE.type, "cpu"}:
        config = settings(precision=precision, steps=10, resume=str(tmp_path / "run"), device=device)
        assert train(config, tmp_path / f"on_{device}").steps == 10


def test_resuming_equals_never_stopping(settings, tmp_path):
    """But for the order that a device adds up in."""
    train(settings(optim=OptimConfig(schedule="constant")), tmp_path / "whole")
    train(settings(optim=OptimConfig(schedule="constant"), steps=4), tmp_path / "half")
    train(settings(optim=OptimConfig(schedule="constant"), resume=str(tmp_path / "half")), tmp_path / "half")
    whole, halves = (checkpoint.load_state(tmp_path / name)["model"] for name in ("whole", "half"))
    for name, tensor in whole.items():
        torch.testing.assert_close(halves[name], tensor, rtol=1e-2, atol=1e-3)


def test_the_same_steps_learn_as_much_as_on_the_cpu(settings, tmp_path):
    bits, recipe = [], OptimConfig(warmup_steps=5)
    for number, device in enumerate(("cpu", DEVICE.type)):
        result = train(settings(device=device, steps=100, optim=recipe), tmp_path / f"{number}")
        bits.append(result.bits_per_sample)
        assert result.unigram_bits is not None
    assert bits[0] < result.unigram_bits
    assert abs(bits[1] - bits[0]) < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_training_with_samples_and_pictures_under_every_kind_of_conditioning(settings, tmp_path, kind):
    config = settings(kind, steps=4, sample_every=2, sample_seconds=0.05, precision="auto")
    train(config, tmp_path / "run")
    assert len(list((tmp_path / "run" / "samples").glob("*.wav"))) == 2


def test_recognition_equals_the_cpu(settings, tmp_path):
    config = settings(crop=480)
    config.data.frames = "phones.csv"
    config.model.recognition = RecognitionConfig(hop=40, layers=2, channels=8, kernel_size=3)
    train(config, tmp_path / "run")
    model = checkpoint.load(tmp_path / "run").model
    codes = np.random.default_rng(0).integers(0, 256, 20000).astype(np.uint8)
    made = [
        evaluation.frame_classes(copy.deepcopy(model).to(device), codes, Span(0, 20000, 0), device=torch.device(device))
        for device in ("cpu", DEVICE)
    ]
    assert len(made[0]) == 500
    assert float((made[0] == made[1]).float().mean()) > 0.99


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_bfloat16_is_near_float32(precision):
    model = model_like("plain")
    codes, _ = window(model)
    known = CachedEngine(model)
    there = CachedEngine(copy.deepcopy(model).to(DEVICE), precision)
    scored = [engine.score(engine.start(codes[:, :50]), codes[:, 50:]) for engine in (known, there)]
    assert abs(float((scored[1] - scored[0]).mean())) < (0.05 if precision == torch.bfloat16 else 1e-4)


def test_commands_on_the_device(call, folder, tmp_path):
    """Training with everything that conditions, generation by each engine, evaluation and recognition."""
    small = ["stacks=1", "layers_per_stack=3", "residual_channels=8", "gate_channels=8", "skip_channels=8"]
    told = ["features.kinds=[mel]", "features.hop=16", "features.window=64", "features.mels=8", "context.pools=[64]"]
    device = f"device={DEVICE.type}"
    status, _, err = call(
        "train", f"data.dir={folder}", f"data.sample_rate={RATE}", "data.labels=[speaker]", "data.frames=phones.csv",
        *(f"model.{setting}" for setting in small + told), "crop=3200", "steps=3", "sample_every=0",
        "run.dir=run", device,
    )  # fmt: skip
    assert status == 0, err
    for engine in ("cached", "compiled", "naive", "auto"):
        settings = [
            "checkpoint=run",
            f"engine={engine}",
            device,
            "report=made.json",
            "label.speaker=june",
            "guidance=2",
        ]
        status, _, err = call(
            "generate", *settings, f"features={folder / '0.wav'}", "seconds=0.1", f"output={engine}.wav"
        )
        assert status == 0, err
        assert len(soundfile.read(tmp_path / f"{engine}.wav")[0]) == RATE // 10
        assert engine in (json.loads((tmp_path / "made.json").read_text())["engine"], "auto")
    for command, settings in {"evaluate": ["report=bits.json"], "recognise": ["output=heard.csv"]}.items():
        status, _, err = call(command, "checkpoint=run", f"data.dir={folder}", device, *settings)
        assert status == 0, err


def test_device_auto_takes_the_device():
    if DEVICE.type == "cuda":
        assert find_device("auto").type == "cuda"
        assert torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        pytest.skip("a rehearsal: auto takes a device where there is one")

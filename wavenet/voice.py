"""A trained network as one object, returned by `wavenet.load`.

    voice = wavenet.load("runs/mine")
    sound = voice.generate(seconds=5, seed=3)     # (1, samples) at voice.sample_rate
    voice.bits("recording.wav")                   # bits per sample

The commands take the same settings and make the same samples.
"""

import copy
import dataclasses
import html
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import Tensor

from wavenet import evaluation
from wavenet.config import DataConfig, GenerateConfig, SpeakConfig
from wavenet.errors import AudioError, CheckpointError, ConfigError, WaveNetError
from wavenet.files import atomic, expanded
from wavenet.generation import CompiledEngine, exported, performance, playing
from wavenet.generation.calibration import scales_to_keep
from wavenet.generation.export import check_place, fixed
from wavenet.generation.format import is_exported
from wavenet.generation.performance import Kept
from wavenet.generation.rendering import Prepared, sound
from wavenet.generation.request import Request
from wavenet.generation.steering import choose_labels
from wavenet.model import checkpoint, hub, shipped
from wavenet.model.checkpoint import Checkpoint
from wavenet.model.conditioning import Companion
from wavenet.model.device import find_device
from wavenet.model.wavenet import WaveNet
from wavenet.recordings import annotations
from wavenet.recordings.reader import GivenRecording, Reader, read_features
from wavenet.speech.speaker import Speaker

SETTINGS = (
    *("seed", "count", "temperature", "top_k", "top_p", "guidance"),
    *("engine", "precision", "instruction_set", "device", "threads"),
)
"""Settings of GenerateConfig that `Voice.generate` takes unchanged."""


def load(path: str | Path) -> "Voice":
    """The best checkpoint of a run folder or of its checkpoints folder, a .safetensors file, an exported file, or the
    name of a voice that comes with wavenet, such as "kathleen".

    Raises CheckpointError if the checkpoint is missing or damaged, and ConfigError for an exported file if the compiled
    engine, the only one that runs it, was not built.
    """
    found = shipped.find(path)
    for line in found.said:
        warnings.warn(line, stacklevel=2)
    return opened(found.path)


def opened(path: Path) -> "Voice":
    """What `load` returns, from a path alone. Raises as `load` does."""
    if not is_exported(path):
        return Voice(checkpoint.load(path))
    return Voice(playing.read(path, CompiledEngine), path)


def _tensors(made: Prepared) -> Iterator[Tensor]:
    return map(torch.from_numpy, sound(made))


class Voice:
    """A network, its sample rate, and the file that holds it.

    The voice of an exported file has no weights: it can only `generate` and `stream`.
    """

    def __init__(self, source: Checkpoint | CompiledEngine, path: Path | None = None) -> None:
        self._loaded = source if isinstance(source, Checkpoint) else None
        self.exported = source if isinstance(source, CompiledEngine) else None
        """The engine of an exported file; None for a checkpoint."""
        self.path: Path = source.path if isinstance(source, Checkpoint) else path or Path("model.wavenet")
        self.sample_rate: int = source.sample_rate
        """Hz"""
        self.step: int | None = self._loaded.step if self._loaded else None
        """Training step; None for an exported file."""
        self.valid_bits: float | None = self._loaded.valid_bits if self._loaded else None
        """Bits per sample on the validation part; None if they were never measured."""
        self.data: dict[str, Any] = self._loaded.data if self._loaded else {}
        """Training settings that decide how recordings are read and divided."""
        self._kept = Kept()
        if self._loaded and self._loaded.scales:
            self._kept = Kept(scales=self._loaded.scales, weights=performance.digest(self.model.state_dict().values()))

    @property
    def model(self) -> WaveNet:
        """The network, a torch.nn.Module. Raises CheckpointError for an exported file."""
        return self._checkpoint().model

    @property
    def labels(self) -> dict[str, list[str]]:
        """The labels that can be chosen, and the values of each."""
        return self._loaded.model.config.labels if self._loaded else self.exported.labels if self.exported else {}

    def _checkpoint(self) -> Checkpoint:
        if self._loaded is None:
            raise CheckpointError(f"{self.path} is an exported file, which holds no torch model: load its checkpoint")
        return self._loaded

    # ---- making sound

    def generate(
        self,
        seconds: float | None = None,
        *,
        seed: int = 0,
        count: int = 1,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        prime: GivenRecording | None = None,
        labels: Mapping[str, Any] | None = None,
        guidance: float = 1.0,
        features: GivenRecording | None = None,
        engine: str = "auto",
        precision: str = "auto",
        instruction_set: str = "auto",
        device: str = "auto",
        threads: int = 0,
    ) -> Tensor:
        """Sound (count, samples) in [-1, 1], float32, at `sample_rate`.

        The settings are those of `wavenet-generate`, and make the same samples. Sound i depends on seed + i alone.
        seconds: by default the length of the features, or 5.
        prime: what the sound continues from: a file, or numbers (samples,) or (1, samples) in [-1, 1] at `sample_rate`,
            or a pair of such numbers and their own rate. It is not part of the sound.
        labels: {"speaker": "june"}, several values, {"tags": ["slow", "loud"]}, or a mix with weights in -10..10,
            {"speaker": {"june": 0.7, "allison": 0.3}}.
        features: what to follow: a recording, or frames (n, channels), one per hop, as a .npy file or an array.
        Raises ConfigError for a setting that is out of range or does not apply to this model, AudioError for a
        recording that cannot be read.
        """
        settings = {"seed": seed, "count": count, "temperature": temperature, "top_k": top_k, "top_p": top_p}
        settings |= {"prime": prime, "labels": labels, "guidance": guidance, "features": features, "engine": engine}
        settings |= {"precision": precision, "instruction_set": instruction_set, "device": device, "threads": threads}
        return torch.cat(list(_tensors(self._perform(seconds, settings))), dim=1)

    def stream(self, seconds: float | None = None, **settings: Any) -> Iterator[Tensor]:
        """The sound of `generate`, with the same settings, in pieces (count, n) as they are made.

        seconds: by default the length of the features, or endless. Raises as `generate` does, before the first piece.
        """
        return _tensors(self._perform(seconds, settings, endless=True))

    def _perform(self, seconds: float | None, settings: dict[str, Any], endless: bool = False) -> Prepared:
        prime, features, labels = (settings.pop(name, None) for name in ("prime", "features", "labels"))
        for name in settings:
            if name not in SETTINGS:
                raise TypeError(f"unknown setting {name!r}; the settings are {', '.join(SETTINGS)}")
        config = GenerateConfig(seconds=seconds, label=dict(labels or {}), **settings)
        request = Request(config, self.sample_rate, self.data, prime, features, endless)
        made = self.perform(request)
        for line in request.said:
            warnings.warn(line, stacklevel=3)
        return made

    def perform(self, request: Request) -> Prepared:
        """Prepare to make what `request` asks for, with the command's settings. Raises as `generate` does."""
        if request.features is None and self._loaded is not None and self._loaded.attached is not None:
            name = shipped.shown(self.path)
            raise ConfigError(
                f"{name} speaks texts: wavenet-speak checkpoint={name} text=..., or give features=recording.wav to "
                "imitate"
            )
        if self.exported is not None:
            return playing.of_file(self.exported, str(self.path), request)
        return performance.of_model(self._on(request.config.device), shipped.shown(self.path), request, self._kept)

    def _on(self, device: str) -> WaveNet:
        """The network on this device, copied if it is on another."""
        there = find_device(device)
        same = next(self.model.parameters()).device.type == there.type
        return self.model if same else copy.deepcopy(self.model).to(there)

    # ---- speaking

    def speaker(self, config: SpeakConfig) -> Speaker:
        """A speaker with the settings of `wavenet-speak`; its `text` and places are not used.

        Raises CheckpointError for a model that cannot speak, ConfigError for a setting that does not apply.
        """
        if self._loaded is None:
            raise CheckpointError(f"{self.path} is an exported file, which cannot speak: load the voice's checkpoint")
        known = self._loaded.model.config.labels
        return Speaker(self._loaded, config, choose_labels(config.label, known))

    def speak(
        self,
        text: str,
        *,
        rate: float = 1.0,
        pitch: float = 1.0,
        temperature: float = 0.8,
        seed: int = 0,
        labels: Mapping[str, Any] | None = None,
        threads: int = 0,
    ) -> Tensor:
        """Sound (1, samples) in [-1, 1] of a text, at `sample_rate`: what `wavenet-speak` writes.

        rate: how fast; 2 is twice as fast. pitch: a factor. labels: who speaks, {"speaker": "june"}. Raises AudioError
        for a text that is empty or cannot be said, CheckpointError for a model that was not trained to speak.
        """
        how = {"rate": rate, "pitch": pitch, "temperature": temperature, "seed": seed, "threads": threads}
        speaker = self.speaker(SpeakConfig(label=dict(labels or {}), **how))
        return torch.cat([piece for phrase in speaker.phrases(text) for piece in phrase.sound])[None]

    # ---- measuring

    @overload
    def bits(
        self,
        recording: GivenRecording,
        per_sample: Literal[False] = False,
        *,
        labels: Any = None,
        features: Any = None,
        device: str = "auto",
    ) -> float: ...
    @overload
    def bits(
        self,
        recording: GivenRecording,
        per_sample: Literal[True],
        *,
        labels: Any = None,
        features: Any = None,
        device: str = "auto",
    ) -> Tensor: ...

    def bits(
        self,
        recording: GivenRecording,
        per_sample: bool = False,
        *,
        labels: Mapping[str, Any] | None = None,
        features: GivenRecording | None = None,
        device: str = "auto",
    ) -> float | Tensor:
        """Bits per sample of a recording's mu-law codes under the model, as `wavenet-evaluate` measures them: lower is
        better, and random guessing costs 8.

        recording: like `prime` of `generate`; all of it is scored. labels: as for `generate`; none by default.
        features: by default those of the recording itself. per_sample: return the bits of each sample, (samples,).
        Raises CheckpointError for an exported file, AudioError and ConfigError as `generate` does.
        """
        model, reader = self._on(device), Reader(self.sample_rate, self.data)
        encoding, config = model.distribution.encoding, model.config.features
        codes = reader.codes("recording", recording, encoding)
        told = Companion(choose_labels(labels or {}, model.config.labels), codes=annotations.after_silence(codes))
        if features is not None and not config.kinds:
            raise ConfigError(f"features is given, but {self.path} was trained without: leave it out")
        if config.kinds:
            known = codes if features is None else None
            rows = read_features(recording if features is None else features, config, reader, encoding, known)
            told = told._replace(frames=annotations.clamped(rows))
        for line in reader.said:
            warnings.warn(line, stacklevel=2)
        found = evaluation.bits_of_samples(model, codes, told)
        return found.clone() if per_sample else float(found.double().mean())  # a clone can enter autograd

    # ---- files

    def save(self, output: str | Path, small: bool = False) -> Path:
        """Write a .safetensors file for `load` and the commands. A `small` one keeps its matrices in int8, which takes
        a quarter of the space, and int8's scales, so that it is soon ready to play. Raises CheckpointError if it cannot
        be written."""
        output = expanded(output)
        if output.suffix.lower() != ".safetensors":
            raise ConfigError(f"output is {output}, but a checkpoint's name must end in .safetensors")
        model, data = self.model, dataclasses.replace(DataConfig(), **self.data)
        attached = self._loaded.attached if self._loaded else None
        how = (self.sample_rate, self.step or 0, self.valid_bits, data, attached, small)
        checkpoint.save(output, model, *how, scales_to_keep(model) if small else ())
        return output

    def push_to_hub(self, repository: str, *, license: str, small: bool = False, **how: Any) -> str:
        """Put the checkpoint and its card into a repository, "owner/name", and return its address for a browser.

        license: of the recordings, as the hub writes it, such as "cc0-1.0". small: as for `save`. how: `private` and
        `token` of `hub.upload`, which makes the card. Raises as that does.
        """
        loaded = self._checkpoint()
        with tempfile.TemporaryDirectory() as folder:
            return hub.upload(repository, self.save(Path(folder, hub.FILE), small), loaded, license, **how)

    def export(self, output: str | Path, precision: str = "auto", labels: Mapping[str, Any] | None = None) -> "Voice":
        """Write a file that runs without Python, as `wavenet-export` does, and return its voice.

        The file keeps the model's labels, so that they can be chosen and mixed while it plays. labels: those that are
        fixed in it instead, as for `generate`; they can no longer be chosen. Raises ConfigError for a model with
        features or context stacks, which the file cannot hold, and if `output` names another kind of file.
        """
        output = expanded(output)
        check_place(output)
        model = self.model
        chosen = choose_labels(labels or {}, model.config.labels)
        if model.conditioning is not None:
            if not model.conditioning.constant:
                what = "context stacks" if model.config.context.pools else "sources of its own"
                what = "features" if model.config.features.kinds else what
                raise ConfigError(f"{self.path} has {what}, which an exported file cannot hold: use wavenet-generate")
            if labels:
                model = fixed(model, chosen, labels)
        packed = exported(model, self.sample_rate, precision, steerable=True)
        engine = CompiledEngine(packed)  # raises before a file is written that could not be loaded
        try:
            with atomic(output) as temporary:
                temporary.write_bytes(packed)
        except OSError as error:
            raise CheckpointError(f"cannot write {output} ({error.strerror}); choose another output") from error
        return Voice(engine, output)

    # ---- in a notebook

    def play(self, sound: Tensor) -> Any:
        """A player for one sound, (samples,) or (1, samples), in a notebook: an IPython.display.Audio."""
        try:
            from IPython.display import Audio  # type: ignore[import-not-found]
        except ImportError as error:
            raise WaveNetError("playing in a notebook needs IPython: pip install ipython") from error
        sound = torch.as_tensor(sound).detach().cpu()
        if sound.numel() != sound.shape[-1]:
            raise AudioError(f"only one of {len(sound)} sounds can be played at a time: voice.play(sounds[0])")
        return Audio(sound.flatten().clamp(-1, 1).numpy(), rate=self.sample_rate, normalize=False)

    def _facts(self) -> dict[str, str]:
        """What the voice is, in words."""
        if self.exported is not None:
            return {"exported": self.exported.precision, "sample rate": f"{self.sample_rate} Hz"}
        config, parameters = self.model.config, sum(p.numel() for p in self.model.parameters())
        facts = {"sample rate": f"{self.sample_rate} Hz", "parameters": f"{parameters:,}", "step": f"{self.step}"}
        if self.valid_bits is not None:
            facts["held out"] = f"{self.valid_bits:.3f} bits per sample"
        for label, values in config.labels.items():
            facts[label] = ", ".join(values[:8]) + ", ..." * (len(values) > 8)
        if config.features.kinds:
            facts["features"] = ", ".join(config.features.kinds)
        return facts

    def __repr__(self) -> str:
        return f"Voice({str(self.path)!r}: {'; '.join(f'{name} {fact}' for name, fact in self._facts().items())})"

    def _repr_html_(self) -> str:
        rows = {"voice": str(self.path), **self._facts()}
        cells = "".join(f"<tr><th>{html.escape(n)}</th><td>{html.escape(f)}</td></tr>" for n, f in rows.items())
        return f"<table>{cells}</table>"

"""Suggests what an unknown name may mean, by synonyms, by parts of names, and by spelling."""

import difflib
import math
import re

SYNONYMS = {
    "accumulation": ["accumulate"],
    "amp": ["precision"],
    "average": ["optim.ema_decay"],
    "batch": ["batch_size"],
    "bs": ["batch_size"],
    "cache": ["data.cache_dir"],
    "channels": ["model.residual_channels", "data.channel"],
    "ckpt": ["checkpoint", "resume"],
    "clip": ["optim.clip_norm"],
    "conditioning": ["data.labels", "label.NAME"],
    "cores": ["threads"],
    "cpus": ["threads"],
    "cuda": ["device"],
    "dataset": ["data.dir"],
    "decay": ["optim.weight_decay"],
    "depth": ["model.layers_per_stack"],
    "dest": ["run.dir", "output"],
    "dropout": ["label_dropout"],
    "dtype": ["precision"],
    "duration": ["seconds", "minutes"],
    "ema": ["optim.ema_decay"],
    "epochs": ["steps"],
    "eval_every": ["validate_every"],
    "file": ["output"],
    "folder": ["data.dir"],
    "finetune": ["init"],
    "format": ["output"],
    "fp16": ["precision"],
    "frequency": ["data.sample_rate"],
    "gpu": ["device"],
    "gpus": ["devices"],
    "grad_clip": ["optim.clip_norm"],
    "grad_norm": ["optim.clip_norm"],
    "height": ["model.layers_per_stack"],
    "hidden": ["model.residual_channels"],
    "input": ["data.dir", "prime"],
    "iterations": ["steps"],
    "iters": ["steps"],
    "kernel": ["model.kernel_size"],
    "layers": ["model.layers_per_stack"],
    "learning_rate": ["optim.lr"],
    "length": ["seconds", "minutes"],
    "lr": ["optim.lr"],
    "max_steps": ["steps"],
    "model": ["checkpoint"],
    "model_path": ["checkpoint"],
    "mono": ["data.channel"],
    "n": ["count"],
    "nodes": ["num_nodes"],
    "normalisation": ["data.normalise"],
    "normalization": ["data.normalise"],
    "normalize": ["data.normalise"],
    "num_samples": ["count", "steps"],
    "num_workers": ["data.workers"],
    "number": ["count"],
    "optimizer": ["optim"],
    "optimiser": ["optim"],
    "out": ["run.dir", "output"],
    "out_dir": ["run.dir", "output"],
    "outdir": ["run.dir", "output"],
    "output": ["run.dir"],
    "output_dir": ["run.dir", "output"],
    "path": ["data.dir", "checkpoint"],
    "phones": ["data.frames", "data.language"],
    "pretrained": ["init", "checkpoint"],
    "prompt": ["prime"],
    "quantization": ["precision"],
    "random_seed": ["seed"],
    "rate": ["data.sample_rate"],
    "recordings": ["data.dir"],
    "restore": ["resume"],
    "samplerate": ["data.sample_rate"],
    "save_every": ["checkpoint_every"],
    "scheduler": ["optim.schedule"],
    "silence": ["data.trim_silence_db"],
    "size": ["model"],
    "speaker": ["data.labels", "label.NAME"],
    "sr": ["data.sample_rate"],
    "stereo": ["data.channel"],
    "temp": ["temperature"],
    "time": ["minutes", "seconds"],
    "topk": ["top_k"],
    "topp": ["top_p"],
    "trim": ["data.trim_silence_db"],
    "valid": ["data.valid_fraction"],
    "val": ["data.valid_fraction"],
    "val_every": ["validate_every"],
    "val_split": ["data.valid_fraction"],
    "warm_start": ["init"],
    "wd": ["optim.weight_decay"],
    "width": ["model.residual_channels"],
    "workers": ["data.workers"],
}
"""Words of other programs, and the settings that mean the same here; the first that a command has is suggested."""

NO_TEXT = "no command reads text: labels and features tell a model what to make (data.labels, model.features)"
UNSUPPORTED = {
    **dict.fromkeys(("text", "transcript", "sentence", "phonemes"), NO_TEXT),
    "speed": "device, threads and precision decide how fast a command is; nothing changes a sound's tempo",
}
"""Words without a setting here, and an answer to each."""

ALIKE = 0.75
"""Least similarity of spelling, part by part, for a name to be suggested."""


def unknown(name: str, choices: list[str], prefix: str = "") -> str:
    """What to add after a name that is not in `choices`: a suggestion, or where to find the names."""
    word = name.split(".")[-1].lower().replace("-", "_")
    found = nearest(name, choices)
    if found:
        return f" (did you mean {' or '.join(prefix + choice for choice in found)}?)"
    if word in UNSUPPORTED:
        return f"; {UNSUPPORTED[word]}"
    return f"; choose from {', '.join(choices)}" if len(choices) < 12 else "; --help lists all settings"


def nearest(name: str, choices: list[str]) -> list[str]:
    """Those of `choices` that an unknown name may mean: one, rarely up to three that fit equally well, or none."""
    section, _, word = name.lower().replace("-", "_").rpartition(".")
    if word in UNSUPPORTED:
        return []
    known = not section or any(choice.startswith(section + ".") for choice in choices)
    if known:  # otherwise the section is mistyped, and spelling tells more
        word = word if word in SYNONYMS else re.sub(r"^(num|n|number_of)_", "", word)
        meant = [choice for choice in SYNONYMS.get(word, []) if choice in choices]
        meant.sort(key=lambda choice: not choice.startswith(section + "."))
        if meant:
            return meant[:1]
        for within in (section + ".", "") if section else ("",):
            parts = _by_parts(word, [choice for choice in choices if choice.startswith(within)])
            if parts:
                return parts
    closest = max(choices, key=lambda choice: _alike(name, choice), default=None)
    return [closest] if closest is not None and _alike(name, closest) >= ALIKE else []


def _by_parts(word: str, choices: list[str]) -> list[str]:
    """The settings whose last part has all parts of `word`, in full or abbreviated, and the fewest others."""
    asked = word.split("_")
    extra: dict[str, int] = {}
    for choice in choices:
        own = choice.split(".")[-1].split("_")
        if all(any(part == a or (len(a) > 2 and part.startswith(a)) for part in own) for a in asked):
            extra[choice] = sum(part not in asked for part in own) + choice.count(".")
    best = [choice for choice, number in extra.items() if number == min(extra.values())]
    return best if len(best) <= 3 else []


def _alike(name: str, choice: str) -> float:
    """Similarity of two dotted names, 0 to 1: part by part, or only of their ends if sections are left out."""
    ours, theirs = name.split("."), choice.split(".")
    if len(ours) == len(theirs):
        return math.prod(1 if b == "NAME" else _letters(a, b) for a, b in zip(ours, theirs, strict=True))
    return 0.9 * _letters(ours[-1], theirs[-1])


def _letters(written: str, meant: str) -> float:
    """Share of letters in common; 0 if it cannot be a typing error: another first letter, or a different length."""
    if written[:1] != meant[:1] or abs(len(written) - len(meant)) > max(1, len(meant) // 5):
        return 0.0
    return difflib.SequenceMatcher(None, written, meant).ratio()

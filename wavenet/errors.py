"""The errors that users see, each with a one-line message, and helpers that put names and numbers into words."""

import math


class WaveNetError(Exception):
    """Base of every error whose message is written for the user."""


class ConfigError(WaveNetError):
    """A setting is unknown, of the wrong type, out of range, or contradicts another."""


class AudioError(WaveNetError):
    """A recording, or a folder of recordings, cannot be used."""


class CheckpointError(WaveNetError):
    """A checkpoint is missing, damaged, or belongs to another model."""


class TrainingError(WaveNetError):
    """Training cannot continue: the loss is not finite, or the run folder cannot be written."""


def printable(name: str) -> str:
    """A file name that every terminal and text file can show: invalid text becomes question marks."""
    return name.encode("utf-8", "replace").decode()


def counted(number: int, thing: str) -> str:
    """A number with its noun: "1 recording", "2 recordings"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def some(names: list[str], limit: int = 3) -> str:
    """How many names, and the first: "2 (a.wav, b.wav)", "9 (a.wav, b.wav, c.wav, ...)"."""
    shown = ", ".join([printable(name) for name in names[:limit]] + ["..."] * (len(names) > limit))
    return f"{len(names)} ({shown})"


def decibels(ratio: float) -> str:
    """An amplitude in dB relative to full scale, such as "-6.0 dB"."""
    return f"{20 * math.log10(max(ratio, 1e-10)):.1f} dB"

"""Mistakes a user can make and fix: one clear line each, shown without a traceback."""


class WaveNetError(Exception):
    """Base of every error whose message is written for the person at the keyboard."""


class ConfigError(WaveNetError):
    """A setting is unknown, of the wrong type, out of range, or contradicts another."""


class AudioError(WaveNetError):
    """A recording, or a folder of recordings, cannot be used."""


class CheckpointError(WaveNetError):
    """A checkpoint is missing, damaged, or belongs to another model."""


class TrainingError(WaveNetError):
    """Training cannot go on: the loss is not finite, or the run folder cannot be written."""

"""Every setting of every command: plain dataclasses, one docstring per field, ranges checked on construction.

    model       the shape of a network, and the conditioning that it gets
    data        which recordings are used, and how they become codes
    augment     how training windows are varied
    acoustic    the shape of the acoustic model of a voice that speaks
    training    the recipe, the run folder, all of wavenet-train
    commands    all of the other commands
    checks      the allowed values of a setting, and the error for any other
    describe    settings by dotted name: their types, defaults and docstrings

The library takes these objects as they are. Only `wavenet.cli` makes them from YAML and a command line. This room may
import only `wavenet.errors`.
"""

from wavenet.config.acoustic import AcousticConfig
from wavenet.config.augment import AugmentConfig
from wavenet.config.checks import DEVICES, LARGEST_SEED
from wavenet.config.commands import (
    ENGINE_CHOICES,
    ENGINE_PRECISIONS,
    SPLITS,
    AlignConfig,
    CacheConfig,
    CompareConfig,
    EvaluateConfig,
    ExportConfig,
    GenerateConfig,
    RecogniseConfig,
    ServeConfig,
    SpeakConfig,
)
from wavenet.config.data import BUNDLED, DataConfig
from wavenet.config.describe import Setting, build, settings
from wavenet.config.model import MULAW_LEVELS, ContextConfig, FeatureConfig, ModelConfig, RecognitionConfig
from wavenet.config.training import SCHEDULES, OptimConfig, RunConfig, TrainConfig

__all__ = [
    "BUNDLED",
    "DEVICES",
    "ENGINE_CHOICES",
    "ENGINE_PRECISIONS",
    "LARGEST_SEED",
    "MULAW_LEVELS",
    "SCHEDULES",
    "SPLITS",
    "AcousticConfig",
    "AlignConfig",
    "AugmentConfig",
    "CacheConfig",
    "CompareConfig",
    "ContextConfig",
    "DataConfig",
    "EvaluateConfig",
    "ExportConfig",
    "FeatureConfig",
    "GenerateConfig",
    "ModelConfig",
    "OptimConfig",
    "RecogniseConfig",
    "RecognitionConfig",
    "RunConfig",
    "ServeConfig",
    "Setting",
    "SpeakConfig",
    "TrainConfig",
    "build",
    "settings",
]

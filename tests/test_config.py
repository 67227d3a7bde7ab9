"""Settings as Python objects: ranges, what is known of each, and made by dotted name."""

import pytest

from wavenet.config import (
    CacheConfig,
    CompareConfig,
    ContextConfig,
    DataConfig,
    EvaluateConfig,
    ExportConfig,
    FeatureConfig,
    GenerateConfig,
    ModelConfig,
    OptimConfig,
    RecogniseConfig,
    RecognitionConfig,
    TrainConfig,
    build,
    settings,
)
from wavenet.errors import ConfigError


@pytest.mark.parametrize(
    ("schema", "values", "said"),
    [
        (TrainConfig, {"steps": 0}, "steps is 0, but it must be at least 1"),
        (TrainConfig, {"minutes": float("nan")}, "minutes is nan, but it must be greater than 0"),
        (TrainConfig, {"sample_every": -1}, "sample_every is -1, but it must be at least 0"),
        (TrainConfig, {"seed": 2**63}, f"seed is {2**63}, but it must be 0 to {2**62}"),
        (TrainConfig, {"precision": "int8"}, "precision is 'int8', but it must be one of auto, float32, bfloat16"),
        (DataConfig, {"sample_rate": 999}, "data.sample_rate is 999, but it must be 1000 to 192000 (Hz)"),
        (DataConfig, {"valid_fraction": 1}, "data.valid_fraction is 1, but it must be 0 or more and below 1"),
        (OptimConfig, {"betas": [0.9, 1]}, "optim.betas is [0.9, 1], but it must be two numbers, each 0 or more and"),
        (OptimConfig, {"lr": 0}, "optim.lr is 0, but it must be greater than 0"),
        (ModelConfig, {"kernel_size": 0}, "model.kernel_size is 0, but it must be at least 1"),
        (ModelConfig, {"dilations": []}, "model.dilations is [], but it must be a list of whole numbers of at least 1"),
        (FeatureConfig, {"kinds": ["mel", "x"]}, "model.features.kinds is 'x', but it must be one of mel, pitch, file"),
        (FeatureConfig, {"hop": 10, "hold": 3}, "model.features.hold is 3, but it must be a divisor of the hop, 10"),
        (
            FeatureConfig,
            {"hop": 8, "strides": [2, 2]},
            "model.features.strides is [2, 2], but it must be whole numbers",
        ),
        (ContextConfig, {"pools": [64, 1]}, "model.context.pools is 1, but it must be 8 to 65536 (samples)"),
        (RecognitionConfig, {"kernel_size": 4}, "model.recognition.kernel_size is 4, but it must be an odd number"),
        (GenerateConfig, {"top_p": 0}, "top_p is 0, but it must be greater than 0 and at most 1"),
        (GenerateConfig, {"seconds": 0}, "seconds is 0, but it must be greater than 0 and at most 3600000"),
        (EvaluateConfig, {"split": "some"}, "split is 'some', but it must be one of all, train, valid, test"),
        (CacheConfig, {"unused_days": -1}, "unused_days is -1, but it must be at least 0"),
    ],
)
def test_what_is_out_of_range_is_named(schema, values, said):
    with pytest.raises(ConfigError) as error:
        schema(**values)
    assert str(error.value).startswith(said)


def test_cutting_silence_is_refused_where_it_would_shift_what_lies_beside_the_sound():
    cut = DataConfig(trim_silence_db=40)
    with pytest.raises(ConfigError, match="is 40, but it must be left out: cutting would shift the"):
        RecogniseConfig(data=cut)
    with pytest.raises(ConfigError, match="is 40, but it must be left out: cutting would shift the"):
        TrainConfig(data=cut, model=ModelConfig(features=FeatureConfig(kinds=["file"])))
    assert EvaluateConfig(data=cut).data.trim_silence_db == 40


@pytest.mark.parametrize(
    "schema",
    [TrainConfig, GenerateConfig, EvaluateConfig, RecogniseConfig, ExportConfig, CacheConfig, CompareConfig],
)
def test_what_is_known_of_every_setting(schema):
    """As --help and the documentation show it."""
    known = list(settings(schema))
    assert len({setting.name for setting in known}) == len(known)
    assert all(setting.docstring.endswith((".", ".)")) for setting in known)
    assert build(schema, {setting.name: setting.default for setting in known}) == schema()
    (report,) = (setting for setting in known if setting.name == "report")
    assert (report.type, report.default, report.shown) == (str | None, None, "none")
    assert "JSON" in report.docstring


def test_settings_by_dotted_name():
    made = build(TrainConfig, {"optim.lr": 0.5, "model.context.pools": [64]})
    assert made == TrainConfig(optim=OptimConfig(lr=0.5), model=ModelConfig(context=ContextConfig(pools=[64])))
    with pytest.raises(ConfigError, match=r"unknown setting optim\.rl"):
        build(TrainConfig, {"optim.rl": 0.5})
    with pytest.raises(ConfigError, match=r"optim\.lr is 0, but"):
        build(TrainConfig, {"optim.lr": 0})

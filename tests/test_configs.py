"""Every shipped setting file composes, builds what it describes, and says nothing that the schema does not know."""

import pytest

from wavenet.cli.composing import compose, config_folder, groups
from wavenet.config import (
    BUNDLED,
    AlignConfig,
    CacheConfig,
    CompareConfig,
    EvaluateConfig,
    ExportConfig,
    GenerateConfig,
    RecogniseConfig,
    ServeConfig,
    SpeakConfig,
    TrainConfig,
    settings,
)
from wavenet.model.wavenet import WaveNet
from wavenet.training.optimizers import make_optimizers

GROUPS = groups(config_folder())
SCHEMAS = {
    "train": TrainConfig,
    "generate": GenerateConfig,
    "evaluate": EvaluateConfig,
    "recognise": RecogniseConfig,
    "align": AlignConfig,
    "speak": SpeakConfig,
    "export": ExportConfig,
    "serve": ServeConfig,
    "cache": CacheConfig,
    "compare": CompareConfig,
}
RECEPTIVE_FIELDS = {"tiny": 512, "base": 2047, "paper": 3070, "large": 4093}
"""1 + stacks * (2**layers - 1), by hand."""


def composed(command: str, *overrides: str):
    return compose(command, SCHEMAS[command], list(overrides))


@pytest.mark.parametrize("choice", [f"{group}={name}" for group, names in GROUPS.items() for name in names])
def test_every_choice_builds(choice):
    config = composed("train", choice, "run.dir=x")
    model = WaveNet(config.model)
    held = [
        p for optimizer in make_optimizers(model, config.optim) for g in optimizer.param_groups for p in g["params"]
    ]
    assert len(held) == len(set(map(id, held))) == len(list(model.parameters()))
    if choice.startswith("model="):
        assert model.receptive_field == RECEPTIVE_FIELDS[choice.removeprefix("model=")]


def test_the_default_is_base():
    config = composed("train", "run.dir=x")
    assert WaveNet(config.model).receptive_field == RECEPTIVE_FIELDS["base"]
    assert sum(p.numel() for p in WaveNet(config.model).parameters()) == 885_184


def test_only_recipes_that_say_so_learn_the_bundled_recordings():
    named = {name for name in GROUPS["experiment"] if composed("train", f"experiment={name}", "run.dir=x").data.dir}
    assert named == {"demo", "speakers"}
    assert composed("train", "experiment=demo", "run.dir=x").data.dir == BUNDLED
    assert composed("train", "experiment=demo", "data.dir=mine", "run.dir=x").data.dir == "mine"
    assert composed("train", "run.dir=x").data.dir is None


@pytest.mark.parametrize("command", ["generate", "evaluate", "recognise"])
def test_commands_of_one_shot_compose(command):
    assert composed(command, "checkpoint=x").checkpoint == "x"


def test_promised_setting_names_exist():
    promised = {
        "train": "data.dir model.residual_channels model.stacks model.layers_per_stack model.kernel_size steps seed "
        "validate_every checkpoint_every optim.lr run.dir resume report",
        "generate": "checkpoint seconds count seed temperature top_k top_p prime engine precision output report",
        "evaluate": "checkpoint data.dir engine precision report",
        "recognise": "checkpoint data.dir split output report",
        "speak": "text checkpoint rate pitch temperature seed output timings report",
        "compare": "runs output report",
        "align": "data.dir data.language data.lexicon output report",
    }
    for command, names in promised.items():
        assert set(names.split()) <= {setting.name for setting in settings(SCHEMAS[command])}
    assert {"tiny", "base", "paper", "large"} <= set(GROUPS["model"])

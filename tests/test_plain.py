"""Plain settings, which are read without Hydra: they mean what Hydra makes of them, and the rest is left to it."""

import pytest

from wavenet.cli import plain
from wavenet.cli.composing import compose, config_folder
from wavenet.cli.overrides import for_hydra, names
from wavenet.config import GenerateConfig, SpeakConfig, TrainConfig

PLAIN = [
    [],
    ["checkpoint=x.wavenet", "seconds=2", "seed=17", "temperature=0.75"],
    ["checkpoint=~/runs/mine", "output=-", "play=true", "keep_prime=false", "prime=../a_b-c.wav"],
    ["checkpoint=123", "output=/dev/stdout", "report=~", "features=1.5e3", "prime=a~b/.x"],
    ["label.speaker=june", "label.mood=very_wild-2.0", "guidance=2", "top_k=0"],
    ["seconds=2.50", "top_p=0.9", "engine=compiled", "device=cpu", "count=007"],
]
LEFT = [
    *(["seconds=null"], ["seconds=1e3"], ["seconds=.5"], ["seed=1_000"], ["count=2.0"], ["play=True"], ["play=yes"]),
    *(["checkpoint=a b"], ["checkpoint=null"], ["checkpoint="], ["checkpoint='x'"], ["output=${x}"], ["prime=é.wav"]),
    *(["label.speaker=1"], ["label.speaker=null"], ["label.a.b=june"], ["label.speaker=[a,b]"], ["label={a:b}"]),
    *(["label.a=b", "label.a=c"], ["seed=1", "seed=2"], ["seed"], ["+seed=1"], ["~seed"], ["speed=1"], ["label=x"]),
    *(
        ["--cfg", "job"],
        ["hydra.verbose=true"],
        ["seed=-1"],
        ["engine=fast"],
        ["top_p=0"],
        ["seed=9999999999999999999"],
    ),
]


@pytest.mark.parametrize("arguments", PLAIN, ids=" ".join)
def test_plain_settings_are_what_hydra_makes_of_them(arguments):
    overrides = for_hydra(arguments, GenerateConfig, {})
    expected = compose("generate", GenerateConfig, overrides), names(overrides)
    assert plain.read("generate", GenerateConfig, arguments, config_folder()) == expected


@pytest.mark.parametrize("arguments", LEFT, ids=" ".join)
def test_the_rest_is_left_to_hydra(arguments):
    assert plain.read("generate", GenerateConfig, arguments, config_folder()) is None


def test_a_required_setting_is_left_to_hydra():
    assert plain.read("speak", SpeakConfig, ["seed=1"], config_folder()) is None
    found = plain.read("speak", SpeakConfig, ["text=Hello"], config_folder())
    assert found == (SpeakConfig("Hello"), {"text"})


def test_a_command_whose_yaml_sets_something_is_left_to_hydra(tmp_path):
    assert plain.read("train", TrainConfig, [], config_folder()) is None
    text = (config_folder() / "generate.yaml").read_text()
    for more, plain_still in (("", True), ("seconds: 10\n", False)):
        (tmp_path / "generate.yaml").write_text(text + more)
        assert (plain.read("generate", GenerateConfig, [], tmp_path) is not None) == plain_still
    (tmp_path / "generate.yaml").write_text(text.replace("  - _self_", "  - _self_\n  - mine"))
    assert plain.read("generate", GenerateConfig, [], tmp_path) is None

"""The command line: every mistake is one line that names the setting; flags, presets, and paths of any name."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import COMMANDS, QUICK
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

import wavenet
from wavenet.cli.composing import compose
from wavenet.cli.overrides import for_hydra, names
from wavenet.config import GenerateConfig, TrainConfig


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.residual_chanels=8", "unknown setting model.residual_chanels (did you mean model.residual_channels?)"),
        ("+model.residual_chanels=8", "unknown setting model.residual_chanels (did you mean model.residual_channels?)"),
        ("++optm.lr=1", "unknown setting optm.lr (did you mean optim.lr?)"),
        ("lr=1", "unknown setting lr (did you mean optim.lr?)"),
        ("stepz=3", "unknown setting stepz (did you mean steps?)"),
        ("steps=abc", "steps is 'abc', but it must be a whole number"),
        ("optim.lr=fast", "optim.lr is 'fast', but it must be a number"),
        ("model.bias=perhaps", "model.bias is 'perhaps', but it must be true or false"),
        ("steps=0", "steps is 0, but it must be at least 1"),
        ("optim.lr=-1", "optim.lr is -1.0, but it must be greater than 0"),
        ("model=bse", "model=bse does not exist (did you mean model=base?)"),
        ("data.dir=/does/not/exist", "data.dir: /does/not/exist does not exist"),
        ("resume=/does/not/exist", "there is no training state at /does/not/exist"),
        ("+steps=0", "steps is 0, but it must be at least 1"),
        ("data.dir=", "data.dir is empty: give a path, as in data.dir=..."),
        ("device=gpu", "device is 'gpu', but it must be one of auto, cpu, cuda"),
        ("data.labels=[null]", "data.labels[0] is null, but it must be text"),
        ("optim.lr=null", "optim.lr is null, but it needs a value"),
        ("optim=null", "optim is null, but it must be one of adamw, muon"),
        ("steps=1,2", "steps=1,2 gives several values: add --multirun to run with each, or quote the value"),
        ("hydra.rundir=x", "hydra.rundir: Key 'rundir' not in 'HydraConf'"),
        ("data.labels=folder", "data.labels is 'folder', but it is written data.labels=[folder]"),
        ("model.context.pools=256", "model.context.pools is 256, but it is written model.context.pools=[256]"),
    ],
)
def test_a_mistake_is_one_line_and_status_1(call, override, said):
    status, _, err = call("train", override)
    assert status == 1
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("settings", "length"),
    [
        ([], "now steps=20000, hours on most computers"),
        (["steps=3", "model=tiny"], "now steps=3)"),
        (["experiment=digits"], "now minutes=30)"),
    ],
)
def test_training_asks_what_it_is_to_learn(call, settings, length):
    """A bare command once began eleven hours on the bundled recordings."""
    status, out, err = call("train", *settings)
    assert (status, out) == (1, "")
    assert err.startswith("error: data.dir is not set: give your folder of recordings, as in data.dir=~/recordings")
    assert length in err
    assert "experiment=demo, three minutes" in err
    assert err.count("\n") == 1
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("train", ["steps"], "cannot understand 'steps'"),
        ("train", ["--hlep"], "unknown flag --hlep: settings are written name=value, see --help"),
        ("generate", ["--seconds", "3"], "unknown flag --seconds: settings are written seconds=3, see --help"),
        ("generate", ["checkpoint=x", "--seconds=3"], "unknown flag --seconds: settings are written seconds=3, see"),
        ("train", ["--resume", "data.dir=x"], "unknown flag --resume: settings are written resume=..., see --help"),
        ("train", ["--cfg"], "argument --cfg/-c: expected one argument; see --help"),
        ("train", ["--info", "x"], "argument --info/-i: invalid choice: 'x'"),
        (
            "train",
            ["--cfg", "job", "--multirun"],
            "argument --multirun/-m: not allowed with argument --cfg/-c; see --help",
        ),
        ("train", ["--resolve"], "--resolve belongs to --cfg"),
        ("train", ["--config-dir", "gone"], "--config-dir: there is no folder gone"),
        ("train", ["--experimental-rerun", "x.pickle"], "unknown flag --experimental-rerun"),  # it would unpickle
        ("train", ["steps=1", "--multirun", "seed=1,2"], "cannot understand 'seed=1,2' here: write the settings next"),
        ("evaluate", [], "checkpoint is not set"),
    ],
)
def test_a_command_line_that_is_not_understood_is_status_2(call, command, arguments, said):
    status, _, err = call(command, *arguments)
    assert status == 2
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "command", ["train", "generate", "evaluate", "recognise", "align", "speak", "export", "cache", "compare"]
)
def test_help_tells_every_setting(call, command):
    status, out, _ = call(command, "--help")
    assert status == 0
    assert out.count("(required)") == (0 if command in ("train", "generate", "align", "cache", "compare") else 1)
    expected = {"train": "optim.lr (0.", "generate": "top_p (1.0)", "evaluate": "data.dir (none)", "export": "(auto)"}
    expected |= {"recognise": "data.frames (none)", "cache": "unused_days (none)", "align": "data.lexicon (none)"}
    expected |= {"speak": "timings (none)", "compare": "output (comparison)"}
    assert expected[command] in out


def test_help_and_version_do_without_torch():
    code = (
        "import sys\n"
        f"from wavenet.cli import {', '.join(COMMANDS)}\n"
        f"for command in ({', '.join(COMMANDS)}):\n"
        "    for flag in ('--help', '--version'):\n"
        "        sys.argv[1:] = [flag]\n"
        "        command.main()\n"
        "assert not {'torch', 'hydra', 'omegaconf'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Settings:") == done.stdout.count(f"wavenet {wavenet.__version__}") == len(COMMANDS)


@pytest.mark.parametrize("command", ["train", "generate"])
def test_ctrl_c_while_torch_is_imported_is_one_word(command, tmp_path):
    (tmp_path / "torch.py").write_text("raise KeyboardInterrupt")
    given = ["data.dir=x"] if command == "train" else ["checkpoint=kathleen"]
    done = subprocess.run(
        [sys.executable, "-c", f"from wavenet.cli.{command} import main; main()", *given],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_a_preset_of_ones_own_starts_from_a_shipped_one(call, tmp_path):
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "mine.yaml").write_text("defaults: [tiny]\nresidual_channels: 48\n")
    status, out, _ = call("train", "--config-dir", "mine", "model=mine", "--cfg", "job")
    assert status == 0
    assert "residual_channels: 48" in out
    assert "layers_per_stack: 9" in out  # as in tiny
    status, _, err = call("train", "--config-dir", "mine", "model=mine", "data.dir=gone")
    assert (status, err.startswith("error: data.dir: ")) == (1, True)


def test_hydras_own_flags_and_settings_are_its_own(call, tmp_path, monkeypatch):
    status, out, _ = call("train", "--cfg", "job", "--package", "optim", "optim.lr=0.5")
    assert (status, out.startswith("# @package optim\nname: muon\nlr: 0.5")) == (0, True)
    assert "file://" in call("train", "--info", "searchpath")[1]
    given = ["hydra.output_subdir=.hydra", "hydra.run.dir=${hydra:runtime.cwd}/here", "cache_dir=a b"]
    assert call("cache", *given)[0] == 0
    assert (tmp_path / "here" / ".hydra" / "overrides.yaml").read_text() == '- cache_dir="a b"\n'
    assert sys.argv == ["wavenet-cache", *given], "it is put back"


def test_scripts_from_a_checkout():
    root = Path(__file__).parents[1]
    for script in ("train", "generate", "evaluate", "recognise", "align", "speak", "compare"):
        done = subprocess.run(
            [sys.executable, str(root / "scripts" / f"{script}.py"), "--help"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0
        assert "Settings:" in done.stdout


# ---- paths of any name


@pytest.mark.parametrize(
    "name", ["plain", "My Music (2024), part 2", "Bjørk's=best", 'say "hi"', "50% [x] {y}", "back\\slash", "null", "~x"]
)
def test_any_folder_name_gets_through(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    overrides = for_hydra([f"data.dir=~/{name}", f"run.dir=./{name}", f"+report=of {name}"], TrainConfig, {})
    config = compose("train", TrainConfig, overrides)
    assert config.data.dir == f"{tmp_path}/{name}"
    assert (config.run.dir, config.report) == (f"./{name}", f"of {name}")
    assert names(overrides) == {"data.dir", "run.dir", "report"}


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.sampled_from(["label.who", "+label.who"]))
def test_a_label_has_any_value(value, name):
    (override,) = for_hydra([f"{name}=x{value}"], GenerateConfig, {})
    assert override.startswith("+label.who=")
    assert OverridesParser.create().parse_override(override).value() == f"x{value}".replace("${", "\\${")


def test_a_folder_of_an_odd_name_is_learned_from_and_played(call, tones, tmp_path):
    name = 'say "hi", it\'s [50%] {y}=\\'
    shutil.copytree(tones, tmp_path / name)
    status, _, err = call("train", f"data.dir={name}", f"run.dir=runs {name}", *QUICK)
    assert (status, err) == (0, "")
    status, _, err = call("generate", f"checkpoint=runs {name}", "seconds=0.01", f"output={name}.wav")
    assert (status, err) == (0, "")
    assert Path(f"{name}.wav").is_file()

"""The wheel: holds the settings and the kernels, runs from anywhere, and is made even where no compiler works."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_runs_without_the_checkout(tmp_path):
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    assert "wavenet/configs/model/base.yaml" in names
    assert not [name for name in names if name.startswith(("tests/", "data/", "scripts/", "wavenet/csrc"))]
    assert any(name.startswith("wavenet/_native.") for name in names)
    (player,) = (name for name in names if name.endswith(".data/scripts/wavenet-play"))  # pip makes it a command
    (tmp_path / "installed" / player).chmod(0o755)
    play = [tmp_path / "installed" / player, ROOT / "tests" / "files" / "version_2_int8.wavenet", "-", "seconds=0.01"]
    assert len(subprocess.run(play, capture_output=True, check=True).stdout) == 160
    done = subprocess.run(
        [sys.executable, "-P", "-m", "wavenet.cli.train", "--cfg", "job", "model=tiny"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "residual_channels: 32" in done.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_without_a_compiler_all_but_the_kernels_is_installed(tmp_path):
    for name in ("c++", "g++", "clang++", "cc", "gcc"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
    environment = os.environ | {"CXX": str(tmp_path / "bin" / "c++"), "CC": str(tmp_path / "bin" / "cc")}
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT]
    subprocess.run(wheel, check=True, env=environment)
    (made,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(made) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    assert "wavenet/model/native.py" in names
    assert not any("wavenet/_native." in name or "wavenet-play" in name for name in names)
    code = "from wavenet.model import native; print(native.instruction_sets(), native.missing)"
    done = subprocess.run(
        [
            sys.executable,
            "-S",
            "-P",
            "-c",
            f"import sys; sys.path[:0] = {[str(tmp_path / 'installed'), *sys.path]}\n{code}",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("[] the compiled kernels are not installed")

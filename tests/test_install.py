"""The wheel: holds the settings, and runs from anywhere."""

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
    assert not [name for name in names if name.startswith(("tests/", "data/", "scripts/"))]
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

"""How torch's threads wait for each other: set before torch is imported, unless the user has set it."""

import os
import subprocess
import sys

import pytest

SHOW = "import os, wavenet; print(os.environ.get('GOMP_SPINCOUNT'), os.environ.get('OMP_WAIT_POLICY'))"


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    return subprocess.run(
        [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True, check=True
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "10000 None"),
        ({"GOMP_SPINCOUNT": "7"}, "7 None"),
        ({"OMP_WAIT_POLICY": "active"}, "None active"),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, "None PASSIVE"),
    ],
)
def test_what_the_user_sets_wins(given, expected):
    assert python(SHOW, **given).stdout.split() == expected.split()


def test_torch_in_a_command_waits_as_set():
    """Commands import torch only after the package, so that OpenMP reads the setting."""
    said = python("import wavenet.cli.train, wavenet.cli.app, torch", OMP_DISPLAY_ENV="verbose").stderr
    if "GOMP_SPINCOUNT" not in said:
        pytest.skip("this torch is not built with GNU OpenMP")
    assert "GOMP_SPINCOUNT = '10000'" in said

"""Who may import whom: the contracts of pyproject.toml; what importing costs; and that nothing is unpickled."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from wavenet import voice

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "wavenet").rglob("*.py"))
LINT = """
import sys
# an editable installation's finder names the folders of the data files as well
sys.meta_path = [finder for finder in sys.meta_path if "ScikitBuild" not in type(finder).__name__]
sys.path.insert(0, {folder!r})
from importlinter.cli import lint_imports
sys.exit(lint_imports({config!r}, no_cache=True))
"""


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    code = LINT.format(folder=str(folder), config=str(ROOT / "pyproject.toml"))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder)


def test_imports_point_down():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("model/layers.py", "def f():\n    from wavenet import generation", "wavenet.model is not allowed to import"),
        ("training/loop.py", "from omegaconf import OmegaConf", "Only the commands know Hydra and rich BROKEN"),
        ("evaluation/bits.py", "import matplotlib.pyplot as plt", "Only pictures are drawn with matplotlib BROKEN"),
        (
            "model/hub.py",
            "import uvicorn",
            "Only the server knows starlette and uvicorn, and only one module the hub BROKEN",
        ),
        ("novelty.py", "", "wavenet.novelty"),
    ],
)
def test_the_contracts_bite(name, source, said, tmp_path):
    for room in (
        "cli",
        "training",
        "web",
        "speech",
        "evaluation",
        "generation",
        "recordings",
        "model",
        "audio",
        "config",
    ):
        (tmp_path / "wavenet" / room).mkdir(parents=True)
        (tmp_path / "wavenet" / room / "__init__.py").write_text("")
    imports = {"__init__.py": "from wavenet import voice", "audio/plots.py": "import matplotlib"}
    for file in (*imports, "files.py", "errors.py", "voice.py"):
        (tmp_path / "wavenet" / file).write_text(imports.get(file, ""))
    assert lint_imports(tmp_path).returncode == 0
    (tmp_path / "wavenet" / name).write_text(source)
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert said in done.stdout


def test_no_pickle_is_loaded():
    calls = [node for path in SOURCES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    loads = [ast.unparse(call) for call in calls if ast.unparse(call.func) == "torch.load"]
    assert loads
    assert all("weights_only=True" in load for load in loads)


def test_importing_the_library_stays_light():
    heavy = "torch", "hydra", "omegaconf", "matplotlib", "rich", "tensorboard", "wandb"
    code = f"import sys, wavenet; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_librarys_names_are_there_when_asked_for():
    import wavenet

    assert set(wavenet.__all__) <= set(dir(wavenet))
    for name in wavenet.__all__:
        assert getattr(wavenet, name) is getattr(wavenet, name)
    assert wavenet.load is voice.load
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        wavenet.lod  # noqa: B018 (looking it up is the test)

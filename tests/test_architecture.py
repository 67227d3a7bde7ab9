"""Who may import whom: down only. A module that the table does not know fails, so that the table stays the map."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from wavenet import checkpoint

ROOT = Path(__file__).parents[1] / "wavenet"
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "pcm": {"files"},
    "words": set(),
    "parallel": set(),
    "containers": {"containers"},
    "levels": {"words"},
    "decoding": {"containers", "errors"},
    "cache": {"errors"},
    "folder": {"audio", "config", "errors", "words"},
    "mulaw": set(),
    "encodings": {"mulaw"},
    "config": {"errors"},
    "audio": {"decoding", "errors", "files", "levels", "pcm"},
    "native": {"errors"},
    "stack": {"native"},
    "layers": {"config", "encodings"},
    "conditioning": {"config", "distributions", "encodings", "layers"},
    "recognition": {"config", "distributions"},
    "model": {"conditioning", "config", "distributions", "layers", "recognition", "stack", "twins"},
    "distributions": {"encodings", "errors", "native"},
    "preparation": {
        "audio",
        "cache",
        "config",
        "encodings",
        "errors",
        "files",
        "folder",
        "levels",
        "parallel",
        "words",
    },
    "tables": {"errors"},
    "sides": set(),
    "matching": {"audio", "preparation"},
    "metadata": {"words", "errors", "matching", "preparation", "sides", "tables"},
    "labels": {"errors", "metadata", "preparation", "sides", "tables"},
    "split": {"words", "config", "labels", "metadata", "preparation", "sides"},
    "features": {"config", "encodings", "errors"},
    "fidelity": {"config", "features"},
    "alignments": {"words", "audio", "config", "distributions", "errors", "files", "matching", "preparation", "tables"},
    "annotations": {
        "words",
        "alignments",
        "conditioning",
        "config",
        "encodings",
        "errors",
        "features",
        "files",
        "labels",
        "metadata",
        "parallel",
        "preparation",
    },
    "dataset": {"alignments", "annotations", "conditioning", "distributions", "encodings", "split"},
    "checkpoint": {"config", "errors", "files", "model"},
    "export": {"encodings", "errors", "layers", "model"},
    "twins": set(),
    "generation": {
        "audio",
        "conditioning",
        "distributions",
        "errors",
        "export",
        "generation",
        "model",
        "mulaw",
        "native",
        "pcm",
        "twins",
    },
    "baselines": {"encodings", "split"},
    "traits": {"config", "features"},
    "verdict": {"baselines", "encodings", "split", "traits"},
    "runs": set(),
    "evaluation": {
        "annotations",
        "conditioning",
        "dataset",
        "distributions",
        "encodings",
        "generation",
        "model",
        "split",
    },
    "plots": {"files"},
    "wavenet": {"checkpoint", "config", "errors", "model"},
}
MAY_IMPORT["training"] = {*MAY_IMPORT, "training"} - {"wavenet"}
MAY_IMPORT["cli"] = {*MAY_IMPORT, "cli"}
ONLY_IN = {
    "hydra": {"cli"},
    "omegaconf": {"cli"},
    "rich": {"cli"},
    "matplotlib": {"plots"},
    "lightning_fabric": {"training"},
}
SOURCES = sorted(ROOT.rglob("*.py"))


def part(path: Path) -> str:
    """Top-level module or package that a file belongs to."""
    first = path.relative_to(ROOT).parts[0].removesuffix(".py")
    return "wavenet" if first == "__init__" else first


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down(path):
    own = {name.split(".")[1] for name in imports(path) if name.startswith("wavenet.")}
    if part(path) == "native":
        own.remove("_native")  # the compiled module, which nothing else touches
    own = {name if name in MAY_IMPORT else "wavenet" for name in own}
    assert own <= MAY_IMPORT[part(path)]
    for library, parts in ONLY_IN.items():
        if part(path) not in parts:
            assert library not in {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_pickle_and_no_bare_except(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None)
    assert not {"pickle", "marshal", "shelve"} & {name.split(".")[0] for name in imports(path)}


def test_importing_the_library_stays_light():
    heavy = "torch", "hydra", "omegaconf", "matplotlib", "rich", "tensorboard", "lightning_fabric"
    code = f"import sys, wavenet; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_librarys_names_are_there_when_asked_for():
    import wavenet

    assert set(wavenet.__all__) <= set(dir(wavenet))
    for name in wavenet.__all__:
        assert getattr(wavenet, name) is getattr(wavenet, name)
    assert wavenet.load is checkpoint.load
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        wavenet.lod  # noqa: B018 (looking it up is the test)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("model.py", "from wavenet.generation import Engine"),
        ("model.py", "def f():\n    from wavenet import generation"),
        ("mulaw.py", "import wavenet.config"),
        ("generation/fast.py", "from wavenet.training.trainer import train"),
        ("training/loop.py", "from wavenet.cli import app"),
        ("evaluation.py", "import matplotlib.pyplot as plt"),
        ("training/loop.py", "from omegaconf import OmegaConf"),
        ("training/loop.py", "from rich.progress import Progress"),
        ("audio.py", "from .errors import AudioError"),
    ],
)
def test_the_import_rules_bite(name, source, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    with pytest.raises(AssertionError):
        test_imports_point_down(path)


def test_a_module_that_is_not_in_the_table_fails(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "novelty.py").write_text("")
    with pytest.raises(KeyError, match="novelty"):
        test_imports_point_down(tmp_path / "novelty.py")


def test_the_table_lists_what_there_is():
    assert {part(path) for path in SOURCES} == set(MAY_IMPORT)


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "import pickle",
        "try:\n    pass\nexcept:\n    pass",
    ],
)
def test_the_rules_on_pickle_and_except_bite(source, tmp_path):
    (tmp_path / "x.py").write_text(source)
    with pytest.raises(AssertionError):
        test_no_pickle_and_no_bare_except(tmp_path / "x.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_name_what_they_take(path):
    """`import wavenet` alone, or an import by a name that is computed, would get past the table."""
    assert not {"wavenet", "importlib.import_module"} & imports(path)
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    assert not {"__import__", "import_module", "importlib.import_module"} & calls
    if part(path) != "training":
        assert not any("tensorboard" in name for name in imports(path))

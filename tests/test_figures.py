"""The pictures of the page on convolutions show what torch computes."""

import importlib.util
import itertools
import re
import sys
from types import ModuleType

import pytest
from PIL import Image
from test_convolutions import PAGE, ROOT


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("figures", ROOT / "scripts" / "figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("dilations", "expected"), [([1, 1, 1, 1], [1, 4, 6, 4, 1]), ([1, 2, 4, 8], [1] * 16)])
def test_the_drawn_connections(figures, dilations, expected):
    stack = figures.connections(dilations, kernel_size=2, inputs=18)
    assert stack.paths[0] == [0] * (18 - len(expected)) + expected
    assert [row.count(None) for row in stack.paths] == list(itertools.accumulate(dilations, initial=0))
    for layer, (dilation, edges) in enumerate(zip(dilations, stack.edges, strict=True), start=1):
        computed = [step for step, paths in enumerate(stack.paths[layer]) if paths is not None]
        assert sorted(edges) == sorted((step - back, step) for step in computed for back in (0, dilation))


def test_the_script_draws_all_pictures(figures, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["figures.py", f"output={tmp_path / 'new'}"])
    figures.main()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "convolutions.png",
        "generation.png",
        "receptive_field.png",
    ]
    for path in (tmp_path / "new").iterdir():
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert picture.width == 990
            colours = {colour for _, colour in picture.convert("RGB").getcolors(maxcolors=2**20) or []}
        drawn = {(255, 255, 255), (0x00, 0x72, 0xB2)} | (set() if path.stem == "generation" else {(0xE6, 0x9F, 0x00)})
        assert drawn <= colours


def test_the_script_refuses_what_it_does_not_know(figures, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["figures.py", "outptu=x"])
    with pytest.raises(SystemExit, match="output=docs/pictures"):
        figures.main()


def test_the_page_shows_the_pictures():
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", PAGE)
    assert sorted(pictures) == ["pictures/convolutions.png", "pictures/receptive_field.png"]
    for picture in pictures:
        assert (ROOT / "docs" / picture).stat().st_size < 80_000
    for script in re.findall(r"(?:scripts|tests)/\w+\.py", PAGE):
        assert (ROOT / script).is_file()

"""The figures of the house are what they say, shown on a toy package."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("measure.py")


@pytest.fixture(scope="module", name="measure")
def _measure():
    spec = importlib.util.spec_from_file_location("measure", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name="house")
def _house(tmp_path):
    room = tmp_path / "tropattn" / "room"
    room.mkdir(parents=True)
    (tmp_path / "tropattn" / "__init__.py").write_text("")
    (room / "__init__.py").write_text("")
    (room / "a.py").write_text("from tropattn.room.b import f\n\nArray = int\n\n\nclass A: ...\n")
    (room / "b.py").write_text(
        "def f(a, b, c, d, e, g, h, i, j):\n"
        '    """Two lines\n    of words."""\n'
        "    from tropattn.room import a\n\n    return a\n\n\nclass A: ...\n"
    )
    (room / "c.py").write_text("import tropattn.room.a\n")
    return tmp_path


def test_figures_of_a_toy_house(measure, house):
    rows = measure.figures(house)
    assert rows["files"] == "5"
    assert rows["room tropattn/room"] == "3 files, 3 arrows, 16 lines"
    assert rows["import circles"] == "1"
    assert rows["  circle 1"] == "room.a, room.b"
    # Six lines of f, two of them its docstring.
    assert rows["longest function, docstring apart"].startswith("4 ")
    assert rows["functions with more than 8 positional parameters, kernels apart"] == "1"
    assert rows["definitions of Array"] == "1"
    assert rows["class names used more than once"] == "A x2"


@pytest.mark.long
def test_rules_of_this_house(measure):
    rows = measure.figures(SCRIPT.parents[2])
    limits = {
        "import circles": "0",
        "modules above 600 lines": "0",
        "functions above 60 lines": "0",
        "functions with more than 8 positional parameters, kernels apart": "0",
        "definitions of Array": "1",
        "class names used more than once": "none",
    }
    assert {name: rows[name] for name in limits} == limits


@pytest.mark.long
def test_two_checkouts_side_by_side(house):
    root = SCRIPT.parents[2]
    done = subprocess.run(
        [sys.executable, "-S", str(SCRIPT), str(house), "--against", str(root)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "  ->  5\n" in done.stdout.splitlines(keepends=True)[0]

"""What others call stays as it is written down in ``surface.json``.

A change that is meant goes into that file with ``python tests/architecture/surface.py``, so that
it shows in a diff; a change of layout leaves the file alone.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module", name="today")
def _today():
    spec = importlib.util.spec_from_file_location("surface", HERE / "surface.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return json.loads(json.dumps(module.surface()))


@pytest.fixture(scope="module", name="written")
def _written():
    return json.loads((HERE / "surface.json").read_text())


@pytest.mark.parametrize(
    "part", ["names", "errors", "commands", "engines", "exit codes", "documents"]
)
def test_what_others_call_is_what_is_written_down(part, today, written):
    assert today[part] == written[part]

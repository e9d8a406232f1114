"""The worked examples of cells.md, polytopes.md and power-diagrams.md are run as they stand."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest


@pytest.mark.long
@pytest.mark.parametrize("name", ["cells", "polytopes", "power-diagrams"])
def test_the_examples_of_the_page_are_true(name):
    page = Path(__file__).parents[3] / "docs" / f"{name}.md"
    found = doctest.testfile(str(page), module_relative=False, optionflags=doctest.REPORT_NDIFF)
    assert found.attempted > 15
    assert found.failed == 0

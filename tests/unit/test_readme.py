"""The README's example runs and says what the README says; no private word slips in."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_example_prints_what_it_says(capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code
    exec(code.group(1), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "19 exact R^2"
    assert lines[3] == "19"
    assert 1 < int(lines[4]) <= 19


def test_every_document_named_in_the_readme_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"`(docs/[a-z_]+\.md)`", text):
        assert (ROOT / name).is_file(), name

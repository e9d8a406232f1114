"""The pages of the site: their code runs, their pictures are there, every public name is shown."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tropattn as ta

DOCS = Path(__file__).parents[2] / "docs"


def blocks(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def titles(name):
    return re.findall(r"^## (.*)$", (DOCS / name).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(
    "code", blocks("gallery.md"), ids=[title.replace(" ", "-") for title in titles("gallery.md")]
)
def test_every_example_of_the_gallery_draws(code):
    assert code.count("\n") <= 11
    scope = {}
    exec(code, scope)
    assert scope["figure"].axes


def test_every_picture_of_the_gallery_is_there():
    names = re.findall(r"!\[[^]]*\]\(([^)]*)\)", (DOCS / "gallery.md").read_text(encoding="utf-8"))
    assert len(names) == len(blocks("gallery.md")) >= 15
    for name in names:
        assert (DOCS / name).is_file(), name


@pytest.mark.parametrize("code", blocks("first-steps.md"))
def test_first_steps_print_what_they_say(code, capsys):
    exec(code, {})
    said = capsys.readouterr().out.splitlines()
    told = [line.split("  # ")[1] for line in code.splitlines() if line.startswith("print(")]
    for words, line in zip(told, said, strict=True):
        assert words.partition(": the key")[0] == line


def test_every_public_name_is_on_its_page():
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"auto(?:class|function|module):: tropattn\.([\w.]+)", text))
    modules = {"bounds", "constructions", "dynamics", "initialisers", "plotting", "temperature"}
    assert set(ta.__all__) - modules <= shown
    for name in modules:
        assert getattr(ta, name).__name__.removeprefix("tropattn.") in shown


def test_every_document_is_in_a_table_of_contents():
    listed = re.findall(r"^([a-z-]+)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.M)
    pages = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    assert pages == set(listed)


def test_the_site_builds_without_a_warning(tmp_path):
    for name in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(name, reason="needs the extra docs")
    made = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", DOCS, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-2000:]
    assert (tmp_path / "gallery.html").is_file()

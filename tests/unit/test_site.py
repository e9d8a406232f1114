"""The pages of the site: their code runs, their pictures are there, every public name is shown."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tropattn as ta

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = [f"notebooks/{path.name}" for path in sorted((DOCS / "notebooks").glob("*.md"))]


def blocks(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def titles(name):
    return re.findall(r"^## (.*)$", (DOCS / name).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.long
@pytest.mark.parametrize(
    "code", blocks("gallery.md"), ids=[title.replace(" ", "-") for title in titles("gallery.md")]
)
def test_every_example_of_the_gallery_draws(code):
    assert code.count("\n") <= 11
    scope = {}
    exec(code, scope)
    figure = scope["figure"]
    assert figure.to_jshtml() if hasattr(figure, "to_jshtml") else figure.axes


def pictures(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    return [(DOCS / name).parent / file for file in re.findall(r"!\[[^]]*\]\(([^)]*)\)", text)]


def test_every_picture_of_the_gallery_is_there():
    drawn = pictures("gallery.md")
    assert len(drawn) == len(blocks("gallery.md")) >= 15
    assert [file for file in drawn if not file.is_file()] == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_cell_of_a_notebook_prints_what_stands_below_it(name, capsys):
    text = (DOCS / name).read_text(encoding="utf-8")
    cells = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", text, re.DOTALL)
    scope, drawn = {}, []
    for code, told in cells:
        scope.pop("figure", None)
        exec(code, scope)
        assert capsys.readouterr().out == told
        drawn += [scope["figure"]] if "figure" in scope else []
    files = pictures(name)
    assert len(drawn) == len(files) and all(file.is_file() for file in files)


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
    listed = re.findall(r"^([a-z/-]+)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.M)
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md")} - {"index"}
    assert pages == set(listed)


@pytest.mark.long
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

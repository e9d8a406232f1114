"""Every command line that the README and the documents show runs as it is printed.

A line is an indented one that begins with ``tropattn``; a comment behind two blanks and ``#`` is
for the reader. ``pip`` lines install or download and are left out, and so is what is written with a
placeholder in capitals or needs other machines. ``pytest`` and ``python`` lines are only asked for
the files they name.
"""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import tropattn as ta

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LONG = ("docs/experiments.md",)
"""Documents whose lines take minutes."""

ELSEWHERE = ("--scheduler", "--merge", "part1.job", "whole.job")
"""Lines for other machines; ``tests/unit/regions/jobs`` does what they do."""


def lines(document, program):
    """The command lines of one program, in order, without comments."""
    found = []
    for line in document.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"    {program} "):
            found.append(re.split(r"\s{2,}#|\s#\s", line.strip())[0].strip())
    return found


def shown(program="tropattn"):
    """One parameter a document that shows lines of a program."""
    for document in DOCUMENTS:
        if document.name != "changelog.md" and lines(document, program):
            name = str(document.relative_to(ROOT))
            marks = [pytest.mark.slow] if name in LONG else []
            yield pytest.param(document, id=name, marks=marks)


def prepare(folder):
    """The files of the reader's own that the lines speak of."""
    heads = ta.constructions.parabola_strips([16, 16, 16], 2)
    arrays = [f.slopes for f in heads], [f.intercepts for f in heads]
    np.savez(folder / "heads.npz", slopes=arrays[0], intercepts=arrays[1])
    np.savez(folder / "tokens.npz", tokens=np.random.default_rng(0).standard_normal((9, 2)))
    np.savez(folder / "matrices.npz", S=np.eye(2), V=np.eye(2))
    np.savez(
        folder / "d2.npz",
        words=np.array(["<pad>", "<unk>", "good", "bad"]),
        embedding=np.array([[0.0], [0.0], [2.0], [-2.0]]),
        weight=np.array([1.0]),
        bias=np.array(0.0),
        alpha=np.array(1.0),
        layers=np.array(2),
        length=np.array(4),
        test_ids=np.array([[2, 0, 0, 0], [3, 0, 0, 0]]),
        test_labels=np.array([1, 0]),
    )


@pytest.mark.long
@pytest.mark.parametrize("document", list(shown()))
def test_every_line_runs_as_printed(document, tmp_path, monkeypatch, invoke):
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    for line in lines(document, "tropattn"):
        if any(words in line for words in ELSEWHERE):
            continue
        words = shlex.split(line)[1:]
        if words[0] == "atlas" and find_spec("bokeh") is None:
            pytest.skip("pages need the extra atlas")
        assert not re.search(r"\b[A-Z]{4,}\b", line), f"{line}: a placeholder, not a command"
        ended = invoke(*words)
        assert ended.exit_code == 0, f"{line}\n{ended.stderr[-2000:]}"
        for name in re.findall(r"(?:--output|-o|--certificate) (\S+)", line):
            assert (tmp_path / name).stat().st_size > 0, line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_named_in_a_line_exists(document):
    for program in ("python", "pytest"):
        for line in lines(document, program):
            for name in re.findall(r"\b((?:tests|experiments)/\S+)", line):
                assert (ROOT / name).exists(), line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_lines_in_running_text_name_commands_and_options_that_exist(document, invoke):
    text = document.read_text(encoding="utf-8")
    if document.name == "changelog.md":
        return
    for span in re.findall(r"`(tropattn [a-z][^`]*)`", text):
        words = [word.strip("[]") for word in span.split()[1:]]
        command = [word for word in words[:2] if re.fullmatch(r"[a-z]+", word)]
        command = command if command[:1] == ["dynamics"] else command[:1]
        shown_help = invoke(*command, "--help").stdout
        assert shown_help.startswith("Usage"), span
        for option in words:
            if option.startswith("--"):
                assert option in shown_help, span

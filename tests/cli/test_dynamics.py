"""``tropattn dynamics`` through click's runner."""

from __future__ import annotations

import json
import re
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner

from tropattn import glossary
from tropattn.cli import main
from tropattn.errors import InvalidInput

GROUP = main.commands["dynamics"]


def answer(*words):
    result = CliRunner().invoke(GROUP, [*words, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_hardmax_names_leaders_limits_and_cells(tmp_path):
    np.savez(tmp_path / "t.npz", tokens=np.array([[1.0, 1], [-1, 1], [0, 0]]))
    figure = tmp_path / "f.png"
    found = answer("hardmax", str(tmp_path / "t.npz"), "--alpha", "0.5", "--output", str(figure))
    assert found["schema"] == "tropattn.record"
    assert found["tables"]["summary"][0]["leaders"] == [0, 1]
    assert found["tables"]["limits"][2]["limit"] == ["0", "1"]
    assert found["tables"]["cells"][0]["cells"]["value"] == "3"
    assert figure.stat().st_size > 1000


def test_simulate_reports_clusters_and_energy(tmp_path):
    figure = tmp_path / "f.svg"
    found = answer("simulate", "--n", "6", "--dim", "2", "--beta", "1", "--output", str(figure))
    summary = found["tables"]["summary"][0]
    assert summary["clusters_at_end"] == 1
    assert summary["dissipation_residual"] < 1e-6
    assert figure.exists()


def test_phase_counts_runs(tmp_path):
    found = answer(
        "phase",
        "--n",
        "4",
        "--dim",
        "4",
        "--betas",
        "2",
        "--runs",
        "4",
        "--layers",
        "50",
        "--scheme",
        "layers",
        "--output",
        str(tmp_path / "p.pdf"),
    )
    assert [row["beta"] for row in found["tables"]["rows"]] == [0.0, 9.0]


@pytest.mark.long
def test_gaussian_names_the_phase(tmp_path):
    np.savez(tmp_path / "g.npz", S=np.eye(2))
    found = answer("gaussian", str(tmp_path / "g.npz"), "--output", str(tmp_path / "g.png"))
    summary = found["tables"]["summary"][0]
    assert summary["phase"] == "blows up"
    assert summary["time"] == pytest.approx(0.5)


def test_sentiment_needs_a_model_file(tmp_path):
    with pytest.raises(InvalidInput, match="path"):
        CliRunner().invoke(GROUP, ["sentiment", str(tmp_path / "x.npz")], catch_exceptions=False)


def test_sentiment_judges_a_text(tmp_path):
    np.savez(
        tmp_path / "m.npz",
        embedding=[[0.0], [0.0], [2.0], [-2.0]],
        alpha=1.0,
        weight=[1.0],
        words=np.array(["<pad>", "<unk>", "good", "bad"]),
        bias=0.0,
        layers=8,
        length=4,
    )
    found = answer("sentiment", str(tmp_path / "m.npz"), "--text", "a bad one")
    assert found["tables"]["verdict"][0]["positive"] is False
    assert found["tables"]["leaders"][0]["word"] == "bad"


@pytest.mark.parametrize(
    ("line", "rows", "explained"),
    [
        ("hardmax --n 4 --layers 2", ["tokens +4", "token +limit +winners"], "leaders"),
        (
            "simulate --n 4 --dim 2 --time 2 --frames 4",
            ["flow +softmax on the sphere", "time +clusters +energy"],
            "soft-hard horizon",
        ),
        ("gaussian --frames 4", ["phase +", "time +eigenvalues +deviation"], "freezing level"),
        (
            "phase --n 4 --dim 4 --runs 2 --layers 20 --betas 3",
            ["beta +half met at +met at the end"],
            "half met at",
        ),
    ],
)
def test_text_output_is_tables_and_explains_its_words(line, rows, explained):
    result = CliRunner().invoke(GROUP, line.split())
    assert result.exit_code == 0
    for row in rows:
        assert re.search(f"^ *{row}", result.stdout, re.MULTILINE), row
    assert re.search(f"^  {explained} +[a-z]", result.stdout, re.MULTILINE)
    assert "_" not in result.stdout.replace("E_beta", "")
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_every_word_of_a_record_is_explained_or_plain():
    plain = {"summary", "run", "rows", "limits", "tokens", "token", "layer", "time", "clusters"}
    plain |= {"start", "stop", "dim"}
    for words in (
        ["hardmax", "--n", "4", "--layers", "2"],
        ["simulate", "--n", "4", "--dim", "2", "--time", "2"],
        ["gaussian"],
        ["phase", "--n", "4", "--dim", "4", "--runs", "2", "--layers", "20", "--betas", "3"],
    ):
        for name, rows in answer(*words)["tables"].items():
            for key in [name, *(rows[0] if rows else ())]:
                assert key in glossary.DYNAMICS or key in plain, key


def test_rationals_are_rounded_in_text_alone():
    words = ["hardmax", "--n", "6", "--layers", "3"]
    text = CliRunner().invoke(GROUP, words).stdout
    limits = [row["limit"] for row in answer(*words)["tables"]["limits"]]
    assert "/" not in text and any("/" in entry for limit in limits for entry in limit)
    assert f"({', '.join(f'{float(Fraction(entry)):.4g}' for entry in limits[0])})" in text


@pytest.mark.parametrize("command", ["hardmax", "gaussian", "sentiment"])
def test_damaged_archives_end_with_one_line(command, tmp_path, invoke):
    """Empty (once "interrupted"), truncated, and a lone array in its place."""
    np.savez(tmp_path / "good.npz", tokens=np.eye(2), S=np.eye(2))
    np.save(tmp_path / "lone.npy", np.eye(2))
    good = (tmp_path / "good.npz").read_bytes()
    path = tmp_path / "bad.npz"
    for data in (b"", good[:100], good[:-30], (tmp_path / "lone.npy").read_bytes()):
        path.write_bytes(data)
        result = invoke("dynamics", command, path)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.count("\n") == 1
        assert "a complete .npz archive of number arrays needed" in result.stderr


def test_leaders_with_signs_that_figures_would_read(tmp_path, invoke):
    words = np.array(["<pad>", "<unk>", "$\\frac$", "\x1b[31m\u4e2d"])
    np.savez(
        tmp_path / "m.npz",
        embedding=[[0.0], [0.0], [2.0], [-2.0]],
        alpha=1.0,
        weight=[1.0],
        words=words,
        bias=0.0,
        layers=1,
        length=4,
        test_ids=[[2, 3, 0, 0]],
        test_labels=[1],
    )
    result = invoke("dynamics", "sentiment", tmp_path / "m.npz", "--output", tmp_path / "m.png")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("value", ["1_0", " 3 ", "\uff13", "0x3", "1000000000", "nan", "1e400"])
def test_numbers_of_options_are_plain_and_bounded(value, invoke):
    for words in (["hardmax", "--n", value], ["phase", "--layers", value]):
        result = invoke("dynamics", *words)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("simulate --time 0", "time: a number > 0 needed, got 0.0"),
        ("simulate --scheme layers --step 0", "step: a number > 0 needed, got 0.0"),
        ("simulate --scheme layers --step 1e-9", "step, time: at most 20000 layers needed"),
        ("gaussian --time -1", "time: a number > 0 needed, got -1.0"),
    ],
)
def test_errors_name_what_was_given(line, said, invoke):
    result = invoke("dynamics", *line.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"tropattn: error: {said}")


@pytest.mark.long
def test_films_of_commands_that_have_one(invoke, tmp_path):
    strips = tmp_path / "head.npz"
    np.savez(strips, slopes=[[[0, 0], [1, 0], [0, 1]]])
    film = tmp_path / "leaders.gif"
    result = invoke("dynamics", "hardmax", "--n", 4, "--layers", 2, "--no-limit", "--output", film)
    assert result.exit_code == 0 and film.read_bytes()[:4] == b"GIF8"
    page = tmp_path / "walls.html"
    given = ("--tau", "1,0.5", "--domain", "box:-1,1", "--samples", 10, "--output", page)
    result = invoke("temperature", strips, *given)
    assert result.exit_code == 0 and page.read_text().count("data:image/jpeg") == 40
    for words, said in (
        (("dynamics", "phase"), ".png, .svg, .pdf needed"),
        (("dynamics", "simulate", "--dim", 4), "dimension 2 or 3"),
        (("dynamics", "simulate", "--dim", 2, "--engine", "gram"), "the engine gram"),
        (("temperature", strips, "--domain", "line:x"), "x"),
    ):
        result = invoke(*words, "--output", tmp_path / "none.gif")
        assert (result.exit_code, result.stdout) == (2, "") and said in result.stderr
    assert not (tmp_path / "none.gif").exists()

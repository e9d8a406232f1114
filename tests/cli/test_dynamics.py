"""``tropattn dynamics`` through click's runner."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner

from tropattn.dynamics.command import dynamics_group
from tropattn.errors import InvalidInput
from tropattn.study.dynamics import run

GROUP = dynamics_group(run)


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


def test_text_output_is_plain_lines():
    result = CliRunner().invoke(GROUP, ["hardmax", "--n", "4", "--layers", "2"])
    assert result.exit_code == 0
    assert result.stdout.startswith("summary\n  tokens 4")


def test_rationals_are_rounded_in_text_alone():
    words = ["hardmax", "--n", "6", "--layers", "3"]
    text = CliRunner().invoke(GROUP, words).stdout
    limits = [row["limit"] for row in answer(*words)["tables"]["limits"]]
    assert "/" not in text and any("/" in entry for limit in limits for entry in limit)
    assert f"({', '.join(f'{float(Fraction(entry)):.4g}' for entry in limits[0])})" in text

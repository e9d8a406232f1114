"""``tropattn scaling``: families, weights, limits, interrupts."""

import json

import pytest

from tropattn.cli.options import shipped
from tropattn.errors import Interrupted
from tropattn.regions.result import RegionCount


def document(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def exact(found):
    return [int(row["exact"]["value"]) for row in found["tables"]["rows"]]


def test_degree_and_difference_are_printed(invoke):
    result = invoke("scaling", "--family", "strips", "--samples", 0, "--heads", 3)
    assert result.exit_code == 0, result.stderr
    assert "2: 6" in result.stdout
    assert "2.37+-0.04" in result.stdout
    assert "2..5" in result.stdout


def test_own_weights_with_seeds(invoke, strips):
    found = document(invoke("scaling", strips, "--keys", "1,2,3", "--samples", 100, "--json"))
    # Strips with fewer keys are strips: 1 + 3 (N - 1) + 3 (N - 1)^2.
    assert exact(found) == [1, 7, 19]
    assert found["spec"]["source"]["path"] == str(strips)
    assert found["spec"]["families"] == ["weights"]


def test_shipped_model_on_flats(invoke):
    args = ["scaling", "demo", "--text", "31415=", "--keys", "2,4", "--dim", 2, "--depth", 2]
    found = document(invoke(*args, "--seeds", 2, "--samples", 0, "--json"))
    rows = found["tables"]["rows"]
    assert [row["seed"] for row in rows] == [0, 1, 0, 1]
    assert {row["heads"] for row in rows} == {4}
    assert found["tables"]["exponents"][0]["spread"]["count"] == 2
    assert found["spec"]["source"]["path"] == shipped()


def test_engine_is_passed_on(invoke):
    args = ["scaling", "--family", "strips", "--heads", 2, "--keys", "3", "--samples", 0, "--json"]
    engines = {
        name: document(invoke(*args, "--engine", name))["tables"]["rows"][0]["exact"]["engine"]
        for name in ("auto", "enumeration")
    }
    assert engines == {"auto": "direct_sum", "enumeration": "enumeration"}


def test_stopped_rows_are_shown_and_the_exit_code_says_so(invoke):
    args = ["scaling", "--family", "strips", "--heads", 3, "--keys", "2,3,9", "--samples", 0]
    result = invoke(*args, "--max-cells", 30)
    assert result.exit_code == 3
    assert "at least" in result.stdout
    assert "1 of 3 rows" in result.stderr
    assert result.stderr.count("\n") == 1


def test_rows_so_far_survive_an_interrupt(invoke, monkeypatch):
    counts = iter([4, 9])

    def count(*_, **__):
        value = next(counts, None)
        if value is None:
            raise Interrupted("stop", 5)
        return RegionCount(value, "exact", "cells", "R^2", "enumeration")

    monkeypatch.setattr("tropattn.study.scaling.count_regions", count)
    args = ["scaling", "--family", "strips", "--heads", 2, "--keys", "2,3,4", "--samples", 0]
    result = invoke(*args, "--json")
    assert result.exit_code == 130
    assert exact(json.loads(result.stdout)) == [4, 9]
    assert "at least 5" in result.stderr


def test_figure_of_stopped_rows_leaves_them_out(invoke, tmp_path):
    target = tmp_path / "growth.svg"
    args = ["scaling", "--family", "strips", "--heads", 3, "--keys", "2,3,9", "--samples", 0]
    assert invoke(*args, "--max-cells", 30, "--output", target).exit_code == 3
    assert "<svg" in target.read_text()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--text", "1="], "INPUT needed with --text"),
        (["demo", "--family", "strips"], "--family goes without INPUT"),
        (["demo"], "text, ids"),
        (["demo", "--text", "12=", "--keys", "4"], "at most 3"),
        (["--family", "digits", "--central"], "leave it out"),
        (["--engine", "steam"], "steam"),
    ],
)
def test_bad_requests(invoke, args, words):
    result = invoke("scaling", *args)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_words_of_the_tables_are_explained_below_them(invoke):
    shown = invoke("scaling", "--heads", "1", "--dim", "1", "--keys", "2,3").stdout
    for word in ("H, N", "live", "sampled", "exact", "bound live, N", "degree", "limit"):
        assert f"\n  {word} " in shown, word
    shown = invoke("temperature", "demo", "--text", "31=", "--samples", "100").stdout
    for word in ("soft follows hard", "guaranteed", "measured", "effective cells", "tokens ..."):
        assert f"\n  {word} " in shown, word

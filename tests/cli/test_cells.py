"""``tropattn cells`` as users see it."""

import csv
import io
import json
from fractions import Fraction

import numpy as np
import pytest

import tropattn as ta


def tables(ended):
    assert ended.exit_code == 0, ended.stderr
    return json.loads(ended.stdout)["tables"]


def test_cells_of_a_box_with_faces_and_probabilities(invoke, strips):
    words = ["cells", strips, "--domain", "box:-1,1", "--faces", "--law", "uniform"]
    found = tables(invoke(*words, "--json"))
    assert len(found["cells"]) == 8
    assert sum(Fraction(row["exact_volume"]) for row in found["cells"]) == 4
    assert all(
        row["probability_low"] <= row["volume"] / 4 <= row["probability_high"]
        for row in found["cells"]
    )
    assert [row["with_walls"] for row in found["faces"]] == [15, 22, 8]
    assert sum((-1) ** row["dimension"] * row["faces"] for row in found["faces"]) == 1
    assert sum(row["f_vector"][0] for row in found["cells"]) == len(found["corners"])
    beside = [row for row in found["facets"] if row["unit"] is None]
    assert beside and all(row["key"] is None for row in beside)
    shown = invoke(*words).stdout
    assert "with walls (15, 22, 8)" in shown and "uniform, proved" in shown and "rays" not in shown


def test_one_cell_is_that_of_the_library(invoke, strips):
    found = tables(invoke("cells", strips, "--cell", 18, "--cell", 4, "--json"))
    every = ta.enumerate_regions(ta.constructions.parabola_strips([3, 3, 3], 2))
    assert [row["cell"] for row in found["cells"]] == [4, 18]
    cell = every.cell(4)
    exact = [row["exact"] for row in found["corners"] if row["cell"] == 4]
    assert [[Fraction(v) for v in row] for row in exact] == cell.corners.tolist()
    behind = [(row["unit"], row["key"]) for row in found["facets"] if row["cell"] == 4]
    assert behind == [cell.behind[i] for i in cell.facets]
    rays = [row for row in found["corners"] if row["kind"] == "ray"]
    assert rays and all(max(abs(row["x_0"]), abs(row["x_1"])) == 1 for row in rays)


@pytest.mark.long
def test_many_dimensions_get_corners_where_they_are_asked_for(invoke):
    context = ["cells", "demo", "--text", "31="]
    ended = invoke(*context)
    assert "name some with --cell" in ended.stdout and "facets" not in ended.stdout
    found = tables(invoke(*context, "--cell", 5, "--law", "normal", "--json"))
    (row,) = found["cells"]
    assert row["facets"] > 0 and row["volume"] is None and not row["bounded"]
    (law,) = found["measure"]
    assert law["confidence"] == 0.99 and len(law["mean"]) == 8
    assert 0 <= row["probability_low"] < row["probability_high"] < 1


def test_one_table_alone(invoke, strips, tmp_path):
    ended = invoke("cells", strips, "--format", "csv", "--table", "facets")
    rows = list(csv.DictReader(io.StringIO(ended.stdout)))
    assert len({row["cell"] for row in rows}) == 19
    assert set(rows[0]) == {"cell", "unit", "key", "row"}
    one = tmp_path / "one.npz"
    np.savez(one, slopes=np.ones((1, 1, 2)))
    ended = invoke("cells", one, "--format", "csv", "--table", "facets")
    assert ended.stdout == "cell,unit,key,row\n"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--cell", "19"], "a number in 0..18 needed, got 19"),
        (["--table", "faces", "--format", "csv"], "--table faces goes with --faces"),
        (["--table", "measure", "--format", "csv"], "--table measure goes with --law"),
        (["--table", "cells"], "--table goes with --format"),
        (["--json", "--format", "csv"], "--json or --format needed"),
        (["--law", "uniform"], "domain: a bounded one needed"),
        (["--law", "direction"], "central heads"),
    ],
)
def test_bad_input_is_one_line_and_code_2(invoke, strips, more, words):
    ended = invoke("cells", strips, *more)
    assert ended.exit_code == 2 and words in ended.stderr and ended.stdout == ""
    assert len(ended.stderr.strip().splitlines()) == 1


def test_a_budget_ends_with_code_3(invoke, strips):
    ended = invoke("cells", strips, "--max-cells", 5)
    assert ended.exit_code == 3 and ended.stdout == ""

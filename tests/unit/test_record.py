import csv
import io
import json
import sys
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

import tropattn as ta
from tropattn.errors import InvalidInput
from tropattn.record import SCHEMA_VERSION, Record, plain

HUGE = 7**9000


def test_document_has_its_parts():
    count = ta.RegionCount(
        HUGE, "exact", "cells", "R^2", "direct_sum", stats={"factors": [7, HUGE]}
    )
    record = Record("count", {"domain": ta.Box([-1], [1])}, {"exact": count}, seed=4, answer=count)
    found = json.loads(record.to_json())
    assert found["schema"] == "tropattn.record"
    assert found["schema_version"] == SCHEMA_VERSION
    assert found["spec"] == {"domain": "box (-1, 1)^1"}
    assert found["seed"] == 4
    assert found["value"] == found["counts"]["exact"]["value"] == str_of(HUGE)
    assert found["stats"]["factors"] == [7, str_of(HUGE)]
    assert set(found["versions"]) == {"tropattn", "numpy", "numba", "python-flint"}


def str_of(value):
    """Decimal digits without Python's limit, by repeated division."""
    digits = []
    while value:
        value, rest = divmod(value, 10**1000)
        digits.append(f"{rest:01000d}")
    return "".join(reversed(digits)).lstrip("0")


def test_record_without_an_answer_has_no_value():
    assert "value" not in Record("scaling", {}).as_dict()


@dataclass(frozen=True)
class Spec:
    keys: tuple
    low: float


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.float64(0.5), 0.5),
        (np.bool_(True), True),
        (np.array([[1, 2]]), [[1, 2]]),
        (float("inf"), None),
        (np.array([np.nan, 1.0]), [None, 1.0]),
        (2**53, 2**53),
        (2**53 + 1, str(2**53 + 1)),
        (-(2**60), str(-(2**60))),
        (Fraction(-1, 3), "-1/3"),
        ({1: (2, 3)}, {"1": [2, 3]}),
        (Spec((1, 2), float("nan")), {"keys": [1, 2], "low": None}),
        (ta.Box([0, 0], [1, 1]), "box (0, 1)^2"),
    ],
)
def test_plain(value, expected):
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


def test_plain_refuses_what_json_cannot_say():
    with pytest.raises(InvalidInput, match="got complex"):
        plain({"a": 1j})


def test_write_replaces_the_whole_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    Record("count", {}).write(path)
    assert json.loads(path.read_text())["command"] == "count"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(InvalidInput, match="got complex"):
        Record("count", {"bad": 1j}).write(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("where", ["missing/a.json", "."])
def test_write_to_nowhere(tmp_path, where):
    with pytest.raises(InvalidInput, match="writable folder needed"):
        Record("count", {}).write(tmp_path / where)


def _table():
    count = ta.RegionCount(HUGE, "exact", "cells", "R^2", "direct_sum")
    rows = [
        {"head": 0, "key": 'a "b", c', "cells": count, "row": np.array([0.5, float("nan")])},
        {"head": 1, "key": "x|y\n&_", "live": True},
    ]
    return Record("inspect", {}, {}, {"heads": rows}).table("heads")


def test_a_table_as_csv_is_read_back():
    rows = list(csv.DictReader(io.StringIO(_table().text("csv"))))
    assert rows[0] == {
        "head": "0",
        "key": 'a "b", c',
        "cells": str_of(HUGE),
        "row": "[0.5, null]",
        "live": "",
    }
    assert rows[1]["key"] == "x|y\n&_" and rows[1]["live"] == "true"


def test_a_table_as_json_has_every_column_in_every_row():
    rows = json.loads(_table().text("json"))
    assert [list(row) for row in rows] == [["head", "key", "cells", "row", "live"]] * 2
    assert rows[0]["row"] == [0.5, None] and rows[1]["cells"] is None


def test_a_table_as_markdown_and_latex_escapes_its_signs():
    lines = _table().text("md").splitlines()
    assert len(lines) == 4 and lines[3].startswith("| 1 | x\\|y &_ |")
    assert r"1 & x|y \&\_ &" in _table().text("latex")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_table_as_a_frame(library):
    pytest.importorskip(library)
    frame = _table().to_frame(library)
    assert list(frame.columns) == ["head", "key", "cells", "row", "live"]
    assert len(frame) == 2
    assert list(frame["head"]) == [0, 1]


def test_what_tables_refuse():
    with pytest.raises(InvalidInput, match=r"a table of the record \(heads\) needed, got 'x'"):
        Record("inspect", {}, {}, {"heads": []}).table("x")
    with pytest.raises(InvalidInput, match="csv, json, md or latex needed"):
        _table().text("xlsx")
    with pytest.raises(InvalidInput, match="'pandas' or 'polars' needed"):
        _table().to_frame("dask")


def test_a_frame_without_its_library_says_what_to_do(monkeypatch):
    for name in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InvalidInput, match="pandas or polars needed, got no such package"):
        _table().to_frame()

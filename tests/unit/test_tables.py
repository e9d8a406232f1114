import csv
import json
from importlib import resources

import numpy as np
import pytest

import tropattn as ta
from tropattn.errors import InvalidInput
from tropattn.record import Record


def square():
    heads = [ta.TropicalPolynomial([[0, 0], [1, 0]]), ta.TropicalPolynomial([[0, 0], [0, 1]])]
    return ta.plane_cells(heads, ta.Box([-1, -1], [3, 1]))


def read(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_plane_cells_as_csv_and_geojson(tmp_path):
    cells = square()
    cells.write(tmp_path / "cells.csv")
    rows = read(tmp_path / "cells.csv")
    assert [(row["head_0"], row["head_1"], row["area"]) for row in rows] == [
        ("0", "0", "1.0"), ("0", "1", "1.0"), ("1", "0", "3.0"), ("1", "1", "3.0"),
    ]  # fmt: skip
    cells.write(tmp_path / "cells.geojson")
    shapes = json.loads((tmp_path / "cells.geojson").read_text())
    assert shapes["type"] == "FeatureCollection"
    for feature, area in zip(shapes["features"], cells.areas, strict=True):
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        x, y = np.array(ring).T
        # Counterclockwise, as the format asks.
        assert (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2 == pytest.approx(area)
    assert shapes["features"][0]["properties"]["neighbours"] == [1, 2]


def test_cells_of_a_line_end_where_the_next_begins():
    heads = [ta.TropicalPolynomial([[0], [1]], [0, -1]), ta.TropicalPolynomial([[0], [1]])]
    rows = ta.line_cells(heads, ta.Line([0], [1])).rows()
    assert [(row["head_0"], row["head_1"]) for row in rows] == [(0, 0), (0, 1), (1, 1)]
    assert [row["low"] for row in rows] == [None, 0.0, 1.0]
    assert [row["high"] for row in rows] == [0.0, 1.0, None]


def test_live_terms_and_complexes_have_a_row_each():
    f = ta.TropicalPolynomial([[0, 0], [2, 0], [1, 0]], [0, 0, -1])
    rows = ta.live_terms(f).rows()
    assert [row["live"] for row in rows] == [True, True, False]
    assert f.argmax([rows[1]["x_0"], rows[1]["x_1"]]) == 1
    assert rows[2]["never above"] == "0 1"
    found = ta.enumerate_regions([f])
    assert [row["head_0"] for row in found.rows()] == found.patterns[:, 0].tolist()


@pytest.mark.parametrize("ending", ["md", "tex", "TEX"])
def test_tables_to_paste(tmp_path, ending):
    square().write(tmp_path / f"cells.{ending}")
    text = (tmp_path / f"cells.{ending}").read_text()
    assert text.count("\n") == {"md": 6, "tex": 8}[ending.lower()]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames(library):
    module = pytest.importorskip(library, reason="a data frame")
    found = square().to_frame(library)
    assert isinstance(found, module.DataFrame)
    assert found["area"].sum() == 8


def test_parquet_is_read_back(tmp_path):
    polars = pytest.importorskip("polars", reason="a reader of Parquet")
    square().write(tmp_path / "cells.parquet")
    assert polars.read_parquet(tmp_path / "cells.parquet")["area"].to_list() == [1, 1, 3, 3]


def test_endings_are_checked(tmp_path):
    with pytest.raises(InvalidInput, match=r"\.geojson needed"):
        square().write(tmp_path / "cells.xlsx")
    with pytest.raises(InvalidInput, match=r"\.tex needed"):
        ta.live_terms(ta.TropicalPolynomial([[0], [1]])).write(tmp_path / "terms.geojson")


def test_notebooks_show_the_line_and_the_rows():
    shown = square()._repr_html_()
    assert "PlaneCells(4 cells" in shown and shown.count("<tr>") == 5
    count = ta.count_regions([ta.TropicalPolynomial([[0], [1]])])
    assert "<td>kind</td><td>'exact'</td>" in count._repr_html_()
    head = ta.TropicalPolynomial([[0], [1]])
    assert "<script" not in Record("<script>", {})._repr_html_() and head._repr_html_()


@pytest.mark.parametrize("build", ["plain", "counted"])
def test_records_keep_to_their_schema(build):
    jsonschema = pytest.importorskip("jsonschema", reason="a checker of schemas")
    text = (resources.files("tropattn") / "data" / "record.schema.json").read_text()
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    count = ta.count_regions([ta.TropicalPolynomial([[0], [1]])])
    answer = count if build == "counted" else None
    record = Record("count", {"layer": 0}, {"exact": count}, {"rows": [{"a": 10**30}]}, 3, answer)
    document = json.loads(record.to_json())
    jsonschema.validate(document, schema)
    for broken in (
        {**document, "schema_version": 2},
        {**document, "counts": {"exact": {**document["counts"]["exact"], "kind": "about"}}},
        {**document, "tables": {"rows": [1]}},
        {name: entry for name, entry in document.items() if name != "versions"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)

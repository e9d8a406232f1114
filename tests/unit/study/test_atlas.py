import base64
import json

import numpy as np
import pytest

import tropattn as ta
from tropattn.attention.networks.transformer import fixed_in_context
from tropattn.cli.options import shipped
from tropattn.errors import InvalidInput
from tropattn.study.atlas import METRICS, TEMPERATURES, AtlasSpec, kept_record, run
from tropattn.study.inputs import Source

TEXT = "314159265="


@pytest.fixture(scope="module")
def record():
    return run(AtlasSpec(source=Source(path=shipped(), text=TEXT), through=((9, 0, 5),)))


@pytest.fixture(scope="module")
def layers():
    """Each layer's heads and entering states, and its plane, made anew."""
    model = ta.load(shipped())
    out = []
    for layer in range(2):
        fixed, rows = fixed_in_context(model, model.tokens(TEXT), layer, 9)
        out.append((fixed, rows, ta.Slice.through(np.asarray(rows)[[9, 0, 5]])))
    return out


def test_pictures_hold_who_wins_at_every_middle_and_state(record, layers):
    for picture in record.tables["pictures"]:
        fixed, rows, plane = layers[picture["layer"]]
        head, keys = fixed.heads[picture["head"]], fixed.tokens[picture["head"]]
        basis, origin = plane.embedding
        low, high = np.array(picture["window"][:2]), np.array(picture["window"][2:])
        for cell in picture["cells"]:
            if cell["share"] < 1e-4:
                continue
            at = low + (high - low) * np.array(cell["middle"]) / record.spec["unit"]
            state = origin + at @ basis
            assert keys[head.argmax(state)] == cell["key"]
            assert head.gap(state) == pytest.approx(cell["gap"], rel=0.05, abs=0.01)
        assert sum(cell["share"] for cell in picture["cells"]) == pytest.approx(1, abs=1e-5)
        for mark, token in zip(picture["marks"], (9, 0, 5), strict=True):
            # The state lies in the plane up to the rounding of its basis.
            assert keys[head.argmax(np.asarray(rows)[token])] == mark["winner"]


def test_counts_are_those_of_the_engines(record, layers):
    for found in record.tables["refinements"]:
        fixed, _, plane = layers[found["layer"]]
        assert found["kind"] == "exact"
        assert found["value"] == len(found["cells"]) == ta.count_regions(fixed, plane).value
    for picture in record.tables["pictures"]:
        fixed, _, plane = layers[picture["layer"]]
        count = ta.count_regions(fixed.heads[picture["head"]], plane)
        assert len(picture["cells"]) == count.value


def test_neighbours_touch_each_other(record):
    for picture in record.tables["pictures"]:
        beyond = {cell["key"]: set(cell["beyond"]) for cell in picture["cells"]}
        for key, others in beyond.items():
            assert all(key in beyond[other] for other in others)


def test_soft_weights_are_the_winners_and_harden(record, layers):
    grid = record.spec["grid"]
    picture = record.tables["pictures"][1]
    fixed, _, plane = layers[picture["layer"]]
    head = fixed.heads[picture["head"]]
    raw = np.frombuffer(base64.b64decode(picture["soft"]), dtype=np.uint8)
    soft = raw.reshape(len(TEMPERATURES) - 1, grid, grid) / 255
    assert (np.diff(soft.mean(axis=(1, 2))) >= 0).all()
    basis, origin = plane.embedding
    low, high = np.array(picture["window"][:2]), np.array(picture["window"][2:])
    for k, tau in enumerate(TEMPERATURES[:-1]):
        state = origin + (low + (high - low) * (np.array([2, 1]) + 0.5) / grid) @ basis
        scores = head.scores(state) / tau
        weight = 1 / np.exp(scores - scores.max()).sum()
        assert soft[k, 1, 2] == pytest.approx(weight, abs=0.003)


def test_every_head_has_every_number_and_a_command(record):
    for row in record.tables["heads"]:
        assert {name for name, _, _ in METRICS} <= set(row)
        assert row["command"].startswith("tropattn inspect demo --text 314159265= --layer ")
    assert json.loads(record.to_json())["spec"]["command"] == (
        "tropattn atlas demo --text 314159265= --through 9,0,5 -o page.html"
    )


@pytest.mark.parametrize("through", [(0, 1), (0, 0, 1), (0, 1, 10)])
def test_places_that_do_not_fit(through):
    with pytest.raises(InvalidInput, match="through: three different places among"):
        run(AtlasSpec(source=Source(path=shipped(), text=TEXT), through=(through,)))


def test_heads_on_the_plane_and_no_others(tmp_path):
    rng = np.random.default_rng(0)
    heads = tmp_path / "heads.npz"
    np.savez(heads, slopes=rng.integers(-4, 5, (2, 6, 2)), intercepts=rng.integers(-4, 5, (2, 6)))
    found = run(AtlasSpec(source=Source(path=str(heads))))
    count = found.tables["layers"][0]["cells"]
    data = np.load(heads)
    pairs = zip(data["slopes"], data["intercepts"], strict=True)
    assert count.value == ta.count_regions([ta.TropicalPolynomial(a, c) for a, c in pairs]).value
    np.savez(heads, slopes=rng.standard_normal((1, 4, 3)))
    with pytest.raises(InvalidInput, match="heads on R\\^3"):
        run(AtlasSpec(source=Source(path=str(heads))))


def test_a_record_is_known_by_its_schema(record, tmp_path):
    place = tmp_path / "atlas.json"
    record.write(place)
    assert kept_record(str(place)) == json.loads(record.to_json())
    place.write_text('{"slopes": [[[0, 1]]]}')
    assert kept_record(str(place)) is None


@pytest.mark.long
def test_the_page_asks_for_nothing_and_holds_its_record(record):
    pytest.importorskip("bokeh", reason="needs the extra atlas")
    from tropattn.plotting.atlas import page

    document = record.as_dict()
    document["spec"] = {**document["spec"], "tokens": ["</script><b>", *list("bcdefghij")]}
    text = page(document)
    assert "</script><b>" not in text
    assert "default-src 'none'" in text
    held = text.split('id="atlas-record">')[1].split("</script>")[0]
    assert json.loads(held) == json.loads(json.dumps(document))
    with pytest.raises(InvalidInput, match="command atlas needed"):
        page({"schema": "tropattn.record", "command": "count"})
    with pytest.raises(InvalidInput, match="the tables of an atlas needed"):
        page({**document, "tables": {}})


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_numbers_at_the_ends_of_the_doubles_give_the_same_pictures(tmp_path, size):
    rng = np.random.default_rng(0)
    slopes, intercepts = rng.integers(-9, 10, (2, 5, 2)), rng.integers(-9, 10, (2, 5))
    tables = []
    for scale in (1.0, size):
        place = tmp_path / "heads.npz"
        np.savez(place, slopes=scale * slopes, intercepts=intercepts.astype(float))
        tables.append(run(AtlasSpec(source=Source(path=str(place)))).tables)
    for plain, scaled in zip(tables[0]["refinements"], tables[1]["refinements"], strict=True):
        assert [c["pattern"] for c in plain["cells"]] == [c["pattern"] for c in scaled["cells"]]
        shares = [[c["share"] for c in part["cells"]] for part in (plain, scaled)]
        assert shares[0] == pytest.approx(shares[1], abs=1e-5)
    assert sum(c["share"] for c in scaled["cells"]) == pytest.approx(1, abs=1e-5)


def test_a_network_is_cut_as_the_engines_say_behind_each_layer():
    source = Source(path=shipped(), text="83052=", layer="all")
    record = run(AtlasSpec(source=source, through=((5, 0, 2),)))
    model = ta.load(shipped())
    net = model.network("83052=")
    plane = ta.Slice.through(model.states("83052=")[0][[5, 0, 2]])
    rows = record.tables["depth"]
    assert [row["layer"] for row in rows] == [0, 1]
    for row in rows:
        part = ta.Network(net.layers[: row["layer"] + 1])
        assert (row["kind"], row["value"]) == ("exact", ta.count_regions(part, plane).value)
        assert sum(cell["share"] for cell in row["cells"]) == pytest.approx(1, abs=1e-4)
    # The cells of the first layer are those of its own picture.
    (first, *_) = record.tables["refinements"]
    assert first["value"] == rows[0]["value"]
    assert "--layer all" in record.spec["command"]


def test_a_network_with_too_many_cells_stops_at_a_lower_bound():
    from tropattn.study.atlas_depth import behind_layers

    net = ta.constructions.digit_transformer(5, 2, 3)
    plane = ta.Slice([0, 0], np.eye(2), ta.Box([0, 0], [125, 125]))
    found = list(behind_layers(net, plane, 100))
    assert [(part.kind, part.layer) for part in found] == [("exact", 0), ("lower", 1)]
    assert found[0].value == 25 and 0 < found[1].value <= 625
    assert sum(polygon.area for polygon in found[0].polygons) == pytest.approx(125**2)

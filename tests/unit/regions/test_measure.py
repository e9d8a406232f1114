from fractions import Fraction

import flint
import numpy as np
import pytest
from scipy.special import ndtr, owens_t
from scipy.stats import norm

import tropattn as ta
from tropattn.errors import InvalidInput
from tropattn.regions.measure import _owen
from tropattn.regions.sampling.sampler import draw_sample

PLANE = ta.TropicalPolynomial([[0, 0], [1, 0], [0, 1]])


def _tight(found):
    """The enclosures are thin, and what they enclose adds up to one."""
    assert (found.lower <= found.upper).all() and (found.upper - found.lower).max() < 1e-14
    assert found.lower.sum() - 1e-12 <= 1 <= found.upper.sum() + 1e-12


@pytest.mark.parametrize(
    "height, slope", [(0, 0.5), (0.1, 1), (2, 3), (1, 70), (5, 0.01), (0.5, -2)]
)
def test_owens_function(height, slope):
    found = _owen(flint.arb(height), Fraction(slope))
    assert float(found) == pytest.approx(owens_t(height, slope), abs=1e-15)
    assert float(found.rad()) < 1e-14


def test_intervals_of_a_line():
    f = ta.TropicalPolynomial([[0], [1], [2]], [0, 1, 0])  # walls at -1 and 1
    found = ta.cell_measure(f, law="normal", mean=0.5, std=2)
    walls = ndtr((np.array([-1, 1]) - 0.5) / 2)
    expected = np.array([walls[0], walls[1] - walls[0], 1 - walls[1]])
    assert (np.abs(found.lower - expected) < 1e-15).all()
    _tight(found)
    part = ta.cell_measure(f, ta.Box([-2], [np.inf]), "normal", mean=0.5, std=2)
    shares = np.array([walls[0] - ndtr(-1.25), walls[1] - walls[0], 1 - walls[1]])
    assert (np.abs(part.upper - shares / shares.sum()) < 1e-15).all()
    line = ta.Line([0, 0], [1, 1], -1, 3)
    assert ta.cell_measure(PLANE, line).exact.tolist() == [Fraction(1, 4), Fraction(3, 4)]


def test_rectangles_by_products():
    """Strips across: each cell is a rectangle, some of them unbounded."""
    across = ta.TropicalPolynomial([[0, 0], [1, 0], [2, 0]], [0, 1, 0])
    up = ta.TropicalPolynomial([[0, 0], [0, 1], [0, 2]], [0, 0.5, 0])
    mean, std = [0.25, -0.5], [1.5, 0.75]
    found = ta.cell_measure([across, up], law="normal", mean=mean, std=std)
    sides = []
    for wall, m, s in ((1, *[mean[0], std[0]]), (0.5, *[mean[1], std[1]])):
        ends = norm.cdf([-np.inf, -wall, wall, np.inf], m, s)
        sides.append(np.diff(ends))
    expected = np.outer(*sides).ravel()
    assert (found.lower <= expected + 1e-15).all() and (expected - 1e-15 <= found.upper).all()
    _tight(found)


@pytest.mark.parametrize("mean", [[0, 0], [0, 1], [1, 1], [-2, 0.5]])
def test_the_mean_in_a_cell_on_an_edge_and_in_a_corner(mean):
    """Corners of the plane's three cells seen from anywhere, against a quadrature."""
    found = ta.cell_measure(PLANE, law="normal", mean=mean)
    x = np.linspace(-12, 12, 40_001)
    weight = norm.pdf(x, mean[0]) * (x[1] - x[0])
    below = norm.cdf(np.maximum(x, 0), mean[1])
    first = (weight * norm.cdf(0.0, mean[1]) * (x < 0)).sum()
    second = (weight * below * (x > 0)).sum()
    near = np.array([first, second, 1 - first - second])
    assert np.abs(found.lower - near).max() < 1e-3
    if mean == [0, 0]:
        assert (np.abs(found.lower - [0.25, 0.375, 0.375]) < 1e-15).all()
    _tight(found)


@pytest.mark.long
def test_networks_in_windows_against_draws():
    rng = np.random.default_rng(0)
    heads = [ta.TropicalPolynomial(rng.normal(size=(3, 2)), rng.normal(size=3)) for _ in range(2)]
    layer = ta.FixedLayer(heads, [rng.normal(size=(3, 2)) for _ in heads])
    net = ta.Network([layer, layer])
    box = ta.Box([-2, -1], [2, 2])
    x = rng.normal(size=(60_000, 2)) * [1.5, 0.5] + [0.5, 0]
    x = x[(x > box.low).all(axis=1) & (x < box.high).all(axis=1)]
    names, counts = np.unique(net.routing(x), axis=0, return_counts=True)
    found = ta.cell_measure(net, box, "normal", mean=[0.5, 0], std=[1.5, 0.5])
    place = {tuple(row): i for i, row in enumerate(found.patterns.tolist())}
    hits = np.zeros(len(found))
    hits[[place[tuple(row)] for row in names.tolist()]] = counts
    sigma = np.sqrt(len(x) * found.upper * (1 - found.lower)) + 1
    assert (np.abs(hits - len(x) * found.lower) < 5 * sigma).all()
    _tight(found)


def _strips(dim):
    """Heads across the axes with walls at -1 and 1, so that cells are boxes."""
    return [ta.TropicalPolynomial([0 * u, u, 2 * u], [0, 1, 0]) for u in np.eye(dim)]


@pytest.mark.long
@pytest.mark.parametrize("domain", [None, ta.Box([-2, -1, -3, -2], [2, 0, 3, 2])])
def test_an_estimate_holds_what_products_give(domain):
    mean, std = [0, -0.5, 1, 0.25], [1, 2, 1.5, 0.5]
    found = ta.cell_measure(
        _strips(4), domain, "normal", mean=mean, std=std, samples=40_000, seed=3
    )
    sides = []
    for k in range(4):
        low, high = (-np.inf, np.inf) if domain is None else (domain.low[k], domain.high[k])
        ends = norm.cdf(np.clip([-np.inf, -1, 1, np.inf], low, high), mean[k], std[k])
        sides.append(np.diff(ends) / (ends[-1] - ends[0]))
    expected = [np.prod([s[j] for s, j in zip(sides, row, strict=True)]) for row in found.patterns]
    assert found.confidence == 0.99 and found.exact is None and "99%" in repr(found)
    assert (found.lower <= expected).all() and (expected <= found.upper).all()
    assert (found.upper - found.lower).max() < 0.05
    low, high = found.effective_cells()
    assert low <= np.exp(-sum(p * np.log(p) for p in expected)) <= high


@pytest.mark.long
def test_an_estimate_agrees_with_what_is_proved_in_the_plane():
    rng = np.random.default_rng(4)
    flat = [ta.TropicalPolynomial(rng.normal(size=(5, 2)), rng.normal(size=5)) for _ in range(2)]
    proved = ta.cell_measure(flat, law="normal")
    deep = [f.pullback([[1, 0], [0, 1], [0, 0]], [0, 0]) for f in flat]
    near = ta.cell_measure(deep, law="normal")
    assert proved.confidence is None and np.array_equal(near.patterns, proved.patterns)
    assert (near.lower <= proved.lower).all() and (proved.upper <= near.upper).all()
    again = ta.cell_measure(deep, law="normal", seed=1)
    assert not np.array_equal(again.lower, near.lower)


@pytest.mark.long
@pytest.mark.parametrize("dim", [2, 3])
def test_shares_of_the_sampler(dim):
    rng = np.random.default_rng([5, dim])
    heads = [ta.TropicalPolynomial(rng.normal(size=(4, dim)), rng.normal(size=4)) for _ in range(2)]
    found = ta.cell_measure(heads, law="normal")
    x = rng.normal(size=(100_000, dim))
    sample = draw_sample(heads, len(x), seed=0, distribution=x)
    place = {tuple(row): i for i, row in enumerate(found.patterns.tolist())}
    met = np.column_stack([f.argmax(x[sample.firsts]) for f in heads])
    hits = np.zeros(len(found))
    hits[[place[tuple(row)] for row in met.tolist()]] = sample.counts
    sigma = np.sqrt(len(x) * found.upper * (1 - found.lower)) + 1
    assert (len(x) * found.lower - 5 * sigma < hits).all()
    assert (hits < len(x) * found.upper + 5 * sigma).all()


def test_uniform_measures_are_exact():
    rng = np.random.default_rng(1)
    heads = [ta.TropicalPolynomial(rng.normal(size=(4, 3))) for _ in range(2)]
    found = ta.cell_measure(heads, ta.Box([-1] * 3, [1] * 3))
    assert sum(found.exact.tolist()) == 1 and min(found.exact.tolist()) > 0
    assert all(
        low <= p <= high for low, p, high in zip(found.lower, found.exact, found.upper, strict=True)
    )
    plane = ta.Slice([0, 0, 0], [[1, 0, 0], [0, 2, 0]], ([-1, -1], [1, 1]))
    assert sum(ta.cell_measure(heads, plane).exact.tolist()) == 1


def test_directions():
    both = [ta.TropicalPolynomial([[0, 0], [1, 0]]), ta.TropicalPolynomial([[0, 0], [1, 1]])]
    assert np.allclose(ta.cell_measure(both, law="direction").lower, [3 / 8, 1 / 8, 1 / 8, 3 / 8])
    eye = np.eye(3)
    octants = [ta.TropicalPolynomial([0 * row, row]) for row in eye]
    found = ta.cell_measure(octants, law="direction")
    assert np.allclose(found.lower, 1 / 8, atol=1e-14) and len(found) == 8
    _tight(found)
    order = [ta.TropicalPolynomial(eye[list(pair)]) for pair in ((0, 1), (0, 2), (1, 2))]
    assert np.allclose(ta.cell_measure(order, law="direction").lower, 1 / 6)
    half = ta.TropicalPolynomial([[0, 0, 0], [1, 0, 0]], [0, 7])
    assert np.allclose(ta.cell_measure(half, law="direction").lower, 0.5)
    rng = np.random.default_rng(2)
    heads = [ta.TropicalPolynomial(rng.normal(size=(5, 3))) for _ in range(2)]
    found = ta.cell_measure(heads, law="direction")
    _tight(found)
    x = rng.normal(size=(40_000, 3))
    rows = np.column_stack([f.argmax(x) for f in heads])
    place = {tuple(row): i for i, row in enumerate(found.patterns.tolist())}
    hits = np.bincount([place[tuple(row)] for row in rows.tolist()], minlength=len(found))
    sigma = np.sqrt(len(x) * found.upper * (1 - found.lower)) + 1
    assert (np.abs(hits - len(x) * found.lower) < 5 * sigma).all()


def test_effective_cells():
    found = ta.cell_measure(PLANE, ta.Box([-1, -1], [1, 1]))
    p = found.exact.astype(float)
    low, high = found.effective_cells()
    assert low <= np.exp(-(p * np.log(p)).sum()) <= high < low + 1e-12
    even = ta.cell_measure(ta.TropicalPolynomial([[1, 0], [-1, 0]]), law="direction")
    low, high = even.effective_cells()
    assert low <= 2 <= high


def test_what_is_refused():
    for law, domain, words in (
        ("uniform", None, "bounded one needed"),
        ("uniform", ta.Polytope([[1, 0]], [0]), "bounded one needed"),
        ("direction", ta.Box([-1, -1], [1, 1]), "central heads"),
        ("gamma", None, "one of uniform, normal, direction"),
        ("normal", ta.Box([50, 0], [51, 1]), "probability above 0"),
    ):
        if law == "normal":
            domain = ta.Box([10**6, 0], [10**6 + 1, 1])
        with pytest.raises(InvalidInput, match=words):
            ta.cell_measure(PLANE, domain, law)
    with pytest.raises(InvalidInput, match="central heads"):
        ta.cell_measure(ta.TropicalPolynomial([[0, 0], [1, 0], [2, 0]], [0, 1, 0]), law="direction")
    space = ta.TropicalPolynomial(np.eye(3))
    step = ta.FixedLayer([space], [np.eye(3)])
    with pytest.raises(InvalidInput, match="one or two parameters"):
        ta.cell_measure(ta.Network([step, step]), law="normal")
    with pytest.raises(InvalidInput, match="probability above 0"):
        ta.cell_measure(space, ta.Box([50] * 3, [51] * 3), "normal")
    for bad in ({"samples": 0}, {"seed": -1}, {"samples": 2.5}):
        with pytest.raises(InvalidInput, match=next(iter(bad))):
            ta.cell_measure(space, law="normal", **bad)
    for bad in ({"std": 0}, {"std": [1, -1]}, {"mean": [1]}, {"mean": "a"}, {"std": [1, None]}):
        with pytest.raises(InvalidInput):
            ta.cell_measure(PLANE, law="normal", **bad)

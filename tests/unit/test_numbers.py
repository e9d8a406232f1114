"""Numbers of every kind and magnitude end in a right answer or in one clear error."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from reference import brute

import tropattn as ta
from tropattn.errors import TropAttnError

KINDS = {
    "least double": 5e-324,
    "2^-1060": 2.0**-1060,
    "1e-300": 1e-300,
    "1e300": 1e300,
    "1.7e308": 1.7e308,
    "10^400": 10**400,
    "10^-400": Fraction(1, 10**400),
    "float32": np.float32(0.1),
    "float16": np.float16(0.1),
    "longdouble": np.longdouble(1) / 3,
    "int64": np.int64(3),
    "Decimal": Decimal("0.1"),
    "bool": True,
    "numpy bool": np.bool_(True),
    "complex": 1j,
    "text": "1/3",
    "None": None,
}
REFUSED = ("complex", "text", "None")
QUICK = (*REFUSED, "1.7e308", "10^400", "10^-400")
BOX = ta.Box([-1, -1], [1, 1])
WALLS = [([1, 0], 1), ([-1, 0], 1), ([0, 1], 1), ([0, -1], 1)]
LINE = ta.Line([0, 0], [1, 2])


def places(v):
    """A number in slopes, in intercepts, in both, beside others, and in object arrays."""
    cases = [
        ([[0, 0], [v, 0], [0, v]], [0, 0, 0]),
        ([[0, 0], [1, 0], [0, 1]], [0, v, 0]),
        ([[0, 0], [v, 0], [0, v]], [0, v, v]),
        ([[0, 0], [v, 0], [0, 1]], [0, 1, v]),
    ]
    for slopes, intercepts in cases:
        yield slopes, intercepts
        yield np.array(slopes, dtype=object), np.array(intercepts, dtype=object)


def network(f):
    return ta.Network(
        [ta.FixedLayer([f], [np.eye(3, 2)]), ta.FeedForward(np.eye(2), None, np.eye(2))]
    )


def counts(f):
    """Ways to the number of cells on the plane, in the box and on the line."""
    yield "R^2", lambda: ta.count_regions(f).value
    yield "R^2", lambda: ta.count_regions(f, engine="enumeration").value
    yield "R^2", lambda: len(ta.enumerate_regions(f))
    yield "R^2", lambda: len(ta.live_terms(f).live)
    yield "R^2", lambda: f.power_diagram().adjacency().number_of_nodes()
    yield "R^2", lambda: len(ta.PowerDiagram(f.slopes, f.power_diagram().weights).adjacency())
    yield "R^2", lambda: len(f.newton_polytope(lifted=True).upper_hull().decomposition)
    yield "R^2", lambda: ta.count_regions(f * ta.TropicalPolynomial([[1, 2]])).value
    yield "box", lambda: ta.count_regions(f, BOX).value
    yield "box", lambda: len(ta.enumerate_regions(f, BOX))
    yield "box", lambda: len(ta.live_terms(f, BOX).live)
    yield "line", lambda: ta.count_regions(f, LINE).value
    yield "line", lambda: len(ta.enumerate_regions(f, LINE))
    yield "line", lambda: len(ta.line_cells(f, LINE).midpoints)


def others(f):
    """Calls whose answers are not compared; they end in an error of ours or in none."""
    yield lambda: ta.sample_regions(f, 100, seed=0, distribution="gaussian")
    yield lambda: ta.sample_regions(f, 100, seed=0, domain=BOX)
    yield lambda: ta.sample_regions(f, 16, seed=0, domain=BOX, method="lines")
    yield lambda: ta.upper_bound(f)
    yield lambda: f.newton_polytope().f_vector()
    yield lambda: f.newton_polytope().float_inequalities()
    yield lambda: f.newton_polytope().volume()
    yield lambda: f.newton_polytope().support([1, 1])
    yield lambda: f.power_diagram().cell(0)
    yield lambda: f.subdivision()
    yield lambda: ta.mixed_volume([f, f])
    yield lambda: ta.minkowski_sum([f.newton_polytope(), f.newton_polytope()]).f_vector()
    yield lambda: (f([0.5, 2.0]), f.argmax([0.5, 2.0]), f.gap([0.5, 2.0]))
    yield lambda: (f + f).active_terms()
    yield lambda: ta.count_regions(f * f)
    yield lambda: ta.count_regions([f, f.pullback([[0, 1], [1, 0]])])
    yield lambda: ta.count_regions(network(f))
    yield lambda: ta.count_regions(network(f), BOX, of="linear_regions")
    yield lambda: ta.enumerate_regions(network(f), BOX).inside
    yield lambda: network(f)([0.5, 2.0])
    yield lambda: ta.sample_regions(network(f), 50, seed=0, domain=BOX)
    yield lambda: ta.upper_bound(network(f))


def expected(slopes, intercepts):
    """Numbers of cells by ``tests/reference``; the line is (t, 2 t)."""
    a = [[Fraction(*brute_ratio(v)) for v in row] for row in np.asarray(slopes, object).tolist()]
    c = [Fraction(*brute_ratio(v)) for v in np.asarray(intercepts, object).tolist()]
    on_line = [[x + 2 * y] for x, y in a]
    return {
        "R^2": brute.count([(a, c)]),
        "box": brute.count([(a, c)], WALLS),
        "line": brute.count([(on_line, c)]),
    }


def brute_ratio(v):
    return (
        (int(v), 1)
        if isinstance(v, int | np.integer | np.bool_)
        else map(int, v.as_integer_ratio())
    )


@pytest.mark.parametrize(
    "kind",
    [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS],
)
def test_numbers_of_any_kind_and_magnitude(kind):
    """A warning of overflow would fail as well: they are errors under test."""
    answers = refusals = 0
    for slopes, intercepts in places(KINDS[kind]):
        try:
            f = ta.TropicalPolynomial(slopes, intercepts)
        except TropAttnError:
            refusals += 1
            assert kind in (*REFUSED, "longdouble")
            continue
        assert kind not in REFUSED
        right = expected(slopes, intercepts)
        for where, call in counts(f):
            try:
                assert call() == right[where], (slopes, intercepts, where)
                answers += 1
            except TropAttnError as error:
                refusals += 1
                assert kind in ("1e300", "1.7e308", "10^400"), error
                assert "rescale" in str(error)
        for call in others(f):
            try:
                call()
            except TropAttnError as error:
                assert "\n" not in str(error)
    assert (answers > 0) == (kind not in REFUSED)
    assert (refusals > 0) or kind not in REFUSED


def test_numpy_scalars_in_object_arrays_are_the_numbers_that_they_hold():
    given = np.array([[np.float32(0.1), np.int64(2**62 + 1)], [np.longdouble(1) / 3, 0]], object)
    keys = ta.TropicalPolynomial(given).keys
    assert keys[0, 0] == Fraction(float(np.float32(0.1)))
    assert keys[0, 1] == 2**62 + 1
    third = np.longdouble(1) / 3
    assert keys[1, 0] == Fraction(*map(int, third.as_integer_ratio()))


@pytest.mark.parametrize(
    "read",
    [
        ta.TropicalPolynomial,
        ta.PowerDiagram,
        ta.NewtonPolytope.from_points,
        lambda rows: ta.PowerDiagram([[0, 0], [1, 0], [0, 1]], rows[:, 0]),
        lambda rows: ta.TropicalPolynomial([[0, 0, 1], [1, 0, 2]]).argmax(rows),
        lambda rows: ta.Box(rows[2], [9, 9, 9]),
    ],
)
def test_masked_entries_are_refused(read):
    """What lies under a mask is no number that was given."""
    rows = np.ma.array(np.eye(3), mask=[[0] * 3, [0] * 3, [1, 0, 0]])
    with pytest.raises(ta.InvalidInput, match=r"^\w+: no masked entries needed, got 1 of \d"):
        read(rows)


def test_masks_that_hide_nothing_are_no_masks():
    for rows in (np.ma.array(np.eye(3), mask=False), np.ma.array(np.eye(3))):
        assert ta.count_regions(ta.TropicalPolynomial(rows)).value == 3
        assert type(ta.TropicalPolynomial(rows).slopes) is np.ndarray


def test_tensors_that_numpy_does_not_read_are_named():
    torch = pytest.importorskip("torch")
    assert len(ta.PowerDiagram(torch.ones(3, 2)).sites) == 3
    for rows, said in (
        (torch.ones(3, 2, dtype=torch.bfloat16), r"a Tensor of torch.bfloat16 that numpy does not"),
        (torch.ones(3, 2, requires_grad=True), r"a Tensor of torch.float32 that .*detach"),
    ):
        with pytest.raises(ta.InvalidInput, match=rf"^sites: .* got {said}.*; convert it to a"):
            ta.PowerDiagram(rows)


def test_weights_of_steep_sites_are_exact():
    """|a|^2 + 2 c is 1e600 and beyond; the wall between sites 0 and 1e300 lies at 0."""
    f = ta.TropicalPolynomial([[0], [1e300]])
    diagram = f.power_diagram()
    assert diagram.weights.tolist() == [0, Fraction(1e300) ** 2]
    assert sorted(diagram.adjacency().edges) == [(0, 1)]


def test_weights_of_a_dead_key_of_any_magnitude():
    """In the box key 0 = 0 is below key 2 = 1e-400 (x + 1) everywhere."""
    tiny = Fraction(1, 10**400)
    f = ta.TropicalPolynomial(np.array([[0, 0], [tiny, 0], [0, tiny]]), np.array([0, tiny, tiny]))
    found = ta.live_terms(f, BOX)
    assert found.live.tolist() == [1, 2]
    rivals, weights = found.combinations[0]
    assert set(rivals.tolist()) <= {1, 2}
    assert weights.sum() == pytest.approx(1)

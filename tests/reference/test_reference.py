"""The reference enumerator against published numbers, hand-counted cases and its own definition."""

import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product

import pytest

from . import brute, families

KINDS = ["integer", "float", "central", "central_shifted", "low_rank", "duplicates"]

# Counted by hand, some with a drawing: cells and effective rank.
DEGENERATE = {
    "one key": (1, 0),
    "one key beside a wall": (2, 1),
    "all keys equal": (2, 1),
    "duplicated keys": (3, 2),
    "zero slopes": (1, 0),
    "zero slopes, tied": (1, 0),
    "dominated key": (2, 1),
    "key winning only on a wall": (2, 1),
    "key winning only at a point": (3, 2),
    "collinear keys, central": (2, 1),
    "collinear keys, parabola": (3, 1),
    "four walls at one vertex": (4, 2),
    "low rank": (4, 1),
    "low rank, two of three dimensions": (5, 2),
    "centre away from 0": (5, 2),
    "wall through a vertex": (5, 2),
    "three concurrent walls": (6, 2),
    "three walls concurrent away from 0, and a fourth": (10, 2),
    "parallel walls": (4, 1),
    "one wall twice": (2, 1),
    "walls overlapping in a ray": (4, 2),
    "one head twice": (3, 2),
    "three planes through a line": (6, 2),
    "breakpoints of two heads coincide on the line": (3, 1),
}


def fourier_motzkin(rows: Sequence[tuple[Sequence[Fraction], Fraction]], d: int) -> bool:
    """Decide a strict system by eliminating the variables one after another."""
    for k in range(d):
        upper = [(a, b) for a, b in rows if a[k] > 0]
        lower = [(a, b) for a, b in rows if a[k] < 0]
        rows = [(a, b) for a, b in rows if a[k] == 0] + [
            ([-q[k] * u + p[k] * v for u, v in zip(p, q, strict=True)], -q[k] * b + p[k] * c)
            for (p, b), (q, c) in product(upper, lower)
        ]
    return all(b > 0 for _, b in rows)


def assert_witnesses(
    units: Sequence[brute.Unit], found: dict[tuple[int, ...], brute.Point]
) -> None:
    """Evaluate every witness: the winners are exactly one group of duplicates per unit."""
    for pattern, x in found.items():
        for unit, j in zip(units, pattern, strict=True):
            assert brute.evaluate(unit, x)[1] == brute.merge(unit)[j]


def winning_rows(unit: brute.Unit, j: int) -> list[brute.Row]:
    """Write down that key ``j`` strictly beats every other merged key."""
    keys = {k: [*map(Fraction, unit[0][k]), Fraction(unit[1][k])] for k in brute.merge(unit)}
    gaps = [[p - q for p, q in zip(key, keys[j], strict=True)] for k, key in keys.items() if k != j]
    return [(a, -c) for *a, c in gaps]


# ---------------------------------------------------------------- strict linear inequalities


@pytest.mark.parametrize(
    "rows",
    [
        [([1], 1)],
        [([1], 1), ([-1], 0)],
        [([0], 1)],
        [([0, 0], Fraction(1, 9)), ([1, 0], -5), ([1, 0], -5)],
        [([1, 0], 0), ([0, 1], 0), ([1, 1], 0)],  # a cone: every bound ties
        [([-1, 0], 0), ([1, -1], 0), ([-(10**12), 1], 0)],
        [([1, 1, 1], 0), ([-1, 0, 0], -3), ([0, -1, 0], -3)],
        [([-1], -0.3), ([1], 0.1 + 0.2)],  # 0.1 + 0.2 exceeds 0.3 by one rounding
        [([-1.0], -1.0), ([1.0], 1.0 + 2**-52)],
    ],
)
def test_feasible_systems_get_a_strict_point(rows: list[brute.Row]) -> None:
    x = brute.strictly_feasible(rows)
    assert x is not None
    assert len(x) == len(rows[0][0])
    for a, b in rows:
        assert sum(Fraction(p) * q for p, q in zip(a, x, strict=True)) < Fraction(b)


@pytest.mark.parametrize(
    "rows",
    [
        [([0], 0)],
        [([0, 0], -1)],
        [([1, 2], 5), ([0, 0], 0)],
        [([1], 0), ([-1], 0)],  # only the point 0, which is not strict
        [([1], 1), ([-1], -1)],
        [([1], 0), ([-1], -1)],
        [([1, 0], 0), ([0, 1], 0), ([-1, -1], 0)],
        [([-1, 0], 0), ([0, -1], 0), ([1, 1], 0), ([1, 2], 0), ([2, 1], 0)],
        [([1, 0], 7), ([0, 1], 1), ([0, -1], -1)],  # a line that is touched, x unbounded
        [([1], 0.3), ([-1], -(0.1 + 0.2))],
    ],
)
def test_infeasible_systems_are_refused(rows: list[brute.Row]) -> None:
    assert brute.strictly_feasible(rows) is None


def test_strict_feasibility_agrees_with_fourier_motzkin() -> None:
    rng = random.Random(5)
    verdicts = []
    for _ in range(400):
        d, m = rng.randint(1, 3), rng.randint(1, 6)
        rows = [
            ([Fraction(rng.randint(-2, 2)) for _ in range(d)], Fraction(rng.randint(-1, 1)))
            for _ in range(m)
        ]
        verdicts.append(fourier_motzkin(rows, d))
        assert (brute.strictly_feasible(rows) is not None) == verdicts[-1]
    assert 100 < sum(verdicts) < 300  # both answers were exercised


# ------------------------------------------------------------------------------------- cells


@pytest.mark.parametrize(
    ("units", "d", "expected"),
    [pytest.param(*case, id=name) for name, *case in families.known_answers()],
)
def test_known_counts(units: list[brute.Unit], d: int, expected: int) -> None:
    assert {len(a) for slopes, _ in units for a in slopes} == {d}
    found = brute.cells(units)
    assert len(found) == expected
    assert_witnesses(units, found)


def test_formulas_reproduce_the_published_sequences() -> None:
    assert [families.shi(n)[2] for n in (2, 3, 4)] == [3, 16, 125]
    assert [families.linial(n)[2] for n in (2, 3, 4, 5)] == [2, 7, 36, 246]
    assert [families.catalan(n)[2] for n in (2, 3, 4)] == [4, 30, 336]
    assert [families.associahedron(n)[2] for n in range(2, 8)] == [2, 5, 14, 42, 132, 429]
    assert [families.cyclohedron(n)[2] for n in range(3, 7)] == [6, 20, 70, 252]
    assert [families.threshold(n)[2] for n in (1, 2, 3)] == [4, 14, 104]
    assert [families.resonance(n)[2] for n in range(1, 6)] == [2, 6, 32, 370, 11292]


@pytest.mark.parametrize(
    ("name", "units", "d"),
    [pytest.param(*case, id=case[0]) for case in families.degenerate_cases()],
)
def test_degenerate_cases_counted_by_hand(name: str, units: list[brute.Unit], d: int) -> None:
    cells, effective_rank = DEGENERATE[name]
    found = brute.cells(units)
    assert {len(a) for slopes, _ in units for a in slopes} == {d}
    assert len(found) == cells
    assert brute.effective_rank(units) == effective_rank
    assert_witnesses(units, found)


@pytest.mark.parametrize("kind", KINDS)
def test_random_layers_obey_the_definition_and_the_bounds(kind: str) -> None:
    rng = random.Random(f"layers {kind}")
    for _ in range(25):
        d = rng.randint(1, 4)
        units = families.random_units(
            rng, d, [rng.randint(1, 4) for _ in range(rng.randint(1, 4))], kind
        )
        found = brute.cells(units)
        assert_witnesses(units, found)
        assert {p[::-1] for p in brute.cells(units[::-1])} == set(found)

        # A pattern met at a point off all walls must be in the list.
        for _ in range(40):
            x = [Fraction(rng.randint(-60, 60), 7) for _ in range(d)]
            winners = [brute.evaluate(unit, x)[1] for unit in units]
            if all(w == brute.merge(u)[w[0]] for u, w in zip(units, winners, strict=True)):
                assert tuple(w[0] for w in winners) in found

        n_live = [len(brute.live(unit)) for unit in units]
        r = brute.effective_rank(units)
        assert len(found) <= brute.bound_affine(n_live, r)
        if kind.startswith("central"):
            assert brute.is_central(units)
        if brute.is_central(units):
            assert max(n_live) <= len(found)
            thin = [
                min(n, 2) if brute.effective_rank([u]) == 1 else n
                for u, n in zip(units, n_live, strict=True)
            ]
            assert len(found) <= brute.bound_central(thin, r)


def test_prefix_search_agrees_with_trying_every_pattern() -> None:
    rng = random.Random(11)
    for kind in KINDS:
        units = families.random_units(rng, 2, [3, 4, 2], kind)
        found = brute.cells(units)
        for pattern in product(*(brute.merge(unit) for unit in units)):
            rows = [
                row for unit, j in zip(units, pattern, strict=True) for row in winning_rows(unit, j)
            ]
            assert (brute.strictly_feasible(rows) is not None) == (pattern in found)


def test_independent_spans_multiply() -> None:
    # T8: two heads reading disjoint coordinates, five and three keys.
    square = [[2, 0], [-2, 0], [0, 2], [0, -2], [1, 1]]
    wide = ([[*a, 0, 0] for a in square], [0, 0, 0, 0, 2])
    other = ([[0, 0, 1, 0], [0, 0, 0, 1], [0, 0, -1, -1]], [0, 0, 1])
    assert brute.count([wide, other]) == brute.count([wide]) * brute.count([other]) == 15


# ------------------------------------------------------------------------------------ domains


def test_domains_are_open_and_cut_cells_away() -> None:
    units, _, _ = families.braid(3)
    assert brute.count(units, [([1, -1, 0], 0)]) == 3  # x_0 < x_1
    assert brute.count(units, [([1, -1, 0], 0), ([0, 1, -1], 0)]) == 1
    assert brute.cells(units, [([1, 0, 0], 0), ([-1, 0, 0], 0)]) == {}
    assert brute.count(units, [([1, 0, 0], 1e-9), ([-1, 0, 0], 0.0)]) == 6
    assert brute.count([], [([1, 0], 0)]) == 1  # the empty layer


def test_central_keys_on_a_line_off_the_centre() -> None:
    # max_t (t y - t^2 z) is central in the plane with 4 cells; the line z = 1 meets all of them.
    slopes = [[t, -t * t] for t in range(4)]
    assert brute.count([(slopes, [0] * 4)]) == 4
    assert brute.live((slopes, [0] * 4)) == [0, 1, 2, 3]
    on_the_line = ([[t] for t in range(4)], [-t * t for t in range(4)])
    assert brute.count([on_the_line]) == 4 > brute.bound_central([4], 1)
    assert brute.live(on_the_line, [([1], 2), ([-1], 0)]) == [0, 1]  # walls at 1, 3, 5


# ------------------------------------------------------------------------- small ingredients


def test_merge_and_evaluate_name_duplicates() -> None:
    unit = ([[1, 0], [0, 1], [1.0, 0], [1, 0]], [0, 0, 0, 1])
    assert brute.merge(unit) == {0: [0, 2], 1: [1], 3: [3]}
    assert brute.evaluate(unit, [0, 5]) == (5, [1])
    assert brute.evaluate(unit, [0, 1]) == (1, [1, 3])
    assert brute.live(unit) == [1, 3]  # key 3 dominates keys 0 and 2
    assert brute.evaluate(([[0.1], [0.2]], [0, 0]), [0]) == (0, [0, 1])


def test_floats_are_read_exactly() -> None:
    assert brute.exact(0.1) == Fraction(3602879701896397, 36028797018963968)
    # Slopes 0.1 + 0.2 and 0.3 differ by a rounding error: two cells, as given.
    assert brute.count([([[0.1 + 0.2], [0.3]], [0.0, 0.0])]) == 2
    with pytest.raises(ValueError, match="NaN"):
        brute.exact(float("nan"))


def test_rank() -> None:
    assert brute.rank([]) == 0
    assert brute.rank([[0, 0]]) == 0
    assert brute.rank([[1, 2], [2, 4]]) == 1
    assert brute.rank([[0, 2, 1], [0, 4, 3], [0, 0, 7]]) == 2
    assert brute.rank([[0.1, 0.2], [0.2, 0.4]]) == 1
    assert brute.rank([[0.1, 0.3], [0.2, 0.3 + 0.3 + 2**-52]]) == 2


def test_centre_is_solved_for_not_read_off() -> None:
    by_name = {name: units for name, units, _ in families.degenerate_cases()}
    assert brute.centre(by_name["centre away from 0"]) == (1, 2)
    assert brute.is_central(by_name["wall through a vertex"])
    assert not brute.is_central(by_name["parallel walls"])
    assert not brute.is_central(by_name["collinear keys, parabola"])
    assert brute.is_central(by_name["zero slopes"])
    # A dead key does not count: 0 - 1 never wins against max(x, -x).
    assert brute.is_central([([[1], [-1], [0]], [0, 0, -1])])


@pytest.mark.parametrize(
    ("d", "n_terms", "expected"),
    [
        (2, (3, 3, 3), 19),
        (2, (3, 3, 3, 3), 33),
        (2, (2, 3, 4, 5), 46),
        (3, (3, 3, 3, 3), 65),
        (0, (3, 3), 1),
        (2, (), 1),
        (4, (3, 2, 5), 30),
        (2, (1, 4, 1), 4),
    ],
)
def test_affine_bound(d: int, n_terms: tuple[int, ...], expected: int) -> None:
    assert brute.bound_affine(n_terms, d) == expected
    if d > 0:
        assert families.strips(d, n_terms)[2] == expected


@pytest.mark.parametrize(
    ("d", "n_terms", "expected"),
    [
        (3, (4,) * 4, 70),
        (3, (8,) * 4, 326),
        (4, (3,) * 4, 66),
        (3, (2, 3, 4), 19),
        (5, (3, 2, 3, 2, 2), 69),
        (3, (6, 6, 6), 92),
        (3, (4, 7), 28),
        (2, (3, 4, 5), 12),
        (2, (1, 3, 1), 3),
    ],
)
def test_central_bound(d: int, n_terms: tuple[int, ...], expected: int) -> None:
    assert brute.bound_central(n_terms, d) == expected
    assert families.homogenised_strips(d, n_terms)[2] == expected


def test_central_bound_at_the_edges() -> None:
    assert brute.bound_central((5, 5), 1) == 2
    assert brute.bound_central((), 3) == 1
    assert brute.bound_central((1, 1), 3) == 1
    for d, m in ((1, 3), (2, 5), (3, 6), (4, 6), (5, 9)):
        assert brute.bound_central((2,) * m, d) == families.generic_central(d, m)[2]
        assert brute.bound_affine((2,) * m, d) == families.generic_affine(d, m)[2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: brute.strictly_feasible([]), "at least one"),
        (lambda: brute.cells([]), "one dimension"),
        (lambda: brute.cells([([[1, 2], [3]], [0, 0])]), "one dimension"),
        (lambda: brute.cells([([], [])], [([1], 0)]), "at least one key"),
        (lambda: families.random_units(random.Random(0), 2, [3], "odd"), "no such kind"),
    ],
)
def test_misuse_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

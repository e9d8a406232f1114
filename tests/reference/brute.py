"""Exact cell counts straight from the definition, independent of the library under test.

Everything here is rational arithmetic from the standard library; floats are read as the dyadic
rationals they are. A *unit* (head) is a pair ``(slopes, intercepts)``: a list of rows of length
``d`` and a list of numbers. Term ``j`` scores ``<slope_j, x> + intercept_j`` at ``x``. A *row*
``(a, b)`` stands for the open half-space ``<a, x> < b``.

No answer rests on the simplex method alone: a point that is returned has been substituted into
every inequality, and a refusal has been checked against its Farkas multipliers.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations
from math import comb, gcd, lcm, prod
from numbers import Integral
from typing import TypeAlias

Number: TypeAlias = int | float | Fraction
Unit: TypeAlias = tuple[Sequence[Sequence[Number]], Sequence[Number]]
Row: TypeAlias = tuple[Sequence[Number], Number]
IntRow: TypeAlias = tuple[tuple[int, ...], int]
Point: TypeAlias = tuple[Fraction, ...]


def exact(number: Number) -> Fraction:
    """Return the rational that an int, Fraction or finite float is, without rounding."""
    if isinstance(number, Integral):
        return Fraction(int(number))
    numerator, denominator = number.as_integer_ratio()
    return Fraction(int(numerator), int(denominator))


def _dot(a: Iterable, x: Iterable) -> Fraction | int:
    """Return the inner product of two vectors of one length."""
    return sum(p * q for p, q in zip(a, x, strict=True))


# ---------------------------------------------------------------- strict linear inequalities


def _integer_row(a: Sequence[Number], b: Number) -> IntRow:
    """Return the primitive integer row describing the same half-space as ``<a, x> < b``."""
    numbers = [exact(value) for value in (*a, b)]
    scale = lcm(*(value.denominator for value in numbers))
    integers = [int(value * scale) for value in numbers]
    common = gcd(*integers) or 1
    *normal, bound = (value // common for value in integers)
    return tuple(normal), bound


def _satisfies(rows: Iterable[IntRow], x: Point) -> bool:
    """Return whether ``x`` satisfies every row strictly."""
    # One common denominator turns the test into integer arithmetic.
    scale = lcm(*(value.denominator for value in x))
    scaled = [int(value * scale) for value in x]
    return all(_dot(a, scaled) < b * scale for a, b in rows)


def _pivot(table: list[list[int]], denominator: int, r: int, c: int) -> int:
    """Exchange basic variable ``r`` with nonbasic ``c`` in place; return the new denominator.

    Row ``i`` reads ``denominator * basic_i = last entry - sum_j entry_j * nonbasic_j``. Entries
    are minors of the input (up to sign), so every division is exact.
    """
    pivot_row = table[r]
    p = pivot_row[c]
    sign = 1 if p > 0 else -1  # keeps the denominator positive, so signs can be read off
    for i, row in enumerate(table):
        if i != r:
            factor = row[c]
            table[i] = [
                sign * (entry * p - factor * other) // denominator
                for entry, other in zip(row, pivot_row, strict=True)
            ]
            table[i][c] = -sign * factor
    table[r] = [sign * entry for entry in pivot_row]
    table[r][c] = sign * denominator
    return sign * p


def _simplex(rows: Sequence[IntRow], d: int) -> tuple[Point | None, dict[int, int]]:
    """Maximise ``t <= 1`` subject to ``<a_i, x> + t <= b_i``, stopping as soon as ``t > 0``.

    Returns ``(x, {})`` with ``x`` strictly feasible, or ``(None, multipliers)`` where the
    multipliers, by row index, are the dual solution. Variables are labelled: ``0..d-1`` the free
    coordinates of ``x``, ``d`` the free ``t``, ``d+1+i`` the slack of row ``i``, and the last one
    the slack of ``t <= 1``. Bland's rule ends it: free variables never leave the basis.
    """
    table = [[*a, 1, b] for a, b in rows] + [[0] * d + [1, 1]]
    basic = [d + 1 + i for i in range(len(table))]
    nonbasic = list(range(d + 1))
    # With x = 0, letting t sink to the least bound makes every slack non-negative.
    t_row = min(range(len(table)), key=lambda i: table[i][-1])
    denominator = _pivot(table, 1, t_row, d)
    basic[t_row], nonbasic[d] = nonbasic[d], basic[t_row]
    while table[t_row][-1] <= 0:
        gains = table[t_row]
        improving = [
            c
            for c, label in enumerate(nonbasic)
            if gains[c] < 0 or (label < d and gains[c] != 0)  # a free variable moves both ways
        ]
        if not improving:
            slacks = range(d + 1, d + 1 + len(rows))
            return None, {
                label - d - 1: gains[c] for c, label in enumerate(nonbasic) if label in slacks
            }
        c = min(improving, key=lambda column: nonbasic[column])
        direction = 1 if gains[c] < 0 else -1
        limits = [
            (Fraction(row[-1], direction * row[c]), basic[i], i)
            for i, row in enumerate(table)
            if basic[i] > d and direction * row[c] > 0
        ]
        _, _, r = min(limits)  # never empty: t <= 1 bounds the objective
        denominator = _pivot(table, denominator, r, c)
        basic[r], nonbasic[c] = nonbasic[c], basic[r]
    x = [Fraction(0)] * d
    for label, row in zip(basic, table, strict=True):
        if label < d:
            x[label] = Fraction(row[-1], denominator)
    return tuple(x), {}


def _strict_point(rows: Iterable[IntRow], d: int) -> Point | None:
    """Return a point of the open polyhedron cut out by integer ``rows``, or None; self-checked."""
    rows = list(dict.fromkeys(rows))
    x, multipliers = _simplex(rows, d)
    if x is not None:
        assert _satisfies(rows, x), "the simplex method returned a point that is not feasible"
        return x
    # 0 = y.A x < y.b <= 0 for some y >= 0, y != 0: no x can exist (Gordan, Farkas).
    assert all(y >= 0 for y in multipliers.values())
    assert any(y > 0 for y in multipliers.values())
    for k in range(d):
        assert sum(y * rows[i][0][k] for i, y in multipliers.items()) == 0
    assert sum(y * rows[i][1] for i, y in multipliers.items()) <= 0
    return None


def strictly_feasible(rows: Sequence[Row]) -> Point | None:
    """Return a rational ``x`` with ``<a, x> < b`` for every row ``(a, b)``, or None if none is.

    At least one row is needed, since the dimension is read from it.
    """
    if not rows:
        raise ValueError("rows: at least one (a, b) needed, the dimension is the length of a")
    return _strict_point([_integer_row(a, b) for a, b in rows], len(rows[0][0]))


# ------------------------------------------------------------------------------------- cells


def merge(unit: Unit) -> dict[int, list[int]]:
    """Group keys of equal slope and intercept: first index of a group -> all its indices."""
    slopes, intercepts = unit
    if not slopes:
        raise ValueError("unit: at least one key needed")
    first: dict[tuple[Fraction, ...], int] = {}
    groups: dict[int, list[int]] = {}
    for j, (slope, intercept) in enumerate(zip(slopes, intercepts, strict=True)):
        key = (*map(exact, slope), exact(intercept))
        groups.setdefault(first.setdefault(key, j), []).append(j)
    return groups


def _winning_rows(unit: Unit) -> dict[int, list[IntRow]]:
    """Return, for each merged key, the rows saying that it beats every other merged key."""
    slopes, intercepts = unit
    keys = {j: ([exact(v) for v in slopes[j]], exact(intercepts[j])) for j in merge(unit)}
    return {
        j: [
            _integer_row([p - q for p, q in zip(other, slope, strict=True)], c - other_c)
            for k, (other, other_c) in keys.items()
            if k != j
        ]
        for j, (slope, c) in keys.items()
    }


def _dimension(units: Sequence[Unit], domain: Sequence[Row]) -> int:
    """Return the length that all slopes and domain normals share."""
    lengths = {len(slope) for slopes, _ in units for slope in slopes} | {len(a) for a, _ in domain}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"slopes and domain: one dimension >= 1 needed, got {sorted(lengths)}")
    return lengths.pop()


def cells(units: Sequence[Unit], domain: Sequence[Row] = ()) -> dict[tuple[int, ...], Point]:
    """Return all routing cells of ``units`` on an open ``domain``: pattern -> witness point.

    A cell is a non-empty set where in each unit one key strictly beats all others; its pattern is
    the tuple of winners, each named by the smallest index among its duplicates. The search walks
    the units in order and drops a prefix of a pattern as soon as its inequalities have no point.
    """
    d = _dimension(units, domain)
    start = [_integer_row(a, b) for a, b in domain]
    found: dict[tuple[int, ...], Point] = {}
    choices = [_winning_rows(unit) for unit in units]

    def extend(pattern: tuple[int, ...], rows: list[IntRow], witness: Point) -> None:
        if len(pattern) == len(choices):
            found[pattern] = witness
            return
        for j, new in choices[len(pattern)].items():
            # The witness of the prefix lies in at most one of its parts: no search needed there.
            point = witness if _satisfies(new, witness) else _strict_point(rows + new, d)
            if point is not None:
                extend((*pattern, j), rows + new, point)

    origin = _strict_point(start, d)
    if origin is not None:
        extend((), start, origin)
    return found


def count(units: Sequence[Unit], domain: Sequence[Row] = ()) -> int:
    """Return the number of routing cells of ``units`` on ``domain``."""
    return len(cells(units, domain))


def live(unit: Unit, domain: Sequence[Row] = ()) -> list[int]:
    """Return the keys of one head that win on an open part of ``domain`` (first duplicates)."""
    return sorted(j for (j,) in cells([unit], domain))


def evaluate(unit: Unit, x: Sequence[Number]) -> tuple[Fraction, list[int]]:
    """Return the largest score at ``x`` and all keys attaining it, duplicates included."""
    slopes, intercepts = unit
    point = [exact(value) for value in x]
    scores = [
        _dot(map(exact, slope), point) + exact(c)
        for slope, c in zip(slopes, intercepts, strict=True)
    ]
    best = max(scores)
    return best, [j for j, score in enumerate(scores) if score == best]


# ------------------------------------------------------------------------------ linear algebra


def _reduced_echelon(rows: Sequence[Sequence[Number]]) -> tuple[list[list[Fraction]], list[int]]:
    """Return the non-zero rows of the reduced row echelon form and their pivot columns."""
    work = [[exact(value) for value in row] for row in rows]
    pivots: list[int] = []
    for column in range(len(work[0]) if work else 0):
        r = len(pivots)
        source = next((i for i in range(r, len(work)) if work[i][column]), None)
        if source is None:
            continue
        work[r], work[source] = work[source], work[r]
        work[r] = [value / work[r][column] for value in work[r]]
        for i, row in enumerate(work):
            if i != r and row[column]:
                work[i] = [p - row[column] * q for p, q in zip(row, work[r], strict=True)]
        pivots.append(column)
    return work[: len(pivots)], pivots


def rank(rows: Sequence[Sequence[Number]]) -> int:
    """Return the exact rank of a matrix given by its rows (0 for no rows)."""
    return len(_reduced_echelon(rows)[1])


def _live_differences(units: Sequence[Unit]) -> list[tuple[list[Fraction], Fraction]]:
    """Return ``(a_j - a_i, c_i - c_j)`` for each head, ``i`` its first live key on all of R^d."""
    differences = []
    for unit in units:
        slopes, intercepts = unit
        base, *others = live(unit)
        differences += [
            (
                [exact(p) - exact(q) for p, q in zip(slopes[j], slopes[base], strict=True)],
                exact(intercepts[base]) - exact(intercepts[j]),
            )
            for j in others
        ]
    return differences


def effective_rank(units: Sequence[Unit]) -> int:
    """Return the dimension of the sum of the heads' spans of live slope differences on R^d."""
    return rank([slope for slope, _ in _live_differences(units)])


def centre(units: Sequence[Unit]) -> Point | None:
    """Return a point where all live scores of each head are equal, or None if none exists."""
    d = _dimension(units, ())
    solved, pivots = _reduced_echelon([[*slope, c] for slope, c in _live_differences(units)])
    if d in pivots:  # a row 0 = 1
        return None
    x = [Fraction(0)] * d
    for row, column in zip(solved, pivots, strict=True):
        x[column] = row[-1]
    return tuple(x)


def is_central(units: Sequence[Unit]) -> bool:
    """Return whether one point makes all live scores of each head equal (T1)."""
    return centre(units) is not None


# ------------------------------------------------------------------------------------- bounds


def bound_affine(n_terms: Sequence[int], d: int) -> int:
    """Return the sharp affine bound (T6): ``sum_{j <= min(d, H)} e_j(N_1 - 1, ..., N_H - 1)``."""
    return sum(
        prod(n - 1 for n in chosen)
        for j in range(min(d, len(n_terms)) + 1)
        for chosen in combinations(n_terms, j)
    )


def bound_central(n_terms: Sequence[int], d: int) -> int:
    """Return the sharp central bound (T7, Weibel 2012), ``d`` being the effective rank.

    A head whose slopes span a line must be entered as ``N = 2``. Heads with one term have no
    wall and are left out.
    """
    walls = [n for n in n_terms if n > 1]
    heads = len(walls)
    if heads == 0 or d == 0:
        return 1
    if d == 1:
        return 2
    if heads <= d - 1:
        return prod(walls)
    alpha = 2 if d % 2 else 0
    return alpha + sum(
        (-1) ** (d - 1 - j)
        * comb(heads - 1 - j, d - 1 - j)
        * sum(prod(chosen) - alpha for chosen in combinations(walls, j))
        for j in range(1, d)
    )

"""Cells, live terms and walls of one tropical polynomial straight from the definitions.

Rational arithmetic and ``itertools`` only, independent of the library under test. Terms are rows
``(slope, intercept)``. All questions are asked of the simplices of slopes: every choice of
``r + 1`` terms with affinely independent slopes, ``r`` the affine rank of all slopes.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations

Row = tuple[Fraction, ...]


Matrix = list[list[Fraction]]


def _solve(matrix: Matrix, right: Matrix) -> Matrix | None:
    """Solve a square system for several right-hand columns, or None where it is singular."""
    n = len(matrix)
    rows = [list(a) + list(b) for a, b in zip(matrix, right, strict=True)]
    for c in range(n):
        pivot = next((i for i in range(c, n) if rows[i][c]), None)
        if pivot is None:
            return None
        rows[c], rows[pivot] = rows[pivot], rows[c]
        lead = rows[c][c]
        rows[c] = [v / lead for v in rows[c]]
        for i in range(n):
            if i != c and rows[i][c]:
                factor = rows[i][c]
                rows[i] = [v - factor * w for v, w in zip(rows[i], rows[c], strict=True)]
    return [row[n:] for row in rows]


def _independent_columns(rows: list[list[Fraction]]) -> list[int]:
    """Pivot columns of a matrix, by elimination."""
    rows = [list(row) for row in rows]
    kept: list[int] = []
    for c in range(len(rows[0]) if rows else 0):
        pivot = next((i for i in range(len(kept), len(rows)) if rows[i][c]), None)
        if pivot is None:
            continue
        at = len(kept)
        rows[at], rows[pivot] = rows[pivot], rows[at]
        for i in range(at + 1, len(rows)):
            factor = rows[i][c] / rows[at][c]
            rows[i] = [v - factor * w for v, w in zip(rows[i], rows[at], strict=True)]
        kept.append(c)
    return kept


def slow_subdivision(
    slopes: Sequence[Sequence[object]], intercepts: Sequence[object]
) -> tuple[list[tuple[int, ...]], list[int], list[tuple[int, int]]]:
    """Maximal cells (all terms on each), live terms, and pairs of live terms that share a wall.

    A term is live unless some simplex of other terms covers its slope at its height or above. Two
    live terms share a wall unless some simplex of live terms covers the middle of their segment at
    its height or above with a positive weight on a third. A cell is the set of terms that attain
    the maximum where the terms of one simplex tie, if none is higher there. Of equal terms the
    first counts. Cost: ``C(n, r + 1) n^2``.
    """
    terms = [
        (*(Fraction(v) for v in row), Fraction(c))
        for row, c in zip(slopes, intercepts, strict=True)
    ]
    distinct = [j for j, term in enumerate(terms) if terms.index(term) == j]
    base = terms[0][:-1]
    columns = _independent_columns(
        [[v - w for v, w in zip(t[:-1], base, strict=True)] for t in terms]
    )
    points = {j: [terms[j][c] for c in columns] + [Fraction(1)] for j in distinct}
    heights = {j: terms[j][-1] for j in distinct}
    size = len(columns) + 1
    identity = [[Fraction(i == j) for j in range(size)] for i in range(size)]
    inverses = {}
    for chosen in combinations(distinct, size):
        # Row j of the inverse, times (slope, 1), is the barycentric coordinate of vertex j.
        matrix = [[points[j][i] for j in chosen] for i in range(size)]
        inverse = _solve(matrix, identity)
        if inverse is not None:
            inverses[chosen] = inverse

    def covered(point: list[Fraction], height: Fraction, among: set[int], own: set[int]) -> bool:
        for chosen, inverse in inverses.items():
            if not among.issuperset(chosen):
                continue
            weights = [sum(a * b for a, b in zip(row, point, strict=True)) for row in inverse]
            used = {j for j, w in zip(chosen, weights, strict=True) if w}
            if min(weights) < 0 or used <= own:
                continue
            if sum(w * heights[j] for j, w in zip(chosen, weights, strict=True)) >= height:
                return True
        return False

    live = [j for j in distinct if not covered(points[j], heights[j], {*distinct} - {j}, set())]
    walls = []
    for i, j in combinations(live, 2):
        middle = [(a + b) / 2 for a, b in zip(points[i], points[j], strict=True)]
        if not covered(middle, (heights[i] + heights[j]) / 2, set(live), {i, j}):
            walls.append((i, j))
    cells = set()
    for chosen, inverse in inverses.items():
        # The affine function through the simplex's heights, as a row in (slope, 1).
        plane = [
            sum(heights[j] * row[i] for j, row in zip(chosen, inverse, strict=True))
            for i in range(size)
        ]
        gaps = {
            j: heights[j] - sum(a * b for a, b in zip(plane, points[j], strict=True))
            for j in distinct
        }
        if max(gaps.values()) <= 0:
            on = {terms[j] for j, gap in gaps.items() if gap == 0}
            cells.add(tuple(j for j, term in enumerate(terms) if term in on))
    return sorted(cells), live, walls

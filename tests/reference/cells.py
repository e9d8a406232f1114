"""Polyhedra by plain brute force in rationals: every choice of rows is solved.

Independent of the library under test.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from math import factorial, gcd, lcm

Point = tuple[Fraction, ...]


def reduced(rows: Sequence[Sequence]) -> list[list[Fraction]]:
    """Return the reduced echelon form, without zero rows."""
    out: list[list[Fraction]] = []
    for row in ([Fraction(v) for v in r] for r in rows):
        for done in out:
            at = next(k for k, v in enumerate(done) if v)
            row = [v - row[at] * w for v, w in zip(row, done, strict=True)]
        if any(row):
            at = next(k for k, v in enumerate(row) if v)
            row = [v / row[at] for v in row]
            out = [[v - r[at] * w for v, w in zip(r, row, strict=True)] for r in out]
            out.append(row)
    return sorted(out, key=lambda r: next(k for k, v in enumerate(r) if v))


def kernel(rows: Sequence[Sequence], width: int) -> list[list[Fraction]]:
    """Return a basis of what all rows send to 0."""
    echelon = reduced(rows)
    pivots = [next(k for k, v in enumerate(r) if v) for r in echelon]
    basis = []
    for free in (k for k in range(width) if k not in pivots):
        vector = [Fraction(0)] * width
        vector[free] = Fraction(1)
        for row, at in zip(echelon, pivots, strict=True):
            vector[at] = -row[free]
        basis.append(vector)
    return basis


def primitive(vector: Sequence[Fraction]) -> tuple[int, ...]:
    """Return the positive multiple in coprime integers."""
    below = lcm(*(v.denominator for v in vector))
    whole = [int(v * below) for v in vector]
    return tuple(v // (gcd(*whole) or 1) for v in whole)


def dot(row: Sequence, vector: Sequence) -> Fraction:
    return sum((Fraction(a) * b for a, b in zip(row, vector, strict=True)), Fraction(0))


def extreme(a: Sequence[Sequence], b: Sequence) -> tuple[set[Point], set[tuple[int, ...]]]:
    """Return corners and primitive extreme rays of a pointed ``{x : A x <= b}``.

    Every set of dim rows of the cone over it that are independent is solved.
    """
    dim = len(a[0])
    rows = [[*map(Fraction, row), -Fraction(right)] for row, right in zip(a, b, strict=True)]
    rows.append([Fraction(0)] * dim + [Fraction(-1)])
    corners, rays = set(), set()
    for chosen in combinations(rows, dim):
        basis = kernel(chosen, dim + 1)
        if len(basis) != 1:
            continue
        for sign in (1, -1):
            vector = [sign * v for v in basis[0]]
            if all(dot(row, vector) <= 0 for row in rows):
                if vector[-1]:
                    corners.add(tuple(v / vector[-1] for v in vector[:-1]))
                else:
                    rays.add(primitive(vector[:-1]))
    # Directions of an empty set are those of no points.
    return (corners, rays) if corners else (set(), set())


def rank(rows: Sequence[Sequence]) -> int:
    return len(reduced(rows))


def facets(a: Sequence[Sequence], b: Sequence, corners: set, rays: set) -> set[frozenset]:
    """Return the sets of corners and rays on each facet of a solid pointed polyhedron.

    A row bounds a facet where what lies on it spans one dimension less than the whole.
    """
    dim = len(a[0])
    spans = [(*p, 1) for p in corners] + [(*r, 0) for r in rays]
    found = set()
    for row, right in zip(a, b, strict=True):
        on = [v for v in spans if dot((*row, -Fraction(right)), v) == 0]
        if rank(on) == dim and any(v[-1] for v in on):
            found.add(frozenset(on))
    return found


def face_counts(tight: set[frozenset], whole: frozenset) -> dict[int, int]:
    """Return the numbers of faces by dimension: all intersections of facets, with a corner."""
    found = {whole}
    for facet in tight:
        found |= {facet & other for other in found}
    counts: dict[int, int] = {}
    for face in found:
        if any(v[-1] for v in face):
            size = rank(list(face)) - 1
            counts[size] = counts.get(size, 0) + 1
    return counts


def simplex_volume(points: Sequence[Sequence]) -> Fraction:
    """Return the volume of a simplex."""
    rows = [
        [Fraction(p) - Fraction(q) for p, q in zip(at, points[0], strict=True)] for at in points[1:]
    ]
    det = Fraction(1)
    for k in range(len(rows)):
        pivot = next((i for i in range(k, len(rows)) if rows[i][k]), None)
        if pivot is None:
            return Fraction(0)
        rows[k], rows[pivot] = rows[pivot], rows[k]
        det *= rows[k][k]
        for i in range(k + 1, len(rows)):
            factor = rows[i][k] / rows[k][k]
            rows[i] = [v - factor * w for v, w in zip(rows[i], rows[k], strict=True)]
    return abs(det) / factorial(len(rows))

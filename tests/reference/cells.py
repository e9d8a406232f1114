"""Polyhedra by plain brute force in rationals: every choice of rows is solved.

Independent of the library under test.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, product
from math import factorial, gcd, lcm

from .brute import strictly_feasible

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


# ------------------------------------------------------------------------- common refinements


def refinement_faces(units, box=None) -> dict[int, int]:
    """Return the numbers of relatively open faces by dimension, from the definition.

    A face is a choice of tied keys of each unit (and, in a box, of a side or none in each
    coordinate) that are exactly the best at some point. ``units`` are (slopes, intercepts).
    """
    dim = len(units[0][0][0])
    counts: dict[int, int] = {}
    ties = []
    for slopes, heights in units:
        rows = [(*map(Fraction, a), Fraction(c)) for a, c in zip(slopes, heights, strict=True)]
        # Of equal keys the first.
        rows = list(dict.fromkeys(rows))
        options = []
        for size in range(1, len(rows) + 1):
            for chosen in combinations(rows, size):
                first = chosen[0]
                equal = [_minus(row, first) for row in chosen[1:]]
                below = [_minus(row, first) for row in rows if row not in chosen]
                options.append((equal, below))
        ties.append(options)
    sides = [[([], [])]] * dim
    if box is not None:
        sides = []
        for k, (low, high) in enumerate(zip(*box, strict=True)):
            up = [Fraction(int(i == k)) for i in range(dim)] + [-Fraction(high)]
            down = [-Fraction(int(i == k)) for i in range(dim)] + [Fraction(low)]
            sides.append([([], [up, down]), ([up], [down]), ([down], [up])])
    for part in product(*ties, *sides):
        equal = [row for e, _ in part for row in e]
        below = [row for _, b in part for row in b]
        if _is_face(equal, below, dim):
            size = dim - rank(equal)
            counts[size] = counts.get(size, 0) + 1
    return counts


def _minus(one: Sequence, two: Sequence) -> list[Fraction]:
    return [a - b for a, b in zip(one, two, strict=True)]


def _is_face(equal: list, below: list, dim: int) -> bool:
    """Return whether ``<row, (x, 1)> = 0`` and ``< 0`` have a common solution."""
    echelon = reduced(equal)
    pivots = [next(k for k, v in enumerate(row) if v) for row in echelon]
    if dim in pivots:
        return False
    rows = []
    for row in below:
        for done, at in zip(echelon, pivots, strict=True):
            row = [v - row[at] * w for v, w in zip(row, done, strict=True)]
        free = [v for k, v in enumerate(row[:-1]) if k not in pivots]
        if not any(free):
            if row[-1] >= 0:
                return False
            continue
        rows.append((free, -row[-1]))
    return not rows or strictly_feasible(rows) is not None


def arrangement_f_vector(hyperplanes: Sequence[Sequence]) -> list[int]:
    """Return the numbers of faces of an arrangement by Zaslavsky's theorem.

    ``f_k`` is the sum of ``|mu(X, Y)|`` over all flats X of dimension k and flats Y inside them.
    """
    dim = len(hyperplanes[0]) - 1
    flats = {(): 0}
    for row in hyperplanes:
        for known in list(flats):
            echelon = reduced([*known, row])
            if all(any(r[:-1]) for r in echelon):
                flats[tuple(map(tuple, echelon))] = len(echelon)
    counts = [0] * (dim + 1)
    names = sorted(flats, key=flats.__getitem__)
    for x in names:
        mu = {x: 1}
        for y in names:
            if flats[y] > flats[x] and len(reduced([*x, *y])) == flats[y]:
                inside = [z for z in mu if len(reduced([*z, *y])) == flats[y]]
                mu[y] = -sum(mu[z] for z in inside)
        counts[dim - flats[x]] += sum(map(abs, mu.values()))
    return counts

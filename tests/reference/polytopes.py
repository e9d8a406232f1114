"""Polytopes by plain brute force in rationals, and face numbers by closed formula.

Independent of the library under test: every sum of points is formed, every pair or triple of points
is tried.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, product
from math import comb, factorial

from . import brute

Point = tuple[Fraction, ...]


def _exact(points: Sequence[Sequence]) -> list[Point]:
    return [tuple(brute.exact(v) for v in row) for row in points]


def _plus(*points: Point) -> Point:
    return tuple(sum(column) for column in zip(*points, strict=True))


def _minus(p: Point, q: Point) -> Point:
    return tuple(a - b for a, b in zip(p, q, strict=True))


def _dot(p: Sequence, q: Sequence) -> Fraction:
    return sum(a * b for a, b in zip(p, q, strict=True))


def hull_vertices(points: Sequence[Sequence]) -> list[int]:
    """Return the indices of the vertices of the hull, of equal points the first."""
    exact = _exact(points)
    return brute.live((exact, [0] * len(exact)))


def sum_vertices(polytopes: Sequence[Sequence[Sequence]]) -> set[tuple[int, ...]]:
    """Return the choices of one point each whose sum is a vertex of the Minkowski sum.

    A vertex has one decomposition up to equal points; each is named by its first index.
    """
    exact = [_exact(points) for points in polytopes]
    choices = list(product(*(range(len(points)) for points in exact)))
    sums = [_plus(*(p[j] for p, j in zip(exact, choice, strict=True))) for choice in choices]
    # Choices come in lexicographic order, so the first of equal sums has the first indices.
    return {choices[i] for i in hull_vertices(sums)}


def is_edge(points: Sequence[Sequence], i: int, j: int) -> bool:
    """Return whether the segment between two vertices of a hull is an edge of it.

    It is if some ``x`` with ``<p_j - p_i, x> = 0`` has ``<p - p_i, x> < 0`` for all points off the
    line through both. One coordinate of ``x`` is eliminated by the equation.
    """
    exact = _exact(points)
    along = _minus(exact[j], exact[i])
    pivot = next(k for k, v in enumerate(along) if v)
    rows = []
    for p in exact:
        step = _minus(p, exact[i])
        factor = step[pivot] / along[pivot]
        reduced = [v - factor * a for v, a in zip(step, along, strict=True)]
        if any(reduced):
            rows.append((reduced[:pivot] + reduced[pivot + 1 :], 0))
    return not rows or brute.strictly_feasible(rows) is not None


# ---------------------------------------------------------------------------------- volumes


def _area(points: Sequence[Point]) -> Fraction:
    """Return the area of the hull of points of the plane (monotone chain, shoelace)."""
    rows = sorted(set(points))

    def chain(sequence: list[Point]) -> list[Point]:
        out: list[Point] = []
        for p in sequence:
            while len(out) > 1 and (
                (out[-1][0] - out[-2][0]) * (p[1] - out[-2][1])
                <= (out[-1][1] - out[-2][1]) * (p[0] - out[-2][0])
            ):
                out.pop()
            out.append(p)
        return out[:-1]

    if len(rows) < 3:
        return Fraction(0)
    ring = chain(rows) + chain(rows[::-1])
    twice = sum(p[0] * q[1] - p[1] * q[0] for p, q in zip(ring, ring[1:] + ring[:1], strict=True))
    return Fraction(twice) / 2


def _solid(points: Sequence[Point]) -> Fraction:
    """Return the volume of the hull of points of space: cones over all supporting planes."""
    rows = sorted(set(points))
    base = rows[0]
    planes = {}
    for a, b, c in combinations(rows, 3):
        u, v = _minus(b, a), _minus(c, a)
        normal = (
            u[1] * v[2] - u[2] * v[1],
            u[2] * v[0] - u[0] * v[2],
            u[0] * v[1] - u[1] * v[0],
        )
        if not any(normal):
            continue
        heights = [_dot(normal, _minus(p, a)) for p in rows]
        if min(heights) < 0 < max(heights):
            continue
        on = frozenset(p for p, h in zip(rows, heights, strict=True) if h == 0)
        planes[on] = (normal, a)
    total = Fraction(0)
    for on, (normal, a) in planes.items():
        # The area of the facet's shadow along axis k, times the height along that axis, over 3.
        k = next(i for i, v in enumerate(normal) if v)
        shadow = _area([p[:k] + p[k + 1 :] for p in on])
        total += shadow * abs(_dot(normal, _minus(a, base)) / normal[k]) / 3
    flat = len(planes) == 1
    return Fraction(0) if flat else total


def volume(points: Sequence[Sequence]) -> Fraction:
    """Return the volume of the hull of points in the plane or in space."""
    exact = _exact(points)
    return _area(exact) if len(exact[0]) == 2 else _solid(exact)


def sum_volume(polytopes: Sequence[Sequence[Sequence]]) -> Fraction:
    """Return the volume of a Minkowski sum, all sums of points formed."""
    exact = [_exact(points) for points in polytopes]
    return volume([_plus(*choice) for choice in product(*exact)])


def mixed_volume(polytopes: Sequence[Sequence[Sequence]]) -> Fraction:
    """Return ``sum_S (-1)^(d - |S|) vol(sum_S P)`` for ``d`` polytopes in dimension ``d``."""
    d = len(polytopes)
    return sum(
        (-1) ** (d - size) * sum_volume(chosen)
        for size in range(1, d + 1)
        for chosen in combinations(polytopes, size)
    )


# ------------------------------------------------------------------------- known face numbers


def _stirling(n: int, k: int) -> int:
    """Return the number of partitions of an n-set into k blocks."""
    return sum((-1) ** i * comb(k, i) * (k - i) ** n for i in range(k + 1)) // factorial(k)


def permutohedron_faces(n: int) -> tuple[int, ...]:
    """Return its f-vector: faces of dimension k are ordered partitions into ``n - k`` blocks."""
    return tuple(factorial(n - k) * _stirling(n, n - k) for k in range(n - 1))


def associahedron_faces(n: int) -> tuple[int, ...]:
    """Return the f-vector in dimension ``m = n - 1``: dissections of an (m + 3)-gon.

    With i = m - k diagonals there are ``C(m, i) C(m + i + 2, i) / (i + 1)`` (Kirkman, Cayley).
    """
    m = n - 1
    return tuple(comb(m, m - k) * comb(2 * m - k + 2, m - k) // (m - k + 1) for k in range(m))


def cyclohedron_faces(n: int) -> tuple[int, ...]:
    """Return the f-vector in dimension ``m = n - 1``: ``C(m, k) C(2m - k, m)`` (Simion 2003)."""
    m = n - 1
    return tuple(comb(m, k) * comb(2 * m - k, m) for k in range(m))

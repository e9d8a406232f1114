"""Least vectors by trying every set of walls, in rationals; imports nothing of the package."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations


def solved(matrix, right):
    """The solution of a square system, None where it is singular."""
    rows = [[*map(Fraction, row), Fraction(b)] for row, b in zip(matrix, right, strict=True)]
    n = len(rows)
    for k in range(n):
        pivot = next((i for i in range(k, n) if rows[i][k] != 0), None)
        if pivot is None:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [v / rows[k][k] for v in rows[k]]
        for i in range(n):
            if i != k and rows[i][k] != 0:
                rows[i] = [a - rows[i][k] * b for a, b in zip(rows[i], rows[k], strict=True)]
    return [row[-1] for row in rows]


def inner(a, b):
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


def walls(slopes, intercepts, key, state):
    """Rows ``(n, b)`` with ``<n, v> + b <= 0`` for the vectors to the closed cell of a key."""
    rows = []
    for i, (slope, intercept) in enumerate(zip(slopes, intercepts, strict=True)):
        if (list(slope), intercept) == (list(slopes[key]), intercepts[key]):
            continue
        assert i != key
        normal = [Fraction(a) - Fraction(b) for a, b in zip(slope, slopes[key], strict=True)]
        offset = Fraction(intercept) - Fraction(intercepts[key]) + inner(normal, state)
        rows.append((normal, offset))
    return rows


def least(rows, dim):
    """The shortest vector that satisfies all rows, None where none does.

    By Karush, Kuhn and Tucker it is a combination with weights >= 0 of at most ``dim``
    independent normals whose rows hold with equality; every set is tried.
    """
    for size in range(dim + 1):
        for chosen in combinations(rows, size):
            gram = [[inner(a, b) for b, _ in chosen] for a, _ in chosen]
            weights = solved(gram, [b for _, b in chosen])
            if weights is None or any(w < 0 for w in weights):
                continue
            vector = [
                -sum((w * n[k] for w, (n, _) in zip(weights, chosen, strict=True)), Fraction(0))
                for k in range(dim)
            ]
            if all(inner(n, vector) + b <= 0 for n, b in rows):
                return vector
    return None

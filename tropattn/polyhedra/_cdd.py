"""The one door to cddlib: facets of points, generators of inequalities. Loaded when first used.

``cdd.gmp`` (rationals) is used where it can be imported and the numbers are exact; the float
library otherwise. cddlib writes ``b + A x >= 0`` and marks equations apart; both stop here.
"""

from __future__ import annotations

import importlib
import math
from fractions import Fraction
from typing import Any

import flint
import numpy as np

from tropattn._types import Array
from tropattn.arrays import is_exact, pivot_columns, to_float
from tropattn.errors import EngineError, InvalidInput

__all__ = ["cone_rays", "generators", "inequalities"]


def _plain() -> Any:
    """The library of doubles, which every build of cddlib for Python has."""
    try:
        return importlib.import_module("cdd")
    except ImportError:
        raise InvalidInput(
            "cddlib: the module cdd needed for facets and generators, got none; install "
            "tropattn[cdd], which builds it with a C compiler."
        ) from None


def _library(array: Array) -> tuple[Any, list[list[Any]]]:
    """The module to use, and the rows in its numbers."""
    plain = _plain()
    if not is_exact(array):
        return plain, array.tolist()
    try:
        exact = importlib.import_module("cdd.gmp")
    except ImportError:
        return plain, to_float(array)[0].tolist()
    return exact, [[Fraction(v) for v in row] for row in array]


def inequalities(points: Array) -> tuple[Array, Array, Array, Array]:
    """``(A, b, E, e)`` with ``conv(points) = {x : A x <= b, E x = e}``; points (n, d).

    Rationals for exact points where ``cdd.gmp`` is installed, doubles otherwise.

    >>> A, b, E, e = inequalities(np.array([[0.0], [2.0]]))
    >>> sorted((row + right).tolist() for row, right in zip(A, b, strict=True))
    [[-1.0], [3.0]]
    """
    ones = np.ones((len(points), 1), dtype=points.dtype)
    library, rows = _library(np.hstack([ones, points]))
    try:
        matrix = library.matrix_from_array(rows, rep_type=_plain().RepType.GENERATOR)
        found = library.copy_inequalities(library.polyhedron_from_matrix(matrix))
    except RuntimeError as error:
        raise EngineError(f"cddlib: facets of {len(points)} points failed: {error}") from None
    exact = is_exact(points) and library is not _plain()
    table = np.array(list(found.array), dtype=object if exact else np.float64)
    table = table.reshape(-1, points.shape[1] + 1)
    equal = np.zeros(len(table), dtype=bool)
    equal[list(found.lin_set)] = True
    # A row without a normal is the inequality at infinity.
    proper = (table[:, 1:] != 0).any(axis=1)
    sides = table[proper & ~equal], table[proper & equal]
    (a, b), (c, d) = ((-side[:, 1:], side[:, 0]) for side in sides)
    return a, b, c, d


def generators(a: Array, b: Array) -> tuple[Array, Array]:
    """Vertices and rays of ``{x : A x <= b}``, as float rows (lines appear as two rays)."""
    library, rows = _library(np.hstack([b[:, None], -a]))
    try:
        matrix = library.matrix_from_array(rows, rep_type=_plain().RepType.INEQUALITY)
        found = library.copy_generators(library.polyhedron_from_matrix(matrix))
    except RuntimeError as error:
        raise EngineError(f"cddlib: generators of {len(a)} rows failed: {error}") from None
    vertices: list[list[float]] = []
    rays: list[list[float]] = []
    lines = set(found.lin_set)
    for at, row in enumerate(found.array):
        values = [float(v) for v in row[1:]]
        # Corners have height 1; in doubles a ray's may be a rounding error instead of 0.
        if row[0] > 0.5 and at not in lines:
            vertices.append(values)
        else:
            rays.append(values)
            if at in lines:
                rays.append([-v for v in values])
    width = a.shape[1]
    if rays and not vertices and not np.any(b != 0):
        # cddlib leaves the apex of a cone unsaid.
        vertices.append([0.0] * width)
    return np.array(vertices).reshape(-1, width), np.array(rays).reshape(-1, width)


Row = tuple[int, ...]


def cone_rays(rows: list[Row], dim: int) -> tuple[list[Row], list[Row]]:
    """Corners and rays of ``<row, (x, 1)> <= 0``, without lines, as primitive ``(p w, w)``.

    In rationals with ``cdd.gmp``. Else what doubles propose is computed anew: the nearest rows that
    are independent and determine it are solved in rationals, and the solution has to satisfy every
    row. Raises ``EngineError`` where it does not.

    >>> cone_rays([(-1, 0), (2, -3)], 1)
    ([(0, 1), (3, 2)], [])
    """
    try:
        importlib.import_module("cdd.gmp")
    except ImportError:
        _plain()
        table = np.array(rows, dtype=object).reshape(-1, dim + 1)
        sizes = [max(1, *map(abs, row)) for row in rows]
        near = np.array([[v / n for v in row] for row, n in zip(rows, sizes, strict=True)])
        near = near.reshape(-1, dim + 1)
        corners, rays = generators(near[:, :-1], -near[:, -1])
        proposed = [*np.hstack([corners, np.ones((len(corners), 1))])]
        proposed += [*np.hstack([rays, np.zeros((len(rays), 1))])]
        found = {_verified(table, near, point) for point in proposed}
    else:
        exact = np.array([[Fraction(v) for v in row] for row in rows], dtype=object)
        exact = exact.reshape(-1, dim + 1)
        library, numbers = _library(np.hstack([-exact[:, -1:], -exact[:, :-1]]))
        matrix = library.matrix_from_array(numbers, rep_type=_plain().RepType.INEQUALITY)
        given = library.copy_generators(library.polyhedron_from_matrix(matrix))
        found = set()
        for height, *point in given.array:
            found.add(_whole([Fraction(v) for v in (*point, height)]))
        if found and not any(row[-1] for row in found):
            found.add((*[0] * dim, 1))
    return sorted(row for row in found if row[-1]), sorted(row for row in found if not row[-1])


def _whole(row: list[Fraction]) -> Row:
    """The positive multiple in coprime integers."""
    below = math.lcm(*(v.denominator for v in row))
    whole = [int(v * below) for v in row]
    common = math.gcd(*whole) or 1
    return tuple(v // common for v in whole)


def _verified(rows: Array, near: Array, point: Array) -> Row:
    """The exact corner or ray that a point in doubles stands for."""
    width = rows.shape[1]
    slack = np.abs(near @ point)
    tight = [rows[i].tolist() for i in np.argsort(slack, kind="stable").tolist()]
    height = [*[0] * (width - 1), 1]
    # A ray has height 0, and of a corner that is the last row to be thought of.
    tight = [height, *tight] if point[-1] == 0 else [*tight, height]
    flat = [row[k] for k in range(width) for row in tight]
    echelon, _, rank = flint.fmpz_mat(width, len(tight), flat).rref()
    chosen = [tight[i] for i in pivot_columns(echelon, rank)][: width - 1]
    free = flint.fmpq_mat(len(chosen), width, [v for row in chosen for v in row]).rref()[0]
    pivots = pivot_columns(free, len(chosen))
    (other,) = (k for k in range(width) if k not in pivots)
    values = [Fraction(1)] * width
    for i, k in enumerate(pivots):
        values[k] = -Fraction(int(free[i, other].p), int(free[i, other].q))
    backward = sum(float(v) * w for v, w in zip(values, point.tolist(), strict=True)) < 0
    found = _whole([-v for v in values] if backward else values)
    if (rows @ np.array(found, dtype=object) > 0).any() or found[-1] < 0:
        raise EngineError(
            f"cddlib: corners proved in rationals needed, got {point.tolist()} in doubles, which "
            "is none; install pycddlib with cdd.gmp."
        )
    return found

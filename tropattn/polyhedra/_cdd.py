"""The one door to cddlib: facets of points, generators of inequalities. Loaded when first used.

``cdd.gmp`` (rationals) is used where it can be imported and the numbers are exact; the float
library otherwise. cddlib writes ``b + A x >= 0`` and marks equations apart; both stop here.
"""

from __future__ import annotations

import importlib
from fractions import Fraction
from typing import Any

import numpy as np

from tropattn._types import Array
from tropattn.arrays import is_exact
from tropattn.errors import EngineError, InvalidInput

__all__ = ["generators", "inequalities"]


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
        return plain, [[float(v) for v in row] for row in array]
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
        if row[0] != 0 and at not in lines:
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

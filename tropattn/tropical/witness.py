"""Points that stand for cells: doubles that lie inside, tested, and moved where they do not.

A search knows a direction inside each cell; dividing, scaling and embedding it round. Here the
rounded point is tested, in doubles with a forward error bound and then in rationals; where it is
not inside, the exact point is moved to doubles that are (``polyhedra/inner``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import freeze, rational, rational_matrix, to_float
from tropattn.polyhedra.domain import Domain
from tropattn.polyhedra.inner import inner_doubles, nearest_double, nearest_inside, solves
from tropattn.polyhedra.strict import strictly_negative
from tropattn.tolerance import TINY, gamma
from tropattn.tropical.max_affine import MaxAffine
from tropattn.tropical.refinement import Refinement

__all__ = ["embedded", "inner_points"]

Point = list[flint.fmpq]

_BLOCK = 1 << 20
"""Scores that are compared together."""

_MANY = 5_000
"""Most keys against which a point is moved in rationals."""


def inner_points(
    units: Sequence[MaxAffine],
    refinement: Refinement,
    rows: Array,
    z: Array,
    proved: Array | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """One point of each cell in ambient coordinates, and whether it is proved to lie inside.

    Parameters
    ----------
    units : the heads in ambient coordinates, of which ``refinement`` was made.
    rows : (R, H) stacked row numbers of the winners; z : (R, D) directions inside the cells.
    proved : (R,) directions whose doubles are proved inside as they stand; none where omitted.

    Returns
    -------
    points (R, d), inside (R,)
        *Inside*: at this very point each head has the cell's winner alone (but for keys that are
        equal on the domain), and it lies in the open domain. Of a line or slice few doubles lie
        on the flat itself; there the point is next to one of the cell.

    Notes
    -----
    Cost: the scores of all keys at each point; exact arithmetic where these do not decide.
    """
    cells = _Cells(units, refinement, rows)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        parameters = refinement.to_parameters(z)
        points = parameters
        if refinement.domain is not None:
            # What lies beyond the doubles lies nowhere in them.
            held = np.isfinite(parameters).all(1)
            points = np.full((len(z), refinement.domain.ambient_dim), np.inf)
            points[held] = refinement.domain.to_ambient(parameters[held])
        inside = (
            np.zeros(len(z), bool) if proved is None else proved & _unrounded(refinement, points)
        )
        test = np.flatnonzero(~inside)
        inside[test] = cells.surely_within(parameters[test]) & cells.surely_won(test, points[test])
    left = np.flatnonzero(~inside & np.isfinite(parameters).all(1) & np.isfinite(points).all(1))
    inside[left] = cells.within(parameters[left]) & cells.won(left, points[left])
    for i in np.flatnonzero(~inside).tolist():
        points[i], inside[i] = cells.moved(i, z[i])
    return freeze(points), freeze(inside)


def _unrounded(refinement: Refinement, points: Array) -> NDArray[np.bool_]:
    """Points that are directions times powers of two: the common centre is 0."""
    still = refinement.domain is None and refinement.central and not any(refinement.centre)
    size = np.abs(points)
    moderate = ((size > 2.0**-1000) | (size == 0)).all(axis=1) & np.isfinite(size).all(axis=1)
    return moderate & still


def embedded(domain: Domain | None, parameters: Point) -> Point:
    """Ambient coordinates of a point of the domain, exactly."""
    if domain is None or domain.embedding is None:
        return parameters
    matrix, offset = domain.embedding
    row = flint.fmpq_mat(1, len(parameters), parameters)
    return (row * rational_matrix(matrix) + rational_matrix(offset[None, :])).entries()


class _Cells:
    """The cells with these winners, and the tests of points in them.

    Against keys that win nowhere on the domain a winner need not be tested inside the other walls,
    unless the point may lie off the domain's flat.
    """

    def __init__(self, units: Sequence[MaxAffine], refinement: Refinement, rows: Array) -> None:
        self.units, self.refinement, self.rows = units, refinement, rows
        domain = refinement.domain
        self.flat = domain is not None and domain.embedding is not None
        self.rivals = [
            np.arange(first, stop) if self.flat else np.unique(rows[:, h])
            for h, (first, stop) in enumerate(pairwise(refinement.starts.tolist()))
        ]

    def surely_within(self, parameters: Array) -> NDArray[np.bool_]:
        """Parameters that doubles prove to lie inside all walls."""
        walls = self.refinement.given_walls
        sure: NDArray[np.bool_] = np.array(np.isfinite(parameters).all(axis=1))
        if len(walls):
            p = np.column_stack([parameters, np.ones(len(parameters))])
            near, lost = to_float(walls)
            loss = np.abs(p) @ (lost + gamma(p.shape[1] + 1) * (np.abs(near) + lost)).T
            sure &= (p @ near.T < -1.01 * loss - p.shape[1] * TINY).all(axis=1)
        return sure

    def within(self, parameters: Array) -> NDArray[np.bool_]:
        """Parameters inside all walls, exactly."""
        walls = self.refinement.full_rows([])
        return np.array([solves(walls, _exactly(p)) for p in parameters], dtype=bool)

    def surely_won(self, cells: Array, points: Array) -> NDArray[np.bool_]:
        """Points of some cells at which doubles prove that each head's winner is the cell's."""
        won: NDArray[np.bool_] = np.array(np.isfinite(points).all(axis=1))
        ambient = np.column_stack([points, np.ones(len(points))])
        for h, unit in enumerate(self.units):
            rivals = self.rivals[h]
            if len(rivals) == 1:
                continue
            kept = self._keys(h, rivals)
            terms, errors = (part[kept] for part in unit.float_terms())
            largest, error = np.abs(terms).max(axis=0), errors.max(axis=0)
            loss = np.abs(ambient) @ (error + gamma(unit.dim + 3) * (largest + error))
            loss = 2.02 * (loss + (unit.dim + 2) * TINY)
            own = np.searchsorted(rivals, self.rows[cells, h])[:, None]
            size = max(1, _BLOCK // len(kept))
            for start in range(0, len(points), size):
                part = slice(start, start + size)
                scores = ambient[part] @ terms.T
                best = np.take_along_axis(scores, own[part], axis=1)[:, 0]
                np.put_along_axis(scores, own[part], -np.inf, axis=1)
                won[part] &= best - scores.max(axis=1) > loss[part]
        return won

    def won(self, cells: Array, points: Array) -> NDArray[np.bool_]:
        """Points of some cells at which each head's winner is the cell's, exactly."""
        won = np.ones(len(points), bool)
        for h, unit in enumerate(self.units):
            _, classes = self.refinement.units[h].distinct
            own = classes[self._keys(h, self.rows[cells, h])]
            for i, winners in enumerate(unit.winners(points)):
                won[i] &= (classes[winners] == own[i]).all()
        return won

    def _keys(self, h: int, rows: Array) -> Array:
        """Key indices of stacked row numbers of one head."""
        return self.refinement.kept[h][rows - int(self.refinement.starts[h])]

    def moved(self, i: int, z: Array) -> tuple[Array, bool]:
        """Doubles inside cell ``i`` near the direction ``z``, or the nearest to it and False."""
        pairs = list(enumerate(self.rows[i].tolist()))
        exact = self._inside(pairs, z)
        found = None
        if sum(map(len, self.rivals)) <= _MANY:
            found = inner_doubles(self.refinement.full_rows(pairs, self.rivals), exact)
        if self.flat:
            exact = exact if found is None else _exactly(found)
            exact = embedded(self.refinement.domain, exact)
            found = nearest_inside(self._ambient_rows(pairs), exact)
        if found is None:
            return np.array([nearest_double(v) for v in exact]), False
        return np.array(found), True

    def _inside(self, pairs: list[tuple[int, int]], z: Array) -> Point:
        """A point of the parameters inside the cell, exactly."""
        rows = self.refinement.exact_rows(pairs)
        direction = _exactly(z)
        column = flint.fmpq_mat(len(direction), 1, direction)
        if not all(value < 0 for value in (rows * column).entries()):
            # The search's point was rounded from a rational one.
            found = strictly_negative(rows).point
            assert found is not None
            direction = list(found)
        return self.refinement.exact_parameters(direction)

    def _ambient_rows(self, pairs: list[tuple[int, int]]) -> flint.fmpq_mat:
        """The winners against all rivals in ambient coordinates; keys equal on the flat are one."""
        flat: Point = []
        width = self.units[0].dim + 1
        for h, row in pairs:
            others = self.rivals[h][self.rivals[h] != row]
            keys = self._keys(h, np.append(row, others))
            own, *terms = self.units[h].exact_terms(keys).tolist()
            flat += [a - b for term in terms for a, b in zip(term, own, strict=True)]
        return flint.fmpq_mat(len(flat) // width, width, flat)


def _exactly(point: Any) -> Point:
    return [rational(v) for v in np.asarray(point).tolist()]

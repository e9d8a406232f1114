"""Arcs of one head's diagram in three columns, read from its proved hull (theory T3, T20).

The rays in which cells meet are the normals of the hull's facets, the arcs between them its bent
ridges. A window cuts arcs; where a sign is open, or the hull is none that spans, there is no
answer, and the cells are cut out one by one.
"""

from __future__ import annotations

from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.polyhedra.hull.proved import ProvedHull, hull
from tropattn.tolerance import TINY, UNIT
from tropattn.tropical.refinement import Refinement

__all__ = ["head_hull", "hull_arcs"]


def head_hull(refinement: Refinement, h: int) -> ProvedHull | None:
    """The hull dual to head h, in the refinement's columns, where doubles prove one that spans.

    It knows of no window: corners are the keys that are live somewhere, edges the walls.
    """
    rows = slice(int(refinement.starts[h]), int(refinement.starts[h + 1]))
    terms, error = refinement.terms[rows], refinement.errors[rows]
    errors = np.repeat(error[:, None], terms.shape[1], axis=1)

    def exact(chosen: Any) -> flint.fmpq_mat:
        given = refinement.units[h].exact_terms(refinement.kept[h][np.asarray(chosen)])
        columns = refinement.columns.tolist()
        flat = [given[i, c] for i in range(given.nrows()) for c in columns]
        return flint.fmpq_mat(given.nrows(), len(columns), flat)

    return hull(terms, errors, exact, vertical=not refinement.central, repair=False)


def hull_arcs(refinement: Refinement, h: int) -> Array | None:
    """The arcs (A, ARC) of head h within the domain, as ``_kernels/diagrams`` has them.

    Where more than three cells meet at an end, one of them is named. None where doubles do not
    prove a hull that spans the three columns, where a wall of the domain passes by a vertex, or
    where there are no arcs.
    """
    found = head_hull(refinement, h)
    arcs = None if found is None else _whole(found)
    if arcs is None:
        return None
    # The homogenising coordinate is the last wall, and the hull has seen to it.
    walls = refinement.walls if refinement.central else refinement.walls[:-1]
    rows = slice(int(refinement.starts[h]), int(refinement.starts[h + 1]))
    terms, error = refinement.terms[rows], refinement.errors[rows]
    size = 2.0 * float(error.max()) + 2.0 * UNIT * float(np.abs(terms).max())
    for i, (wall, rho) in enumerate(zip(walls, refinement.wall_rho.tolist(), strict=False)):
        arcs = _cut(arcs, wall, rho, -1 - i, terms, size)
        if arcs is None:
            return None
    return arcs if len(arcs) else None


def _whole(found: ProvedHull) -> Array | None:
    """The arcs on the whole sphere, or above the plane at infinity; None where a ray is vague."""
    outward = -found.sides[:, None] * found.normals
    size, lost = np.abs(outward).max(axis=1), found.slacks.max(axis=1)
    if not (size > 2.0 * lost).all():
        return None
    rays, errors = outward / size[:, None], 1.01 * lost / size + 2.0 * UNIT
    facet, place = np.nonzero(found.signs == 1)
    other = found.neighbours[facet, place]
    # Round a facet's ray its cells lie as its vertices do, and those go round it in their order
    # where the normal of that order points outward. So the arc between two of them has on its left
    # the one that comes second.
    turn = np.where(found.sides[facet] < 0, 1, 2)
    right, left = (found.facets[facet, (place + k * turn) % 3] for k in (1, 2))
    # Infinity on a ridge: no arc but the border.
    chosen = (facet < other) & (np.maximum(left, right) < len(found.corner))
    facet, place, other, left, right = (a[chosen] for a in (facet, place, other, left, right))
    beyond = found.facets[other].sum(axis=1) - left - right
    names = np.column_stack([left, right, found.facets[facet, place], beyond])
    ends = [rays[facet], rays[other], errors[facet], errors[other]]
    return np.column_stack([*ends, names])


def _cut(
    arcs: Array, wall: Array, rho: float, name: int, terms: Array, row_error: float
) -> Array | None:
    """What of the arcs is inside one wall; None where the side of an end is open."""
    size = float(np.abs(wall).max())
    values = np.stack([arcs[:, 0:3] @ wall, arcs[:, 3:6] @ wall], axis=1)
    bounds = 3.0 * (arcs[:, 6:8] * size + rho * 1.01) + 10.0 * UNIT * size + TINY
    if (np.abs(values) <= bounds).any():
        return None
    inside = values < 0
    some = inside.any(axis=1)
    arcs, values, inside = arcs[some].copy(), values[some], inside[some]
    crossing = np.flatnonzero(~inside.all(axis=1))
    if len(crossing):
        pair = arcs[crossing, 8:10].astype(np.int64)
        rows = terms[pair[:, 0]] - terms[pair[:, 1]]
        met = _meet(rows, row_error, wall, rho)
        shares = np.abs(values[crossing])
        toward = arcs[crossing, 0:3] * shares[:, 1:] + arcs[crossing, 3:6] * shares[:, :1]
        along = (met[:, :3] * toward).sum(axis=1)
        # One of two opposite rays: the one between the ends.
        if not (np.abs(along) > 0.5 * np.abs(met[:, :3]).max(1) * np.abs(toward).max(1)).all():
            return None
        outer = np.argmin(inside[crossing], axis=1)
        for end in (0, 1):
            here = outer == end
            rays = met[here, :3] * np.sign(along[here])[:, None]
            arcs[crossing[here], 3 * end : 3 * end + 3] = rays
            arcs[crossing[here], 6 + end] = met[here, 3]
            arcs[crossing[here], 10 + end] = name
    return arcs


def _meet(rows: Array, row_error: float, wall: Array, rho: float) -> NDArray[np.float64]:
    """Rays where rows and a wall meet, largest entry 1, and their errors, as kernels bound them."""
    crossed = np.cross(rows, wall)
    size_p = np.abs(rows).max(axis=1) + row_error
    size_q = float(np.abs(wall).max()) + rho
    error = 2.0 * (3.1 * UNIT * size_p * size_q + row_error * size_q + rho * size_p) + TINY
    size = np.abs(crossed).max(axis=1)
    with np.errstate(all="ignore"):
        lost = np.where(size > 2.0 * error, 1.01 * error / size + 2.0 * UNIT, np.inf)
        return np.column_stack([crossed / size[:, None], lost])

"""Proofs that proposed simplices triangulate the boundary of the hull of their vertices.

An upper hull is the closed hull with one more point, *infinity*: ``(0, ..., 0, -1)``, straight
down. So one theorem serves both (after Mehlhorn, Naeher, Seel, Seidel, Schilz, Schirra, Uhrig 1999,
*Checking geometric programs or verification of geometric structures*, Comput. Geom. 12, 85-103,
whose inequalities are strict; docs/theory.md has the proof). Let simplices be joined in pairs along
common ridges. They triangulate the boundary of the hull of their vertices if, for a point ``o``,

1. ``o`` lies strictly on one side, the inner one, of every simplex;
2. any two simplices joined along a ridge induce opposite orders on it, inner sides kept;
3. of any two simplices joined along a ridge the one's last vertex lies on the inner side of the
   other or in its hyperplane;
4. some ray from ``o`` through the inside of one simplex meets no other.

Of upper hulls ``o`` is moved straight down beyond all bounds. Signs are given by doubles beyond
their errors, or by integers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import hull_links, hull_signs
from tropattn._types import Array
from tropattn.polyhedra.hull.exact_signs import ExactRows
from tropattn.polyhedra.hull.flips import flipped
from tropattn.tolerance import TINY, UNIT

__all__ = ["Exact", "HullTask", "Proof", "exact_places", "height_errors", "proved", "rising"]

Exact = Callable[[Any], flint.fmpq_mat]

OPEN = hull_signs.OPEN

_WHOLE_BITS = 40
"""Columns of integers up to this size are scaled to integers, so that zeros can be proved."""

_LONG_BITS = 200
"""Columns of integers up to this size are read as such, longer ones as rationals."""


class HullTask:
    """The points of one hull, scaled by powers of two column by column, and their exact rows.

    Attributes
    ----------
    points, errors : for signs. Where all numbers of a column are small integers times a power of
        two they are integers (``whole``), else of size about 1.
    near : the points for Qhull, of size 1.
    powers : by which the columns of the points are scaled.
    reach, worst : the sizes of coordinates, and their errors, are at most these in each column.
    """

    def __init__(self, points: Array, errors: Array, exact: Exact, vertical: bool) -> None:
        self.n, self.k = points.shape
        self.vertical = vertical
        low, bits = self._scale(points, errors)
        whole = None if low is None else partial(_integers, self.points, low)
        self.rows = ExactRows(exact, self.n, self.k, whole, bits)
        # How far the caller has come: which moves were tried, and whether insertion was needed.
        self.level = 0
        self.inserted = False
        # Whether what doubles see of a proposal holds, but not all ridges bend the right way.
        self.close = False

    def _scale(self, points: Array, errors: Array) -> tuple[NDArray[np.int64] | None, int]:
        """Set the points; the powers of two that columns are multiples of, and how long that is.

        None where points are not exact, or numbers so different that integers would be long.
        """
        # Writable and in one piece, so that kernels are compiled but once.
        points, errors = np.array(points, order="C"), np.array(errors, order="C")
        top, low = np.empty((2, self.k), np.int64)
        hull_links.extents(points, top, low)
        usual = (np.abs(top) < 1000).all() and (low > -1000).all() and (top - low < 1000).all()
        near = points * np.ldexp(1.0, -top) if usual else np.ldexp(points, -top)
        exact, bits = not errors.any(), int((top - low).max())
        self.near, self.whole = near, exact and bits <= _WHOLE_BITS
        self.worst = np.zeros(self.k)
        if self.whole:
            self.points, self.errors, self.powers = np.ldexp(points, -low), errors, -low
            self.reach = np.ldexp(1.0, top - low)
            return np.zeros_like(low), bits
        if not (exact and usual):
            moved = np.ldexp(errors, -top)
            # What scaling takes below the doubles is an error too.
            errors = np.where((errors > 0) | (np.ldexp(near, top) != points), moved + TINY, 0.0)
            self.worst = errors.max(axis=0)
            exact = not self.worst.any()
        self.points, self.errors, self.powers = near, errors, -top
        self.reach = np.ones(self.k)
        return (low - top if exact and bits <= _LONG_BITS else None), bits

    def mean(self, index: int, members: Array) -> tuple[Array, Array]:
        """The mean of points in doubles with a bound on its error; number ``index`` from now on."""
        self.rows.set_mean(index, members)
        chosen = self.points[members]
        size = np.abs(chosen).max(axis=0)
        lost = self.errors[members].max(axis=0) + (len(members) + 2) * UNIT * size
        return chosen.mean(axis=0), 1.001 * lost + TINY


def _integers(points: Array, low: Array, chosen: Array) -> Array:
    """Some points as integers, each column divided by two to the power ``low``."""
    fractions, exponents = np.frexp(points[chosen])
    digits = (fractions * 2.0**53).astype(np.int64)
    shifts = exponents.astype(np.int64) - 53 - low
    # What is shifted out are zeros.
    digits >>= np.minimum(np.maximum(-shifts, 0), 53)
    return digits.astype(object) << np.maximum(shifts, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Proof:
    """A proved triangulation of the boundary of the hull of its own vertices.

    Attributes
    ----------
    facets : (m, k) ascending point numbers, n for infinity.
    neighbours, back : (m, k), the facet beyond the ridge opposite to a vertex, its place there.
    sides : (m,) the sign of the inner point by the facet's normal.
    walls : (m,) bool, facets of an upper hull that contain infinity or are parallel to it.
    normals, slacks : (m, k), of steps from the first vertex, with bounds on their errors.
    signs : (m, k), whether the surface bends at a ridge (1) or is flat (0).
    inner, inner_error : (k,) the inner point, number n + 1, or what lies above it.
    start : the facet below whose middle it lies, or on whose middle the ray ends.
    used : the vertices, ascending.
    """

    facets: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    back: NDArray[np.int64]
    sides: NDArray[np.int8]
    walls: NDArray[np.bool_]
    normals: Array
    slacks: Array
    signs: NDArray[np.int8]
    inner: Array
    inner_error: Array
    start: int
    used: NDArray[np.int64]


def proved(
    task: HullTask, facets: Array, neighbours: Array, flip: bool = True, rough: bool = True
) -> Proof | None:
    """The proof of a proposal whose rows ascend, or None where a condition does not hold.

    ``flip``: a surface that is only not convex is proved after flips. ``rough``: it is Qhull's, and
    given up at the first facet that is flat seen from above.
    """
    n, k = task.n, task.k
    finite = facets[:, -1] < n
    used = np.flatnonzero(np.bincount(facets.ravel(), minlength=n + 1)[:n])
    start = _broadest(task.points, facets, np.flatnonzero(finite), task.vertical)
    if start < 0:
        return None
    # Below the middle of one facet, which is then the one that the ray meets; or inside.
    inner = task.mean(n + 1, facets[start] if task.vertical else used)
    found = Proof(
        facets,
        neighbours,
        np.empty(facets.shape, np.int64),
        np.empty(len(facets), np.int8),
        np.empty(len(facets), np.bool_),
        np.empty(facets.shape),
        np.empty(facets.shape),
        np.empty(facets.shape, np.int8),
        *inner,
        start,
        used,
    )
    if not _sides_hold(task, found, rough) or found.walls[start]:
        return None
    if not hull_links.common_ridges(facets, neighbours, found.sides, found.back):
        return None
    _settle_signs(task, found, all_of_them=k == 3 or not rough)
    wrong = np.argwhere(found.signs < 0).tolist()
    if not wrong:
        return found if _one_facet_on_a_ray(task, found) else None
    if k > 3 or not flip:
        return None
    bad = [(f, i) for f, i in wrong if f < neighbours[f, i]]
    task.rows.need(np.unique(facets[neighbours[[f for f, _ in bad]]]))
    side, sign = lambda facet: _exact_side(task, facet)[0], task.rows.sign
    made = flipped(facets, neighbours, found.sides, bad, side, sign)
    return proved(task, *made, flip=False, rough=False)


def _sides_hold(task: HullTask, found: Proof, rough: bool) -> bool:
    """Write normals, sides and walls; whether each facet has the inner point on one side (1).

    ``rough``: facets that are flat seen from above do not hold.
    """
    facets, sides, walls = found.facets, found.sides, found.walls
    hull_signs.normals_of(
        task.points,
        task.errors,
        facets,
        task.vertical,
        found.inner,
        found.inner_error,
        task.whole,
        found.normals,
        found.slacks,
        sides,
        walls,
    )
    finite = facets[:, -1] < task.n
    if rough and (walls & finite).any():
        return False
    doubtful = np.flatnonzero(sides == OPEN)
    if not len(doubtful):
        return True
    if task.vertical:
        some = doubtful[finite[doubtful]]
        down = np.column_stack([facets[some], np.full(len(some), task.n)])
        sides[some] = task.rows.signs(down)
        walls[some] = upright = sides[some] == 0
        if rough and upright.any():
            return False
        doubtful = np.concatenate([some[upright], doubtful[~finite[doubtful]]])
    # One after the other: what stands for the inner point changes, and ``signs`` remembers.
    for f in doubtful.tolist():
        sides[f] = task.rows.sign([*facets[f].tolist(), task.n + 1])
        if not sides[f]:
            return False
    return True


def _settle_signs(task: HullTask, found: Proof, all_of_them: bool) -> None:
    """Write the signs of all ridges (3), at least up to the first that is negative."""
    facets, neighbours, signs = found.facets, found.neighbours, found.signs
    hull_signs.convexity(
        task.points,
        task.errors,
        facets,
        neighbours,
        found.back,
        found.sides,
        found.normals,
        found.slacks,
        task.whole,
        signs,
    )
    if not all_of_them and (signs == -1).any():
        return
    doubtful = np.argwhere(signs == OPEN)
    if not len(doubtful):
        return
    f, i = doubtful[doubtful[:, 0] < neighbours[doubtful[:, 0], doubtful[:, 1]]].T
    g, j = neighbours[f, i], found.back[f, i]
    step = len(f) if all_of_them else 64
    for some in (slice(begin, begin + step) for begin in range(0, len(f), max(step, 1))):
        rows = np.column_stack([facets[f[some]], facets[g[some], j[some]]])
        settled = found.sides[f[some]] * task.rows.signs(rows)
        signs[f[some], i[some]] = signs[g[some], j[some]] = settled
        if not all_of_them and (settled < 0).any():
            task.close = True
            return


def _exact_side(task: HullTask, facet: list[int]) -> tuple[int, bool]:
    """The side of a facet on which the inner point lies, and whether it is a wall."""
    n = task.n
    side = task.rows.sign([*facet, n]) if task.vertical and facet[-1] < n else 0
    return side or task.rows.sign([*facet, n + 1]), task.vertical and side == 0


def rising(task: HullTask, facets: Array) -> NDArray[np.bool_]:
    """Which facets are proved to look upward, seen from the mean of all points."""
    m, k = facets.shape
    normals, slacks = np.empty((m, k)), np.empty((m, k))
    sides, walls = np.empty(m, np.int8), np.empty(m, np.bool_)
    middle = task.points.mean(axis=0)
    hull_signs.normals_of(
        task.points,
        task.errors,
        facets,
        False,
        middle,
        np.zeros(k),
        task.whole,
        normals,
        slacks,
        sides,
        walls,
    )
    last = np.where(sides == OPEN, 0, sides) * normals[:, -1]
    return last < -slacks[:, -1]


def height_errors(normals: Array, slacks: Array, reach: Array, errors: Array) -> Array:
    """Bounds on errors of differences of what normals (m, k) give at two points.

    ``reach`` bounds all coordinates, column by column, and ``errors`` their errors.
    """
    size = np.abs(normals) + slacks
    slack = slacks + (normals.shape[1] + 4) * UNIT * size
    return 2.01 * (slack @ reach + size @ errors) + TINY


def _broadest(points: Array, facets: Array, among: Array, vertical: bool) -> int:
    """A facet of large volume (in projection) out of some, so that its middle is well inside."""
    some = among[:: max(1, len(among) // 64)]
    if not len(some):
        return -1
    corners = points[facets[some]]
    steps = corners[:, 1:] - corners[:, :1]
    with np.errstate(all="ignore"):
        if vertical:
            volume = np.abs(np.linalg.det(steps[:, :, :-1]))
        else:
            volume = np.linalg.det(steps @ steps.transpose(0, 2, 1))
    volume[~np.isfinite(volume)] = 0.0
    return int(some[np.argmax(volume)])


def _one_facet_on_a_ray(task: HullTask, proof: Proof) -> bool:
    """Whether the ray from the inner point through the middle of ``start`` meets no other facet.

    In upper hulls it is vertical; walls do not meet it, since the inner point is strictly inside.
    """
    middle = task.mean(task.n + 2, proof.facets[proof.start])
    seen = np.empty(len(proof.facets), np.bool_)
    hull_signs.hit(
        task.points,
        task.errors,
        proof.facets,
        proof.walls,
        proof.sides,
        *middle,
        proof.inner,
        proof.inner_error,
        task.vertical,
        seen,
    )
    seen[proof.start] = False
    return all(
        min(exact_places(task, proof, f, task.n + 2)) < 0 for f in np.flatnonzero(seen).tolist()
    )


def exact_places(task: HullTask, proof: Proof, f: int, j: int) -> list[int]:
    """Signs of the barycentric coordinates of point j in a facet, seen from the inner point."""
    facet = proof.facets[f].tolist()
    last = task.n if task.vertical else task.n + 1
    return [
        int(proof.sides[f]) * task.rows.sign([*facet[:i], j, *facet[i + 1 :], last])
        for i in range(len(facet))
    ]

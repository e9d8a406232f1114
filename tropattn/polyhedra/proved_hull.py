"""Closed hulls and upper hulls of points, proposed by Qhull in doubles and proved locally.

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

Of upper hulls ``o`` is moved straight down beyond all bounds. What Qhull proposes wrongly is made
anew by exact insertion (``exact_insertion``), and proved in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import hull_signs
from tropattn.errors import EngineError
from tropattn.polyhedra._qhull import proposed_hull
from tropattn.polyhedra.exact_insertion import inserted_hull
from tropattn.polyhedra.exact_signs import ExactRows
from tropattn.polyhedra.flips import flipped
from tropattn.polyhedra.hull_corners import corners, edges
from tropattn.tolerance import TINY, UNIT

__all__ = ["ProvedHull", "hull"]

Array = NDArray[Any]
OPEN = hull_signs.OPEN

Exact = Callable[[Any], flint.fmpq_mat]

_STEEP = 1e-7
"""Facets whose unit normals rise less than this are looked at again before they are proposed."""

_NOISE = 1e-10
"""How far points are moved for a second proposal, their coordinates being about 1."""

_WHOLE_BITS = 40
"""Columns of integers up to this size are scaled to integers, so that zeros can be proved."""


@dataclass(frozen=True, slots=True, eq=False)
class ProvedHull:
    """A triangulation of the boundary of a hull, and where the points that it does not use lie.

    Attributes
    ----------
    facets : (m, k) ascending point numbers; of upper hulls the number n stands for infinity.
    neighbours : (m, k), the facet on the other side of the ridge opposite to each vertex.
    signs : (m, k) int8, whether the hull bends at that ridge (1) or is flat (0).
    walls : (m,) bool, the facets of an upper hull that contain infinity or are parallel to it.
    labels : (m,) the true facet of each simplex, numbered 0, 1, ...
    corner : (n,) bool, the corners of the hull, which are the vertices of the facets.
    place : (n,) for the other points a facet, or cone over a facet, that they lie in; else -1.
    on : (n,) bool, those of them that lie in that facet itself.
    border : (n, k) bool, the ridges of that facet (opposite to a vertex) that such a point lies in.
    rows : the exact points; ``rows.count`` is how many signs were settled in integers.
    inserted : whether the facets come from exact insertion.
    """

    facets: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    signs: NDArray[np.int8]
    walls: NDArray[np.bool_]
    labels: NDArray[np.int64]
    corner: NDArray[np.bool_]
    place: NDArray[np.int64]
    on: NDArray[np.bool_]
    border: NDArray[np.bool_]
    rows: ExactRows
    inserted: bool

    def edges(self) -> NDArray[np.int64]:
        """The edges of the hull between points, as ascending rows (w, 2)."""
        return edges(self.facets, self.labels, self.signs, self.rows)


def hull(
    points: Array, errors: Array, exact: Exact, vertical: bool, repair: bool = True
) -> ProvedHull | None:
    """The closed hull of points that span R^k, or with ``vertical`` their upper hull; k >= 2.

    Parameters
    ----------
    points, errors : (n, k) doubles and bounds on their errors, 0 where they are exact.
    exact : rows of the given numbers in rationals; each column may be scaled by a positive number.
    vertical : the last coordinate is a height, and only upper facets count; the points lie in no
        one hyperplane, and neither do they without their heights.
    repair : without, the result is None where what Qhull proposes is not proved; then the points
        need not span R^k, since any proof includes that.

    >>> square = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, 0.5]])
    >>> rows = flint.fmpq_mat(5, 2, [0, 0, 1, 0, 0, 1, 1, 1, flint.fmpq(1, 2), flint.fmpq(1, 2)])
    >>> take = lambda js: flint.fmpq_mat([[rows[int(j), c] for c in range(2)] for j in js])
    >>> found = hull(square, np.zeros((5, 2)), take, vertical=False)
    >>> sorted(found.facets.tolist()), found.corner.tolist()
    ([[0, 1], [0, 2], [1, 3], [2, 3]], [True, True, True, True, False])
    """
    task = _Task(points, errors, exact, vertical)
    keys, proof = np.arange(task.n), None
    while True:
        if proof is None and not task.inserted:
            proof = _from_proposals(task, keys, repair)
        if proof is None:
            if not repair:
                return None
            proof = _by_insertion(task, keys)
        labels, _ = hull_signs.touching(proof.neighbours, proof.signs)
        corner = corners(proof.facets, labels, proof.signs, task.rows)
        # A vertex that is no corner may lie on an edge, which then is none of the triangulation;
        # a corner of fewer points may be none of more, but not the other way round.
        if not corner[proof.used_keys].all():
            keys, proof = np.flatnonzero(corner), None
            continue
        places = _Places.of(task, proof)
        if len(places.outside):
            keys, proof = np.union1d(proof.used_keys, places.outside), None
            task.inserted = True
            continue
        return ProvedHull(
            proof.facets,
            proof.neighbours,
            proof.signs,
            proof.walls,
            labels,
            corner,
            places.place,
            places.on,
            places.border,
            task.rows,
            task.inserted,
        )


class _Task:
    """The points of one hull, scaled by powers of two column by column, and their exact rows."""

    def __init__(self, points: Array, errors: Array, exact: Exact, vertical: bool) -> None:
        self.n, self.k = points.shape
        self.vertical = vertical
        self.points, self.errors, self.whole, self.near = _scaled(points, errors)
        self.rows = ExactRows(exact, self.n, self.k)
        self.inserted = False

    def mean(self, index: int, members: Array) -> tuple[Array, Array]:
        """The mean of points in doubles with a bound on its error; number ``index`` from now on."""
        self.rows.set_mean(index, members)
        chosen = self.points[members]
        size = np.abs(chosen).max(axis=0)
        lost = self.errors[members].max(axis=0) + (len(members) + 2) * UNIT * size
        return chosen.mean(axis=0), 1.001 * lost + TINY


def _scaled(points: Array, errors: Array) -> tuple[Array, Array, bool, Array]:
    """Points and errors for signs, whether these points are integers, and points for Qhull.

    Columns are multiplied by powers of two, which changes no sign: to integers where all are small
    ones, else to a size about 1.
    """
    top, low = np.empty((2, points.shape[1]), np.int64)
    hull_signs.extents(points, top, low)
    usual = (np.abs(top) < 1000).all() and (low > -1000).all() and (top - low < 1000).all()
    near = points * np.ldexp(1.0, -top) if usual else np.ldexp(points, -top)
    if not errors.any():
        if (top - low).max() <= _WHOLE_BITS:
            return np.ldexp(points, -low), errors, True, near
        if usual:
            return near, errors, False, near
    moved = np.ldexp(errors, -top)
    # What scaling takes below the doubles is an error too.
    moved = np.where((errors > 0) | (np.ldexp(near, top) != points), moved + TINY, 0.0)
    return near, moved, False, near


@dataclass(frozen=True, slots=True, eq=False)
class _Proof:
    """A proved triangulation of the boundary of the hull of its own vertices."""

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
    used_keys: NDArray[np.int64]


def _proved(task: _Task, facets: Array, neighbours: Array, flip: bool = True) -> _Proof | None:
    """The proof of a proposal whose rows ascend, or None where a condition does not hold.

    A surface that is only not convex is proved after flips.
    """
    n, (m, k) = task.n, facets.shape
    finite = facets[:, -1] < n
    used = np.flatnonzero(np.bincount(facets.ravel(), minlength=n + 1)[:n])
    start = _broadest(task.points, facets, np.flatnonzero(finite), task.vertical)
    if start < 0:
        return None
    # Below the middle of one facet, which is then the one that the ray meets; or inside.
    inner, inner_error = task.mean(n + 1, facets[start] if task.vertical else used)
    normals, slacks = np.empty((m, k)), np.empty((m, k))
    sides, walls = np.empty(m, np.int8), np.empty(m, np.bool_)
    data = task.points, task.errors
    hull_signs.normals_of(
        *data, facets, task.vertical, inner, inner_error, task.whole, normals, slacks, sides, walls
    )
    if flip and not task.inserted and (walls & finite).any():
        # Qhull cut a facet into simplices that are flat seen from above.
        return None
    open_sides = np.flatnonzero(sides == OPEN)
    task.rows.need(np.unique(facets[open_sides]))
    for f in open_sides.tolist():
        sides[f], walls[f] = _exact_side(task, facets[f].tolist())
        if not sides[f]:
            return None
    back = np.empty((m, k), np.int64)
    if walls[start] or not hull_signs.common_ridges(facets, neighbours, sides, back):
        return None
    signs = np.empty((m, k), np.int8)
    hull_signs.convexity(*data, facets, neighbours, back, sides, normals, slacks, task.whole, signs)
    if (signs == -1).any() and k != 3:
        return None
    still_open = np.argwhere(signs == OPEN)
    task.rows.need(np.unique(facets[still_open[:, 0]]))
    for f, i in still_open.tolist():
        g = int(neighbours[f, i])
        if f < g:
            vertex = int(facets[g, back[f, i]])
            sign = int(sides[f]) * task.rows.sign([*facets[f].tolist(), vertex])
            if sign < 0 and k != 3:
                return None
            signs[f, i] = signs[g, back[f, i]] = sign
    wrong = np.argwhere(signs < 0)
    if len(wrong):
        if flip:
            bad = [(f, i) for f, i in wrong.tolist() if f < neighbours[f, i]]
            made = flipped(
                facets,
                neighbours,
                sides,
                bad,
                lambda facet: _exact_side(task, facet)[0],
                task.rows.sign,
            )
            return _proved(task, *made, flip=False)
        return None
    proof = _Proof(
        facets,
        neighbours,
        back,
        sides,
        walls,
        normals,
        slacks,
        signs,
        inner,
        inner_error,
        start,
        used,
    )
    return proof if _one_facet_on_a_ray(task, proof) else None


def _exact_side(task: _Task, facet: list[int]) -> tuple[int, bool]:
    """The side of a facet on which the inner point lies, and whether it is a wall."""
    n = task.n
    side = task.rows.sign([*facet, n]) if task.vertical and facet[-1] < n else 0
    return side or task.rows.sign([*facet, n + 1]), task.vertical and side == 0


def _broadest(points: Array, facets: Array, among: Array, vertical: bool) -> int:
    """A facet of large volume (in projection) out of some, so that its middle is well inside."""
    some = among[:: max(1, len(among) // 64)]
    if not len(some):
        return -1
    corners = points[facets[some]]
    steps = corners[:, 1:] - corners[:, :1]
    if vertical:
        volume = np.abs(np.linalg.det(steps[:, :, :-1]))
    else:
        volume = np.linalg.det(steps @ steps.transpose(0, 2, 1))
    return int(some[np.argmax(volume)])


def _one_facet_on_a_ray(task: _Task, proof: _Proof) -> bool:
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
        min(_exact_places(task, proof, f, task.n + 2)) < 0 for f in np.flatnonzero(seen).tolist()
    )


def _exact_places(task: _Task, proof: _Proof, f: int, j: int) -> list[int]:
    """Signs of the barycentric coordinates of point j in a facet, seen from the inner point."""
    facet = proof.facets[f].tolist()
    last = task.n if task.vertical else task.n + 1
    return [
        int(proof.sides[f]) * task.rows.sign([*facet[:i], j, *facet[i + 1 :], last])
        for i in range(len(facet))
    ]


def _from_proposals(task: _Task, keys: NDArray[np.int64], spanning: bool) -> _Proof | None:
    """Qhull's hull of these points, or of points next to them in general position, if proved.

    Where many points lie in one facet Qhull may cut it into flat or unmatched simplices, but not
    where they have been moved a little; simplices of these may do for the true points. Where it
    sees flat points it is asked again only if they are known to span their space.
    """
    for noise in (0.0, _NOISE):
        near = task.near[keys]
        if noise:
            shake = noise * np.random.Generator(np.random.Philox(len(keys))).random(len(keys))
            if task.vertical:
                near[:, -1] += shake
            else:
                near += shake[:, None] * (near - near.mean(axis=0))
        proposal = _proposal(task, keys, near)
        proof = _proved(task, *proposal) if proposal is not None else None
        if proof is not None:
            return proof
        if proposal is None and not spanning:
            return None
    return None


def _by_insertion(task: _Task, keys: NDArray[np.int64]) -> _Proof:
    task.inserted = True
    made = inserted_hull(task.points, task.errors, task.rows, keys.tolist(), task.vertical)
    proof = _proved(task, *made)
    if proof is None:
        raise EngineError("hull: exact insertion contradicts its proof; please report the points.")
    return proof


def _proposal(task: _Task, keys: NDArray[np.int64], near: Array) -> tuple[Array, Array] | None:
    """Facets and neighbours from Qhull, rows ascending; upper hulls are closed off by walls."""
    found = proposed_hull(near)
    if found is None:
        return None
    simplices, neighbours, equations = found
    facets = keys[simplices.astype(np.int64)]
    neighbours = neighbours.astype(np.int64)
    hull_signs.arrange(facets, neighbours)
    if not task.vertical:
        return facets, neighbours
    rise = equations[:, task.k - 1]
    upper = rise > 0
    steep = np.flatnonzero(np.abs(rise) < _STEEP)
    if len(steep):
        upper[steep] = _rising(task, facets[steep])
    number = np.where(upper, np.cumsum(upper) - 1, -1)
    kept = neighbours[upper]
    return _closed_off(facets[upper], np.where(kept >= 0, number[kept], -1), task.n)


def _rising(task: _Task, facets: Array) -> Array:
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


def _closed_off(facets: Array, neighbours: Array, n: int) -> tuple[Array, Array] | None:
    """Join each open ridge (neighbour -1) to infinity, and the new facets with each other."""
    m, k = facets.shape
    at, gap = np.nonzero(neighbours < 0)
    walls = len(at)
    if walls < k:
        return None
    keep = np.arange(k - 1)
    ridges = facets[at[:, None], keep[None, :] + (keep[None, :] >= gap[:, None])]
    neighbours[at, gap] = m + np.arange(walls)
    beside = np.full((walls, k), -1, np.int64)
    beside[:, k - 1] = at
    # Ridges that contain infinity: one vertex of an open ridge left out.
    owner = np.repeat(np.arange(walls), k - 1)
    left_out = np.tile(keep, walls)
    short = np.arange(k - 2)
    names = ridges[owner[:, None], short[None, :] + (short[None, :] >= left_out[:, None])]
    order = np.lexsort(names.T) if k > 2 else np.arange(len(names))
    names = names[order]
    if (
        len(order) % 2
        or (names[::2] != names[1::2]).any()
        or (len(order) > 2 and (names[1:-1:2] == names[2::2]).all(axis=1).any())
    ):
        return None
    one, two = order[::2], order[1::2]
    beside[owner[one], left_out[one]] = m + owner[two]
    beside[owner[two], left_out[two]] = m + owner[one]
    new = np.column_stack([ridges, np.full(walls, n)])
    return np.vstack([facets, new]), np.vstack([neighbours, beside])


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Where the points lie that a triangulation does not use."""

    place: NDArray[np.int64]
    on: NDArray[np.bool_]
    border: NDArray[np.bool_]
    outside: NDArray[np.int64]

    @classmethod
    def of(cls, task: _Task, proof: _Proof) -> _Places:
        """Walk to all unused points, neighbours after each other; exact where doubles are not."""
        n, k = task.points.shape
        place = np.full(n, -1, np.int64)
        on, border = np.zeros(n, np.bool_), np.zeros((n, k), np.bool_)
        idle = np.ones(n, np.bool_)
        idle[proof.used_keys] = False
        queries = np.flatnonzero(idle)
        if not len(queries):
            return cls(place, on, border, queries)
        codes = np.empty(len(queries), np.uint16)
        hull_signs.curve(task.near[queries, : k - task.vertical], codes)
        queries = queries[np.argsort(codes, kind="stable")]
        where = np.full(len(queries), proof.start)
        state = np.empty(len(queries), np.int8)
        coordinates = np.empty((len(queries), k), np.int8)
        hull_signs.locate(
            task.points,
            task.errors,
            proof.facets,
            proof.neighbours,
            proof.sides,
            proof.normals,
            proof.slacks,
            proof.inner,
            proof.inner_error,
            task.vertical,
            task.whole,
            proof.walls,
            proof.start,
            queries,
            where,
            state,
            coordinates,
            np.zeros(1, np.int64),
        )
        doubtful = np.flatnonzero((state == hull_signs.UNSURE) | (state == hull_signs.LOST))
        task.rows.need(np.union1d(proof.facets[where[doubtful]], queries[doubtful]))
        for q in doubtful.tolist():
            where[q], state[q], coordinates[q] = _exact_walk(
                task, proof, int(where[q]), int(queries[q])
            )
        place[queries] = where
        on[queries] = state == hull_signs.ON
        border[queries] = coordinates == 0
        return cls(place, on, border, np.sort(queries[state == hull_signs.OUT]))


def _exact_walk(task: _Task, proof: _Proof, f: int, j: int) -> tuple[int, int, list[int]]:
    """The facet that point j lies in or below, its state, and signs of its coordinates."""
    chance = np.random.Generator(np.random.Philox(j))
    while True:
        signs = _exact_places(task, proof, f, j)
        ways = [i for i, sign in enumerate(signs) if sign < 0]
        if not ways:
            side = int(proof.sides[f]) * task.rows.sign([*proof.facets[f].tolist(), j])
            return f, (hull_signs.ON, hull_signs.IN, hull_signs.OUT)[side], signs
        ahead = int(proof.neighbours[f, ways[int(chance.integers(len(ways)))]])
        if proof.walls[ahead]:
            return f, hull_signs.OUT, signs
        f = ahead

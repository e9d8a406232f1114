"""Closed hulls and upper hulls of points, proposed by Qhull in doubles and proved locally.

Qhull's facets are a proposal (``hull_proof`` says what a proof is). Vertices that are no corners
are dropped, the other points are located in the facets, and what Qhull proposes wrongly is made
anew, cell by cell, by flips or by exact insertion, and proved in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import hull_links, hull_signs
from tropattn._types import Array
from tropattn.errors import EngineError
from tropattn.polyhedra._qhull import proposed_hull
from tropattn.polyhedra.hull.cells import recut
from tropattn.polyhedra.hull.corners import corners, edges
from tropattn.polyhedra.hull.exact_signs import ExactRows
from tropattn.polyhedra.hull.insertion import grown_hull, inserted_hull
from tropattn.polyhedra.hull.proof import (
    Exact,
    HullTask,
    Proof,
    exact_places,
    height_errors,
    proved,
    rising,
)

__all__ = ["ProvedHull", "hull"]

OPEN = hull_signs.OPEN


_STEEP = 1e-7
"""Facets whose unit normals rise less than this are looked at again before they are proposed."""

_NOISES = (0.0, 1e-7, 1e-5, 1e-9, 1e-3)
"""How far points are moved for one proposal after the other, their coordinates being about 1.

Small moves leave simplices too thin for Qhull, large ones hide where the hull bends a little.
"""


_SEEN = 160
"""Up to so many facets are looked at for each point, which no walk beats."""

_TABLE = 1 << 13
"""Numbers of a table of facets and points."""

_FEW = 300
"""Up to so many points that a proposal left out are added to it one after the other."""


@dataclass(frozen=True, slots=True, eq=False)
class ProvedHull:
    """A triangulation of the boundary of a hull, and where the points that it does not use lie.

    Attributes
    ----------
    facets : (m, k) ascending point numbers; of upper hulls the number n stands for infinity.
    neighbours : (m, k), the facet on the other side of the ridge opposite to each vertex.
    signs : (m, k) int8, whether the hull bends at that ridge (1) or is flat (0).
    walls : (m,) bool, the facets of an upper hull that contain infinity or are parallel to it.
    sides : (m,) int8, times which the normals point inward.
    normals, slacks : (m, k) in doubles, with bounds on their errors.
    labels : (m,) the true facet of each simplex, numbered 0, 1, ...
    corner : (n,) bool, the corners of the hull, which are the vertices of the facets.
    place : (n,) for the other points a facet, or cone over a facet, that they lie in; else -1, and
        for points strictly inside, unless ``placed`` was asked for.
    on : (n,) bool, those of them that lie in that facet itself.
    border : (n, k) bool, the ridges of that facet (opposite to a vertex) that such a point lies in.
    rows : the exact points; ``rows.count`` is how many signs were settled in integers.
    inserted : whether the facets come from exact insertion.
    """

    facets: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    signs: NDArray[np.int8]
    walls: NDArray[np.bool_]
    sides: NDArray[np.int8]
    normals: Array
    slacks: Array
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
    points: Array,
    errors: Array,
    exact: Exact,
    vertical: bool,
    repair: bool = True,
    placed: bool = False,
) -> ProvedHull | None:
    """The closed hull of points that span R^k, or with ``vertical`` their upper hull; k >= 2.

    Parameters
    ----------
    points, errors : (n, k) doubles and bounds on their errors, 0 where they are exact.
    exact : rows of the given numbers in rationals; each column may be scaled by a positive number.
    vertical : the last coordinate is a height, and only upper facets count; it is enough that the
        points span R^(k - 1) without their heights.
    repair : without, the result is None where what Qhull proposes is not proved, or wrong by less
        than doubles see; then the points need not span anything, since both include that.
    placed : whether the place of points strictly inside is asked for.

    Cost: Qhull's, then some dozen products per facet and per other point, k 2^k times; integers
    where doubles leave a sign open. Raises nothing else than an interruption.

    >>> import flint
    >>> square = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, 0.5]])
    >>> rows = flint.fmpq_mat(5, 2, [0, 0, 1, 0, 0, 1, 1, 1, flint.fmpq(1, 2), flint.fmpq(1, 2)])
    >>> take = lambda js: flint.fmpq_mat([[rows[int(j), c] for c in range(2)] for j in js])
    >>> found = hull(square, np.zeros((5, 2)), take, vertical=False)
    >>> sorted(found.facets.tolist()), found.corner.tolist()
    ([[0, 1], [0, 2], [1, 3], [2, 3]], [True, True, True, True, False])
    """
    task = HullTask(points, errors, exact, vertical)
    keys, proof = np.arange(task.n), None
    while True:
        if proof is None and not task.inserted:
            proof = _from_proposals(task, keys, repair)
        if proof is None:
            if not repair and not task.close:
                return None
            proof = _by_insertion(task, keys)
        labels, _ = hull_links.touching(proof.neighbours, proof.signs)
        corner = corners(proof.facets, labels, proof.signs, task.rows)
        # A vertex that is no corner may lie on an edge, which then is none of the triangulation;
        # a corner of fewer points may be none of more, but not the other way round.
        if not corner[proof.used].all():
            keys, proof = np.flatnonzero(corner), None
            continue
        places = _Places.of(task, proof, every=placed)
        if len(places.outside):
            if not repair:
                return None
            keys = np.union1d(proof.used, places.outside)
            proof = _grown(task, proof, places.outside)
            continue
        return ProvedHull(
            proof.facets,
            proof.neighbours,
            proof.signs,
            proof.walls,
            proof.sides,
            *_unscaled(task, proof),
            labels,
            corner,
            places.place,
            places.on,
            places.border,
            task.rows,
            task.inserted,
        )


def _unscaled(task: HullTask, proof: Proof) -> tuple[Array, Array]:
    """Normals, up to a factor, and slacks for points whose columns have not been scaled."""
    powers = task.powers - task.powers.max()
    lost = np.where(powers < 0, 2.0**-1074, 0.0)
    return np.ldexp(proof.normals, powers), np.ldexp(proof.slacks, powers) + 2 * lost


def _from_proposals(task: HullTask, keys: NDArray[np.int64], spanning: bool) -> Proof | None:
    """Qhull's hull of these points, or of points next to them in general position, if proved.

    Where many points lie in one facet Qhull may cut it into flat or unmatched simplices, but not
    where they have been moved a little; simplices of these may do for the true points. Where it
    sees flat points it is asked again only if they are known to span their space.
    """
    while task.level < (len(_NOISES) if spanning else 2):
        noise = _NOISES[task.level]
        near = task.near if len(keys) == task.n and not noise else task.near[keys]
        if noise:
            shake = noise * np.random.Generator(np.random.Philox(len(keys))).random(len(keys))
            if task.vertical:
                near[:, -1] += shake
            else:
                near += shake[:, None] * (near - near.mean(axis=0))
        found = proposed_hull(near)
        proposal = _proposal(task, keys, found) if found is not None else None
        proof = None
        if proposal is not None:
            proof = proved(task, *proposal, flip=False)
            if proof is None and task.vertical and not noise:
                proof = _from_cells(task, keys, found)
            if proof is None and task.k == 3:
                proof = proved(task, *proposal)
        if proof is not None:
            return proof
        if (proposal is None and not spanning) or (noise and task.close):
            # No move is as small as what doubles do not see.
            return None
        task.level += 1
    return None


def _by_insertion(task: HullTask, keys: NDArray[np.int64]) -> Proof:
    task.inserted = True
    made = inserted_hull(task.points, task.errors, task.rows, keys.tolist(), task.vertical)
    proof = proved(task, *made, flip=False, rough=False)
    if proof is None:
        raise EngineError("hull: exact insertion contradicts its proof; please report the points.")
    return proof


def _grown(task: HullTask, proof: Proof, outside: NDArray[np.int64]) -> Proof | None:
    """The proof after points that are outside were added, if they are few."""
    task.level += 1
    if len(outside) > _FEW and not task.inserted:
        return None
    inner = task.n + 1
    if task.vertical:
        # The mean of one facet, moved down.
        middle, down = task.rows.row(inner), task.rows.row(task.n)
        inner = task.n + 3
        task.rows.set_row(inner, [a + b for a, b in zip(middle, down, strict=True)])
    surface = proof.facets, proof.neighbours, proof.sides, proof.normals, proof.slacks
    made = grown_hull(task.points, task.errors, task.rows, surface, inner, outside.tolist())
    return proved(task, *made, flip=False, rough=False)


def _proposal(task: HullTask, keys: NDArray[np.int64], found: Any) -> tuple[Array, Array] | None:
    """Facets and neighbours from Qhull, rows ascending; upper hulls are closed off by walls."""
    simplices, neighbours, equations = found
    facets = keys[simplices.astype(np.int64)]
    neighbours = neighbours.astype(np.int64)
    hull_links.arrange(facets, neighbours)
    if not task.vertical:
        return facets, neighbours
    upper = _upper(task, facets, equations)
    number = np.where(upper, np.cumsum(upper) - 1, -1)
    kept = neighbours[upper]
    return _closed_off(facets[upper], np.where(kept >= 0, number[kept], -1), task.n)


def _from_cells(task: HullTask, keys: NDArray[np.int64], found: Any) -> Proof | None:
    """The proof of Qhull's upper hull after the facets that it merged are cut anew."""
    simplices, neighbours, equations = found
    # A number for each plane; those of merged facets are the same.
    planes = (equations * np.sqrt(np.arange(2.0, task.k + 3))).sum(axis=1)
    merged = planes[neighbours] == planes[:, None]
    facets = keys[simplices.astype(np.int64)]
    upper = _upper(task, facets, equations)
    made = recut(task, facets, neighbours.astype(np.int64), merged, upper)
    closed = _closed_off(*made, task.n) if made is not None else None
    return proved(task, *closed, rough=False) if closed is not None else None


def _upper(task: HullTask, facets: Array, equations: Array) -> NDArray[np.bool_]:
    """Which facets seem to look upward."""
    rise = equations[:, task.k - 1]
    upper = rise > 0
    steep = np.flatnonzero(np.abs(rise) < _STEEP)
    if len(steep):
        upper[steep] = rising(task, facets[steep])
    return upper


def _closed_off(facets: Array, neighbours: Array, n: int) -> tuple[Array, Array] | None:
    """Join each open ridge (neighbour -1) to infinity, and the new facets with each other."""
    m, k = facets.shape
    walls = np.count_nonzero(neighbours < 0)
    if walls < k:
        return None
    rows, beside = np.empty((2, m + walls, k), np.int64)
    number = np.zeros(m + 1, np.int64)
    number[-1] = -1
    if not hull_links.close_off(facets, neighbours, n, number, rows, beside):
        return None
    return rows, beside


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Where the points lie that a triangulation does not use."""

    place: NDArray[np.int64]
    on: NDArray[np.bool_]
    border: NDArray[np.bool_]
    outside: NDArray[np.int64]

    @classmethod
    def of(cls, task: HullTask, proof: Proof, every: bool = True) -> _Places:
        """Walk to unused points, neighbours after each other; exact where doubles are not.

        Unless ``every`` place is wanted, points far inside are only seen to be so.
        """
        n, k = task.points.shape
        place = np.full(n, -1, np.int64)
        on, border = np.zeros(n, np.bool_), np.zeros((n, k), np.bool_)
        idle = np.ones(n, np.bool_)
        idle[proof.used] = False
        queries = np.flatnonzero(idle)
        if len(queries) and not every and len(proof.facets) <= _SEEN:
            queries = _not_inside(task, proof, queries)
        if not len(queries):
            return cls(place, on, border, queries)
        codes = np.empty(len(queries), np.uint16)
        hull_links.curve(task.near[queries, : k - task.vertical], codes)
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


def _not_inside(task: HullTask, proof: Proof, queries: Array) -> NDArray[np.int64]:
    """The points that doubles do not prove strictly inside all facets, which bound the hull."""
    turned = proof.sides[:, None] * proof.normals
    lost = height_errors(turned, proof.slacks, task.reach, task.worst)
    least = (turned * task.points[proof.facets[:, 0]]).sum(axis=1) + lost
    inside = np.empty(len(queries), np.bool_)
    # Larger tables would be new memory every time, which costs more than the products.
    step = _TABLE // len(turned) + 1
    for begin in range(0, len(queries), step):
        some = slice(begin, begin + step)
        heights = turned @ task.points[queries[some]].T
        inside[some] = (heights > least[:, None]).all(axis=0)
    return queries[~inside]


def _exact_walk(task: HullTask, proof: Proof, f: int, j: int) -> tuple[int, int, list[int]]:
    """The facet that point j lies in or below, its state, and signs of its coordinates."""
    chance = np.random.Generator(np.random.Philox(j))
    while True:
        signs = exact_places(task, proof, f, j)
        ways = [i for i, sign in enumerate(signs) if sign < 0]
        if not ways:
            side = int(proof.sides[f]) * task.rows.sign([*proof.facets[f].tolist(), j])
            return f, (hull_signs.ON, hull_signs.IN, hull_signs.OUT)[side], signs
        ahead = int(proof.neighbours[f, ways[int(chance.integers(len(ways)))]])
        if proof.walls[ahead]:
            return f, hull_signs.OUT, signs
        f = ahead

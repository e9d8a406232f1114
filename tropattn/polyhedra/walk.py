"""From vertex to vertex of a Minkowski sum: coordinates in integers, and the breadth-first walk.

The walk behind ``minkowski``; see there for the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import lcm

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import freeze, is_exact, pivot_columns
from tropattn.errors import BudgetExceeded
from tropattn.polyhedra.edges import Directions
from tropattn.polyhedra.faces import primitive
from tropattn.threads import check, interrupted

__all__ = ["PointMoves", "SumMoves", "Walk", "WalkFrame", "highest"]

Vector = tuple[int, ...]
Way = tuple[Vector, int]

_BATCH = 4096
_LARGE = 2**30


@dataclass(frozen=True, slots=True, eq=False)
class WalkFrame:
    """The summands in integers, in coordinates that are independent on the sum.

    Attributes
    ----------
    points : per summand (n_i, r) distinct integer points; first : their original indices.
    axes : (r,) the coordinates kept, ascending.
    scale : true coordinates are these integers divided by it.
    lineality : (k, d) integer basis of the directions that are constant on the sum.
    ray : the downward ray in these coordinates, for upper sums.
    """

    points: list[Array]
    first: list[NDArray[np.int64]]
    axes: list[int]
    scale: int
    lineality: NDArray[np.object_]
    ray: Vector | None

    @classmethod
    def of(cls, summands: Sequence[Array], upper: bool) -> WalkFrame:
        """Integers, and the first coordinates that are independent on the span of differences.

        On that span the other coordinates are linear functions of these, so leaving them out is a
        bijection. For upper sums the last coordinate is taken first: the ray lies along it.
        """
        scale = lcm(*(_denominator(p) for p in summands))
        whole = [_integers(p, scale) for p in summands]
        axes, lineality = _axes(whole, upper)
        points, first = [], []
        for p in whole:
            kept: dict[Vector, int] = {}
            for j, row in enumerate(p[:, axes].tolist()):
                kept.setdefault(tuple(row), j)
            distinct = np.empty((len(kept), len(axes)), dtype=p.dtype)
            for at, row in enumerate(kept):
                distinct[at] = row
            points.append(distinct)
            first.append(np.array(list(kept.values()), dtype=np.int64))
        last = summands[0].shape[1] - 1
        ray = tuple(-1 if axis == last else 0 for axis in axes) if upper else None
        return cls(points, first, axes, scale, freeze(lineality), ray)


def _denominator(points: Array) -> int:
    """Common denominator of an array's entries."""
    if not is_exact(points) and (points == np.rint(points)).all():
        return 1
    return lcm(*(int(v.as_integer_ratio()[1]) for v in points.ravel().tolist()))


def _integers(points: Array, scale: int) -> Array:
    """The points times a common denominator: int64 where they are small, else Python integers."""
    if not is_exact(points) and scale == 1 and np.abs(points).max() < _LARGE:
        return points.astype(np.int64)
    whole = np.empty(points.shape, dtype=object)
    for index, value in np.ndenumerate(points):
        numerator, denominator = value.as_integer_ratio()
        whole[index] = int(numerator) * (scale // int(denominator))
    if max(abs(v) for v in whole.ravel()) < _LARGE:
        return whole.astype(np.int64)
    return whole


def _axes(whole: Sequence[Array], upper: bool) -> tuple[list[int], NDArray[np.object_]]:
    """Independent coordinates on the span of all differences, and a basis of its complement."""
    rows = np.vstack([p.astype(object) - p[:1].astype(object) for p in whole])
    ambient = rows.shape[1]
    order = list(range(ambient))
    if upper:
        down = np.zeros((1, ambient), dtype=object)
        down[0, -1] = -1
        rows = np.vstack([rows, down])
        order = [ambient - 1, *order[:-1]]
    flat = [int(v) for v in rows[:, order].ravel()]
    reduced, _, rank = flint.fmpz_mat(len(rows), ambient, flat).rref()
    axes = [order[column] for column in pivot_columns(reduced, rank)]
    place = {axis: column for column, axis in enumerate(order)}
    back = [reduced[i, place[axis]] for i in range(max(rank, 1)) for axis in range(ambient)]
    kernel, nullity = flint.fmpz_mat(max(rank, 1), ambient, back).nullspace()
    basis = np.empty((nullity, ambient), dtype=object)
    for j in range(nullity):
        basis[j] = primitive(int(kernel[i, j]) for i in range(ambient))
    return sorted(axes), basis


class Walk:
    """Breadth-first search over vertices, a batch of cones at a time."""

    def __init__(self, dim: int, threads: int | None) -> None:
        self.directions = Directions(dim)
        self.threads = threads
        self.edges: list[tuple[int, int]] = []
        self.members: list[list[int]] = []
        self.stats = {"programs": 0, "exact_decisions": 0}

    def run(self, moves: PointMoves | SumMoves, limit: int) -> NDArray[np.int64]:
        """All vertices' states, (V, width); ``members`` lists each one's edge directions."""
        states = [moves.start()]
        try:
            self._complete(states, moves, limit)
        except KeyboardInterrupt:
            raise interrupted(len(states)) from None
        self.stats["exact_decisions"] = self.directions.exact_decisions
        return np.array(states, dtype=np.int64)

    def _complete(
        self, states: list[NDArray[np.int64]], moves: PointMoves | SumMoves, limit: int
    ) -> None:
        """Follow all edges from the first state on."""
        known = {states[0].tobytes(): 0}
        done = 0
        while done < len(states):
            check()
            batch = np.array(states[done : done + _BATCH])
            members = moves.members(batch)
            extreme = self.directions.extreme(members, self.threads)
            self.stats["programs"] += int((members >= 0).sum())
            at, column = np.nonzero(extreme)
            chosen = members[at, column]
            bounded, reached = moves.follow(batch, at, chosen)
            self.members += [[] for _ in range(len(batch))]
            for v, c in zip((at + done).tolist(), chosen.tolist(), strict=True):
                self.members[v].append(c)
            for v, state in zip((at[bounded] + done).tolist(), reached, strict=True):
                key = state.tobytes()
                target = known.setdefault(key, len(states))
                if target == len(states):
                    if len(states) >= limit:
                        raise BudgetExceeded(
                            f"minkowski_sum: at most {limit} vertices, got more; raise "
                            "max_vertices or use count_regions, which stores none.",
                            lower=len(states),
                        )
                    states.append(state)
                self.edges.append((v, target))
            done += len(batch)


class PointMoves:
    """One point set: from a vertex every other point is a possible direction."""

    def __init__(self, points: Array, directions: Directions, ray: Vector | None) -> None:
        self.points, self.directions, self.ray = points, directions, ray
        self.ways: dict[tuple[int, int], int] = {}

    def start(self) -> NDArray[np.int64]:
        """The state of the first vertex."""
        return np.array([highest(self.points, self.ray)], dtype=np.int64)

    def members(self, batch: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of the possible edge directions at each state of a batch, -1 for none."""
        rows = [list(self._directions(v)) for v in batch[:, 0].tolist()]
        return _padded(rows)

    def _directions(self, v: int) -> Iterator[int]:
        steps = self.points - self.points[v]
        sizes = np.gcd.reduce(steps, axis=1) if steps.shape[1] else np.zeros(len(steps), int)
        farthest: dict[int, tuple[int, int]] = {}
        for j in np.flatnonzero(sizes != 0).tolist():
            size = abs(int(sizes[j]))
            c = self.directions.number(tuple(int(x) // size for x in steps[j].tolist()))
            farthest[c] = max(farthest.get(c, (0, -1)), (size, j))
        if self.ray is not None:
            # Points straight below lie on the ray: there is no edge to them.
            farthest[self.directions.number(self.ray)] = (0, -1)
        for c, (_, j) in farthest.items():
            self.ways[v, c] = j
            yield c

    def follow(
        self, batch: NDArray[np.int64], at: Array, chosen: Array
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which chosen edges ``(state, direction)`` are bounded, and the states they lead to."""
        pairs = zip(batch[at, 0].tolist(), chosen.tolist(), strict=True)
        reached = np.array([self.ways[pair] for pair in pairs], dtype=np.int64)
        bounded = reached >= 0
        return bounded, reached[bounded][:, None]

    def ways_out(self, states: NDArray[np.int64], walk: Walk) -> dict[int, list[Way]]:
        """Per vertex its bounded edges: primitive direction and the point they lead to."""
        out: dict[int, list[Way]] = {}
        for point, members in zip(states[:, 0].tolist(), walk.members, strict=True):
            leads = [(self.directions.vectors[c], self.ways[point, c]) for c in members]
            out[point] = [(vector, j) for vector, j in leads if j >= 0]
        return out


class SumMoves:
    """The sum: the directions at a vertex are those of the summands' edges there.

    Tables ``classes[i]`` and ``leads[i]`` (n_i, degree): direction numbers and end points of the
    edges at each vertex of summand i, -1 where there are fewer.
    """

    def __init__(
        self,
        starts: list[int],
        graphs: list[dict[int, list[Way]]],
        directions: Directions,
        ray: Vector | None,
    ) -> None:
        self.starts = starts
        self.ray = -1 if ray is None else directions.number(ray)
        self.classes, self.leads = [], []
        for graph in graphs:
            n = max(graph) + 1
            self.classes.append(
                _padded([[directions.number(d) for d, _ in graph.get(p, [])] for p in range(n)])
            )
            self.leads.append(_padded([[j for _, j in graph.get(p, [])] for p in range(n)]))

    def start(self) -> NDArray[np.int64]:
        """The state of the first vertex."""
        return np.array(self.starts, dtype=np.int64)

    def members(self, batch: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of the possible edge directions at each state of a batch, -1 for none."""
        parts = [c[batch[:, i]] for i, c in enumerate(self.classes)]
        if self.ray >= 0:
            parts.append(np.full((len(batch), 1), self.ray))
        row = np.sort(np.hstack(parts), axis=1)
        # Parallel edges of several summands are one direction.
        row[:, 1:][row[:, 1:] == row[:, :-1]] = -1
        row = -np.sort(-row, axis=1)
        return np.ascontiguousarray(row[:, : int((row >= 0).sum(axis=1).max(initial=0))])

    def follow(
        self, batch: NDArray[np.int64], at: Array, chosen: Array
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which chosen edges ``(state, direction)`` are bounded, and the states they lead to."""
        bounded = chosen != self.ray
        at, chosen = at[bounded], chosen[bounded]
        reached = batch[at]
        for i, (classes, leads) in enumerate(zip(self.classes, self.leads, strict=True)):
            now = reached[:, i].copy()
            for column in range(classes.shape[1]):
                moving = classes[now, column] == chosen
                reached[moving, i] = leads[now[moving], column]
        return bounded, reached


def highest(points: Array, ray: Vector | None) -> int:
    """The lexicographic maximum, the last coordinate first if the sum is an upper one."""
    rows = points.tolist()
    return max(range(len(rows)), key=lambda j: rows[j] if ray is None else [rows[j][-1], *rows[j]])


def _padded(rows: list[list[int]]) -> NDArray[np.int64]:
    """Rows of unequal length as one array, filled with -1."""
    out = np.full((len(rows), max(map(len, rows))), -1, dtype=np.int64)
    for row, values in zip(out, rows, strict=True):
        row[: len(values)] = values
    return out

"""Arcs in four columns: edges of single heads, and what walls of two heads have in common.

Edges come from the outlines of walls. Where an edge crosses a wall of another head, or the domain's
boundary walls of two heads, arcs of these end; each has two ends, by which it is found, and is
walked through the heads after both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import diagrams, strata
from tropattn._types import Array
from tropattn.regions.budget import Budget
from tropattn.regions.euler.diagrams import HeadColumns
from tropattn.threads import aside, in_order, interrupted
from tropattn.tolerance import TINY, UNIT

__all__ = ["ArcPoints", "Arcs"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_RANGE = 40_000
"""Pairs times keys in a work range, some milliseconds."""

_ARCS = 2048
"""Arcs in a work range."""

_WALKS = 200_000
"""Walks of edges through a head whose points are kept at a time, unless one head has more."""

_STRAIGHT = -0.999
"""Cosine between the ends of an arc below which it is cut in two."""


class ArcPoints(NamedTuple):
    """Points where walls of two heads cross on edges and on the border, and walls of three."""

    on_edges: int
    on_border: int
    of_three: int


class Arcs:
    """The arcs of some heads within ``walls`` (g, 4), whose errors ``rho`` (g,) bounds.

    ``pairs``: for each head two of its rows (Q, 2), ascending, all that share a wall being among
    them; or None where walls hang together by edges, as in all of space if the head has a vertex.
    Once they are ``outlined``, ``sides`` (w, 2) are the two rows of each wall, counted through all
    heads, and ``states`` (H,) say which heads have a vertex (2), only walls (1) or none (0).
    """

    def __init__(
        self,
        heads: HeadColumns,
        pairs: list[NDArray[np.int64] | None],
        walls: Array,
        rho: Array,
        budget: Budget,
    ) -> None:
        self.heads, self.given, self.walls, self.rho = heads, pairs, walls, rho
        self.budget = budget
        self.stop = np.zeros(1, np.int64)
        self.lower, self.tried = 1, 0
        self.sides = np.zeros((0, 2), np.int64)
        self.states = np.zeros(heads.extent[1], np.int64)
        self.arcs = np.zeros((0, strata.ARC))

    def within(self, walls: Array, rho: Array) -> Arcs:
        """The same heads within other walls, those that were found being all that there are."""
        owner = self.heads.of_rows(self.sides[:, 0])
        rows = self.sides - self.heads.starts[owner][:, None]
        pairs = [rows[owner == h] for h in self.heads.all]
        return Arcs(self.heads, [*pairs], walls, rho, self.budget)

    def outlined(self) -> bool:
        """Find the walls, and their edges and borders; False where some sign is not proved."""
        items: list[list[tuple[int, NDArray[np.int64] | None]]] = [[]]
        room = _RANGE
        for h, pairs in enumerate(self.given):
            n = int(self.heads.starts[h + 1] - self.heads.starts[h])
            step = max(4, _RANGE // n)
            cuts = [None] if pairs is None else np.split(pairs, range(step, len(pairs), step))
            for some in cuts:
                # Some ten walls a row, where they are to be found.
                work = n * (10 * n if some is None else len(some))
                if room < work and items[-1]:
                    items.append([])
                    room = _RANGE
                items[-1].append((h, some))
                room -= work
        found = self._together(self._outlines, items)
        if found is None:
            return False
        tried = np.vstack([some for some, _ in found])
        self.tried = int((tried[:, 3] >= 0).sum())
        walls = tried[tried[:, 3] > 0]
        self.sides = walls[:, 1:3]
        np.maximum.at(self.states, walls[:, 0], walls[:, 3])
        self.arcs = np.vstack([arcs for _, arcs in found])
        # Keys with walls have cells, which other heads only cut.
        cells = np.bincount(self.heads.of_rows(np.unique(self.sides)))
        self.lower = max([1, *cells.tolist()])
        return True

    def _outlines(
        self, items: list[tuple[int, NDArray[np.int64] | None]]
    ) -> tuple[tuple[Array, Array], int]:
        """Pairs (Q, 4) of some heads, which come first, and arcs, rows counted through all."""
        most = max(int(self.heads.starts[h + 1] - self.heads.starts[h]) for h, _ in items)
        wall = strata.make_wall(most, len(self.rho))
        walls = np.ascontiguousarray(self.walls.T).reshape(4, -1), self.rho.copy()
        found = []
        for h, pairs in items:
            found.append(self._outlines_of(h, pairs, wall, walls))
            if found[-1][2] != diagrams.PROVED:
                break
        tried, arcs, states = zip(*found, strict=True)
        return (np.vstack(tried), np.vstack(arcs)), states[-1]

    def _outlines_of(
        self, h: int, pairs: NDArray[np.int64] | None, wall: Any, walls: tuple[Array, Array]
    ) -> tuple[Array, Array, int]:
        """The same of one head, and the status."""
        heads, first = self.heads, int(self.heads.starts[h])
        terms = np.ascontiguousarray(heads.terms[:, first : int(heads.starts[h + 1])])
        n, grows = terms.shape[1], pairs is None
        if pairs is None:
            # All pairs with one row that wins somewhere.
            best = int(np.argmax(terms.T @ (n * terms[:, 0] - terms.sum(axis=1))))
            others = np.delete(np.arange(n), best)
            pairs = np.column_stack([np.minimum(others, best), np.maximum(others, best)])
        size, error, room = heads.sizes[h], heads.errors[h], 16 * n + 64
        while True:
            tried = np.full((len(pairs) + grows * n * (n - 1) // 2, 3), -1)
            tried[: len(pairs), :2] = pairs
            known = np.zeros((n, n) if grows else (0, 0), np.bool_)
            out = np.empty((room, strata.ARC))
            count, made, status = strata.outlines(
                terms, size, error, *walls, wall, tried, len(pairs), known, out, self.stop
            )
            if status != strata.FULL:
                break
            room *= 4
        named, arcs = np.full((count, 4), h), out[:made]
        named[:, 1:3], named[:, 3] = tried[:count, :2] + first, tried[:count, 2]
        arcs[:, 10:13] += np.where(arcs[:, 10:13] >= 0, first, 0)
        return named, arcs, status

    def crossings(self) -> ArcPoints | None:
        """All points where walls of different heads meet; None where some sign is not proved."""
        count = self.heads.extent[1]
        near = self.heads.links(self.sides)
        owners = self.heads.of_rows(self.arcs[:, 10])
        edge = self.arcs[:, 12] >= 0
        total = np.zeros(3, np.int64)
        for a, b in _groups(np.bincount(owners, minlength=count) * count):
            # Pairs of heads the first of which is in this group; of borders only with later heads.
            first = np.where(edge, a, owners + 1)
            last = np.where(owners < b, count, np.where(edge, b, 0))
            chosen = np.flatnonzero((owners >= a) & (first < last))
            through = np.column_stack([first, last, owners])[chosen]
            points = self._walked(self.arcs[chosen], through, near, keep=True)
            if points is None:
                return None
            on = chosen[points[:, 5].astype(np.int64)]
            points[:, 5] = on
            arcs = self._between(points)
            if arcs is None:
                return None
            later = self.heads.of_rows(self.sides[arcs[:, 11].astype(np.int64), 0]) + 1
            through = np.column_stack([later, np.full(len(arcs), count), np.full(len(arcs), -1)])
            met = self._walked(arcs, through, near, keep=False)
            if met is None:
                return None
            total += int(edge[on].sum()), int((~edge[on]).sum()), int(met.sum())
        return ArcPoints(*total.tolist())

    def _walked(self, arcs: Array, through: Array, near: Any, keep: bool) -> Array | None:
        """Points on the arcs (X, POINT), or only how many, range by range."""
        heads = self.heads

        def work(part: tuple[int, int]) -> tuple[Array, int]:
            given = arcs, through, heads.sizes, heads.errors, near, *part
            way = diagrams.make_way(*heads.extent)
            room = 2 * _ARCS if keep else 0
            while True:
                out = np.empty((room, strata.POINT))
                made, status = strata.walk(*given, way, out, self.stop)
                if status != strata.FULL:
                    return out[:made] if keep else np.array([made]), status
                room *= 4

        ranges = [(a, min(a + _ARCS, len(arcs))) for a in range(0, len(arcs), _ARCS)]
        found = self._together(work, ranges or [(0, 0)])
        return None if found is None else np.concatenate(found)

    def _together(
        self, work: Callable[[Item], tuple[Result, int]], items: Sequence[Item]
    ) -> list[Result] | None:
        """What ``work`` gives for all items; None where it does not prove all."""
        found = []
        try:
            for part, status in in_order(work, items, self.budget.threads, self.stop):
                if status != diagrams.PROVED:
                    return None
                found.append(part)
                # The count has signs until it is complete, so no part of it is a bound.
                self.budget.say(self.lower, len(items) - len(found))
        except KeyboardInterrupt:
            raise interrupted(self.lower) from None
        return found

    def _between(self, points: Array) -> Array | None:
        """The arcs of two heads that end in points on the arcs; None if not by twos.

        As ``arcs``, but with the numbers of the two walls in place of rows.
        """
        starts, most = self.heads.starts, int(np.diff(self.heads.starts).max())
        number = np.zeros((self.heads.extent[0], most), np.int32)
        first = np.repeat(starts[:-1], np.diff(starts))
        number[self.sides[:, 0], self.sides[:, 1] - first[self.sides[:, 0]]] = range(
            len(self.sides)
        )

        arcs = np.zeros((3 * len(points) // 2, strata.ARC))
        made = aside(strata.paired, points, self.arcs, number, first, len(self.sides), arcs)
        return None if made < 0 else self._bent(arcs[:made])

    def _bent(self, arcs: Array) -> Array | None:
        """The arcs, those between opposite ends cut in two; None where that is not proved.

        On a whole sphere none are.
        """
        u, v = arcs[:, :4], arcs[:, 4:8]
        if not len(self.walls):
            return arcs
        cosines = (u * v).sum(axis=1) / np.sqrt((u**2).sum(axis=1) * (v**2).sum(axis=1))
        long = np.flatnonzero(cosines < _STRAIGHT)
        if not len(long):
            return arcs
        heads, sides = self.heads, self.sides[arcs[long, 10:12].astype(np.int64)]
        normals = (heads.terms[:, sides[..., 1]] - heads.terms[:, sides[..., 0]]).transpose(1, 2, 0)
        owner = heads.of_rows(sides[..., 0])
        sizes = 2.0 * (heads.sizes + heads.errors)[owner].max(axis=1)
        lost = (2.0 * heads.errors[owner] + 2.0 * UNIT * heads.sizes[owner]).max(axis=1)
        one, two, end = normals[:, 0], normals[:, 1], u[long]
        middle = np.empty((len(long), 4))
        for c in range(4):
            others = [k for k in range(4) if k != c]
            turn = -1.0 if c & 1 else 1.0
            middle[:, c] = turn * (one[:, others] * np.cross(two[:, others], end[:, others])).sum(1)
        error = 7.0 * sizes * (2.0 * lost + sizes * (arcs[long, 8] + 10.0 * UNIT)) + TINY
        scale = np.abs(middle).max(axis=1)
        if not (scale > 1e3 * error).all():
            return None
        middle /= scale[:, None]
        error = 1.01 * error / scale + 2.0 * UNIT
        # Within the domain, where all its walls are negative.
        values = middle @ self.walls.T
        best = np.abs(values).argmax(axis=1)
        value = values[np.arange(len(long)), best]
        if not (np.abs(value) > 5.0 * (error + self.rho.max() + 10.0 * UNIT)).all():
            return None
        middle *= -np.sign(value)[:, None]
        halves = np.repeat(arcs[long], 2, axis=0)
        halves[::2, 4:8] = halves[1::2, :4] = middle
        halves[::2, 9] = halves[1::2, 8] = error
        return np.vstack([np.delete(arcs, long, axis=0), halves])


def _groups(work: Array) -> list[tuple[int, int]]:
    """Runs of heads that together have about ``_WALKS`` walks.

    >>> _groups(np.array([150_000, 100_000, 10, 300_000, 5]))
    [(0, 1), (1, 3), (3, 4), (4, 5)]
    """
    ends, total = [0], 0
    for h, some in enumerate(work.tolist()):
        if total and total + some > _WALKS:
            ends.append(h)
            total = 0
        total += some
    return [*zip(ends, [*ends[1:], len(work)], strict=True)]

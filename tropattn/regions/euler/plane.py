"""The plane engine: cells of heads in the plane, and of central heads in R^3, by Euler's relation.

On the sphere of directions of three columns (``Refinement``: the plane with its homogenising
coordinate, or three central dimensions) the walls of head h are a graph X_h of arcs. Where walls of
different heads meet in isolated points only, no three of them in one point and none at a vertex,

    R = 1 + sum_h (R_h - 1) + X   on an open convex part,   R = 2 + sum_h (R_h - 2) + X   on it all,

X the number of crossings (theory T9, T10; on the whole sphere the sum runs over heads with more
than one cell). So no cell is ever built: the cost is that of H diagrams and of the crossings. The
kernel proves what it uses; where heads touch otherwise (three walls in one point, a vertex on a
wall, walls that overlap) or doubles do not decide, ``euler_count`` returns None and the full
overlay, which is the enumeration engine, takes over.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from tropattn._kernels import diagrams
from tropattn._types import Array
from tropattn.regions.budget import Budget
from tropattn.regions.euler.diagrams import HeadColumns, start_polygons
from tropattn.regions.question import Engine, Found, Question
from tropattn.regions.search.enumeration import Enumeration
from tropattn.threads import aside, in_order, interrupted
from tropattn.tropical.refinement import Refinement

__all__ = ["EulerPlane", "EulerTally", "SphereFaces", "euler_count", "face_numbers"]


_RANGE = 20_000_000
"""Scores a work range computes, about 0.05 s."""

_ARCS = 1024
"""Most arcs of a work range, some milliseconds."""


class EulerPlane(Engine):
    """Cells of heads in three columns by Euler's relation (theory T10)."""

    name = "plane"
    where = "heads in a plane, plane slices, central heads in R^3"
    idea = "Euler's relation: cells of each head and crossings of walls (T10), no cell is built"
    cost = "diagrams, and the neighbours of a cell per crossing"
    otherwise = "full overlay, that is `enumeration`"

    def refuses(self, question: Question) -> str | None:
        """Another number of columns."""
        if question.refinement.rank == 3:
            return None
        return (
            "engine: heads in a plane, or central in three dimensions, needed for plane, got "
            f"{question.refinement.dim} dimensions; use a plane Slice as domain, or engine='auto'."
        )

    def count(self, question: Question) -> Found | None:
        """The number of cells; by name those of the full overlay, where no more is proved."""
        budget = question.budget
        if question.proof is None:
            counted = euler_count(question.refinement, budget)
            if counted is not None:
                cells, stats = counted
                budget.check(cells)
                return Found(cells, {**question.reduced, **stats}, self.name)
        if question.engine != self.name:
            return None
        return replace(Enumeration().count(question), engine=self.name)


class SphereFaces(NamedTuple):
    """Faces on the sphere of directions by dimension, ``inside`` the open domain, cells last.

    ``at_infinity``: of the whole affine space those of the plane at infinity; else empty.
    """

    inside: tuple[int, ...]
    at_infinity: tuple[int, ...]


def euler_count(refinement: Refinement, budget: Budget) -> tuple[int, dict[str, int]] | None:
    """Number of cells and the work done, or None where the heads are not proved generic.

    Cost: H diagrams, each of N log N or, of few keys, of N^2; then, for A arcs and X crossings,
    O(A H + X) times the neighbours of a cell, and the ways from the cell at one arc to the next.
    """
    found = _crossed(refinement, budget)
    if found is None:
        return None
    parts, tally = found
    arcs = sum(len(part) for part, _ in parts)
    return tally.cells, {"arcs": arcs, "crossings": tally.crossed}


def face_numbers(refinement: Refinement, budget: Budget) -> SphereFaces | None:
    """Numbers of faces (theory T9), or None where the heads are not proved generic."""
    found = _crossed(refinement, budget)
    if found is None:
        return None
    parts, tally = found
    sphere = not len(refinement.walls)
    vertices = edges = ends = 0
    for arcs, live in parts:
        cells = int(live.sum())
        # A circle has no ends.
        if cells == 1 or (sphere and cells == 2):
            continue
        walls = len(np.unique(np.sort(arcs[:, 8:10], axis=1), axis=0))
        edges += walls
        vertices += walls - cells + tally.first
        # Infinity is the only wall of the domain, or a vertex of the hull after all rows.
        ends += int(((arcs[:, 10:12] == -1) | (arcs[:, 10:12] == len(live))).sum())
    inside = vertices + tally.crossed, edges + 2 * tally.crossed, tally.cells
    whole = len(refinement.walls) == 1 and not refinement.central
    return SphereFaces(inside, (ends, ends) if whole else ())


def _crossed(
    refinement: Refinement, budget: Budget
) -> tuple[list[tuple[Array, Array]], EulerTally] | None:
    """Arcs and live rows of each head, and the crossings; None where a sign is not proved."""
    heads = HeadColumns(refinement)
    start = aside(start_polygons, refinement)
    parts = None if start is None else heads.diagrams(start, budget.threads)
    if parts is None:
        return None
    arcs = np.vstack([p for p, _ in parts])
    owners = np.repeat(np.arange(len(parts)), [len(p) for p, _ in parts])
    near = heads.links(heads.starts[owners][:, None] + arcs[:, 8:10].astype(np.int64))
    step = max(16, min(_ARCS, _RANGE // (1 + heads.terms.shape[1])))
    bounds = np.cumsum([0, *(len(p) for p, _ in parts)]).tolist()
    ranges = [(a, min(a + step, len(arcs))) for a in range(0, len(arcs), step)]
    cells = [int(live.sum()) for _, live in parts]
    tally = EulerTally(cells, sphere=not len(refinement.walls))
    stop = np.zeros(1, np.int64)

    def work(part: tuple[int, int]) -> Any:
        given = arcs, owners, heads.sizes, heads.errors, near
        return diagrams.crossings(*given, *part, diagrams.make_way(*heads.extent), stop)

    try:
        for i, (part, status) in enumerate(in_order(work, ranges, budget.threads, stop)):
            if status != diagrams.PROVED:
                return None
            tally.add(int(part), bisect_right(bounds, ranges[i][1]) - 1)
            budget.say(tally.lower, len(ranges) - i - 1)
    except KeyboardInterrupt:
        raise interrupted(tally.lower) from None
    return parts, tally


class EulerTally:
    """Euler's relation while crossings come in, head by head, and what it proves before its end.

    Once all arcs of the first heads are known to meet other walls in crossings only, these heads,
    S, cut every cell that the others have: R = R(S) + R(others) - 1 + crossings of S with others
    (- 2 on the whole sphere), and R(others) is at least the largest R_h. Nothing is known of how
    heads outside S meet: two of them may be one head.
    """

    def __init__(self, cells: list[int], sphere: bool) -> None:
        self.cells_of, self.first = cells, 2 if sphere else 1
        self.crossed = self._proved = self._heads = 0

    def add(self, crossed: int, heads: int) -> None:
        """Crossings of a range of arcs, with which those of the first ``heads`` are complete."""
        self.crossed += crossed
        if heads > self._heads:
            self._proved, self._heads = self.crossed, heads

    def _sum(self, cells: list[int]) -> int:
        return self.first + sum(n - self.first for n in cells if n > 1)

    @property
    def cells(self) -> int:
        """The number of cells once all heads are complete."""
        return self._sum(self.cells_of) + self.crossed

    @property
    def lower(self) -> int:
        """A lower bound on the number of cells at any time."""
        others = max(self.cells_of[self._heads :], default=1)
        return max(1, self._sum([*self.cells_of[: self._heads], others]) + self._proved)

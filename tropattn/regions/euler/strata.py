"""The subsets engine: heads in four columns, by the master identity of theory T9.

Where the walls of all heads are in general position, let B be the number of points in which an edge
of one head, where three of its cells meet, crosses a wall of another, C that of points in which
walls of three heads meet, and R_h the cells of head h alone. Then

    R = 1 + sum_h (R_h - 1) + (B + D) / 2 + C     on an open convex part, on whose boundary walls of
                                                  two heads meet in D points,
    R = sum_h R_h + B / 2 + C                     on the whole sphere of directions,

the last sum over heads with more than one cell. What walls of two heads have in common is an arc
between two such points, B or D. Edges are walked through all other heads, arcs through those after
both, and no cell is built. On a whole sphere such an arc may be a circle, unless every head has a
vertex; then the points are counted in two open halves. The kernel proves what it uses; otherwise
``euler_count`` returns None and enumeration takes over. The same points give the numbers of faces
of all dimensions (``face_numbers``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.errors import Degenerate
from tropattn.regions.budget import Budget
from tropattn.regions.euler.arcs import ArcPoints, Arcs
from tropattn.regions.euler.diagrams import HeadColumns
from tropattn.regions.euler.hull_arcs import head_hull
from tropattn.regions.euler.plane import EulerPlane, SphereFaces
from tropattn.regions.question import Engine, Found, Question
from tropattn.regions.search.enumeration import Enumeration, explore
from tropattn.tropical.refinement import Refinement

__all__ = ["Strata", "euler_count", "face_numbers"]


_FEW = 5
"""From this many keys on, walls of a head in all of space are found as neighbours of walls."""

_GROWN = 100
"""From this many keys on they are not."""

_MANY = 20
"""From this many keys on, walls are else read from a hull, or dead keys are looked for."""

_ACROSS = np.array([[0.4386, 0.5517, 0.7094, -0.3127]])
"""Normal of a plane that cuts the whole sphere in two, in no special direction."""

_WORK = 300_000_000
"""Pairs of keys times keys up to which strata are preferred to enumeration."""


class Strata(Engine):
    """Cells of heads in four columns, stratum by stratum (theory T9)."""

    name = "subsets"
    where = "one dimension more: R^3, central in R^4"
    idea = (
        "the master identity of T9: cells of each head, crossings of edges and walls, points on "
        "walls of three heads; no cell is built"
    )
    cost = "outlines of walls, `O(N)` a corner; the neighbours of a cell per crossing"
    otherwise = "asked for by name: an error that says so; else `enumeration`"

    def refuses(self, question: Question) -> str | None:
        """Another number of columns; unless asked for by name, heads that a search counts faster.

        By name a plane will do as well.
        """
        rank = question.refinement.rank
        if question.engine == self.name:
            fits = rank in (3, 4)
        else:
            fits = rank == 4 and _worthwhile(question.refinement)
        if fits:
            return None
        return (
            "engine: two or three dimensions (one more for central heads) needed for subsets, got "
            f"{question.refinement.dim}; use engine='enumeration'."
        )

    def count(self, question: Question) -> Found | None:
        """The number of cells. Raises ``Degenerate`` where that is asked for and not proved."""
        found, named = None, question.engine == self.name
        if question.proof is not None:
            return Enumeration().count(question) if named else None
        if question.refinement.rank == 3:
            found = EulerPlane().count(question)
        else:
            counted = euler_count(question.refinement, question.budget)
            if counted is not None:
                cells, stats = counted
                question.budget.check(cells)
                found = Found(cells, {**question.reduced, **stats}, self.name)
        if found is None and named:
            raise Degenerate(
                "engine: walls in general position needed for subsets (no vertex of one head on a "
                "wall of another, no two crossings in one point), and doubles did not prove it; "
                "use engine='enumeration'."
            )
        return found


def _worthwhile(refinement: Refinement) -> bool:
    """Whether strata are expected to be faster than a search."""
    # The cells of a single head are its live keys, one program each: strata have nothing to add.
    return len(refinement.units) > 1 and _work(refinement) <= _WORK


def _work(refinement: Refinement) -> float:
    """Pairs of keys times keys."""
    counts = np.diff(refinement.starts).astype(float)
    return float((counts * (counts - 1) / 2).sum() * counts.sum())


def euler_count(refinement: Refinement, budget: Budget) -> tuple[int, dict[str, int]] | None:
    """Number of cells and the work done, or None where some sign is not proved.

    Cost: for each wall of a head its outline, O(N_h) a corner, and a proved hull for each large
    head; then, for A edges of all heads and X points where edges, or walls of two heads, cross
    walls of others, O((A + X) H) times the neighbours of a cell.
    """
    found = _crossed(refinement, budget)
    if found is None:
        return None
    parts, points = found
    cells = _cells(parts, points, sphere=not len(refinement.walls))
    return cells, {"walls_tried": parts[0].tried}


def face_numbers(refinement: Refinement, budget: Budget) -> SphereFaces | None:
    """Numbers of faces (theory T9), or None where some sign is not proved.

    And in windows of heads with so many keys that those without a face there take longest.
    """
    if len(refinement.walls) > 1 and _work(refinement) > _WORK:
        return None
    found = _crossed(refinement, budget)
    if found is None:
        return None
    parts, points = found
    sphere = not len(refinement.walls)
    walls = _distinct(parts, np.vstack([part.sides for part in parts]))
    arcs = np.vstack([part.arcs for part in parts])
    rows = np.sort(arcs[:, 10:13].astype(np.int64), axis=1)
    edges = _distinct(parts, rows[rows[:, 0] >= 0])
    # On a whole sphere the edges of a head without vertices are circles.
    some = np.max([part.states for part in parts], axis=0) == 2 if sphere else walls > 0
    vertices = int((edges - walls + _alone(parts) - (not sphere))[some].sum())
    segments = int(edges[some].sum()) + points.on_edges
    segments += (3 * points.on_edges + points.on_border) // 2 + 3 * points.of_three
    vertices += points.on_edges + points.of_three
    cells = _cells(parts, points, sphere)
    inside = vertices, segments, segments - vertices + cells - (not sphere), cells
    if len(refinement.walls) != 1 or refinement.central:
        return SphereFaces(inside, ())
    borders = _distinct(parts, rows[rows[:, 0] < 0])
    # Three of a head's arcs at infinity end at a vertex; a single one is a circle.
    border = int(borders[borders > 1].sum())
    if border % 3:
        return None
    lines = border + 2 * points.on_border
    ends = border // 3 * 2 + points.on_border
    return SphereFaces(inside, (ends, lines, 2 - ends + lines))


def _crossed(refinement: Refinement, budget: Budget) -> tuple[list[Arcs], ArcPoints] | None:
    """The arcs of all heads, of a whole sphere in two halves if need be, and where they cross."""
    parts = _outlined(refinement, budget, grow=len(refinement.walls) == (not refinement.central))
    points = np.zeros(3, np.int64)
    for part in parts:
        met = part.crossings()
        if met is None:
            return None
        points += met
    found = ArcPoints(*points.tolist())
    # On a sphere cut in two, what crosses the cut is no border.
    if not len(refinement.walls):
        found = found._replace(on_border=0)
    return None if not parts or (found.on_edges + found.on_border) % 2 else (parts, found)


def _cells(parts: list[Arcs], points: ArcPoints, sphere: bool) -> int:
    """The number of cells (T9)."""
    own = _alone(parts)
    total = int(own.sum()) if sphere else 1 + int((own[own > 0] - 1).sum())
    return total + (points.on_edges + points.on_border) // 2 + points.of_three


def _alone(parts: list[Arcs]) -> NDArray[np.int64]:
    """The cells of each head alone, 0 where it has but one."""
    rows = np.unique(np.vstack([part.sides for part in parts]))
    return _distinct(parts, rows[:, None])


def _distinct(parts: list[Arcs], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many different sets of rows, in ascending order, each head has."""
    heads = parts[0].heads
    return np.bincount(heads.of_rows(np.unique(rows, axis=0)[:, -1]), minlength=len(heads.all))


def _outlined(refinement: Refinement, budget: Budget, grow: bool) -> list[Arcs]:
    """The arcs of all heads within the domain; none where some sign is not proved.

    Those of the whole sphere in two halves where a head has no vertex, so that none is a circle.
    ``grow``: walls of heads with some keys are found as neighbours of walls.
    """
    heads = HeadColumns(refinement)
    counts = np.diff(refinement.starts).tolist()
    grown = [grow and _FEW <= n < _GROWN for n in counts]
    own = [
        (np.ones(counts[h], np.bool_), None) if grown[h] else _own_walls(refinement, h)
        for h in heads.all
    ]
    heads.keep([live for live, _ in own])
    walls, pairs = (refinement.walls, refinement.wall_rho), [some for _, some in own]
    whole = Arcs(heads, pairs, *walls, budget)
    if not whole.outlined():
        return []
    if (whole.states[grown] < 2).any():
        return _outlined(refinement, budget, grow=False)
    if len(refinement.walls) or not (whole.states == 1).any():
        return [whole]
    parts = [whole.within(side * _ACROSS, np.zeros(1)) for side in (1.0, -1.0)]
    return parts if all(part.outlined() for part in parts) else []


def _own_walls(refinement: Refinement, h: int) -> tuple[Array, Array]:
    """Rows of a head that may win somewhere (N,), and pairs of these that may share a wall (w, 2).

    Pairs number the rows that are left. They are the edges of a proved hull if it is simplicial:
    where more than four cells meet, all pairs are tried, and their signs are not proved.
    """
    count = int(refinement.starts[h + 1] - refinement.starts[h])
    found = head_hull(refinement, h) if count >= _MANY else None
    if found is not None and (found.signs == 1).all() and not found.on.any():
        number = np.cumsum(found.corner) - 1
        return found.corner, number[found.edges()]
    live = _live(refinement, h)
    return live, np.column_stack(np.triu_indices(int(live.sum()), 1))


def _live(refinement: Refinement, h: int) -> Array:
    """Rows of a head that may win somewhere: of a large head those that do, else all."""
    count = int(refinement.starts[h + 1] - refinement.starts[h])
    if count < _MANY:
        return np.ones(count, bool)
    live = np.zeros(count, bool)
    for patterns in explore(refinement.of_heads([h]), Budget(threads=1), emit=True).patterns:
        live[patterns[:, 0]] = True
    return live

"""The subsets engine: heads in four columns, by the master identity of theory T9.

With M the domain (an open ball, or the whole sphere of directions of central heads) and X_h the
walls of head h, the union of walls is the disjoint union of what the later heads leave of X_1, of
X_2, ...; so, with Euler characteristics of compact support,

    R = 1 (0 on the whole sphere) + sum_h [ sum over walls F of X_h of  pieces(F)
            - sum over edges of pieces(F) + number of vertices ],

``pieces`` being the number of pieces into which the heads after h cut F. On a wall that is a plane
problem, on an edge a line problem: cells are never built, and the cost is that of the heads' walls.
The kernel proves what it uses; otherwise ``euler_count`` returns None and enumeration takes over.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tropattn._kernels import strata
from tropattn._types import Array
from tropattn.errors import Degenerate
from tropattn.regions.budget import Budget
from tropattn.regions.euler.diagrams import HeadColumns
from tropattn.regions.euler.hull_arcs import head_hull
from tropattn.regions.euler.plane import EulerPlane
from tropattn.regions.question import Engine, Found, Question
from tropattn.regions.search.enumeration import Enumeration, explore
from tropattn.threads import in_order, interrupted
from tropattn.tropical.refinement import Refinement

__all__ = ["Strata", "euler_count"]


_RANGE = 8_000
"""Pairs times keys in a work range, some milliseconds."""

_MANY = 20
"""From this many keys on, a head's walls are read from its hull, or its dead keys looked for."""

_WORK = 300_000_000
"""Pairs of keys times keys up to which strata are preferred to enumeration."""


class Strata(Engine):
    """Cells of heads in four columns, stratum by stratum (theory T9)."""

    name = "subsets"
    where = "one dimension more: R^3, central in R^4"
    idea = (
        "the master identity of T9, stratum by stratum: on each wall of a head the later heads "
        "are a plane problem"
    )
    cost = "`O(N^2)` pairs per head, a plane problem per wall"
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
    counts = np.diff(refinement.starts).astype(float)
    work = float((counts * (counts - 1) / 2).sum() * counts.sum())
    # The cells of a single head are its live keys, one program each: strata have nothing to add.
    return len(counts) > 1 and work <= _WORK


def euler_count(refinement: Refinement, budget: Budget) -> tuple[int, dict[str, int]] | None:
    """Number of cells and the work done, or None where some sign is not proved.

    Cost: a proved hull for each large head; of others, for each pair of live keys whether they
    share a wall, O(N_h^2 * n); for each wall the diagrams of the later heads on it, n live keys in
    all, and their crossings.
    """
    heads = HeadColumns(refinement)
    own = [_own_walls(refinement, h) for h in heads.all]
    live = [mine for mine, _ in own]
    # Live keys that were looked for are cells of their head, which the others only cut; but not
    # all corners of a hull have cells in a window.
    whole = len(refinement.walls) == (not refinement.central)
    lower = max([1, *(int(rows.sum()) for rows in live if whole and len(rows) >= _MANY)])
    heads.keep(live)
    walls = np.ascontiguousarray(refinement.walls.T).reshape(4, -1)
    pairs = np.vstack([np.insert(mine, 0, h, axis=1) for h, (_, mine) in enumerate(own)])
    step = max(4, _RANGE // (1 + heads.terms.shape[1]))
    ranges = [(a, min(a + step, len(pairs))) for a in range(0, len(pairs), step)]
    stop = np.zeros(1, np.int64)

    def work(part: tuple[int, int]) -> Any:
        given = heads.terms, heads.starts, heads.sizes, heads.errors, walls, refinement.wall_rho
        most = max(heads.terms.shape[1], walls.shape[1])
        wall = strata.make_wall(most, len(heads.starts) - 1, walls.shape[1])
        return strata.strata(*given, wall, pairs, *part, stop)

    total = 0
    try:
        for done, (part, status) in enumerate(in_order(work, ranges, budget.threads, stop)):
            if status != strata.PROVED:
                return None
            total += int(part)
            # The sum has signs, so no part of it is a bound.
            budget.say(lower, len(ranges) - done - 1)
    except KeyboardInterrupt:
        raise interrupted(lower) from None
    cells, rest = divmod(total, 4)
    if rest:
        return None
    return cells + (1 if len(refinement.walls) else 0), {"walls_tried": len(pairs)}


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

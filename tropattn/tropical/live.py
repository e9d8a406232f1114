"""Live and dead terms of one polynomial on a domain, each with its reason (theory T2, T3)."""

from __future__ import annotations

from dataclasses import dataclass

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn.polyhedra.domain import Domain
from tropattn.polyhedra.extreme import winning_rows
from tropattn.progress import counting
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.refinement import Refinement

__all__ = ["LiveTerms", "live_terms"]


@dataclass(frozen=True, slots=True, eq=False)
class LiveTerms:
    """Which terms win on an open set, and why.

    Attributes
    ----------
    live : (n_live,) indices, ascending; of equal terms the smallest index.
    witnesses : (n_live, d) a point where that term alone wins (ambient coordinates).
    dead : (n_dead,) indices of the other distinct terms.
    combinations : {dead index: (indices, weights)}, a convex combination of other terms that is
        never below the dead one on the domain (float weights of an exactly decided combination;
        empty where the domain's walls alone exclude the term).
    exact_decisions : how many terms doubles left open.
    """

    live: NDArray[np.int64]
    witnesses: NDArray[np.float64]
    dead: NDArray[np.int64]
    combinations: dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]
    exact_decisions: int


def live_terms(
    f: TropicalPolynomial,
    domain: Domain | None = None,
    *,
    threads: int | None = None,
    progress: bool = False,
) -> LiveTerms:
    """Decide for every term whether it wins somewhere inside the domain (theory T2, T3).

    On the whole space the live terms are the upper vertices of the lifted Newton polytope. Raises
    ``InvalidInput`` for a domain of another dimension or without interior. Cost: a few products of
    N x N scores, then for each term left a linear program over the few rivals that matter.

    >>> found = live_terms(TropicalPolynomial([[0], [1], [2]], [0, -2, 0]))   # the middle is below
    >>> found.live.tolist(), found.combinations[1][0].tolist(), found.combinations[1][1].tolist()
    ([0, 2], [0, 2], [0.5, 0.5])
    """
    refinement = Refinement.of([f], domain)
    kept = refinement.kept[0]
    inside, _, _ = refinement.interior
    if len(kept) == 1:
        return LiveTerms(kept, refinement.to_ambient(inside), np.zeros(0, np.int64), {}, 0)

    def exact(j: int) -> tuple[flint.fmpq_mat, list[int]]:
        walls = [-2 - i for i in range(len(refinement.given_walls))]
        others = [i for i in range(len(kept)) if i != j]
        return refinement.exact_rows([(0, j)]), walls + others

    with counting("keys decided", progress) as report:
        reasons = winning_rows(
            refinement.terms,
            refinement.errors,
            (refinement.walls, refinement.wall_rho),
            (refinement.integers, refinement.wall_integers),
            exact,
            threads,
            report,
        )
    combinations = {}
    for j in np.flatnonzero(~reasons.wins).tolist():
        used = reasons.rows[j] >= 0
        weights = reasons.weights[j][used]
        total = weights.sum()
        order = np.argsort(reasons.rows[j][used])
        combinations[int(kept[j])] = (
            kept[reasons.rows[j][used][order]],
            weights[order] / (total if total > 0 else 1.0),
        )
    z = reasons.points[reasons.wins]
    return LiveTerms(
        kept[reasons.wins],
        refinement.to_ambient(z),
        kept[~reasons.wins],
        combinations,
        reasons.exact_decisions,
    )

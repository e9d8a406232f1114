"""Live and dead terms of one polynomial on a domain, each with its reason (theory T2, T3)."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import rational
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Domain, has_points
from tropattn.polyhedra.extreme import winning_rows
from tropattn.progress import counting
from tropattn.threads import stoppable
from tropattn.tropical.max_affine import MaxAffine
from tropattn.tropical.refinement import Refinement
from tropattn.tropical.witness import inner_points

__all__ = ["LiveTerms", "live_terms"]


@dataclass(frozen=True, slots=True, eq=False)
class LiveTerms:
    """Which terms win on an open set, and why.

    Attributes
    ----------
    live : (n_live,) indices, ascending; of equal terms the smallest index.
    witnesses : (n_live, d) doubles, a point where that term alone wins (ambient coordinates).
    inside : (n_live,) whether the witness is such a point: False where no double inside was found,
        as in a cell thinner than their spacing; it then is next to one.
    dead : (n_dead,) indices of the other distinct terms.
    combinations : {dead index: (indices, weights)}, a convex combination of other terms that is
        never below the dead one on the domain (float weights of an exactly decided combination;
        empty where the domain's walls alone exclude the term).
    exact_decisions : how many terms doubles left open.
    """

    live: NDArray[np.int64]
    witnesses: NDArray[np.float64]
    inside: NDArray[np.bool_]
    dead: NDArray[np.int64]
    combinations: dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]
    exact_decisions: int


@stoppable(lambda f, domain=None, **_: int(has_points(domain)))
def live_terms(
    f: MaxAffine,
    domain: Domain | None = None,
    *,
    threads: int | None = None,
    progress: bool = False,
    stop: threading.Event | None = None,
) -> LiveTerms:
    """Decide for every term whether it wins somewhere inside the domain (theory T2, T3).

    On the whole space the live terms are the upper vertices of the lifted Newton polytope. Raises
    ``InvalidInput`` for a domain of another dimension or without interior, and ``Interrupted`` on
    Ctrl-C or when the event ``stop`` is set, with ``.lower``, the terms proved live by then. Cost:
    a few products of N x N scores, then for each term left a linear program over the few rivals
    that matter.

    >>> found = live_terms(MaxAffine([[0], [1], [2]], [0, -2, 0]))   # the middle is below
    >>> found.live.tolist(), found.combinations[1][0].tolist(), found.combinations[1][1].tolist()
    ([0, 2], [0, 2], [0.5, 0.5])
    """
    if not isinstance(f, MaxAffine):
        raise InvalidInput(
            f"f: a TropicalPolynomial needed, got {type(f).__name__}; take one of layer.heads."
        )
    refinement = Refinement.ready([f], domain)
    kept = refinement.kept[0]
    if len(kept) == 1:
        z, _, _ = refinement.interior
        points = inner_points([f], refinement, np.zeros((1, 1), np.int64), z[None, :])
        return LiveTerms(kept, *points, np.zeros(0, np.int64), {}, 0)

    with counting("keys decided", progress, "to do") as report:
        reasons = winning_rows(
            refinement.terms,
            refinement.errors,
            (refinement.walls, refinement.wall_rho),
            (refinement.integers, refinement.wall_integers),
            lambda j, others: _exact_rows(refinement, j, others),
            threads,
            report,
        )
    dead = np.flatnonzero(~reasons.wins)
    wins = np.flatnonzero(reasons.wins)
    return LiveTerms(
        kept[wins],
        *inner_points([f], refinement, wins[:, None], reasons.points[wins], reasons.proved[wins]),
        kept[dead],
        _combinations(kept, dead, reasons.rows[dead], reasons.weights[dead]),
        reasons.exact_decisions,
    )


def _combinations(
    kept: NDArray[np.int64],
    dead: NDArray[np.int64],
    rows: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """The terms of each dead row's combination, ascending, with weights that sum to 1."""
    weights = np.where(rows >= 0, weights, 0.0)
    total = weights.sum(axis=1, keepdims=True)
    weights /= np.where(total > 0, total, 1.0)
    order = np.argsort(rows, axis=1, kind="stable")
    names = np.take_along_axis(rows, order, axis=1)
    weights = np.take_along_axis(weights, order, axis=1)
    first = (rows < 0).sum(axis=1).tolist()
    named = kept[np.maximum(names, 0)]
    return {
        j: (named[at, first[at] :], weights[at, first[at] :])
        for at, j in enumerate(kept[dead].tolist())
    }


def _exact_rows(refinement: Refinement, j: int, others: NDArray[np.int64]) -> flint.fmpq_mat:
    """The walls, then terms ``others`` minus term j, in the kept and scaled columns."""
    walls = refinement.exact_rows([])
    terms = refinement.units[0].exact_terms(refinement.kept[0][np.append(j, others)])
    kept = [
        (int(k), rational(s)) for k, s in zip(refinement.columns, refinement.scaling, strict=True)
    ]
    flat = walls.entries()
    for i in range(1, terms.nrows()):
        flat += [(terms[i, k] - terms[0, k]) * s for k, s in kept]
    return flint.fmpq_mat(walls.nrows() + len(others), refinement.rank, flat)

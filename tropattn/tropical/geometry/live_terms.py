"""Live and dead terms of one polynomial on a domain, each with its reason (theory T2, T3)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import rational
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Domain, has_points
from tropattn.polyhedra.extreme import WinningRows
from tropattn.progress import Listening, counting
from tropattn.tables import Tabular
from tropattn.threads import aside, stoppable
from tropattn.tropical.geometry.diagram import HeadDiagram, head_diagram
from tropattn.tropical.max_affine import MaxAffine, with_terms
from tropattn.tropical.refinement import Refinement
from tropattn.tropical.terms import moderate
from tropattn.tropical.witness import inner_points
from tropattn.values import Value

__all__ = ["LiveTerms", "TermBlocks", "live_terms"]

_MANY = 500
"""From this many terms on a hull is asked first which of them are dead."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LiveTerms(Tabular, Value):
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
    exact_decisions: int = field(compare=False)

    def rows(self) -> list[dict[str, Any]]:
        """A row a distinct term: whether it is live, and where it wins or which terms beat it."""
        found: dict[int, dict[str, Any]] = {}
        for j, point in zip(self.live.tolist(), self.witnesses.tolist(), strict=True):
            found[j] = {"term": j, "live": True}
            found[j] |= {f"x_{k}": value for k, value in enumerate(point)}
        for j in self.dead.tolist():
            by = " ".join(map(str, self.combinations[j][0])) if j in self.combinations else ""
            found[j] = {"term": j, "live": False, "never above": by}
        return [found[j] for j in sorted(found)]

    def __repr__(self) -> str:
        distinct = len(self.live) + len(self.dead)
        return f"LiveTerms({len(self.live)} of {distinct} live on R^{self.witnesses.shape[1]})"


@stoppable(lambda f, domain=None, **_: int(has_points(domain)))
def live_terms(
    f: MaxAffine,
    domain: Domain | None = None,
    *,
    threads: int | None = None,
    progress: Listening = False,
    stop: threading.Event | None = None,
) -> LiveTerms:
    """Decide for every term whether it wins somewhere inside the domain (theory T2, T3).

    On the whole space the live terms are the upper vertices of the lifted Newton polytope. Raises
    ``InvalidInput`` for a domain of another dimension or without interior, and ``Interrupted`` on
    Ctrl-C or when the event ``stop`` is set, with ``.lower``, the terms proved live by then. Cost:
    a few products of N x N scores, then for each term left a linear program over the few rivals
    that matter; of many terms in two to four dimensions, most of them dead, one proved hull (T20)
    and this for the live ones.

    >>> found = live_terms(MaxAffine([[0], [1], [2]], [0, -2, 0]))   # the middle is below
    >>> found.live.tolist(), found.combinations[1][0].tolist(), found.combinations[1][1].tolist()
    ([0, 2], [0, 2], [0.5, 0.5])
    """
    if not isinstance(f, MaxAffine):
        raise InvalidInput(
            f"f: a TropicalPolynomial needed, got {type(f).__name__}; take one of layer.heads."
        )
    if domain is None and f.n_terms >= _MANY and 2 <= f.dim <= 4:
        found = aside(partial(head_diagram, f, placed=True))
        if found is not None and found.plain and 2 * len(found.live) <= f.n_terms:
            return _from_diagram(found, threads, progress)
    return _by_programs(f, domain, threads, progress)


def _by_programs(
    f: MaxAffine, domain: Domain | None, threads: int | None, progress: Listening
) -> LiveTerms:
    """Each term by a small program, on any domain."""
    refinement = Refinement.ready([f], domain)
    kept = refinement.kept[0]
    if len(kept) == 1:
        z, _, _ = refinement.interior
        points = inner_points([f], refinement, np.zeros((1, 1), np.int64), z[None, :])
        return LiveTerms(kept, *points, np.zeros(0, np.int64), {}, 0)

    with counting("keys decided", progress, "") as report:
        reasons = _rows_of(refinement).decided(threads, report)
    dead = np.flatnonzero(~reasons.wins)
    wins = np.flatnonzero(reasons.wins)
    return LiveTerms(
        kept[wins],
        *inner_points([f], refinement, wins[:, None], reasons.points[wins], reasons.proved[wins]),
        kept[dead],
        _combinations(kept, kept[dead], reasons.rows[dead], reasons.weights[dead]),
        reasons.exact_decisions,
    )


def _rows_of(refinement: Refinement) -> WinningRows:
    """The rows of a refinement of one polynomial, of which is asked which ones win."""
    return WinningRows(
        refinement.terms,
        refinement.errors,
        (refinement.walls, refinement.wall_rho),
        (refinement.integers, refinement.wall_integers),
        lambda j, others: _exact_rows(refinement, j, others),
        refinement.interior[:2],
    )


class TermBlocks:
    """The terms of a polynomial on the whole space, decided some at a time as by ``live_terms``.

    Nothing is set up before the first is asked for, and no witnesses are made.

    >>> blocks = TermBlocks(MaxAffine([[0], [1], [2]], [0, -2, 0]))
    >>> blocks.decided(0, 2)
    ([0], [(1, [0, 2], [0.5, 0.5])], 0)
    """

    def __init__(self, f: MaxAffine) -> None:
        self.f = f

    @cached_property
    def _refinement(self) -> Refinement:
        return Refinement.ready([self.f], None)

    @cached_property
    def _rows(self) -> WinningRows:
        return _rows_of(self._refinement)

    def decided(
        self,
        start: int,
        stop: int,
        threads: int | None = None,
        report: Callable[[int, int], None] | None = None,
    ) -> tuple[list[int], list[tuple[int, list[int], list[float]]], int]:
        """Of the distinct terms from ``start`` to ``stop``: live ones, dead ones, exact decisions.

        A dead term comes with the terms of its combination and their weights, as in ``LiveTerms``.
        """
        kept = self._refinement.kept[0]
        first, end = np.searchsorted(kept, [start, stop]).tolist()
        if len(kept) == 1 or first == end:
            return kept[first:end].tolist(), [], 0
        reasons = self._rows.decided(threads, report, range(first, end))
        own = kept[first:end]
        dead = np.flatnonzero(~reasons.wins)
        found = _combinations(kept, own[dead], reasons.rows[dead], reasons.weights[dead])
        beaten = [(j, others.tolist(), weights.tolist()) for j, (others, weights) in found.items()]
        return own[reasons.wins].tolist(), beaten, reasons.exact_decisions


def _from_diagram(found: HeadDiagram, threads: int | None, progress: Listening) -> LiveTerms:
    """The same where a hull has shown most terms dead: programs for the live ones among themselves.

    A dead term lies on or below the facet that it was located under.
    """
    f, live, hull = found.f, found.live, found.found
    assert hull is not None
    small = _by_programs(with_terms(f, live), None, threads, progress)
    assert len(small.live) == len(live)
    firsts, classes = f.distinct
    dead = np.setdiff1d(firsts, live)
    facets = hull.facets[hull.place[dead]]
    terms, _ = moderate(*f.float_terms())
    corners = np.swapaxes(terms[facets], 1, 2).copy()
    corners[:, -1] = 1.0
    sides = terms[dead].copy()
    sides[:, -1] = 1.0
    try:
        weights = np.linalg.solve(corners, sides[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        # A facet too thin for doubles.
        weights = (np.linalg.pinv(corners) @ sides[:, :, None])[:, :, 0]
    weights = np.where(hull.border[dead], 0.0, np.maximum(weights, 0.0))
    names = np.where(hull.border[dead], -1, firsts[classes[facets]])
    rows = np.arange(f.n_terms)
    combinations = _combinations(rows, dead, names, weights)
    return LiveTerms(live, small.witnesses, small.inside, dead, combinations, small.exact_decisions)


def _combinations(
    kept: NDArray[np.int64],
    dead: NDArray[np.int64],
    rows: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """The rows of each dead term's combination, ascending, with weights that sum to 1."""
    weights = np.where(rows >= 0, weights, 0.0)
    total = weights.sum(axis=1, keepdims=True)
    weights /= np.where(total > 0, total, 1.0)
    order = np.argsort(rows, axis=1, kind="stable")
    names = np.take_along_axis(rows, order, axis=1)
    weights = np.take_along_axis(weights, order, axis=1)
    first = (rows < 0).sum(axis=1).tolist()
    named = kept[np.maximum(names, 0)]
    return {
        j: (named[at, first[at] :], weights[at, first[at] :]) for at, j in enumerate(dead.tolist())
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

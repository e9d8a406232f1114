"""The enumeration engine: all cells of a common refinement, in any dimension, each one proved.

The search itself is a kernel (``_kernels/search``); this module feeds it work ranges from a queue
to a thread pool, settles in rationals what doubles leave open, and stops cleanly on a limit or on
Ctrl-C. A range is a path from the root and a budget, so the set of ranges, and with it every
number, does not depend on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import search
from tropattn._kernels.system import make_system
from tropattn.polyhedra.cone import as_doubles
from tropattn.polyhedra.strict import Verdict, strictly_negative
from tropattn.regions.range_search import RangeSearch, Report
from tropattn.threads import thread_count
from tropattn.tropical.refinement import Refinement

__all__ = ["Certificate", "Outcome", "WorkRange", "explore", "path_pairs"]

Array = NDArray[Any]

# Budgets (programs) of a range by generation: small at first so that all threads get work
# early, then about 0.1 s.
_BUDGETS = (200, 2_000, 20_000)
_BLOCK = 1 << 14
_DEFERRED = 1 << 12
_LOG = 1 << 20


@dataclass(slots=True)
class Outcome:
    """What a search found: the count, the cells where asked for, and the work done."""

    cells: int = 0
    patterns: list[Array] = field(default_factory=list)
    points: list[Array] = field(default_factory=list)
    pivots: int = 0
    programs: int = 0
    nodes: int = 0
    exact_decisions: int = 0

    def stats(self) -> dict[str, int]:
        """Work counts for ``RegionCount.stats``."""
        return {
            "nodes": self.nodes,
            "programs": self.programs,
            "pivots": self.pivots,
            "exact_decisions": self.exact_decisions,
        }


@dataclass(frozen=True, slots=True)
class WorkRange:
    """A subtree: its path from the root, a point in it, and whether doubles prove the point.

    The point ``z`` (2, D) is a sum of two doubles, the second one 0 but in slivers; ``alive`` (n,)
    marks the candidates above it, where they are handed down.
    """

    path: Array
    z: Array
    proved: bool
    generation: int
    exact_point: tuple[Any, ...] | None = None
    alive: Array = field(default_factory=lambda: np.zeros(0, np.bool_))


@dataclass(slots=True)
class _Found:
    """The buffers of one range, as the kernel filled them."""

    item: WorkRange
    patterns: Array
    points: Array
    deferred: Array
    rest: Array
    rest_points: Array
    rest_level: Array
    candidates: Array
    log: Array
    counters: Any = None


def path_pairs(path: Array) -> list[tuple[int, int]]:
    """(unit, row) pairs of a path, which is closed by -1."""
    flat = path.tolist()
    end = flat.index(-1) if -1 in flat else len(flat)
    return list(zip(flat[0:end:2], flat[1:end:2], strict=True))


class Certificate(Protocol):
    """What the search tells a certificate writer (``regions/certificates``)."""

    def add_range(self, found: Any, counters: list[int]) -> None:
        """Record one work range: its log, its cells, and what it left to others."""

    def add_settled(self, pairs: list[tuple[int, int]], verdict: Verdict) -> None:
        """Record a branch found dead in rationals."""

    def add_single(self, z: Array, exact_point: tuple[Any, ...] | None) -> None:
        """Record the one cell of heads that have one key each."""


def explore(
    refinement: Refinement,
    *,
    emit: bool = False,
    max_cells: int | None = None,
    threads: int | None = None,
    report: Report | None = None,
    certificate: Certificate | None = None,
) -> Outcome:
    """Count (and with ``emit`` list) the cells of a refinement, depth first.

    ``certificate`` takes every step instead of the outcome. ``report(cells, ranges_left)`` is
    called a few times a second. Memory without ``emit`` depends on heads and keys, not on the
    number of cells.

    Raises
    ------
    InvalidInput : the domain has no interior.
    BudgetExceeded, Interrupted : with ``.lower``, the cells found so far.
    """
    outcome = Outcome()
    z, proved, exact_point = refinement.interior
    if len(refinement.starts) - 1 == len(refinement.terms):
        # No head has two different keys: one cell.
        outcome.cells = 1
        outcome.patterns.append(refinement.starts[None, :-1].astype(np.int32))
        outcome.points.append(z[None, :])
        if certificate is not None:
            certificate.add_single(z, exact_point)
        return outcome
    path = np.full(2 * len(refinement.units), -1, np.int32)
    root = WorkRange(path, _high(z), proved, 0, exact_point)
    driver = _Driver(refinement, outcome, emit, max_cells, report, certificate)
    driver.run(root, thread_count(threads))
    return outcome


def _high(z: Array) -> Array:
    """A point as a sum of two doubles."""
    return np.stack([z, np.zeros_like(z)])


def _system(refinement: Refinement, fine: tuple[Array, Array, Array, Array]) -> tuple[Array, ...]:
    """The arguments of the kernel's ``make_system``."""
    return (
        refinement.terms,
        refinement.errors,
        np.abs(refinement.terms).max(axis=1, initial=0.0),
        refinement.starts,
        refinement.walls,
        refinement.wall_rho,
        refinement.integers,
        refinement.wall_integers,
        np.repeat(np.arange(len(refinement.units)), np.diff(refinement.starts)),
        np.arange(refinement.rank),
        *refinement.spans,
        *fine,
    )


class _Driver(RangeSearch[WorkRange, "_Found"]):
    """One search of a refinement, and its tally."""

    def __init__(
        self,
        refinement: Refinement,
        outcome: Outcome,
        emit: bool,
        max_cells: int | None,
        report: Report | None,
        certificate: Certificate | None,
    ) -> None:
        super().__init__(max_cells, report)
        self.refinement = refinement
        self.direct = refinement.in_doubles
        dim, walls = refinement.rank, len(refinement.walls)
        none = np.zeros((2, 0, dim)), np.zeros(0), np.zeros((2, walls, dim)), np.zeros(walls)
        self.coarse = _system(refinement, none)
        self.outcome = outcome
        self.emit = emit or certificate is not None
        self.certificate = certificate

    @property
    def cells(self) -> int:
        """Cells found so far."""
        return self.outcome.cells

    @cached_property
    def fine(self) -> tuple[Array, ...]:
        """The system with rows at twice the precision."""
        return _system(self.refinement, self.refinement.fine)

    def work(self, item: WorkRange) -> _Found:
        # Rows of products cost rationals, so they are refined only where doubles do not decide.
        found = self._search(item, self.fine if self.direct else self.coarse)
        if found.counters[search.DEFERRED] and not self.direct:
            found = self._search(item, self.fine)
        return found

    def _search(self, item: WorkRange, system: tuple[Array, ...]) -> _Found:
        heads, (n, dim) = len(self.refinement.units), self.refinement.terms.shape
        widest = int(np.diff(self.refinement.starts).max())
        room = max(_BLOCK, 4 * widest) if self.emit else 0
        logged = max(_LOG, 4 * n * (2 * dim + 6)) if self.certificate is not None else 0
        found = _Found(
            item,
            np.empty((room, heads), np.int32),
            np.empty((room, 2, dim)),
            np.empty((max(_DEFERRED, 4 * widest), 2 * heads), np.int32),
            np.empty((n + 1, 2 * heads), np.int32),
            np.empty((n + 1, 2, dim)),
            np.empty(n + 1, np.int64),
            np.empty((heads, n), np.bool_),
            np.empty(logged, np.int32),
        )
        found.counters = search.search(
            make_system(*system),
            item.path,
            item.z,
            item.proved,
            item.alive,
            _BUDGETS[min(item.generation, len(_BUDGETS) - 1)],
            self.stop,
            self.emit,
            found.patterns,
            found.points,
            found.deferred,
            found.rest,
            found.rest_points,
            found.rest_level,
            found.candidates,
            found.log,
        )
        return found

    def collect(self, found: _Found) -> None:
        counters = [int(c) for c in found.counters]
        cells = counters[search.CELLS]
        outcome = self.outcome
        outcome.cells += cells
        outcome.pivots += counters[search.PIVOTS]
        outcome.programs += counters[search.PROGRAMS]
        outcome.nodes += counters[search.NODES]
        if self.certificate is not None:
            self.certificate.add_range(found, counters)
        elif self.emit and cells:
            outcome.patterns.append(found.patterns[:cells].copy())
            outcome.points.append(found.points[:cells, 0].copy())
        generation = found.item.generation + 1
        for i in range(counters[search.REST]):
            path, z = found.rest[i].copy(), found.rest_points[i].copy()
            if self.certificate is not None:
                # A range's log tells all its discards, those above it too.
                self.queue.append(WorkRange(path, z, True, generation))
            else:
                alive = found.candidates[found.rest_level[i]]
                self.queue.append(WorkRange(path, z, True, generation, None, alive))
        for i in range(counters[search.DEFERRED]):
            self._settle(found.deferred[i].copy(), generation)

    def _settle(self, path: Array, generation: int) -> None:
        """Decide one ambiguous branch in rationals; a live one becomes a range of its own."""
        pairs = path_pairs(path)
        self.outcome.exact_decisions += 1
        verdict = strictly_negative(self.refinement.exact_rows(pairs))
        if verdict.point is None:
            if self.certificate is not None:
                self.certificate.add_settled(pairs, verdict)
            return
        self.queue.append(
            WorkRange(path, _high(as_doubles(verdict.point)), False, generation, verdict.point)
        )

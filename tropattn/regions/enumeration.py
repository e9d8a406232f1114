"""The enumeration engine: all cells of a common refinement, in any dimension, each one proved.

The search itself is a kernel (``_kernels/refine``); this module feeds it work ranges from a queue
to a thread pool, settles in rationals what doubles leave open, and stops cleanly on a limit or on
Ctrl-C. A range is a path from the root and a budget, so the set of ranges, and with it every
number, does not depend on the number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import refine
from tropattn.errors import BudgetExceeded, Interrupted
from tropattn.polyhedra.cone import as_doubles
from tropattn.polyhedra.strict import strictly_negative
from tropattn.threads import thread_count
from tropattn.tropical.refinement import Refinement

__all__ = ["Outcome", "explore"]

Array = NDArray[Any]

# Budgets (programs) of a range by generation: small at first so that all threads get work
# early, then about 0.1 s.
_BUDGETS = (200, 2_000, 20_000)
_BLOCK = 1 << 14
_DEFERRED = 1 << 12


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
class _Range:
    path: Array
    z: Array
    has_z: bool
    generation: int


def explore(
    refinement: Refinement,
    *,
    emit: bool = False,
    max_cells: int | None = None,
    threads: int | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Count (and with ``emit`` list) the cells of a refinement, depth first.

    ``report(cells, ranges_left)`` is called a few times a second. Memory without ``emit`` depends
    on heads and keys, not on the number of cells.

    Raises
    ------
    InvalidInput : the domain has no interior.
    BudgetExceeded, Interrupted : with ``.lower``, the cells found so far.
    """
    system = _system(refinement)
    outcome = Outcome()
    z, proved = refinement.interior
    if len(refinement.starts) - 1 == len(refinement.terms):
        # No head has two different keys: one cell.
        outcome.cells = 1
        outcome.patterns.append(refinement.starts[None, :-1].astype(np.int32))
        outcome.points.append(z[None, :])
        return outcome
    root = _Range(np.full(2 * len(refinement.units), -1, np.int32), z, proved, 0)
    _Driver(refinement, system, outcome, emit, max_cells, report).run(root, thread_count(threads))
    return outcome


def _system(refinement: Refinement) -> refine.System:
    return refine.System(
        refinement.terms,
        refinement.errors,
        np.abs(refinement.terms).max(axis=1, initial=0.0),
        refinement.starts,
        refinement.walls,
        refinement.wall_rho,
        refinement.integers,
        refinement.wall_integers,
    )


class _Driver:
    """One search: the queue of ranges, the pool, and the tally."""

    def __init__(
        self,
        refinement: Refinement,
        system: refine.System,
        outcome: Outcome,
        emit: bool,
        max_cells: int | None,
        report: Callable[[int, int], None] | None,
    ) -> None:
        self.refinement = refinement
        self.system = system
        self.outcome = outcome
        self.emit = emit
        self.max_cells = max_cells
        self.report = report
        self.stop = np.zeros(1, np.int64)
        self.queue: list[_Range] = []

    def run(self, root: _Range, threads: int) -> None:
        """Work until the queue is empty, the limit is passed or the user interrupts."""
        self.queue.append(root)
        running: set[Future[Any]] = set()
        with ThreadPoolExecutor(threads) as pool:
            try:
                last = time.monotonic()
                while self.queue or running:
                    # The newest range first: the queue stays as short as the search is deep.
                    while self.queue and len(running) < 2 * threads:
                        running.add(pool.submit(self._work, self.queue.pop()))
                    done, running = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._collect(*future.result())
                    if self.max_cells is not None and self.outcome.cells > self.max_cells:
                        self._halt(running)
                        raise BudgetExceeded(
                            f"max_cells: at most {self.max_cells} cells allowed, more than that "
                            "found; raise max_cells, or use the bound or the sampler.",
                            self.outcome.cells,
                        )
                    if self.report is not None and time.monotonic() - last > 0.25:
                        last = time.monotonic()
                        self.report(self.outcome.cells, len(self.queue) + len(running))
            except KeyboardInterrupt:
                self._halt(running)
                raise Interrupted(
                    f"interrupted: at least {self.outcome.cells} cells were found before the stop.",
                    self.outcome.cells,
                ) from None

    def _halt(self, running: set[Future[Any]]) -> None:
        self.stop[0] = 1
        for future in running:
            if not future.cancel():
                self._collect(*future.result(), settle=False)

    def _work(self, item: _Range) -> tuple[_Range, Any, Array, Array, Array, Array, Array]:
        heads, (n, dim) = len(self.refinement.units), self.system.terms.shape
        widest = int(np.diff(self.system.starts).max())
        room = max(_BLOCK, 4 * widest) if self.emit else 0
        patterns = np.empty((room, heads), np.int32)
        points = np.empty((room, dim))
        deferred = np.empty((max(_DEFERRED, 4 * widest), 2 * heads), np.int32)
        rest = np.empty((n + 1, 2 * heads), np.int32)
        rest_points = np.empty((n + 1, dim))
        budget = _BUDGETS[min(item.generation, len(_BUDGETS) - 1)]
        counters = refine.search(
            self.system,
            item.path,
            item.z,
            item.has_z,
            budget,
            self.emit,
            patterns,
            points,
            deferred,
            rest,
            rest_points,
            self.stop,
        )
        return item, counters, patterns, points, deferred, rest, rest_points

    def _collect(
        self,
        item: _Range,
        counters: Any,
        patterns: Array,
        points: Array,
        deferred: Array,
        rest: Array,
        rest_points: Array,
        settle: bool = True,
    ) -> None:
        found = int(counters[refine.CELLS])
        self.outcome.cells += found
        self.outcome.pivots += int(counters[refine.PIVOTS])
        self.outcome.programs += int(counters[refine.PROGRAMS])
        self.outcome.nodes += int(counters[refine.NODES])
        if self.emit and found:
            self.outcome.patterns.append(patterns[:found].copy())
            self.outcome.points.append(points[:found].copy())
        if not settle:
            return
        for i in range(int(counters[refine.REST])):
            self.queue.append(
                _Range(rest[i].copy(), rest_points[i].copy(), True, item.generation + 1)
            )
        for i in range(int(counters[refine.DEFERRED])):
            self._settle(deferred[i].copy(), item.generation + 1)

    def _settle(self, path: Array, generation: int) -> None:
        """Decide one ambiguous branch in rationals; a live one becomes a range of its own."""
        pairs = []
        for at in range(0, len(path), 2):
            if path[at] < 0:
                break
            pairs.append((int(path[at]), int(path[at + 1])))
        self.outcome.exact_decisions += 1
        verdict = strictly_negative(self.refinement.exact_rows(pairs))
        if verdict.point is not None:
            self.queue.append(_Range(path, as_doubles(verdict.point), False, generation))

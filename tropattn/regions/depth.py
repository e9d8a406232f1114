"""Counting across depth: refine, compose, refine again (theory T12, T13).

On a cell of the first stages the state that enters the next one is an affine function of the
input. So the units of the next stage, composed with it, are tropical polynomials of the input
again, and the search of one layer (``regions/enumeration``) refines the cell by them. Only the
cells of the last stage are counted.

Everything that is composed stays exact: states and walls are integer matrices over one common
denominator, whose digits grow with the depth and with nothing else. Terms that become equal on a
cell (a dead ReLU in front, say) are equal integer rows and merge there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import freeze, rational_matrix
from tropattn.errors import BudgetExceeded, EngineError, InvalidInput
from tropattn.polyhedra.domain import Domain
from tropattn.polyhedra.integer_rows import Frame, Row, corners, framed, primitive, tightened
from tropattn.regions.complex import RegionComplex
from tropattn.regions.depth_bounds import depth as depth_bound
from tropattn.regions.depth_cells import CellSystem, DepthCell
from tropattn.regions.depth_witness import depth_witnesses
from tropattn.regions.enumeration import Outcome, explore
from tropattn.regions.result import RegionCount
from tropattn.threads import Pool, aside, check, interrupted, thread_count
from tropattn.tropical.affine_state import AffineState, whole
from tropattn.tropical.integer_stage import IntegerStage
from tropattn.tropical.refinement import domain_walls
from tropattn.tropical.stage import RoutingStage

__all__ = ["Tower", "all_cells", "count_depth", "domain_name", "enumerate_depth"]

Array = NDArray[Any]
Report = Callable[[int, int], None]


class Tower:
    """The stages over one domain: root, children of a cell, and the tally of the work."""

    def __init__(self, stages: Sequence[RoutingStage], domain: Domain | None) -> None:
        if not stages:
            raise InvalidInput("target: at least one stage needed, got none; pass a Network.")
        self.domain = domain
        self.tables = [IntegerStage(stage) for stage in stages]
        self.inner = Outcome()
        self.widest = 0

    @property
    def root(self) -> DepthCell:
        """The whole domain, with the input as its state."""
        stage = self.tables[0].stage
        if self.domain is not None and self.domain.ambient_dim != stage.dim:
            raise InvalidInput(
                f"domain: a set in R^{stage.dim} needed, got {self.domain.describe()}; "
                "domain and target must share their variable."
            )
        embedding = None if self.domain is None else self.domain.embedding
        state = AffineState.of(*(embedding or (np.eye(stage.dim), np.zeros(stage.dim))))
        k = state.numerators.nrows() - 1
        exact = rational_matrix(domain_walls(self.domain, k + 1))
        walls = []
        for i in range(exact.nrows()):
            row = whole([exact[i, c] for c in range(k + 1)])[0]
            if any(row[:-1]):
                walls.append(primitive(row))
        return DepthCell(0, (), tuple(walls), Frame((0,) * k), state, ())

    def system(self, cell: DepthCell) -> _Parent:
        """The refinement of a cell by the next stage."""
        table = self.tables[cell.depth]
        width = cell.state.numerators.ncols() - 1
        if table.stage.dim != width:
            raise InvalidInput(
                f"stages: a stage on R^{width} needed at {cell.depth}, got one "
                f"on R^{table.stage.dim}; widths of consecutive stages must agree."
            )
        columns = table.columns(cell.state)
        rows = table.rows(columns)
        kept = table.contenders(columns, self._corners(cell))
        classes: list[list[list[int]]] = []
        cutting, units = [], []
        for h, terms in enumerate(kept):
            members: dict[Row, list[int]] = {}
            for j in terms:
                members.setdefault(rows[j], []).append(j)
            classes.append(list(members.values()))
            if len(members) > 1:
                first = rows[terms[0]]
                cutting.append(h)
                units.append(
                    cell.frame.local([tuple(map(int.__sub__, row, first)) for row in members])
                )
        if not units:
            cutting, units = [0], [[(0,) * len(rows[0])]]
        domain = self.domain if cell.depth == 0 else None
        walls = cell.frame.local(cell.walls)
        of = [table.stage.units[h] for h in cutting]
        return _Parent(CellSystem.build(of, domain, walls, units), rows, classes, cutting)

    def _corners(self, cell: DepthCell) -> list[Row]:
        """The corners of a bounded cell in one or two dimensions, or none."""
        if not cell.walls or len(cell.walls[0]) > 3:
            return []
        # Behind the first stage walls are tight already.
        return corners(cell.walls if cell.depth else tightened(cell.walls, cell.frame))

    def children(self, cell: DepthCell, mapped: bool = True, **limits: Any) -> Iterator[DepthCell]:
        """The cells into which the next stage cuts a cell, each with its state behind it.

        All patterns are found first (and held); the cells are then made one by one.
        """
        table = self.tables[cell.depth]
        parent = self.system(cell)
        if cell.depth:
            # One cell of many is a small search: a pool of its own would cost more than it saves.
            limits["threads"] = 1
        outcome = explore(parent.system, emit=True, **limits)
        found = np.vstack(outcome.patterns) - parent.system.starts[:-1]
        self.widest = max(self.widest, len(found))
        local = parent.system.to_parameters(np.vstack(outcome.points))
        self._tally(outcome)
        cuts = _Cuts(found, parent)
        alone = [members[0] for members in parent.classes]
        for numbers, q in zip(found.tolist(), local, strict=True):
            check()
            chosen = alone.copy()
            for h, number in zip(parent.cutting, numbers, strict=True):
                chosen[h] = parent.classes[h][number]
            tied = [
                [j - start for j in members]
                for members, start in zip(chosen, table.starts, strict=False)
            ]
            state = table.advance(cell.state, parent.rows, tied) if mapped else cell.state
            walls, frame = framed([*cell.walls, *cuts.of(numbers)], cell.frame, q)
            if cell.depth + 1 < len(self.tables):
                # In higher dimension a spare wall costs the search less than a program to drop it.
                walls = tightened(walls, frame, spare=3 * len(q) if len(q) > 2 else 0)
            point = tuple(cell.frame.to_parameters(q[None, :])[0].tolist())
            pattern = (*cell.pattern, *(members[0] for members in tied))
            yield DepthCell(cell.depth + 1, pattern, walls, frame, state, point)

    def _tally(self, outcome: Outcome) -> None:
        for name, value in outcome.stats().items():
            setattr(self.inner, name, getattr(self.inner, name) + value)

    def cells_above(self, depth: int, limits: dict[str, Any]) -> Iterator[DepthCell]:
        """The cells of the first ``depth`` stages, depth first."""
        stack = [iter([self.root])]
        while stack:
            check()
            cell = next(stack[-1], None)
            if cell is None:
                stack.pop()
            elif cell.depth == depth:
                yield cell
            else:
                stack.append(self.children(cell, **limits))


@dataclass(frozen=True, slots=True)
class _Parent:
    """A cell that the next stage cuts.

    Attributes
    ----------
    system : the refinement by the units in ``cutting``, each of at least two classes; of the first
        unit alone where no unit can cut the cell.
    rows : all terms of the stage in the parameters.
    classes : the terms of each unit that may win, equal ones together.
    """

    system: CellSystem
    rows: list[Row]
    classes: list[list[list[int]]]
    cutting: list[int]


class _Cuts:
    """The walls that a stage adds to each of its cells: the winner against the other live keys."""

    def __init__(self, found: Array, parent: _Parent) -> None:
        self.parent = parent
        self.live = [np.unique(column).tolist() for column in found.T]
        self._known: dict[tuple[int, int], list[Row]] = {}

    def of(self, numbers: list[int]) -> list[Row]:
        """Rows of one cell; units with one live key on the parent cut nothing."""
        out: list[Row] = []
        for h, number in enumerate(numbers):
            if len(self.live[h]) > 1:
                if (h, number) not in self._known:
                    best = self._row(h, number)
                    self._known[h, number] = [
                        primitive([a - b for a, b in zip(self._row(h, other), best, strict=True)])
                        for other in self.live[h]
                        if other != number
                    ]
                out += self._known[h, number]
        return out

    def _row(self, h: int, number: int) -> Row:
        parent = self.parent
        return parent.rows[parent.classes[parent.cutting[h]][number][0]]


class _LeafCount:
    """The searches of all cells above the last stage, and the sum of what they find."""

    def __init__(
        self, tower: Tower, threads: int, max_cells: int | None, report: Report | None
    ) -> None:
        self.tower, self.threads, self.max_cells, self.report = tower, threads, max_cells, report
        self.total, self.parents = Outcome(), 0
        self.running: dict[int, int] = {}
        self._clock = time.monotonic()

    @property
    def so_far(self) -> int:
        """Cells counted, those of unfinished searches included.

        At least as many as the most that one cell was cut into: each holds a cell of its own.
        """
        return max(1, self.total.cells + sum([*self.running.values()]), self.tower.widest)

    def run(self) -> None:
        """Search all; on a limit or Ctrl-C raise with the cells found so far."""
        # Every inner cell holds at least one cell, so the limit is valid for them as well.
        limits = {"threads": self.threads, "max_cells": self.max_cells, "report": self._above}
        cells = self.tower.cells_above(len(self.tower.tables) - 1, limits)
        try:
            if self.threads == 1 or len(self.tower.tables) == 1:
                for number, cell in enumerate(cells):
                    self._add(number, self._search(number, cell, self.threads))
            else:
                self._parallel(cells)
        except BudgetExceeded as error:
            # What an unfinished search had found lies apart from all that was counted before.
            raise _over(error.lower + self.total.cells) from None
        except KeyboardInterrupt as error:
            more = getattr(error, "lower", 0)
            raise interrupted(max(self.so_far, more + self.total.cells)) from None

    def _parallel(self, cells: Iterator[DepthCell]) -> None:
        with Pool(self.threads) as pool:
            for number, cell in enumerate(cells):
                pool.submit(lambda job: self._search(*job, 1), (number, cell), number)
                if pool.busy >= 4 * self.threads:
                    self._await(pool)
            while pool.busy:
                self._await(pool)

    def _search(self, number: int, cell: DepthCell, threads: int) -> Outcome:
        def watch(found: int, left: int) -> None:
            self.running[number] = found
            if threads == self.threads:
                self._tell()

        system = self.tower.system(cell).system
        return explore(system, threads=threads, max_cells=self.max_cells, report=watch)

    def _await(self, pool: Pool) -> None:
        number, outcome, error = pool.result(self._tell)
        if error is not None:
            raise error
        self._add(number, outcome)

    def _add(self, number: int, outcome: Outcome) -> None:
        self.running.pop(number, None)
        self.parents += 1
        for name, value in [("cells", outcome.cells), *outcome.stats().items()]:
            setattr(self.total, name, getattr(self.total, name) + value)
        if self.max_cells is not None and self.total.cells > self.max_cells:
            raise BudgetExceeded("", 0)
        self._tell()

    def _above(self, found: int, left: int) -> None:
        if self.report is not None:
            self.report(max(self.so_far, self.total.cells + found), left)

    def _tell(self) -> None:
        if self.report is not None and time.monotonic() - self._clock > 0.25:
            self._clock = time.monotonic()
            self.report(self.so_far, 0)


def count_depth(
    stages: Sequence[RoutingStage],
    domain: Domain | None = None,
    *,
    of: str = "cells",
    max_cells: int | None = None,
    threads: int | None = None,
    report: Report | None = None,
) -> RegionCount:
    """Count the routing cells or the linear regions of a sequence of stages (theory T12, T13).

    Parameters
    ----------
    stages : the stages of a ``Network``, first to last.
    domain : ``Box``, ``Polytope``, ``Line`` or ``Slice``; None is the whole space.
    of : "cells", sets with one pattern of winners; "linear_regions", cells joined where their maps
        (of the domain's parameters) are equal and their closures meet in dimension ``d - 1``.
    max_cells : stop with ``BudgetExceeded`` beyond this many cells.
    threads : worker threads, default all; the result does not depend on it.
    report : called with (cells so far, 0) a few times a second.

    Raises
    ------
    InvalidInput : widths that do not fit, an empty domain, or another ``of``.
    BudgetExceeded, Interrupted : with ``.lower``, a valid lower bound.

    Notes
    -----
    Cost: a search a cell of all but the last stage, about a millisecond each, and a few small
    linear programs a cell. Counting cells holds the cells of one parent a stage; linear regions
    hold all cells.

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> from tropattn.tropical.stage import Linear
    >>> first = RoutingStage((TropicalPolynomial([[0], [1]]),), Linear(np.eye(1), np.zeros(1)))
    >>> last = RoutingStage((TropicalPolynomial([[0], [1]], [0, -1]),))
    >>> count_depth([first, last]).value            # x < 0, 0 < x < 1, 1 < x
    3
    """
    if of == "linear_regions":
        from tropattn.regions.linear_regions import count_linear_regions

        return count_linear_regions(
            stages, domain, max_cells=max_cells, threads=threads, report=report
        )
    if of != "cells":
        raise InvalidInput(f"of: 'cells' or 'linear_regions' needed, got {of!r}; choose one.")
    started = time.perf_counter()
    tower = Tower(stages, domain)
    search = _LeafCount(tower, thread_count(threads), max_cells, report)
    search.run()
    total = search.total
    bound = depth_bound(stages, domain).value
    if not 1 <= total.cells <= bound:
        raise EngineError(
            f"count: between 1 and {bound} cells (T14) expected, got {total.cells}; two witnesses "
            "contradict each other, please report the input."
        )
    stats = {name: value + getattr(tower.inner, name) for name, value in total.stats().items()}
    stats |= {"stages": len(tower.tables), "cells_above": search.parents}
    stats["seconds"] = time.perf_counter() - started
    where = domain_name(stages, domain)
    return RegionCount(total.cells, "exact", "cells", where, "depth", True, 0, stats)


def _over(cells: int) -> BudgetExceeded:
    return BudgetExceeded(
        f"max_cells: more cells than allowed, at least {cells} were found; raise max_cells, or use "
        "the bound or the sampler.",
        cells,
    )


def domain_name(stages: Sequence[RoutingStage], domain: Domain | None) -> str:
    """The domain in words."""
    return f"R^{stages[0].dim}" if domain is None else domain.describe()


def all_cells(
    tower: Tower,
    *,
    mapped: bool,
    max_cells: int | None,
    threads: int | None,
    report: Report | None,
    distinct: bool = False,
) -> list[DepthCell]:
    """Every cell of the last stage, in lexicographic order of the patterns.

    Raises ``BudgetExceeded`` or ``Interrupted`` with ``.lower``, the cells found so far, or with
    ``distinct`` the distinct maps among them.
    """
    last = len(tower.tables) - 1
    out: list[DepthCell] = []
    clock = time.monotonic()

    def watch(found: int, left: int) -> None:
        if report is not None:
            report(len(out) + found, left)

    # One search may hold all cells, so each reports as well.
    limits = {"threads": thread_count(threads), "max_cells": max_cells, "report": watch}
    try:
        for cell in tower.cells_above(last, limits):
            for child in tower.children(cell, mapped, **limits):
                out.append(child)
                if report is not None and time.monotonic() - clock > 0.25:
                    clock = time.monotonic()
                    report(len(out), 0)
            if max_cells is not None and len(out) > max_cells:
                raise BudgetExceeded("", 0)
    except BudgetExceeded as error:
        raise _over(_so_far(out, distinct, error.lower)) from None
    except KeyboardInterrupt as error:
        raise interrupted(_so_far(out, distinct, getattr(error, "lower", 0))) from None
    order = aside(np.lexsort, np.array([cell.pattern for cell in out], np.int32).T[::-1])
    return [out[i] for i in order.tolist()]


def _so_far(cells: list[DepthCell], distinct: bool, more: int) -> int:
    """Cells, those of an unfinished search included; or distinct maps, of finished ones only."""
    return max(1, len({cell.key() for cell in cells}) if distinct else len(cells) + more)


def enumerate_depth(
    stages: Sequence[RoutingStage],
    domain: Domain | None = None,
    *,
    max_cells: int | None = 1_000_000,
    threads: int | None = None,
    report: Report | None = None,
) -> RegionComplex:
    """List the routing cells of a sequence of stages (theory T12, T13).

    Parameters and errors as in ``count_depth``. Patterns are those of all stages side by side; the
    complex also knows each cell's map (where the stages have maps) and its walls, so that it can
    tell neighbours. Memory ``O(cells)``, about a kilobyte each.

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> from tropattn.tropical.stage import Linear
    >>> first = RoutingStage((TropicalPolynomial([[0], [1]]),), Linear(np.eye(1), np.zeros(1)))
    >>> enumerate_depth([first, first]).patterns.tolist()
    [[0, 0], [1, 1]]
    """
    tower = Tower(stages, domain)
    mapped = stages[-1].update is not None
    cells = all_cells(tower, mapped=mapped, max_cells=max_cells, threads=threads, report=report)
    patterns = freeze(np.array([cell.pattern for cell in cells], dtype=np.int32))
    witnesses, inside = depth_witnesses(tower.tables, domain, cells)
    stats = {"stages": len(stages), **tower.inner.stats()}
    name = domain_name(stages, domain)
    return RegionComplex(patterns, witnesses, inside, name, stages[-1], stats, tuple(cells))

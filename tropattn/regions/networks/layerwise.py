"""Counting across depth: refine, compose, refine again (theory T12, T13).

On a cell of the first stages the state that enters the next one is an affine function of the
input. So the units of the next stage, composed with it, are tropical polynomials of the input
again, and the search of one layer (``regions/search/enumeration``) refines the cell by them. Only
the cells of the last stage are counted.

Everything that is composed stays exact: states and walls are integer matrices over one common
denominator, whose digits grow with the depth and with nothing else. Terms that become equal on a
cell (a dead ReLU in front, say) are equal integer rows and merge there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from tropattn._types import Array
from tropattn.arrays import freeze
from tropattn.errors import BudgetExceeded, InvalidInput
from tropattn.polyhedra.domain import Domain, check_space
from tropattn.polyhedra.integer_rows import Frame, Row, corners, framed, primitive, tightened
from tropattn.regions.budget import Budget, exceeded
from tropattn.regions.complex import RegionComplex
from tropattn.regions.jobs.database import damaged
from tropattn.regions.jobs.driver import KeptQueue, Search, effort_of
from tropattn.regions.jobs.ledger import Range
from tropattn.regions.networks.cells import CellSystem, DepthCell, cell_of_words, cell_to_words
from tropattn.regions.networks.witness import depth_witnesses
from tropattn.regions.question import Engine, Found, Question
from tropattn.regions.search.enumeration import Outcome, explore
from tropattn.regions.walls import CellWalls, domain_state, integer_walls
from tropattn.threads import aside, check, interrupted, thread_count
from tropattn.tropical.integer_stage import IntegerStage
from tropattn.tropical.stage import RoutingStage

__all__ = ["Layerwise", "LayerwiseRefinement", "all_cells", "kept_cells"]


_SEARCHES = (4, 30, 200)
"""Cells above the last stage that a range searches, by generation: few at first."""

_KNOWN = 16
"""Cells whose own cells are kept for the next range."""


class LayerwiseRefinement:
    """The stages over one domain: root, children of a cell, and the tally of the work."""

    def __init__(self, stages: Sequence[RoutingStage], domain: Domain | None) -> None:
        if not stages:
            raise InvalidInput("target: at least one stage needed, got none; pass a Network.")
        self.domain = domain
        self.tables = [IntegerStage(stage) for stage in stages]
        self.inner = Outcome()
        self.widest = 0

    def within(self, domain: Domain | None) -> LayerwiseRefinement:
        """The same stages, whose tables are made once, over another domain."""
        other = LayerwiseRefinement([table.stage for table in self.tables], domain)
        other.tables = self.tables
        return other

    @property
    def root(self) -> DepthCell:
        """The whole domain, with the input as its state."""
        stage = self.tables[0].stage
        check_space(self.domain, stage.dim)
        state = domain_state(self.domain, stage.dim)
        k = state.numerators.nrows() - 1
        walls = integer_walls(self.domain, k + 1)
        return DepthCell(0, (), walls, Frame((0,) * k), state, ())

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

    def cut(self, cell: DepthCell, budget: Budget) -> _Children:
        """What the next stage makes of a cell: its cells by number, made one by one when asked.

        Patterns are in lexicographic order, so that a number means the same cell at any time.
        """
        parent = self.system(cell)
        if cell.depth:
            # One cell of many is a small search: a pool of its own would cost more than it saves.
            budget = replace(budget, threads=1)
        outcome = explore(parent.system, budget, emit=True)
        found = np.vstack(outcome.patterns) - parent.system.starts[:-1]
        order = np.lexsort(found.T[::-1])
        local = parent.system.to_parameters(np.vstack(outcome.points)[order])
        self.widest = max(self.widest, len(found))
        return _Children(cell, self.tables, parent, found[order], local, outcome)

    def children(self, cell: DepthCell, budget: Budget, mapped: bool = True) -> Iterator[DepthCell]:
        """The cells into which the next stage cuts a cell, each with its state behind it.

        All patterns are found first (and held); the cells are then made one by one.
        """
        cut = self.cut(cell, budget)
        self.inner.add(cut.outcome)
        for number in range(len(cut.found)):
            check()
            yield cut.child(number, mapped)

    def levels(self, budget: Budget) -> list[list[DepthCell]]:
        """The cells behind each stage, in lexicographic order of their patterns.

        Raises ``BudgetExceeded`` where a stage has more than allowed; ``.lower`` cells of one are
        there.
        """
        found: list[list[DepthCell]] = [[] for _ in self.tables]
        most = 0

        def note(cells: int, left: int) -> None:
            budget.tell(most + cells, left)

        noted = replace(budget, report=note)
        for cell in self.cells_above(len(self.tables), noted, found):
            most = max(map(len, found))
            if budget.passed(most):
                raise exceeded(most)
            budget.tell(most, 0)
            assert cell.depth == len(self.tables)
        return [sorted(cells, key=lambda cell: cell.pattern) for cells in found]

    def cells_above(
        self, depth: int, budget: Budget, passed: list[list[DepthCell]] | None = None
    ) -> Iterator[DepthCell]:
        """The cells of the first ``depth`` stages, depth first; ``passed`` takes all on the way."""
        stack = [iter([self.root])]
        while stack:
            check()
            cell = next(stack[-1], None)
            if cell is not None and cell.depth and passed is not None:
                passed[cell.depth - 1].append(cell)
            if cell is None:
                stack.pop()
            elif cell.depth == depth:
                yield cell
            else:
                # Nobody asks for the state behind the last stage, which may map nothing.
                mapped = cell.depth + 1 < len(self.tables)
                stack.append(self.children(cell, budget, mapped))


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


class _Children:
    """The cells of one cell: their patterns ``found``, and how each is made."""

    def __init__(
        self,
        cell: DepthCell,
        tables: Sequence[IntegerStage],
        parent: _Parent,
        found: Array,
        local: Array,
        outcome: Outcome,
    ) -> None:
        self.cell, self.parent, self.found, self.local = cell, parent, found, local
        self.table, self.last = tables[cell.depth], cell.depth + 1 == len(tables)
        self.outcome = outcome
        self._cuts = _Cuts(found, parent)
        self._alone = [members[0] for members in parent.classes]

    def child(self, number: int, mapped: bool) -> DepthCell:
        """The cell of that number, and with ``mapped`` the state behind it."""
        cell, parent, q = self.cell, self.parent, self.local[number]
        numbers, chosen = self.found[number].tolist(), self._alone.copy()
        for h, winner in zip(parent.cutting, numbers, strict=True):
            chosen[h] = parent.classes[h][winner]
        tied = [
            [j - start for j in members]
            for members, start in zip(chosen, self.table.starts, strict=False)
        ]
        state = self.table.advance(cell.state, parent.rows, tied) if mapped else cell.state
        walls, frame = framed([*cell.walls, *self._cuts.of(numbers)], cell.frame, q)
        if not self.last:
            # In higher dimension a spare wall costs the search less than a program to drop it.
            walls = tightened(walls, frame, spare=3 * len(q) if len(q) > 2 else 0)
        point = tuple(cell.frame.to_parameters(q[None, :])[0].tolist())
        pattern = (*cell.pattern, *(members[0] for members in tied))
        return DepthCell(cell.depth + 1, pattern, walls, frame, state, point)


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


@dataclass(frozen=True, slots=True, eq=False)
class _Range:
    """The cells of a cell from one number to another, and all that is below them.

    ``effort`` multiplies the budget of its generation.
    """

    cell: DepthCell
    start: int = 0
    stop: int | None = None
    generation: int = 0
    effort: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class _Below:
    """What came of a range: the sums of its searches, cells above the last stage, and the rest.

    ``cells`` are those of the last stage, where they are asked for.
    """

    item: _Range
    outcome: Outcome
    parents: int
    left: list[_Range]
    cells: list[DepthCell]


class _LeafCount(KeptQueue[_Range, _Below]):
    """The searches of all cells above the last stage, and the sum of what they find."""

    def __init__(self, refinement: LayerwiseRefinement, budget: Budget) -> None:
        super().__init__(self._watch)
        self.refinement, self.budget = refinement, budget
        self.total, self.parents = Outcome(), 0
        self.running: dict[int, int] = {}
        self._known: dict[tuple[int, ...], _Children] = {}

    @classmethod
    def built(cls, *given: Any) -> Self:
        """The search of stages on a domain, on one thread."""
        return cls(LayerwiseRefinement(*given), Budget(threads=1))

    @property
    def found(self) -> int:
        """Cells counted, those of unfinished searches included.

        At least as many as the most that one cell was cut into: each holds a cell of its own.
        """
        return max(1, self.total.cells + sum([*self.running.values()]), self.refinement.widest)

    @property
    def tally(self) -> Counter[str]:
        return Counter(cells=self.total.cells, parents=self.parents, **self.total.stats())

    def add(self, tally: Mapping[str, int]) -> None:
        numbers = dict(tally)
        self.parents += numbers.pop("parents", 0)
        for name, value in numbers.items():
            setattr(self.total, name, getattr(self.total, name) + value)

    def written(self, item: _Range) -> Range:
        data = cell_to_words(item.cell)
        data |= {"start": item.start, "stop": item.stop, "generation": item.generation}
        pattern = " ".join(map(str, item.cell.pattern))
        return Range(f"{pattern}:{item.start}-{item.stop or ''}", data)

    def read(self, data: Mapping[str, Any]) -> _Range:
        try:
            cell, start, stop = cell_of_words(data), int(data["start"]), data["stop"]
            generation, effort = int(data["generation"]), effort_of(data)
        except (TypeError, ValueError, KeyError, IndexError, OverflowError):
            raise damaged("a range of the search") from None
        units = [np.diff(table.starts) for table in self.refinement.tables[: cell.depth]]
        keys = np.concatenate(units) if units else np.zeros(0, int)
        pattern = np.array(cell.pattern, int)
        sound = (
            0 <= cell.depth < len(self.refinement.tables)
            and len(pattern) == len(keys)
            and (pattern >= 0).all()
            and (pattern < keys).all()
            and (stop is None or (type(stop) is int and 0 <= start < stop))
            and min(start, generation) >= 0
        )
        if not sound:
            raise damaged("a range of the search")
        return _Range(cell, start, stop, generation, effort)

    def search(self) -> None:
        """Search all; on a limit or Ctrl-C raise with the cells found so far."""
        try:
            self.run([_Range(self.refinement.root)], thread_count(self.budget.threads))
        except BudgetExceeded as error:
            # What an unfinished search had found lies apart from all that was counted before.
            raise exceeded(error.lower + self.total.cells) from None

    def work(self, item: _Range) -> _Below:
        """Search below a range, depth first, until the searches of its generation are done."""
        last, outcome, parents, searched = len(self.refinement.tables) - 1, Outcome(), 0, 0
        cells = list[DepthCell]()
        most = item.effort * _SEARCHES[min(item.generation, len(_SEARCHES) - 1)]
        stack = [(item.cell, item.start, item.stop)]
        while stack and (searched <= most):
            check()
            cell, number, stop = stack.pop()
            if cell.depth == last:
                own, listed = self._leaf(cell, id(item), outcome.cells)
                outcome.count(own)
                cells += listed
                parents, searched = parents + 1, searched + 1
                continue
            children = self._children(cell)
            if number == 0:
                outcome.add(children.outcome)
            stop = len(children.found) if stop is None else stop
            if number < stop:
                stack.append((cell, number + 1, stop))
                # Nobody asks for the state behind the last stage, which may map nothing.
                stack.append((children.child(number, cell.depth + 1 <= last), 0, None))
        left = [part for rest in stack for part in _halves(*rest, item.generation + 1)]
        return _Below(item, outcome, parents, left, cells)

    def _leaf(self, cell: DepthCell, place: int, before: int) -> tuple[Outcome, list[DepthCell]]:
        """Search one cell, on one thread: a pool of its own would cost more than it saves."""

        def note(found: int, left: int) -> None:
            self.running[place] = before + found

        self.running[place] = before
        try:
            budget = Budget(self.budget.max_cells, 1, note)
            return explore(self.refinement.system(cell).system, budget), []
        except BudgetExceeded as error:
            error.lower += before
            raise

    def _children(self, cell: DepthCell) -> _Children:
        """The cells of a cell, kept for the next range that asks."""
        found = self._known.get(cell.pattern)
        if found is None:

            def note(cells: int, left: int) -> None:
                self.refinement.widest = max(self.refinement.widest, cells)

            # Every inner cell holds at least one cell, so the limit is valid for them as well.
            try:
                found = self.refinement.cut(cell, replace(self.budget, report=note))
            except BudgetExceeded as error:
                error.lower = max(0, error.lower - self.total.cells)
                raise
            if cell.depth + 1 < len(self.refinement.tables):
                self._known[cell.pattern] = found
                for pattern in [*self._known][:-_KNOWN]:
                    self._known.pop(pattern, None)
        return found

    def collect(self, result: _Below) -> list[_Range]:
        """Add up what a range found; what is left of it are ranges of their own."""
        self.running.pop(id(result.item), None)
        self.parents += result.parents
        self.total.count(result.outcome)
        return result.left

    def _watch(self, found: int, left: int) -> None:
        if self.budget.passed(self.total.cells):
            raise BudgetExceeded("", 0)
        self.budget.tell(found, left)


class _LeafCells(_LeafCount):
    """The same searches; each range keeps the cells that it finds, with the maps behind them."""

    merge = "join"

    def _leaf(self, cell: DepthCell, place: int, before: int) -> tuple[Outcome, list[DepthCell]]:
        cut = self.refinement.cut(cell, replace(self.budget, threads=1, report=None))
        return cut.outcome, [cut.child(number, True) for number in range(len(cut.found))]

    def result(self, result: _Below) -> list[dict[str, Any]]:
        return [cell_to_words(cell) for cell in result.cells]


def _halves(cell: DepthCell, start: int, stop: int | None, generation: int) -> list[_Range]:
    """What is left of a cell, in two where that is more than one cell."""
    if stop is None or stop - start < 2:
        return [] if start == stop else [_Range(cell, start, stop, generation)]
    middle = (start + stop) // 2
    # The first half comes last, so that it is taken next: its cells are nearer to those before.
    return [
        _Range(cell, middle, stop, generation),
        _Range(cell, start, middle, generation),
    ]


class Layerwise(Engine):
    """The cells of a network, stage by stage (theory T12).

    Counting holds the cells of one parent per stage.

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> from tropattn.tropical.stage import Linear
    >>> first = RoutingStage((TropicalPolynomial([[0], [1]]),), Linear(np.eye(1), np.zeros(1)))
    >>> last = RoutingStage((TropicalPolynomial([[0], [1]], [0, -1]),))
    >>> Layerwise().count(Question((first, last))).value        # x < 0, 0 < x < 1, 1 < x
    3
    >>> Layerwise().cells(Question((first, first))).patterns.tolist()
    [[0, 0], [1, 1]]
    """

    name, label, lists, ranges = "enumeration", "depth", True, True
    kinds = ("network",)
    where = "networks, any domain"
    idea = (
        "refine, compose, refine again (T12): on each cell of the layers before, a layer is an "
        "`enumeration` in integers ([depth](depth.md))"
    )
    cost = "a search per cell of all but the last layer, about a millisecond each"
    otherwise = "it always can: states and walls are exact"

    def count(self, question: Question) -> Found:
        """The number of cells; their maps are not composed."""
        refinement = LayerwiseRefinement(question.stages, question.domain)
        leaves = _LeafCount(refinement, question.budget)
        leaves.kept = question.search(self.label, question.stages)
        leaves.search()
        total = leaves.total
        above = {"stages": len(refinement.tables), "cells_above": leaves.parents}
        return Found(total.cells, total.stats() | above, self.label)

    def cells(self, question: Question) -> RegionComplex:
        """All cells with their exact walls and, where the stages have maps, theirs.

        Patterns are those of all stages side by side. Memory ``O(cells)``, about a kilobyte each.
        """
        stages, domain = question.stages, question.domain
        refinement = LayerwiseRefinement(stages, domain)
        mapped = stages[-1].update is not None
        cells = all_cells(refinement, question.budget, mapped=mapped)
        patterns = freeze(np.array([cell.pattern for cell in cells], dtype=np.int32))
        witnesses, inside = depth_witnesses(refinement.tables, domain, cells)
        stats = {"stages": len(stages), **refinement.inner.stats()}
        where, pieces, walls = question.where, tuple(cells), CellWalls(stages, domain)
        return RegionComplex(patterns, witnesses, inside, where, stages[-1], stats, pieces, walls)


def all_cells(
    refinement: LayerwiseRefinement, budget: Budget, *, mapped: bool, distinct: bool = False
) -> list[DepthCell]:
    """Every cell of the last stage, in lexicographic order of the patterns.

    Raises ``BudgetExceeded`` or ``Interrupted`` with ``.lower``, the cells found so far, or with
    ``distinct`` the distinct maps among them.
    """
    out: list[DepthCell] = []

    def note(found: int, left: int) -> None:
        budget.say(len(out) + found, left)

    def so_far(more: int) -> int:
        # Those of an unfinished search included; of distinct maps, finished ones only.
        return max(1, len({cell.key() for cell in out}) if distinct else len(out) + more)

    # One search may hold all cells, so each reports as well.
    noted = replace(budget, report=note)
    try:
        for cell in refinement.cells_above(len(refinement.tables) - 1, noted):
            for child in refinement.children(cell, noted, mapped):
                out.append(child)
                budget.tell(len(out), 0)
            if budget.passed(len(out)):
                raise BudgetExceeded("", 0)
    except BudgetExceeded as error:
        raise exceeded(so_far(error.lower)) from None
    except KeyboardInterrupt as error:
        raise interrupted(so_far(getattr(error, "lower", 0))) from None
    order = aside(np.lexsort, np.array([cell.pattern for cell in out], np.int32).T[::-1])
    return [out[i] for i in order.tolist()]


def kept_cells(
    refinement: LayerwiseRefinement, budget: Budget, search: Search
) -> tuple[list[DepthCell], Outcome]:
    """Every cell of the last stage with its map, as ``all_cells``, by a job; and the work done.

    Of a job that is looked at, or a part of one, those that are known. Errors carry the distinct
    maps among these.
    """
    leaves = _LeafCells(refinement, budget)
    leaves.kept = search

    def known() -> list[DepthCell]:
        try:
            return [cell_of_words(words) for found in search.results() for words in found]
        except (TypeError, ValueError, KeyError, IndexError, OverflowError):
            raise damaged("cells of the search") from None

    def maps() -> int:
        return max(1, len({cell.key() for cell in known()}))

    try:
        leaves.search()
    except BudgetExceeded:
        raise exceeded(maps()) from None
    except KeyboardInterrupt:
        raise interrupted(maps()) from None
    return sorted(known(), key=lambda cell: cell.pattern), leaves.total

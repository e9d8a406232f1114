"""The plane engine of networks: cells of ReLU and affine layers on a window of a plane (T12).

A network of two-term units is brought to *levels*: the units of one layer, each row an affine
function of the rows of the level before, and those of the first affine in the plane's parameters.
The kernel (``_kernels/relu_plane``) searches polygons depth first and counts those behind the last
level; this module rounds the network to doubles with error bounds, feeds the kernel work ranges on
a thread pool, and settles in integers each sign that the bounds leave open. A range is a polygon
with the signs that led to it, so the set of ranges does not depend on the number of threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cmp_to_key
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import relu_plane as kernel
from tropattn._kernels import relu_rows
from tropattn._types import Array
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Domain
from tropattn.polyhedra.integer_rows import Frame, Row, by_angle, strictly_feasible, tightened
from tropattn.regions.bounds.layer import layer
from tropattn.regions.budget import Budget
from tropattn.regions.jobs.database import damaged
from tropattn.regions.jobs.driver import KeptQueue, effort_of
from tropattn.regions.jobs.ledger import Range
from tropattn.regions.jobs.packing import name_of, packed, unpacked
from tropattn.regions.networks.layerwise import LayerwiseRefinement
from tropattn.regions.networks.relu_levels import is_affine, is_relu, packed_levels
from tropattn.regions.question import Engine, Found, Question
from tropattn.regions.result import RegionCount
from tropattn.regions.walls import integer_walls
from tropattn.threads import thread_count
from tropattn.tolerance import UNIT
from tropattn.tropical.affine_state import AffineState
from tropattn.tropical.integer_stage import IntegerStage
from tropattn.tropical.stage import RoutingStage

__all__ = ["ReluPlane"]


# Work (rows times corners) of a range before it hands nodes on, by generation: about 1 ms at
# first so that all threads get work early, then about 20 ms.
_BUDGETS = (1_000_000, 20_000_000)
_SLOTS = 160
_ITEMS = 128
_ROOM = 4096
_QUESTIONS = 4096


# ------------------------------------------------------------------------------------- the window


def _window(domain: Domain) -> list[Row] | None:
    """The sides of a window, counterclockwise, as integer rows < 0 inside; None if unbounded.

    Raises ``InvalidInput`` for a domain without interior.
    """
    walls = tuple(dict.fromkeys(integer_walls(domain, 3)))
    if not strictly_feasible(walls):
        raise InvalidInput(
            f"domain: a non-empty interior needed, got {domain.describe()} with none; loosen it."
        )
    sides = sorted(tightened(walls, Frame((0, 0))), key=cmp_to_key(by_angle))
    turns = zip(sides, sides[1:] + sides[:1], strict=True)
    if len(sides) < 3 or any(a[0] * b[1] - a[1] * b[0] <= 0 for a, b in turns):
        return None
    return sides


def _polygon(window: list[Row]) -> tuple[Array, Array]:
    """Sides and corners of the window for the kernel; side i is named -1 - i."""
    count = len(window)
    sides, names = np.zeros((count, relu_rows.WIDTH)), np.zeros((count, 3), np.int64)
    for i, row in enumerate(window):
        bits = max(v.bit_length() for v in row)
        if bits < 53:
            sides[i, :3] = [-v for v in row]
            sides[i, relu_rows.SIDE_GRID] = 1.0
        else:
            sides[i, :3] = [-v / (1 << bits) for v in row]
            sides[i, 3:6] = UNIT * np.abs(sides[i, :3])
        names[i] = -1 - i, -1 - (i - 1) % count, -1 - i
    for i in range(count):
        relu_rows.meet(sides, i - 1 if i else count - 1, sides, i, sides, i)
    return sides, names


# ------------------------------------------------------------------------------- signs in integers


class _Exact:
    """Signs of units at corners, in integers, for the few that doubles do not prove."""

    def __init__(
        self, stages: Sequence[RoutingStage], domain: Domain, window: list[Row], width: int
    ) -> None:
        self.window, self.width = window, width
        self.root = LayerwiseRefinement(stages[:1], domain).root.state
        self.tables = [IntegerStage(stage) for stage in stages]
        self.places = [i for i, stage in enumerate(stages) if is_relu(stage)]
        # The states along the path asked last: most questions come from one node.
        self._path: list[tuple[bytes, AffineState, list[Row]]] = []

    def sign(self, item: _Item, unit: int, corner: int) -> int:
        """The sign of a unit of the item's level at a corner of its polygon."""
        rows = self._rows(item.status)
        name = item.names[corner].tolist()
        (a, b, c), (d, e, f) = (self._line(rows, line) for line in name[1:])
        x, y, w = b * f - c * e, c * d - a * f, a * e - b * d
        row = self._unit(rows[-1], unit)
        value = row[0] * x + row[1] * y + row[2] * w
        return int((value > 0) - (value < 0)) * (1 if w > 0 else -1)

    def _line(self, rows: list[list[Row]], name: int) -> Row:
        if name < 0:
            return self.window[-1 - name]
        return self._unit(rows[name // self.width], name % self.width)

    @staticmethod
    def _unit(rows: list[Row], unit: int) -> Row:
        return tuple(b - a for a, b in zip(rows[2 * unit], rows[2 * unit + 1], strict=True))

    def _rows(self, status: Array) -> list[list[Row]]:
        """The terms of every level down to the last of ``status``."""
        state, place = self.root, 0
        for level, own in enumerate(self.places[: len(status)]):
            key = status[:level].tobytes()
            if level < len(self._path) and self._path[level][0] == key:
                state, place = self._path[level][1], own
                continue
            while place < own:
                state = self._behind(state, place, status[level - 1])
                place += 1
            self._path[level:] = [(key, state, self._terms(state, own))]
        return [rows for _, _, rows in self._path[: len(status)]]

    def _behind(self, state: AffineState, place: int, status: Array) -> AffineState:
        """The state behind one stage; ``status`` are its signs if it has ReLU units."""
        stage = self.tables[place]
        units = len(stage.stage.units)
        winners = np.zeros(units, int)
        if place in self.places:
            winners = (status[:units] == relu_rows.ON).astype(int)
        return stage.advance(state, self._terms(state, place), winners[:, None].tolist())

    def _terms(self, state: AffineState, place: int) -> list[Row]:
        stage = self.tables[place]
        return stage.rows(stage.columns(state))


# --------------------------------------------------------------------------------------- the search


@dataclass(frozen=True, slots=True, eq=False)
class _Item:
    """A work range: a polygon, the signs that led to it, and signs settled for its own level.

    ``effort`` multiplies the budget of its generation.
    """

    status: NDArray[np.int8]
    sides: Array
    names: NDArray[np.int64]
    answers: NDArray[np.int8]
    generation: int
    effort: int = 1


@dataclass(slots=True, eq=False)
class _RangeFound:
    item: _Item
    out: kernel.ReluOut
    counters: list[int]


class _Search(KeptQueue[_Item, _RangeFound]):
    """The search of a network's polygons, and its tally."""

    def __init__(
        self, stages: Sequence[RoutingStage], domain: Domain, window: list[Row], budget: Budget
    ) -> None:
        super().__init__(budget.watch)
        self.levels = packed_levels(stages, domain)
        self.window, self._exact = window, None
        width = self.levels.lines.shape[1]
        self._make_exact: Callable[[], _Exact] = lambda: _Exact(stages, domain, window, width)
        self.cells = self.nodes = self.ranges = self.exact_decisions = 0

    @classmethod
    def built(cls, *given: Any) -> Self:
        """The search of stages on a bounded window."""
        stages, domain = given
        window = _window(domain)
        assert window is not None
        return cls(stages, domain, window, Budget())

    @property
    def root(self) -> _Item:
        """The whole window."""
        width = self.levels.lines.shape[1]
        status = np.full((1, width), relu_rows.OPEN, np.int8)
        return _Item(status, *_polygon(self.window), np.zeros((0, width), np.int8), 0)

    @property
    def found(self) -> int:
        """Cells found so far."""
        return self.cells

    @property
    def tally(self) -> Counter[str]:
        names = "cells", "nodes", "ranges", "exact_decisions"
        return Counter({name: getattr(self, name) for name in names})

    def add(self, tally: Mapping[str, int]) -> None:
        for name, value in tally.items():
            setattr(self, name, getattr(self, name) + value)

    def written(self, item: _Item) -> Range:
        arrays = ("status", "sides", "names", "answers")
        data: dict[str, Any] = {name: packed(getattr(item, name)) for name in arrays}
        data["generation"] = item.generation
        return Range(name_of(data), data)

    def read(self, data: Mapping[str, Any]) -> _Item:
        depth, width = self.levels.lines.shape
        try:
            status = unpacked(data["status"], np.int8, width)
            sides = unpacked(data["sides"], np.float64, relu_rows.WIDTH)
            names = unpacked(data["names"], np.int64, 3)
            answers = unpacked(data["answers"], np.int8, width)
            generation, effort = int(data["generation"]), effort_of(data)
            item = _Item(status, sides, names, answers, generation, effort)
        except (TypeError, ValueError, KeyError, OverflowError):
            raise damaged("a range of the search") from None
        sound = (
            1 <= len(status) <= depth
            and 3 <= len(sides) == len(names)
            and len(answers) in (0, len(sides))
            and names.min() >= -len(self.window)
            and names.max() < len(status) * width
            and item.generation >= 0
            and np.isin(status, (relu_rows.OFF, relu_rows.ON, relu_rows.OPEN)).all()
        )
        if not sound:
            raise damaged("a range of the search")
        return item

    def work(self, item: _Item) -> _RangeFound:
        """Search one polygon until the budget of its generation is spent."""
        depth, width = self.levels.lines.shape
        slots = _SLOTS + 2 * depth
        room = max(_ROOM, 8 * len(item.sides) + 64)
        items = slots + _ITEMS
        out = kernel.ReluOut(
            np.empty(items, np.int64),
            np.zeros((items, depth, width), np.int8),
            np.empty(items + 1, np.int64),
            np.empty(items, np.bool_),
            np.empty((3 * room, relu_rows.WIDTH)),
            np.empty((3 * room, 3), np.int64),
            np.empty((_QUESTIONS, 3), np.int64),
        )
        counters = np.zeros(kernel.N_COUNTERS, np.int64)
        kernel.search(
            self.levels,
            kernel.PolygonItem(item.status, item.sides, item.names, item.answers),
            kernel.make_space(self.levels, slots, room, _QUESTIONS),
            item.effort * _BUDGETS[min(item.generation, len(_BUDGETS) - 1)],
            out,
            counters,
            self.stop,
        )
        return _RangeFound(item, out, counters.tolist())

    def collect(self, result: _RangeFound) -> list[_Item]:
        """Add up what a range found; the polygons that it gives back are ranges of their own."""
        out, counters, left = result.out, result.counters, list[_Item]()
        self.cells += counters[kernel.CELLS]
        self.nodes += counters[kernel.NODES]
        self.ranges += 1
        asked = out.questions[: counters[kernel.ASKED]]
        for i in range(counters[kernel.GIVEN]):
            rows = slice(int(out.start[i]), int(out.start[i + 1]))
            item = _Item(
                out.status[i, : int(out.level[i]) + 1].copy(),
                out.sides[rows].copy(),
                out.names[rows].copy(),
                result.item.answers if out.root[i] else result.item.answers[:0],
                result.item.generation + 1,
            )
            questions = asked[asked[:, 0] == i, 1:]
            left.append(self._answered(item, questions) if len(questions) else item)
        return left

    def _answered(self, item: _Item, questions: Array) -> _Item:
        """The item with the signs it asks for, settled in integers."""
        if self._exact is None:
            self._exact = self._make_exact()
        answers = item.answers
        if not len(answers):
            shape = len(item.sides), self.levels.lines.shape[1]
            answers = np.full(shape, relu_rows.UNKNOWN, np.int8)
        for unit, corner in questions.tolist():
            answers[corner, unit] = self._exact.sign(item, unit, corner)
        self.exact_decisions += len(questions)
        return replace(item, answers=answers)


class ReluPlane(Engine):
    """Cells of a network of ReLU and affine layers on a bounded window of a plane (theory T12).

    For layers of n units: O(n) operations per cell, O(n^2) per cell of all but the last two layers.
    Memory does not grow with the number of cells.

    >>> from tropattn.polyhedra.domain import Box
    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> from tropattn.tropical.stage import Scores
    >>> units = tuple(TropicalPolynomial([[0, 0], w]) for w in ([1, 0], [0, 1], [1, 1]))
    >>> relu = RoutingStage(units, Scores(np.eye(3), np.zeros(3), False))
    >>> question = Question((relu,), Box([-1, -1], [1, 1]))
    >>> ReluPlane().count(question).value           # three lines through a point
    6
    """

    name, ranges = "plane", True
    kinds = ("network", "layer")
    where = "networks of ReLU and affine layers on a bounded window of a plane"
    idea = "polygons cut unit by unit (T12); neighbours differ by one row ([depth](depth.md))"
    cost = "`O(n)` per cell, `O(n^2)` per cell of all but the last two layers"
    otherwise = "single signs are settled in integers"

    def refuses(self, question: Question) -> str | None:
        """Another kind of layer, another domain, or a certificate."""
        stages, domain = question.stages, question.domain
        if (
            question.proof is None
            and domain is not None
            and (domain.dim, domain.ambient_dim) == (2, stages[0].dim)
            and any(is_relu(stage) for stage in stages)
            and all(is_relu(stage) or is_affine(stage) for stage in stages)
            and _window(domain) is not None
        ):
            return None
        return (
            "engine: a network of ReLU and affine layers on a bounded window of a plane needed "
            "for 'plane', got another; use engine='auto'."
        )

    def count(self, question: Question) -> Found:
        """The number of cells."""
        stages, domain, budget = question.stages, question.domain, question.budget
        assert domain is not None
        window = _window(domain)
        assert window is not None
        search = _Search(stages, domain, window, budget)
        search.kept = question.search("ReLU plane", stages)
        search.run([search.root], thread_count(budget.threads))
        # Every layer cuts a piece of a plane at most as n lines do (T14 with T6 in dimension 2).
        above = prod(layer([2] * int(n), 2).value for n in search.levels.relu)
        bound = RegionCount(above, "upper", "cells", question.where, "T14")
        names = "nodes", "ranges", "exact_decisions"
        stats = {"stages": len(stages), **{name: getattr(search, name) for name in names}}
        return Found(search.cells, stats, self.name, bound)

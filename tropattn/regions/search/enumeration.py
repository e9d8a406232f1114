"""The enumeration engine: all cells of a common refinement, in any dimension, each one proved.

The search itself is a kernel (``_kernels/search``); this module feeds it work ranges from a queue
to a thread pool, settles in rationals what doubles leave open, and stops cleanly on a limit or on
Ctrl-C. A range is a path from the root and a budget, so the set of ranges, and with it every
number, does not depend on the number of threads. It can be written down, so that a ledger can keep
the search (``regions/jobs``).
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import flint
import numpy as np

from tropattn._kernels import search
from tropattn._kernels.system import System, make_fine, make_space
from tropattn._types import Array
from tropattn.arrays import freeze
from tropattn.polyhedra.cone import as_doubles
from tropattn.regions.budget import Budget
from tropattn.regions.certificates import Chunk, GroupWriter, path_pairs
from tropattn.regions.complex import RegionComplex
from tropattn.regions.jobs.cells import CellFolder
from tropattn.regions.jobs.database import damaged
from tropattn.regions.jobs.driver import KeptQueue, Search, effort_of
from tropattn.regions.jobs.ledger import Range
from tropattn.regions.question import Engine, Found, Question
from tropattn.regions.walls import CellWalls
from tropattn.threads import aside, interrupted, thread_count
from tropattn.tropical.refinement import Refinement
from tropattn.tropical.stage import RoutingStage
from tropattn.tropical.witness import inner_points

__all__ = ["Enumeration", "Outcome", "WorkRange", "explore"]


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
        names = "nodes", "programs", "pivots", "exact_decisions"
        return {name: getattr(self, name) for name in names}

    def count(self, other: Outcome) -> None:
        """Add the cells and the work of another search."""
        self.cells += other.cells
        self.add(other)

    def add(self, other: Outcome) -> None:
        """Add the work of another search."""
        for name, value in other.stats().items():
            setattr(self, name, getattr(self, name) + value)


@dataclass(frozen=True, slots=True)
class WorkRange:
    """A subtree: its path from the root, a point in it, and whether doubles prove the point.

    The point ``z`` (2, D) is a sum of two doubles, the second one 0 but in slivers; ``alive`` (n,)
    marks the candidates above it, where they are handed down; ``fine``: doubles left keys open in
    the range that it is a part of, so it is searched at twice the precision at once. ``effort``
    multiplies the budget.
    """

    path: Array
    z: Array
    proved: bool
    generation: int
    exact_point: tuple[Any, ...] | None = None
    alive: Array = field(default_factory=lambda: np.zeros(0, np.bool_))
    fine: bool = False
    effort: int = 1


@dataclass(slots=True)
class _Found:
    """The buffers of one range, as the kernel filled them."""

    item: WorkRange
    fine: bool
    counters: Array
    patterns: Array
    points: Array
    deferred: Array
    rest: Array
    rest_points: Array
    rest_level: Array
    candidates: Array
    log: Array
    written: dict[str, Any] | None = None


def explore(
    refinement: Refinement,
    budget: Budget,
    *,
    emit: bool = False,
    certificate: GroupWriter | None = None,
    kept: Search | None = None,
    files: _CellFiles | None = None,
) -> Outcome:
    """Count (and with ``emit`` list) the cells of a refinement, depth first.

    ``certificate`` takes every step instead of the outcome; ``kept`` is the search of a job that
    keeps its ranges, ``files`` what takes the cells of these. The budget is told of cells and of
    the ranges left. Memory without ``emit`` depends on heads and keys, not on the number of cells.

    Raises
    ------
    InvalidInput : the domain has no interior.
    BudgetExceeded, Interrupted : with ``.lower``, the cells found so far.
    """
    outcome = Outcome()
    z, _, exact_point = refinement.interior
    if len(refinement.starts) - 1 == len(refinement.terms):
        # No head has two different keys: one cell.
        outcome.cells = 1
        outcome.patterns.append(refinement.starts[None, :-1].astype(np.int32))
        outcome.points.append(z[None, :])
        if certificate is not None:
            certificate.add_single(z, exact_point)
        if files is not None:
            files.write("", outcome)
        return outcome
    writer = certificate
    if kept is not None and kept.job.order.steps:
        writer = GroupWriter(Chunk(), refinement)
    driver = _Driver(refinement, outcome, emit or files is not None, budget, writer)
    driver.kept, driver.files = kept, files
    driver.run([driver.root], thread_count(budget.threads))
    if kept is not None and certificate is not None:
        # Ranges stand behind those that left them, as the checker wants them.
        for found in kept.results():
            certificate.file.add(_steps(kept, found))
    return outcome


def _steps(kept: Search, found: dict[str, Any]) -> str:
    try:
        return Chunk.read(found["steps"])
    except (ValueError, KeyError, TypeError):
        raise damaged(kept.job.ledger.path, "steps that are none") from None


def _cells_of(found: _Found) -> Outcome:
    """The cells of one range."""
    cells = int(found.counters[search.CELLS])
    patterns, points = found.patterns[:cells].copy(), found.points[:cells, 0].copy()
    return Outcome(cells, [patterns], [points])


def _numbers(path: Array) -> list[int]:
    """A path as one list: head, key, head, key, ..."""
    return [v for pair in path_pairs(path) for v in pair]


def _name(numbers: list[int]) -> str:
    """The name of the range at the end of a path."""
    return " ".join(map(str, numbers))


def _high(z: Array) -> Array:
    """A point as a sum of two doubles."""
    return np.stack([z, np.zeros_like(z)])


def _system(refinement: Refinement) -> dict[str, Array]:
    """The fields of the kernel's ``System``."""
    spans, ranks = refinement.spans
    return {
        "terms": refinement.terms,
        "errors": refinement.errors,
        "sizes": np.abs(refinement.terms).max(axis=1, initial=0.0),
        "starts": refinement.starts,
        "walls": refinement.walls,
        "wall_rho": refinement.wall_rho,
        "integers": refinement.integers,
        "wall_integers": refinement.wall_integers,
        "unit_of": np.repeat(np.arange(len(refinement.units)), np.diff(refinement.starts)),
        "everywhere": np.arange(refinement.rank),
        "spans": spans,
        "ranks": ranks,
    }


class _CellFiles:
    """The cells of a search in a folder, a file a range: on the disk before the range is done.

    A range that is searched again writes the same file again.
    """

    def __init__(self, folder: str, question: Question) -> None:
        self.folder, self.question = CellFolder(folder), question

    def write(self, name: str, outcome: Outcome) -> dict[str, Any]:
        """Write patterns (m, H) and witnesses (m, d); the file's name and digest."""
        patterns, witnesses, inside = _sorted(outcome, self.question)
        packed = io.BytesIO()
        np.savez(packed, patterns=patterns, witnesses=witnesses, inside=inside)
        return self.folder.write(name, packed.getbuffer())


class _Driver(KeptQueue[WorkRange, "_Found"]):
    """One search of a refinement, and its tally; of a job with ``files`` these take the cells."""

    files: _CellFiles | None = None

    def __init__(
        self,
        refinement: Refinement,
        outcome: Outcome,
        emit: bool,
        budget: Budget,
        certificate: GroupWriter | None,
    ) -> None:
        super().__init__(budget.watch)
        self.refinement = refinement
        self.system = _system(refinement)
        self.outcome = outcome
        self.emit = emit or certificate is not None
        self.certificate = certificate

    @classmethod
    def built(cls, *given: Any) -> Self:
        """A search of heads, with the folder of its cells or None, and whether it keeps steps."""
        units, folder, stepwise, domain = given
        question = Question((RoutingStage(units),), domain)
        refinement = question.whole if stepwise else question.refinement
        writer = GroupWriter(Chunk(), refinement) if stepwise else None
        search = cls(refinement, Outcome(), folder is not None, Budget(), writer)
        search.files = None if folder is None else _CellFiles(folder, question)
        return search

    @property
    def root(self) -> WorkRange:
        """The whole search."""
        z, proved, exact_point = self.refinement.interior
        path = np.full(2 * len(self.refinement.units), -1, np.int32)
        return WorkRange(path, _high(z), proved, 0, exact_point)

    @property
    def found(self) -> int:
        """Cells found so far."""
        return self.outcome.cells

    @property
    def tally(self) -> Counter[str]:
        return Counter(cells=self.outcome.cells, **self.outcome.stats())

    def add(self, tally: Mapping[str, int]) -> None:
        for name, value in tally.items():
            setattr(self.outcome, name, getattr(self.outcome, name) + value)

    def written(self, item: WorkRange) -> Range:
        path = _numbers(item.path)
        data: dict[str, Any] = {"path": path, "generation": item.generation}
        if item.exact_point is None:
            data["z"] = item.z.tolist() if item.z[1].any() else item.z[:1].tolist()
            data["proved"] = item.proved
        else:
            # Of an exact point the doubles are a rounding.
            data["point"] = [f"{int(v.p):x}/{int(v.q):x}" for v in item.exact_point]
        if len(item.alive):
            data["alive"] = np.packbits(item.alive).tobytes().hex()
        if item.fine:
            data["fine"] = True
        return Range(_name(path), data)

    def read(self, data: Mapping[str, Any]) -> WorkRange:
        try:
            return self._read(data)
        except (TypeError, ValueError, LookupError, ArithmeticError):
            raise damaged("a range of the search") from None

    def _read(self, data: Mapping[str, Any]) -> WorkRange:
        n, dim = self.refinement.terms.shape
        starts, given = self.refinement.starts, np.array(data["path"], np.int64).reshape(-1, 2)
        units = given[:, 0]
        inside = (units >= 0) & (units < len(starts) - 1)
        inside[inside] &= (given[inside, 1] >= starts[units[inside]]) & (
            given[inside, 1] < starts[units[inside] + 1]
        )
        if not inside.all() or len(set(units.tolist())) < len(units):
            raise ValueError
        path = np.full(2 * (len(starts) - 1), -1, np.int32)
        path[: given.size] = given.ravel()
        point, z = None, np.zeros((2, dim))
        if "point" in data:
            halves = [[int(v, 16) for v in text.split("/")] for text in data["point"]]
            point = tuple(flint.fmpq(p, q) for p, q in halves)
            z[0] = as_doubles(point)
        else:
            rows = np.array(data["z"], np.float64)
            z[: len(rows)] = rows
        packed = np.frombuffer(bytes.fromhex(data.get("alive", "")), np.uint8)
        alive = np.unpackbits(packed, count=n if len(packed) else 0).astype(np.bool_)
        if not np.isfinite(z).all() or len(packed) not in (0, -(-n // 8)):
            raise ValueError
        proved = point is None and bool(data["proved"])
        fine, generation = bool(data.get("fine", False)), int(data["generation"])
        if generation < 0:
            raise ValueError
        return WorkRange(path, z, proved, generation, point, alive, fine, effort_of(data))

    def work(self, item: WorkRange) -> _Found:
        # Twice the precision costs time and its own compilation: only where doubles do not decide.
        found = self._search(item, item.fine)
        if found.counters[search.DEFERRED] and not item.fine:
            found = self._search(item, True)
        if self.files is not None and found.counters[search.CELLS]:
            found.written = self.files.write(_name(_numbers(item.path)), _cells_of(found))
        return found

    def result(self, result: _Found) -> dict[str, Any] | None:
        found = result.written or {}
        if self.certificate is not None and isinstance(self.certificate.file, Chunk):
            found |= {"steps": self.certificate.file.taken()}
        return found or None

    def _search(self, item: WorkRange, fine: bool) -> _Found:
        heads, (n, dim) = len(self.refinement.units), self.refinement.terms.shape
        widest = int(np.diff(self.refinement.starts).max())
        room = max(_BLOCK, 4 * widest) if self.emit else 0
        logged = max(_LOG, 4 * n * (2 * dim + 6)) if self.certificate is not None else 0
        deferred = max(_DEFERRED, 4 * widest)
        buffers = search.make_buffers(heads, n, dim, room, deferred, logged)
        starts, walls = self.refinement.starts, self.refinement.walls
        search.search(
            System(**self.system),
            make_space(starts, len(walls), dim),
            make_fine(starts, *self.refinement.fine) if fine else None,
            search.Out(emit=self.emit, **buffers),
            item.path,
            item.z,
            item.proved,
            item.alive,
            item.effort * _BUDGETS[min(item.generation, len(_BUDGETS) - 1)],
            self.stop,
        )
        return _Found(item, fine, **buffers)

    def collect(self, result: _Found) -> list[WorkRange]:
        """Add up what a range found; what is left of it are ranges of their own."""
        counters = [int(c) for c in result.counters]
        cells = counters[search.CELLS]
        outcome = self.outcome
        outcome.cells += cells
        outcome.pivots += counters[search.PIVOTS]
        outcome.programs += counters[search.PROGRAMS]
        outcome.nodes += counters[search.NODES]
        if self.certificate is not None:
            self.certificate.add_range(result, counters)
        elif self.emit and self.files is None and cells:
            own = _cells_of(result)
            outcome.patterns += own.patterns
            outcome.points += own.points
        generation, left = result.item.generation + 1, list[WorkRange]()
        for i in range(counters[search.REST]):
            path, z = result.rest[i].copy(), result.rest_points[i].copy()
            if self.certificate is not None:
                # A range's log tells all its discards, those above it too.
                left.append(WorkRange(path, z, True, generation, fine=result.fine))
            else:
                alive = result.candidates[result.rest_level[i]]
                left.append(WorkRange(path, z, True, generation, None, alive, result.fine))
        for i in range(counters[search.DEFERRED]):
            left += self._settle(result.deferred[i].copy(), generation)
        return left

    def _settle(self, path: Array, generation: int) -> list[WorkRange]:
        """Decide one ambiguous branch in rationals; a live one becomes a range of its own."""
        pairs = path_pairs(path)
        self.outcome.exact_decisions += 1
        verdict = self.refinement.verdict(pairs)
        if verdict.point is None:
            if self.certificate is not None:
                self.certificate.add_settled(pairs, verdict)
            return []
        point = verdict.point
        return [WorkRange(path, _high(as_doubles(point)), False, generation, point, fine=True)]


class Enumeration(Engine):
    """Every cell, whatever the heads and the domain (theory T5)."""

    name, lists, ranges, files = "enumeration", True, True, True
    where = "any dimension, any domain"
    idea = "depth first, one head after another, a point or a Farkas basis for every decision (T5)"
    cost = "a few small programs per cell"
    otherwise = "ambiguous decisions are settled in rationals"

    def count(self, question: Question) -> Found:
        """The number of cells; a certificate takes every step."""
        refinement, writer = question.refinement, None
        if question.proof is not None:
            heads = question.heads or range(len(question.stages[0].units))
            writer = GroupWriter.begun(question.proof, refinement, heads)
        heads = question.heads or ()
        folder = None if question.job is None else question.job.folder
        files = None if folder is None else _CellFiles(folder, question)
        name, units = " ".join([self.name, *map(str, heads)]), question.stages[0].units
        kept = question.search(name, units, folder, question.stepwise)
        outcome = explore(refinement, question.budget, certificate=writer, kept=kept, files=files)
        return Found(outcome.cells, {**question.reduced, **outcome.stats()}, self.name)

    def cells(self, question: Question) -> RegionComplex:
        """All cells, in lexicographic order of their patterns."""
        outcome = explore(question.refinement, question.budget, emit=True)
        try:
            patterns, witnesses, inside = aside(_sorted, outcome, question)
        except KeyboardInterrupt:
            raise interrupted(outcome.cells) from None
        stats = {**question.reduced, **outcome.stats()}
        stage = question.stages[0]
        walls = CellWalls(question.stages, question.domain)
        where = question.where
        return RegionComplex(patterns, witnesses, inside, where, stage, stats, walls=walls)


def _sorted(outcome: Outcome, question: Question) -> tuple[Array, Array, Array]:
    """Patterns in lexicographic order, a witness of each, and whether it is proved inside.

    The heads that differ were searched; their twins are in ``whole``, in the same columns.
    """
    rows, z = np.vstack(outcome.patterns), np.vstack(outcome.points)
    patterns = question.refinement.of_all_heads(question.refinement.pattern(rows))
    order = np.lexsort(patterns.T[::-1])
    patterns = patterns[order]
    rows = question.whole.rows_of(patterns)
    units = question.stages[0].units
    witnesses, inside = inner_points(units, question.whole, rows, z[order])
    return freeze(patterns), witnesses, inside

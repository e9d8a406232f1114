"""A search whose ranges are kept in a ledger: what is done is not done again.

An engine that searches in ranges is a ``KeptQueue``: beside its work it says how a range is named
and written down. Where the count is no job it is the work queue that it always was.
"""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from tropattn.errors import BudgetExceeded, InvalidInput
from tropattn.outputs import output_folder
from tropattn.regions.jobs.cells import CellFolder
from tropattn.regions.jobs.database import damaged
from tropattn.regions.jobs.digest import digest_of
from tropattn.regions.jobs.ledger import Ledger, Range, Told
from tropattn.regions.jobs.survey import Survey, surveyed
from tropattn.regions.jobs.workers import Crew
from tropattn.threads import Pool, WorkQueue

__all__ = ["Job", "KeptQueue", "Order", "PartDone", "Search", "effort_of"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOG = logging.getLogger("tropattn")

_STEP, _MOST_EFFORT = 100, 200
"""Ranges done by which the effort of new ones grows, and the most: then some 20 s each."""

_FEW, _MANY = 2, 10
"""Waiting ranges a worker below which new ones are small, and above which they grow."""

_PAUSE = 0.25
"""Seconds between two commits: ranges done in between are written together, for each commit waits
for the disk."""


class PartDone(BudgetExceeded):
    """A part of a job is done, as it was to be: a lower bound, and no count."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller wants of a job.

    Attributes
    ----------
    path : the ledger, made where there is none.
    about : words that are kept in it, by name, such as the settings of a command.
    workers : processes on this machine, None for threads of this process.
    scheduler : the address of a Dask scheduler, or None.
    cells : a folder that takes the cells, a file a range, or None.
    steps : whether the steps of a certificate are kept.
    """

    path: str | Path
    about: Mapping[str, str] | None = None
    workers: int | None = None
    scheduler: str | None = None
    cells: str | None = None
    steps: bool = False

    def digest(self, question: tuple[Any, ...]) -> str:
        """What the job is about; one with cells or steps is none without them."""
        more = {"cells": self.cells is not None, "steps": self.steps}
        return digest_of(*question, *(name for name, kept in more.items() if kept))

    def begun(self, question: tuple[Any, ...]) -> Job:
        """The job, new or gone on with; ``question`` is all that its numbers depend on."""
        about = {**(self.about or {}), "digest": self.digest(question)}
        folder = None if self.cells is None else CellFolder(output_folder(self.cells, "cells"))
        known = Path(self.path).is_file()
        if folder is not None and not known:
            folder.check_new()
        try:
            ledger = Ledger.opened(self.path, about)
        except InvalidInput:
            if known:
                self._check_options(question, about["digest"])
            raise
        if folder is not None:
            try:
                folder.take(ledger)
            except BaseException:
                ledger.close()
                raise
        return Job(self, ledger)

    def _check_options(self, question: tuple[Any, ...], digest: str) -> None:
        """Raise ``InvalidInput`` where cells or steps are all that differs."""
        with Ledger.looked_at(self.path) as ledger:
            begun = ledger.about()["digest"]
        if begun == digest:
            return
        for cells, steps in product((None, "cells"), (False, True)):
            if replace(self, cells=cells, steps=steps).digest(question) == begun:
                words = f"{'with' if cells else 'without'} cells and "
                words += f"{'with' if steps else 'without'} a certificate"
                raise InvalidInput(
                    f"job: what it was begun with needed, got {self.path}, begun {words}; ask for "
                    "these again, or begin another file."
                )


@dataclass(frozen=True, slots=True)
class Job:
    """A count under way: its order, its ledger, and where it is only looked at, what is seen."""

    order: Order
    ledger: Ledger
    surveys: list[Survey] | None = None

    @classmethod
    def looked_at(cls, order: Order, question: tuple[Any, ...]) -> Job:
        """The job without work: its searches are surveyed, and count what is found by now."""
        return cls(order, Ledger.looked_at(order.path, order.digest(question)), [])

    @property
    def folder(self) -> str | None:
        """The folder that takes the cells; None also where nothing is worked on."""
        return self.order.cells if self.surveys is None else None

    @property
    def whole(self) -> bool:
        """Whether its searches end with all that there is: neither looked at only, nor a part."""
        return self.surveys is None and "part" not in self.ledger.about()

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()


@dataclass(frozen=True, slots=True)
class Search:
    """One search of a job: its name there, and the arguments from which a worker builds it."""

    job: Job
    name: str
    given: tuple[Any, ...]

    def results(self) -> Iterator[Any]:
        """What is kept of its ranges beside numbers, each behind the one that left it."""
        number = self.job.ledger.known(self.name)
        rows = () if number is None else self.job.ledger.results(number)
        return (found for _, found in rows)


def effort_of(data: Mapping[str, Any]) -> int:
    """The factor of a range's budget; ``ValueError`` where it is none."""
    effort = data.get("effort", 1)
    if type(effort) is not int or not 0 <= effort <= _MOST_EFFORT:
        raise ValueError
    return effort


class KeptQueue(WorkQueue[Item, Result], Generic[Item, Result]):
    """A work queue whose ranges can be kept in a ledger, by the name ``merge`` of their sum.

    Of a job the queue holds ranges as the ledger does, and who works on one reads it. Their data
    may have an ``effort``, by which the budget of a range is multiplied: it grows with the ranges
    that are done, so that long searches have few of them, while many wait; while few wait it is
    least, so that no worker is without one for long.
    """

    merge = "sum"
    kept: Search | None = None
    _hands = 1

    @classmethod
    @abstractmethod
    def built(cls, *given: Any) -> Self:
        """The search of the arguments that a ``Search`` carries."""

    @property
    @abstractmethod
    def tally(self) -> Counter[str]:
        """Numbers that are added up over the ranges, ``cells`` among them."""

    @abstractmethod
    def add(self, tally: Mapping[str, int]) -> None:
        """Add up what ranges found elsewhere or before."""

    @abstractmethod
    def written(self, item: Item) -> Range:
        """A range as the ledger holds it."""

    @abstractmethod
    def read(self, data: Mapping[str, Any]) -> Item:
        """The range again."""

    def run(self, items: Iterable[Item], threads: int) -> None:
        """Work until nothing is left; of a job that is looked at, estimate what is left."""
        if self.kept is None or self.kept.job.surveys is None:
            super().run(items, threads)
            return
        ledger, name = self.kept.job.ledger, self.kept.name
        number = ledger.known(name)
        if number is None:
            left = [self.written(item) for item in items]
        else:
            self.add(ledger.tally(number))
            left = ledger.open_ranges(number)
        probed = type(self).built(*self.kept.given)
        self.kept.job.surveys.append(surveyed(name, self.tally["cells"], probed, left))

    def begin(self, items: Iterable[Item]) -> Iterable[Any]:
        """The ranges that are open; what the others found is added up."""
        if self.kept is None:
            return items
        ledger, name = self.kept.job.ledger, self.kept.name
        self._number = ledger.search(name, self.merge, [self.written(item) for item in items])
        found, left = ledger.tally(self._number), ledger.open_ranges(self._number)
        self._done = ledger.done(self._number)
        if any(self.written(self.read(entry.data)).path != entry.path for entry in left):
            raise damaged(ledger.path, "a range goes by another's name")
        if found:
            self.add(found)
            _LOG.info("%s: %s: resumed with %d open ranges", ledger.path, name, len(left))
        waiting: list[Any] = left
        self.waiting = waiting
        return ()

    def pool(self, threads: int) -> Pool:
        """Threads of this process, or the workers of the job."""
        if self.kept is None:
            return super().pool(threads)
        order = self.kept.job.order
        search = type(self), self.kept.given
        if order.workers is not None:
            pool = Crew(order.workers, search, self.stop)
        elif order.scheduler is not None:
            from tropattn.regions.jobs.cluster import Cluster

            pool = Cluster(order.scheduler, search, self.stop)
        else:
            pool = super().pool(threads)
        self._hands = pool.threads
        return pool

    def task(self, item: Any) -> Any:
        """The work on a range, and of a job the seconds that it took."""
        return self.work(item) if self.kept is None else self._timed(item.data)

    def _timed(self, data: Mapping[str, Any]) -> tuple[Result, float]:
        started = time.perf_counter()
        return self.work(self.read(data)), time.perf_counter() - started

    def taken(self, item: Any, result: Any) -> list[Any]:
        """Take what came of a range, and note it before anything that it left."""
        if self.kept is None:
            return self.collect(result)
        if isinstance(result, Told):
            told = result
            self.add(told.tally)
        else:
            told = self._told(*result)
        self._done += 1
        effort = self._effort(item.data)
        if effort > 1:
            grown = [Range(entry.path, {**entry.data, "effort": effort}) for entry in told.left]
            told = replace(told, left=grown)
        self.kept.job.ledger.finish(self._number, item.path, told)
        return [*told.left]

    def _effort(self, data: Mapping[str, Any]) -> int:
        """The effort of the ranges that one leaves."""
        waiting, most = len(self.waiting), min(_MOST_EFFORT, self._done // _STEP)
        if waiting < _FEW * self._hands:
            return 1
        return most if waiting > _MANY * self._hands else min(most, effort_of(data))

    def _told(self, result: Result, seconds: float) -> Told:
        """What came of a range, as plain values; it is added up here."""
        before = self.tally
        left = [self.written(item) for item in self.collect(result)]
        found = {name: value - before[name] for name, value in self.tally.items()}
        return Told(found, left, "", seconds, self.result(result))

    def result(self, result: Result) -> Any:
        """What is kept of a range beside its numbers, a JSON value, or None."""
        return None

    def answer(self, data: Mapping[str, Any]) -> Told:
        """What comes of a range that was written down, worked on here."""
        return self._told(*self._timed(data))

    def _tell(self) -> None:
        if self.kept is not None:
            self.kept.job.ledger.commit(_PAUSE)
        super()._tell()

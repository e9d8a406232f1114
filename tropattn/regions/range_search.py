"""A search in work ranges: a queue, a thread pool, a limit, and a clean end on Ctrl-C.

What a range is, and what comes out of it, is the affair of the engine. A range may put others into
the queue; the set of ranges, and with it every number, must not depend on the number of threads.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

import numpy as np

from tropattn.errors import BudgetExceeded, Interrupted

__all__ = ["RangeSearch", "Report"]

Item = TypeVar("Item")
Found = TypeVar("Found")

Report = Callable[[int, int], None]
"""Takes the cells so far and the ranges left, a few times a second."""


class RangeSearch(ABC, Generic[Item, Found]):
    """One search. Kernels poll ``stop[0]``, which is set where the search ends early."""

    def __init__(self, max_cells: int | None, report: Report | None) -> None:
        self.max_cells, self.report = max_cells, report
        self.stop = np.zeros(1, np.int64)
        self.queue: list[Item] = []

    @property
    @abstractmethod
    def cells(self) -> int:
        """Cells found so far."""

    @abstractmethod
    def work(self, item: Item) -> Found:
        """Search one range; runs on the pool."""

    @abstractmethod
    def collect(self, found: Found) -> None:
        """Add up what a range found and put what is left of it into the queue."""

    def run(self, root: Item, threads: int) -> None:
        """Work until the queue is empty.

        Raises ``BudgetExceeded`` beyond ``max_cells`` and ``Interrupted`` on Ctrl-C, both with
        ``.lower``; ``MemoryError`` with ``.found``.
        """
        self.queue.append(root)
        last = time.monotonic()
        try:
            for found in self._finished(threads):
                self.collect(found)
                if self.max_cells is not None and self.cells > self.max_cells:
                    raise BudgetExceeded(
                        f"max_cells: at most {self.max_cells} cells allowed, more than that "
                        "found; raise max_cells, or use the bound or the sampler.",
                        self.cells,
                    )
                if self.report is not None and time.monotonic() - last > 0.25:
                    last = time.monotonic()
                    self.report(self.cells, len(self.queue))
        except MemoryError as error:
            error.found = self.cells  # type: ignore[attr-defined]
            raise
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted: at least {self.cells} cells were found before the stop.",
                self.cells,
            ) from None

    def _finished(self, threads: int) -> Iterator[Found]:
        """Results of ranges as they come; the consumer refills the queue.

        The newest range goes first: the queue stays as short as the search is deep.
        """
        if threads == 1:
            while self.queue:
                yield self.work(self.queue.pop())
            return
        running: set[Future[Found]] = set()
        with ThreadPoolExecutor(threads) as pool:
            try:
                while self.queue or running:
                    while self.queue and len(running) < 2 * threads:
                        running.add(pool.submit(self.work, self.queue.pop()))
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
            finally:
                # Reached early on a limit or Ctrl-C: the kernels poll this flag.
                self.stop[0] = 1
                for future in running:
                    future.cancel()

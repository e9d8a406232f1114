"""A search in work ranges: a queue, a pool, a limit, and a clean end on Ctrl-C.

What a range is, and what comes out of it, is the affair of the engine. A range may put others into
the queue; the set of ranges, and with it every number, must not depend on the number of threads.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from tropattn.errors import BudgetExceeded
from tropattn.threads import Pool, interrupted

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

        Raises ``BudgetExceeded`` beyond ``max_cells`` and ``Interrupted`` when stopped, both with
        ``.lower``; ``MemoryError`` with ``.found``.
        """
        self.queue.append(root)
        last = time.monotonic()
        try:
            with Pool(threads, self.stop) as pool:
                while self.queue or pool.busy:
                    # The newest range goes first: the queue stays as short as the search is deep.
                    while self.queue and pool.busy < 2 * threads:
                        pool.submit(self.work, self.queue.pop())
                    _, found, error = pool.result()
                    if error is not None:
                        raise error
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
            # A domain with interior has a cell, found or not.
            raise interrupted(max(1, self.cells)) from None

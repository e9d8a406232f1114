"""``Budget``: what a count may take, and who hears of it on the way."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tropattn.errors import BudgetExceeded, InvalidInput
from tropattn.threads import thread_count

__all__ = ["Budget", "Report", "exceeded", "out_of_memory"]

Report = Callable[[int, int], None]
"""Takes the cells so far and what is left to do, a few times a second."""

_PAUSE = 0.25
"""Seconds between two reports."""

_INSTEAD = "or use the bound or the sampler"


@dataclass(slots=True)
class Budget:
    """Limits of one count: cells (None for no limit), worker threads (None for all), a report."""

    max_cells: int | None = None
    threads: int | None = None
    report: Report | None = None
    _told: float = field(default_factory=lambda: time.monotonic(), init=False)

    @classmethod
    def checked(cls, max_cells: Any, threads: Any) -> Budget:
        """Limits as a caller gave them.

        >>> Budget.checked(0, None)
        Traceback (most recent call last):
        ...
        tropattn.errors.InvalidInput: max_cells: an integer >= 1 needed, got 0; leave it out for \
the default.
        """
        limit = max_cells
        if max_cells is not None:
            try:
                limit = operator.index(max_cells)
            except TypeError:
                limit = 0
            if isinstance(max_cells, bool) or limit < 1:
                raise InvalidInput(
                    f"max_cells: an integer >= 1 needed, got {max_cells!r}; leave it out for the "
                    "default."
                )
        thread_count(threads)
        return cls(limit, threads)

    def passed(self, found: int) -> bool:
        """Whether so many cells are more than allowed."""
        return self.max_cells is not None and found > self.max_cells

    def check(self, found: int) -> None:
        """Raise ``BudgetExceeded`` where a count that is done at once is above the limit.

        >>> Budget(5).check(5)
        """
        if self.passed(found):
            raise BudgetExceeded(
                f"max_cells: at most {self.max_cells} cells allowed, {found} found; raise "
                "max_cells.",
                found,
            )

    def limit(self, found: int, instead: str = _INSTEAD) -> None:
        """Raise ``BudgetExceeded`` where a count that is not done yet is above the limit."""
        if self.passed(found):
            raise BudgetExceeded(
                f"max_cells: at most {self.max_cells} cells allowed, more than that found; raise "
                f"max_cells, {instead}.",
                found,
            )

    def watch(self, found: int, left: int) -> None:
        """``limit``, then ``tell``: after each item of a search."""
        self.limit(found)
        self.tell(found, left)

    def tell(self, found: int, left: int) -> None:
        """Report, unless that was done a moment ago."""
        if time.monotonic() - self._told > _PAUSE:
            self._told = time.monotonic()
            self.say(found, left)

    def say(self, found: int, left: int) -> None:
        """Report now, if anyone listens: after each of few and long pieces of work."""
        if self.report is not None:
            self.report(found, left)


def exceeded(found: int, noun: str = "cells") -> BudgetExceeded:
    """What layers raise beyond the limit: each of them had found as many at least."""
    instead = f", {_INSTEAD}" if noun == "cells" else ""
    return BudgetExceeded(
        f"max_cells: more {noun} than allowed, at least {found} were found; raise "
        f"max_cells{instead}.",
        found,
    )


def out_of_memory(error: MemoryError, factor: int = 1) -> BudgetExceeded:
    """The limit that the system sets; a search leaves on its error how many cells it had found.

    >>> out_of_memory(MemoryError(), 6).lower
    6
    """
    return BudgetExceeded(
        "memory: more than the system gives needed; take fewer heads, keys or threads, a smaller "
        f"domain, {_INSTEAD}.",
        max(1, getattr(error, "found", 0)) * factor,
    )

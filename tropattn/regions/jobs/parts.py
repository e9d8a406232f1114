"""Searches in parts that are known from the beginning: rows of a table, heads, ranges of draws.

A part leaves no others. What came of it, a JSON value, stands in its row of the ledger and is not
computed again; the merge of the search says what the results make together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from tropattn.regions.jobs.ledger import Ledger, Range, Told

__all__ = ["Parts"]


class Parts:
    """The parts of a search by their paths, each computed once."""

    def __init__(self, ledger: Ledger, name: str, merge: str, paths: Sequence[str]) -> None:
        self._ledger = ledger
        self._number = ledger.search(name, merge, [Range(p, {}) for p in dict.fromkeys(paths)])
        self._known = dict(ledger.results(self._number))

    def result(self, path: str, work: Callable[[], Any]) -> Any:
        """What came of a part before, else what ``work`` gives, which is then on the disk."""
        if path not in self._known:
            started = time.perf_counter()
            value = work()
            seconds = time.perf_counter() - started
            self._ledger.finish(self._number, path, Told({"cells": 0}, [], "", seconds, value))
            self._ledger.commit()
            self._known[path] = value
        return self._known[path]

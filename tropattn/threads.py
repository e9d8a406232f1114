"""Work ranges on a thread pool: the kernels release the GIL, results come back in range order."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from tropattn.errors import InvalidInput

__all__ = ["in_order", "thread_count"]

Item = TypeVar("Item")


def thread_count(threads: int | None) -> int:
    """Number of worker threads: as asked for, else the processors this process may use."""
    if threads is None:
        if hasattr(os, "sched_getaffinity"):
            return max(1, len(os.sched_getaffinity(0)))
        return os.cpu_count() or 1
    try:
        count = operator.index(threads)
    except TypeError:
        count = 0
    if isinstance(threads, bool) or count < 1:
        raise InvalidInput(f"threads: an integer >= 1 needed, got {threads!r}; omit it to use all.")
    return count


def in_order(
    work: Callable[[Item], Any], items: Sequence[Item], threads: int | None
) -> Iterator[Any]:
    """``work(item)`` for every item, on a pool, yielded in the order of the items.

    At most two items a thread are under way, so memory stays bounded; closing the iterator (or an
    exception in the consumer, Ctrl-C included) drops what has not started.
    """
    workers = thread_count(threads)
    if workers == 1 or len(items) == 1:
        yield from map(work, items)
        return
    pending: list[Future[Any]] = []
    with ThreadPoolExecutor(workers) as pool:
        try:
            ahead = 0
            for _ in items:
                while ahead < len(items) and len(pending) < 2 * workers:
                    pending.append(pool.submit(work, items[ahead]))
                    ahead += 1
                yield pending.pop(0).result()
        finally:
            for future in pending:
                future.cancel()

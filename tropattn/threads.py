"""Work on threads that receive no signal, so that Ctrl-C or an event ends it at once.

Signals reach the main thread alone. A kernel there would not let Ctrl-C through before its end, and
then crash: numba runs a line of Python to make the arrays that it returns, there the signal raises
``KeyboardInterrupt``, and numba does not look. So kernels run on workers, be it a single one. The
calling thread waits where a signal or the caller's event ends the wait; then it sets the flag that
kernels poll, and only then waits for the workers, for a moment: what does not leave in time is left
behind and ends unheard.
"""

from __future__ import annotations

import math
import operator
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar, copy_context
from functools import partial, wraps
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from tropattn.errors import BudgetExceeded, Interrupted, InvalidInput

__all__ = [
    "Pool",
    "WorkQueue",
    "aside",
    "check",
    "in_order",
    "interrupted",
    "out_of_time",
    "stoppable",
    "thread_count",
]

Item = TypeVar("Item")
Result = TypeVar("Result")
Given = ParamSpec("Given")

_POLL = 0.05
"""Seconds between two looks at the caller's event."""

_MOST_THREADS = 1024

_PATIENCE = 0.25
"""Seconds that workers have to leave once their flag is set."""

_INSIDE: ContextVar[Pool | None] = ContextVar("inside", default=None)
"""The pool whose item this thread works on."""

_WATCHED: ContextVar[tuple[Callable[[], bool], ...]] = ContextVar("watched", default=())
"""What says that the work of this thread is to stop."""


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
    if count > _MOST_THREADS:
        raise InvalidInput(
            f"threads: an integer up to {_MOST_THREADS} needed, got {count}; omit it to use all."
        )
    return count


# ---- stopping ---------------------------------------------------------------------------------


def check() -> None:
    """Raise ``KeyboardInterrupt`` where the work of this thread is to stop; for long loops."""
    for stopped in _WATCHED.get():
        if stopped():
            raise KeyboardInterrupt


def stoppable(
    at_least: Callable[..., int] = lambda *_, **__: 0,
) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Let a public call end early on Ctrl-C, or when its argument ``stop``, an event, is set.

    It then raises ``Interrupted`` with the lower bound that it knows by then; ``at_least`` gives
    one from the call's arguments, for a stop before anything was found. After ``time_limit``
    seconds, where the call has that argument, it ends in the same way with ``BudgetExceeded``.

    >>> @stoppable()
    ... def answer(*, stop=None):
    ...     return 42
    >>> enough = threading.Event()
    >>> answer(stop=enough)
    42
    >>> enough.set()
    >>> try:
    ...     answer(stop=enough)
    ... except Interrupted as error:
    ...     print(error)
    interrupted: at least 0 cells were found before the stop.
    """

    def decorate(function: Callable[Given, Result]) -> Callable[Given, Result]:
        @wraps(function)
        def call(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            stop: Any = kwargs.get("stop")
            if stop is not None and not isinstance(stop, threading.Event):
                raise InvalidInput(
                    f"stop: a threading.Event or None needed, got {type(stop).__name__}; set the "
                    "event from another thread to end the call."
                )
            seconds: Any = kwargs.get("time_limit")
            deadline = None if seconds is None else _Deadline(seconds)
            watched = [w for w in (stop and stop.is_set, deadline) if w is not None]
            given = _WATCHED.set((*_WATCHED.get(), *watched))
            try:
                check()
                return function(*args, **kwargs)
            except KeyboardInterrupt as error:
                found = error if isinstance(error, Interrupted) else None
                lower = at_least(*args, **kwargs) if found is None else found.lower
                if deadline is not None and deadline.reached:
                    raise out_of_time(deadline.seconds, lower) from None
                raise found or interrupted(lower) from None
            finally:
                _WATCHED.reset(given)

        return call

    return decorate


class _Deadline:
    """Whether a number of seconds is over; ``reached`` once that was said."""

    def __init__(self, seconds: Any) -> None:
        number = isinstance(seconds, int | float | np.number) and not isinstance(seconds, bool)
        if not number or not 0 < seconds < math.inf:
            raise InvalidInput(
                f"time_limit: a number of seconds above 0 needed, got {seconds!r}; leave it out "
                "for no limit."
            )
        self.seconds, self.reached = float(seconds), False
        self._end = time.monotonic() + self.seconds

    def __call__(self) -> bool:
        self.reached = self.reached or time.monotonic() >= self._end
        return self.reached


def out_of_time(seconds: float, lower: int) -> BudgetExceeded:
    """What the end of a time limit raises, with the cells that are proved by then.

    >>> print(out_of_time(2.5, 7))
    time_limit: at most 2.5 s allowed, more needed; raise time_limit, or use the bound or the \
sampler.
    """
    return BudgetExceeded(
        f"time_limit: at most {seconds:g} s allowed, more needed; raise time_limit, or use the "
        "bound or the sampler.",
        lower,
    )


def interrupted(lower: int) -> Interrupted:
    """What a stop raises, with the cells that are proved by then."""
    cells = "1 cell was" if lower == 1 else f"{lower} cells were"
    return Interrupted(f"interrupted: at least {cells} found before the stop.", lower)


# ---- workers ----------------------------------------------------------------------------------


class _Worker(threading.Thread):
    """A thread that does what it is given, one thing after the other."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="tropattn worker")
        self.given: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            self.given.get()()


_IDLE: list[_Worker] = []
"""Workers without work, kept because small searches come by the thousand."""

if hasattr(os, "register_at_fork"):
    # Threads do not survive a fork.
    os.register_at_fork(after_in_child=_IDLE.clear)


class Pool:
    """Workers for the items of one call, at most ``threads``; leaving it early sets ``flag[0]``.

    All waiting is for queues written in C, which a signal interrupts at no wrong moment. A worker
    gets no signal, so a pool of one thread inside another pool's item needs no other worker: the
    outer pool then sets its flag.
    """

    def __init__(self, threads: int, flag: NDArray[np.int64] | None = None) -> None:
        self.threads, self.busy = threads, 0
        self.flag = np.zeros(1, np.int64) if flag is None else flag
        self.outer = _INSIDE.get() if threads == 1 else None
        self.inner: dict[int, NDArray[np.int64]] = {}
        self._workers: list[_Worker] = []
        self._todo: SimpleQueue[Any] = SimpleQueue()
        self._done: SimpleQueue[tuple[int, Any, BaseException | None]] = SimpleQueue()
        self._left: SimpleQueue[None] = SimpleQueue()

    def __enter__(self) -> Pool:
        if self.outer is not None:
            self.outer.inner[id(self.flag)] = self.flag
        return self

    def submit(self, work: Callable[[Item], Any], item: Item, number: int = 0) -> None:
        """Let a worker do ``work(item)``, where ``check`` knows of this pool's flag."""
        self.busy += 1
        if self.outer is not None:
            self._todo.put((number, partial(work, item)))
            return
        context = copy_context()
        context.run(_WATCHED.set, (*_WATCHED.get(), lambda: bool(self.flag[0])))
        context.run(_INSIDE.set, self)
        self._todo.put((number, partial(context.run, work, item)))
        if len(self._workers) < self.threads:
            try:
                worker = _IDLE.pop()
            except IndexError:
                worker = _Worker()
            self._workers.append(worker)
            worker.given.put(self._serve)

    def _serve(self) -> None:
        while (given := self._todo.get()) is not None:
            self._done.put(self._did(*given))
            del given
        self._left.put(None)

    def _did(self, number: int, work: Callable[[], Any]) -> tuple[int, Any, BaseException | None]:
        try:
            return number, None if self.flag[0] else work(), None
        except BaseException as error:  # noqa: BLE001 (the caller's thread raises it)
            return number, None, error

    def result(
        self, meanwhile: Callable[[], None] = lambda: None
    ) -> tuple[int, Any, BaseException | None]:
        """Wait for an item: its number, what it gave and what it raised."""
        check()
        if self.outer is not None:
            found = self._did(*self._todo.get())
            check()
            self.busy -= 1
            return found
        while True:
            try:
                found = self._done.get(timeout=_POLL)
            except Empty:
                meanwhile()
                check()
                continue
            self.busy -= 1
            return found

    def __exit__(self, *_: object) -> None:
        if self.outer is not None:
            self.outer.inner.pop(id(self.flag), None)
            return
        early = self.busy > 0
        if early:
            self.flag[0] = 1
            for flag in [*self.inner.values()]:
                flag[0] = 1
        for _worker in self._workers:
            self._todo.put(None)
        if early:
            until = time.monotonic() + _PATIENCE
            try:
                for _worker in self._workers:
                    self._left.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                pass
            for worker in self._workers:
                worker.given.put(partial(_IDLE.append, worker))
        else:
            _IDLE.extend(self._workers)


def in_order(
    work: Callable[[Item], Any],
    items: Sequence[Item],
    threads: int | None,
    flag: NDArray[np.int64] | None = None,
) -> Iterator[Any]:
    """``work(item)`` for every item, on workers, yielded in the order of the items.

    At most two items per thread are under way, so memory stays bounded. Closing the iterator, an
    exception in the consumer or a stop sets ``flag[0]``, which kernels poll, and drops the rest.

    >>> list(in_order(abs, [-1, 2, -3], 2))
    [1, 2, 3]
    """
    workers = min(thread_count(threads), max(1, len(items)))
    found: dict[int, tuple[Any, BaseException | None]] = {}
    with Pool(workers, flag) as pool:
        ahead = 0
        for number in range(len(items)):
            while ahead < min(len(items), number + 2 * workers):
                pool.submit(work, items[ahead], ahead)
                ahead += 1
            while number not in found:
                done, value, error = pool.result()
                found[done] = value, error
            value, error = found.pop(number)
            if error is not None:
                raise error
            yield value


class WorkQueue(ABC, Generic[Item, Result]):
    """Items of work, what each leaves to others, and a tally of what they found.

    An item is a plain value. The set of items, and with it every number, must not depend on the
    number of threads. Kernels poll ``stop[0]``, which is set where the work ends early.
    """

    def __init__(self, watch: Callable[[int, int], None]) -> None:
        self.watch, self.waiting = watch, list[Item]()
        self.stop = np.zeros(1, np.int64)

    @property
    @abstractmethod
    def found(self) -> int:
        """Cells that are proved so far."""

    @abstractmethod
    def work(self, item: Item) -> Result:
        """Work on one item, on a worker."""

    @abstractmethod
    def collect(self, result: Result) -> list[Item]:
        """Add up what an item gave; return the items that it leaves."""

    def begin(self, items: Iterable[Item]) -> Iterable[Item]:
        """The items that are to be worked on: those given, unless some of the work is done."""
        return items

    def pool(self, threads: int) -> Pool:
        """Who works."""
        return Pool(threads, self.stop)

    def task(self, item: Item) -> Any:
        """What a worker does with an item."""
        return self.work(item)

    def taken(self, item: Item, result: Any) -> list[Item]:
        """Take what came of an item; return the items that it leaves."""
        return self.collect(result)

    def run(self, items: Iterable[Item], threads: int) -> None:
        """Work until nothing is left.

        ``watch(found, waiting)`` is called after every item and while there is none; what it raises
        ends the work. Raises ``Interrupted`` when stopped, with ``.lower``; ``MemoryError`` with
        ``.found``.
        """
        source = iter(self.begin(items))
        under_way: dict[int, Item] = {}
        number = 0
        try:
            with self.pool(threads) as pool:
                while True:
                    for _ in range(2 * pool.threads - pool.busy):
                        # What was left last goes first: so few wait as a search is deep.
                        self.waiting = self.waiting or [*islice(source, 1)]
                        if self.waiting:
                            number += 1
                            under_way[number] = self.waiting.pop()
                            pool.submit(self.task, under_way[number], number)
                    if not pool.busy:
                        return
                    done, result, error = pool.result(self._tell)
                    if error is not None:
                        raise error
                    self.waiting += self.taken(under_way.pop(done), result)
                    self._tell()
        except MemoryError as error:
            error.found = self.found  # type: ignore[attr-defined]
            raise
        except KeyboardInterrupt as error:
            # A domain with interior has a cell, found or not.
            raise interrupted(max(1, self.found, getattr(error, "lower", 0))) from None

    def _tell(self) -> None:
        self.watch(self.found, len(self.waiting))


def aside(work: Callable[..., Any], *args: Any) -> Any:
    """``work(*args)`` on a worker: a kernel that allocates, or whatever may take long.

    >>> aside(max, 1, 2)
    2
    """
    return next(in_order(lambda _: work(*args), (None,), 1))

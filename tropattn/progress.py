"""What long work is doing, how far it is and the time left: one line for whoever listens.

Work says what it does by ``doing`` and ``counting``, which cost nothing where nobody listens. Who
listens is a line at the foot of the terminal, on stderr, that appears after a second and goes
again; or a function of the caller's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tropattn.errors import InvalidInput

if TYPE_CHECKING:
    from rich.text import Text

__all__ = [
    "LEFT_OVER",
    "Listening",
    "Progress",
    "counting",
    "doing",
    "duration",
    "listening",
    "printing",
]

LEFT_OVER = "branches open (Ctrl-C stops with this lower bound)"

_PATIENCE = 0.8
_PAUSE = 0.25
"""Seconds between two lines of a terminal, or two calls of a function."""

_FIRST = 1.0
"""Seconds of a step before it says how long the rest may take."""


@dataclass(slots=True, eq=False)
class Progress:
    """One thing that is being done; as a string, the words of it.

    Attributes
    ----------
    what : in words.
    done, left : numbers of it, or None where they have no meaning.
    over : what ``left`` counts in a search, whose end nobody knows; else empty.
    note : further words.

    >>> step = Progress("layers", 2, 4, started=time.monotonic() - 10)
    >>> str(step), round(step.seconds), round(step.seconds_left)
    ('layers: 2 of 6, 20 s left', 10, 20)
    """

    what: str
    done: int | None = None
    left: int | None = None
    over: str = ""
    note: str = ""
    started: float = field(default_factory=lambda: time.monotonic())

    @property
    def seconds(self) -> float:
        """How long it has taken by now."""
        return time.monotonic() - self.started

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the pace so far, or None where nobody knows."""
        if self.over or not self.done or self.left is None or self.seconds < _FIRST:
            return None
        return self.seconds * self.left / self.done

    def __str__(self) -> str:
        if self.done is None or self.left is None:
            words = f"counting {self.what}" if self.over else self.what
        elif self.over:
            rate = self.done / max(self.seconds, 1e-9)
            pace = (
                f"{rate:,.0f} a second" if rate >= 1 else f"{1 / rate:,.0f} s each" if rate else ""
            )
            rest = f"{self.left:,} {self.over}" if self.left else ""
            words = ", ".join(filter(None, [f"{self.done:,} {self.what} so far", pace, rest]))
        else:
            total, rest = self.done + self.left, self.seconds_left
            words = f"{self.what}: {_share(self.done, total)}"
            words += "" if rest is None else f", {duration(rest)} left"
        return words + (f", {self.note}" if self.note else "")


def _share(done: int, total: int) -> str:
    """How much of a total is done; weights beyond any number of things as a percentage."""
    return f"{done:,} of {total:,}" if total < 10**13 else f"{100 * done // total} %"


def duration(seconds: float) -> str:
    """A duration in words.

    >>> duration(7.2), duration(90), duration(57600)
    ('7 s', '1 min 30 s', '16 h 0 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class _Listener:
    """Who hears of the steps under way, the innermost last."""

    def __init__(self) -> None:
        self.steps: list[Progress] = []

    def heard(self, step: Progress) -> None:
        """Take note of a step that began or went on."""

    def start(self) -> None:
        """Begin to show steps."""

    def stop(self) -> None:
        """Show nothing any more."""


class _Function(_Listener):
    """A function of the caller's, called with a step a few times a second."""

    def __init__(self, call: Callable[[Progress], object]) -> None:
        super().__init__()
        self._call, self._told = call, -_PAUSE

    def heard(self, step: Progress) -> None:
        if time.monotonic() - self._told >= _PAUSE:
            self._told = time.monotonic()
            self._call(step)


class _Terminal(_Listener):
    """A line on stderr, drawn by a thread of its own: also while the work says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._since = time.monotonic()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, args=(self._ended,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread is not None:
            # The line is gone before anything else is printed.
            self._thread.join(1.0)
            self._thread = None

    def _draw(self, ended: threading.Event) -> None:
        from rich.console import Console
        from rich.live import Live

        if ended.wait(max(_PAUSE, self._since + _PATIENCE - time.monotonic())):
            return

        with Live(
            get_renderable=self._line,
            console=Console(stderr=True, highlight=False),
            refresh_per_second=1 / _PAUSE,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            ended.wait()

    def _line(self) -> Text:
        from rich.text import Text

        words = [str(step) for step in [*self.steps]] or ["working"]
        taken = duration(time.monotonic() - self._since)
        return Text(f"{taken}: {'; '.join(words)}", no_wrap=True, overflow="ellipsis")


_LISTENER: ContextVar[_Listener | None] = ContextVar("listener", default=None)

Listening = bool | Callable[[Progress], object]
"""Whether a terminal shows what a call is doing, or a function that hears of it."""


@contextmanager
def listening(progress: Listening) -> Iterator[None]:
    """Let the terminal, or a function of the caller's, hear of all steps within the block.

    >>> with listening(print), counting("layers", over="") as report:
    ...     report(0, 2)
    layers
    """
    if not isinstance(progress, bool) and not callable(progress):
        raise InvalidInput(
            f"progress: True, False or a function needed, got {type(progress).__name__}; a "
            "function is called with what is being done, print for example."
        )
    if progress is False or (progress is True and _LISTENER.get() is not None):
        yield
        return
    listener = _Terminal() if progress is True else _Function(progress)
    before = _LISTENER.set(listener)
    listener.start()
    try:
        yield
    finally:
        _LISTENER.reset(before)
        listener.stop()


@contextmanager
def printing() -> Iterator[None]:
    """Take the line off the terminal while the block prints."""
    listener = _LISTENER.get()
    if listener is None:
        yield
        return
    listener.stop()
    try:
        yield
    finally:
        listener.start()


Report = Callable[..., None]
"""Takes what is done and what is left, and further words if there are any."""


@contextmanager
def counting(
    what: str, progress: Listening = False, over: str = LEFT_OVER
) -> Iterator[Report | None]:
    """Say that something is being counted; yield ``report(done, left, note="")``.

    ``over`` says what ``left`` counts in a search; where it is empty, ``left`` is all that is left,
    and the time left follows. None is yielded where nobody listens.
    """
    with listening(progress):
        listener = _LISTENER.get()
        if listener is None:
            yield None
            return
        step = Progress(what, over=over)

        def report(done: int, left: int, note: str = "") -> None:
            step.done, step.left, step.note = done, left, note
            listener.heard(step)

        listener.steps.append(step)
        try:
            listener.heard(step)
            yield report
        finally:
            # Workers share the listener, so that this step need not be the last one.
            listener.steps.remove(step)


@contextmanager
def doing(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Say what is being done; yield a function that takes how many of ``total`` are done.

    >>> with listening(lambda step: print(step.what)), doing("weighing", 3) as done:
    ...     done(1)
    weighing
    """
    with counting(what, over="") as report:

        def done(number: int) -> None:
            if report is not None and total is not None:
                report(number, total - number)

        done(0)
        yield done

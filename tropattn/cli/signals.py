"""Ctrl-C and SIGTERM end a command alike, from its first import on: one line, exit code 130."""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["as_interrupts", "expired", "finished", "ignored", "limited", "loading"]

_ENDING = (signal.SIGINT, signal.SIGTERM)
_TIMER = getattr(signal, "SIGALRM", signal.SIGTERM)
_EXPIRED: list[float] = []
"""The time limit that this command has reached, if it has."""


@contextmanager
def _answered(answer: Callable[..., Any] | signal.Handlers) -> Iterator[None]:
    """Answer both signals so, but for one that the caller of the process wants ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    ours = [n for n, handler in before.items() if handler not in (None, signal.SIG_IGN)]
    for number in ours:
        signal.signal(number, answer)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])


@contextmanager
def loading() -> Iterator[None]:
    """While modules load nothing is there to be cleaned up: leave at once and say nothing."""

    def leave(*_: Any) -> None:
        with suppress(OSError):
            if os.isatty(2):
                # There may be a line on the terminal that says what is loaded, without a cursor.
                os.write(2, b"\r\x1b[K\x1b[?25h")
        os._exit(130)

    with _answered(leave):
        yield


@contextmanager
def as_interrupts() -> Iterator[None]:
    """Let SIGTERM raise ``KeyboardInterrupt``, as Ctrl-C does."""
    _EXPIRED.clear()
    with _answered(signal.default_int_handler):
        yield


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Let the end of some seconds raise ``KeyboardInterrupt`` as well; ``expired`` says so."""
    if threading.current_thread() is not threading.main_thread():
        # Signals reach the main thread alone.
        yield
        return

    def end() -> None:
        _EXPIRED.append(seconds)
        _thread.interrupt_main(_TIMER)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    before = signal.signal(_TIMER, signal.default_int_handler)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(_TIMER, before)


def expired() -> float | None:
    """The time limit in seconds, if it ended the command."""
    return _EXPIRED[0] if _EXPIRED else None


@contextmanager
def ignored() -> Iterator[None]:
    """Let an ending come to its end."""
    with _answered(signal.SIG_IGN):
        yield


def finished() -> None:
    """The answer is out: a signal that comes now must not make it look like a failure."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)

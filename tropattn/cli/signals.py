"""Ctrl-C and SIGTERM end a command alike, from its first import on: one line, exit code 130."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["as_interrupts", "finished", "ignored", "loading"]

_ENDING = (signal.SIGINT, signal.SIGTERM)


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
    """While modules load nothing is there to be cleaned up: leave at once, in whatever import."""

    def leave(*_: Any) -> None:
        with suppress(OSError):
            os.write(2, b"tropattn: interrupted\n")
        os._exit(130)

    with _answered(leave):
        yield


@contextmanager
def as_interrupts() -> Iterator[None]:
    """Let SIGTERM raise ``KeyboardInterrupt``, as Ctrl-C does."""
    with _answered(signal.default_int_handler):
        yield


@contextmanager
def ignored() -> Iterator[None]:
    """Let an ending come to its end."""
    with _answered(signal.SIG_IGN):
        yield


def finished() -> None:
    """The answer is out: a signal that comes now must not make it look like a failure."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)

"""A counter on stderr for work that takes more than two seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["LEFT_OVER", "counting"]

LEFT_OVER = "branches open (Ctrl-C stops with this lower bound)"
_PATIENCE = 2.0


@contextmanager
def counting(
    noun: str, show: bool, left_over: str = LEFT_OVER
) -> Iterator[Callable[[int, int], None] | None]:
    """Yield ``report(found, left)``, which draws a line after two seconds; None if not shown.

    ``left_over`` says what ``left`` counts.
    """
    if not show:
        yield None
        return
    from rich.console import Console
    from rich.status import Status

    started = time.monotonic()
    status = Status(f"counting {noun}", console=Console(stderr=True))
    shown = False

    def report(found: int, left: int) -> None:
        nonlocal shown
        elapsed = time.monotonic() - started
        if elapsed < _PATIENCE:
            return
        if not shown:
            status.start()
            shown = True
        rate = found / elapsed
        status.update(f"{found:,} {noun} so far, {rate:,.0f} a second, {left:,} {left_over}")

    try:
        yield report
    finally:
        if shown:
            status.stop()

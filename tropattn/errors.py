"""Everything tropattn raises on purpose.

Each message says, in this order: the argument, what is required, what was got, what to do.
"""

from __future__ import annotations

__all__ = [
    "BudgetExceeded",
    "Degenerate",
    "EngineError",
    "Inconclusive",
    "Interrupted",
    "InvalidInput",
    "TropAttnError",
]


def __dir__() -> list[str]:
    return sorted(__all__)


class TropAttnError(Exception):
    """Root of all errors of this package."""


class InvalidInput(TropAttnError, ValueError):
    """An argument breaks its requirement; nothing was computed."""


class Degenerate(TropAttnError):
    """The input is valid but the object asked for does not exist for it."""


class Inconclusive(TropAttnError):
    """A decision could be proved neither way, so no number is given."""


class EngineError(TropAttnError):
    """An outside solver failed, or two of our own witnesses contradict each other."""


class BudgetExceeded(TropAttnError):
    """A limit was reached; ``lower`` is the valid lower bound found so far."""

    def __init__(self, message: str, lower: int = 0) -> None:
        super().__init__(message)
        self.lower = lower


class Interrupted(TropAttnError, KeyboardInterrupt):
    """The user stopped the work; ``lower`` is the valid lower bound found so far."""

    def __init__(self, message: str, lower: int = 0) -> None:
        super().__init__(message)
        self.lower = lower

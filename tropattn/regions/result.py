"""``RegionCount``: an integer that says what kind of number it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from tropattn.errors import EngineError
from tropattn.polyhedra.domain import Domain, has_points
from tropattn.values import Value, counted, decimal

__all__ = ["RegionCount", "check_bound", "decimal", "log10_of", "one_cell"]

Kind = Literal["exact", "lower", "upper"]

_NOUNS = {"cells": "routing cell", "linear_regions": "linear region"}


def check_bound(found: int, bound: int, theorem: str, noun: str = "cells") -> None:
    """Raise ``EngineError`` for an exact count below 1 or above its bound.

    >>> check_bound(6, 6, "T6")
    """
    if not 1 <= found <= bound:
        raise EngineError(
            f"count: between 1 and {bound} {noun} ({theorem}) expected, got {found}; two "
            "witnesses contradict each other, please report the input."
        )


def one_cell(target: Any, domain: Domain | None = None, **_: Any) -> int:
    """The least number of cells before anything was looked at, for ``threads.stoppable``."""
    return int(has_points(domain))


def log10_of(value: int) -> float:
    """``log10`` of a positive integer of any length; ``-inf`` for 0.

    >>> round(log10_of(10**5000), 6)
    5000.0
    """
    if value <= 0:
        return -math.inf
    shift = max(0, value.bit_length() - 64)
    return math.log10(value >> shift) + shift * math.log10(2.0)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RegionCount(Value):
    """A count of cells or regions, with what it counts, where, and how it was obtained.

    Attributes
    ----------
    value : Python int of any size.
    kind : ``"exact"``, ``"lower"`` or ``"upper"``.
    of : ``"cells"`` (routing cells, theory T13) or another count named there.
    domain : the domain in words; ``"R^d"`` with the number d for the whole space.
    engine : what produced the number, or the theorem for a bound.
    certified : every decision behind the number was proved, by error bounds or in rationals.
    ambiguous : decisions left open; 0 whenever ``kind`` is ``"exact"``.
    stats : counts of the work done, and estimates (labelled) of a sampler.

    Two are equal where they claim the same; ``stats`` tells of the work and does not count.

    >>> count = RegionCount(6, "exact", "cells", "R^3", "enumeration")
    >>> count, str(count), int(count) + 1
    (RegionCount(6 cells, exact, R^3, enumeration), '6 routing cells (exact)', 7)
    """

    value: int
    kind: Kind
    of: str
    domain: str
    engine: str
    certified: bool = False
    ambiguous: int = 0
    stats: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def log10(self) -> float:
        """``log10`` of the value, also where the value has hundreds of digits."""
        return log10_of(self.value)

    def __repr__(self) -> str:
        noun = self.of.replace("_", " ")
        words = counted(self.value, noun.removesuffix("s"), noun)
        return f"RegionCount({words}, {self.kind}, {self.domain}, {self.engine})"

    def __str__(self) -> str:
        prefix = {"exact": "", "lower": "at least ", "upper": "at most "}[self.kind]
        suffix = " (exact, certified)" if self.certified else " (exact)"
        noun = _NOUNS.get(self.of, self.of.removesuffix("s"))
        return f"{prefix}{counted(self.value, noun)}{suffix if self.kind == 'exact' else ''}"

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def as_dict(self) -> dict[str, Any]:
        """Every field, ready for JSON; ``value`` as a decimal string (it may pass 2**53)."""
        finite = self.log10 if self.value > 0 else None
        return {
            "value": decimal(self.value),
            "kind": self.kind,
            "of": self.of,
            "domain": self.domain,
            "engine": self.engine,
            "certified": self.certified,
            "ambiguous": self.ambiguous,
            "log10": finite,
            "stats": dict(self.stats),
        }

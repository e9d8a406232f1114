"""How much of a search is left: the size of a tree by random probes (Knuth 1975).

A probe goes down from an open range: it works on a small part of it, counts the cells found there,
and goes on with one of the k ranges that are left, drawn at random, whose cells it counts k times.
Its mean over the draws is the number of cells below the range. Trees are lopsided, so probes spread
widely; what is told with the estimate is the standard error of their mean, itself an estimate.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tropattn.regions.jobs.ledger import Range, Told
from tropattn.threads import check

__all__ = ["Probed", "Survey", "surveyed"]


_SECONDS = 5.0
"""About how long probes may take."""

_MOST_RANGES = 100
"""Open ranges that are probed; of more a sample is drawn."""


@dataclass(frozen=True, slots=True)
class Survey:
    """How far one search is, and what is estimated to be left.

    ``cells`` are proved; ``left`` is an estimate of those below the ``open`` ranges, None where
    there are none, with its standard ``error`` from so many ``probes``.
    """

    name: str
    cells: int
    open: int
    left: float | None = None
    error: float | None = None
    probes: int = 0


class Probed(Protocol):
    """A search that tells what comes of a range, in parts as small as its effort says."""

    def answer(self, data: Mapping[str, Any]) -> Told:
        """What comes of a range that was written down."""
        ...


def surveyed(name: str, found: int, queue: Probed, ranges: list[Range]) -> Survey:
    """Probe open ranges for some seconds; ``queue`` is a search of its own, which is used up."""
    count = len(ranges)
    if not ranges:
        return Survey(name, found, 0)
    rng, until = random.Random(0), time.monotonic() + _SECONDS
    chosen = ranges if count <= _MOST_RANGES else rng.sample(ranges, _MOST_RANGES)
    probes: list[list[float]] = [[] for _ in chosen]
    # Two rounds at least, for without these there is no error.
    while len(probes[-1]) < 2 or time.monotonic() < until:
        for entry, values in zip(chosen, probes, strict=True):
            check()
            values.append(_probe(queue, entry, rng))
    means = [sum(values) / len(values) for values in probes]
    spread = sum(_variance(values) / len(values) for values in probes)
    scale = count / len(chosen)
    if scale > 1:
        # Which ranges were drawn is chance too, and holds that of the probes.
        spread = len(chosen) * _variance(means)
    error = scale * math.sqrt(spread)
    return Survey(name, found, count, scale * sum(means), error, sum(map(len, probes)))


def _probe(queue: Probed, entry: Range, rng: random.Random) -> float:
    """An unbiased estimate of the cells below a range."""
    total, weight, data = 0.0, 1.0, entry.data
    while True:
        told = queue.answer({**data, "effort": 0})
        total += weight * told.tally["cells"]
        if not told.left:
            return total
        weight *= len(told.left)
        data = told.left[rng.randrange(len(told.left))].data


def _variance(values: Iterable[float]) -> float:
    values = [*values]
    mean = sum(values) / len(values)
    return sum((v - mean) ** 2 for v in values) / (len(values) - 1)

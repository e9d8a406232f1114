"""``Sample``: the distinct cells that random draws met, and what they say about the unseen ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels.hash_table import insert
from tropattn._types import Array
from tropattn.arrays import freeze, listed, of_kind
from tropattn.errors import InvalidInput
from tropattn.regions.result import RegionCount
from tropattn.threads import aside
from tropattn.values import Value, counted

__all__ = ["Sample", "Tally", "chao1", "merge_samples"]


_LARGEST_SHARES = 5


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Sample(Value):
    """The distinct cells met by draws of one law, each with how often and in which draw first.

    Attributes
    ----------
    hashes : (R, 2) uint64, 128 bits per routing pattern, in ascending order.
    counts : (R,) int64, draws (chords) that met the cell; firsts : (R,) int64, the first of them.
    ranges : ``(seed, start, stop)`` of the draws, ascending; draw ``i`` is a function of
        ``(seed, i)``.
    discarded : draws outside the domain or with an unproved pattern; chords that met nothing.
    method : ``"points"`` or ``"lines"``; domain, law : in words.
    question : digest of target, domain, law and method; only equal ones merge.
    """

    hashes: NDArray[np.uint64]
    counts: NDArray[np.int64]
    firsts: NDArray[np.int64]
    ranges: tuple[tuple[int, int, int], ...]
    discarded: int
    method: str
    domain: str
    law: str
    question: str

    def __repr__(self) -> str:
        cells = counted(len(self), "cell")
        return f"Sample({cells} in {counted(self.samples, 'draw')}, {self.domain}, {self.method})"

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def samples(self) -> int:
        """Number of draws."""
        return sum(stop - start for _, start, stop in self.ranges)

    def count(self, **more: Any) -> RegionCount:
        """The sample as a lower bound on the number of cells, with ``stats`` and ``more``."""
        stats = {**self.stats(), **more}
        engine = f"{self.method} sampler"
        return RegionCount(len(self), "lower", "cells", self.domain, engine, stats=stats)

    def stats(self) -> dict[str, Any]:
        """What the draws say about themselves and, in estimates, about unseen cells.

        ``samples``, ``discarded``, ``visits`` (cells met, repeats included), ``singletons`` and
        ``doubletons`` (cells met once, twice), ``unseen_mass`` (Good 1953: the share of new visits
        expected to show a new cell; an estimate), ``chao1`` (see ``chao1``), ``saturation`` (rows
        [draws, distinct cells] at powers of two; empty when seeds are mixed), ``largest_shares``
        (of the visits; for points these are the volume shares of the largest cells) and
        ``warning`` (None, or what the numbers do not say).
        """
        visits = int(self.counts.sum())
        singletons = int((self.counts == 1).sum())
        doubletons = int((self.counts == 2).sum())
        top = np.sort(self.counts)[::-1][:_LARGEST_SHARES]
        seeds = sorted({seed for seed, _, _ in self.ranges})
        return {
            "samples": self.samples,
            "discarded": self.discarded,
            "visits": visits,
            "singletons": singletons,
            "doubletons": doubletons,
            "unseen_mass": singletons / visits if visits else None,
            "chao1": chao1(len(self), singletons, doubletons, visits),
            "saturation": self.saturation(),
            "largest_shares": [int(c) / visits for c in top],
            "warning": _warning(len(self), singletons, visits),
            "seed": seeds[0] if len(seeds) == 1 else seeds,
            "distribution": self.law,
        }

    def saturation(self) -> list[list[int]]:
        """Rows [draws, distinct cells] after 1, 2, 4, ... draws and after all of them.

        Empty where the draws are not one range of one seed.
        """
        if len(self.ranges) != 1:
            return []
        _, start, stop = self.ranges[0]
        marks = [2**p for p in range((stop - start).bit_length()) if 2**p < stop - start]
        marks.append(stop - start)
        found = np.searchsorted(np.sort(self.firsts), [start + n for n in marks])
        return [[n, int(distinct)] for n, distinct in zip(marks, found, strict=True)]


class Tally:
    """Hashes under way: insert in any order, the same cells, counts and first draws come out."""

    def __init__(self) -> None:
        self._allocate(1 << 12)
        self.distinct = 0

    def _allocate(self, places: int) -> None:
        self._table = np.empty((places, 2), np.uint64)
        self._counts = np.zeros(places, np.int64)
        self._firsts = np.empty(places, np.int64)

    def add(self, hashes: Array, draws: Array, times: Array | None = None) -> None:
        """Add rows of hashes, each seen once or ``times`` often, first in ``draws``."""
        times = np.zeros(0, np.int64) if times is None else times
        places = len(self._counts)
        while 2 * (self.distinct + len(hashes)) > places:
            places *= 2
        if places > len(self._counts):
            old = self.cells()
            self._allocate(places)
            self._insert(old[0], old[1], old[2])
        self.distinct += self._insert(hashes, times, draws)

    def _insert(self, hashes: Array, times: Array, draws: Array) -> int:
        return aside(insert, self._table, self._counts, self._firsts, hashes, times, draws)

    def cells(self) -> tuple[Array, Array, Array]:
        """Hashes, counts and first draws, in the order of the table."""
        full = np.flatnonzero(self._counts)
        return self._table[full], self._counts[full], self._firsts[full]

    def sample(self, **facts: Any) -> Sample:
        """The sample of everything added, in ascending order of the hashes."""
        hashes, counts, firsts = self.cells()
        # A place in the table follows from the low bits of the first word: sorted by that word,
        # and by the second among equals, the order no longer depends on the table's size.
        order = np.argsort(hashes[:, 0], kind="stable")
        tied = hashes[order, 0]
        if (tied[1:] == tied[:-1]).any():
            order = np.lexsort((hashes[:, 1], hashes[:, 0]))
        return Sample(freeze(hashes[order]), freeze(counts[order]), freeze(firsts[order]), **facts)


def merge_samples(samples: Sequence[Sample]) -> Sample:
    """The sample of all draws together, for runs on one question over disjoint ranges or seeds.

    Raises
    ------
    InvalidInput : no sample, different questions, or one draw in two samples.

    >>> from tropattn import TropicalPolynomial
    >>> from tropattn.regions.sampling.sampler import draw_sample
    >>> head = TropicalPolynomial([[0], [1], [2]], [0, 0, -1])
    >>> parts = [draw_sample(head, 512, seed=1, start=s, distribution="gaussian") for s in (0, 512)]
    >>> whole = draw_sample(head, 1024, seed=1, distribution="gaussian")
    >>> merge_samples(parts).counts.tolist() == whole.counts.tolist()
    True
    """
    samples = listed("samples", samples, "pass what draw_sample gave")
    for sample in samples:
        of_kind("samples", sample, Sample, "pass what draw_sample gave")
    if not samples:
        raise InvalidInput("samples: at least one needed, got none; pass what draw_sample gave.")
    first = samples[0]
    if any(sample.question != first.question for sample in samples):
        raise InvalidInput(
            "samples: one target, domain, distribution and method needed, got different ones; "
            "their draws follow different laws and do not add up."
        )
    ranges: list[tuple[int, int, int]] = []
    for seed, start, stop in sorted(r for sample in samples for r in sample.ranges):
        if ranges and ranges[-1][0] == seed and start < ranges[-1][2]:
            raise InvalidInput(
                f"samples: disjoint draws needed, got draw {start} of seed {seed} twice; "
                "give each run its own start or seed."
            )
        if ranges and ranges[-1][0] == seed and start == ranges[-1][2]:
            ranges[-1] = (seed, ranges[-1][1], stop)
        else:
            ranges.append((seed, start, stop))
    tally = Tally()
    for sample in samples:
        tally.add(sample.hashes, sample.firsts, sample.counts)
    return tally.sample(
        ranges=tuple(ranges),
        discarded=sum(sample.discarded for sample in samples),
        method=first.method,
        domain=first.domain,
        law=first.law,
        question=first.question,
    )


def chao1(distinct: int, once: int, twice: int, visits: int) -> dict[str, Any]:
    """Chao's estimate of the number of cells, with a 95 % interval; an estimate, not a bound.

    Returns ``kind`` ("estimate"), ``value`` = ``distinct + a once^2 / (2 twice)`` with
    ``a = (n - 1) / n``, and ``low``, ``high``, the log-normal interval. Without doubletons the
    bias-corrected ``distinct + a once (once - 1) / 2``. It leans low where many cells are small.

    References
    ----------
    Chao (1984), *Scandinavian Journal of Statistics* 11; interval: Chao (1987), *Biometrics* 43.

    >>> chao1(10, 4, 2, 100)["value"]
    13.96
    """
    if not visits:
        return {"kind": "estimate", "value": 0.0, "low": 0.0, "high": 0.0}
    a = (visits - 1) / visits
    if twice:
        ratio = once / twice
        extra = a * once * ratio / 2
        variance = twice * (a / 2 * ratio**2 + a**2 * ratio**3 + a**2 / 4 * ratio**4)
    else:
        extra = a * once * (once - 1) / 2
        total = distinct + extra
        variance = extra + a**2 * once * (2 * once - 1) ** 2 / 4 - a**2 * once**4 / (4 * total)
    low = high = float(distinct)
    if extra > 0:
        spread = math.exp(1.96 * math.sqrt(math.log1p(max(0.0, variance) / extra**2)))
        low, high = distinct + extra / spread, distinct + extra * spread
    return {"kind": "estimate", "value": distinct + extra, "low": low, "high": high}


def _warning(distinct: int, once: int, visits: int) -> str | None:
    if not visits:
        return "no draw was kept: nothing is known but that there may be cells."
    if 2 * once > visits:
        return (
            f"hopeless: {once} of {visits} visits met a cell seen only once, so most cells are "
            "unseen and the bound says little; Chao's estimate is too low as well."
        )
    if not once and visits >= 2 * distinct:
        return (
            "saturated: every cell was met twice or more; what is missing is too small for this "
            "law, and more draws will hardly find it."
        )
    return None

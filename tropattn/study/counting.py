"""What a file holds, counted, bounded and sampled: one record per question.

Where the work ends early, at a limit or on Ctrl-C, the lower bound found so far makes a record too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tropattn.errors import BudgetExceeded, Inconclusive
from tropattn.polyhedra.domain import Domain
from tropattn.progress import Listening
from tropattn.record import Record
from tropattn.regions.count import count_with_bound
from tropattn.regions.result import RegionCount
from tropattn.regions.sampling.sampler import Judge
from tropattn.study.draws import default_law, sampled
from tropattn.study.inputs import Heads, Source, open_target

__all__ = ["CountSpec", "SampleSpec", "count", "resolved", "sample"]

Early = Callable[[Record], object]
"""Takes the record of work that ends early, before its error goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountSpec:
    """Settings of ``count``.

    Attributes
    ----------
    source, domain : as for ``open_target``.
    of, engine, certificate, max_cells, threads, progress : as for ``count_regions``.
    certify : kept in the record; every engine proves what it decides.
    """

    source: Source
    domain: str | None = None
    of: str = "cells"
    engine: str = "auto"
    certify: bool = False
    certificate: str | None = None
    max_cells: int | None = None
    threads: int | None = None
    progress: Listening = False


def count(spec: CountSpec, early: Early = lambda _: None) -> Record:
    """Count the cells or linear regions of what a file holds; counts ``exact`` and ``bound``.

    Raises as ``open_target`` and ``count_regions``. An early end leaves a record with the count
    ``lower``.
    """
    opened, where, settings = resolved(spec.source, spec.domain)
    names = ("of", "engine", "certify", "max_cells")
    settings |= {name: getattr(spec, name) for name in names}

    def record(found: RegionCount, counts: dict[str, RegionCount]) -> Record:
        return Record("count", settings, counts, answer=found)

    with _early(spec.of, opened, where, lambda part: early(record(part, {"lower": part}))):
        asked = ("of", "engine", "certificate", "max_cells", "threads", "progress")
        given = {name: getattr(spec, name) for name in asked}
        found, bound = count_with_bound(opened.target, where, **given)
    return record(found, {"exact": found, "bound": bound})


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSpec:
    """Settings of ``sample``.

    Attributes
    ----------
    source, domain : as for ``open_target``.
    samples, seed, distribution, method, threads, progress, judge : as for ``draws.sampled``.
    """

    source: Source
    domain: str | None = None
    samples: int = 100_000
    seed: int = 0
    distribution: str | None = None
    method: str = "points"
    threads: int | None = None
    progress: Listening = False
    judge: Judge | None = None


def sample(spec: SampleSpec, early: Early = lambda _: None) -> Record:
    """Count the routing patterns among random states; the count ``sampled``, a lower bound.

    Raises as ``open_target`` and ``sample_regions``. An early end leaves a record of the same form.
    """
    opened, where, settings = resolved(spec.source, spec.domain)
    law = spec.distribution or default_law(opened, where)
    settings |= {"samples": spec.samples, "distribution": law, "method": spec.method}

    def record(found: RegionCount) -> Record:
        return Record("sample", settings, {"sampled": found}, {}, spec.seed, found)

    with _early("cells", opened, where, lambda part: early(record(part))):
        asked = ("seed", "distribution", "method", "threads", "progress", "judge")
        given = {name: getattr(spec, name) for name in asked}
        found = sampled(opened, spec.samples, domain=where, **given)
    settings["samples"] = found.stats["samples"]
    return record(found)


def resolved(source: Source, domain: str | None) -> tuple[Heads, Domain | None, dict[str, Any]]:
    """What a request is about, and the part of the record's spec that names it."""
    opened, where = open_target(source, domain)
    words = domain or f"R^{opened.dim}"
    settings = {"source": source, "variable": opened.variable, "domain": words}
    return opened, where, settings | {"unread": list(opened.unread)}


@contextmanager
def _early(
    of: str, opened: Heads, where: Domain | None, tell: Callable[[RegionCount], object]
) -> Iterator[None]:
    """Tell what is known where the work ends early; the error goes on."""
    try:
        yield
    except (BudgetExceeded, Inconclusive, KeyboardInterrupt) as error:
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped"
        words = f"R^{opened.dim}" if where is None else where.describe()
        tell(RegionCount(getattr(error, "lower", 0), "lower", of, words, why))
        raise

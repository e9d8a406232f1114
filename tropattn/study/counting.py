"""What a file holds, counted, bounded and sampled: one record per question.

Where the work ends early, at a limit or on Ctrl-C, the lower bound found so far makes a record too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tropattn.errors import BudgetExceeded, Inconclusive, InvalidInput
from tropattn.polyhedra.domain import Domain
from tropattn.record import Record
from tropattn.regions import bounds as theorems
from tropattn.regions.count import count_with_bound, upper_bound
from tropattn.regions.result import RegionCount
from tropattn.study.draws import default_law, sampled
from tropattn.study.inputs import Heads, Source, open_target
from tropattn.tropical.geometry.live_terms import live_terms
from tropattn.tropical.max_affine import with_terms

__all__ = ["BoundsSpec", "CountSpec", "SampleSpec", "bounds", "count", "sample"]

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
    progress: bool = False


def count(spec: CountSpec, early: Early = lambda _: None) -> Record:
    """Count the cells or linear regions of what a file holds; counts ``exact`` and ``bound``.

    Raises as ``open_target`` and ``count_regions``. An early end leaves a record with the count
    ``lower``.
    """
    opened, where, settings = _opened(spec.source, spec.domain)
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
class BoundsSpec:
    """Settings of ``bounds``.

    Attributes
    ----------
    source, domain : as for ``open_target``; without a source ``keys``, ``dim`` and ``central`` say
        what is bounded, as in ``regions.bounds.layer``.
    live : whether only the keys of the source count that ever win.
    """

    source: Source | None = None
    domain: str | None = None
    live: bool = False
    keys: Sequence[int] = ()
    dim: int = 0
    central: bool = False


def bounds(spec: BoundsSpec) -> Record:
    """Bound the cells of a layer or network from above (T6, T7, T14); the count ``bound``.

    Raises as ``open_target`` and ``upper_bound``; ``InvalidInput`` for the live keys of a network.

    >>> bounds(BoundsSpec(keys=(3, 3, 3), dim=2)).answer.value
    19
    """
    if spec.source is None:
        found = theorems.layer(spec.keys, spec.dim, spec.central)
        settings = {name: getattr(spec, name) for name in ("keys", "dim", "central")}
    else:
        opened, where, settings = _opened(spec.source, spec.domain)
        heads = _live_heads(opened, where) if spec.live else opened.heads
        settings |= {"live": spec.live, "keys": [head.n_terms for head in heads]}
        found = upper_bound(heads if spec.live else opened.target, where)
    return Record("bounds", settings, {"bound": found}, answer=found)


def _live_heads(opened: Heads, where: Domain | None) -> list[Any]:
    """The heads with their live terms only."""
    if not opened.heads:
        raise InvalidInput(
            "live: the heads of one layer needed, got a whole network; leave --live out."
        )
    return [with_terms(head, live_terms(head, where).live) for head in opened.heads]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSpec:
    """Settings of ``sample``.

    Attributes
    ----------
    source, domain : as for ``open_target``.
    samples, seed, distribution, method, threads, progress : as for ``draws.sampled``.
    """

    source: Source
    domain: str | None = None
    samples: int = 100_000
    seed: int = 0
    distribution: str | None = None
    method: str = "points"
    threads: int | None = None
    progress: bool = False


def sample(spec: SampleSpec, early: Early = lambda _: None) -> Record:
    """Count the routing patterns among random states; the count ``sampled``, a lower bound.

    Raises as ``open_target`` and ``sample_regions``. An early end leaves a record of the same form.
    """
    opened, where, settings = _opened(spec.source, spec.domain)
    law = spec.distribution or default_law(opened, where)
    settings |= {"samples": spec.samples, "distribution": law, "method": spec.method}

    def record(found: RegionCount) -> Record:
        return Record("sample", settings, {"sampled": found}, {}, spec.seed, found)

    with _early("cells", opened, where, lambda part: early(record(part))):
        asked = ("seed", "distribution", "method", "threads", "progress")
        given = {name: getattr(spec, name) for name in asked}
        found = sampled(opened, spec.samples, domain=where, **given)
    return record(found)


def _opened(source: Source, domain: str | None) -> tuple[Heads, Domain | None, dict[str, Any]]:
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

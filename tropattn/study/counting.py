"""What a file holds, counted, bounded and sampled: one record per question.

Where the work ends early, at a limit or on Ctrl-C, the lower bound found so far makes a record too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tropattn.errors import BudgetExceeded, Inconclusive, InvalidInput
from tropattn.polyhedra.domain import Domain
from tropattn.progress import Listening
from tropattn.record import Record
from tropattn.regions.count import count_with_bound
from tropattn.regions.jobs.driver import Order
from tropattn.regions.result import RegionCount
from tropattn.regions.sampling.sampler import Judge
from tropattn.study.draws import default_law, name_of, ranges_of, sampled, sampled_in_parts
from tropattn.study.inputs import Heads, Source, open_target
from tropattn.study.kept import Kept, kept, lasting

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
    job : a file that keeps what is done, as for ``count_regions``; workers : processes that work on
        its ranges, None for threads of this one; scheduler : the address of a Dask scheduler whose
        workers do, or None; cells : a folder that takes the cells of a job, a file a range.
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
    job: str | None = None
    workers: int | None = None
    scheduler: str | None = None
    cells: str | None = None


def count(spec: CountSpec, early: Early = lambda _: None) -> Record:
    """Count the cells or linear regions of what a file holds; counts ``exact`` and ``bound``.

    Raises as ``open_target`` and ``count_regions``. An early end leaves a record with the count
    ``lower``.
    """
    order = _order(spec)
    opened, where, settings = resolved(spec.source, spec.domain)
    names = ("of", "engine", "certify", "max_cells")
    settings |= {name: getattr(spec, name) for name in names}
    if order is not None:
        settings["job"] = spec.job

    def record(found: RegionCount, counts: dict[str, RegionCount]) -> Record:
        return Record("count", settings, counts, answer=found)

    with _early(spec.of, opened, where, lambda part: early(record(part, {"lower": part}))):
        asked = ("of", "engine", "certificate", "max_cells", "threads", "progress")
        given = {name: getattr(spec, name) for name in asked}
        found, bound = count_with_bound(opened.target, where, job=order, **given)
    return record(found, {"exact": found, "bound": bound})


def _order(spec: CountSpec) -> Order | None:
    """What is wanted of a job, if one is."""
    if spec.job is None:
        for name in ("workers", "scheduler", "cells"):
            if getattr(spec, name) is not None:
                raise InvalidInput(
                    f"{name}: a job needed, got none; name a file that keeps its ranges (--job)."
                )
        return None
    if spec.workers is not None and spec.scheduler is not None:
        raise InvalidInput(
            "workers, scheduler: one of the two needed, got both; a scheduler has its own workers."
        )
    source, domain = lasting(spec.source), _lasting_domain(spec.domain)
    given = {name: getattr(spec, name) for name in ("of", "engine", "certify")}
    cells = None if spec.cells is None else str(Path(spec.cells).absolute())
    given |= {} if cells is None else {"cells": cells}
    if spec.certificate is not None:
        given |= {"certificate": str(Path(spec.certificate).absolute())}
    about = {"spec": json.dumps({"source": source, "domain": domain, **given})}
    return Order(spec.job, about, spec.workers, spec.scheduler, cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSpec:
    """Settings of ``sample``.

    Attributes
    ----------
    source, domain : as for ``open_target``.
    samples, seed, distribution, method, threads, progress, judge : as for ``draws.sampled``.
    job : a file that keeps every range of draws that is done, made where there is none; all
        ``samples`` are taken then, whatever ``judge`` says.
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
    job: str | None = None


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
        asked = ("seed", "distribution", "method", "threads", "progress")
        given = {"domain": where, **{name: getattr(spec, name) for name in asked}}
        if spec.job is None:
            found = sampled(opened, spec.samples, judge=spec.judge, **given)
        else:
            settings["job"] = spec.job
            with _kept_draws(spec, opened, where) as part_of:
                found = sampled_in_parts(opened, spec.samples, part_of, **given)
    settings["samples"] = found.stats["samples"]
    return record(found)


def _kept_draws(
    spec: SampleSpec, opened: Heads, where: Domain | None
) -> AbstractContextManager[Kept]:
    """The job that keeps ranges of draws."""
    names = ("samples", "seed", "distribution", "method")
    asked = {name: getattr(spec, name) for name in names}
    asked |= {"source": lasting(spec.source), "domain": _lasting_domain(spec.domain)}
    parts = [*map(name_of, ranges_of(spec.samples))]
    return kept(spec.job, "sample", asked, (opened.target, opened.states, where), parts, "union")


def _lasting_domain(domain: str | None) -> str | None:
    """A domain in words by which it is found again, also from another folder."""
    kind, _, rest = (domain or "").partition(":")
    return f"{kind}:{Path(rest).absolute()}" if kind in ("plane", "line") else domain


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

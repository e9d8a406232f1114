"""The sampler on what a file holds: one law of its draws wherever none is named."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np

from tropattn.attention.networks.feedforward import Affine
from tropattn.attention.networks.network import Network
from tropattn.polyhedra.domain import Domain
from tropattn.progress import Listening
from tropattn.regions.jobs.database import damaged
from tropattn.regions.jobs.packing import packed, unpacked
from tropattn.regions.result import RegionCount
from tropattn.regions.sampling.estimates import Sample, merge_samples
from tropattn.regions.sampling.sampler import Judge, draw_sample, sample_judged
from tropattn.study.inputs import Heads, scatter
from tropattn.study.kept import Kept
from tropattn.threads import interrupted
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["default_law", "name_of", "ranges_of", "sampled", "sampled_in_parts"]

_SPREAD = 10
"""How much wider than the context's states the default draws are."""

_RANGES, _STEP = 32, 512
"""Ranges of draws that a job keeps, at most, and of what their sizes are multiples."""


def default_law(opened: Heads, domain: Domain | None) -> str:
    """The law of the draws where none is named, in words.

    Uniform on a domain. On the whole space normal round the mean of the context's states and ten
    times as wide as they are, so that draws reach cells around all of them; standard normal where
    there are no states.

    >>> default_law(Heads((), (), "x", ()), None)
    'gaussian'
    """
    if domain is not None:
        return "uniform"
    if opened.states is None:
        return "gaussian"
    return f"normal round the mean of the context's states, {_SPREAD} times as wide"


def sampled(
    opened: Heads,
    n_samples: int,
    *,
    seed: int,
    domain: Domain | None,
    distribution: str | None = None,
    method: str = "points",
    threads: int | None = None,
    progress: Listening = False,
    judge: Judge | None = None,
) -> RegionCount:
    """Sample what was opened, by ``default_law`` or by a named law.

    Parameters, errors and cost as for ``sample_regions``; ``stats["distribution"]`` says the law.
    ``judge`` may take fewer draws, once it knows how long one takes.
    """
    target, law = _drawn_from(opened, domain, distribution)
    found = sample_judged(
        target,
        n_samples,
        judge,
        seed=seed,
        domain=domain,
        distribution=law,
        method=method,
        threads=threads,
        progress=progress,
    )
    return _named(found, opened, domain, distribution)


def sampled_in_parts(
    opened: Heads,
    n_samples: int,
    part_of: Kept,
    *,
    domain: Domain | None,
    distribution: str | None = None,
    **more: Any,
) -> RegionCount:
    """As ``sampled``, a range of draws after the other, each of which ``part_of`` keeps.

    Raises ``Interrupted`` with the cells of all ranges until then.
    """
    started = time.perf_counter()
    target, law = _drawn_from(opened, domain, distribution)
    whole = list[Sample]()
    for draws in ranges_of(n_samples):
        asked = {"start": draws.start, "domain": domain, "distribution": law, **more}
        try:
            words = part_of(name_of(draws), partial(_drawn, target, len(draws), **asked))
        except KeyboardInterrupt as error:
            raise interrupted(max(1, getattr(error, "lower", 0), *map(len, whole))) from None
        whole = [merge_samples([*whole, _sample(words)])]
    found = whole[0].count(seconds=time.perf_counter() - started)
    return _named(found, opened, domain, distribution)


def ranges_of(n_samples: int) -> list[range]:
    """The ranges of draws that a job keeps, 32 at most.

    >>> ranges_of(1500)
    [range(0, 512), range(512, 1024), range(1024, 1500)]
    """
    size = -(-n_samples // (_RANGES * _STEP)) * _STEP
    return [range(at, min(at + size, n_samples)) for at in range(0, n_samples, size)]


def name_of(draws: range) -> str:
    """The name of a range of draws in a job."""
    return f"draws {draws.start} to {draws.stop - 1}"


_ARRAYS = {"hashes": (np.uint64, 2), "counts": (np.int64, 1), "firsts": (np.int64, 1)}
"""Kind and columns of the arrays of a sample."""


def _drawn(target: Any, n_samples: int, **asked: Any) -> dict[str, Any]:
    """A sample as JSON holds it."""
    sample = draw_sample(target, n_samples, **asked)
    given = {entry.name: getattr(sample, entry.name) for entry in fields(sample)}
    return given | {name: packed(given[name]) for name in _ARRAYS}


def _sample(words: dict[str, Any]) -> Sample:
    """The sample again; ``InvalidInput`` where it is none."""
    try:
        arrays = {name: unpacked(words[name], *kind) for name, kind in _ARRAYS.items()}
        counts, firsts = arrays["counts"][:, 0], arrays["firsts"][:, 0]
        ranges = tuple((int(seed), int(start), int(stop)) for seed, start, stop in words["ranges"])
        more = {**words, "hashes": arrays["hashes"], "counts": counts, "firsts": firsts}
        found = Sample(**{**more, "ranges": ranges})
        if not len(found.hashes) == len(counts) == len(firsts):
            raise ValueError
    except (TypeError, ValueError, KeyError, AttributeError):
        raise damaged("a range of draws") from None
    return found


def _drawn_from(
    opened: Heads, domain: Domain | None, distribution: str | None
) -> tuple[Any, str | None]:
    """What is sampled, and the law of its draws."""
    if distribution is None and domain is None:
        return opened.target if opened.states is None else _from_context(opened), "gaussian"
    return opened.target, distribution


def _named(
    found: RegionCount, opened: Heads, domain: Domain | None, distribution: str | None
) -> RegionCount:
    """The count with the law in words."""
    law = distribution or default_law(opened, domain)
    return replace(found, stats={**found.stats, "distribution": law})


def _from_context(opened: Heads) -> Any:
    """The target as a function of ``g``, the state being ``mean + width * g``."""
    centre, width = scatter(opened.states)
    matrix = (_SPREAD * width or 1.0) * np.eye(len(centre))
    if isinstance(opened.target, Network):
        return Network([Affine(matrix, centre), *opened.target.layers])
    heads: tuple[TropicalPolynomial, ...] = opened.heads
    return [head.pullback(matrix, centre) for head in heads] or opened.target

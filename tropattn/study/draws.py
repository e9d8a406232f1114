"""The sampler on what a file holds: one law of its draws wherever none is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tropattn.attention.networks.feedforward import Affine
from tropattn.attention.networks.network import Network
from tropattn.polyhedra.domain import Domain
from tropattn.progress import Listening
from tropattn.regions.result import RegionCount
from tropattn.regions.sampling.sampler import Judge, sample_judged
from tropattn.study.inputs import Heads, scatter
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["default_law", "sampled"]

_SPREAD = 10
"""How much wider than the context's states the default draws are."""


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
    law = distribution or default_law(opened, domain)
    target: Any = opened.target
    around = distribution is None and domain is None and opened.states is not None
    found = sample_judged(
        _from_context(opened) if around else target,
        n_samples,
        judge,
        seed=seed,
        domain=domain,
        distribution=distribution or ("gaussian" if domain is None else None),
        method=method,
        threads=threads,
        progress=progress,
    )
    return replace(found, stats={**found.stats, "distribution": law})


def _from_context(opened: Heads) -> Any:
    """The target as a function of ``g``, the state being ``mean + width * g``."""
    centre, width = scatter(opened.states)
    matrix = (_SPREAD * width or 1.0) * np.eye(len(centre))
    if isinstance(opened.target, Network):
        return Network([Affine(matrix, centre), *opened.target.layers])
    heads: tuple[TropicalPolynomial, ...] = opened.heads
    return [head.pullback(matrix, centre) for head in heads] or opened.target

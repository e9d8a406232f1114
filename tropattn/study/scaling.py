"""How counts grow with the number of keys: exact counts, bound and sampler in one table.

Two families: parabola strips, which attain the sharp bounds (theory T6, T7), and Gaussian heads,
where keys die and counts fall short of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from tropattn.attention.constructions import parabola_strips
from tropattn.attention.initialisers import gaussian_heads
from tropattn.errors import InvalidInput
from tropattn.record import Record
from tropattn.regions import bounds
from tropattn.regions.count import count_regions, upper_bound
from tropattn.regions.result import RegionCount
from tropattn.regions.sampling import sample_regions
from tropattn.study.layer import Step, agree, with_terms
from tropattn.tropical.live import live_terms
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["FAMILIES", "Fit", "ScalingSpec", "power_law", "run"]

FAMILIES = ("strips", "gaussian")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingSpec:
    """Settings of ``run``.

    Attributes
    ----------
    families : of ``"strips"`` and ``"gaussian"``.
    keys, heads, dim : the numbers N and H that are combined, and the dimension d of the variable.
    central : all heads share a centre (T7) instead of being affine (T6).
    samples : draws of the sampler a row, 0 for none; seed : of Gaussian heads and draws.
    max_cells, threads : as for ``count_regions``.
    """

    families: Sequence[str] = FAMILIES
    keys: Sequence[int] = (2, 3, 4, 5)
    heads: Sequence[int] = (1, 2, 3)
    dim: int = 2
    central: bool = False
    samples: int = 20_000
    seed: int = 0
    max_cells: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("keys", 1), ("heads", 1)):
            values = getattr(self, name)
            if not values or min(values) < least:
                raise InvalidInput(
                    f"{name}: numbers >= {least} needed, got {list(values)}; e.g. 2,3,4."
                )
        if self.dim < (2 if self.central else 1):
            raise InvalidInput(
                f"dim: at least {2 if self.central else 1} needed, got {self.dim}; central heads "
                "use one dimension for their centre."
            )
        unknown = [name for name in self.families if name not in FAMILIES]
        if unknown or not self.families:
            raise InvalidInput(
                f"family: one of {', '.join(FAMILIES)} needed, got {unknown or 'none'}; "
                "see tropattn scaling --help."
            )


@dataclass(frozen=True, slots=True)
class Fit:
    """Slope of ``log y`` against ``log x`` by least squares, and its standard error.

    The error is None for fewer than three points, where a line leaves no residual to judge by.
    """

    exponent: float
    error: float | None
    points: int


def power_law(x: Sequence[int], y: Sequence[int]) -> Fit | None:
    """Fit ``y = c x^p`` by ordinary least squares in logarithms; None for fewer than two ``x``.

    Parameters
    ----------
    x, y : positive numbers, y of any size.

    >>> power_law([1, 2, 4], [3, 12, 48])
    Fit(exponent=2.0, error=0.0, points=3)
    """
    u = np.array([math.log2(v) for v in x])
    v = np.array([math.log2(w) for w in y])
    if len(set(x)) < 2:
        return None
    u_mean, v_mean = u.mean(), v.mean()
    spread = float(((u - u_mean) ** 2).sum())
    slope = float(((u - u_mean) * (v - v_mean)).sum()) / spread
    rest = v - v_mean - slope * (u - u_mean)
    error = None
    if len(u) > 2:
        error = math.sqrt(float((rest**2).sum()) / (len(u) - 2) / spread)
    return Fit(slope, error, len(u))


def run(spec: ScalingSpec, step: Step = nullcontext) -> Record:
    """Count every combination of family, H and N, and fit exponents of N.

    Returns
    -------
    Record
        Table ``rows``: family, heads, keys, live keys a head, and the counts ``exact``, ``bound``
        (N keys a head in dimension d), ``bound_live`` (live keys at the effective rank) and
        ``sampled``. Table ``exponents``: a row for each family and H with the fitted exponents of
        the exact counts and of the bound, and the theoretical one of the bound.

    Raises
    ------
    EngineError : two witnesses contradict each other.
    BudgetExceeded, Interrupted : with ``.lower`` of the row under way.

    Notes
    -----
    Source: theory T6, T7; a head is a function of the seed. Cost: one count and ``samples`` draws
    a row.
    """
    rows: list[dict[str, Any]] = []
    for family in spec.families:
        for n_heads in spec.heads:
            for n_keys in spec.keys:
                with step(f"{family}: {n_heads} heads, {n_keys} keys"):
                    rows.append(_row(spec, family, n_heads, n_keys))
    return Record(
        "scaling",
        {
            "families": spec.families,
            "keys": spec.keys,
            "heads": spec.heads,
            "dim": spec.dim,
            "central": spec.central,
            "samples": spec.samples,
            "max_cells": spec.max_cells,
        },
        {},
        {"rows": rows, "exponents": _exponents(spec, rows)},
        spec.seed,
    )


def _row(spec: ScalingSpec, family: str, n_heads: int, n_keys: int) -> dict[str, Any]:
    heads = _heads(spec, family, n_heads, n_keys)
    live = [live_terms(head, threads=spec.threads).live for head in heads]
    counts: dict[str, RegionCount] = {
        "exact": count_regions(heads, max_cells=spec.max_cells, threads=spec.threads),
        "bound": upper_bound([with_terms(f, kept) for f, kept in zip(heads, live, strict=True)]),
    }
    if spec.samples:
        counts["sampled"] = sample_regions(
            heads,
            spec.samples,
            seed=spec.seed,
            distribution=_draws(spec, family, n_keys),
            threads=spec.threads,
        )
    agree(counts)
    plain_bound = bounds.layer([n_keys] * n_heads, spec.dim, spec.central)
    agree({"exact": counts["exact"], "bound": plain_bound})
    return {
        "family": family,
        "heads": n_heads,
        "keys": n_keys,
        "live": [len(kept) for kept in live],
        "exact": counts["exact"],
        "bound": plain_bound,
        "bound_live": counts["bound"],
        "sampled": counts.get("sampled"),
    }


def _heads(spec: ScalingSpec, family: str, n_heads: int, n_keys: int) -> list[TropicalPolynomial]:
    if family == "strips":
        return parabola_strips([n_keys] * n_heads, spec.dim, spec.central)
    return gaussian_heads(n_keys, n_heads, spec.dim, seed=spec.seed, central=spec.central)


def _draws(spec: ScalingSpec, family: str, n_keys: int) -> Any:
    """Standard normal states, widened so that they reach the walls of strips (at t - 1/2)."""
    if family == "gaussian":
        return "gaussian"
    stream = np.random.Generator(np.random.Philox(spec.seed))
    draws = stream.standard_normal((spec.samples, spec.dim))
    if spec.central:
        # Homogenised strips: walls at x_i / x_d in the same range.
        draws[:, :-1] *= n_keys
        return draws
    return n_keys * draws


def _exponents(spec: ScalingSpec, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    table = []
    for family in spec.families:
        for n_heads in spec.heads:
            chosen = [r for r in rows if r["family"] == family and r["heads"] == n_heads]
            keys = [r["keys"] for r in chosen]
            effective = spec.dim - 1 if spec.central else spec.dim
            table.append(
                {
                    "family": family,
                    "heads": n_heads,
                    "exact": power_law(keys, [r["exact"].value for r in chosen]),
                    "bound": power_law(keys, [r["bound"].value for r in chosen]),
                    "theory": min(n_heads, effective),
                }
            )
    return table

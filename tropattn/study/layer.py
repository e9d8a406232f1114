"""One layer from weights to witnesses: the path of the package, read top to bottom.

weights -> heads -> tropical polynomials -> power diagrams and Newton polytopes, one per head ->
common refinement -> exact count -> sharp bound and sampler, which must agree with it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tropattn.errors import EngineError
from tropattn.polyhedra.domain import Domain
from tropattn.record import Record
from tropattn.regions.count import count_regions, upper_bound
from tropattn.regions.result import RegionCount, decimal
from tropattn.study.draws import sampled
from tropattn.study.inputs import Heads, Source
from tropattn.tropical.geometry.live_terms import live_terms
from tropattn.tropical.geometry.newton import NewtonPolytope
from tropattn.tropical.max_affine import with_terms
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["LayerSpec", "Step", "agree", "agree_on_head", "run"]

_VERTICES, _FACE_DIM = 40, 5
"""Largest polytopes whose faces are listed."""

Step = Callable[[str], AbstractContextManager[Any]]
"""Opens the named step of a study; a caller shows it and times it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """Settings of ``run``.

    Attributes
    ----------
    source : file and context.
    domain : where cells are counted; None is the whole space of the variable.
    engine, max_cells, threads : as for ``count_regions``.
    samples, seed : of the sampler, which draws by ``draws.default_law``; 0 samples leave it out.
    """

    source: Source
    domain: Domain | None = None
    engine: str = "auto"
    max_cells: int | None = None
    samples: int = 100_000
    seed: int = 0
    threads: int | None = None


def run(
    opened: Heads,
    spec: LayerSpec,
    step: Step = nullcontext,
    tell: Callable[[Record], object] = lambda _: None,
) -> Record:
    """Count the routing cells of one layer and hold three witnesses against each other.

    Parameters
    ----------
    opened : the heads of ``spec.source``, by ``open_heads``.
    spec : the question.
    step : opens each step by name, for progress.
    tell : takes the record as it stands after each step but the last one.

    Returns
    -------
    Record
        Counts ``exact``, ``bound`` (T6 or T7 for the keys given, as ``upper_bound``),
        ``bound_live`` (for the live keys) and ``sampled``; table ``heads``, one row per head: keys,
        live and dead ones by name, cells, sites and walls of the power diagram, vertices and
        f-vector of the Newton polytope (None for large ones).

    Raises
    ------
    InvalidInput : a domain that does not fit.
    EngineError : two witnesses contradict each other.
    BudgetExceeded, Interrupted : with ``.lower``.

    Notes
    -----
    Source: theory T1-T7. Cost: that of ``count_regions``, and one linear program a key.
    """
    settings = {name: getattr(spec, name) for name in ("source", "engine", "max_cells", "samples")}
    settings |= {"variable": opened.variable}
    with step("live keys, power diagrams, Newton polytopes"):
        rows, live = _describe(opened, spec)
    tell(Record("layer", settings, {}, {"heads": rows}, spec.seed))
    with step("counting the cells of the common refinement"):
        exact = count_regions(
            opened.target,
            spec.domain,
            engine=spec.engine,
            max_cells=spec.max_cells,
            threads=spec.threads,
        )
    settings |= {"domain": exact.domain}
    tell(Record("layer", settings, {"exact": exact}, {"heads": rows}, spec.seed, exact))
    with step("sharp bound and sampler"):
        bound, bound_live = (upper_bound(of, spec.domain) for of in (opened.target, live))
        counts = {"exact": exact, "bound": bound, "bound_live": bound_live}
        if spec.samples:
            where, threads = spec.domain, spec.threads
            counts["sampled"] = sampled(
                opened, spec.samples, seed=spec.seed, domain=where, threads=threads
            )
        agree(counts)
    return Record("layer", settings, counts, {"heads": rows}, spec.seed, exact)


def agree(counts: dict[str, RegionCount]) -> None:
    """Assert sampled <= exact <= bound_live <= bound, for those that are there.

    Raises ``EngineError`` for witnesses that contradict each other.

    >>> agree({"exact": RegionCount(3, "exact", "cells", "R^2", "enumeration"),
    ...        "bound": RegionCount(2, "upper", "cells", "R^2", "T6")})
    Traceback (most recent call last):
    tropattn.errors.EngineError: count: exact 3 <= bound 2 needed; ...
    """
    names = ("sampled", "exact", "bound_live", "bound")
    order = [(name, counts[name]) for name in names if name in counts]
    for (low_name, low), (high_name, high) in pairwise(order):
        if low.value > high.value:
            raise EngineError(
                f"count: {low_name} {decimal(low.value)} <= {high_name} {decimal(high.value)} "
                f"needed; two witnesses contradict each other ({low.engine}, {high.engine}), "
                "please report the input."
            )


def agree_on_head(h: int, cells: RegionCount, live: int) -> None:
    """Assert that head ``h`` has as many cells as live keys; raises as ``agree``."""
    if cells.value != live:
        raise EngineError(
            f"count: as many cells as live keys needed for head {h}, got {cells.value} and "
            f"{live}; two witnesses contradict each other, please report the input."
        )


def _describe(
    opened: Heads, spec: LayerSpec
) -> tuple[list[dict[str, Any]], list[TropicalPolynomial]]:
    """One row per head, and the heads with their live terms only."""
    rows, live = [], []
    for h, (head, names) in enumerate(zip(opened.heads, opened.keys, strict=True)):
        found = live_terms(head, spec.domain, threads=spec.threads)
        alone = count_regions(head, spec.domain, threads=spec.threads)
        agree_on_head(h, alone, len(found.live))
        live.append(with_terms(head, found.live))
        row: dict[str, Any] = {
            "head": h,
            "keys": head.n_terms,
            "distinct": len(head.distinct[0]),
            "cells": alone,
            "live": [names[j] for j in found.live.tolist()],
            "dead": [names[j] for j in found.dead.tolist()],
        }
        rows.append(row | _geometry(head))
    return rows, live


def _geometry(head: TropicalPolynomial) -> dict[str, Any]:
    """Facts on the whole space: power diagram (T2) and Newton polytope (T3)."""
    walls = head.power_diagram().adjacency()
    polytope = head.newton_polytope()
    return {
        "sites": head.n_terms,
        "walls": walls.number_of_edges(),
        "newton_vertices": len(polytope.indices),
        "newton_f_vector": _faces(polytope),
    }


def _faces(polytope: NewtonPolytope) -> tuple[int, ...] | None:
    """The f-vector where it is cheap, else None; float facets that fail Euler's relation too."""
    if len(polytope.indices) > _VERTICES or polytope.dim > _FACE_DIM:
        return None
    try:
        return polytope.f_vector()
    except EngineError:
        return None

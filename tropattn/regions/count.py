"""``count_regions`` and ``enumerate_regions``: choose an engine, run it, check and label it."""

from __future__ import annotations

import time
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tropattn.errors import BudgetExceeded, EngineError, Interrupted, InvalidInput
from tropattn.polyhedra.domain import Domain
from tropattn.progress import counting
from tropattn.regions import bounds
from tropattn.regions.certificates import CertificateFile, GroupWriter
from tropattn.regions.complex import RegionComplex
from tropattn.regions.direct_sum import independent_groups
from tropattn.regions.enumeration import Outcome, explore
from tropattn.regions.result import RegionCount
from tropattn.tropical.refinement import Refinement, domain_walls
from tropattn.tropical.stage import RoutingStage, on_parameters, stages_of

__all__ = ["count_regions", "enumerate_regions", "upper_bound"]

Engine = Literal["auto", "enumeration", "direct_sum"]


def count_regions(
    target: Any,
    domain: Domain | None = None,
    *,
    of: str = "cells",
    engine: str = "auto",
    certify: bool = False,
    certificate: str | Path | None = None,
    max_cells: int | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> RegionCount:
    """Count the routing cells of one layer exactly (theory T5, T8, T13).

    Parameters
    ----------
    target : a ``TropicalPolynomial``, a sequence of them (one a head), or a ``FixedLayer``.
    domain : an open convex ``Box``, ``Polytope``, ``Line`` or ``Slice``; None is the whole space.
    of : ``"cells"``.
    engine : ``"enumeration"`` (any domain), ``"direct_sum"`` (whole space, heads with independent
        spans), or ``"auto"``: direct_sum where it is proved to split the heads, else enumeration.
    certify : insist on engines that prove every decision, by forward error bounds in doubles or in
        rationals; all present ones do, and the result says so in ``certified`` either way.
    certificate : write a file that ``tropattn verify`` can check (and certify).
    max_cells : stop with ``BudgetExceeded`` beyond this many enumerated cells.
    threads : worker threads, default all; the result does not depend on it.
    progress : show a counter on stderr when the work takes more than two seconds.

    Raises
    ------
    InvalidInput : bad target, domain, engine or an empty domain.
    BudgetExceeded, Interrupted : with ``.lower``, a valid lower bound.

    Notes
    -----
    Enumeration costs a few small linear programs a cell; memory does not grow with the cells.

    Examples
    --------
    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> plane = TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
    >>> int(count_regions(plane)), int(count_regions([plane, plane.pullback([[-1, 0], [0, -1]])]))
    (3, 6)
    """
    stage = _single_stage(target)
    _check_options(of, engine)
    started = time.perf_counter()
    groups, ranks = _groups(stage, domain, engine)
    certificate_file = None
    if certificate is not None:
        units = on_parameters(stage.units, domain)
        walls = domain_walls(domain, units[0].dim + 1)
        certificate_file = CertificateFile(certificate, units, walls)
    factors: list[int] = []
    stats: dict[str, Any] = {}
    try:
        with counting("cells", progress) as report:
            for group in groups:
                refinement = Refinement.of([stage.units[h] for h in group], domain)
                writer = certificate_file and GroupWriter(certificate_file, refinement, group)
                part = explore(
                    refinement,
                    max_cells=max_cells,
                    threads=threads,
                    report=report,
                    certificate=writer,
                )
                _check_bound(part.cells, refinement)
                factors.append(part.cells)
                for name, value in part.stats().items():
                    stats[name] = stats.get(name, 0) + value
    except (BudgetExceeded, Interrupted) as error:
        error.lower = max(1, error.lower) * prod(factors)
        raise
    finally:
        if certificate_file is not None and len(factors) < len(groups):
            certificate_file.abandon()
    value = prod(factors)
    if certificate_file is not None:
        certificate_file.close(value)
    if ranks is None:
        refinement = Refinement.of(stage.units, domain)
        stats = {"rank": refinement.dim, "central": refinement.central, **stats}
    else:
        stats = {"groups": groups, "ranks": ranks, "factors": factors, **stats}
    stats["seconds"] = time.perf_counter() - started
    name = "enumeration" if ranks is None else "direct_sum"
    where = _domain_name(stage, domain)
    return RegionCount(value, "exact", "cells", where, name, True, 0, stats)


def _groups(
    stage: RoutingStage, domain: Domain | None, engine: str
) -> tuple[list[list[int]], list[int] | None]:
    """Groups of heads to count apart, with their ranks; one group and None for enumeration."""
    everything = [list(range(len(stage.units)))]
    if engine == "enumeration" or (engine == "auto" and domain is not None):
        return everything, None
    if domain is not None:
        raise InvalidInput(
            f"engine: direct_sum needs the whole space, got {domain.describe()}; windows and "
            "slices couple the heads, use engine='enumeration'."
        )
    groups, ranks = independent_groups(stage.units)
    if len(groups) > 1:
        return groups, ranks
    if engine == "direct_sum" and len(stage.units) > 1:
        raise InvalidInput(
            "engine: heads with independent spans needed for direct_sum, got "
            f"{len(stage.units)} heads that share a span of rank {sum(ranks)}; "
            "use engine='enumeration'."
        )
    return (groups, ranks) if engine == "direct_sum" and groups else (everything, None)


def enumerate_regions(
    target: Any,
    domain: Domain | None = None,
    *,
    max_cells: int = 1_000_000,
    threads: int | None = None,
    progress: bool = False,
) -> RegionComplex:
    """List the routing cells of one layer: pattern and witness point of each (theory T5).

    Parameters as in ``count_regions``. Memory O(cells * (H + d)).

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> enumerate_regions([TropicalPolynomial([[0], [1]]),
    ...                    TropicalPolynomial([[0], [1]], [0, -1])]).patterns.tolist()
    [[0, 0], [1, 0], [1, 1]]
    """
    stage = _single_stage(target)
    refinement = Refinement.of(stage.units, domain)
    with counting("cells", progress) as report:
        outcome = explore(
            refinement, emit=True, max_cells=max_cells, threads=threads, report=report
        )
    _check_bound(outcome.cells, refinement)
    rows, z = _collected(outcome)
    patterns = refinement.pattern(rows)
    order = np.lexsort(patterns.T[::-1])
    ambient = refinement.to_ambient(z[order])
    patterns = patterns[order]
    patterns.setflags(write=False)
    ambient.setflags(write=False)
    stats = {"rank": refinement.dim, "central": refinement.central, **outcome.stats()}
    return RegionComplex(patterns, ambient, _domain_name(stage, domain), stage, stats)


def upper_bound(target: Any, domain: Domain | None = None) -> RegionCount:
    """The sharp closed-form bound that applies to a target: T6 or T7 at its effective rank.

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> int(upper_bound([TropicalPolynomial([[0], [1], [2]])] * 2))
    2
    """
    return _bound(Refinement.of(_single_stage(target).units, domain))


def _bound(refinement: Refinement) -> RegionCount:
    counts = np.diff(refinement.starts).tolist()
    central = refinement.central and not len(refinement.walls)
    return bounds.layer(counts, refinement.dim, central)


def _check_bound(cells: int, refinement: Refinement) -> None:
    bound = _bound(refinement)
    if cells > bound.value or cells < 1:
        raise EngineError(
            f"count: between 1 and {bound.value} cells ({bound.engine}) expected, got {cells}; "
            "two witnesses contradict each other, please report the input."
        )


def _collected(outcome: Outcome) -> tuple[Any, Any]:
    return np.vstack(outcome.patterns), np.vstack(outcome.points)


def _single_stage(target: Any) -> RoutingStage:
    stages = stages_of(target)
    if len(stages) != 1:
        raise InvalidInput(
            f"target: one layer needed, got {len(stages)} stages; counting across depth is not "
            "available in this version."
        )
    return stages[0]


def _check_options(of: str, engine: str) -> None:
    if of != "cells":
        raise InvalidInput(
            f"of: 'cells' needed, got {of!r}; other counts are not available in this version."
        )
    if engine not in ("auto", "enumeration", "direct_sum"):
        raise InvalidInput(
            f"engine: 'auto', 'enumeration' or 'direct_sum' needed, got {engine!r}; "
            "see docs/choosing.md."
        )


def _domain_name(stage: RoutingStage, domain: Domain | None) -> str:
    return f"R^{stage.dim}" if domain is None else domain.describe()

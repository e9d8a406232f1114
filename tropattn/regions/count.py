"""``count_regions`` and ``enumerate_regions``: choose an engine, run it, check and label it."""

from __future__ import annotations

import operator
import threading
import time
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from tropattn.arrays import freeze
from tropattn.errors import BudgetExceeded, Interrupted, InvalidInput
from tropattn.outputs import output_path
from tropattn.polyhedra.domain import Domain, as_domain
from tropattn.progress import LEFT_OVER, counting
from tropattn.regions import bounds, relu_plane
from tropattn.regions.certificates import CertificateFile, GroupWriter
from tropattn.regions.complex import RegionComplex
from tropattn.regions.depth import count_depth, enumerate_depth
from tropattn.regions.direct_sum import independent_groups
from tropattn.regions.engines import ENGINES, count_cells
from tropattn.regions.enumeration import Outcome, explore
from tropattn.regions.line import applies, line_cells
from tropattn.regions.live_lines import count_live, enumerate_live
from tropattn.regions.result import RegionCount, check_bound, check_budget, one_cell, out_of_memory
from tropattn.threads import aside, interrupted, stoppable, thread_count
from tropattn.tropical.live_stack import MovesTokens
from tropattn.tropical.max_affine import on_parameters
from tropattn.tropical.refinement import Refinement, domain_walls
from tropattn.tropical.stage import RoutingStage, stages_of
from tropattn.tropical.witness import inner_points

__all__ = ["count_regions", "enumerate_regions", "upper_bound"]


@stoppable(one_cell)
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
    stop: threading.Event | None = None,
) -> RegionCount:
    """Count the routing cells of a layer or network exactly (theory T5, T8, T12, T13).

    Parameters
    ----------
    target : a ``TropicalPolynomial``, a sequence of them (one a head), a ``FixedLayer``, a
        ``Network``, or a ``LiveNetwork``, whose domain is a ``Line`` (T11).
    domain : an open convex ``Box``, ``Polytope``, ``Line`` or ``Slice``; None is the whole space.
    of : ``"cells"``, or ``"linear_regions"`` of a ``FixedLayer`` or ``Network``: cells joined where
        their maps are equal and their closures meet in dimension d - 1 (T13).
    engine : ``"line"`` (one parameter), ``"plane"`` (heads in a plane, or central in R^3; networks
        of ReLU and affine layers on a bounded window), ``"subsets"`` (one dimension more),
        ``"enumeration"`` (any domain), ``"direct_sum"`` (whole space, heads with independent
        spans), or ``"auto"``: the first that applies and proves its hypotheses, with direct_sum
        before the others (docs/engines.md).
    certify : insist on engines that prove every decision, by forward error bounds in doubles or in
        rationals; all present ones do, and the result says so in ``certified`` either way.
    certificate : write a file that ``tropattn verify`` can check (and certify).
    max_cells : stop with ``BudgetExceeded`` beyond this many enumerated cells.
    threads : worker threads, default all; the result does not depend on it.
    progress : show a counter on stderr when the work takes more than two seconds.
    stop : an event that ends the count from another thread, as Ctrl-C does from the main one:
        within half a second ``Interrupted`` is raised, with the lower bound so far.

    Raises
    ------
    InvalidInput : bad target, domain, engine or an empty domain.
    BudgetExceeded, Interrupted : with ``.lower``, a valid lower bound.

    Notes
    -----
    Lines cost O(N log N) a head, planes the crossings of walls, enumeration a few small linear
    programs a cell; its memory does not grow with the cells. The line engine keeps what it counts,
    about 200 bytes a cell; it and the others without cells (plane, subsets) compare ``max_cells``
    with their result.

    Examples
    --------
    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> plane = TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
    >>> int(count_regions(plane)), int(count_regions([plane, plane.pullback([[-1, 0], [0, -1]])]))
    (3, 6)
    """
    domain, max_cells = as_domain(domain), _limit(max_cells)
    thread_count(threads)
    if certificate is not None:
        output_path(certificate, "certificate")
    if isinstance(target, MovesTokens):
        _check_of(of, engine, certificate)
        with counting("intervals", progress) as report:
            stack = target.live_stack()
            return count_live(stack, domain, of=of, max_cells=max_cells, report=report)
    stages = _checked(target, of, engine)
    if of == "cells" and certificate is None and relu_plane.chosen(stages, domain, engine):
        with counting("cells", progress) as report:
            return relu_plane.count_plane(
                stages, domain, max_cells=max_cells, threads=threads, report=report
            )
    if len(stages) > 1 or of != "cells":
        if certificate is not None:
            raise InvalidInput(
                "certificate: cells of one layer needed, got a count across depth or of regions; "
                "leave it out."
            )
        left = "cells to be joined" if of != "cells" else LEFT_OVER
        with counting("cells", progress, left) as report:
            return count_depth(
                stages, domain, of=of, max_cells=max_cells, threads=threads, report=report
            )
    stage = stages[0]
    started = time.perf_counter()
    if engine == "line" or (
        engine == "auto" and certificate is None and applies(stage.units, domain)
    ):
        return _on_line(stage, domain, max_cells, threads, progress)
    groups, ranks = _groups(stage, domain, engine)
    file = None
    if certificate is not None:
        units = on_parameters(stage.units, domain)
        file = CertificateFile(certificate, units, domain_walls(domain, units[0].dim + 1))
    factors: list[int] = []
    stats: dict[str, Any] = {}
    name = "direct_sum"
    try:
        with counting("cells", progress) as report:
            for group in groups:
                refinement = Refinement.ready([stage.units[h] for h in group], domain)
                if file is None:
                    refinement = aside(refinement.without_twins)
                cells, used, work = count_cells(
                    refinement,
                    engine,
                    max_cells=max_cells,
                    threads=threads,
                    report=report,
                    certificate=file and GroupWriter(file, refinement, group),
                )
                _check_bound(cells, refinement)
                factors.append(cells)
                for key, value in work.items():
                    stats[key] = stats.get(key, 0) + value
                if ranks is None:
                    name = used
                    stats = {"rank": refinement.dim, "central": refinement.central, **stats}
        value = prod(factors)
        if file is not None:
            file.close(value)
    except (BudgetExceeded, Interrupted) as error:
        error.lower = max(1, error.lower) * prod(factors)
        raise
    except MemoryError as error:
        raise out_of_memory(error, prod(factors)) from None
    except KeyboardInterrupt:
        raise interrupted(one_cell(target, domain) * prod(factors)) from None
    finally:
        if file is not None:
            file.abandon()
    if ranks is not None:
        stats = {"groups": groups, "ranks": ranks, "factors": factors, **stats}
    stats["seconds"] = time.perf_counter() - started
    where = _domain_name(stage, domain)
    return RegionCount(value, "exact", "cells", where, name, True, 0, stats)


def _on_line(
    stage: RoutingStage,
    domain: Domain | None,
    max_cells: int | None,
    threads: int | None,
    progress: bool,
) -> RegionCount:
    """Count the intervals of a layer on a line (T11)."""
    started = time.perf_counter()
    with counting("cells", progress) as report:
        cells = line_cells(stage, domain, threads=threads, report=report)
    bound = bounds.layer([unit.n_terms for unit in stage.units], 1)
    check_bound(len(cells), bound.value, bound.engine)
    check_budget(len(cells), max_cells)
    stats = {
        "breakpoints": len(cells) - 1,
        "changes": sum(len(c) for c in cells.changes),
        "seconds": time.perf_counter() - started,
    }
    where = _domain_name(stage, domain)
    return RegionCount(len(cells), "exact", "cells", where, "line", True, 0, stats)


def _groups(
    stage: RoutingStage, domain: Domain | None, engine: str
) -> tuple[list[list[int]], list[int] | None]:
    """Groups of heads to count apart, with their ranks; one group and None for enumeration."""
    everything = [list(range(len(stage.units)))]
    if engine not in ("auto", "direct_sum") or (engine == "auto" and domain is not None):
        return everything, None
    if domain is not None:
        raise InvalidInput(
            f"engine: direct_sum needs the whole space, got {domain.describe()}; windows and "
            "slices couple the heads, use engine='enumeration'."
        )
    groups, ranks = aside(independent_groups, stage.units)
    if len(groups) > 1:
        return groups, ranks
    if engine == "direct_sum" and len(stage.units) > 1:
        raise InvalidInput(
            "engine: heads with independent spans needed for direct_sum, got "
            f"{len(stage.units)} heads that share a span of rank {sum(ranks)}; "
            "use engine='enumeration'."
        )
    return (groups, ranks) if engine == "direct_sum" and groups else (everything, None)


@stoppable(one_cell)
def enumerate_regions(
    target: Any,
    domain: Domain | None = None,
    *,
    max_cells: int = 1_000_000,
    threads: int | None = None,
    progress: bool = False,
    stop: threading.Event | None = None,
) -> RegionComplex:
    """List the routing cells of a layer or network: pattern and witness of each (theory T5, T12).

    Parameters as in ``count_regions``. Memory O(cells * (H + d)).

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> enumerate_regions([TropicalPolynomial([[0], [1]]),
    ...                    TropicalPolynomial([[0], [1]], [0, -1])]).patterns.tolist()
    [[0, 0], [1, 0], [1, 1]]
    """
    domain, max_cells = as_domain(domain), _limit(max_cells)
    thread_count(threads)
    if isinstance(target, MovesTokens):
        with counting("intervals", progress) as report:
            return enumerate_live(target.live_stack(), domain, max_cells=max_cells, report=report)
    stages = _checked(target, "cells", "enumeration")
    if len(stages) > 1:
        with counting("cells", progress) as report:
            return enumerate_depth(
                stages, domain, max_cells=max_cells, threads=threads, report=report
            )
    stage = stages[0]
    whole = Refinement.ready(stage.units, domain)
    refinement = aside(whole.without_twins)
    with counting("cells", progress) as report:
        outcome = explore(
            refinement, emit=True, max_cells=max_cells, threads=threads, report=report
        )
    _check_bound(outcome.cells, refinement)
    try:
        patterns, witnesses, inside = aside(_sorted, outcome, stage, refinement, whole)
    except KeyboardInterrupt:
        raise interrupted(outcome.cells) from None
    stats = {"rank": refinement.dim, "central": refinement.central, **outcome.stats()}
    where = _domain_name(stage, domain)
    return RegionComplex(patterns, witnesses, inside, where, stage, stats)


@stoppable(one_cell)
def upper_bound(
    target: Any, domain: Domain | None = None, *, stop: threading.Event | None = None
) -> RegionCount:
    """The closed-form bound that applies to a target: T6 or T7 at its rank, T14 across depth.

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> int(upper_bound([TropicalPolynomial([[0], [1], [2]])] * 2))
    2
    """
    domain = as_domain(domain)
    if isinstance(target, MovesTokens):
        return bounds.depth(target)
    stages = list(stages_of(target))
    if len(stages) > 1:
        return bounds.depth(stages, domain)
    return _bound(aside(Refinement.of, stages[0].units, domain))


def _bound(refinement: Refinement) -> RegionCount:
    counts = np.diff(refinement.starts).tolist()
    central = refinement.central and not len(refinement.walls)
    return bounds.layer(counts, refinement.dim, central)


def _check_bound(cells: int, refinement: Refinement) -> None:
    bound = _bound(refinement)
    check_bound(cells, bound.value, bound.engine)


def _sorted(
    outcome: Outcome, stage: RoutingStage, refinement: Refinement, whole: Refinement
) -> tuple[Any, Any, Any]:
    """Patterns in lexicographic order, a witness of each, and whether it is proved inside.

    ``refinement`` was searched; ``whole`` has the twins of its heads too, in the same columns.
    """
    rows, z = np.vstack(outcome.patterns), np.vstack(outcome.points)
    patterns = refinement.of_all_heads(refinement.pattern(rows))
    order = np.lexsort(patterns.T[::-1])
    patterns = patterns[order]
    rows = whole.rows_of(patterns)
    witnesses, inside = inner_points(stage.units, whole, rows, z[order])
    return freeze(patterns), witnesses, inside


def _checked(target: Any, of: str, engine: str) -> list[RoutingStage]:
    """The stages of a target, with ``of`` and ``engine`` checked against them."""
    stages = list(stages_of(target))
    if of not in ("cells", "linear_regions"):
        raise InvalidInput(f"of: 'cells' or 'linear_regions' needed, got {of!r}; choose one.")
    if engine not in ENGINES:
        raise InvalidInput(
            f"engine: one of {', '.join(ENGINES)} needed, got {engine!r}; see docs/engines.md."
        )
    across = ("auto", "enumeration", "plane") if of == "cells" else ("auto", "enumeration")
    if engine not in across and (len(stages) > 1 or of != "cells"):
        raise InvalidInput(
            f"engine: {engine} counts cells of one layer, got a count across depth or of "
            "regions; use engine='auto'."
        )
    return stages


def _check_of(of: str, engine: str, certificate: str | Path | None) -> None:
    """What lines with live keys do not have."""
    if of not in ("cells", "linear_regions"):
        raise InvalidInput(f"of: 'cells' or 'linear_regions' needed, got {of!r}; choose one.")
    if engine not in ("auto", "line"):
        raise InvalidInput(
            f"engine: 'auto' or 'line' needed where keys are live, got {engine!r}; other engines "
            "take fixed keys."
        )
    if certificate is not None:
        raise InvalidInput(
            "certificate: cells of one layer needed, got a line with live keys; leave it out."
        )


def _limit(max_cells: Any) -> Any:
    """The limit on cells, an integer >= 1 or None for no limit."""
    if max_cells is None:
        return None
    try:
        limit = operator.index(max_cells)
    except TypeError:
        limit = 0
    if isinstance(max_cells, bool) or limit < 1:
        raise InvalidInput(
            f"max_cells: an integer >= 1 needed, got {max_cells!r}; leave it out for the default."
        )
    return limit


def _domain_name(stage: RoutingStage, domain: Domain | None) -> str:
    return f"R^{stage.dim}" if domain is None else domain.describe()

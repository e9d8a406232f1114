"""One refinement, one number: the fastest engine that proves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tropattn.errors import Degenerate, InvalidInput
from tropattn.regions import plane, subsets
from tropattn.regions.enumeration import Certificate, explore
from tropattn.regions.result import check_budget
from tropattn.tropical.refinement import Refinement

__all__ = ["ENGINES", "count_cells"]

ENGINES = ("auto", "line", "plane", "enumeration", "direct_sum", "subsets")

_STRATA_WORK = 300_000_000
"""Pairs of keys times keys up to which strata are preferred to enumeration."""


def count_cells(
    refinement: Refinement,
    engine: str = "auto",
    *,
    max_cells: int | None = None,
    threads: int | None = None,
    report: Callable[[int, int], None] | None = None,
    certificate: Certificate | None = None,
) -> tuple[int, str, dict[str, Any]]:
    """Number of cells, the engine that found it, and the work done.

    Three columns go to the plane engine and four to the subsets engine, where they prove the heads
    generic; everything else, and whatever needs a certificate file, is enumerated.

    Raises
    ------
    InvalidInput : the engine asked for does not apply. Degenerate : the subsets engine was asked
        for and its hypothesis is not proved. BudgetExceeded, Interrupted : with ``.lower``.
    """
    rank = refinement.rank
    if engine == "plane" and rank != 3:
        raise InvalidInput(
            f"engine: heads in a plane, or central in three dimensions, needed for plane, got "
            f"{refinement.dim} dimensions; use a plane Slice as domain, or engine='auto'."
        )
    if engine == "subsets" and rank not in (3, 4):
        raise InvalidInput(
            "engine: two or three dimensions (one more for central heads) needed for subsets, got "
            f"{refinement.dim}; use engine='enumeration'."
        )
    if certificate is None and (_splits(refinement, engine)):
        method = plane if rank == 3 else subsets
        found = method.euler_count(refinement, threads, report)
        if found is not None:
            cells, stats = found
            check_budget(cells, max_cells)
            return cells, "plane" if rank == 3 else "subsets", stats
        if engine == "subsets":
            raise Degenerate(
                "engine: walls in general position needed for subsets (no vertex of one head on a "
                "wall of another, no two crossings in one point), and doubles did not prove it; "
                "use engine='enumeration'."
            )
    outcome = explore(
        refinement,
        max_cells=max_cells,
        threads=threads,
        report=report,
        certificate=certificate,
    )
    name = "plane" if engine == "plane" else "enumeration"
    return outcome.cells, name, outcome.stats()


def _splits(refinement: Refinement, engine: str) -> bool:
    """Whether Euler's relation is to be tried."""
    if engine in ("plane", "subsets"):
        return True
    counts = np.diff(refinement.starts).astype(float)
    work = float((counts * (counts - 1) / 2).sum() * counts.sum())
    # The cells of a single head are its live keys, a program each: strata have nothing to add.
    strata = refinement.rank == 4 and len(counts) > 1 and work <= _STRATA_WORK
    return engine in ("auto", "direct_sum") and (refinement.rank == 3 or strata)

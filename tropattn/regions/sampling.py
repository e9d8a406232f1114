"""The points sampler: a lower bound that shares no counting code with the engines."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import sample as kernel
from tropattn.arrays import as_array, to_float
from tropattn.errors import Interrupted, InvalidInput
from tropattn.polyhedra._highs import bounding_box
from tropattn.polyhedra.domain import Domain
from tropattn.progress import counting
from tropattn.regions.result import RegionCount
from tropattn.threads import in_order
from tropattn.tolerance import UNIT
from tropattn.tropical.stage import on_parameters, stages_of

__all__ = ["sample_regions"]

Array = NDArray[Any]

_TILE = 1 << 14
_KINDS = {"gaussian": kernel.GAUSSIAN, "sphere": kernel.SPHERE}


def sample_regions(
    target: Any,
    n_samples: int,
    *,
    seed: int,
    domain: Domain | None = None,
    distribution: Any = None,
    method: str = "points",
    threads: int | None = None,
    progress: bool = False,
) -> RegionCount:
    """Count the distinct routing patterns among random points: a lower bound on the cells.

    Parameters
    ----------
    target : as for ``count_regions`` (one layer).
    n_samples : draws; draw ``i`` is a function of ``(seed, i)``, whatever the thread count.
    domain, distribution : uniform on a bounded domain, or ``"gaussian"`` (standard), ``"sphere"``
        (unit), or an array (m, d) of states, taken in order and at most m of them. A domain given
        with a distribution keeps the draws that fall inside; on a line or slice they are draws of
        the parameters.
    method : ``"points"``.

    Returns
    -------
    RegionCount of kind ``"lower"``. ``stats``: ``samples``, ``discarded`` (outside the domain, or
    so close to a wall that doubles cannot tell the winner), ``singletons`` (patterns seen once),
    ``unseen_mass`` (Good 1953: share of new draws expected to show a new cell; an estimate).

    Notes
    -----
    Cost O(n_samples * terms * d). Patterns are told apart by 128-bit hashes: a collision could only
    lower the count. Ties and rounding never invent a cell.

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> plane = TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
    >>> sample_regions(plane, 1000, seed=0, distribution="gaussian").value
    3
    """
    if method != "points":
        raise InvalidInput(f"method: 'points' needed, got {method!r}.")
    if n_samples < 1:
        raise InvalidInput(f"n_samples: a number >= 1 needed, got {n_samples}.")
    if not 0 <= seed < 2**63:
        raise InvalidInput(f"seed: an integer in 0..2^63 - 1 needed, got {seed}.")
    stages = stages_of(target)
    if len(stages) != 1:
        raise InvalidInput(
            f"target: one layer needed, got {len(stages)} stages; sampling across depth is not "
            "available in this version."
        )
    units = on_parameters(stages[0].units, domain)
    kind, low, high, states = _source(units[0].dim, domain, distribution)
    if kind == kernel.GIVEN:
        n_samples = min(n_samples, len(states))
    arrays = (*_scores(units), *_inside(domain, units[0].dim))
    started = time.perf_counter()
    seen: Array = np.zeros((0, 2), np.uint64)
    counts: Array = np.zeros(0, np.int64)
    kept = 0

    def work(start: int) -> Array:
        stop = min(start + _TILE, n_samples)
        hashes = np.empty((stop - start, 2), np.uint64)
        found = kernel.patterns(*arrays, seed, start, stop, kind, low, high, states, hashes)
        return hashes[:found]

    try:
        with counting("cells", progress) as report:
            tiles = range(0, n_samples, _TILE)
            for done, hashes in enumerate(in_order(work, tiles, threads), 1):
                kept += len(hashes)
                seen, counts = _merged(seen, counts, hashes)
                if report is not None:
                    report(len(seen), len(tiles) - done)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: at least {len(seen)} cells were seen before the stop.", len(seen)
        ) from None
    singletons = int((counts == 1).sum())
    stats = {
        "samples": n_samples,
        "discarded": n_samples - kept,
        "singletons": singletons,
        "unseen_mass": singletons / kept if kept else None,
        "seed": seed,
        "distribution": distribution if isinstance(distribution, str) else _source_name(kind),
        "seconds": time.perf_counter() - started,
    }
    where = f"R^{stages[0].dim}" if domain is None else domain.describe()
    return RegionCount(len(seen), "lower", "cells", where, "points sampler", stats=stats)


def _source_name(kind: int) -> str:
    return "states" if kind == kernel.GIVEN else "uniform"


def _source(dim: int, domain: Domain | None, distribution: Any) -> tuple[int, Array, Array, Array]:
    """Kind of draw, the box for uniform ones, and given states."""
    nothing = np.zeros(dim)
    no_states = np.zeros((0, dim))
    if isinstance(distribution, str):
        if distribution not in _KINDS:
            raise InvalidInput(
                f"distribution: 'gaussian', 'sphere' or an array of states needed, got "
                f"{distribution!r}."
            )
        return _KINDS[distribution], nothing, nothing, no_states
    if distribution is not None:
        states = as_array("distribution", distribution, 2, shape="(m, d)").astype(np.float64)
        if states.shape[1] != dim or not len(states):
            raise InvalidInput(
                f"distribution: states of shape (m, {dim}) with m >= 1 needed, got {states.shape}; "
                "on a line or slice give parameters."
            )
        return kernel.GIVEN, nothing, nothing, np.ascontiguousarray(states)
    if domain is None:
        raise InvalidInput(
            "domain, distribution: one of them needed, got neither; the uniform law on R^d does "
            "not exist, use distribution='gaussian' or a bounded domain."
        )
    low, high = bounding_box(*domain.walls)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise InvalidInput(
            f"domain: a bounded one needed for uniform draws, got {domain.describe()}; "
            "add distribution='gaussian' or bound it."
        )
    return kernel.UNIFORM, low, high, no_states


def _scores(units: Any) -> tuple[Array, Array, Array]:
    """Distinct terms of all heads with the rounding slack of a score, per unit of |x|_1 + 1."""
    terms, slack, starts = [], [], [0]
    for unit in units:
        firsts, _ = unit.distinct
        rows, errors = unit.float_terms()
        rows, errors = rows[firsts], errors[firsts]
        terms.append(rows)
        slack.append(1.01 * (errors.max(axis=1) + (unit.dim + 4) * UNIT * np.abs(rows).max(axis=1)))
        starts.append(starts[-1] + len(firsts))
    return np.vstack(terms), np.concatenate(slack), np.array(starts, dtype=np.int64)


def _inside(domain: Domain | None, dim: int) -> tuple[Array, Array]:
    if domain is None:
        return np.zeros((0, dim + 1)), np.zeros(0)
    a, b = domain.walls
    near, lost = to_float(a)
    right, right_lost = to_float(b)
    walls = np.column_stack([near, -right])
    loss = np.column_stack([lost, right_lost]).max(axis=1)
    slack = 1.01 * (loss + (dim + 4) * UNIT * np.abs(walls).max(axis=1))
    return walls, slack


def _merged(seen: Array, counts: Array, hashes: Array) -> tuple[Array, Array]:
    """Union of sorted hash pairs with their counts."""
    rows = np.vstack([seen, hashes])
    weight = np.concatenate([counts, np.ones(len(hashes), np.int64)])
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    rows, weight = rows[order], weight[order]
    if not len(rows):
        return rows, weight
    fresh = np.ones(len(rows), dtype=bool)
    fresh[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    return rows[fresh], np.add.reduceat(weight, np.flatnonzero(fresh))

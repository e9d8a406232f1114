"""The sampler: a lower bound on the cells that shares no counting code with the engines."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import chords as chord_kernel
from tropattn._kernels import draws
from tropattn._kernels import sample as kernel
from tropattn.arrays import as_array, to_float
from tropattn.errors import Interrupted, InvalidInput
from tropattn.polyhedra._highs import bounding_box
from tropattn.polyhedra.domain import Domain
from tropattn.progress import counting
from tropattn.regions.estimates import Sample, Tally
from tropattn.regions.result import RegionCount
from tropattn.threads import in_order
from tropattn.tolerance import TINY, UNIT, gamma
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.stage import on_parameters, stages_of

__all__ = ["draw_sample", "sample_regions"]

Array = NDArray[Any]

_LAWS = {"gaussian": draws.GAUSSIAN, "sphere": draws.SPHERE, "ball": draws.BALL}
_METHODS = {"points": kernel.TILE, "lines": chord_kernel.TILE}
_WORK = 3e9
"""Multiply-adds a work item: 0.03 to 0.1 s of a core."""

_SINGLE_UNIT = 2.0**-24


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
    """Count the distinct routing patterns that random draws meet: a lower bound on the cells.

    Parameters
    ----------
    target : as for ``count_regions`` (one layer).
    n_samples : draws, points or chords; draw ``i`` is a function of ``(seed, i)``, whatever the
        thread count.
    domain, distribution : uniform on a bounded domain, or ``"gaussian"`` (standard), ``"sphere"``
        (unit), ``"ball"`` (unit), or an array (m, d) of states, taken in order (by points at most m
        of them). A domain given with a distribution keeps what falls inside; on a line or slice
        draws are of the parameters.
    method : ``"points"``, whose counts estimate volumes, or ``"lines"``: chords through the draws
        in random directions, with every cell that they cross. Lines find far more cells.

    Returns
    -------
    RegionCount of kind ``"lower"``; ``stats`` as in ``Sample.stats``, and ``seconds``.

    Raises
    ------
    InvalidInput : an unbounded domain without distribution, or a bad argument.
    Interrupted : with ``.lower``.

    Notes
    -----
    Points cost ``O(n_samples * terms * d)``, done in single precision where a proven bound allows;
    a chord costs that of two points, and two passes over a head's terms for each cell that it
    meets. Memory: about 100 bytes a distinct cell and 1 MB a thread. Patterns are told apart by
    128-bit hashes: a collision could only lower the count. Ties and rounding never invent a cell.
    Source: theory T5, T11 (lines).

    >>> plane = TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
    >>> sample_regions(plane, 1000, seed=0, distribution="gaussian").value
    3
    >>> sample_regions(plane, 16, seed=0, distribution="gaussian", method="lines").value
    3
    """
    started = time.perf_counter()
    sample = draw_sample(
        target,
        n_samples,
        seed=seed,
        domain=domain,
        distribution=distribution,
        method=method,
        threads=threads,
        progress=progress,
    )
    return sample.count(seconds=time.perf_counter() - started)


def draw_sample(
    target: Any,
    n_samples: int,
    *,
    seed: int,
    start: int = 0,
    domain: Domain | None = None,
    distribution: Any = None,
    method: str = "points",
    threads: int | None = None,
    progress: bool = False,
) -> Sample:
    """Draws ``start .. start + n_samples - 1`` and their cells, to be merged or counted.

    Parameters, errors and cost as for ``sample_regions``. A chord depends on up to 15 before it, so
    by lines ``start`` is a multiple of 16. ``merge_samples`` puts ranges together again.

    >>> draw_sample(TropicalPolynomial([[0], [1]]), 100, seed=0, distribution="gaussian").samples
    100
    """
    if method not in _METHODS:
        raise InvalidInput(
            f"method: 'points' or 'lines' needed, got {method!r}; points estimate volumes, lines "
            "find more cells."
        )
    _check_numbers(n_samples, seed, start, method)
    stages = stages_of(target)
    if len(stages) != 1:
        raise InvalidInput(
            f"target: one layer needed, got {len(stages)} stages; sampling across depth is not "
            "available in this version."
        )
    units = on_parameters(stages[0].units, domain)
    law, n_states = _law(units[0].dim, domain, distribution)
    stop = start + n_samples
    if law[0] == draws.GIVEN and method == "points":
        start, stop = min(start, n_states), min(stop, n_states)
    heads = [head for head in (_Head.of(unit) for unit in units) if len(head.rows) > 1]
    walls = _walls(domain, units[0].dim)
    name = _law_name(law[0], distribution)
    tally, discarded = _collect(heads, walls, law, method, seed, start, stop, threads, progress)
    return tally.sample(
        ranges=((seed, start, stop),),
        discarded=discarded,
        method=method,
        domain=f"R^{stages[0].dim}" if domain is None else domain.describe(),
        law=name,
        question=_digest(heads, walls, law, method),
    )


def _collect(
    heads: list[_Head],
    walls: _Walls,
    law: tuple[int, Array, Array, Array],
    method: str,
    seed: int,
    start: int,
    stop: int,
    threads: int | None,
    progress: bool,
) -> tuple[Tally, int]:
    """Run the kernels over ranges of draws on a pool and add up what they find."""
    dim = walls.rows.shape[1] - 1
    cost = (dim + 1) * (sum(len(head.rows) for head in heads) + 1)
    if method == "points":
        scores, inside = _scores(heads, dim), walls.inside()
        tile = kernel.TILE

        def work(first: int) -> tuple[Array, Array, int]:
            end = min(first - first % span + span, stop)
            hashes = np.empty((end - first, 2), np.uint64)
            indices = np.empty(end - first, np.int64)
            kept = kernel.patterns(scores, inside, law, seed, first, end, hashes, indices)
            return hashes[:kept], indices[:kept], end - first - kept
    else:
        rows = _rows(heads, walls, dim)
        tile = chord_kernel.TILE
        # A chord takes two products and a few passes over its terms in scalar code.
        cost = 8 * cost + 40 * cost // (dim + 1)

        def work(first: int) -> tuple[Array, Array, int]:
            end = min(first - first % span + span, stop)
            found = chord_kernel.visits(rows, law, seed, chord_kernel.STEPS, first, end)
            return found[0], found[1], found[4]

    span = tile * max(1, min(64, int(_WORK / (tile * cost))))
    starts = [start, *range(start - start % span + span, stop, span)] if start < stop else []
    tally = Tally()
    discarded = 0
    try:
        with counting("cells", progress) as report:
            for done, (hashes, indices, lost) in enumerate(in_order(work, starts, threads), 1):
                tally.add(hashes, indices)
                discarded += lost
                if report is not None:
                    report(tally.distinct, len(starts) - done)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: at least {tally.distinct} cells were seen before the stop.",
            tally.distinct,
        ) from None
    return tally, discarded


def _check_numbers(n_samples: int, seed: int, start: int, method: str) -> None:
    if n_samples < 1:
        raise InvalidInput(f"n_samples: a number >= 1 needed, got {n_samples}; ask for a draw.")
    if not 0 <= seed < 2**63:
        raise InvalidInput(
            f"seed: an integer in 0..2^63 - 1 needed, got {seed}; any such number will do."
        )
    step = chord_kernel.STEPS if method == "lines" else 1
    if not 0 <= start < 2**62 or start % step:
        raise InvalidInput(
            f"start: a multiple of {step}, at least 0, needed, got {start}; split runs there."
        )


# ---- laws -------------------------------------------------------------------------------------


def _law_name(kind: int, distribution: Any) -> str:
    if isinstance(distribution, str):
        return distribution
    return "states" if kind == draws.GIVEN else "uniform"


def _law(
    dim: int, domain: Domain | None, distribution: Any
) -> tuple[tuple[int, Array, Array, Array], int]:
    """Kind of draw, the box for uniform ones and the given states; how many states."""
    nothing = np.zeros(dim)
    no_states = np.zeros((0, dim))
    if isinstance(distribution, str):
        if distribution not in _LAWS:
            raise InvalidInput(
                "distribution: 'gaussian', 'sphere', 'ball' or an array of states needed, got "
                f"{distribution!r}."
            )
        return (_LAWS[distribution], nothing, nothing, no_states), 0
    if distribution is not None:
        states = as_array("distribution", distribution, 2, shape="(m, d)").astype(np.float64)
        if states.shape[1] != dim or not len(states):
            raise InvalidInput(
                f"distribution: states of shape (m, {dim}) with m >= 1 needed, got {states.shape}; "
                "on a line or slice give parameters."
            )
        return (draws.GIVEN, nothing, nothing, np.ascontiguousarray(states)), len(states)
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
    return (draws.UNIFORM, low, high, no_states), 0


def _digest(heads: list[_Head], walls: _Walls, law: Any, method: str) -> str:
    """Names the question: two samples with one digest have draws of one law."""
    digest = hashlib.sha256(method.encode())
    for array in [*(h.rows for h in heads), walls.rows, np.array(law[0]), *law[1:]]:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


# ---- rows with their rounding bounds ----------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Head:
    """Distinct terms of a head as rows (slope, intercept) of norm below 1, and their errors.

    The mean row, common to all, is taken off and the rest scaled by a power of two: neither moves a
    wall, and both make rounding bounds small.
    """

    rows: Array
    norm: float
    error: float

    @classmethod
    def of(cls, unit: TropicalPolynomial) -> _Head:
        firsts, _ = unit.distinct
        rows, errors = unit.float_terms()
        rows, errors = rows[firsts], errors[firsts]
        reduced = rows - rows.mean(axis=0)
        errors = errors + UNIT * np.abs(reduced)
        norm = float(np.sqrt((reduced * reduced).sum(axis=1).max()))
        shift = -int(np.frexp(norm)[1]) if norm > 0 and np.isfinite(norm) else 0
        reduced = np.ldexp(reduced, shift)
        errors = np.ldexp(errors, shift) + TINY
        norm = 1.000001 * float(np.sqrt((reduced * reduced).sum(axis=1).max()))
        error = 1.000001 * float(np.sqrt((errors * errors).sum(axis=1).max()))
        return cls(reduced, norm, error)

    def slack(self, unit: float) -> float:
        """Bound on a score's error per ``|(x, 1)|`` when products and sums round by ``unit``.

        K fused steps carry at most ``gamma_K |row| |point|`` (Higham 2002, section 3.1); two more
        roundings by ``unit`` are those of row and point themselves, and the last term is for
        numbers below the normal range, lost on machines that flush them to 0.
        """
        width = self.rows.shape[1]
        tiny = TINY if unit == UNIT else 2.0**-125
        return gamma(width + 3) / UNIT * unit * self.norm + self.error + 4 * width * tiny


@dataclass(frozen=True, slots=True, eq=False)
class _Walls:
    """Walls of a domain as rows (normal, -bound), scaled to norms below 1, and their errors."""

    rows: Array
    margins: Array

    def inside(self) -> kernel.Inside:
        axes = np.full(len(self.rows), -1, np.int64)
        for i, row in enumerate(self.rows[:, :-1]):
            where = np.flatnonzero(row)
            if len(where) == 1:
                axes[i] = where[0]
        return kernel.Inside(self.rows, self.margins, axes)


def _walls(domain: Domain | None, dim: int) -> _Walls:
    if domain is None:
        return _Walls(np.zeros((0, dim + 1)), np.zeros(0))
    a, b = domain.walls
    near, lost = to_float(a)
    right, right_lost = to_float(b)
    rows = np.column_stack([near, -right])
    errors = np.column_stack([lost, right_lost])
    shifts = -np.frexp(np.sqrt((rows * rows).sum(axis=1)))[1][:, None]
    rows, errors = np.ldexp(rows, shifts), np.ldexp(errors, shifts) + TINY
    # Rows have norm below 1; a chord evaluates ``alpha + beta t``, three more roundings.
    margins = 1.01 * (gamma(dim + 8) + np.sqrt((errors * errors).sum(axis=1)))
    return _Walls(np.ascontiguousarray(rows), margins)


def _words(n: int) -> Array:
    """128 fixed random bits for each row: a pattern's hash is the sum of its winners' words."""
    state = np.arange(1, 2 * n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    return (state ^ (state >> np.uint64(31))).reshape(n, 2)


def _scores(heads: list[_Head], dim: int) -> kernel.Scores:
    """Heads for the points kernel: each padded to a multiple of four rows that never win."""
    rows, words, starts, margins = [np.zeros((0, dim + 1))], [np.zeros((0, 2), np.uint64)], [0], []
    all_words = _words(sum(len(head.rows) for head in heads))
    used = 0
    for head in heads:
        n = len(head.rows)
        missing = -n % 4
        pad = np.zeros((missing, dim + 1))
        pad[:, -1] = -1e300
        rows += [head.rows, pad]
        words += [all_words[used : used + n], np.zeros((missing, 2), np.uint64)]
        used += n
        starts.append(starts[-1] + n + missing)
        # The lead of one score over another carries the error of both.
        margins.append([2.02 * head.slack(_SINGLE_UNIT), 2.02 * head.slack(UNIT)])
    double = np.ascontiguousarray(np.vstack(rows))
    return kernel.Scores(
        np.maximum(double, -1e30).astype(np.float32),
        double,
        np.array(starts, np.int64),
        np.array(margins).reshape(-1, 2),
        np.ascontiguousarray(np.vstack(words)),
    )


def _rows(heads: list[_Head], walls: _Walls, dim: int) -> chord_kernel.Rows:
    """Heads and walls for the chords kernel, with zero rows up to a multiple of four."""
    n = sum(len(head.rows) for head in heads)
    end = n + len(walls.rows)
    blocks = [np.zeros((0, dim + 1)), *(head.rows for head in heads), walls.rows]
    return chord_kernel.Rows(
        np.ascontiguousarray(np.vstack([*blocks, np.zeros((-end % 4, dim + 1))])),
        np.cumsum([0, *(len(head.rows) for head in heads)]).astype(np.int64),
        # ``alpha + beta t`` rounds three times more than a score.
        np.array([2.02 * (head.slack(UNIT) + 4 * UNIT) for head in heads]),
        _words(n),
        np.array([n, end], np.int64),
        walls.margins,
    )

"""The sampler: a lower bound on the cells that shares no counting code with the engines."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import draws, walks
from tropattn._kernels import sample as kernel
from tropattn._kernels.draws import Law
from tropattn._kernels.simd import SINGLE
from tropattn._types import Array
from tropattn.arrays import as_array, as_fractions, fraction_array, is_whole, to_float
from tropattn.errors import InvalidInput
from tropattn.polyhedra._highs import bounding_box
from tropattn.polyhedra.domain import Domain, Polytope, Slice, as_domain
from tropattn.progress import Listening, counting, doing, listening
from tropattn.regions.result import RegionCount
from tropattn.regions.sampling.estimates import Sample, Tally
from tropattn.regions.sampling.networks import NetworkSampler
from tropattn.regions.sampling.rows import HeadRows, Walls, chord_rows, point_scores
from tropattn.threads import aside, in_order, interrupted, stoppable, thread_count
from tropattn.tropical.max_affine import on_parameters
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.stage import RoutingStage, stages_of

__all__ = ["Judge", "draw_sample", "sample_judged", "sample_regions"]

_LAWS = {"gaussian": draws.GAUSSIAN, "sphere": draws.SPHERE, "ball": draws.BALL}
_UNNAMED = {draws.GIVEN: "states", draws.UNIFORM: "uniform"}
_METHODS = ("points", "lines")
_WORK = 3e9
"""Multiply-adds per work item: 0.03 to 0.1 s of a core."""

_FAR, _HUGE = 2.0**16, 2.0**40
"""Windows farther from 0 than so many half sides, and larger ones, are sampled in their own
coordinates."""

_LARGEST_POWER = 1023
"""Of two, among the doubles."""

_MOST = 2**62
"""Numbers of draws are 64-bit words."""

_AT_ONCE = 2**15
"""Draws per work item."""


Judge = Callable[[float], int]
"""Takes the seconds of a draw, as the first ones take them, and says how many to take in all."""


@stoppable()
def sample_regions(
    target: Any,
    n_samples: int,
    *,
    seed: int,
    domain: Domain | None = None,
    distribution: Any = None,
    method: str = "points",
    threads: int | None = None,
    progress: Listening = False,
    stop: threading.Event | None = None,
    time_limit: float | None = None,
) -> RegionCount:
    """Count the distinct routing patterns that random draws meet: a lower bound on the cells.

    Parameters
    ----------
    target : as for ``count_regions``: a layer, or a ``Network`` of any depth.
    n_samples : draws, points or chords; draw ``i`` is a function of ``(seed, i)``, whatever the
        thread count.
    domain, distribution : uniform on a bounded domain, or ``"gaussian"`` (standard), ``"sphere"``
        (unit), ``"ball"`` (unit), or an array (m, d) of states, taken in order (by points at most m
        of them). A domain given with a distribution keeps what falls inside; on a line or slice
        draws are of the parameters.
    method : ``"points"``, whose counts estimate volumes, or ``"lines"``: chords through the draws
        in random directions and on along the walls of the cells they meet, with every cell that
        they cross. Lines find far more cells, small ones above all.
    stop, time_limit : an event, or seconds, that end the call as in ``count_regions``.

    Returns
    -------
    RegionCount of kind ``"lower"``; ``stats`` as in ``Sample.stats``, and ``seconds``.

    Raises
    ------
    InvalidInput : an unbounded domain without distribution, or a bad argument.
    BudgetExceeded, Interrupted : with ``.lower``, the patterns found so far.

    Notes
    -----
    Points cost ``O(n_samples * terms * d)``, done in single precision where a proven bound allows;
    a chord costs that of two points, and two passes over a head's terms for each cell that it
    meets. Memory: about 100 bytes per distinct cell and 1 MB per thread. Patterns are told apart by
    128-bit hashes: a collision could only lower the count. Ties and rounding never invent a cell.
    In a network a draw's state carries a bound on its own error from stage to stage; draws that it
    leaves open are followed again beyond doubles, at a millisecond or so each.
    Source: theory T5, T11 (lines), T12 (networks).

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> plane = TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
    >>> sample_regions(plane, 1000, seed=0, distribution="gaussian").value
    3
    >>> sample_regions(plane, 16, seed=0, distribution="gaussian", method="lines").value
    3
    """
    return sample_judged(
        target,
        n_samples,
        None,
        seed=seed,
        domain=domain,
        distribution=distribution,
        method=method,
        threads=threads,
        progress=progress,
    )


@stoppable()
def sample_judged(
    target: Any, n_samples: int, judge: Judge | None, *, progress: Listening, **law: Any
) -> RegionCount:
    """As ``sample_regions``, of at most ``n_samples`` draws: ``judge`` says how many."""
    started = time.perf_counter()
    sample = _sample(target, n_samples, 0, judge, progress, **law)
    return sample.count(seconds=time.perf_counter() - started)


@stoppable()
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
    progress: Listening = False,
    stop: threading.Event | None = None,
) -> Sample:
    """Draws ``start .. start + n_samples - 1`` and their cells, to be merged or counted.

    Parameters, errors and cost as for ``sample_regions``. A chord depends on up to 15 before it, so
    by lines ``start`` is a multiple of 16. ``merge_samples`` puts ranges together again.

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> draw_sample(TropicalPolynomial([[0], [1]]), 100, seed=0, distribution="gaussian").samples
    100
    """
    law = {"seed": seed, "domain": domain, "distribution": distribution, "method": method}
    return _sample(target, n_samples, start, None, progress, threads=threads, **law)


def _sample(
    target: Any,
    n_samples: int,
    start: int,
    judge: Judge | None,
    progress: Listening,
    *,
    seed: int,
    domain: Domain | None,
    distribution: Any,
    method: str,
    threads: int | None,
) -> Sample:
    if method not in _METHODS:
        raise InvalidInput(
            f"method: 'points' or 'lines' needed, got {method!r}; points estimate volumes, lines "
            "find more cells."
        )
    _check_numbers(n_samples, seed, start, method)
    domain = as_domain(domain)
    stages = stages_of(target)
    dim = stages[0].dim if domain is None else domain.dim
    law, n_states = _law(dim, domain, distribution)
    with listening(progress), doing("preparing the draws"):
        if len(stages) == 1:
            work = aside(_of_layer, stages[0], domain, law, method, seed)
        else:
            work = aside(_of_network, stages, domain, law, method, seed)
    end = start + n_samples
    if law.kind == draws.GIVEN and method == "points":
        start, end = min(start, n_states), min(end, n_states)
    tally, discarded, end = _collect(work, (start, end), threads, progress, judge)
    facts: dict[str, Any] = {
        "ranges": ((seed, start, end),),
        "discarded": discarded,
        "method": method,
        "domain": f"R^{stages[0].dim}" if domain is None else domain.describe(),
        "law": distribution if isinstance(distribution, str) else _UNNAMED[law.kind],
    }
    try:
        return aside(lambda: tally.sample(**facts, question=_digest(work.data, law, method)))
    except KeyboardInterrupt:
        raise interrupted(tally.distinct) from None


# ---- work -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """How to sample a range of draws.

    ``run(first, end)`` gives hashes and draws of what was met, and how many draws were discarded;
    ranges start at multiples of ``tile``. ``cost``: multiply-adds per draw. ``data`` name the
    question. ``flag[0]`` ends a range early.
    """

    run: Callable[[int, int], tuple[Array, Array, int]]
    tile: int
    cost: float
    data: list[Array]
    flag: NDArray[np.int64]


def _of_layer(
    stage: RoutingStage, domain: Domain | None, law: Law, method: str, seed: int
) -> _Work:
    units: Sequence[TropicalPolynomial]
    if law.kind == draws.UNIFORM and domain is not None and _far(law):
        domain, law = _centred(domain, law)
        units = [_near_zero(unit) for unit in on_parameters(stage.units, domain)]
    else:
        units = on_parameters(stage.units, domain)
    dim = units[0].dim
    heads = [head for head in map(HeadRows.of, units) if len(head.rows) > 1]
    flag = np.zeros(1, np.int64)
    walls = Walls.of(domain, dim)
    data = [*(head.rows for head in heads), walls.rows]
    cost = (dim + 1) * (sum(len(head.rows) for head in heads) + 1)
    if method == "points":
        scores, inside = point_scores(heads, dim), walls.inside()

        def by_points(first: int, end: int) -> tuple[Array, Array, int]:
            hashes = np.empty((end - first, 2), np.uint64)
            indices = np.empty(end - first, np.int64)
            tile = kernel.make_tile(dim, len(heads))
            room = kernel.make_room(kernel.TILE // SINGLE, dim)
            given, found = (scores, inside, law, seed), (hashes, indices)
            kept = kernel.patterns(*given, first, end, *found, tile, room, flag)
            return hashes[:kept], indices[:kept], end - first - kept

        return _Work(by_points, kernel.TILE, cost, data, flag)
    rows = chord_rows(heads, walls, dim)

    def by_lines(first: int, end: int) -> tuple[Array, Array, int]:
        found = walks.visits(rows, law, seed, first, end, flag)
        return found.hashes, found.chords, found.missed

    # A chord takes two products and a few passes over its terms in scalar code.
    return _Work(by_lines, walks.TILE, 8 * cost + 40 * cost / (dim + 1), data, flag)


def _of_network(
    stages: Sequence[RoutingStage], domain: Domain | None, law: Law, method: str, seed: int
) -> _Work:
    if law.kind == draws.UNIFORM and domain is not None:
        domain, law = _centred(domain, law)
    # A bound beyond the doubles is infinite, and the draw is followed exactly.
    with np.errstate(over="ignore", invalid="ignore"):
        sampler = NetworkSampler(stages, domain)
    run, tile, cost = sampler.points, SINGLE, sampler.cost
    if method == "lines":
        # Each stage cuts the line into more pieces, and each piece is followed from the input.
        run, tile, cost = sampler.lines, walks.STEPS, 100 * len(stages) * sampler.cost

    def followed(first: int, end: int) -> tuple[Array, Array, int]:
        with np.errstate(over="ignore", invalid="ignore"):
            return run(law, seed, first, end)

    return _Work(followed, tile, cost, sampler.data(), np.zeros(1, np.int64))


def _far(law: Law) -> bool:
    """Whether rounding at the window's points is not small beside the window, or it is huge."""
    half = 0.5 * law.high - 0.5 * law.low
    centre = np.abs(0.5 * law.low + 0.5 * law.high)
    return bool((centre / _FAR > half).any() or not (half < _HUGE).all())


def _near_zero(unit: TropicalPolynomial) -> TropicalPolynomial:
    """The function less its winner at 0, in rationals, for points of size 1.

    No winner changes. Terms that stay below that winner become constants, so that the largest
    number left is one that counts where cells meet; it is the unit, and all is rounded once.
    """
    rows = fraction_array(unit.exact_terms())
    rows = rows - max(rows.tolist(), key=lambda row: row[-1])
    reach = 2 * np.abs(rows[:, :-1]).sum(axis=1)
    never = rows[:, -1] + reach < 0
    largest = max(reach[~never] - rows[~never, -1]) or 1
    rows[never] = 0
    rows[never, -1] = -largest
    rows = rows / largest
    return TropicalPolynomial(rows[:, :-1], rows[:, -1])


def _centred(domain: Domain, law: Law) -> tuple[Domain, Law]:
    """The domain and its uniform law in parameters of size 1, exactly the same set.

    Rounding counts in units of a point's size, so far from 0 a small window would drown in it.
    """
    centre = 0.5 * law.low + 0.5 * law.high
    half = 0.5 * law.high - 0.5 * law.low
    half = float(np.maximum(half, 0.5 * np.spacing(np.abs(centre))).max())
    unit = Fraction(2) ** min(int(np.frexp(half)[1]) + 1, _LARGEST_POWER)
    a, b = map(as_fractions, domain.walls)
    shift = as_fractions(centre)
    window = Polytope(unit * a, b - a @ shift)
    basis, origin = domain.embedding or (np.eye(domain.dim), np.zeros(domain.dim))
    basis = as_fractions(basis)
    local = Slice(as_fractions(origin) + shift @ basis, unit * basis, window)
    return local, Law(draws.UNIFORM, *bounding_box(*window.walls), law.states)


def _collect(
    work: _Work,
    draws: tuple[int, int],
    threads: int | None,
    progress: Listening,
    judge: Judge | None,
) -> tuple[Tally, int, int]:
    """Run ranges of draws on a pool and add up what they find; also where the draws ended."""
    span = work.tile * max(1, min(_AT_ONCE // work.tile, int(_WORK / (work.tile * work.cost))))
    start, stop = draws
    tally, discarded, done = Tally(), 0, start

    def take(end: int) -> None:
        """Take the draws up to ``end``, which is a multiple of the span or the last one."""
        nonlocal done, discarded
        begin = done
        starts = range(begin - begin % span, end, span) if begin < end else range(0)

        def run(first: int) -> tuple[Array, Array, int]:
            return work.run(max(first, begin), min(first + span, stop))

        if report is not None:
            report(done - start, stop - done, f"{tally.distinct:,} cells")
        for hashes, indices, lost in in_order(run, starts, threads, work.flag):
            tally.add(hashes, indices)
            discarded += lost
            done = min(done - done % span + span, end)
            if report is not None:
                report(done - start, stop - done, f"{tally.distinct:,} cells")

    try:
        with counting("draws", progress, over="") as report:
            if judge is not None and stop - start > 4 * span:
                # The first ones also load what all need, so that the next ones show the pace.
                take(start + span)
                began = time.perf_counter()
                take(start + (1 + thread_count(threads)) * span)
                pace = (time.perf_counter() - began) / (done - start - span)
                stop = min(stop, max(done, start + judge(pace)))
            take(stop)
    except KeyboardInterrupt:
        raise interrupted(tally.distinct) from None
    return tally, discarded, done


def _check_numbers(n_samples: int, seed: int, start: int, method: str) -> None:
    if not is_whole(n_samples) or n_samples < 1:
        raise InvalidInput(f"n_samples: an integer >= 1 needed, got {n_samples!r}; ask for a draw.")
    if n_samples > _MOST:
        raise InvalidInput(
            f"n_samples: an integer up to 2^62 needed, got {n_samples}; no machine draws as many."
        )
    if not is_whole(seed) or not 0 <= seed < 2**63:
        raise InvalidInput(
            f"seed: an integer in 0..2^63 - 1 needed, got {seed!r}; any such number will do."
        )
    step = walks.STEPS if method == "lines" else 1
    if not is_whole(start) or not 0 <= start < _MOST or start % step:
        raise InvalidInput(
            f"start: a multiple of {step}, at least 0, needed, got {start}; split runs there."
        )


# ---- laws -------------------------------------------------------------------------------------


def _law(dim: int, domain: Domain | None, distribution: Any) -> tuple[Law, int]:
    """Kind of draw, the box for uniform ones and the given states; how many states."""
    nothing = np.zeros(dim)
    no_states = np.zeros((0, dim))
    if isinstance(distribution, str):
        if distribution not in _LAWS:
            raise InvalidInput(
                "distribution: 'gaussian', 'sphere', 'ball' or an array of states needed, got "
                f"{distribution!r}."
            )
        return Law(_LAWS[distribution], nothing, nothing, no_states), 0
    if distribution is not None:
        states = to_float(as_array("distribution", distribution, 2, shape="(m, d)"))[0]
        if states.shape[1] != dim or not len(states):
            raise InvalidInput(
                f"distribution: states of shape (m, {dim}) with m >= 1 needed, got {states.shape}; "
                "on a line or slice give parameters."
            )
        return Law(draws.GIVEN, nothing, nothing, np.ascontiguousarray(states)), len(states)
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
    return Law(draws.UNIFORM, low, high, no_states), 0


def _digest(data: Sequence[Array], law: Law, method: str) -> str:
    """Names the question: two samples with one digest have draws of one law."""
    digest = hashlib.sha256(method.encode())
    for array in [*data, np.array(law.kind), law.low, law.high, law.states]:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]

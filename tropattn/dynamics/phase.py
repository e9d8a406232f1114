"""What becomes of a Gaussian under attention: it converges, collapses, diverges or blows up.

For softmax with ``V = 1``, one head and mean 0 the answer is closed: ``S(t)^-1 = S_0^-1 - (A +
A^T) t`` (arXiv 2501.18322; derived for every A). Otherwise the covariance is integrated, and the
verdict rests on growth rates, not on a size: a blow-up passes 10^2, 10^4, 10^6 times its start in
ever shorter times, a divergence does not; a direction is lost if its variance still falls by a
power of time at the end, kept if it has levelled off. Rates are read off the last two decades of
time, so a power below 1/10 is taken for a constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from tropattn._types import Array
from tropattn.arrays import freeze, of_kind
from tropattn.dynamics.flow import Flow
from tropattn.dynamics.gaussian import Gaussian, closure, root_of
from tropattn.errors import InvalidInput
from tropattn.values import Value

__all__ = ["Phase", "blow_up_time", "classify"]


_DECADES = (1e2, 1e4, 1e6)
_HORIZON = 1e5
_EVALUATIONS = 20_000
_LARGEST = 64
"""Dimension up to which LSODA's Jacobian, d^2 by d^2, fits."""
_SETTLED = 1e-2
_SLOWING = 0.8


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Phase(Value):
    """The verdict on a Gaussian flow.

    Attributes
    ----------
    kind : ``"converges"`` (to full rank), ``"collapses"`` (to lower rank), ``"diverges"``,
        ``"blows up"``, or ``"undecided"`` (still moving at the end, e.g. rotating).
    time : of blow-up; of growth by 10^6 for a divergence; for a limit, when the covariance came
        within 1 % of its start's size of it for good. None if not reached within the run.
    rank : number of directions that keep a variance, for a limit; else None.
    covariance : (d, d) at the end of the run, the limit up to 1 %.
    method : ``"closed form"`` or ``"integrated"``.
    """

    kind: str
    time: float | None
    rank: int | None
    covariance: NDArray[np.float64]
    method: str

    def __repr__(self) -> str:
        when = "" if self.time is None else f" at {self.time:.4g}"
        rank = "" if self.rank is None else f", rank {self.rank}"
        return f"Phase({self.kind}{when}{rank}, R^{len(self.covariance)}, {self.method})"


class _Exhausted(Exception):
    """The run used up its evaluations; only raised and caught in this module."""


def blow_up_time(score_matrix: Array, covariance: Array) -> float | None:
    """``1 / lambda_max(S_0 (A + A^T))`` if positive, else None: softmax with ``V = 1``.

    >>> blow_up_time(np.array([[2.0]]), np.array([[1.0]]))
    0.25
    """
    symmetric = score_matrix + score_matrix.T
    root = root_of(covariance)
    largest = float(np.linalg.eigvalsh(root @ symmetric @ root)[-1])
    return 1.0 / largest if largest > _rounding(symmetric, covariance) else None


def classify(flow: Flow, start: Gaussian) -> Phase:
    """Decide the fate of the covariance under a flow that keeps Gaussians.

    Raises
    ------
    InvalidInput : a flow that does not keep Gaussians; a dimension above 64 where there is no
        closed form.

    Notes
    -----
    Integrated runs last 10^5 times the initial time scale, or 2 * 10^4 evaluations (then
    ``"undecided"``, as for what neither settles nor escapes). Cost O(d^3) an evaluation. For
    ``V = 1``, ``K = -Q``, Q of rank r the limit has rank d - r exactly; ranks published for such
    flows at a tolerance of 0.1 are not these.

    Examples
    --------
    >>> from tropattn.dynamics.flow import Head
    >>> flow = Flow((Head(Q=[[1.0, 0.0]], K=[[-1.0, 0.0]]),), "flat")
    >>> phase = classify(flow, Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]))
    >>> phase.kind, phase.rank
    ('collapses', 1)
    """
    of_kind("flow", flow, Flow, "e.g. Flow((Head(beta=1.0),), 'flat')")
    of_kind("start", start, Gaussian, "e.g. Gaussian(mean, covariance)")
    head = flow.heads[0]
    dim = start.dim
    closure(flow, start.mean, start.covariance)
    full = np.linalg.matrix_rank(start.covariance) == dim
    plain = np.array_equal(head.value_matrix(dim), np.eye(dim))
    if len(flow.heads) == 1 and head.kind == "softmax" and plain and full:
        return _closed_form(head.score_matrix(dim), start.covariance)
    return _integrated(flow, start)


def _closed_form(score: Array, covariance: Array) -> Phase:
    symmetric = score + score.T
    time = blow_up_time(score, covariance)
    if time is not None:
        return Phase("blows up", time, None, covariance, "closed form")
    # In coordinates where S_0 = 1 the modes decouple: each variance is 1 / (1 + rate t).
    root = root_of(covariance)
    rates, modes = np.linalg.eigh(-root @ symmetric @ root)
    kept = rates <= _rounding(symmetric, covariance)
    basis = root @ modes
    limit = freeze(basis[:, kept] @ basis[:, kept].T)
    if kept.all():
        return Phase("converges", 0.0, len(kept), limit, "closed form")
    size = np.linalg.norm(covariance)

    def rest(t: float) -> float:
        variance = np.where(kept, 0.0, 1.0 / (1.0 + np.maximum(rates, 0.0) * t))
        return float(np.linalg.norm((basis * variance) @ basis.T)) - _SETTLED * float(size)

    low, high = 0.0, 1.0
    while rest(high) > 0:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rest(middle) > 0 else (low, middle)
    return Phase("collapses", high, int(kept.sum()), limit, "closed form")


def _integrated(flow: Flow, start: Gaussian) -> Phase:
    dim = start.dim
    if dim > _LARGEST:
        raise InvalidInput(
            f"covariance: dimension at most {_LARGEST} needed for an integrated verdict, got {dim};"
            " softmax with V = 1 has a closed form."
        )
    a0, s0 = start.mean, start.covariance
    size = float(np.linalg.norm(s0))
    speed = float(np.linalg.norm(closure(flow, a0, s0)[1]))
    # The natural rate: what attention could do to this covariance, not what it does at time 0.
    scale = speed / size if size else 0.0
    for head in flow.heads:
        scale += float(
            np.linalg.norm(head.value_matrix(dim))
            * (1 + np.linalg.norm(head.score_matrix(dim)) * size)
        )
    if speed == 0.0 or scale == 0.0:
        rank = int(np.linalg.matrix_rank(s0))
        return Phase("converges" if rank == dim else "collapses", 0.0, rank, s0, "integrated")
    used = 0

    def rate(_: float, y: Array) -> Array:
        nonlocal used
        used += 1
        if used > _EVALUATIONS:
            raise _Exhausted
        s = y[dim:].reshape(dim, dim)
        mean, slope = closure(flow, y[:dim], (s + s.T) / 2)
        return np.append(mean, slope)

    def passes(level: float) -> Any:
        def event(_: float, y: Array) -> float:
            return float(np.linalg.norm(y[dim:])) - level * size

        event.terminal = level == _DECADES[-1]  # type: ignore[attr-defined]
        event.direction = 1.0  # type: ignore[attr-defined]
        return event

    end = _HORIZON / scale
    times = np.concatenate([[0.0], np.geomspace(1e-3 / scale, end, 400)])
    y0 = np.concatenate([a0, s0.ravel()])
    events = [passes(level) for level in _DECADES]
    try:
        found = solve_ivp(
            rate, (0.0, end), y0, "LSODA", times, events=events, rtol=1e-9, atol=1e-13 * size
        )
    except _Exhausted:
        return Phase("undecided", None, None, s0, "integrated")
    last = freeze(found.y[dim:, -1].reshape(dim, dim)) if found.y.size else s0
    crossings = [float(t[-1]) for t in found.t_events if len(t)]
    if len(crossings) == len(_DECADES):
        return _escaped(crossings, last)
    return _bounded(found.t, found.y[dim:].T.reshape(-1, dim, dim), size, last, found.status == 0)


def _escaped(crossings: list[float], last: Array) -> Phase:
    first, second = crossings[1] - crossings[0], crossings[2] - crossings[1]
    ratio = second / first
    if ratio < 0.5:
        # Power-law blow-up: the times between decades shrink geometrically, and their sum is left.
        left = second * ratio / (1 - ratio)
        return Phase("blows up", crossings[2] + left, None, last, "integrated")
    return Phase("diverges", crossings[2], None, last, "integrated")


def _bounded(times: Array, states: Array, size: float, last: Array, complete: bool) -> Phase:
    if not complete:
        return Phase("undecided", None, None, last, "integrated")
    tenth, hundredth = (int(np.searchsorted(times, times[-1] / k)) for k in (10, 100))
    drift = float(np.linalg.norm(states[tenth] - states[-1]))
    before = float(np.linalg.norm(states[hundredth] - states[tenth]))
    if drift > _SETTLED * size and drift > _SLOWING * before:
        # Ever longer ways in each decade of time: a power of time, upwards or round and round.
        grows = np.linalg.norm(states[-1]) > 1.25 * np.linalg.norm(states[tenth])
        grows &= np.linalg.norm(states[tenth]) > 1.25 * np.linalg.norm(states[hundredth])
        kind = "diverges" if grows and drift > before / _SLOWING else "undecided"
        return Phase(kind, None, None, last, "integrated")
    after, earlier = np.linalg.eigvalsh(states[-1]), np.linalg.eigvalsh(states[tenth])
    rank = int(((after > _SLOWING * earlier) & (after > 1e-9 * size)).sum())
    gaps = np.linalg.norm(states - states[-1], axis=(1, 2))
    late = np.flatnonzero(gaps > _SETTLED * size)
    time = float(times[late[-1] + 1]) if len(late) else 0.0
    reached = time if drift <= _SETTLED * size else None
    return Phase(
        "converges" if rank == len(last) else "collapses", reached, rank, last, "integrated"
    )


def _rounding(symmetric: Array, covariance: Array) -> float:
    """Size below which an eigenvalue of ``S^1/2 (A + A^T) S^1/2`` is rounding."""
    size = float(np.linalg.norm(symmetric, 2) * np.linalg.norm(covariance, 2))
    return 8 * len(covariance) * 2.0**-52 * size

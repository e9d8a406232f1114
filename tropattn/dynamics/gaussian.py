"""Gaussians under attention: where the read-out is affine, N(a, S) stays Gaussian.

With ``A = beta K^T Q`` a head reads ``c + L (x - a)`` at x, so ``a' = c`` and ``S' = M + M^T`` with
``M = L S``, summed over heads (Castin, Ablin, Carrillo, Peyre, arXiv 2501.18322):

    softmax    c = V (a + S A a)                     M = V S A S
    l2         c = V P (a + 2 S A a)                 M = 2 V P S A S,   P = (1 + 2 beta S K^T K)^-1
    sinkhorn   c = V a                               M = V G S,         (S - G S G^T) A = G
    linear     c = V (S + a a^T) A a                 M = V (S + a a^T) A S

Sigmoid, unnormalised, masked and spherical attention do not keep Gaussians.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from tropattn._types import Array
from tropattn.arrays import as_array, freeze, is_real, of_kind, to_float
from tropattn.dynamics.flow import Flow, Head, budgeted, unsolved
from tropattn.errors import InvalidInput
from tropattn.threads import check, stoppable
from tropattn.values import Value, counted

__all__ = [
    "Gaussian",
    "GaussianTrajectory",
    "closure",
    "freezing_level",
    "root_of",
    "score_deviation",
    "simulate_gaussian",
    "sinkhorn_product",
]


CLOSED_KINDS = ("softmax", "l2", "sinkhorn", "linear")

_ESCAPE = 1e10

_EVALUATIONS = 150_000
"""Some 12 seconds; the l2 closure in 3 dimensions takes 127,000 up to its verdict."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Gaussian(Value):
    """The law N(a, S) of one token.

    Parameters
    ----------
    mean : (d,) ``a``; covariance : (d, d) ``S``, symmetric positive semidefinite.

    >>> Gaussian([0.0, 0.0], [[2.0, 0.0], [0.0, 1.0]]).dim
    2
    """

    mean: Any
    covariance: Any

    def __post_init__(self) -> None:
        a = np.array(to_float(as_array("mean", self.mean, 1, shape="(d,)"))[0])
        s = to_float(as_array("covariance", self.covariance, 2, shape="(d, d)"))[0]
        if not len(a) or s.shape != (len(a), len(a)):
            raise InvalidInput(
                f"mean, covariance: shapes (d,) and (d, d) needed, got {a.shape} and {s.shape}."
            )
        size = float(np.abs(s).max())
        if np.abs(s - s.T).max() > 1e-12 * size or np.linalg.eigvalsh(s)[0] < -1e-12 * size:
            raise InvalidInput(
                "covariance: symmetric and positive semidefinite needed, got a matrix that is off "
                f"by {max(float(np.abs(s - s.T).max()), -float(np.linalg.eigvalsh(s)[0])):.3g}."
            )
        object.__setattr__(self, "mean", freeze(a))
        object.__setattr__(self, "covariance", freeze((s + s.T) / 2))

    def __repr__(self) -> str:
        return f"Gaussian(R^{self.dim})"

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self.mean)

    def sample(self, n: int, seed: int) -> NDArray[np.float64]:
        """N independent tokens (n, d), a function of the seed."""
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        stream = np.random.Generator(np.random.Philox(seed))
        return self.mean + stream.standard_normal((n, self.dim)) @ root.T


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class GaussianTrajectory(Value):
    """A Gaussian run.

    Attributes
    ----------
    time : (t,), cut short at ``escape`` if the covariance ran away.
    mean : (t, d); covariance : (t, d, d).
    deviation : (t,) standard deviation ``s`` of the scores, ``freezing_level`` is its horizon.
    escape : time at which the covariance passed 10^10 times its start, or None.
    """

    time: NDArray[np.float64]
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    deviation: NDArray[np.float64]
    escape: float | None

    def __repr__(self) -> str:
        end = "" if self.escape is None else f", escaped at {self.escape:.4g}"
        return f"GaussianTrajectory(R^{self.mean.shape[1]}, {counted(len(self.time), 'time')}{end})"

    def frozen_from(self, n: int) -> float | None:
        """First time at which n tokens no longer behave as the Gaussian, None if never.

        From there ``s >= sqrt(2 log n)``: attention freezes on a few extreme tokens.
        """
        late = np.flatnonzero(self.deviation >= freezing_level(n))
        return float(self.time[late[0]]) if len(late) else None


def freezing_level(n: int) -> float:
    """``sqrt(2 log n)``: the score deviation beyond which n samples miss the tilted mean.

    The tilt by a score of deviation s moves the mean by s deviations, where n samples reach
    ``sqrt(2 log n)`` only.

    >>> round(freezing_level(1000), 3)
    3.717
    """
    if not is_real(n) or not n >= 1:
        raise InvalidInput(f"n: a number of tokens >= 1 needed, got {n}.")
    return math.sqrt(2 * math.log(n))


def score_deviation(flow: Flow, mean: Array, covariance: Array) -> float:
    """``sqrt(E |S^1/2 A x|^2)`` over x in N(a, S), the largest over heads.

    >>> score_deviation(Flow((Head(beta=3.0),), "flat"), np.zeros(1), np.array([[2.0]]))
    6.0
    """
    second = covariance + np.outer(mean, mean)
    out = 0.0
    for head in flow.heads:
        a = head.score_matrix(len(mean))
        out = max(out, float(np.trace(a.T @ covariance @ a @ second)))
    return float(np.sqrt(max(out, 0.0)))


def closure(flow: Flow, mean: Array, covariance: Array) -> tuple[Array, Array]:
    """``(a', S')`` of N(a, S) under the flow, (d,) and (d, d).

    Raises ``InvalidInput`` for flows that do not keep Gaussians. Cost O(d^3) a head.

    >>> a, s = closure(Flow((Head(),), "flat"), np.zeros(1), np.array([[3.0]]))     # S' = 2 S^2
    >>> a.tolist(), s.tolist()
    ([0.0], [[18.0]])
    """
    _check_closed(flow)
    dim = len(mean)
    shift, product = np.zeros(dim), np.zeros((dim, dim))
    for head in flow.heads:
        c, m = _affine(head, mean, covariance)
        shift += c
        product += m
    return shift, product + product.T


@stoppable()
def simulate_gaussian(
    flow: Flow,
    start: Gaussian,
    times: Any,
    *,
    rtol: float = 1e-9,
    stop: threading.Event | None = None,
) -> GaussianTrajectory:
    """Integrate mean and covariance to the given times.

    Parameters
    ----------
    times : (t,), ascending, the first one is the time of ``start``.

    Notes
    -----
    DOP853 at relative tolerance ``rtol``; it stops, with ``escape`` set, once the covariance has
    grown 10^10 times (softmax, linear: finite-time blow-up).

    >>> flow = Flow((Head(),), "flat")                       # 1 / S falls at rate 2
    >>> run = simulate_gaussian(flow, Gaussian([0.0], [[1.0]]), [0.0, 0.25])
    >>> round(float(run.covariance[1, 0, 0]), 6), run.escape
    (2.0, None)
    """
    of_kind("flow", flow, Flow, "e.g. Flow((Head(beta=1.0),), 'flat')")
    of_kind("start", start, Gaussian, "e.g. Gaussian(mean, covariance)")
    _check_closed(flow)
    grid = check_times(times)
    dim = start.dim
    limit = _ESCAPE * (1 + float(np.abs(start.covariance).max()))

    def rate(_: float, y: Array) -> Array:
        check()
        a, s = closure(flow, y[:dim], y[dim:].reshape(dim, dim))
        return np.concatenate([a, s.ravel()])

    def runaway(_: float, y: Array) -> float:
        return limit - float(np.abs(y).max())

    runaway.terminal = True  # type: ignore[attr-defined]
    y0 = np.concatenate([start.mean, start.covariance.ravel()])
    span = (grid[0], grid[-1])
    with np.errstate(over="ignore", invalid="ignore"):
        limited, error = budgeted(rate, _EVALUATIONS), {"rtol": rtol, "atol": rtol**1.5}
        found = solve_ivp(limited, span, y0, "DOP853", grid, events=runaway, **error)
    if found.status < 0 and not np.abs(found.y[:, -1]).max() > 1e6:
        raise unsolved(found.message)
    escape = float(found.t_events[0][0]) if len(found.t_events[0]) else None
    if found.status < 0:
        escape = float(found.t[-1])
    means = found.y[:dim].T
    covariances = found.y[dim:].T.reshape(-1, dim, dim)
    covariances = (covariances + covariances.transpose(0, 2, 1)) / 2
    spread = [score_deviation(flow, a, s) for a, s in zip(means, covariances, strict=True)]
    return GaussianTrajectory(
        freeze(found.t), freeze(means.copy()), freeze(covariances), freeze(np.array(spread)), escape
    )


def check_times(times: Any) -> NDArray[np.float64]:
    """Times (t,), finite and strictly ascending, two or more."""
    grid = to_float(as_array("times", times, 1, shape="(t,)"))[0]
    if len(grid) < 2 or not (np.diff(grid) > 0).all():
        raise InvalidInput(
            f"times: at least two, strictly ascending, needed, got {len(grid)} values; e.g. "
            "numpy.linspace(0, 10, 101)."
        )
    return grid


def _check_closed(flow: Flow) -> None:
    kinds = {head.kind for head in flow.heads}
    if flow.space != "flat" or flow.causal or not kinds.issubset(CLOSED_KINDS):
        raise InvalidInput(
            f"flow: {', '.join(CLOSED_KINDS)} in R^d without mask needed, got {flow.name()}; "
            "others do not keep Gaussians, simulate particles."
        )


def _affine(head: Head, a: Array, s: Array) -> tuple[Array, Array]:
    """``c`` and ``M = L S`` of one head."""
    dim = len(a)
    score, v = head.score_matrix(dim), head.value_matrix(dim)
    if head.kind == "softmax":
        return v @ (a + s @ (score @ a)), v @ s @ score @ s
    if head.kind == "linear":
        second = s + np.outer(a, a)
        return v @ second @ score @ a, v @ second @ score @ s
    if head.kind == "sinkhorn":
        # A shift of all tokens changes scores by row and column constants, which scaling undoes.
        return v @ a, v @ sinkhorn_product(score, s)
    k = np.eye(dim) if head.K is None else head.K
    damping = np.eye(dim) + 2 * head.beta * (s @ k.T @ k)
    read = np.linalg.solve(damping, np.column_stack([a + 2 * s @ (score @ a), 2 * s @ score @ s]))
    return v @ read[:, 0], v @ read[:, 1:]


def sinkhorn_product(score: Array, s: Array) -> Array:
    """``G S`` of the read-out ``V G (x - a)`` under Sinkhorn attention.

    ``G`` is the positive solution of ``(S - G S G^T) A = G``, ``G S = 2 S A S^1/2 F S^1/2`` with
    ``F = ((4B + 1)^1/2 + 1)^-1``, ``B = S^1/2 A^T S A S^1/2``: the source's formula without its
    inverse of A [derived].

    >>> g = sinkhorn_product(np.array([[2.0]]), np.array([[1.0]]))[0, 0]     # (1 - g^2) 2 = g
    >>> bool(abs((1 - g * g) * 2 - g) < 1e-12)
    True
    """
    root = root_of(s)
    inner = root @ score.T @ s @ score @ root
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    factor = vectors / (np.sqrt(4 * np.maximum(values, 0.0) + 1) + 1)
    return 2 * s @ score @ root @ (factor @ vectors.T) @ root


def root_of(s: Array) -> Array:
    """The positive root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh((s + s.T) / 2)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T

"""SA and USA on the Gram matrix: one engine for every dimension.

For ``Q = K = V = 1`` scores, weights and projections are functions of ``G_ij = <x_i, x_j>`` alone:

    G' = B + B^T - diag(b) G - G diag(b),     B = W G,  b = diag(B),

with W the matrix of attention weights. So d drops out, and n = 32 tokens in R^1024 cost no more
than they do in R^32 [derived; the source, arXiv 2312.10794, runs the tokens].
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from tropattn._kernels import flow as kernels
from tropattn._types import Array
from tropattn.arrays import as_array, is_real, is_whole, listed, to_float
from tropattn.dynamics.flow import Flow, budgeted, sa, unsolved, usa, velocity
from tropattn.errors import InvalidInput
from tropattn.threads import check, in_order, stoppable
from tropattn.values import Value, counted

__all__ = ["SyncDiagram", "check_gram", "gram_layer", "random_gram", "sync_diagram", "tokens_of"]


_SYNCED = 1e-3
_LARGEST_BETA = 600.0
_RUNS_A_TASK = 8
_EVALUATIONS = 10_000


def gram_layer(flow: Flow, gram: Array, step: float) -> NDArray[np.float64]:
    """The Gram matrix after ``x + h attention(x)`` and division by the length, (n, n).

    >>> gram_layer(sa(0.0), np.eye(2), 1.0).round(6).tolist()     # rows (3, 1) and (1, 3)
    [[1.0, 0.6], [0.6, 1.0]]
    """
    weights = _weights(flow, gram)
    product = weights @ gram
    moved = gram + step * (product + product.T) + step**2 * (product @ weights.T)
    length = np.sqrt(np.diag(moved))
    return moved / (length[:, None] * length[None, :])


def check_gram(flow: Flow, gram: Any) -> NDArray[np.float64]:
    """A Gram matrix (n, n) of unit vectors, for a flow that closes on it."""
    if not flow.has_gram_form():
        raise InvalidInput(
            f"engine: 'gram' needs SA or USA on the sphere with Q = K = V = 1, got {flow.name()}; "
            "use engine='tokens'."
        )
    g = np.array(to_float(as_array("gram", gram, 2, shape="(n, n)"))[0])
    if g.shape[0] != g.shape[1] or not len(g):
        raise InvalidInput(f"gram: shape (n, n) with n >= 1 needed, got {g.shape}.")
    off = max(float(np.abs(np.diag(g) - 1).max()), float(np.abs(g - g.T).max()))
    if off > 1e-9 or np.linalg.eigvalsh(g)[0] < -1e-9 * len(g):
        raise InvalidInput(
            "gram: a positive semidefinite matrix with unit diagonal needed, got one that is off "
            f"by {off:.3g}; form x @ x.T from unit rows."
        )
    return g


def tokens_of(gram: Array) -> NDArray[np.float64]:
    """Unit vectors (n, r) with a given Gram matrix of rank r. Cost O(n^3).

    The flow is integrated on these, not on the Gram matrix itself: an error that takes that off the
    positive semidefinite matrices, which are a thin set where ``r < n``, may grow without bound.

    >>> tokens_of(np.ones((3, 3))).shape
    (3, 1)
    """
    values, vectors = np.linalg.eigh(gram)
    kept = values > 8 * len(gram) * 2.0**-52 * values[-1]
    tokens = vectors[:, kept] * np.sqrt(values[kept])
    return tokens / np.linalg.norm(tokens, axis=1, keepdims=True)


def random_gram(n: int, dim: int, seed: int, run: int = 0) -> NDArray[np.float64]:
    """Gram matrix of n uniform points on the sphere in R^dim; a function of (seed, run)."""
    stream = np.random.Generator(np.random.Philox(key=[seed, run]))
    x = stream.standard_normal((n, dim))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    gram = x @ x.T
    np.fill_diagonal(gram, 1.0)
    return gram


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SyncDiagram(Value):
    """How often two tokens have met.

    Attributes
    ----------
    betas : (b,); times : (t,).
    probability : (b, t) share of runs with ``<x_1, x_2> >= 1 - 10^-3``.
    runs, scheme : how it was made.
    """

    betas: NDArray[np.float64]
    times: NDArray[np.float64]
    probability: NDArray[np.float64]
    runs: int
    scheme: str

    def __repr__(self) -> str:
        size = f"{len(self.betas)} betas x {len(self.times)} times"
        return f"SyncDiagram({size}, {counted(self.runs, 'run')}, {self.scheme})"


def _step(step: Any) -> bool:
    """Whether a step of time is one."""
    return is_real(step) and 0 < step <= 1e300


@stoppable()
def sync_diagram(
    n: int,
    dim: int,
    betas: Sequence[float],
    *,
    layers: int = 300,
    step: float = 0.1,
    runs: int = 128,
    seed: int = 0,
    scheme: str = "layers",
    normalised: bool = True,
    threads: int | None = None,
    report: Callable[[int, int], None] | None = None,
    stop: threading.Event | None = None,
) -> SyncDiagram:
    """``P(<x_1(t), x_2(t)> >= 1 - 10^-3)`` from uniform tokens, over inverse temperature and time.

    Parameters
    ----------
    n, dim : tokens and their dimension.
    betas : inverse temperatures.
    layers, step : the times ``step * (0 .. layers)``.
    runs, seed : run r starts from a function of (seed, r), the same for every beta.
    scheme : ``"layers"``, the source's residual layers, or ``"adaptive"``, the flow itself; at
        n = 32, beta = 6 from an orthogonal start they meet at 17.5 and 16.0.
    normalised : SA, else USA.
    threads : worker threads; the result does not depend on it.
    report : called with (done, left) tasks.
    stop : an event that ends the call from another thread with ``Interrupted``, as Ctrl-C does.

    Notes
    -----
    Source: arXiv 2312.10794, Figures 5 and 6. Cost O(betas * runs * layers * n^3), dim only once.
    """
    rates = to_float(as_array("betas", listed("betas", betas, "give a list"), 1, shape="(b,)"))[0]
    whole = all(is_whole(size) and size < 2**31 for size in (n, dim, layers, runs))
    if not is_whole(seed) or not 0 <= seed < 2**63:
        raise InvalidInput(f"seed: an integer in 0..2^63 - 1 needed, got {seed!r}.")
    if not whole or n < 2 or dim < 1 or layers < 1 or runs < 1 or not _step(step) or not len(rates):
        raise InvalidInput(
            f"n, dim, layers, runs, step, betas: n >= 2, the others >= 1, step > 0 and a beta "
            f"needed, got {(n, dim, layers, runs, step, len(rates))}."
        )
    if not normalised and rates.max() > _LARGEST_BETA:
        raise InvalidInput(
            f"betas: at most {_LARGEST_BETA:g} needed without normalisation, got {rates.max():g}; "
            "exp(beta) leaves the doubles beyond."
        )
    if rates.min() < 0 or scheme not in ("layers", "adaptive"):
        raise InvalidInput(
            f"betas, scheme: betas >= 0 and 'layers' or 'adaptive' needed, got {rates.min()} and "
            f"{scheme!r}."
        )
    starts = np.stack([random_gram(n, dim, seed, run) for run in range(runs)])
    step = float(step)
    times = step * np.arange(layers + 1, dtype=np.float64)
    flag = np.zeros(1, np.int64)
    tasks = [(b, r) for b in range(len(rates)) for r in range(0, runs, _RUNS_A_TASK)]

    def work(task: tuple[int, int]) -> Array:
        b, first = task
        grams = starts[first : first + _RUNS_A_TASK].copy()
        pairs = np.empty((len(grams), layers + 1))
        if scheme == "layers":
            kernels.watch_pair(grams, rates[b], step, normalised, 0, len(grams), pairs, flag)
        else:
            flow = sa(rates[b]) if normalised else usa(rates[b])
            for run, gram in enumerate(grams):
                pairs[run] = _pair_of_flow(flow, gram, times)
        return (pairs >= 1 - _SYNCED).sum(axis=0)

    met = np.zeros((len(rates), layers + 1))
    for done, count in enumerate(in_order(work, tasks, threads, flag), 1):
        met[tasks[done - 1][0]] += count
        if report:
            report(done, len(tasks) - done)
    return SyncDiagram(rates, times, met / runs, runs, scheme)


def _pair_of_flow(flow: Flow, gram: Array, times: Array) -> Array:
    tokens = tokens_of(gram)

    def rate(_: float, y: Array) -> Array:
        check()
        return velocity(flow, y.reshape(tokens.shape)).ravel()

    with np.errstate(over="raise", invalid="raise"):
        limited, span = budgeted(rate, _EVALUATIONS), (0.0, times[-1])
        found = solve_ivp(limited, span, tokens.ravel(), "DOP853", times, rtol=1e-7, atol=1e-9)
    if not found.success:
        raise unsolved(found.message)
    x, y = found.y.reshape(*tokens.shape, -1)[:2]
    return (x * y).sum(axis=0) / np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))


def _weights(flow: Flow, gram: Array) -> Array:
    head, n = flow.heads[0], len(gram)
    normalised = head.kind == "softmax"
    weights = np.exp(head.beta * (gram - 1.0 if normalised else gram))
    if flow.causal:
        weights = np.tril(weights)
    if normalised:
        return weights / weights.sum(axis=1, keepdims=True)
    counts = np.arange(1.0, n + 1)[:, None] if flow.causal else n
    return weights / counts

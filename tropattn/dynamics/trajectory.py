"""``simulate``: run tokens through a model and keep what the diagnosis needs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from tropattn._types import Array
from tropattn.arrays import fraction_array, freeze, is_whole, to_float
from tropattn.dynamics.diagnosis import cluster_labels
from tropattn.dynamics.flow import (
    Flow,
    budgeted,
    energy,
    energy_rate,
    residual_layer,
    unsolved,
    velocity,
)
from tropattn.dynamics.gaussian import check_times
from tropattn.dynamics.gram import check_gram, gram_layer, tokens_of
from tropattn.dynamics.hardmax import Decisions, Hardmax, decide, step
from tropattn.dynamics.hardmax_exact import advance, exact_state
from tropattn.errors import InvalidInput
from tropattn.threads import check, stoppable
from tropattn.values import Value, counted

__all__ = ["Trajectory", "simulate"]


_BLOCK = 1 << 20
_MOST_LAYERS = 1 << 31


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Trajectory(Value):
    """Tokens over time.

    Attributes
    ----------
    time : (t,); layers 0 .. L for hardmax.
    states : (t, n, d); (t, n, n) Gram matrices with engine ``"gram"``; rationals with ``"exact"``.
    energy : (t,) ``E_beta`` of SA and USA, mean of ``|z_i|_A^2`` of hardmax; else None.
    dissipated : (t,) integral of ``dE/dt`` since the start, integrated with the tokens; or None.
    leaders : for hardmax the leaders of each layer: all of them with engine ``"exact"``, those
        whose margin exceeds rounding, now or before, with ``"tokens"``.
    doubtful : for hardmax in doubles, winners of each layer that rounding may have changed.
    engine, scheme : how it was made.
    """

    time: NDArray[np.float64]
    states: Array
    energy: NDArray[np.float64] | None
    dissipated: NDArray[np.float64] | None
    leaders: tuple[tuple[int, ...], ...]
    doubtful: tuple[int, ...]
    engine: str
    scheme: str

    def __repr__(self) -> str:
        steps, n = counted(len(self.time), "time"), counted(self.states.shape[1], "token")
        space = "Gram matrices" if self.engine == "gram" else f"R^{self.states.shape[2]}"
        return f"Trajectory({n} in {space}, {steps} to {float(self.time[-1]):g}, {self.engine})"

    def squared_distances(self, index: int) -> NDArray[np.float64]:
        """``|x_i - x_j|^2`` at one time, (n, n)."""
        x = self.states[index]
        if self.engine == "gram":
            square = np.diag(x)
            return np.maximum(square[:, None] + square[None, :] - 2 * x, 0.0)
        return _squared_distances(x)

    def clusters(self, radius: float) -> NDArray[np.int64]:
        """Number of single-linkage clusters at every time, (t,): gaps up to ``radius`` join.

        Cost O(t n^2).
        """
        counts = [
            int(cluster_labels(self.squared_distances(k), radius).max()) + 1
            for k in range(len(self.time))
        ]
        return np.array(counts, dtype=np.int64)

    def dissipation_residual(self) -> float:
        """Largest ``|E(t) - E(0) - integral of dE/dt|``: zero up to the integrator's tolerance."""
        if self.energy is None or self.dissipated is None:
            raise InvalidInput(
                "trajectory: an adaptive SA or USA run on tokens needed; others have no integral."
            )
        return float(np.abs(self.energy - self.energy[0] - self.dissipated).max())


@stoppable()
def simulate(
    model: Flow | Hardmax,
    tokens: Any,
    times: Any,
    *,
    engine: str = "tokens",
    scheme: str = "adaptive",
    step_size: float = 0.1,
    rtol: float = 1e-9,
    report: Callable[[int, int], None] | None = None,
    stop: threading.Event | None = None,
) -> Trajectory:
    """Move tokens through time (flows) or layers (hardmax, fixed-step schemes).

    Parameters
    ----------
    model : a ``Flow`` or a ``Hardmax``.
    tokens : (n, d), or (n, n) Gram matrix with engine ``"gram"``.
    times : (t,) ascending from 0, or for hardmax the number of layers.
    engine : ``"tokens"``; ``"gram"`` (SA, USA: any d at the cost of n^3); ``"exact"`` (hardmax in
        rationals).
    scheme : ``"adaptive"`` (DOP853), or ``"layers"``, residual layers of size ``step_size`` with
        ``times`` multiples of it; ignored by hardmax.
    rtol : relative tolerance of the adaptive integrator.
    report : called with (done, left) layers or times.
    stop : an event that ends the call from another thread with ``Interrupted``, as Ctrl-C does.

    Raises
    ------
    InvalidInput : arguments that do not fit the model.
    Inconclusive : the integrator gave up.

    Examples
    --------
    >>> run = simulate(Hardmax(1), [[2], [1]], 2, engine="exact")
    >>> run.states[:, 1, 0].tolist(), run.leaders[0]
    ([Fraction(1, 1), Fraction(3, 2), Fraction(7, 4)], (0,))
    """
    if isinstance(model, Hardmax):
        return _hardmax(model, tokens, times, engine, report)
    if not isinstance(model, Flow):
        raise InvalidInput(
            f"model: a Flow or a Hardmax needed, got {type(model).__name__}; Gaussians go to "
            "simulate_gaussian."
        )
    if engine not in ("tokens", "gram") or scheme not in ("adaptive", "layers"):
        raise InvalidInput(
            "engine, scheme: 'tokens' or 'gram', 'adaptive' or 'layers' needed for flows, got "
            f"{engine!r}, {scheme!r}; 'exact' is for Hardmax."
        )
    grid = check_times(times)
    start = check_gram(model, tokens) if engine == "gram" else model.check_tokens(tokens)
    run = _layers if scheme == "layers" else _integrated
    states, dissipated = run(model, start, grid, engine, step_size, rtol, report)
    energies = _energies(model, states, engine)
    return Trajectory(grid, freeze(states), energies, dissipated, (), (), engine, scheme)


def _integrated(
    model: Flow, start: Array, grid: Array, engine: str, _: float, rtol: float, report: Any
) -> tuple[Array, Array | None]:
    if engine == "gram":
        start = tokens_of(start)
    shape = start.shape
    with_energy = model.has_energy() and engine == "tokens"

    def rate(t: float, y: Array) -> Array:
        check()
        state = y[: start.size].reshape(shape)
        moved = velocity(model, state, t)
        if not with_energy:
            return moved.ravel()
        return np.append(moved, energy_rate(model, state, moved))

    limited = budgeted(rate)
    y0 = np.append(start.ravel(), 0.0) if with_energy else start.ravel()
    pieces = [y0]
    for k in range(len(grid) - 1) if report else [0]:
        span = (grid[k], grid[k + 1]) if report else (grid[0], grid[-1])
        wanted = [grid[k + 1]] if report else grid[1:]
        found = solve_ivp(limited, span, pieces[-1], "DOP853", wanted, rtol=rtol, atol=rtol * 1e-2)
        if not found.success:
            raise unsolved(found.message)
        pieces.extend(found.y.T)
        if report:
            report(k + 1, len(grid) - 2 - k)
    flat = np.array(pieces)
    states = flat[:, : start.size].reshape(len(grid), *shape)
    if model.space == "sphere":
        states = states / np.linalg.norm(states, axis=2, keepdims=True)
    if engine == "gram":
        states = states @ states.transpose(0, 2, 1)
    return states, flat[:, -1].copy() if with_energy else None


def _layers(
    model: Flow, start: Array, grid: Array, engine: str, size: float, _: float, report: Any
) -> tuple[Array, None]:
    if not size > 0:
        raise InvalidInput(f"step_size: a number > 0 needed, got {size}; the source uses 0.1.")
    marks = np.rint((grid - grid[0]) / size).astype(np.int64)
    if np.abs(marks * size + grid[0] - grid).max() > 1e-9 * max(1.0, float(grid[-1])):
        raise InvalidInput(f"times: multiples of step_size = {size} needed; use step_size * k.")
    state, states, done = start, [start], 0
    advance_one = gram_layer if engine == "gram" else residual_layer
    for mark in marks[1:].tolist():
        for _ in range(mark - done):
            check()
            state = advance_one(model, state, size)
        done = mark
        states.append(state)
        if report:
            report(done, int(marks[-1]) - done)
    return np.array(states), None


def _energies(model: Flow, states: Array, engine: str) -> Array | None:
    if not model.has_energy():
        return None
    beta = model.heads[0].beta
    return np.array([energy(beta, x if engine == "gram" else x @ x.T) for x in states])


def _hardmax(model: Hardmax, tokens: Any, layers: Any, engine: str, report: Any) -> Trajectory:
    if not is_whole(layers) or not 1 <= layers < _MOST_LAYERS:
        raise InvalidInput(f"times: a number of layers >= 1 needed for Hardmax, got {layers!r}.")
    if engine not in ("tokens", "exact"):
        raise InvalidInput(
            f"engine: 'tokens' or 'exact' needed for Hardmax, got {engine!r}; 'gram' is for flows."
        )
    run = _hardmax_exact if engine == "exact" else _hardmax_float
    states, leaders, doubtful = run(model, tokens, int(layers), report)
    energies = np.array([_square_length(model, z) for z in states])
    return Trajectory(
        np.arange(layers + 1.0), freeze(states), energies, None, leaders, doubtful, engine, "layers"
    )


def _hardmax_exact(
    model: Hardmax, tokens: Any, layers: int, report: Any
) -> tuple[Array, tuple[tuple[int, ...], ...], tuple[int, ...]]:
    state = exact_state(model, tokens)
    states, leaders = [fraction_array(state.tokens)], [state.leaders]
    for layer in range(layers):
        check()
        state = advance(model, state)
        states.append(fraction_array(state.tokens))
        leaders.append(state.leaders)
        if report:
            report(layer + 1, layers - 1 - layer)
    return np.array(states), tuple(leaders), ()


def _hardmax_float(
    model: Hardmax, tokens: Any, layers: int, report: Any
) -> tuple[Array, tuple[tuple[int, ...], ...], tuple[int, ...]]:
    state = np.array(to_float(model.check_tokens(tokens))[0])
    states, leaders, doubtful = [state], [], []
    known: set[int] = set()
    _, original = np.unique(state, axis=0, return_inverse=True)
    for layer in range(layers + 1):
        check()
        decisions = decide(model, state, None)
        known |= set(_proved_leaders(model, state, decisions, original.ravel()))
        leaders.append(tuple(sorted(known)))
        doubtful.append(decisions.doubtful())
        if layer < layers:
            state = step(model, state, decisions)
            states.append(state)
            if report:
                report(layer + 1, layers - 1 - layer)
    return np.array(states), tuple(leaders), tuple(doubtful)


def _proved_leaders(
    model: Hardmax, state: Array, decisions: Decisions, original: Array
) -> list[int]:
    """Tokens whose own score beats every other position by more than rounding (they stay).

    Tokens that doubles put on one spot though they started apart are left out: a follower that
    rounding has carried onto its leader is no leader.
    """
    if not model.own:
        return []
    candidates = np.flatnonzero((state[decisions.target] == state).all(axis=1))
    sure = candidates[decisions.margin[candidates] > decisions.bound[candidates]]
    _, place = np.unique(state, axis=0, return_inverse=True)
    pairs = np.unique(np.column_stack([place.ravel(), original]), axis=0)
    return sure[np.bincount(pairs[:, 0])[place.ravel()[sure]] == 1].tolist()


def _square_length(model: Hardmax, tokens: Array) -> float:
    z = to_float(tokens)[0]
    return float((model.directions(z) * z).sum()) / len(z)


def _squared_distances(x: Array) -> NDArray[np.float64]:
    z = x.astype(np.float64)
    out = np.zeros((len(z), len(z)))
    few = max(1, _BLOCK // len(z) ** 2)
    for k in range(0, z.shape[1], few):
        # By differences: squares of lengths would cancel for tokens that have almost met.
        out += ((z[:, None, k : k + few] - z[None, :, k : k + few]) ** 2).sum(axis=2)
    return out

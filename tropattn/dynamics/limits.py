"""Where hardmax tokens end, without iterating to the end, and which points end there.

A layer is a Frank-Wolfe step (Alcalde, Geshkovski, Ruiz-Balet, arXiv 2508.09628). Call a layer
*settled* if the winners ``T_i`` of every token are leaders, and all of ``T_i`` win at their mean
``m_i`` too (a single leader always does). From a settled layer on, winners never change and

    x_i^t = p x_i + (1 - p) m_i,      p = (1 - g)^t,

so the limit of token i is ``m_i``, exactly. Proof: for ``v`` in ``T_i`` and any token u,
``<A x_i^t, v - x_u^t>`` is the combination of ``<A y, v - w>``, ``y = x_i, m_i``, ``w = x_u, m_u``,
with weights that are products of p and 1 - p. All four are >= 0: v wins at ``x_i`` and at ``m_i``
against every token, hence against the mean ``m_u``; and the first stays > 0 where it was.
The source assumes that the hull's vertices own their cells; leaders as winners are enough.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_fractions, fraction_array, freeze, of_kind, rational_matrix, to_float
from tropattn.dynamics.hardmax import Hardmax
from tropattn.dynamics.hardmax_exact import ExactState, advance, exact_state
from tropattn.errors import Inconclusive, InvalidInput
from tropattn.regions.count import count_regions
from tropattn.regions.result import RegionCount
from tropattn.threads import check, stoppable
from tropattn.tropical.polynomial import PowerDiagram
from tropattn.values import Value, counted

__all__ = ["Basins", "HardmaxLimit", "basins", "cells_per_layer", "hardmax_limit", "settled_layers"]


_PROBE_LAYERS = 64


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class HardmaxLimit(Value):
    """Exact limits of all tokens.

    Attributes
    ----------
    points : (n, d) rationals, the limit of each token.
    leaders : all leaders that ever appear, ascending (they stay, so those of the last layer).
    layer : the first settled layer.
    winners : the winners ``T_i`` of every token from that layer on.
    """

    points: Array
    leaders: tuple[int, ...]
    layer: int
    winners: tuple[tuple[int, ...], ...]

    def __repr__(self) -> str:
        tokens, leaders = counted(len(self.points), "token"), counted(len(self.leaders), "leader")
        return f"HardmaxLimit({tokens}, {leaders}, settled at layer {self.layer})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Basins(Value):
    """Which leader takes a probe, a token that follows the others without being seen by them.

    Attributes
    ----------
    diagram : power diagram of the first settled layer; a leader's cell is part of its basin.
    leaders : (m,) indices of the leaders.
    layer : the first settled layer.
    """

    diagram: PowerDiagram
    leaders: NDArray[np.int64]
    layer: int
    _states: tuple[NDArray[np.float64], ...]
    _model: Hardmax

    def __repr__(self) -> str:
        leaders = counted(len(self.leaders), "leader")
        return f"Basins({leaders}, settled at layer {self.layer})"

    def label(self, points: Any) -> NDArray[np.int64]:
        """The leader that each probe at layer 0 tends to, (m,); -1 if none within 64 more layers.

        A probe is settled once a leader wins for it at a settled layer. Decided in doubles: within
        rounding of a wall a probe may get the neighbour's label.
        """
        x = np.array(to_float(self._model.check_tokens(points))[0])
        out = np.full(len(x), -1, dtype=np.int64)
        open_rows = np.arange(len(x))
        part = float(self._model.part)
        for layer, tokens in enumerate(self._states):
            winner = (self._model.directions(x[open_rows]) @ tokens.T).argmax(axis=1)
            if layer >= self.layer:
                done = np.isin(winner, self.leaders)
                out[open_rows[done]] = winner[done]
                open_rows, winner = open_rows[~done], winner[~done]
            x[open_rows] += part * (tokens[winner] - x[open_rows])
        return out


@stoppable()
def hardmax_limit(
    model: Hardmax, tokens: Any, *, max_layers: int = 200, stop: threading.Event | None = None
) -> HardmaxLimit:
    """The exact limit of every token, from the first settled layer.

    Raises
    ------
    InvalidInput : tokens that do not compete for themselves.
    Inconclusive : no settled layer among the first ``max_layers``: some token then keeps changing
        its winners, and tends to the A-projection of 0 on a face (arXiv 2407.01602), at no layer
        exactly.

    Notes
    -----
    Source: arXiv 2508.09628, with the proof in the head of this module. Exact; O(layers n^2 d).

    Examples
    --------
    >>> hardmax_limit(Hardmax(1), [[1, 1], [-1, 1], [0, 0]]).points[2].tolist()
    [Fraction(0, 1), Fraction(1, 1)]
    """
    of_kind("model", model, Hardmax, "limits are those of hardmax layers")
    for layer, state in enumerate(_layers(model, tokens, max_layers)):
        goals = _goals(model, state)
        if goals is not None:
            chosen = tuple(won if model.ties == "average" else won[:1] for won in state.winners)
            return HardmaxLimit(freeze(fraction_array(goals)), state.leaders, layer, chosen)
    raise Inconclusive(
        f"limit: a layer from which all winners stay needed, none among the first {max_layers}; "
        "simulate instead, or raise max_layers."
    )


@stoppable()
def cells_per_layer(
    model: Hardmax, tokens: Any, *, max_layers: int = 200, stop: threading.Event | None = None
) -> list[RegionCount]:
    """Number of cells of each layer's tropical polynomial up to the first settled one (T3).

    A cell belongs to a hull vertex of that layer's tokens; leaders keep theirs for good. Ends
    after ``max_layers`` if no layer is settled by then.

    >>> [int(c) for c in cells_per_layer(Hardmax(1), [[1, 1], [-1, 1], [0, -1], [0, 0]])]
    [3, 3]

    Two layers, since the token at 0 ties with all others and itself at first.
    """
    of_kind("model", model, Hardmax, "limits are those of hardmax layers")
    counts = []
    for state in _layers(model, tokens, max_layers):
        counts.append(count_regions(model.polynomial(fraction_array(state.tokens))))
        if _goals(model, state) is not None:
            break
    return counts


@stoppable()
def basins(
    model: Hardmax, tokens: Any, *, max_layers: int = 200, stop: threading.Event | None = None
) -> Basins:
    """Basins of attraction of the leaders, from the power diagrams of the layers.

    Raises
    ------
    InvalidInput : tokens that do not compete for themselves.
    Inconclusive : no settled layer within ``max_layers``.

    >>> square = [[1, 1], [-1, 1], [-1, -1], [1, -1]]
    >>> basins(Hardmax(1), square).label([[0.5, 0.1], [-0.2, -0.1]]).tolist()
    [0, 2]
    """
    of_kind("model", model, Hardmax, "limits are those of hardmax layers")
    states = []
    for layer, state in enumerate(_layers(model, tokens, max_layers)):
        exact = fraction_array(state.tokens)
        states.append(to_float(exact)[0])
        goals = _goals(model, state)
        if goals is None:
            continue
        diagram = model.polynomial(exact).power_diagram()
        ends = to_float(fraction_array(goals))[0]
        for _ in range(_PROBE_LAYERS):
            states.append(states[-1] + float(model.part) * (ends - states[-1]))
        leaders = freeze(np.array(state.leaders, dtype=np.int64))
        return Basins(diagram, leaders, layer, tuple(freeze(z) for z in states), model)
    raise Inconclusive(
        f"basins: a settled layer needed, none among the first {max_layers}; raise max_layers."
    )


def settled_layers(
    model: Hardmax, tokens: Any, more: int, *, max_layers: int = 200
) -> tuple[list[flint.fmpq_mat], frozenset[int], int]:
    """Tokens of the layers up to the first settled one and ``more`` beyond, leaders, that layer.

    Raises as ``basins``.
    """
    states: list[flint.fmpq_mat] = []
    settled, leaders = None, frozenset[int]()
    for layer, state in enumerate(_layers(model, tokens, max_layers + more)):
        states.append(state.tokens)
        if settled is None and layer < max_layers and _goals(model, state) is not None:
            settled, leaders = layer, frozenset(state.leaders)
        if settled is not None and layer >= settled + more:
            return states, leaders, settled
    raise Inconclusive(
        f"basins: a settled layer needed, none among the first {max_layers}; raise max_layers."
    )


def _layers(model: Hardmax, tokens: Any, max_layers: int) -> Iterator[ExactState]:
    if not model.own:
        raise InvalidInput(
            "model: tokens that compete for themselves (own=True) needed; without that no token "
            "rests and the limit theorem does not apply."
        )
    if max_layers < 1:
        raise InvalidInput(f"max_layers: a number >= 1 needed, got {max_layers}; e.g. 200.")
    state = exact_state(model, tokens)
    for layer in range(max_layers):
        check()
        yield state
        if layer + 1 < max_layers:
            state = advance(model, state)


def _goals(model: Hardmax, state: ExactState) -> flint.fmpq_mat | None:
    """The means ``m_i`` if the layer is settled, else None."""
    leading = set(state.leaders)
    rows = state.tokens.tolist()
    width = len(rows[0])
    goals: list[flint.fmpq] = []
    sets: list[tuple[int, ...]] = []
    for won in state.winners:
        chosen = won if model.ties == "average" else won[:1]
        if not leading.issuperset(chosen):
            return None
        for k in range(width):
            goals.append(sum((rows[j][k] for j in chosen), flint.fmpq(0)) / len(chosen))
        sets.append(chosen)
    means = flint.fmpq_mat(len(rows), width, goals)
    directions = means
    if model.matrix is not None:
        directions = means * rational_matrix(as_fractions(model.matrix))
    scores, _ = (directions * state.tokens.transpose()).numer_denom()
    for chosen, line in zip(sets, scores.tolist(), strict=True):
        best = max(line)
        if any(line[j] != best for j in chosen):
            return None
    return means

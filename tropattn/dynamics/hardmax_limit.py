"""Where hardmax tokens end, without iterating to the end, and which points end there.

Once every vertex of the tokens' hull owns its own cell, vertices never move again, the hull and
its normal fan stay, and a layer is a Frank-Wolfe step towards a fixed vertex (Alcalde, Geshkovski,
Ruiz-Balet, arXiv 2508.09628): ``x^t = p x^0 + (1 - p) v`` with ``p = (1 - g)^t``, so the limit is
``v`` exactly. With ties averaged the same holds for a set T of winners with mean m, if every
member of T wins at m too: then ``<A x', v - u> = (1 - g) <A x, v - u> + g <A m, v - u>`` keeps the
sign of every comparison, and the limit is m.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import as_array, freeze, rational_matrix
from tropattn.dynamics.hardmax import Hardmax
from tropattn.dynamics.hardmax_exact import (
    ExactState,
    advance,
    as_rationals,
    exact_state,
    hull_vertices,
)
from tropattn.errors import Inconclusive, InvalidInput
from tropattn.regions.count import count_regions
from tropattn.regions.result import RegionCount
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.power_diagram import PowerDiagram

__all__ = ["Basins", "HardmaxLimit", "basins", "cells_per_layer", "hardmax_limit"]

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class HardmaxLimit:
    """Exact limits of all tokens.

    Attributes
    ----------
    points : (n, d) rationals, the limit of each token.
    leaders : all leaders that ever appear, ascending (they stay, so those of the last layer).
    layer : the layer from which on the closed form holds.
    vertices : hull vertices of that layer.
    """

    points: Array
    leaders: tuple[int, ...]
    layer: int
    vertices: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Basins:
    """Which leader takes a probe, a token that follows the others without being seen by them.

    Attributes
    ----------
    polynomials : of the layers 0 .. s; from layer s on the fan no longer changes.
    diagram : the power diagram of layer s, whose cells are the basins of probes that enter there.
    leaders : (m,) the tokens that own the cells.
    part : the step ``g`` of a layer.
    """

    polynomials: tuple[TropicalPolynomial, ...]
    diagram: PowerDiagram
    leaders: NDArray[np.int64]
    part: float

    def label(self, points: Any) -> NDArray[np.int64]:
        """Index of the token whose position each probe tends to, (m,), for probes at layer 0.

        Decided in doubles: a probe within rounding of a wall may get the neighbour's label.
        """
        x = as_array("points", points, 2, shape="(m, d)").astype(np.float64)
        for f in self.polynomials[:-1]:
            x = x + self.part * (_tokens(f)[f.scores(x).argmax(axis=1)] - x)
        return self.polynomials[-1].scores(x).argmax(axis=1)


def hardmax_limit(model: Hardmax, tokens: Any, *, max_layers: int = 200) -> HardmaxLimit:
    """The exact limit of every token, from the first layer at which it has a closed form.

    Raises
    ------
    InvalidInput : tokens that do not compete for themselves.
    Inconclusive : no such layer among the first ``max_layers``: some token then keeps changing
        its winners, and tends to the A-projection of 0 on a face (arXiv 2407.01602), at no layer
        exactly.

    Notes
    -----
    Source: arXiv 2508.09628 and the extension to ties in the head of this module. Exact.

    Examples
    --------
    >>> hardmax_limit(Hardmax(1), [[1, 1], [-1, 1], [0, 0]]).points[2].tolist()
    [Fraction(0, 1), Fraction(1, 1)]
    """
    for layer, state in enumerate(_layers(model, tokens, max_layers)):
        vertices = hull_vertices(state.tokens)
        if not _own_their_cells(state, vertices):
            continue
        goals = _goals(model, state)
        if goals is not None:
            return HardmaxLimit(freeze(as_rationals(goals)), state.leaders, layer, vertices)
    raise Inconclusive(
        f"limit: a layer from which all winners stay needed, none among the first {max_layers}; "
        "simulate instead, or raise max_layers."
    )


def cells_per_layer(model: Hardmax, tokens: Any, *, max_layers: int = 200) -> list[RegionCount]:
    """Number of cells of each layer's tropical polynomial until the fan is stable (theory T3).

    The last entry belongs to the layer at which all hull vertices own their cells: all later
    layers have the same fan. Shorter than that only if ``max_layers`` came first.

    >>> [int(c) for c in cells_per_layer(Hardmax(1), [[1, 1], [-1, 1], [0, -1], [0, 0]])]
    [3]
    """
    counts = []
    for state in _layers(model, tokens, max_layers):
        counts.append(count_regions(_polynomial(model, state)))
        if _own_their_cells(state, hull_vertices(state.tokens)):
            break
    return counts


def basins(model: Hardmax, tokens: Any, *, max_layers: int = 200) -> Basins:
    """Basins of attraction of the leaders, as the power diagram of the tokens' fan.

    Raises
    ------
    Inconclusive : the fan is not stable within ``max_layers``.

    >>> square = [[1, 1], [-1, 1], [-1, -1], [1, -1]]
    >>> basins(Hardmax(1), square).label([[0.5, 0.1], [-0.2, -0.1]]).tolist()
    [0, 2]
    """
    polynomials = []
    for state in _layers(model, tokens, max_layers):
        f = _polynomial(model, state)
        polynomials.append(f)
        vertices = hull_vertices(state.tokens)
        if _own_their_cells(state, vertices):
            return Basins(
                tuple(polynomials),
                f.power_diagram(),
                freeze(np.array(vertices, dtype=np.int64)),
                float(model.part),
            )
    raise Inconclusive(
        f"basins: a fan that is stable within {max_layers} layers needed; raise max_layers."
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
    for _ in range(max_layers):
        yield state
        state = advance(model, state)


def _own_their_cells(state: ExactState, vertices: tuple[int, ...]) -> bool:
    leading = {state.place[i] for i in state.leaders}
    return all(state.place[v] in leading for v in vertices)


def _goals(model: Hardmax, state: ExactState) -> flint.fmpq_mat | None:
    """The mean of each token's winners, if all those winners rest and win at that mean too."""
    leading = {state.place[i] for i in state.leaders}
    rows = state.tokens.tolist()
    width = len(rows[0])
    goals: list[flint.fmpq] = []
    mixed: list[tuple[int, ...]] = []
    for won in state.winners:
        chosen = won if model.ties == "average" else won[:1]
        if any(state.place[j] not in leading for j in chosen):
            return None
        for k in range(width):
            goals.append(sum((rows[j][k] for j in chosen), flint.fmpq(0)) / len(chosen))
        mixed.append(chosen)
    means = flint.fmpq_mat(len(rows), width, goals)
    # Scores <A m, z_j> of every mean: a single winner passes at once, since a leader owns its cell.
    directions = means if model.matrix is None else means * rational_matrix(model.matrix)
    scores, _ = (directions * state.tokens.transpose()).numer_denom()
    for chosen, line in zip(mixed, scores.tolist(), strict=True):
        best = max(line)
        if any(line[j] != best for j in chosen):
            return None
    return means


def _polynomial(model: Hardmax, state: ExactState) -> TropicalPolynomial:
    return model.polynomial(as_rationals(state.tokens))


def _tokens(f: TropicalPolynomial) -> NDArray[np.float64]:
    return f.keys.astype(np.float64)

"""Hardmax layers in rationals: winners, ties and leaders without any rounding.

A state is an (n, d) array of ``Fraction``; scores are one exact matrix product with cleared
denominators, so comparisons are comparisons of integers. Numbers of numpy are read as the dyadic
rationals they are. Each layer adds the digits of the step to every moving coordinate: a run of L
layers costs O(L n^2 d) products of numbers of O(L) digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flint

from tropattn.arrays import as_fractions, rational, rational_matrix
from tropattn.dynamics.hardmax import Hardmax

__all__ = ["ExactState", "advance", "exact_state"]


@dataclass(frozen=True, slots=True, eq=False)
class ExactState:
    """Tokens of one layer with their exact winners.

    Attributes
    ----------
    tokens : (n, d) rationals.
    place : for every token the smallest index at the same position.
    winners : ``C_i``, ascending, for every token (own index left out where the model says so).
    leaders : indices i whose winners all stand at the position of i.
    """

    tokens: flint.fmpq_mat
    place: tuple[int, ...]
    winners: tuple[tuple[int, ...], ...]
    leaders: tuple[int, ...]


def exact_state(model: Hardmax, tokens: Any) -> ExactState:
    """Winners and leaders of tokens, exactly: an array (n, d) or a rational matrix.

    >>> state = exact_state(Hardmax(1), [[1, 1], [-1, 1], [0, 0]])
    >>> state.winners, state.leaders
    (((0,), (1,), (0, 1, 2)), (0, 1))
    """
    z = tokens if isinstance(tokens, flint.fmpq_mat) else _read(model, tokens)
    directions = z if model.matrix is None else z * rational_matrix(as_fractions(model.matrix))
    scores, _ = (directions * z.transpose()).numer_denom()
    rows = [tuple(row) for row in z.tolist()]
    seen: dict[tuple[Any, ...], int] = {}
    place = tuple(seen.setdefault(row, i) for i, row in enumerate(rows))
    winners = []
    for i, line in enumerate(scores.tolist()):
        best = max(line) if model.own else max(line[:i] + line[i + 1 :])
        winners.append(
            tuple(j for j, score in enumerate(line) if score == best and (model.own or j != i))
        )
    leaders = ()
    if model.own:
        leaders = tuple(
            i for i, won in enumerate(winners) if all(place[j] == place[i] for j in won)
        )
    return ExactState(z, place, tuple(winners), leaders)


def advance(model: Hardmax, state: ExactState) -> ExactState:
    """The next layer, exactly.

    >>> from fractions import Fraction
    >>> from tropattn.arrays import fraction_array
    >>> model = Hardmax(Fraction(1, 2))
    >>> z = exact_state(model, [[1, 1], [-1, 1], [0, 0]])
    >>> fraction_array(advance(model, z).tokens)[2].tolist()
    [Fraction(0, 1), Fraction(2, 9)]
    """
    part = rational(model.part)
    rows = state.tokens.tolist()
    width = len(rows[0])
    moved = []
    for i, won in enumerate(state.winners):
        chosen = won if model.ties == "average" else won[:1]
        if all(state.place[j] == state.place[i] for j in chosen):
            moved.extend(rows[i])
            continue
        for k in range(width):
            goal = sum((rows[j][k] for j in chosen), flint.fmpq(0)) / len(chosen)
            moved.append(rows[i][k] + part * (goal - rows[i][k]))
    return exact_state(model, flint.fmpq_mat(len(rows), width, moved))


def _read(model: Hardmax, tokens: Any) -> flint.fmpq_mat:
    return rational_matrix(as_fractions(model.check_tokens(tokens)))

"""A plane to look at: through the states of three tokens of the context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn.errors import Degenerate, InvalidInput
from tropattn.polyhedra.domain import Slice
from tropattn.regions.count import count_regions
from tropattn.study.inputs import Heads, Source, open_target

__all__ = ["TokenPlane", "through_tokens", "token_plane"]

_OTHERS = 9
_ENDS = (-0.2, 1.2)
"""Where the line through two states, at 0 and 1, begins and ends."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenPlane:
    """A windowed plane, the three states in its parameters with their names, and its cells.

    ``tried`` is the number of planes that it was chosen from.
    """

    domain: Slice
    points: NDArray[np.float64]
    names: tuple[str, ...]
    cells: int
    tried: int


def token_plane(opened: Heads, margin: float = 1.0, threads: int | None = None) -> TokenPlane:
    """Choose the plane through the moving state and two other tokens that meets most cells.

    At most 9 other tokens, evenly spaced along the context, are tried in pairs; of equal counts the
    first pair wins.

    Parameters
    ----------
    opened : heads of a model with at least three tokens.
    margin : how far the window reaches beyond the three states, relative to their box.

    Raises
    ------
    InvalidInput : bare polynomials, or fewer than three tokens.
    Degenerate : no three states that span a plane.

    Notes
    -----
    Cost: one exact count a pair, in a plane.
    """
    if opened.states is None or len(opened.states) < 3:
        raise InvalidInput(
            "domain: a plane needed to draw these heads, got none and no three tokens to lay one "
            "through; give plane:FILE."
        )
    states: NDArray[Any] = opened.states
    own = len(states) - 1
    others = np.unique(np.linspace(0, own - 1, min(_OTHERS, own)).astype(int)).tolist()
    best: tuple[int, Slice, list[int]] | None = None
    tried = 0
    for pair in combinations(others, 2):
        chosen = [own, *pair]
        try:
            plane = Slice.through(states[chosen], margin)
        except Degenerate:
            # Equal states, or three on a line: tokens of a model without positions.
            continue
        tried += 1
        cells = count_regions(opened.target, plane, threads=threads).value
        if best is None or cells > best[0]:
            best = cells, plane, chosen
    if best is None:
        raise Degenerate(
            "domain: three token states that span a plane needed, got none in this context; give "
            "plane:FILE."
        )
    cells, plane, chosen = best
    assert plane.embedding is not None
    basis, origin = plane.embedding
    points = (states[chosen] - origin) @ basis.T
    return TokenPlane(plane, points, tuple(opened.state_names[i] for i in chosen), cells, tried)


def through_tokens(source: Source, tokens: Sequence[int]) -> tuple[str, dict[str, Any], list[str]]:
    """The plane through the states of three tokens, or the line through those of two.

    Parameters
    ----------
    source : a model, its context, and the layer whose entering states are meant.
    tokens : two or three places in the context, from 0.

    Returns
    -------
    ``"plane"`` or ``"line"``, the arrays of its file (``read_domain``), and the tokens' names. A
    plane has the three states as ``points``; a line runs from the first at t = 0 to the second at
    t = 1, and a fifth of that beyond both.

    Raises
    ------
    InvalidInput : bare polynomials, another number of tokens, a token that is not in the context or
        that the moving one does not see, or one twice.
    Degenerate : states that coincide, or three on a line.
    """
    if len(tokens) not in (2, 3) or len(set(tokens)) != len(tokens):
        raise InvalidInput(
            f"tokens: three different places for a plane or two for a line needed, got "
            f"{', '.join(map(str, tokens))}; e.g. --tokens 0,5,9."
        )
    opened, _ = open_target(source, None)
    if opened.states is None:
        raise InvalidInput(
            f"input: a model with a context needed, got polynomials in {source.path}; write points "
            "(3, d) into the file yourself."
        )
    rows = {place: row for row, place in enumerate(opened.places)}
    missing = [token for token in tokens if token not in rows]
    if missing:
        raise InvalidInput(
            f"tokens: places among {', '.join(map(str, sorted(rows)))} needed, which the moving "
            f"token sees, got {missing[0]}; they count from 0."
        )
    names = [opened.state_names[rows[token]] for token in tokens]
    states = np.array([opened.states[rows[token]] for token in tokens], dtype=np.float64)
    if len(tokens) == 3:
        Slice.through(states)
        return "plane", {"points": states}, names
    if not (states[1] != states[0]).any():
        raise Degenerate("tokens: two different states needed for a line, got equal ones.")
    line = {"origin": states[0], "direction": states[1] - states[0]}
    return "line", {**line, "t_min": np.float64(_ENDS[0]), "t_max": np.float64(_ENDS[1])}, names

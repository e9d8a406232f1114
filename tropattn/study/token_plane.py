"""A plane to look at: through the states of three tokens of the context."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn.errors import Degenerate, InvalidInput
from tropattn.polyhedra.domain import Slice
from tropattn.regions.count import count_regions
from tropattn.study.inputs import Heads

__all__ = ["TokenPlane", "token_plane"]

_OTHERS = 9


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

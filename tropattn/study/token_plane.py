"""A plane to look at: through the states of three tokens of the context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn.errors import BudgetExceeded, Degenerate, InvalidInput
from tropattn.polyhedra.domain import Box, Slice
from tropattn.progress import counting, doing
from tropattn.regions.budget import Budget
from tropattn.regions.count import count_regions
from tropattn.regions.networks.layerwise import LayerwiseRefinement
from tropattn.regions.polygons.cells import FEW_KEYS
from tropattn.study.inputs import Heads, Source, open_target
from tropattn.tropical.stage import stages_of

__all__ = ["TokenPlane", "through_tokens", "token_plane"]

_OTHERS = 9
_MOST, _FEWEST = 20_000, 8
_WORK = 6e8
"""Entries of terms that are multiplied exactly in about a minute."""

_SMALLEST = -14
"""Power of two of the smallest window."""

_ENDS = (-0.2, 1.2)
"""Where the line through two states, at 0 and 1, begins and ends."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenPlane:
    """A windowed plane, the three states in its parameters with their names, and its cells.

    ``tried`` is the number of planes that it was chosen from; ``reach`` how far the window reaches
    from the moving state relative to the box of the three, None where it reaches beyond that box.
    """

    domain: Slice
    points: NDArray[np.float64]
    names: tuple[str, ...]
    cells: int
    tried: int
    reach: float | None = None


def token_plane(
    opened: Heads,
    margin: float = 1.0,
    threads: int | None = None,
    reach: float | None = None,
) -> TokenPlane:
    """Choose the plane through the moving state and two other tokens that meets most cells.

    At most 9 other tokens, evenly spaced along the context, are tried in pairs; of equal counts the
    first pair wins. Where a network has more cells on them than can be drawn in a minute or two,
    it is the first of these planes, in a smaller window; with ``reach`` the first one too, where
    the network is so large that each plane takes long.

    Parameters
    ----------
    opened : heads of a model with at least three tokens.
    margin : how far the window reaches beyond the three states, relative to their box.
    reach : instead, how far it reaches from the moving state, relative to their box.

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
    pairs = [*combinations(others, 2)]
    few = 0 < sum(head.n_terms for head in opened.heads) <= FEW_KEYS
    most = None if opened.heads else _drawable(opened.target)
    slow = most is not None and most < _MOST
    if reach is not None:
        most = None
    best: tuple[int, Slice, list[int]] | None = None
    tried = 0
    with doing("planes through three tokens", len(pairs)) as done:
        for number, pair in enumerate(pairs):
            done(number)
            chosen = [own, *pair]
            try:
                plane = _window(states[chosen], margin, reach)
            except Degenerate:
                # Equal states, or three on a line: tokens of a model without positions.
                continue
            tried += 1
            share = None if most is None else max(_FEWEST, most // len(pairs))
            try:
                found = count_regions(
                    opened.target,
                    plane,
                    engine="enumeration" if few else "auto",
                    threads=threads,
                    max_cells=share,
                )
            except BudgetExceeded:
                if most is None:
                    raise
                return _small(opened, chosen, most)
            if best is None or found.value > best[0]:
                best = found.value, plane, chosen
            if slow and reach is not None:
                break
    if best is None:
        raise Degenerate(
            "domain: three token states that span a plane needed, got none in this context; give "
            "plane:FILE."
        )
    cells, plane, chosen = best
    return _marked(opened, plane, chosen, cells, tried, reach)


def _window(states: NDArray[Any], margin: float, reach: float | None) -> Slice:
    """The plane through three states, the moving one first, in a window."""
    plane = Slice.through(states, margin)
    if reach is None or plane.embedding is None:
        return plane
    basis, origin = plane.embedding
    points = (states - origin) @ basis.T
    half = reach * float(np.ptp(points, axis=0).max())
    return Slice(origin, basis, Box(points[0] - half, points[0] + half))


def _marked(
    opened: Heads,
    plane: Slice,
    chosen: list[int],
    cells: int,
    tried: int,
    reach: float | None = None,
) -> TokenPlane:
    assert plane.embedding is not None
    basis, origin = plane.embedding
    points = (opened.states[chosen] - origin) @ basis.T
    names = tuple(opened.state_names[i] for i in chosen)
    return TokenPlane(plane, points, names, cells, tried, reach)


def _drawable(network: Any) -> int:
    """How many cells of a network are exactly drawn in about a minute."""
    work = sum((s.dim + 1) * sum(u.n_terms for u in s.units) for s in stages_of(network))
    return min(_MOST, max(_FEWEST, int(_WORK / work)))


def _small(opened: Heads, chosen: list[int], most: int) -> TokenPlane:
    """A plane in the largest window, by powers of two, that has less than half of ``most`` cells.

    It grows from a small one, since counting in a large one to a limit says nothing of a smaller.
    """
    stages = LayerwiseRefinement(stages_of(opened.target), None)
    best: TokenPlane | None = None
    with doing("choosing a window"):
        for power in range(_SMALLEST, 1):
            reach = 2.0**power
            plane = _window(opened.states[chosen], 0.0, reach)
            budget = Budget(most // 2)
            try:
                with counting("cells of a layer") as budget.report:
                    cells = len(stages.within(plane).levels(budget)[-1])
            except BudgetExceeded:
                break
            best = _marked(opened, plane, chosen, cells, 1, reach)
            if cells > most // 8:
                # The next window has about four times as many.
                break
    if best is None:
        raise BudgetExceeded(
            f"domain: at most {most} cells round the moving state can be drawn, more found; give "
            "--reach a smaller number, or plane:FILE a smaller window.",
            most // 2,
        )
    return best


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

"""Pictures of decisions on a plane: where each answer is given, and the boundary between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tropattn.errors import InvalidInput
from tropattn.plotting.hull import by_angle
from tropattn.plotting.style import FILLS, INKS, counted, fill, lighter, new_figure
from tropattn.plotting.window import mark
from tropattn.polyhedra.polygon import Polygon
from tropattn.regions.decisions import DecisionBoundary

__all__ = ["boundary"]

_KINDS = {"tie": (INKS[0], "solid"), "jump": (INKS[2], (0, (3, 1)))}


def boundary(
    found: DecisionBoundary,
    *,
    names: Sequence[str] | None = None,
    points: Any = None,
    point_names: Sequence[str] = (),
    title: str | None = None,
) -> Figure:
    """Draw the decisions of a network on a plane, and the boundary between them (theory T12).

    Parameters
    ----------
    found : of ``decision_boundary``, in a bounded window.
    names : of the outputs, their indices where omitted.
    points : (m, 2) parameters to mark, such as states of tokens; ``point_names`` one each.
    title : of the figure; the axes say the numbers.

    Returns
    -------
    Figure
        Cells in the colour of their decision, ties as full lines, jumps as dashes.

    Raises
    ------
    InvalidInput : an unbounded window.

    Notes
    -----
    Cost: the corners of every cell, about a millisecond each.

    >>> from tropattn import Affine, Box, Network, decision_boundary
    >>> net = Network([Affine([[1, 0], [0, 1]])])
    >>> boundary(decision_boundary(net, Box([0, 0], [1, 2]))).axes[0].get_title()
    '1 piece, 0 jumps among them; 2 cells of 2 decisions'
    """
    cells = [_polygon(found, i) for i in range(len(found.decisions))]
    decided = sorted(set(found.decisions.tolist()))
    colours = {k: FILLS[at % len(FILLS)] for at, k in enumerate(decided)}
    corners = np.vstack([cell.vertices for cell in cells])
    low, high = corners.min(axis=0), corners.max(axis=0)
    wide, tall = (high - low).tolist()
    figure = new_figure(7.0, 7.0 * float(np.clip(tall / wide, 0.3, 2.0)) + 1.0)
    axes = figure.add_subplot()
    thin = {"edgecolors": INKS[7], "linewidths": 0.15}
    fill(axes, cells, [lighter(colours[k], 0.3) for k in found.decisions.tolist()], **thin)
    handles: list[Any] = []
    for k in decided:
        label = f"output {k}" if names is None else names[k]
        handles.append(Patch(color=lighter(colours[k], 0.3), label=label))
    for kind, (ink, dash) in _KINDS.items():
        lines = [piece.ends.astype(float) for piece in found.pieces if piece.kind == kind]
        axes.add_collection(LineCollection(lines, colors=ink, linewidths=1.8, linestyles=[dash]))
        handles.append(Line2D([], [], color=ink, linestyle=dash, label=f"{kind} ({len(lines)})"))
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    mark(axes, points, point_names)
    axes.set(xlabel="$p_1$", ylabel="$p_2$", aspect="equal")
    jumps = sum(piece.kind == "jump" for piece in found.pieces)
    words = f"{counted(len(found), 'piece')}, {counted(jumps, 'jump')} among them"
    told = f"{counted(len(cells), 'cell')} of {counted(len(decided), 'decision')}"
    axes.set_title(f"{words}; {told}", fontsize=11)
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)
    figure.suptitle(title or found.domain, fontsize=10, parse_math=False)
    return figure


def _polygon(found: DecisionBoundary, i: int) -> Polygon:
    """A cell, its corners counterclockwise."""
    cell = found.cell(i)
    if not cell.bounded:
        raise InvalidInput(
            f"found: a bounded window needed to draw, got {found.domain}; give low and high."
        )
    corners = cell.corners.astype(float)
    return Polygon(corners[by_angle(corners)], np.full(len(corners), -1))

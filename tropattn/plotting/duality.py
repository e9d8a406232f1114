"""A head's power diagram beside the subdivision that it is dual to (theory T2, T3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tropattn._types import Array
from tropattn.errors import InvalidInput
from tropattn.plotting.colouring import colouring
from tropattn.plotting.hull import by_angle, listed
from tropattn.plotting.style import FILLS, INKS, named, new_figure
from tropattn.plotting.window import Plane
from tropattn.polyhedra.domain import Domain
from tropattn.tropical.geometry.regular import RegularSubdivision
from tropattn.tropical.geometry.subdivision import subdivision
from tropattn.tropical.polynomial import PowerDiagram, TropicalPolynomial

__all__ = ["dual"]

_LARGE = 1e300
"""Slopes from which on the room round a picture may be no double."""


def dual(
    obj: TropicalPolynomial | PowerDiagram,
    window: Any = None,
    *,
    domain: Domain | None = None,
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a head's power diagram and, beside it, the dual subdivision of its slopes (T2, T3).

    Parameters
    ----------
    obj, window, domain, labels, title : as for ``diagram``.

    Returns
    -------
    Figure
        Left the cells, right the slopes of their keys in the same colours: a cell for each live
        key, a wall for each edge and at right angles to it, and a corner, with its number, for each
        cell of the subdivision. Keys that never win are crosses. Titles are exact, of the whole
        plane.

    Raises
    ------
    InvalidInput : no plane, more than one head, or an unbounded window.

    Notes
    -----
    Cost: one exact upper hull, and O(N) clipped polygons in doubles.

    >>> figure = dual(TropicalPolynomial([[0, 0], [1, 0], [0, 1]]))
    >>> [axes.get_title() for axes in figure.axes]
    ['3 cells, 3 walls, 1 corner', '3 live keys, 3 edges, 1 cell']
    """
    plane = Plane.of(obj, domain, window)
    if len(plane.units) != 1:
        raise InvalidInput(f"obj: one head needed, got {len(plane.units)}; draw one at a time.")
    head = plane.units[0]
    split = subdivision(head)
    live = [cell[0] for cell in split.faces(0)]
    colours = _colours(live, split)
    names = [str(j) for j in range(head.n_terms)] if labels is None else list(labels)
    figure = new_figure(11.0, 5.0 * plane.tall + 0.9)
    left, right = figure.subplots(1, 2)
    _draw_cells(left, plane, split, colours, names)
    left.set_title(listed(split.f_vector(), ("cell", "wall", "corner")), fontsize=11)
    _draw_subdivision(right, head, split, colours, names)
    right.set_title(listed(split.f_vector(), ("live key", "edge", "cell")), fontsize=11)
    figure.suptitle(title or plane.words, fontsize=10, parse_math=False)
    return figure


def _colours(live: list[int], split: RegularSubdivision) -> dict[int, str]:
    """A fill for each live key, different across every wall."""
    if max(live) < len(FILLS):
        # As in the diagram of the head alone.
        return {j: FILLS[j] for j in live}
    return colouring(live, list(split.hypersurface().walls))


def _draw_cells(
    axes: Axes,
    plane: Plane,
    split: RegularSubdivision,
    colours: dict[int, str],
    names: Sequence[str],
) -> None:
    first = {j: cell[0] for cell in split.faces(0) for j in cell}
    for j, cell in plane.cells(plane.units[0]).items():
        fill = colours[first[j]] if j in first else "white"
        axes.fill(*cell.vertices.T, facecolor=fill, edgecolor="black", linewidth=0.8)
        if cell.area > 0.004 * plane.window.area:
            named(axes, cell, names[j], 9)
    plane.prepare(axes)
    if split.dim == 2:
        for number, point in enumerate(split.points.tolist()):
            # What is beyond the doubles is beyond every window.
            if max(map(abs, point)) <= np.finfo(np.float64).max:
                _numbered(axes, np.array(point, np.float64), number)


def _draw_subdivision(
    axes: Axes,
    head: TropicalPolynomial,
    split: RegularSubdivision,
    colours: dict[int, str],
    names: Sequence[str],
) -> None:
    slopes, unit = _in_reach(head.slopes.astype(np.float64))
    live = np.array(sorted(colours))
    if split.dim == 2:
        for number, cell in enumerate(split.cells):
            outline = slopes[[j for j in cell if j in colours]]
            outline = outline[by_angle(outline)]
            axes.fill(*outline.T, facecolor="#F2F2F2", edgecolor="none")
            _numbered(axes, outline.mean(axis=0), number)
    for pair in split.faces(1):
        ends = slopes[[j for j in pair if j in colours]]
        axes.plot(*ends.T, color="black", linewidth=1.0, zorder=2)
    dead = np.setdiff1d(head.distinct[0], live)
    if len(dead):
        axes.plot(*slopes[dead].T, "x", color=INKS[2], label="key that never wins", zorder=3)
        axes.legend(fontsize=8)
    fills = [colours[j] for j in live.tolist()]
    axes.scatter(*slopes[live].T, s=60, c=fills, edgecolors="black", zorder=4)
    for j, (x, y) in zip(live.tolist(), slopes[live].tolist(), strict=True):
        axes.annotate(
            str(names[j]), (x, y), xytext=(6, 5), textcoords="offset points", parse_math=False
        )
    axes.set(aspect="equal", xlabel=f"slope $a_1${unit}", ylabel=f"slope $a_2${unit}")
    axes.margins(0.12)


def _in_reach(slopes: Array) -> tuple[Array, str]:
    """Slopes whose differences are doubles, and what they were divided by, for an axis."""
    largest = float(np.abs(slopes).max())
    if largest < _LARGE:
        return slopes, ""
    power = int(np.log10(largest))
    return slopes / 10.0**power, f" / $10^{{{power}}}$"


def _numbered(axes: Axes, point: Array, number: int) -> None:
    """A small ring with the number that a corner and its cell share."""
    axes.annotate(
        str(number),
        point.tolist(),
        ha="center",
        va="center",
        fontsize=7,
        zorder=5,
        annotation_clip=True,
        bbox={"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": INKS[1], "lw": 0.8},
    )

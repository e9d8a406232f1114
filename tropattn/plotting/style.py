"""Colours that colour-blind readers can tell apart, figures without global state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from tropattn._types import Array
from tropattn.polyhedra.polygon import Polygon

__all__ = [
    "DASHES",
    "FILLS",
    "INKS",
    "MARKERS",
    "counted",
    "fill",
    "lighter",
    "named",
    "new_figure",
    "segments",
]

FILLS = (
    "#77AADD",
    "#EE8866",
    "#EEDD88",
    "#FFAABB",
    "#99DDFF",
    "#44BB99",
    "#BBCC33",
    "#AAAA00",
    "#DDDDDD",
    "#FFFFFF",
)
"""Fills of cells under black text: P. Tol, *Colour Schemes* (SRON/EPS/TN/09-002, 2021), "light",
and white."""

INKS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8A6D00", "#5B3A9E", "#6E6E6E")
"""Lines and markers: black, four of Okabe and Ito (2008), and three darker ones beyond."""

DASHES: tuple[Any, ...] = (
    "solid",
    (0, (6, 2)),
    (0, (1.5, 1.5)),
    (0, (7, 2, 1.5, 2)),
    (0, (4, 1.5, 1, 1.5, 1, 1.5)),
    (0, (9, 4)),
    (0, (3, 3)),
    (0, (10, 2, 4, 2)),
)
"""Line styles beside the inks, so that no line is told by its colour alone."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def lighter(colour: str, share: float) -> tuple[float, float, float]:
    """The colour mixed with a share of white.

    >>> lighter("#000000", 0.5)
    (0.5, 0.5, 0.5)
    """
    red, green, blue = (part + (1 - part) * share for part in to_rgb(colour))
    return red, green, blue


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the singular where the number is 1.

    >>> counted(1, "cell"), counted(3, "vertex")
    ('1 cell', '3 vertices')
    """
    many = {"vertex": "vertices"}.get(noun, noun + "s")
    return f"{number} {noun if number == 1 else many}"


def fill(axes: Axes, cells: Iterable[Polygon], colours: Sequence[Any], **edges: Any) -> None:
    """Fill polygons; ``edges`` are the settings of their outlines, none where omitted."""
    outlines = edges or {"edgecolors": "none"}
    shapes = [cell.vertices for cell in cells]
    axes.add_collection(PolyCollection(shapes, facecolors=colours, **outlines))


def named(axes: Axes, cell: Polygon, name: str, size: float) -> None:
    """Write a name into the middle of a cell."""
    middle = {"ha": "center", "va": "center", "fontsize": size}
    x, y = cell.centroid.tolist()
    axes.text(x, y, name, **middle, parse_math=False, clip_on=True)


def segments(cell: Polygon, least: int = 0) -> list[Array]:
    """The sides of a cell whose labels are at least so large, as pairs of ends."""
    ends = np.roll(cell.vertices, -1, axis=0)
    chosen = np.flatnonzero(cell.labels >= least).tolist()
    return [np.array([cell.vertices[i], ends[i]]) for i in chosen]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (inches) with its own canvas; pyplot never hears of it."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure

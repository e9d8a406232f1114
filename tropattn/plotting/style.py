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
    "drawn_wall",
    "fill",
    "fits",
    "label_outer",
    "lighter",
    "name_outside",
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
    "#C9B2E0",
)
"""Fills of cells under black text: P. Tol, *Colour Schemes* (SRON/EPS/TN/09-002, 2021), "light",
and a violet. White is the ground on which nothing was found."""

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


def named(axes: Axes, cell: Polygon, name: str, size: float, ground: Any = None) -> None:
    """Write a name into the middle of a cell; on a ground, that of the cell, lines pass behind."""
    middle = {"ha": "center", "va": "center", "fontsize": size}
    box = None if ground is None else {"facecolor": ground, "edgecolor": "none", "pad": 0.5}
    x, y = cell.centroid.tolist()
    axes.text(x, y, name, **middle, parse_math=False, clip_on=True, bbox=box)


def drawn_wall(h: int) -> tuple[str, Any]:
    """Ink and dashes of the walls of head h; the first 64 heads have no two alike.

    >>> len({drawn_wall(h) for h in range(64)})
    64
    """
    return INKS[h % len(INKS)], DASHES[(h + h // len(INKS)) % len(DASHES)]


def fits(cell: Polygon, name: str, size: float, inch: float) -> bool:
    """Whether a name in points, centred in a cell, lies inside it; ``inch`` is one in its units.

    >>> square = Polygon.box([0, 0], [1, 1])
    >>> fits(square, "one", 10, 1.0), fits(square, "a name too long", 10, 1.0)
    (True, False)
    """
    rows = name.split("\n")
    half = np.array([0.3 * max(map(len, rows)), 0.6 * len(rows)]) * size / 72 * inch
    corners = cell.centroid + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    sides = np.roll(cell.vertices, -1, axis=0) - cell.vertices
    rel = corners[:, None] - cell.vertices
    return bool((sides[:, 0] * rel[..., 1] - sides[:, 1] * rel[..., 0] >= 0).all())


def name_outside(axes: Axes, cells: Sequence[tuple[Polygon, str]], size: float) -> None:
    """Names right of the axes, in the order of their cells, each with a line into its cell."""
    ranked = sorted(cells, key=lambda pair: float(pair[0].centroid[1]))
    for k, (cell, name) in enumerate(ranked):
        axes.annotate(
            name,
            cell.centroid.tolist(),
            xytext=(1.03, (k + 1) / (len(ranked) + 1)),
            textcoords="axes fraction",
            fontsize=size,
            va="center",
            parse_math=False,
            zorder=2.5,  # below the names in other cells
            arrowprops={"arrowstyle": "-", "lw": 0.6, "color": INKS[7], "shrinkB": 0},
        )


def label_outer(grid: Any, shown: int) -> None:
    """Names and numbers at the left and lower rim only of a grid whose first panels are shown."""
    columns = grid.shape[1]
    for k, axes in enumerate(grid.ravel().tolist()):
        name = axes.get_xlabel()
        axes.set_visible(k < shown)
        axes.label_outer()
        if k + columns >= shown > k:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(name)


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

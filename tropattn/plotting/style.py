"""Colours that colour-blind readers can tell apart, figures without global state."""

from __future__ import annotations

from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

__all__ = ["DASHES", "FILLS", "INKS", "MARKERS", "lighter", "new_figure"]

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
    red, green, blue = to_rgb(colour)
    return (
        red + (1 - red) * share,
        green + (1 - green) * share,
        blue + (1 - blue) * share,
    )


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (inches) with its own canvas; pyplot never hears of it."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure

"""Figures of soft attention: shares over the temperature, and the plane as it hardens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from tropattn.plotting.style import INKS, new_figure
from tropattn.polyhedra.domain import Box
from tropattn.record import Record
from tropattn.study.temperature import softened
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["curve_figure", "partition_figure"]


def curve_figure(record: Record) -> Figure:
    """The shares of a ``run`` over the temperature, and the effective cells beneath."""
    rows = sorted(record.tables["curve"], key=lambda row: row["temperature"])
    taus = [row["temperature"] for row in rows]
    figure = new_figure(6, 6)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for name, style, ink in (("guaranteed", "o-", INKS[1]), ("measured", "s--", INKS[2])):
        upper.plot(taus, [row[name] for row in rows], style, color=ink, label=name)
    upper.set_ylabel(f"share of states within {record.spec['tolerance']:g}")
    upper.legend()
    lower.plot(taus, [row["effective_cells"] for row in rows], "o-", color=INKS[1])
    lower.set(ylabel="effective cells", xlabel="temperature (1: as trained)", xscale="log")
    return figure


def partition_figure(
    f: TropicalPolynomial,
    window: Box,
    temperatures: Sequence[float] = (1.0, 0.5, 0.1, 0.001),
    pixels: int = 200,
) -> Figure:
    """Each key a colour, each point the softmax mix of them: Figure 5 of arXiv 2604.14727.

    As the temperature falls the mix hardens into the power diagram (theory T2); the paper shows
    ``d = 2``, five Gaussian keys, the square [-4, 4]^2 and these four temperatures.
    """
    _, mixes = softened(f, window, temperatures, pixels)
    colours = colormaps["tab10"](np.arange(f.n_terms) % 10)[:, :3]
    figure = new_figure(3 * len(mixes), 3.2)
    low, high = (np.asarray(side, dtype=np.float64) for side in (window.low, window.high))
    for axes, mix, tau in zip(
        np.ravel(figure.subplots(1, len(mixes))), mixes, temperatures, strict=True
    ):
        image = (mix @ colours).reshape(pixels, pixels, 3)
        axes.imshow(
            np.clip(image, 0, 1),
            origin="lower",
            extent=(low[0], high[0], low[1], high[1]),
            interpolation="nearest",
        )
        axes.set_title(f"temperature {tau:g}")
    return figure

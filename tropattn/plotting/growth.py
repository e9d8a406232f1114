"""How counts grow: the figure of the scaling study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, ScalarFormatter

from tropattn.errors import InvalidInput
from tropattn.plotting.style import INKS, MARKERS, new_figure

__all__ = ["growth"]

_NAMES = {"strips": "parabola strips", "gaussian": "Gaussian heads"}


def growth(
    rows: Sequence[Mapping[str, Any]], dim: int, central: bool = False, title: str | None = None
) -> Figure:
    """Draw exact counts, sharp bounds and sampled counts against the number of keys, log-log.

    Parameters
    ----------
    rows : those of the scaling study: ``family``, ``heads``, ``keys``, ``exact``, ``bound``,
        ``sampled`` (or None).
    dim, central : for the title.

    Returns
    -------
    Figure
        One panel a family, one ink and marker a number of heads; the bound as a line, exact counts
        as filled markers, sampled ones as open markers.

    Raises
    ------
    InvalidInput : no rows.
    """
    if not rows:
        raise InvalidInput("rows: at least one needed, got none; run the study first.")
    families = list(dict.fromkeys(row["family"] for row in rows))
    figure = new_figure(5.6 * len(families) + 0.6, 5.2)
    panes = figure.subplots(1, len(families), squeeze=False, sharey=True)[0]
    for axes, family in zip(panes, families, strict=True):
        _draw(axes, [row for row in rows if row["family"] == family])
        axes.set_title(_NAMES.get(family, family))
    panes[0].set_ylabel("routing cells")
    centre = "common centre (T7)" if central else "affine heads (T6)"
    figure.suptitle(title or f"Cells of one layer on $R^{{{dim}}}$, {centre}")
    return figure


def _draw(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    for at, heads in enumerate(dict.fromkeys(row["heads"] for row in rows)):
        chosen = [row for row in rows if row["heads"] == heads]
        keys = [row["keys"] for row in chosen]
        ink, marker = INKS[at % len(INKS)], MARKERS[at % len(MARKERS)]
        axes.plot(keys, [float(row["bound"].value) for row in chosen], "-", color=ink, lw=1)
        axes.plot(
            keys,
            [float(row["exact"].value) for row in chosen],
            marker,
            color=ink,
            markersize=6,
            label=f"H = {heads}",
        )
        if all(row["sampled"] is not None for row in chosen):
            sampled = [float(row["sampled"].value) for row in chosen]
            axes.plot(keys, sampled, marker, color=ink, mfc="none", markersize=11, lw=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = sorted({row["keys"] for row in rows})
    if len(ticks) <= 12:
        axes.set_xticks(ticks)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("keys a head N")
    axes.grid(which="both", alpha=0.25)
    axes.plot([], [], "-", color="grey", label="sharp bound")
    axes.plot([], [], "o", color="grey", mfc="none", markersize=11, label="sampled")
    axes.plot([], [], "o", color="grey", label="exact")
    axes.legend(fontsize=8)

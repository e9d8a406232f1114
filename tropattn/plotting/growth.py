"""How counts grow: curves of counts, bounds and claims, and grids of exponents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tropattn.errors import InvalidInput
from tropattn.plotting.style import DASHES, INKS, MARKERS, lighter, new_figure

__all__ = ["Curve", "curves", "grid", "growth"]

_NAMES = {
    "strips": "parabola strips",
    "gaussian": "Gaussian heads",
    "digits": "digit transformer",
    "weights": "trained weights",
}


@dataclass(frozen=True, slots=True)
class Curve:
    """Numbers to draw over others.

    Attributes
    ----------
    label : for the legend; empty for none.
    x, y : as many of each.
    kind : ``"exact"`` (filled markers, joined), ``"bound"`` (a line), ``"claim"`` (a dashed line)
        or ``"sampled"`` (open markers).
    ink : curves with one number share colour and marker.
    low, high : ends of error bars, where there are any.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    kind: Literal["exact", "bound", "claim", "sampled"] = "exact"
    ink: int = 0
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


def curves(
    panels: Mapping[str, Sequence[Curve]],
    xlabel: str,
    ylabel: str,
    *,
    log: Literal["", "x", "y", "xy"] = "xy",
    title: str = "",
    shared: bool = True,
) -> Figure:
    """Draw one panel a title, side by side.

    Parameters
    ----------
    panels : titles to curves; one legend serves panels with the same labels.
    log : which axes are logarithmic.
    shared : whether all panels have one vertical axis.

    Raises
    ------
    InvalidInput : no panel, or a panel without curves.
    """
    if not panels or not all(panels.values()):
        raise InvalidInput("panels: at least one curve each needed, got none; run the study first.")
    figure = new_figure(4.3 * len(panels) + 0.6, 4.2)
    panes = figure.subplots(1, len(panels), squeeze=False, sharey=shared)[0]
    for axes, (name, lines) in zip(panes, panels.items(), strict=True):
        for line in lines:
            _draw(axes, line)
        _axes(axes, sorted({x for line in lines for x in line.x}), log)
        axes.set_xlabel(xlabel)
        axes.set_title(name, fontsize=10)
    _legends(figure, panes, [[line.label for line in lines] for lines in panels.values()])
    panes[0].set_ylabel(ylabel)
    if title:
        figure.suptitle(title)
    return figure


def _legends(figure: Figure, panes: Sequence[Axes], labels: list[list[str]]) -> None:
    """One legend beside the panels where they share their labels, else one in each."""
    if len(panes) > 1 and all(names == labels[0] for names in labels) and any(labels[0]):
        figure.legend(*panes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
        return
    for axes, names in zip(panes, labels, strict=True):
        if any(names):
            axes.legend(fontsize=8)


def _draw(axes: Axes, line: Curve) -> None:
    ink, marker = INKS[line.ink % len(INKS)], MARKERS[line.ink % len(MARKERS)]
    x, y = [float(v) for v in line.x], [float(v) for v in line.y]
    label = line.label or None
    look = {
        "bound": {"ls": "-", "lw": 1},
        "claim": {"ls": DASHES[1], "lw": 1.4},
        "sampled": {"marker": marker, "mfc": "none", "markersize": 10, "lw": 0},
        "exact": {"marker": marker, "markersize": 5, "lw": 0.8, "ls": DASHES[2]},
    }
    axes.plot(x, y, color=ink, label=label, **look[line.kind])
    if line.low is not None and line.high is not None:
        low = [max(0.0, value - float(end)) for value, end in zip(y, line.low, strict=True)]
        high = [max(0.0, float(end) - value) for value, end in zip(y, line.high, strict=True)]
        axes.errorbar(x, y, yerr=[low, high], fmt="none", ecolor=ink, elinewidth=0.8, capsize=2)


def _axes(axes: Axes, ticks: Sequence[float], log: str) -> None:
    if "x" in log:
        axes.set_xscale("log")
    if len(ticks) <= 12:
        axes.set_xticks(_apart(ticks, "x" in log))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    if "y" in log:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        parts = (1.0, 2.0, 5.0) if high < 1e3 * low else (1.0,)
        axes.yaxis.set_major_locator(LogLocator(subs=parts))
        if high < 1e6:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(which="major", alpha=0.25)


def _apart(ticks: Sequence[float], log: bool) -> list[float]:
    """The ticks without those that would stand in the way of one before them.

    >>> _apart([1, 4, 16, 4000, 5000], True), _apart([1, 2, 3], False)
    ([1, 4, 16, 4000], [1, 2, 3])
    """
    places = [math.log(tick) if log else float(tick) for tick in ticks]
    least = (places[-1] - places[0]) / 25
    kept: list[int] = []
    for i, place in enumerate(places):
        if not kept or place - places[kept[-1]] >= least:
            kept.append(i)
    return [ticks[i] for i in kept]


def growth(
    rows: Sequence[Mapping[str, Any]], dim: int, central: bool = False, title: str | None = None
) -> Figure:
    """Draw exact counts, sharp bounds and sampled counts against the number of keys, log-log.

    Parameters
    ----------
    rows : those of the scaling study: ``family``, ``heads``, ``keys``, ``exact``, ``bound``,
        ``sampled`` (or None). Several rows with the same numbers (seeds) are averaged; rows that
        were stopped are left out.
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
    panels: dict[str, list[Curve]] = {}
    for family in dict.fromkeys(str(row["family"]) for row in rows):
        mine = [row for row in rows if row["family"] == family and row["exact"].kind == "exact"]
        if mine:
            panels[_NAMES.get(family, family)] = _of_family(mine)
    if not panels:
        raise InvalidInput(
            "rows: at least one that was counted to its end needed, got none; raise max_cells."
        )
    centre = "common centre (T7)" if central else "affine heads (T6)"
    words = title or f"Cells of one layer on $R^{{{dim}}}$, {centre}"
    return curves(panels, "keys a head N", "routing cells", title=words)


def _of_family(rows: Sequence[Mapping[str, Any]]) -> list[Curve]:
    out: list[Curve] = []
    for ink, heads in enumerate(dict.fromkeys(row["heads"] for row in rows)):
        by_keys: dict[int, list[Mapping[str, Any]]] = {}
        for row in rows:
            if row["heads"] == heads:
                by_keys.setdefault(row["keys"], []).append(row)
        keys, groups = list(by_keys), list(by_keys.values())
        bound = [float(group[0]["bound"].value) for group in groups]
        out.append(Curve("" if ink else "sharp bound", keys, bound, "bound", ink))
        out.append(Curve(f"exact, H = {heads}", keys, _means(groups, "exact"), "exact", ink))
        if all(row["sampled"] is not None for group in groups for row in group):
            sampled = _means(groups, "sampled")
            out.append(Curve("" if ink else "sampled", keys, sampled, "sampled", ink))
    return out


def _means(groups: Sequence[Sequence[Mapping[str, Any]]], name: str) -> list[float]:
    return [float(np.mean([float(row[name].value) for row in group])) for group in groups]


def grid(
    panels: Mapping[str, Sequence[Sequence[float | None]]],
    rows: Sequence[int],
    columns: Sequence[int],
    row_name: str,
    column_name: str,
    form: str = "{:g}",
) -> Figure:
    """Draw numbers in grids, darker where they are larger; None leaves a square blank.

    Parameters
    ----------
    panels : titles to tables with one line for each of ``rows`` and one number per column.
    form : how a number is written.

    Raises
    ------
    InvalidInput : no panel, or a table of another shape.
    """
    shape = (len(rows), len(columns))
    for table in panels.values():
        if (len(table), *{len(line) for line in table}) != shape:
            raise InvalidInput(f"panels: tables of shape {shape} needed, got another.")
    if not panels:
        raise InvalidInput("panels: at least one table needed, got none.")
    figure = new_figure((0.45 * len(columns) + 0.9) * len(panels), 0.42 * len(rows) + 1.1)
    panes = figure.subplots(1, len(panels), squeeze=False)[0]
    numbers = [v for table in panels.values() for line in table for v in line if v is not None]
    top = max([*numbers, 1e-9])
    for axes, (name, table) in zip(panes, panels.items(), strict=True):
        for i, line in enumerate(table):
            for j, value in enumerate(line):
                share = 0.0 if value is None else max(0.0, min(1.0, float(value) / top))
                colour = lighter(INKS[1], 1 - 0.75 * share)
                axes.fill_between([j, j + 1], i, i + 1, color=colour, lw=0)
                if value is not None:
                    words = form.format(value)
                    axes.text(j + 0.5, i + 0.5, words, ha="center", va="center", fontsize=8)
        axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0), aspect="equal")
        axes.set_xticks(np.arange(len(columns)) + 0.5, [str(v) for v in columns])
        axes.set_yticks(np.arange(len(rows)) + 0.5, [str(v) for v in rows])
        axes.tick_params(length=0)
        axes.set_xlabel(column_name)
        axes.set_title(name, fontsize=10)
    panes[0].set_ylabel(row_name)
    return figure

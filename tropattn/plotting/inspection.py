"""Heads of a model at a glance: the figure of the inspection study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tropattn.errors import InvalidInput
from tropattn.plotting.style import new_figure

__all__ = ["inspection"]

_PANELS = (
    ("live", "live keys (exact), share of keys"),
    ("won", "keys won by the text's own queries, share"),
    ("hardness", "hardness: 1 - entropy / log of keys in sight"),
)


def inspection(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> Figure:
    """Draw one square per head, layers downwards: live keys, won keys and hardness.

    Parameters
    ----------
    rows : the table ``heads`` of the inspection study.
    title : the variable by default.

    Returns
    -------
    Figure
        Three panels from 0 (white) to 1 (dark); where there is room each square carries its
        number, so that nothing is told by shade alone. Heads that were left out stay empty.

    Raises
    ------
    InvalidInput : no rows.
    """
    if not rows:
        raise InvalidInput("rows: at least one head needed, got none; run the study first.")
    layers = sorted({row["layer"] for row in rows})
    heads = sorted({row["head"] for row in rows})
    width, height = 0.42 * len(heads) + 1.2, 0.34 * len(layers) + 1.7
    figure = new_figure(max(9.0, 3 * width), max(2.8, height))
    panes = figure.subplots(1, len(_PANELS), squeeze=False)[0]
    for axes, (name, words) in zip(panes, _PANELS, strict=True):
        grid = np.full((len(layers), len(heads)), np.nan)
        for row in rows:
            value = row["hardness"] if name == "hardness" else row[name] / row["keys"]
            grid[layers.index(row["layer"]), heads.index(row["head"])] = (
                np.nan if value is None else value
            )
        _panel(axes, grid, layers, heads)
        axes.set_title(words, fontsize=8)
    panes[0].set_ylabel("layer")
    variables = sorted({str(row["variable"]) for row in rows})
    keys = sorted({row["keys"] for row in rows})
    count = f"{keys[0]}" if len(keys) == 1 else f"{keys[0]}-{keys[-1]}"
    figure.suptitle(title or f"{count} keys a head; variable: {', '.join(variables)}", fontsize=9)
    return figure


def _panel(axes: Axes, grid: np.ndarray, layers: list[int], heads: list[int]) -> None:
    axes.imshow(grid, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(heads)), [str(h) for h in heads], fontsize=7)
    axes.set_yticks(range(len(layers)), [str(layer) for layer in layers], fontsize=7)
    axes.set_xlabel("head", fontsize=8)
    if grid.size <= 160:
        for (i, k), value in np.ndenumerate(grid):
            if np.isfinite(value):
                shade = "white" if value > 0.6 else "black"
                text = f"{value:.2f}".removeprefix("0") if value < 0.995 else "1"
                axes.text(k, i, text, ha="center", va="center", fontsize=6, color=shade)

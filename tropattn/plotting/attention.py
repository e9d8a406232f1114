"""Attention of every token by heads, with the keys that no state, or no token, chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tropattn.errors import InvalidInput
from tropattn.plotting.style import new_figure

__all__ = ["attention"]

_COLUMNS = 4
_HEADS = 32
_DEAD, _IDLE = "#b2182b", "#2166ac"


def attention(
    tokens: Sequence[Mapping[str, Any]],
    keys: Sequence[Mapping[str, Any]],
    title: str | None = None,
) -> Figure:
    """Draw the soft weights of one layer, a panel a head: queries downwards, keys across.

    Parameters
    ----------
    tokens, keys : the tables of the inspection study, of one layer.
    title : the layer by default.

    Returns
    -------
    Figure
        Weights from 0 (white) to 1 (dark), the winner of each query ringed. A dead key's column
        and name are struck through; the name of a live key that no query chooses is marked with a
        circle. So nothing is told by colour alone.

    Raises
    ------
    InvalidInput : no rows, more than one layer, too many heads, or keys too many for the table.
    """
    layers = sorted({row["layer"] for row in tokens})
    heads = sorted({row["head"] for row in tokens})
    if len(layers) != 1 or len(heads) > _HEADS:
        raise InvalidInput(
            f"tokens: rows of one layer and at most {_HEADS} heads needed, got layers {layers} and "
            f"{len(heads)} heads; choose with --layer and --head."
        )
    if any(row["attention"] is None for row in tokens):
        raise InvalidInput(
            "tokens: contexts of at most 64 keys needed, got a longer one; take a shorter text."
        )
    across = min(_COLUMNS, len(heads))
    down = -(-len(heads) // across)
    size = 0.16 * max(len(tokens) // len(heads), 6) + 1.1
    figure = new_figure(max(4.5, across * size), max(3.5, down * size + 0.7))
    panes = figure.subplots(down, across, squeeze=False).ravel()
    for axes, head in zip(panes, heads, strict=False):
        asked = [row for row in tokens if row["head"] == head]
        _panel(axes, asked, [row for row in keys if row["head"] == head])
        axes.set_title(f"head {head}", fontsize=8)
    for axes in panes[len(heads) :]:
        axes.set_axis_off()
    words = "struck through: no state chooses it; o: live, but no query here chooses it"
    figure.suptitle(title or f"Attention in layer {layers[0]}. {words}", fontsize=9)
    return figure


def _panel(
    axes: Axes, tokens: Sequence[Mapping[str, Any]], keys: Sequence[Mapping[str, Any]]
) -> None:
    weights = np.array([row["attention"] for row in tokens])
    axes.imshow(weights, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    known = {row["token"]: row for row in keys}
    names = [known[j]["key"] if j in known else "" for j in range(weights.shape[1])]
    if -1 in known:
        # The sink's weights stand in the last column.
        known[weights.shape[1] - 1] = known[-1]
        names[-1] = known[-1]["key"]
    labels = []
    for j, name in enumerate(names):
        row = known.get(j)
        if row is not None and not row["live"]:
            axes.axvline(j, color=_DEAD, linewidth=0.8)
            name = "".join(letter + "\N{COMBINING LONG STROKE OVERLAY}" for letter in name)
        elif row is not None and not row["won"]:
            name = f"{name} o"
        labels.append(name)
    for at, row in enumerate(tokens):
        if row["winner"] in names:
            axes.plot(names.index(row["winner"]), at, "o", mfc="none", mec=_IDLE, ms=4, mew=0.7)
    axes.set_xticks(range(len(labels)), labels, fontsize=5, rotation=90)
    axes.set_yticks(range(len(tokens)), [row["query"] for row in tokens], fontsize=5)
    for label, j in zip(axes.get_xticklabels(), range(len(labels)), strict=True):
        row = known.get(j)
        if row is not None and (not row["live"] or not row["won"]):
            label.set_color(_IDLE if row["live"] else _DEAD)

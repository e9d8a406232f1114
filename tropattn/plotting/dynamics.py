"""Figures of tokens that move: one function per command of the second wing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tropattn._types import Array
from tropattn.dynamics.gaussian import GaussianTrajectory
from tropattn.dynamics.gram import SyncDiagram
from tropattn.dynamics.sentiment import Leader
from tropattn.dynamics.trajectory import Trajectory
from tropattn.errors import InvalidInput
from tropattn.files import printable
from tropattn.plotting.style import new_figure

__all__ = ["FIGURES", "draw_flow", "draw_gaussian", "draw_hardmax", "draw_leaders", "draw_sync"]


_BLUE, _RED, _GREY = "#0072B2", "#D55E00", "#6E6E6E"


def draw_flow(run: Trajectory, radius: float) -> Figure:
    """Energy (where it exists) and number of clusters over time; token paths where d = 2."""
    planar = run.engine == "tokens" and run.states.shape[2] == 2
    figure, axes = _figure(2 if planar else 1)
    axis = axes[0]
    axis.step(run.time, run.clusters(radius), where="post", color=_BLUE)
    axis.set(xlabel="time", yscale="log")
    axis.set_ylabel(f"clusters at radius {radius:g}", color=_BLUE)
    if run.energy is not None:
        twin = axis.twinx()
        twin.plot(run.time, run.energy, color=_RED)
        twin.set_ylabel("energy", color=_RED)
    if planar:
        _paths(axes[1], run.states.astype(np.float64))
    return figure


def draw_sync(diagram: SyncDiagram) -> Figure:
    """Probability that two tokens have met, over time and inverse temperature."""
    figure, axes = _figure(1)
    mesh = axes[0].pcolormesh(
        diagram.times, diagram.betas, diagram.probability, cmap="viridis", vmin=0, vmax=1
    )
    axes[0].set(xlabel="time", ylabel="beta")
    figure.colorbar(mesh, ax=axes[0], label="share of runs in which two tokens have met")
    return figure


def draw_hardmax(run: Trajectory, basin_labels: tuple[Array, Array] | None = None) -> Figure:
    """Token paths in the plane, leaders marked; behind them the basins as (grid points, labels)."""
    states = run.states.astype(np.float64)
    if states.shape[2] != 2:
        raise InvalidInput(f"states: tokens of the plane needed, got dimension {states.shape[2]}.")
    figure, axes = _figure(1)
    axis = axes[0]
    if basin_labels is not None:
        points, labels = basin_labels
        side = round(len(points) ** 0.5)
        names, codes = np.unique(labels, return_inverse=True)
        shown = np.where(names[codes] < 0, np.nan, codes % 10).reshape(side, side)
        axis.pcolormesh(
            points[:side, 0], points[::side, 1], shown, cmap="Pastel1", shading="nearest"
        )
    _paths(axis, states)
    leading = list(run.leaders[-1])
    axis.plot(states[-1, leading, 0], states[-1, leading, 1], "*", color=_RED, ms=11)
    return figure


def draw_gaussian(run: GaussianTrajectory, level: float | None = None) -> Figure:
    """Eigenvalues of the covariance, and the score deviation with its freezing level."""
    figure, axes = _figure(2)
    values = np.linalg.eigvalsh(run.covariance)
    axes[0].semilogy(run.time, np.maximum(values, 1e-300), color=_BLUE)
    axes[0].set_ylim(bottom=max(float(values.min()), float(values.max()) * 1e-9) / 2)
    axes[0].set_ylabel("eigenvalues of S")
    axes[1].semilogy(run.time, run.deviation, color=_BLUE)
    axes[1].set_ylabel("score deviation")
    if level is not None:
        axes[1].axhline(level, color=_RED, linestyle="--")
    for axis in axes:
        axis.set_xlabel("time")
    return figure


def draw_leaders(leaders: Sequence[Leader]) -> Figure:
    """Leaders as bars: share of followers, coloured by the sign of their logit."""
    figure, axes = _figure(1)
    colours = [_BLUE if leader.logit > 0 else _RED for leader in leaders]
    places = range(len(leaders), 0, -1)
    axes[0].barh(places, [leader.share for leader in leaders], color=colours)
    # A word may hold signs that matplotlib would read as mathematics, or that no font has.
    axes[0].set_yticks(places, [printable(leader.word, 40) for leader in leaders], parse_math=False)
    axes[0].set_xlabel("share of tokens led (blue: positive, orange: negative)")
    return figure


def _figure(panels: int) -> tuple[Figure, list[Any]]:
    figure = new_figure(5.2 * panels, 4.2)
    return figure, list(np.atleast_1d(figure.subplots(1, panels)))


def _paths(axis: Any, states: Array) -> None:
    for i in range(min(states.shape[1], 500)):
        axis.plot(states[:, i, 0], states[:, i, 1], color=_GREY, lw=0.6)
    axis.plot(states[0, :, 0], states[0, :, 1], ".", color=_GREY, ms=4)
    axis.plot(states[-1, :, 0], states[-1, :, 1], ".", color=_BLUE, ms=6)
    axis.set_aspect("equal")


FIGURES: dict[str, Callable[..., Figure]] = {
    "simulate": draw_flow,
    "phase": draw_sync,
    "hardmax": draw_hardmax,
    "gaussian": draw_gaussian,
    "sentiment": draw_leaders,
}
"""What draws the answer of each command of ``study.dynamics``."""

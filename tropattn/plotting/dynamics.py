"""Figures of tokens that move: one function per command of the second wing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from tropattn._types import Array
from tropattn.dynamics.gaussian import GaussianTrajectory
from tropattn.dynamics.gram import SyncDiagram
from tropattn.dynamics.sentiment import Leader
from tropattn.dynamics.trajectory import Trajectory
from tropattn.errors import InvalidInput
from tropattn.files import printable
from tropattn.plotting.style import DASHES, FILLS, INKS, counted, fill, lighter, new_figure
from tropattn.polyhedra.polygon import Polygon

__all__ = [
    "FIGURES",
    "basins",
    "draw_flow",
    "draw_gaussian",
    "draw_hardmax",
    "draw_leaders",
    "draw_sync",
    "ground",
]


_BLUE, _RED, _GREY = INKS[1], INKS[2], INKS[7]
"""Where tokens end and what is counted; leaders, levels and what it is compared with; the past."""

_NUMBERED = 60
"""Tokens are numbered up to this many."""

_SHORTEST = 0.012
"""Arrows shorter than this share of the window's width are left out."""


def draw_flow(run: Trajectory, radius: float, space: str = "sphere") -> Figure:
    """Number of clusters over time, energy where it exists, and token paths where d is 2 or 3.

    On the sphere the circle or the sphere is drawn as well; ``space`` is that of the flow.
    """
    dim = run.states.shape[2] if run.engine == "tokens" else 0
    figure = new_figure(10.4 if dim in (2, 3) else 5.2, 4.4)
    drawn = (1, 2) if dim in (2, 3) else (1, 1)
    axis = figure.add_subplot(*drawn, 1)
    counts = run.clusters(radius)
    axis.step(run.time, counts, where="post", color=_BLUE)
    axis.set(xlabel="time $t$", ylim=(0, 1.06 * counts.max() + 0.5))
    axis.set_ylabel(f"clusters at radius {radius:g}", color=_BLUE)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_title(f"{_clusters(counts[0])} at first, {counts[-1]} at the end", fontsize=10)
    if run.energy is not None:
        twin = axis.twinx()
        twin.plot(run.time, run.energy, color=_RED, linestyle=DASHES[1])
        twin.set_ylabel("energy (dashed)", color=_RED)
    if dim:
        n, states = run.states.shape[1], run.states.astype(np.float64)
        words = f"paths of {n} tokens" if n <= _PATHS else f"paths of {_PATHS} of {n} tokens"
        if dim == 2:
            axis = figure.add_subplot(*drawn, 2)
            ground(axis, 2, space)
            _paths(axis, states)
            axis.set(xlabel="$x_1$", ylabel="$x_2$")
            axis.set_title(words, fontsize=10)
            axis.legend(fontsize=8, loc="center" if space == "sphere" else "best")
        elif dim == 3:
            _paths_in_space(figure.add_subplot(*drawn, 2, projection="3d"), states, space, words)
    return figure


def ground(axis: Any, dim: int, space: str) -> None:
    """The circle, or the wires of the sphere, where tokens of ``space`` live on it."""
    if space != "sphere":
        return
    if dim == 2:
        turn = np.linspace(0, 2 * np.pi, 361)
        axis.plot(np.cos(turn), np.sin(turn), color="#CCCCCC", lw=1, zorder=0)
        return
    polar, turn = np.mgrid[0 : np.pi : 13j, 0 : 2 * np.pi : 25j]
    ball = np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)
    axis.plot_wireframe(*ball, color="#CCCCCC", lw=0.4)


def draw_sync(diagram: SyncDiagram, boundary: Array | None = None) -> Figure:
    """Probability that two tokens have met, over time and inverse temperature.

    ``boundary`` are (t, beta) rows of a curve: when tokens meet that start orthogonal to each
    other, which uniform ones are as the dimension grows (arXiv 2312.10794, section 6).
    """
    figure, axes = _figure(1)
    axis = axes[0]
    mesh = axis.pcolormesh(
        diagram.times, diagram.betas, diagram.probability, cmap="viridis", vmin=0, vmax=1
    )
    limits = axis.get_xlim(), axis.get_ylim()
    if boundary is not None:
        words = "orthogonal tokens meet (limit of large $d$)"
        axis.plot(*np.asarray(boundary).T, color="white", lw=3.5)
        axis.plot(*np.asarray(boundary).T, color=_RED, lw=1.8, linestyle=DASHES[1], label=words)
        axis.legend(fontsize=8, loc="upper left")
    axis.set(xlabel="time $t$", ylabel=r"inverse temperature $\beta$")
    axis.set(xlim=limits[0], ylim=limits[1])
    axis.set_title(f"{diagram.runs} runs for each $\\beta$", fontsize=10)
    figure.colorbar(mesh, ax=axis, label="share of runs in which two tokens have met")
    return figure


def draw_hardmax(run: Trajectory, pieces: Sequence[tuple[Polygon, int]] = ()) -> Figure:
    """Tokens in the plane, layers as arrows, leaders marked, over the basins of the leaders.

    ``pieces`` are polygons and the leader that each belongs to (``dynamics.basin_pieces``).
    """
    states = run.states.astype(np.float64)
    if states.shape[2] != 2:
        raise InvalidInput(f"states: tokens of the plane needed, got dimension {states.shape[2]}.")
    figure = new_figure(6.4, 6.0)
    axis = figure.add_subplot()
    leading = list(run.leaders[-1])
    handles: list[Any] = []
    if pieces:
        handles += basins(axis, pieces, states[-1])
    axis.set_aspect("equal")
    axis.autoscale_view()
    handles += _arrows(axis, states)
    axis.plot(*states[0].T, "o", color="white", mec="black", ms=4.5, zorder=4)
    axis.plot(*states[-1, leading].T, "*", color=_RED, mec="black", mew=0.6, ms=13, zorder=5)
    if states.shape[1] <= _NUMBERED:
        _numbers(axis, states[0], leading)
    start: dict[str, Any] = {
        "marker": "o",
        "color": "white",
        "markeredgecolor": "black",
        "linestyle": "none",
    }
    star: dict[str, Any] = {
        "marker": "*",
        "color": _RED,
        "markeredgecolor": "black",
        "markersize": 11,
    }
    handles.append(Line2D([], [], **start, markersize=5, label="token at layer 0"))
    handles.append(Line2D([], [], **star, linestyle="none", label="leader, at rest"))
    axis.legend(
        handles=handles, fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.1)
    )
    axis.set(xlabel="$z_1$", ylabel="$z_2$")
    n, layers = states.shape[1], len(states) - 1
    axis.set_title(
        f"{counted(n, 'token')}, {counted(layers, 'hardmax layer')}, "
        f"{counted(len(leading), 'leader')}",
        fontsize=11,
    )
    return figure


def basins(axis: Any, pieces: Sequence[tuple[Polygon, int]], places: Array) -> list[Any]:
    """Fills by leader, going round, so that neighbours differ; hairlines between pieces."""
    owners = sorted({leader for _, leader in pieces if leader >= 0})
    centre = places[owners].mean(axis=0) if owners else 0.0
    round_ = sorted(owners, key=lambda j: float(np.arctan2(*(places[j] - centre)[::-1])))
    colours = {j: FILLS[k % 8] for k, j in enumerate(round_)}
    if len(round_) % 8 == 1 and len(round_) > 1:
        # The last meets the first.
        colours[round_[-1]] = FILLS[4]
    fills = [lighter(colours[j], 0.3) if j >= 0 else "#DDDDDD" for _, j in pieces]
    fill(axis, [p for p, _ in pieces], fills, edgecolors=_GREY, linewidths=0.4)
    low = np.min([p.vertices.min(axis=0) for p, _ in pieces], axis=0)
    high = np.max([p.vertices.max(axis=0) for p, _ in pieces], axis=0)
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    patches = [Patch(facecolor=FILLS[0], edgecolor=_GREY, label="basin of a leader (exact)")]
    if any(j < 0 for _, j in pieces):
        patches.append(Patch(facecolor="#DDDDDD", edgecolor=_GREY, label="no leader yet"))
    return patches


def _arrows(axis: Any, states: Array) -> list[Any]:
    """An arrow for each layer of each token that moves visibly."""
    moves = np.diff(states, axis=0)
    spread = float(np.ptp(states.reshape(-1, 2), axis=0).max())
    long = np.linalg.norm(moves, axis=2) > _SHORTEST * spread
    x, y = states[:-1][long].T
    u, v = moves[long].T
    axis.quiver(
        x, y, u, v, angles="xy", scale_units="xy", scale=1, color=_GREY, width=0.0035,
        headwidth=4.5, headlength=5.5, headaxislength=5, zorder=3,
    )  # fmt: skip
    return [Line2D([], [], color=_GREY, marker=">", markersize=5, label="one layer")]


def _numbers(axis: Any, starts: Array, leading: Sequence[int]) -> None:
    for i, (x, y) in enumerate(starts.tolist()):
        axis.annotate(
            str(i), (x, y), xytext=(5, 4), textcoords="offset points", zorder=6,
            fontsize=10 if i in leading else 7, fontweight="bold" if i in leading else "normal",
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )  # fmt: skip


def draw_gaussian(
    run: GaussianTrajectory,
    level: float | None = None,
    portrait: Sequence[GaussianTrajectory] = (),
) -> Figure:
    """Eigenvalues of the covariance, and the score deviation with its freezing level.

    In the plane also the ellipse of one standard deviation at ten times, and the run among those
    of ``portrait`` by the shape ``(S_11 - S_22, 2 S_12) / (S_11 + S_22)``: a point of the unit
    disc, whose centre is the round covariance and whose rim holds those of rank 1.
    """
    planar = run.covariance.shape[1] == 2
    figure = new_figure(10.4, 8.4 if planar else 4.2)
    axes = figure.subplots(2 if planar else 1, 2, squeeze=False)
    values = np.linalg.eigvalsh(run.covariance)
    top = axes[0]
    for k in reversed(range(values.shape[1])):
        name = rf"$\lambda_{{{values.shape[1] - k}}}$" if values.shape[1] <= 4 else None
        style = {"linestyle": DASHES[(values.shape[1] - 1 - k) % len(DASHES)], "label": name}
        top[0].semilogy(run.time, np.maximum(values[:, k], 1e-300), color=_BLUE, **style)
    if values.shape[1] <= 4:
        top[0].legend(fontsize=9)
    top[0].set_ylim(bottom=max(float(values.min()), float(values.max()) * 1e-9) / 2)
    top[0].set_ylabel("eigenvalues of $S$")
    top[1].semilogy(run.time, run.deviation, color=_BLUE)
    top[1].set_ylabel("score deviation $s$")
    if level is not None:
        words = r"freezing level $\sqrt{2 \log n}$"
        top[1].axhline(level, color=_RED, linestyle=DASHES[1], label=words)
        top[1].legend(fontsize=8)
    for axis in top:
        axis.set_xlabel("time $t$")
    if planar:
        _ellipses(figure, axes[1, 0], run)
        _shapes(axes[1, 1], run, portrait)
    return figure


def _ellipses(figure: Figure, axis: Any, run: GaussianTrajectory) -> None:
    """One standard deviation round the mean, at ten times of equal spacing."""
    turn = np.linspace(0, 2 * np.pi, 181)
    ring = np.array([np.cos(turn), np.sin(turn)])
    shade = ScalarMappable(Normalize(run.time[0], run.time[-1]), colormaps["viridis"])
    for k in np.unique(np.linspace(0, len(run.time) - 1, 10).round().astype(int)).tolist():
        weights, vectors = np.linalg.eigh(run.covariance[k])
        outline = run.mean[k][:, None] + vectors @ (np.sqrt(np.maximum(weights, 0))[:, None] * ring)
        axis.plot(*outline, color=shade.to_rgba(run.time[k]), lw=1.5)
    axis.set(xlabel="$x_1$", ylabel="$x_2$")
    axis.set_aspect("equal", adjustable="datalim")
    axis.set_title("one standard deviation of $N(a, S)$", fontsize=10)
    figure.colorbar(shade, ax=axis, label="time $t$")


def _shapes(axis: Any, run: GaussianTrajectory, portrait: Sequence[GaussianTrajectory]) -> None:
    """Runs in the disc of shapes: grey others, blue this one, its start as a ring."""
    turn = np.linspace(0, 2 * np.pi, 361)
    axis.plot(np.cos(turn), np.sin(turn), color="black", lw=1, label="rank 1")
    for k, other in enumerate(portrait):
        x, y = _shape(other.covariance)
        axis.plot(x, y, color=_GREY, lw=0.8, label=None if k else "other starts of this size")
        travelled = np.cumsum(np.hypot(np.diff(x), np.diff(y)))
        if not travelled.size or not travelled[-1]:
            continue
        middle = int(np.searchsorted(travelled, travelled[-1] / 2))
        ends = (x[middle + 1], y[middle + 1]), (x[middle], y[middle])
        axis.annotate("", *ends, arrowprops={"arrowstyle": "->", "color": _GREY})
    x, y = _shape(run.covariance)
    axis.plot(x, y, color=_BLUE, lw=2, label="this run")
    axis.plot(x[:1], y[:1], "o", color="white", mec=_BLUE, ms=6)
    axis.plot(x[-1:], y[-1:], "o", color=_BLUE, ms=6)
    axis.set_aspect("equal")
    axis.set(xlabel=r"$(S_{11} - S_{22}) / \mathrm{tr}\,S$", ylabel=r"$2 S_{12} / \mathrm{tr}\,S$")
    axis.set_title("shapes of covariances, from ring to dot", fontsize=10)
    axis.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.14))


def _shape(covariance: Array) -> tuple[Array, Array]:
    first, cross, second = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    trace = first + second
    return (first - second) / trace, 2 * cross / trace


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


_PATHS = 500


def _paths(axis: Any, states: Array) -> None:
    for i in range(min(states.shape[1], _PATHS)):
        axis.plot(states[:, i, 0], states[:, i, 1], color=_GREY, lw=0.6)
    axis.plot(*states[0].T, "o", color="white", mec=_GREY, ms=4, label="start")
    axis.plot(*states[-1].T, "o", color=_BLUE, ms=6, label="end")
    axis.set_aspect("equal", adjustable="datalim")


def _paths_in_space(axis: Any, states: Array, space: str, words: str) -> None:
    """Paths in R^3, over the wires of the sphere where tokens live on it."""
    ground(axis, 3, space)
    for i in range(min(states.shape[1], _PATHS)):
        axis.plot(*states[:, i].T, color=_GREY, lw=0.7)
    plain = {"linestyle": "none", "marker": "o"}
    axis.plot(*states[0].T, color="white", mec=_GREY, ms=4, label="start", **plain)
    axis.plot(*states[-1].T, color=_BLUE, ms=6, label="end", **plain)
    axis.set(xlabel="$x_1$", ylabel="$x_2$", zlabel="$x_3$")
    axis.set_box_aspect(
        np.maximum(np.ptp(states.reshape(-1, 3), axis=0), 1e-9) if space != "sphere" else (1, 1, 1)
    )
    for side in (axis.xaxis, axis.yaxis, axis.zaxis):
        side.set_major_locator(MaxNLocator(4))
    axis.set_title(words, fontsize=10)
    axis.legend(fontsize=8, loc="upper left")


def _clusters(number: int) -> str:
    return counted(int(number), "cluster")


FIGURES: dict[str, Callable[..., Figure]] = {
    "simulate": draw_flow,
    "phase": draw_sync,
    "hardmax": draw_hardmax,
    "gaussian": draw_gaussian,
    "sentiment": draw_leaders,
}
"""What draws the answer of each command of ``study.dynamics``."""

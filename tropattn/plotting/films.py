"""Figures that move, by matplotlib's own writers.

Tokens through time, walls along the temperature and along training.
"""

from __future__ import annotations

import html
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from tropattn._types import Array
from tropattn.dynamics.trajectory import Trajectory
from tropattn.errors import InvalidInput
from tropattn.outputs import FILMS, output_path, writing
from tropattn.plotting.dynamics import basins, ground
from tropattn.plotting.plane import (
    key_colours,
    legend_of_walls,
    paint,
    pattern_colours,
    refinement,
    show_keys,
)
from tropattn.plotting.style import INKS, counted, label_outer, new_figure, segments
from tropattn.plotting.window import Plane, mark
from tropattn.polyhedra.domain import Box
from tropattn.polyhedra.polygon import Polygon
from tropattn.study.pictures import Picture
from tropattn.study.temperature import softened

__all__ = [
    "OF_DYNAMICS",
    "check_dimension",
    "check_view",
    "film_flow",
    "film_hardening",
    "film_hardmax",
    "film_training",
    "save_film",
]

_FRAMES, _A_SECOND, _DPI = 72, 12, 90
_CHECKPOINTS_A_SECOND = 1.25
_TRAIL = 12
"""Frames over which a token's path stays in sight."""

_AT_REST = 0.005
"""Share of the tokens' width below which what moves from some layer on is not shown."""

_PIXELS = 160

_SIGNS = {
    "minus": "\u2212", "plus": "+", "fast-backward": "⏮", "step-backward": "◂", "play": "▶",
    "pause": "⏸", "step-forward": "▸", "fast-forward": "⏭",
}  # fmt: skip
"""What matplotlib's page asks a font from the network for."""


def save_film(film: FuncAnimation, path: str | Path, title: str = "tropattn") -> None:
    """Write an animation to a ``.gif``, or to an ``.html`` page that asks nothing of any network.

    Raises ``InvalidInput`` for another ending, or a file that cannot be written.
    """
    place = output_path(path, endings=FILMS)
    if place.suffix.lower() == ".html":
        drawn = _page(film, title).encode()
    else:
        with tempfile.TemporaryDirectory() as folder:
            beside = Path(folder, "film.gif")
            film.save(beside, "pillow", dpi=_DPI)
            drawn = beside.read_bytes()
    with writing(place) as stream:
        stream.write(drawn)


def _page(film: FuncAnimation, title: str) -> str:
    # PNG frames would be three times as large.
    with rc_context({"animation.frame_format": "jpeg"}):
        body = film.to_jshtml(embed_frames=True)
    start = body.index("<link")
    body = body[:start] + body[body.index(">", start) + 1 :]
    title = html.escape(title)
    body = body.replace("<img ", f'<img alt="{title}, frame by frame" ', 1)
    body = body.replace('type="range"', 'type="range" aria-label="Frame"', 1)
    signs = "".join(f'.fa-{name}::before{{content:"{sign}"}}' for name, sign in _SIGNS.items())
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}'
        '</title><link rel="icon" href="data:,"><style>.fa{font-style:normal}'
        f".fa-flip-horizontal{{display:inline-block;transform:scaleX(-1)}}{signs}</style></head>"
        f"<body>{body}</body></html>\n"
    )


def _film(
    figure: Figure,
    show: Callable[[Any], Any],
    frames: Sequence[Any],
    a_second: float = _A_SECOND,
) -> FuncAnimation:
    show(frames[0])
    # Only the second drawing knows which room axes of equal units take.
    for _ in range(2):
        figure.draw_without_rendering()
    # Titles that change must not move the axes.
    figure.set_layout_engine("none")
    shown, pause = list(frames), 1000 / a_second
    return FuncAnimation(figure, lambda frame: show(frame) or (), frames=shown, interval=pause)


# ---- tokens through time ------------------------------------------------------------------------


def check_dimension(dim: int, engine: str = "tokens") -> None:
    """Raise ``InvalidInput`` unless tokens of the dimension can be drawn through time."""
    if dim not in (2, 3) or engine != "tokens":
        got = f"dimension {dim}" if engine == "tokens" else f"the engine {engine}"
        raise InvalidInput(
            "output: tokens of dimension 2 or 3, by the engine tokens, needed to draw them through "
            f"time, got {got}; take two coordinates, or a figure that stands still."
        )


def film_flow(run: Trajectory, radius: float, space: str = "sphere") -> FuncAnimation:
    """Tokens in the plane or in space through time, with the last stretch of their paths.

    Raises ``InvalidInput`` where tokens have another dimension, or only their products are known.
    """
    dim = run.states.shape[2]
    check_dimension(dim, run.engine)
    states = run.states.astype(np.float64)
    counts = run.clusters(radius)
    figure = new_figure(5.6, 5.8)
    axes: Any = figure.add_subplot(projection="3d" if dim == 3 else None)
    ground(axes, dim, space)
    everything = states.reshape(-1, dim)
    low, high = everything.min(axis=0), everything.max(axis=0)
    pad = 0.06 * max(1e-9, float((high - low).max()))
    for name, *ends in zip("xyz", low - pad, high + pad, strict=False):
        axes.set(**{f"{name}lim": ends, f"{name}label": f"$x_{'xyz'.index(name) + 1}$"})
    axes.set_aspect("equal")
    moving = _Moving(axes, dim)

    def show(k: int) -> None:
        moving.place(states[max(0, k - _TRAIL) : k + 1])
        words = counted(int(counts[k]), "cluster")
        axes.set_title(f"time {run.time[k]:.3g}: {words} at radius {radius:g}", fontsize=11)

    chosen = np.unique(np.linspace(0, len(states) - 1, _FRAMES).round().astype(int)).tolist()
    return _film(figure, show, chosen)


def film_hardmax(run: Trajectory, pieces: Sequence[tuple[Polygon, int]] = ()) -> FuncAnimation:
    """Tokens of the plane layer by layer over the basins of the leaders, until they are at rest.

    ``pieces`` as for ``draw_hardmax``. Between two layers tokens go straight.
    """
    states = run.states.astype(np.float64)
    figure = new_figure(6.2, 6.2)
    axes = figure.add_subplot()
    if pieces:
        basins(axes, pieces, states[-1])
    else:
        axes.update_datalim(states.reshape(-1, 2))
        axes.autoscale_view()
    axes.set(aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    leading = list(run.leaders[-1])
    axes.plot(*states[-1, leading].T, "*", color=INKS[2], mec="black", mew=0.6, ms=13, zorder=6)
    left = np.abs(states - states[-1]).max(axis=(1, 2))
    moved = left > _AT_REST * float(np.ptp(states.reshape(-1, 2), axis=0).max())
    last = int(np.flatnonzero(moved).max(initial=0)) + 1
    moving = _Moving(axes, 2)
    parts = max(1, min(8, _FRAMES // last))

    def at(layers: Array) -> Array:
        whole = np.minimum(layers.astype(int), len(states) - 2)
        share = (layers - whole)[:, None, None]
        return (1 - share) * states[whole] + share * states[whole + 1]

    def show(layer: float) -> None:
        moving.place(at(np.linspace(max(0.0, layer - 2), layer, _TRAIL)))
        now = f"layer {int(layer)} of {counted(len(states) - 1, 'hardmax layer')}"
        axes.set_title(f"{now}, {counted(len(leading), 'leader')}", fontsize=11)

    times = np.linspace(0, min(last, len(states) - 1), min(_FRAMES, parts * last) + 1)
    return _film(figure, show, times.tolist())


class _Moving:
    """Tokens as dots, with the last stretch of their paths."""

    def __init__(self, axes: Any, dim: int) -> None:
        lines = Line3DCollection if dim == 3 else LineCollection
        style = {"colors": INKS[7], "linewidths": 0.8, "zorder": 3}
        self.trails: Any = lines([np.zeros((2, dim))], **style)
        axes.add_collection(self.trails, autolim=False)
        start = [[0.0]] * dim
        (self.dots,) = axes.plot(*start, "o", color=INKS[1], mec="white", ms=6, zorder=5)

    def place(self, states: Array) -> None:
        """Show the last of some states (k, n, d), and the path to it."""
        self.trails.set_segments(list(states.transpose(1, 0, 2)))
        put = self.dots.set_data if states.shape[2] == 2 else self.dots.set_data_3d
        put(*states[-1].T)


OF_DYNAMICS: dict[str, Callable[..., FuncAnimation]] = {
    "simulate": film_flow,
    "hardmax": film_hardmax,
}
"""What draws the answer of a command of ``study.dynamics`` as it moves."""


# ---- walls along the temperature, and along training --------------------------------------------


def check_view(picture: Picture, along: str = "the temperature") -> None:
    """Raise ``InvalidInput`` unless a picture is of heads on a plane."""
    if picture.view not in ("panels", "diagram"):
        raise InvalidInput(
            f"output: heads on a plane, one or side by side (views diagram and panels), needed to "
            f"follow their walls along {along}, got the view {picture.view}; take one layer and a "
            "plane, or a figure that stands still."
        )


def _panels(plane: Plane, count: int) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels of a plane, in about a square."""
    columns = int(np.ceil(np.sqrt(count)))
    lines = -(-count // columns)
    side = 4.6 if count == 1 else min(3.2, 12.8 / columns)
    figure = new_figure(side * columns + 0.4, (side * plane.tall + 0.4) * lines + 0.8)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    shown = grid.ravel().tolist()[:count]
    for axes in shown:
        plane.prepare(axes)
    label_outer(grid, count)
    return figure, shown


def film_hardening(picture: Picture, temperatures: Sequence[float]) -> FuncAnimation:
    """Heads on a plane as the temperature falls: softmax mixes of the keys' colours, and the walls.

    Each point has the colours of the keys in the proportion of their weights; they harden into the
    exact cells, whose walls are drawn throughout. From the highest temperature given to the lowest,
    in equal ratios. Raises ``InvalidInput`` where the picture is not of heads on a plane.
    """
    check_view(picture)
    plane = Plane.of(picture.target, picture.domain, None)
    window = plane.parameters
    units = plane.units
    if not isinstance(window, Box):
        raise InvalidInput(f"domain: a box as window needed, got {window.describe()}.")
    figure, grid = _panels(plane, len(units))
    images, colours = [], []
    low, high = (np.asarray(side, dtype=np.float64) for side in (window.low, window.high))
    for h, axes in enumerate(grid):
        cells = plane.cells(units[h])
        known = key_colours(units[h], [cells])
        colours.append(np.array([to_rgb(known.get(j, INKS[7])) for j in range(units[h].n_terms)]))
        images.append(axes.imshow(
            np.ones((_PIXELS, _PIXELS, 3)), origin="lower", interpolation="nearest",
            extent=(low[0], high[0], low[1], high[1]), aspect="equal" if plane.equal else "auto",
        ))  # fmt: skip
        walls = [wall for j, cell in cells.items() for wall in segments(cell, j + 1)]
        axes.add_collection(LineCollection(walls, colors="black", linewidths=0.7))
        axes.set_title(f"head {h}: {counted(len(cells), 'cell')}", fontsize=9)

    def show(tau: float) -> None:
        for unit, image, palette in zip(units, images, colours, strict=True):
            _, (mix,) = softened(unit, window, [tau], _PIXELS)
            image.set_data(np.clip(mix @ palette, 0, 1).reshape(_PIXELS, _PIXELS, 3))
        words = f"temperature {tau:.3g} (1: as trained)\n{picture.title}"
        figure.suptitle(words, fontsize=9, parse_math=False)

    most, least = max(temperatures), min(temperatures)
    frames = np.geomspace(most, least, 40) if most > least else np.array([most])
    return _film(figure, show, frames.tolist())


def film_training(pictures: Sequence[Picture], names: Sequence[str]) -> FuncAnimation:
    """Checkpoints of one model one after the other: the exact cells of each head on one plane.

    Plane and window are those of the last picture; a key, and a pattern of all heads, has one
    colour throughout. Raises ``InvalidInput`` where the pictures are not of heads on a plane.
    """
    for picture in pictures:
        check_view(picture, "training")
    last = Plane.of(pictures[-1].target, pictures[-1].domain, None)
    planes = [Plane.of(picture.target, last.counted, None) for picture in pictures]
    n_heads = len(last.units)
    cells = [[plane.cells(unit) for unit in plane.units] for plane in planes]
    inks = [key_colours(last.units[h], [own[h] for own in cells]) for h in range(n_heads)]
    together = [refinement(plane) for plane in planes] if n_heads > 1 else []
    fills = pattern_colours([found for found, _ in together])
    figure, grid = _panels(last, n_heads + (n_heads > 1))
    if n_heads > 1:
        figure.legend(loc="outside lower center", **legend_of_walls(last))
    given = pictures[-1].labels
    labels = [given] if pictures[-1].view == "diagram" else given or [None] * n_heads
    inches = 0.8 * float(figure.get_size_inches()[0]) / int(np.ceil(np.sqrt(len(grid))))

    def show(k: int) -> None:
        for axes in grid:
            for artist in (*axes.collections, *axes.texts, *axes.lines):
                artist.remove()
        for h, axes in enumerate(grid[:n_heads]):
            show_keys(axes, last, cells[k][h], inks[h], labels[h], small=n_heads > 1, inches=inches)
            which = f"head {h}: " if n_heads > 1 else ""
            axes.set_title(which + counted(len(cells[k][h]), "cell"), fontsize=9)
            mark(axes, pictures[k].points, (), small=True)
        for axes in grid[n_heads:]:
            paint(axes, planes[k], together[k][1], fills)
            axes.set_title(f"all heads: {counted(len(together[k][1]), 'cell')}", fontsize=9)
            mark(axes, pictures[k].points, pictures[k].point_names, small=True)
        words = f"{names[k]} ({k + 1} of {len(names)})\n{pictures[k].title}"
        figure.suptitle(words, fontsize=9, parse_math=False)

    return _film(figure, show, range(len(pictures)), _CHECKPOINTS_A_SECOND)

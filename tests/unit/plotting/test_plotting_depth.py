"""Pictures of networks: panels tile the window, titles are exact counts, walls have their layer."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb

import tropattn as ta
from tropattn import plotting
from tropattn.errors import InvalidInput
from tropattn.plotting.style import INKS

MODEL = str(Path(ta.__file__).parent / "data" / "maximum.safetensors")


def area(points):
    x, y = points.T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def polygons(axes):
    (found,) = [c for c in axes.collections if isinstance(c, PolyCollection)]
    return [path.vertices[:-1] for path in found.get_paths()], found.get_facecolors()


def walls(axes):
    """Segments by the layer that made them, the layer told by the ink."""
    inks = [to_rgb(ink) for ink in INKS]
    return {
        inks.index(tuple(c.get_colors()[0][:3])): [np.array(s) for s in c.get_segments()]
        for c in axes.collections
        if isinstance(c, LineCollection)
    }


def check_colours(axes):
    """No two cells on the two sides of a wall have one fill."""
    shapes, fills = polygons(axes)
    step = 1e-6 * np.sqrt(sum(area(p) for p in shapes))

    def at(point):
        inside = [
            i
            for i, p in enumerate(shapes)
            if (cross(np.roll(p, -1, axis=0) - p, point - p) > 0).all()
        ]
        return inside[0] if len(inside) == 1 else None

    checked = 0
    for segment in [s for found in walls(axes).values() for s in found]:
        along = segment[1] - segment[0]
        if np.linalg.norm(along) < 100 * step:
            continue
        across = step * np.array([-along[1], along[0]]) / np.linalg.norm(along)
        sides = [at(segment.mean(axis=0) + sign * across) for sign in (1, -1)]
        if None not in sides and sides[0] != sides[1]:
            checked += 1
            assert (fills[sides[0]] != fills[sides[1]]).any()
    return checked


def cross(a, b):
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def test_digits_behind_each_layer():
    """N = 2: walls of layer 0 at 4, of layer 1 at 2 and 6, of layer 2 at 1, 3, 5, 7."""
    net = ta.constructions.digit_transformer(2, 2, 3)
    figure = plotting.partition(net, window=([-1, -1], [9, 9]))
    assert [axes.get_title() for axes in figure.axes] == [
        f"behind {depth} of 3 layers: {4**depth} cells on R^2, {4**depth} in the window"
        for depth in (1, 2, 3)
    ]
    for depth, axes in enumerate(figure.axes, 1):
        shapes, _ = polygons(axes)
        assert len(shapes) == 4**depth
        assert sum(map(area, shapes)) == pytest.approx(100)
        found = walls(axes)
        assert sorted(found) == list(range(depth))
        upright = {
            round(float(s[0, 0]), 9) for s in found[depth - 1] if abs(s[0, 0] - s[1, 0]) < 1e-9
        }
        new = {(8 >> depth) * k for k in range(1, 2**depth)}
        assert upright == new
        # The walls of earlier layers are drawn over those of later ones.
        order = [c for c in axes.collections if isinstance(c, LineCollection)]
        assert tuple(order[-1].get_colors()[0][:3]) == to_rgb(INKS[0])


@pytest.mark.long
def test_colours_differ_across_walls():
    rng = np.random.default_rng(0)
    blocks = [
        ta.FeedForward(rng.normal(size=(a, b)), rng.normal(size=b) / 3, np.eye(b), residual=False)
        for a, b in ((2, 6), (6, 5))
    ]
    box = ta.Box.cube(-1, 1, 2)
    net = ta.Network(blocks)
    figure = plotting.partition(net, box)
    for depth, axes in enumerate(figure.axes, 1):
        shapes, _ = polygons(axes)
        assert len(shapes) == ta.count_regions(ta.Network(blocks[:depth]), box).value
        assert sum(map(area, shapes)) == pytest.approx(4)
        assert check_colours(axes) > 10
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["walls of layer 0 (6 units)", "walls of layer 1 (5 units)"]


def test_affine_layers_have_no_panel():
    net = ta.constructions.sawtooth_transformer(2, 1, 2, 1)
    figure = plotting.partition(net, ta.Box.cube(0, 1, 2), title="teeth")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["behind 2 of 3 layers: 4 cells", "behind 3 of 3 layers: 16 cells"]
    assert figure.get_suptitle() == "teeth"


def test_shipped_model_on_a_plane_through_real_states():
    model = ta.load(MODEL)
    net = model.network("83052=")
    states = model.embedded(model.tokens("83052="))
    plane = ta.Slice.through(states[[5, 3, 4]], margin=1.0)
    points = (states[[5, 3, 4]] - states[5]) @ plane.embedding[0].T
    figure = plotting.partition(net, plane, points=points, point_names=["=", "5", "2"])
    cells = [ta.count_regions(ta.Network(net.layers[:k]), plane).value for k in (1, 2)]
    assert [axes.get_title() for axes in figure.axes] == [
        f"behind {k} of 2 layers: {cells[k - 1]} cells" for k in (1, 2)
    ]
    assert {text.get_text() for text in figure.axes[1].texts} == {"=", "5", "2"}
    shapes, _ = polygons(figure.axes[1])
    whole = np.prod(plane.window.high - plane.window.low)
    assert sum(map(area, shapes)) == pytest.approx(whole)


@pytest.mark.long
def test_networks_need_a_plane():
    net = ta.constructions.digit_transformer(2, 3, 2)
    with pytest.raises(InvalidInput, match="R\\^2"):
        plotting.partition(net)
    with pytest.raises(ta.BudgetExceeded):
        big = ta.constructions.digit_transformer(12, 2, 2)
        plotting.partition(big, window=([-1, -1], [150, 150]))


# ---- lines --------------------------------------------------------------------------------------


def stretches(axes):
    """(row, left, right) of each box, top to bottom and left to right."""
    shapes, _ = polygons(axes)
    return sorted(
        (round(p[:, 1].min()), float(p[:, 0].min()), float(p[:, 0].max())) for p in shapes
    )


def test_a_line_with_live_keys():
    """The second token's own key wins outside (0, 1); the first token has no choice, so no row."""
    one = ta.AttentionHead([[1]], [[1]], [[1]], [[1]])
    net = ta.LiveNetwork([ta.AttentionLayer([one])], 2)
    figure = plotting.line(net, ta.Line([1, 0], [0, 1]), labels=["a", "b"])
    (axes,) = figure.axes
    assert axes.get_title() == "3 intervals"
    rows = stretches(axes)
    assert [row for row, _, _ in rows] == [0, 0, 0]
    assert [(a, b) for _, a, b in rows] == [(-0.1, 0), (0, 1), (1, pytest.approx(1.1))]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["token 1"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["key a", "key b"]


def test_the_shipped_model_along_a_line():
    model = ta.load(MODEL)
    net = model.network("83052=", position=None, own_key="live")
    start, end = (model.embedded(model.tokens(text)) for text in ("83052=", "19467="))
    line = ta.Line(start.ravel(), (end - start).ravel(), 0, 1)
    figure = plotting.line(net, line)
    assert figure.axes[0].get_title() == f"{ta.count_regions(net, line).value} intervals"
    # Two layers of 4 heads, of the 5 tokens that see more than one key; each row covers (0, 1).
    for axes in figure.axes:
        rows = stretches(axes)
        assert {row for row, _, _ in rows} == set(range(20))
        for row in range(20):
            parts = [(a, b) for r, a, b in rows if r == row]
            assert (parts[0][0], parts[-1][1]) == (0, 1)
            assert all(a[1] == b[0] for a, b in pairwise(parts))
    fixed = plotting.line(model.network("83052="), ta.Line(start[-1], np.arange(8) - 3.5))
    assert [axes.get_ylabel() for axes in fixed.axes] == ["layer 0", "layer 1"]


def test_relu_rows_and_bad_input():
    block = ta.FeedForward([[1, -1]], [0, 1], [[1], [1]], residual=False)
    head = ta.TropicalPolynomial([[0], [1]])
    figure = plotting.line(ta.Network([block, ta.FixedLayer([head], [[[0], [0]]])]), LINE)
    assert len(figure.axes) == 2
    # relu(t) and relu(1 - t): 0 and 1 end a stretch each.
    assert stretches(figure.axes[0]) == [(0, -9, 0), (0, 0, 9), (1, -9, 1), (1, 1, 9)]
    with pytest.raises(InvalidInput, match="Line"):
        plotting.line(head, ta.Box([0], [1]))
    with pytest.raises(InvalidInput, match="unit"):
        plotting.line(ta.TropicalPolynomial([[1]]), LINE)


LINE = ta.Line([0], [1], -9, 9)

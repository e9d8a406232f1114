"""What figures show: polygons tile the window, titles are exact counts, colours differ."""

from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation

import tropattn as ta
from tropattn import plotting
from tropattn.errors import InvalidInput
from tropattn.plotting.style import DASHES, FILLS, INKS
from tropattn.polyhedra.polygon import Polygon, bounding_window, window_polygon

TRIANGLE = ta.TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
UNIT = ([-1.0, -1.0], [1.0, 1.0])


def area(points):
    x, y = points.T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def filled(axes):
    (found,) = [c for c in axes.collections if isinstance(c, PolyCollection)]
    return [path.vertices[:-1] for path in found.get_paths()], found.get_facecolors()


# ---- polygons -----------------------------------------------------------------------------------


def test_cut_corners_and_labels():
    square = Polygon.box([0, 0], [1, 1])
    cut = square.cut([[1, 1]], [0.5], [7])
    assert cut.area == pytest.approx(1 / 8)
    assert sorted(cut.labels.tolist()) == [-1, -1, 7]
    assert cut.centroid == pytest.approx([1 / 6, 1 / 6])


def test_cut_does_not_depend_on_the_order_of_rows():
    rng = np.random.Generator(np.random.Philox(5))
    normals = rng.standard_normal((20, 2))
    offsets = 0.3 + rng.random(20)
    square = Polygon.box([-1, -1], [1, 1])
    first = square.cut(normals, offsets, np.arange(20))
    order = rng.permutation(20)
    second = square.cut(normals[order], offsets[order], order)
    assert second.area == pytest.approx(first.area)
    assert set(first.labels.tolist()) == set(second.labels.tolist())
    inside = rng.uniform(-1, 1, (100_000, 2))
    share = ((inside @ normals.T) <= offsets).all(axis=1).mean()
    assert first.area == pytest.approx(4 * share, abs=0.02)


@pytest.mark.parametrize(
    ("normal", "offset", "expected"),
    [([1, 0], -0.5, 0.0), ([1, 0], 2, 1.0), ([0, 0], 0, 1.0), ([0, 0], -1, 0.0), ([1, 0], 1, 1.0)],
)
def test_rows_that_miss_or_hold_nothing(normal, offset, expected):
    cut = Polygon.box([0, 0], [1, 1]).cut([normal], [offset], [3])
    assert cut.area == expected
    assert bool(cut) == (expected > 0)


def test_windows():
    triangle = ta.Polytope([[1, 1], [-1, 0], [0, -1]], [1, 0, 0])
    assert window_polygon(triangle).area == pytest.approx(0.5)
    for bad in (None, 3, ta.Box([0], [1]), ta.Box([0, 0], [np.inf, 1]), ([0, 0], [1, 0])):
        with pytest.raises(InvalidInput):
            window_polygon(bad)
    with pytest.raises(InvalidInput, match="interior"):
        window_polygon(ta.Polytope([[1, 0], [-1, 0], [0, 1], [0, -1]], [-1, 0, 1, 1]))
    low, high = bounding_window([[3, 3]], 0.5)
    assert (low < 3).all()
    assert (high > 3).all()


# ---- pictures of the plane ----------------------------------------------------------------------


def test_diagram_tiles_the_window():
    """Cells of max(0, x, y): the square's left lower quarter, and two equal pieces of the rest."""
    figure = plotting.diagram(TRIANGLE, UNIT)
    polygons, _ = filled(figure.axes[0])
    assert sorted(area(p) for p in polygons) == pytest.approx([1, 1.5, 1.5])
    assert figure.axes[0].get_title() == "3 cells on R^2, 3 in the window (3 keys)"
    assert figure.axes[0].get_xlabel() == "$x_1$"
    assert figure.get_suptitle() == "x in R^2"


def test_diagram_of_a_power_diagram_and_labels():
    figure = plotting.diagram(TRIANGLE.power_diagram(), UNIT, labels=["a$", "b", "c"])
    written = {text.get_text() for text in figure.axes[0].texts}
    assert {"a$", "b", "c"} <= written


def test_dead_sites_are_crosses():
    f = ta.TropicalPolynomial([[-0.5, 0], [0, 0], [0.5, 0]], [0, -1, 0])
    figure = plotting.diagram(f, UNIT)
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["site", "site without a cell here"]


def test_windows_choose_themselves():
    """The corner of three cells, two parallel walls, and nothing at all come into view."""
    far = ta.TropicalPolynomial([[0, 0], [1, 0], [0, 1]], [0, -100, -100])
    strips = ta.TropicalPolynomial([[0, 0], [1, 0], [2, 0]], [0, -5, -12])
    single = ta.TropicalPolynomial([[1, 2]])
    for f, cells in ((far, 3), (strips, 3), (single, 1)):
        title = plotting.diagram(f).axes[0].get_title()
        assert f"{cells} in the window" in title


def test_partition_tiles_the_window_and_separates_colours():
    heads = ta.initialisers.gaussian_heads(6, 3, 2, seed=1)
    figure = plotting.partition(heads, ta.Box([-3, -3], [3, 3]))
    axes = figure.axes[0]
    polygons, colours = filled(axes)
    assert sum(area(p) for p in polygons) == pytest.approx(36)
    exact = int(ta.count_regions(heads, ta.Box([-3, -3], [3, 3])))
    assert len(polygons) == exact
    assert axes.get_title() == f"{exact} cells in the window (3 heads)"
    lines = [c for c in axes.collections if isinstance(c, LineCollection)]
    assert len(lines) == 3
    # Two cells that share an edge have different fills.
    keys = [{tuple(np.round(v, 6)) for v in p} for p in polygons]
    touching = 0
    for i in range(len(keys)):
        for j in range(i):
            if len(keys[i] & keys[j]) >= 2:
                touching += 1
                assert tuple(colours[i]) != tuple(colours[j])
    assert touching > exact / 2


def test_partition_on_a_slice_counts_there():
    heads = ta.initialisers.gaussian_heads(5, 2, 4, seed=2)
    plane = ta.Slice.through(np.eye(4)[:3], 1.0)
    figure = plotting.partition(heads, plane)
    exact = int(ta.count_regions(heads, plane))
    assert figure.axes[0].get_title() == f"{exact} cells in the window (2 heads)"
    assert figure.axes[0].get_xlabel() == "slice parameter $p_1$"
    assert figure.get_suptitle() == "x in a plane slice of R^4"
    whole = ta.Slice(plane.embedding[1], plane.embedding[0])
    assert "cells in the window" in plotting.partition(heads, whole).axes[0].get_title()
    assert (
        "1 cell in"
        in plotting.partition(heads, whole, ([5.0, 5.0], [5.0 + 1e-9, 5.0 + 1e-9]))
        .axes[0]
        .get_title()
    )


def test_panels_show_every_head_once():
    heads = ta.initialisers.gaussian_heads(4, 3, 2, seed=3)
    figure = plotting.panels(heads, points=[[0, 0]], point_names=["origin"])
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert [t.split(":")[0] for t in titles] == ["head 0", "head 1", "head 2", "common refinement"]
    total = int(ta.count_regions(heads))
    assert f"{total} cells on R^2" in titles[-1]


def test_equal_keys_and_equal_heads():
    twice = ta.TropicalPolynomial([[0, 0], [1, 0], [1, 0], [0, 1]])
    polygons, _ = filled(plotting.diagram(twice, UNIT).axes[0])
    assert len(polygons) == 3
    polygons, _ = filled(plotting.partition([twice, twice], None, UNIT).axes[0])
    assert len(polygons) == 3


def test_what_is_no_picture():
    three = ta.TropicalPolynomial(np.eye(3))
    heads = [TRIANGLE, TRIANGLE]
    with pytest.raises(InvalidInput, match="R\\^2"):
        plotting.diagram(three)
    with pytest.raises(InvalidInput, match="one head"):
        plotting.diagram(heads)
    with pytest.raises(InvalidInput, match="both"):
        plotting.partition(heads, ta.Box([0, 0], [1, 1]), UNIT)
    with pytest.raises(InvalidInput, match="bounded"):
        plotting.partition(heads, ta.Polytope([[1, 0]], [0]))
    with pytest.raises(InvalidInput, match="plane"):
        plotting.partition(heads, ta.Line([0, 0], [1, 0]))
    with pytest.raises(InvalidInput, match="dimension 2"):
        plotting.partition([three], ta.Slice([0, 0, 0], [[1, 0, 0]]))


# ---- polytopes, growth, files -------------------------------------------------------------------


def test_polytope_in_the_plane():
    f = ta.TropicalPolynomial([[0, 0], [2, 0], [0, 2], [2, 2], [1, 1]])
    figure = plotting.polytope(f.newton_polytope())
    assert figure.axes[0].get_title() == "4 vertices among 5 terms"
    (patch,) = figure.axes[0].patches
    assert area(patch.get_xy()[:-1]) == pytest.approx(4)


def test_polytope_in_space():
    cube = ta.TropicalPolynomial([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    figure = plotting.polytope(cube.newton_polytope())
    (faces,) = figure.axes[0].collections[:1]
    figure.canvas.draw()
    assert len(faces.get_paths()) == 6
    lifted = plotting.polytope(TRIANGLE.newton_polytope(lifted=True), lifted=True)
    assert lifted.axes[0].get_zlabel() == "intercept $c$"
    with pytest.raises(InvalidInput, match="R\\^2 or R\\^3"):
        plotting.polytope(ta.TropicalPolynomial(np.eye(4)).newton_polytope())


def test_dual_pictures_are_dual():
    """Cells and keys in one colour, a line an edge, each corner where its cell's keys tie."""
    rng = np.random.default_rng(3)
    f = ta.TropicalPolynomial(rng.integers(-5, 6, (12, 2)), rng.integers(-8, 6, 12))
    figure = plotting.dual(f)
    left, right = figure.axes
    split = ta.subdivision(f)
    assert [int(w.split()[0]) for w in left.get_title().split(", ")] == list(split.f_vector())
    live = ta.live_terms(f).live
    colours = dict(zip(live.tolist(), right.collections[0].get_facecolors().tolist(), strict=True))
    sites = np.asarray(right.collections[0].get_offsets())
    assert np.array_equal(sites, f.slopes[live])
    edges = [line for line in right.lines if line.get_linestyle() == "-"]
    assert len(edges) == split.f_vector()[1]
    rings = {t.get_text(): t.xy for t in left.texts if isinstance(t, Annotation)}
    for number, cell in enumerate(split.cells):
        scores = f.scores(rings[str(number)])
        assert scores[list(cell)] == pytest.approx(scores.max())
    window = Polygon.box(*zip(left.get_xlim(), left.get_ylim(), strict=True))
    assert sum(area(p.get_xy()[:-1]) for p in left.patches) == pytest.approx(window.area)
    # Cells are drawn in the order of their keys; each has its key's colour.
    for patch in left.patches:
        inner = patch.get_xy()[:-1].mean(axis=0)
        assert patch.get_facecolor() == pytest.approx(tuple(colours[f.argmax(inner)]))
    for i, j in split.hypersurface().walls:
        assert colours[i] != colours[j]


@pytest.mark.parametrize(
    ("slopes", "words"),
    [
        ([[0, 0], [1, 0], [2, 0]], "2 cells, 1 wall"),
        ([[1, 2]], "1 cell"),
        ([[0, 0], [1, 0], [0, 1], [1, 1], [1, 1]], "4 cells, 4 walls, 1 corner"),
    ],
)
def test_dual_of_flat_and_repeated_slopes(slopes, words):
    figure = plotting.dual(ta.TropicalPolynomial(slopes), UNIT)
    assert figure.axes[0].get_title() == words


def test_dual_of_numbers_at_the_end_of_doubles():
    slopes = np.array([[0, 0], [1, 0], [0, 1], [-1, -1]])
    figure = plotting.dual(ta.TropicalPolynomial(1.7e308 * slopes), UNIT)
    figure.canvas.draw()
    right = figure.axes[1]
    assert right.get_xlabel() == "slope $a_1$ / $10^{308}$"
    assert max(map(abs, right.get_xlim())) < 3
    with pytest.raises(InvalidInput, match="slopes and intercepts below"):
        plotting.dual(ta.TropicalPolynomial(10**400 * slopes.astype(object)))


def test_lines_to_names_outside_pass_behind_names_in_cells():
    strip = ta.TropicalPolynomial([[0, 0], [1, 0], [2, 0]], [0, 0, -0.02])
    (axes,) = plotting.diagram(strip, UNIT).axes
    lines = [text for text in axes.texts if isinstance(text, Annotation)]
    inside = [text for text in axes.texts if text not in lines]
    assert [text.get_text() for text in lines] == ["1"] and len(inside) == 2
    assert max(t.zorder for t in lines) < min(t.zorder for t in inside)
    grounds = {t.get_bbox_patch().get_facecolor() for t in inside}
    assert len(grounds) == len(inside)


@pytest.mark.parametrize("last", [0, -1])
def test_dual_of_small_slopes(last):
    """Four cells meet in a corner, or all corners but one are beyond the doubles."""
    slopes = 1e-320 * np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    left, _ = plotting.dual(ta.TropicalPolynomial(slopes, [0, 0, 0, last])).axes
    # Names of cells are of another size.
    assert [t.get_text() for t in left.texts if t.get_fontsize() == 7] == ["0"]


def test_dual_on_a_slice_and_with_many_keys():
    heads = ta.initialisers.gaussian_heads(40, 1, 4, seed=2)
    plane = ta.Slice.through(np.eye(4)[:3], 1.0)
    figure = plotting.dual(heads[0], domain=plane)
    basis, origin = plane.embedding
    split = ta.subdivision(heads[0].pullback(basis, origin))
    assert figure.axes[1].get_title().startswith(f"{split.f_vector()[0]} live keys")
    fills = figure.axes[1].collections[0].get_facecolors()
    at = {cell[0]: i for i, cell in enumerate(split.faces(0))}
    assert all(tuple(fills[at[i]]) != tuple(fills[at[j]]) for i, j in split.hypersurface().walls)
    with pytest.raises(InvalidInput, match="one head"):
        plotting.dual([TRIANGLE, TRIANGLE])


def test_sums_beside_their_summands():
    """Cube and octahedron: 6 sides of the one, 8 of the other, 12 grey parallelograms."""
    cube = [[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    octahedron = np.vstack([np.eye(3), -np.eye(3)])
    figure = plotting.polytope(ta.minkowski_sum([cube, octahedron]))
    assert len(figure.axes) == 3
    assert figure.axes[-1].get_title() == "sum: 24 vertices, 48 edges, 26 facets"
    (faces,) = figure.axes[-1].collections[:1]
    fills = [to_rgb(colour) for colour in faces.get_facecolors()[:, :3]]
    assert sorted(fills.count(to_rgb(c)) for c in (FILLS[0], FILLS[1], "#DDDDDD")) == [6, 8, 12]


def test_sums_in_the_space_they_span():
    """The associahedron lies in a hyperplane of R^4: edges keep their lengths in the drawing."""
    windows = [range(i, j) for j in range(2, 5) for i in range(j - 1)]
    found = ta.minkowski_sum([np.eye(4)[list(w)] for w in windows])
    figure = plotting.polytope(found)
    assert len(figure.axes) == 7
    assert figure.axes[-1].get_title() == "sum: 14 vertices, 21 edges, 9 facets"
    (line,) = figure.axes[-1].lines
    drawn = np.array(line.get_data_3d()).T
    ends = found.vertices[found.edges]
    for (a, b), (i, j) in zip(ends, found.edges.tolist(), strict=True):
        assert np.linalg.norm(a - b) == pytest.approx(np.linalg.norm(drawn[i] - drawn[j]))


def test_flat_and_unbounded_sums():
    for points, words in (
        ([[[0, 0], [1, 1]], [[0, 0], [1, 0]]], "sum: 4 vertices, 4 edges"),
        ([[[0, 0], [1, 1]]], "sum: 2 vertices"),
        ([[[3, 1]]], "sum: 1 vertex"),
        ([np.eye(5)[:2]] * 11, "sum: 2 vertices"),
        ([[[0, 0, 0], [1, 1, 0], [2, 0, 0]]], "sum: 3 vertices, 3 edges"),
    ):
        figure = plotting.polytope(ta.minkowski_sum(points))
        assert figure.axes[-1].get_title() == words
        assert len(figure.axes) == min(9, len(points)) + 1
    with pytest.raises(InvalidInput, match="an upper hull"):
        plotting.polytope(ta.minkowski_sum([[[0, 0], [1, 1]]], upper=True))
    with pytest.raises(InvalidInput, match="dimension 4"):
        plotting.polytope(ta.minkowski_sum([np.eye(5)]))


def test_growth_needs_rows():
    with pytest.raises(InvalidInput, match="rows"):
        plotting.growth([], 2)


@pytest.mark.long
def test_save(tmp_path):
    figure = plotting.diagram(TRIANGLE, UNIT)
    for name, head in (("a.png", b"\x89PNG"), ("b.pdf", b"%PDF"), ("c.SVG", b"<?xml")):
        plotting.save(figure, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(head)
    ElementTree.parse(tmp_path / "c.SVG")
    with pytest.raises(InvalidInput, match=r"\.png"):
        plotting.save(figure, tmp_path / "a.jpeg")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.pdf", "c.SVG"]


def test_pyplot_is_left_alone():
    import sys

    before = "matplotlib.pyplot" in sys.modules
    plotting.partition([TRIANGLE], None, UNIT)
    assert before or "matplotlib.pyplot" not in sys.modules


def test_colours_differ_for_colour_blind_readers():
    """Fills stay apart under a standard simulation of missing red, green or blue cones."""
    # Machado, Oliveira, Fernandes (2009), severity 1, on linear RGB.
    simulations = [
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    ]
    rgb = np.array([to_rgb(fill) for fill in FILLS])
    for matrix in simulations:
        seen = np.clip((rgb**2.2) @ np.array(matrix).T, 0, 1) ** (1 / 2.2)
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=2)
        assert apart[~np.eye(len(FILLS), dtype=bool)].min() > 0.04
    assert len(set(DASHES[: len(INKS)])) == len(INKS)


def limits_and_data(axes):
    """Limits of 3-D axes and the box of their dots, lines and crosses, each (3, 2)."""
    limits = np.array([axes.get_xlim(), axes.get_ylim(), axes.get_zlim()])
    points = np.hstack([np.array(line.get_data_3d()) for line in axes.lines])
    return limits, np.column_stack([points.min(axis=1), points.max(axis=1)])


@pytest.mark.long
@pytest.mark.parametrize("reach", [1e-9, 1, 1e9])
def test_limits_in_space_come_from_the_data(reach):
    """Facets of three to six corners among memory that was full of large numbers."""
    cube = [[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    octahedron = np.vstack([np.eye(3), -np.eye(3)])
    for seed in range(8):
        rng = np.random.default_rng(seed)
        slopes = reach * (5 + rng.integers(-2, 3, (12, 3)).astype(float))
        head = ta.TropicalPolynomial(slopes, reach * rng.integers(-2, 3, 12).astype(float))
        figures = [
            plotting.polytope(head.newton_polytope()),
            plotting.polytope(ta.minkowski_sum([reach * np.array(cube), reach * octahedron])),
            plotting.polytope(
                ta.TropicalPolynomial(slopes[:, :2], slopes[:, 2]).newton_polytope(lifted=True),
                lifted=True,
            ),
        ]
        junk = [np.full(40 * n, 1e295) for n in range(1, 60)]
        del junk
        for axes in (axes for figure in figures for axes in figure.axes):
            limits, box = limits_and_data(axes)
            side = np.ptp(box, axis=1).max()
            middle = box.mean(axis=1)
            assert (limits[:, 0] <= box[:, 0]).all() and (box[:, 1] <= limits[:, 1]).all()
            assert (np.abs(limits - middle[:, None]) <= side).all()


@pytest.mark.parametrize(
    "points", [[[5, 5, 5]], [[1000, 0, 0], [1001, 0, 0]], [[0, 0, 7], [1, 0, 7], [0, 1, 7]]]
)
def test_limits_of_flat_polytopes_in_space(points):
    figure = plotting.polytope(ta.TropicalPolynomial(np.array(points, float)).newton_polytope())
    limits, box = limits_and_data(figure.axes[0])
    assert (limits[:, 0] < box[:, 0]).all() and (box[:, 1] < limits[:, 1]).all()
    assert (np.ptp(limits, axis=1) <= 2 * max(np.ptp(box, axis=1).max(), 5)).all()


def test_cells_of_keys_equal_in_doubles_are_drawn_side_by_side():
    """The square of side 5 in pieces of 8, 15.5 and 1.5; see the areas of ``plane_cells``."""
    tiny = 2.0**-51
    head = ta.TropicalPolynomial([[0, 0], [-3, 3], [-3, 3 - tiny]], [0, 3 + 2 * tiny, 3])
    window = ta.Box([-3, -3], [2, 2])
    for figure in (plotting.diagram(head, window), plotting.partition([head], domain=window)):
        shapes = [path.vertices[:-1] for path in figure.axes[0].collections[0].get_paths()]
        assert [area(shape) for shape in shapes] == pytest.approx([8, 15.5, 1.5])


def test_small_windows_far_away_keep_their_area():
    """Corners of a polytope are computed in rationals, then rounded."""
    angle = np.arange(6) * np.pi / 3
    normals = np.column_stack([np.cos(angle), np.sin(angle)])
    centre, size = np.array([1500.0, -1500.0]), 1e-6
    polygon = window_polygon(ta.Polytope(normals, normals @ centre + size))
    # A regular hexagon of inner radius r has area 2 sqrt(3) r^2; the offsets are doubles near 1500.
    assert polygon.area == pytest.approx(2 * 3**0.5 * size**2, rel=1e-5)
    assert len(polygon.vertices) == 6


@pytest.mark.parametrize("size", [2.0**-1000, 2.0**1000])
def test_a_window_round_corners_does_not_depend_on_the_size_of_slopes(size):
    rng = np.random.default_rng(4)
    slopes, intercepts = rng.standard_normal((6, 2)), rng.standard_normal(6)
    plain = plotting.diagram(ta.TropicalPolynomial(slopes, intercepts)).axes[0]
    scaled = plotting.diagram(ta.TropicalPolynomial(size * slopes, size * intercepts)).axes[0]
    assert scaled.get_xlim() == plain.get_xlim() and scaled.get_ylim() == plain.get_ylim()
    assert scaled.get_title() == plain.get_title()


def test_decisions_on_a_plane():
    """``max(|x|, |y|)`` against 1 and 3/2: squares within each other, all of them ties."""
    largest = ta.Maxout([[[1, 0], [-1, 0], [0, 1], [0, -1]]])
    rings = ta.Network([largest, ta.Affine([[0, 1, 2]], [0, -1, -3])])
    found = ta.decision_boundary(rings, ta.Box([-3, -3], [3, 3]))
    figure = ta.plotting.boundary(found, names=["in", "between", "out"], points=[[0, 0]])
    (axes,) = figure.axes
    assert axes.get_title().startswith("8 pieces, 0 jumps among them")
    drawn = sum(len(c.get_segments()) for c in axes.collections if isinstance(c, LineCollection))
    assert drawn == 8
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["in", "between", "out", "tie (8)", "jump (0)"]
    with pytest.raises(InvalidInput, match="bounded window needed"):
        ta.plotting.boundary(ta.decision_boundary(rings))

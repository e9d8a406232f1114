"""Two roads to the polygons of a plane, and both against rational polygons from the definition."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tests.reference import plane as reference
from tests.reference import polygons
from tropattn import (
    Box,
    BudgetExceeded,
    Interrupted,
    InvalidInput,
    Polytope,
    Slice,
    TropicalPolynomial,
    count_regions,
    enumerate_regions,
    plane_cells,
)
from tropattn.regions.budget import Budget
from tropattn.regions.euler import diagrams, hull_arcs
from tropattn.regions.polygons import cells as module
from tropattn.regions.polygons import half_edges as plane_graph

HEXAGON = Polytope(
    [[1, 0.125], [0.5, 1], [-0.75, 1], [-1, -0.25], [-0.25, -1], [0.875, -1]], [1, 1.25, 1, 1, 1, 1]
)
WINDOWS = [Box([-1, -1], [1, 1]), Box([-3, 0.5], [2, 4]), HEXAGON]
KINDS = ("gauss", "strips", "grid", "slice", "single keys", "duplicates", "far")


@pytest.fixture(autouse=True)
def _however_few_keys(monkeypatch):
    """Heads of few keys take the graph as well, which are drawn exactly otherwise."""
    monkeypatch.setattr(module, "FEW_KEYS", 0)


def layer(kind, seed):
    """Heads and a window of one kind, a function of the seed."""
    rng = np.random.default_rng([5, KINDS.index(kind), seed])
    heads, window = [], WINDOWS[seed % 3]
    dim = 5 if kind == "slice" else 2
    for _ in range(rng.integers(1, 9)):
        n = int(rng.integers(1, 14))
        if kind == "grid":
            slopes, heights = rng.integers(-2, 3, (n, dim)), rng.integers(-2, 3, n)
        elif kind == "strips":
            slopes = rng.uniform(-2, 2, (2 * n, dim))
            heights = -(slopes**2).sum(axis=1) / 2
        elif kind == "far":
            # Keys so high that most others are dead in the window.
            slopes, heights = rng.standard_normal((n, dim)), 9 * rng.standard_normal(n)
        else:
            slopes, heights = rng.standard_normal((n, dim)), rng.standard_normal(n)
        if kind == "single keys" and rng.random() < 0.6:
            slopes, heights = slopes[:1], heights[:1]
        if kind == "duplicates":
            # Doubled keys come first and last, so that numbers in patterns are not in row order.
            again = rng.permutation(np.concatenate([np.arange(n), np.arange(n)]))
            slopes, heights = slopes[again], heights[again]
        heads.append(TropicalPolynomial(slopes.astype(float), heights.astype(float)))
    if kind == "slice":
        window = Slice(rng.standard_normal(5), rng.standard_normal((2, 5)), window)
    return heads, window


def both_roads(heads, window, monkeypatch, **options):
    """Cells by the graph (None where it hands over) and by the overlay."""
    made = []
    real = plane_graph.graph_cells

    def spy(*arguments):
        made.append(real(*arguments))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(module, "graph_cells", spy)
        first = plane_cells(heads, window, **options)
        patch.setattr(module, "graph_cells", lambda *_: None)
        second = plane_cells(heads, window, **options)
    return (first if made[0] is not None else None), second


def graph_of(heads, window):
    """What the graph of walls says, or None."""
    return plane_graph.graph_cells(module.Refinement.of(heads, window), Budget(10**6, 1))


def turned(cells, cell, first):
    """Corners and neighbours of a cell from the corner nearest to a point on."""
    corners = cells.polygon(cell)
    start = int(np.abs(corners - first).sum(axis=1).argmin())
    beyond = cells.neighbours[cells.offsets[cell] : cells.offsets[cell + 1]]
    return np.roll(corners, -start, axis=0), np.roll(beyond, -start)


def assert_same(graph, overlay, where):
    assert (graph.patterns == overlay.patterns).all(), where
    assert (graph.offsets == overlay.offsets).all(), where
    assert graph.areas == pytest.approx(overlay.areas, rel=1e-9, abs=1e-9), where
    for r in range(len(graph)):
        corners, beyond = turned(graph, r, overlay.polygon(r)[0])
        others, also = turned(overlay, r, overlay.polygon(r)[0])
        assert np.abs(corners - others).max() < 1e-8, where
        assert (beyond == also).all(), where


def check(kind, seed, monkeypatch):
    heads, window = layer(kind, seed)
    graph, overlay = both_roads(heads, window, monkeypatch)
    if graph is None:
        return False
    assert_same(graph, overlay, (kind, seed))
    assert len(graph) == count_regions(heads, window, engine="enumeration").value
    assert (graph.areas > 0).all()
    # Counterclockwise, and every side is seen from both of its cells.
    for r in range(len(graph)):
        x, y = (graph.polygon(r) - graph.polygon(r)[0]).T
        assert x @ np.roll(y, -1) > y @ np.roll(x, -1)
    cells = np.repeat(np.arange(len(graph)), np.diff(graph.offsets))
    inner = graph.neighbours >= 0
    pairs = list(zip(cells[inner].tolist(), graph.neighbours[inner].tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert {(b, a) for a, b in pairs} == set(pairs)
    differ = graph.patterns[cells[inner]] != graph.patterns[graph.neighbours[inner]]
    assert (differ.sum(axis=1) == 1).all()
    return True


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_roads_agree(kind, monkeypatch):
    proved = sum(check(kind, seed, monkeypatch) for seed in range(36))
    assert proved >= (3 if kind == "grid" else 33)
    assert kind != "grid" or proved <= 30


@pytest.mark.long
@pytest.mark.parametrize("kind", ["gauss", "strips"])
def test_roads_agree_where_diagrams_are_read_from_hulls(kind, monkeypatch):
    read = []

    def spy(*arguments):
        read.append(hull_arcs.hull_arcs(*arguments))
        return read[-1]

    monkeypatch.setattr(diagrams, "_MANY", 2)
    monkeypatch.setattr(diagrams, "hull_arcs", spy)
    proved = sum(check(kind, seed, monkeypatch) for seed in range(12))
    assert proved >= 11
    assert sum(arcs is not None for arcs in read) >= 12


@pytest.mark.slow
def test_roads_agree_on_1400_layers(monkeypatch):
    proved = sum(check(kind, seed, monkeypatch) for kind in KINDS for seed in range(36, 236))
    assert proved >= 1150


def rational_cells(heads, corners):
    """Cells with interior in rationals: pattern -> polygon."""
    units = [(head.slopes.tolist(), head.intercepts.tolist()) for head in heads]
    return polygons.cells(units, corners)


@pytest.mark.long
@pytest.mark.parametrize("integers", [False, True])
def test_both_roads_against_rational_polygons(integers, monkeypatch):
    rng = np.random.default_rng([8, integers])
    square = [tuple(map(Fraction, p)) for p in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    proved = 0
    for _ in range(25):
        heads = []
        for n in rng.integers(1, 5, rng.integers(1, 5)):
            draw = rng.integers(-3, 4, (n, 3)) if integers else rng.standard_normal((n, 3))
            rows = np.unique(draw.astype(float), axis=0)
            heads.append(TropicalPolynomial(rows[:, :2], rows[:, 2] / (4 if integers else 1)))
        graph, overlay = both_roads(heads, Box([-1, -1], [1, 1]), monkeypatch)
        expected = rational_cells(heads, square)
        patterns = sorted(expected)
        edges = polygons.neighbours([expected[p] for p in patterns])
        proved += graph is not None
        for cells in (overlay, graph):
            if cells is None:
                continue
            assert cells.patterns.tolist() == [list(p) for p in patterns]
            assert cells.areas == pytest.approx(
                [float(polygons.area(expected[p])) / 2 for p in patterns]
            )
            assert {tuple(sorted(e)) for e in cells.adjacency().edges} == edges
    assert proved >= 22 if not integers else 3 <= proved <= 22


def window_corners(window):
    """Corners of a window in rationals."""
    return polygons.window(zip(*(side.tolist() for side in window.walls), strict=True))


def named_pairs(cells):
    """Pairs of cells of which the first names the second."""
    owners = np.repeat(np.arange(len(cells)), np.diff(cells.offsets))
    inner = cells.neighbours >= 0
    return set(zip(owners[inner].tolist(), cells.neighbours[inner].tolist(), strict=True))


def assert_drawn(cells, heads, window):
    """Patterns, every area, corners in the window, and exactly the neighbours that there are."""
    corners = window_corners(window)
    expected = rational_cells(heads, corners)
    patterns = sorted(expected)
    assert cells.patterns.tolist() == [list(p) for p in patterns]
    areas = np.array([float(polygons.area(expected[p]) / 2) for p in patterns])
    assert np.abs(cells.areas - areas).max() <= 1e-9 * areas.sum()
    assert cells.areas.sum() == pytest.approx(float(polygons.area(corners) / 2), rel=1e-9, abs=0)
    for c in range(2):
        low, high = (float(f(p[c] for p in corners)) for f in (min, max))
        slack = 4 * np.spacing(max(abs(low), abs(high))) + 1e-12 * (high - low)
        assert cells.corners[:, c].min() >= low - slack
        assert cells.corners[:, c].max() <= high + slack
    pairs = named_pairs(cells)
    assert {(b, a) for a, b in pairs} == pairs
    assert (cells.neighbours >= -1).all() and not any(a == b for a, b in pairs)
    found = {tuple(sorted(e)) for e in cells.adjacency().edges}
    assert found == polygons.neighbours([expected[p] for p in patterns])


def square(centre, half):
    return Box([centre - half] * 2, [centre + half] * 2)


def head(slopes, heights=None):
    return TropicalPolynomial(slopes, heights)


ACROSS, UP = head([[1, 0], [-1, 0]]), head([[0, 1], [0, -1]])
NAMED = {
    "one high key in a tiny window": ([head([[1, 0]], [1e6])], square(0, 1e-9)),
    "one flat high key": ([head([[1e-8, 0]], [1e7])], square(0, 1)),
    "one very high key": ([head([[1, 0]], [1e15])], square(0, 1)),
    "a steep head with a dead key": (
        [ACROSS, UP, ACROSS, head([[1e8, 2e8], [3e8, -1e8]], [0, -2e9])],
        square(0, 1e-6),
    ),
    "three keys that meet far off": (
        [head([[1, 0], [0, 1], [-1, -1]], [0, 0, 3e6]), ACROSS],
        square(1e6, 1e-3),
    ),
    "a diagonal at 1e6": ([head([[1, 0], [0, 1]])], square(1e6, 1e-3)),
    "a diagonal at 1e9": ([head([[1, 0], [0, 1]])], square(1e9, 1)),
    "a wall at 1e9": ([head([[1, 0], [0, 3]], [0, -2e9 + 0.5])], square(1e9, 1)),
    "a diagonal at 1e3": ([head([[1, 0], [0, 1]])], square(1e3, 1e-3)),
    "a corner that two walls pass": (
        [head([[1, 0], [0, 1], [-1, -1]], [0, 0, 3e6]), ACROSS, UP],
        square(-1e6, 1e-5),
    ),
    "three walls in a point of a thin window": (
        [
            head([[-1, -1], [-2, -1], [1, 1], [2, 0]], [0, 2, 1, 1]),
            head([[0, 1], [-1, -2], [2, 2], [0, -1], [-1, 1]], [0, 2, 2, -1, -1]),
            head([[i, j] for i in (-1, 0, 1) for j in (-1, 0, 1)]),
        ],
        Box([-1e-6, -1e-9], [1e-6, 1e-9]),
    ),
    "a tiny triangle far off": (
        [head([[1, 0], [0, 1]]), head([[3, 1], [1, 3]], [0, 1e-8])],
        Polytope([[-1, 0], [0, -1], [1, 1]], [-1e6, -1e6, 2e6 + 1e-6]),
    ),
    "a tiny square and far walls": (
        [head([[1, 0], [0, 1]])],
        Polytope(
            [[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [0, 0]],
            [1e6 + 1e-6, -1e6, 1e6 + 1e-6, -1e6, 1e12, 1],
        ),
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_any_window_is_drawn(name, monkeypatch):
    heads, window = NAMED[name]
    graph, overlay = both_roads(heads, window, monkeypatch)
    assert_drawn(overlay, heads, window)
    if graph is not None:
        assert_drawn(graph, heads, window)


def test_relative_scores_in_a_far_window_let_the_graph_decide(monkeypatch):
    for name in ("one very high key", "a wall at 1e9"):
        assert both_roads(*NAMED[name], monkeypatch)[0] is not None, name


def random_window(rng):
    centre = rng.choice([0, 0, 1, 1e3, 1e6]) * rng.standard_normal(2)
    half = 10.0 ** rng.choice([-6, -3, 0, 2, 5])
    kind = rng.integers(3)
    if kind == 0:
        return Box(centre - half, centre + half)
    if kind == 1:
        halves = np.array([half, 1e-3 * half])
        return Box(centre - halves, centre + halves)
    turn = 0.1 + np.arange(5) * 2 * np.pi / 5
    normals = np.column_stack([np.cos(turn), np.sin(turn)])
    return Polytope(normals, normals @ centre + half)


def random_heads(rng, centre):
    """Heads of which most have walls through, or near to, a point."""
    heads = []
    for _ in range(rng.integers(1, 5)):
        n = int(rng.integers(1, 6))
        slopes, heights = rng.standard_normal((n, 2)), np.zeros(n)
        if rng.random() < 0.3:
            slopes = np.unique(rng.integers(-2, 3, (n, 2)).astype(float), axis=0)
            heights = np.zeros(len(slopes))
        size = 10.0 ** rng.integers(-8, 9)
        if rng.random() < 0.8:
            heights = -slopes @ np.round(centre)
        heads.append(TropicalPolynomial(size * slopes, size * heights + 10.0 ** rng.integers(9)))
    return heads


def check_random_windows(seeds, monkeypatch):
    roads = 0
    for seed in seeds:
        rng = np.random.default_rng([11, seed])
        window = random_window(rng)
        middle = np.mean([[float(v) for v in p] for p in window_corners(window)], axis=0)
        heads = random_heads(rng, middle)
        graph, overlay = both_roads(heads, window, monkeypatch)
        roads += graph is not None
        for cells in (overlay, graph):
            if cells is not None:
                assert_drawn(cells, heads, window)
    return roads


@pytest.mark.long
def test_random_windows_tiny_far_and_thin(monkeypatch):
    assert 20 <= check_random_windows(range(60), monkeypatch) <= 50


@pytest.mark.slow
def test_600_random_windows(monkeypatch):
    assert check_random_windows(range(60, 660), monkeypatch) > 200


@pytest.mark.parametrize(
    ("rows", "right"),
    [
        ([[1, 0]], [0]),
        ([[1, 0], [-1, 0], [0, 1]], [1, 1, 1]),
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], [0, -1e-9, 1, 1]),
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], [1e6, -1e6, 1, 1]),
    ],
)
def test_a_window_unbounded_or_empty_is_refused(rows, right):
    with pytest.raises(InvalidInput, match="needed"):
        plane_cells([ACROSS], Polytope(rows, right))


def test_sides_thinner_than_doubles_have_neighbours():
    """Walls x = 0, x = 2^-70 and y = 0: a strip of two cells between two columns of two."""
    close = TropicalPolynomial([[0, 0], [1, 0]], [0, -(2.0**-70)])
    x, y = TropicalPolynomial([[0, 0], [1, 0]]), TropicalPolynomial([[0, 0], [0, 1]])
    cells = plane_cells([close, x, y], Box([-1, -1], [1, 1]))
    edges = {tuple(sorted(e)) for e in cells.adjacency().edges}
    assert edges == {(0, 1), (2, 3), (4, 5), (0, 2), (2, 4), (1, 3), (3, 5)}
    # The four corner cells have two outer sides each, the two of the strip one each.
    assert (cells.neighbours == -1).sum() == 10
    assert np.diff(cells.offsets).tolist() == [4] * 6


def test_areas_tile_the_window_and_the_count_is_eulers():
    rng = np.random.default_rng(1)
    heads = []
    for _ in range(24):
        sites = rng.uniform(-1.7, 1.7, (30, 2))
        heads.append(TropicalPolynomial(sites, -(sites**2).sum(axis=1) / 2))
    window = Box([-1, -1], [1, 1])
    cells = plane_cells(heads, window)
    assert len(cells) == count_regions(heads, window, engine="enumeration").value
    assert cells.areas.sum() == pytest.approx(4.0, rel=1e-12)
    assert cells.patterns.tolist() == enumerate_regions(heads, window).patterns.tolist()


@pytest.mark.long
def test_the_count_by_euler_in_rationals():
    for seed in range(12):
        heads, _ = layer("gauss", 3 * seed)
        heads, window = heads[:3], Box([-1, -1], [1, 1])
        units = [(f.slopes.tolist(), f.intercepts.tolist()) for f in heads]
        rows = list(zip(*(w.tolist() for w in window.walls), strict=True))
        assert len(plane_cells(heads, window)) == reference.count(units, rows)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(threads, monkeypatch):
    monkeypatch.setattr(plane_graph, "_PAIRS", 30)
    monkeypatch.setattr(plane_graph, "_CELLS", 7)
    heads, window = layer("strips", 3)
    one, many = (plane_cells(heads, window, threads=t) for t in (1, threads))
    assert graph_of(heads, window) is not None
    for name in ("patterns", "corners", "offsets", "neighbours"):
        assert (getattr(one, name) == getattr(many, name)).all()


def test_a_wide_window_keeps_the_graph():
    heads, _ = layer("strips", 3)
    for reach in (30, 1e3, 1e4):
        window = Box([-reach, -reach / 2], [reach, reach])
        assert graph_of(heads, window) is not None


def test_a_cell_thinner_than_doubles_is_listed_and_has_no_area():
    x, y = TropicalPolynomial([[0, 0], [1, 0]]), TropicalPolynomial([[0, 0], [0, 1]])
    close = TropicalPolynomial([[0, 0], [1, 0]], [0, -(2.0**-70)])
    cells = plane_cells([close, x, y], Box([-1, -1], [1, 1]))
    assert len(cells) == 6
    assert cells.areas == pytest.approx([1, 1, 0, 0, 1, 1])


def test_a_graph_with_one_wrong_crossing_is_not_used(monkeypatch):
    heads, window = layer("strips", 12)
    refinement = module.Refinement.of(heads, window)
    walls = plane_graph._walls(refinement, 1)
    tally = plane_graph.EulerTally(np.diff(walls.heads.starts).tolist(), sphere=False)
    codes, shares, counts = plane_graph._crossings(walls, tally, Budget(10**6, 1))
    total = tally.cells
    assert plane_graph._faces(refinement, walls, (codes, shares, counts), total, 1) is not None
    arcs = np.repeat(np.arange(len(counts)), counts)
    wrong = []
    for x in range(len(codes)):
        flipped, other = codes.copy(), codes.copy()
        flipped[x] ^= 1
        other[x] = (codes[x] + 2) % (2 * walls.inner)
        wrong += [flipped, other]
        if x + 1 < len(codes) and arcs[x] == arcs[x + 1]:
            swapped = codes.copy()
            swapped[[x, x + 1]] = codes[[x + 1, x]]
            wrong.append(swapped)
    assert len(wrong) > 100
    for changed in wrong:
        found = plane_graph._faces(refinement, walls, (changed, shares, counts), total, 1)
        assert found is None


def test_limits_and_interrupts_leave_a_lower_bound(monkeypatch):
    heads, window = layer("strips", 3)
    total = len(plane_cells(heads, window))
    with pytest.raises(BudgetExceeded) as over:
        plane_cells(heads, window, max_cells=total - 1)
    assert total - 1 < over.value.lower <= total
    assert len(plane_cells(heads, window, max_cells=total)) == total
    seen = []

    def report(found, left):
        seen.append(found)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as stopped:
        plane_cells(heads, window, threads=1, report=report)
    assert 1 <= seen[0] <= seen[1] <= stopped.value.lower <= total

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(plane_graph.half_edges, "trace", interrupt)
    with pytest.raises(Interrupted) as stopped:
        plane_cells(heads, window)
    assert stopped.value.lower == total

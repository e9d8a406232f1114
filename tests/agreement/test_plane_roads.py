"""Two roads to the polygons of a plane, and both against rational polygons from the definition."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tests.reference import brute
from tests.reference import plane as reference
from tropattn import (
    Box,
    BudgetExceeded,
    Interrupted,
    Polytope,
    Slice,
    TropicalPolynomial,
    count_regions,
    enumerate_regions,
    plane_cells,
)
from tropattn.regions import plane_cells as module
from tropattn.regions import plane_graph

HEXAGON = Polytope(
    [[1, 0.125], [0.5, 1], [-0.75, 1], [-1, -0.25], [-0.25, -1], [0.875, -1]], [1, 1.25, 1, 1, 1, 1]
)
WINDOWS = [Box([-1, -1], [1, 1]), Box([-3, 0.5], [2, 4]), HEXAGON]
KINDS = ("gauss", "strips", "grid", "slice", "single keys", "duplicates", "far")


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


@pytest.mark.parametrize("kind", KINDS)
def test_roads_agree(kind, monkeypatch):
    proved = sum(check(kind, seed, monkeypatch) for seed in range(36))
    assert proved >= (3 if kind == "grid" else 33)
    assert kind != "grid" or proved <= 30


@pytest.mark.slow
def test_roads_agree_on_1400_layers(monkeypatch):
    proved = sum(check(kind, seed, monkeypatch) for kind in KINDS for seed in range(36, 236))
    assert proved >= 1150


def clipped(corners, row, right):
    """The part of a rational polygon with ``row . x <= right``."""
    values = [right - row[0] * x - row[1] * y for x, y in corners]
    kept = []
    for i, corner in enumerate(corners):
        j = (i + 1) % len(corners)
        if values[i] >= 0:
            kept.append(corner)
        if values[i] * values[j] < 0:
            t = values[i] / (values[i] - values[j])
            kept.append(tuple(a + t * (b - a) for a, b in zip(corner, corners[j], strict=True)))
    return kept


def area(corners):
    """Twice the area of a rational polygon, by the shoelace formula."""
    total = Fraction(0)
    for i, (x, y) in enumerate(corners):
        total += x * corners[i - 1][1] - corners[i - 1][0] * y
    return abs(total)


def rational_cells(heads, corners):
    """Cells with interior by clipping in rationals: pattern -> polygon."""
    cells = {(): corners}
    for head in heads:
        slopes = [[brute.exact(v) for v in row] for row in head.slopes.tolist()]
        heights = [brute.exact(v) for v in head.intercepts.tolist()]
        finer = {}
        for pattern, polygon in cells.items():
            for i in range(len(slopes)):
                part = polygon
                for k in range(len(slopes)):
                    row = [slopes[k][c] - slopes[i][c] for c in (0, 1)]
                    part = clipped(part, row, heights[i] - heights[k]) if part else part
                if area(part) > 0:
                    finer[*pattern, i] = part
        cells = finer
    return cells


def share_a_side(first, second):
    """Whether two convex rational polygons with disjoint interiors meet in more than a point."""
    for i, a in enumerate(first):
        b = first[i - 1]
        for j, c in enumerate(second):
            d = second[j - 1]
            u = (b[0] - a[0], b[1] - a[1])
            if any(u[0] * (p[1] - a[1]) != u[1] * (p[0] - a[0]) for p in (c, d)):
                continue
            along = sorted((p[0] - a[0]) * u[0] + (p[1] - a[1]) * u[1] for p in (c, d))
            if max(along[0], 0) < min(along[1], u[0] ** 2 + u[1] ** 2):
                return True
    return False


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
        edges = {
            (i, j)
            for j in range(len(patterns))
            for i in range(j)
            if share_a_side(expected[patterns[i]], expected[patterns[j]])
        }
        proved += graph is not None
        for cells in (overlay, graph):
            if cells is None:
                continue
            assert cells.patterns.tolist() == [list(p) for p in patterns]
            assert cells.areas == pytest.approx([float(area(expected[p])) / 2 for p in patterns])
            assert {tuple(sorted(e)) for e in cells.adjacency().edges} == edges
    assert proved >= 22 if not integers else 3 <= proved <= 22


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
    assert plane_graph.graph_cells(module.Refinement.of(heads, window), 10**6, 1, None) is not None
    for name in ("patterns", "corners", "offsets", "neighbours"):
        assert (getattr(one, name) == getattr(many, name)).all()


def test_a_wide_window_keeps_the_graph():
    heads, _ = layer("strips", 3)
    for reach in (30, 1e3, 1e4):
        window = Box([-reach, -reach / 2], [reach, reach])
        assert (
            plane_graph.graph_cells(module.Refinement.of(heads, window), 10**6, 1, None) is not None
        )


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
    lower = [1 + len(walls.keys) - len(heads)]
    codes, shares, counts = plane_graph._crossings(walls, lower, 10**6, 1, None)
    assert plane_graph._faces(refinement, walls, (codes, shares, counts), lower[0], 1) is not None
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
        found = plane_graph._faces(refinement, walls, (changed, shares, counts), lower[0], 1)
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

    monkeypatch.setattr(plane_graph.faces, "trace", interrupt)
    with pytest.raises(Interrupted) as stopped:
        plane_cells(heads, window)
    assert stopped.value.lower == total

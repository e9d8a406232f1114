"""Areas and neighbours of cells whose keys doubles hardly tell apart, against rational polygons."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tests.reference import polygons
from tests.reference.brute import exact
from tropattn import (
    Box,
    EngineError,
    Interrupted,
    Polytope,
    PowerDiagram,
    TropicalPolynomial,
    plane_cells,
)
from tropattn.regions.polygons import cells as module
from tropattn.regions.polygons import exact as plane_exact
from tropattn.tropical.terms import AffineMap

EPSILONS = (1e-10, 1e-12, 1e-13, 1e-14, 3e-15, 1e-15, 2.0**-52, 2.0**-53)
KINDS = ("close", "doubled", "concurrent", "strips", "fractions", "factored", "shared")


@pytest.fixture(autouse=True)
def _however_few_keys(monkeypatch):
    """Heads of few keys take the graph as well, which are drawn exactly otherwise."""
    monkeypatch.setattr(module, "FEW_KEYS", 0)


def unit_of(head, weights=None):
    """Slopes and heights of a head as the reference takes them; factors are multiplied out here."""
    if weights is None:
        return head.slopes.tolist(), head.intercepts.tolist()
    keys, matrix, offset = ([[exact(v) for v in row] for row in part] for part in weights)
    slopes = [[sum(a * b for a, b in zip(row, key, strict=True)) for row in matrix] for key in keys]
    return slopes, [sum(a * b for a, b in zip(offset[0], key, strict=True)) for key in keys]


def head_and_unit(kind, point, reach, rng):
    """A head with walls through, or near to, a point of the window, and its exact rows."""
    n = int(rng.integers(2, 5))
    slopes, heights = rng.standard_normal((n, 2)), np.zeros(n)
    epsilon = float(rng.choice(EPSILONS))
    near = point + reach * rng.uniform(-0.5, 0.5, 2)
    if kind == "close":
        # A key less than doubles resolve beside another one, their wall through the window.
        step = epsilon * rng.standard_normal(2)
        slopes = np.vstack([slopes, slopes[0] + step])
        heights = reach * rng.standard_normal(n)
        heights = np.append(heights, heights[0] - step @ near)
    elif kind == "doubled":
        slopes = np.array([v / np.linalg.norm(v) for v in (*slopes, 3 * slopes[0], -7 * slopes[1])])
        heights = -slopes @ np.round(point) if rng.random() < 0.5 else np.zeros(n + 2)
    elif kind == "concurrent":
        heights = -slopes @ point
    elif kind == "strips":
        # Parallel walls at tiny distances.
        slopes = np.outer(np.arange(3), np.round(rng.standard_normal(2), 1) + np.array([0.05, 0]))
        heights = -slopes @ point - epsilon * reach * np.array([0, 0, 1])
    elif kind == "fractions":
        step = Fraction(1, int(10 ** rng.choice([17, 20, 30])))
        base = [Fraction(int(a), int(b)) for a, b in rng.integers(1, 9, (4, 2))]
        rows = [[base[0], base[1]], [base[0] + step, base[1]], [-base[2], base[3]]]
        cut = -step * Fraction(float(near[0]))
        slopes = np.array(rows, dtype=object)
        heights = np.array([Fraction(0), cut, Fraction(-int(rng.integers(0, 9)))], dtype=object)
    elif kind == "factored":
        matrix, offset = rng.standard_normal((2, 3)), rng.standard_normal(3)
        keys = rng.standard_normal((n, 3))
        keys[1] = keys[0] + epsilon * rng.standard_normal(3)
        head = TropicalPolynomial.factored(keys, maps=(AffineMap(matrix, offset),))
        return head, unit_of(head, (keys, matrix, [offset]))
    else:
        # Small integers, so that walls of several heads overlap and meet.
        slopes = np.unique(rng.integers(-2, 3, (n + 2, 2)).astype(float), axis=0)
        heights = -slopes @ np.round(point)
    head = TropicalPolynomial(slopes, heights)
    return head, unit_of(head)


def hard_layer(seed):
    """Heads, their exact rows and a window, a function of the seed."""
    rng = np.random.default_rng([19, seed])
    centre = rng.choice([0, 0, 1, 1e3, 1e6]) * rng.standard_normal(2)
    reach = 10.0 ** rng.choice([-6, -3, 0, 0, 0, 2])
    shape = rng.integers(4)
    if shape < 2:
        thin = np.array([reach, reach * (1, 1e-3)[shape]])
        window = Box(centre - thin, centre + thin)
    elif shape == 2:
        turn = rng.uniform() + np.arange(5) * 2 * np.pi / 5
        normals = np.column_stack([np.cos(turn), np.sin(turn)])
        window = Polytope(normals, normals @ centre + reach)
    else:
        # A sliver along a diagonal, whose offsets doubles can tell apart.
        reach = max(reach, 1e-8 * np.abs(centre).max())
        normals = np.array([[1.0, 1], [-1, -1], [1, -1], [-1, 1]])
        window = Polytope(normals, normals @ centre + reach * np.array([1e-4, 1e-4, 1, 1]))
    kinds = rng.choice(KINDS, rng.integers(1, 4))
    pairs = [head_and_unit(kind, centre, reach, rng) for kind in kinds]
    return [head for head, _ in pairs], [unit for _, unit in pairs], window


def assert_exact(cells, units, window, where=None):
    """Patterns, every area to 1e-9 of the window, their sum, and all neighbours, none missing."""
    rows = list(zip(*(side.tolist() for side in window.walls), strict=True))
    corners = polygons.window(rows)
    expected = polygons.cells(units, corners)
    patterns = sorted(expected)
    assert cells.patterns.tolist() == [list(p) for p in patterns], where
    whole = polygons.area(corners)
    shares = np.array([float(polygons.area(expected[p]) / whole) for p in patterns])
    found = cells.areas / float(whole / 2)
    assert np.abs(found - shares).max() <= 1e-9, where
    assert abs(found.sum() - 1) <= 1e-15 * (16 + len(cells.local)) / share_of_box(corners), where
    owners = np.repeat(np.arange(len(cells)), np.diff(cells.offsets))
    inner = cells.neighbours >= 0
    assert (cells.neighbours >= -1).all(), where
    named = list(zip(owners[inner].tolist(), cells.neighbours[inner].tolist(), strict=True))
    right = polygons.neighbours([expected[p] for p in patterns])
    assert sorted(named) == sorted(right | {(b, a) for a, b in right}), where


def share_of_box(corners):
    """What share of its bounding box a window fills; areas are summed in the box's coordinates."""
    (left, low), (right, high) = (
        tuple(f(c) for c in zip(*corners, strict=True)) for f in (min, max)
    )
    return float(polygons.area(corners) / 2 / ((right - left) * (high - low)))


def check(seeds):
    for seed in seeds:
        heads, units, window = hard_layer(seed)
        assert_exact(plane_cells(heads, window), units, window, seed)


@pytest.mark.long
def test_hard_layers_are_measured_exactly():
    check(range(40))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(25))
def test_2500_hard_layers_are_measured_exactly(block):
    check(range(40 + 100 * block, 140 + 100 * block))


def test_two_keys_equal_in_doubles_share_a_wall_through_the_window():
    """Keys 1 and 2 differ by 2^-51 (y + 2): key 2 wins below y = -2, above the wall y = x - 1.

    Of the square of side 5 key 0 has the triangle of legs 4 below that wall, key 2 the strip
    -3 < y < -2 of width y + 4, 1.5 in all, and key 1 the rest. The rows differ by less than their
    differences from key 0 resolve.
    """
    tiny = 2.0**-51
    head = TropicalPolynomial([[0, 0], [-3, 3], [-3, 3 - tiny]], [0, 3 + 2 * tiny, 3])
    cells = plane_cells(head, Box([-3, -3], [2, 2]))
    assert cells.patterns.tolist() == [[0], [1], [2]]
    assert cells.areas == pytest.approx([8, 15.5, 1.5], rel=1e-12)
    assert {tuple(sorted(e)) for e in cells.adjacency().edges} == {(0, 1), (0, 2), (1, 2)}


def test_normalised_keys_doubled():
    """The keys x / |x| and 3 x / |3 x| differ by an ulp or not at all."""
    doubled = 0
    for seed in range(25):
        vectors = np.random.default_rng(seed).standard_normal((4, 2))
        rows = np.array([v / np.linalg.norm(v) for v in (*vectors, 3 * vectors[0], 7 * vectors[1])])
        head, window = TropicalPolynomial(rows), Box([-1, -1], [1, 1])
        doubled += len(head.distinct[0]) > 4
        assert_exact(plane_cells(head, window), [unit_of(head)], window, seed)
    assert doubled > 10


def test_sites_doubled_up_to_an_ulp_tile_the_window():
    sites = np.random.default_rng(0).random((6, 2))
    sites = np.vstack([sites, np.nextafter(sites[:2], 2)])
    head, window = PowerDiagram(sites, np.zeros(8)).to_polynomial(), Box([0, 0], [1, 1])
    assert_exact(plane_cells(head, window), [unit_of(head)], window)


@pytest.mark.parametrize("width", [Fraction(1, 10**30), 1e-13, 1e-14, 1e-16])
def test_strips_thinner_than_doubles_touch_both_sides(width):
    """The walls x = 0 and x = w cut the square into three columns in a row."""
    heads = [
        TropicalPolynomial(np.array([[0, 0], [1, 0]], object), np.array([0, -exact(w)], object))
        for w in (0, width)
    ]
    cells = plane_cells(heads, Box([-1, -1], [1, 1]))
    assert cells.patterns.tolist() == [[0, 0], [1, 0], [1, 1]]
    assert sorted(cells.adjacency().edges) == [(0, 1), (1, 2)]
    assert cells.areas == pytest.approx([2, 2 * float(width), 2 - 2 * float(width)], rel=1e-9)


def test_corners_that_a_proved_order_leaves_open_are_placed_exactly():
    """Here walls cross in a proved order, but rows rounded once place corners to 1e-5 only."""
    for seed in (9, 84, 283, 305, 322, 330, 364, 376):
        rng = np.random.default_rng([77, seed])
        keys, epsilon = rng.standard_normal((4, 2)), 10.0 ** -rng.integers(9, 14)
        step, point = epsilon * rng.standard_normal(2), rng.uniform(-0.5, 0.5, 2)
        keys, heights = np.vstack([keys, keys[0] + step]), rng.standard_normal(4)
        head = TropicalPolynomial(keys, np.append(heights, heights[0] - step @ point))
        window = Box([-1, -1], [1, 1])
        assert_exact(plane_cells(head, window), [unit_of(head)], window, seed)


def test_an_interrupt_while_cells_are_drawn_keeps_their_number(monkeypatch):
    """Both where all cells are exact (three walls in a point) and where corners of a graph are."""

    def stop(*_):
        raise KeyboardInterrupt

    through = [TropicalPolynomial([[0, 0], row]) for row in ([1, 0], [0, 1], [1, 1])]
    monkeypatch.setattr(plane_exact, "_rounded", stop)
    monkeypatch.setattr(module, "_NEAR", 0.0)
    for heads, count in ((through, 6), (through[:2], 4)):
        with pytest.raises(Interrupted) as stopped:
            plane_cells(heads, Box([-1, -1], [1, 1]))
        assert stopped.value.lower == count


def test_areas_that_do_not_add_up_are_no_answer(monkeypatch):
    monkeypatch.setattr(module, "_placed", lambda *graph: (0.9 * graph[2][:, :2], *graph[3:]))
    with pytest.raises(EngineError, match="areas that add up"):
        plane_cells([TropicalPolynomial([[0, 0], [1, 0]])], Box([-1, -1], [1, 1]))


def test_factored_heads_with_two_nearly_equal_keys():
    window = Box([-3, -3], [3, 3])
    for epsilon in (1e-10, 1e-13, 1e-15):
        for seed in range(6):
            rng = np.random.default_rng(seed)
            matrix, keys = rng.normal(size=(2, 3)), rng.normal(size=(4, 3))
            keys[1] = keys[0] + epsilon * rng.normal(size=3)
            offset = rng.normal(size=3)
            head = TropicalPolynomial.factored(keys, maps=(AffineMap(matrix, offset),))
            unit = unit_of(head, (keys, matrix, [offset]))
            assert_exact(plane_cells(head, window), [unit], window, (epsilon, seed))


def test_areas_beyond_the_doubles_are_infinite():
    head = TropicalPolynomial([[0, 0], [1, 0]])
    assert plane_cells(head, Box([-1e160] * 2, [1e160] * 2)).areas.tolist() == [np.inf, np.inf]

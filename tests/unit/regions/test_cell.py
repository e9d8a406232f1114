from fractions import Fraction

import numpy as np
import pytest
from reference import cells as brute

import tropattn as ta
from tropattn.errors import InvalidInput


def _heads(rng, dim, heads=2, keys=4, size=3):
    return [
        ta.TropicalPolynomial(rng.integers(-size, size + 1, (keys, dim)), rng.integers(-2, 3, keys))
        for _ in range(heads)
    ]


def _rows(heads, pattern, box):
    """The inequalities of a cell from the definition."""
    a, b = [], []
    for f, j in zip(heads, pattern, strict=True):
        slopes, heights = f.slopes.astype(int).tolist(), f.intercepts.astype(int).tolist()
        for slope, height in zip(slopes, heights, strict=True):
            a.append([p - q for p, q in zip(slope, slopes[j], strict=True)])
            b.append(heights[j] - height)
    for k, (low, high) in enumerate(zip(box.low.tolist(), box.high.tolist(), strict=True)):
        unit = [int(i == k) for i in range(len(box.low))]
        a += [unit, [-v for v in unit]]
        b += [high, -low]
    return a, b


@pytest.mark.long
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_cells_of_a_box_against_the_definition(dim):
    rng = np.random.default_rng(dim)
    for _ in range(6 if dim < 3 else 2):
        heads, box = _heads(rng, dim), ta.Box([-2] * dim, [2] * dim)
        found = ta.enumerate_regions(heads, box)
        total = Fraction(0)
        for i, pattern in enumerate(found.patterns.tolist()):
            cell = found.cell(i)
            corners, _ = brute.extreme(*_rows(heads, pattern, box))
            assert {tuple(row) for row in cell.corners.tolist()} == corners
            assert cell.bounded and cell.own_dim == dim and cell.witnessed()
            total += cell.volume()
        assert total == 4**dim


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))]


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_cells_of_degenerate_layers_add_up_to_the_box(seed):
    """Keys from -1 to 1: ties of many keys, equal ones, walls of several heads in one plane."""
    rng = np.random.default_rng([11, seed])
    for _ in range(100):
        dim = int(rng.integers(1, 4))
        found = ta.enumerate_regions(_heads(rng, dim, size=1), ta.Box([-1] * dim, [2] * dim))
        cells = [found.cell(i) for i in range(len(found))]
        assert sum(cell.volume() for cell in cells) == 3**dim
        assert all(cell.witnessed() for cell in cells)


def test_doubles_add_up_to_the_box_exactly():
    rng = np.random.default_rng(7)
    heads = [ta.TropicalPolynomial(rng.normal(size=(5, 3)), rng.normal(size=5)) for _ in range(2)]
    box = ta.Box([-1, -1, -1], [1, 2, 1])
    found = ta.enumerate_regions(heads, box)
    assert sum(found.cell(i).volume() for i in range(len(found))) == 12


def test_the_key_behind_a_facet_wins_beyond_it():
    rng = np.random.default_rng(8)
    heads = [ta.TropicalPolynomial(rng.normal(size=(6, 3)), rng.normal(size=6)) for _ in range(2)]
    found = ta.enumerate_regions(heads, ta.Box([-1] * 3, [1] * 3))
    number = {tuple(row): i for i, row in enumerate(found.patterns.tolist())}
    seen = 0
    for i, pattern in enumerate(found.patterns.tolist()):
        cell = found.cell(i)
        for row in cell.facets:
            if cell.behind[row] is None:
                continue
            unit, key = cell.behind[row]
            other = [*pattern]
            other[unit] = key
            facet = number[tuple(other)]
            back = found.cell(facet)
            assert (unit, pattern[unit]) in [back.behind[r] for r in back.facets]
            seen += 1
    assert seen > 20


def test_networks_on_slices():
    rng = np.random.default_rng(9)
    first = ta.FixedLayer(
        [ta.TropicalPolynomial(rng.normal(size=(4, 3)))], [rng.normal(size=(4, 3))]
    )
    net = ta.Network(
        [first, ta.FeedForward(rng.normal(size=(3, 4)), None, rng.normal(size=(4, 3)))]
    )
    plane = ta.Slice([0.25, 0, 0], [[1, 0, 0], [0, 1, 1]], ([-1, -1], [1, 1]))
    found = ta.enumerate_regions(net, plane)
    cells = [found.cell(i) for i in range(len(found))]
    assert sum(cell.volume() for cell in cells) == 4
    for cell, piece in zip(cells, found.pieces, strict=True):
        assert {cell.rows[i] for i in cell.facets} <= set(piece.walls)
    assert {v[0] for cell in cells for v in cell.behind if v is not None} == set(range(5))


def test_central_heads_have_cones_with_lines():
    head = ta.TropicalPolynomial([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    found = ta.enumerate_regions(head)
    cell = found.cell(0)
    assert cell.lineality.tolist() == [[0, 0, 1]] and len(cell.rays) == 2 and not cell.bounded
    assert cell.f_vector() == (0, 1, 2)
    with pytest.raises(InvalidInput, match=r"index in 0\.\.2"):
        found.cell(3)
    assert found.cell(-1) == found.cell(2)


def test_the_cell_of_a_site_is_exact():
    third = Fraction(1, 3)
    rng = np.random.default_rng(10)
    sites = rng.normal(size=(40, 2))
    diagram = ta.PowerDiagram(sites)
    graph = diagram.adjacency()
    for j in range(40):
        cell = diagram.cell(j)
        assert sorted(cell.behind[i] for i in cell.facets) == sorted(graph[j])
        exact = diagram.exact_vertices()[list(diagram.cells[j])]
        assert {tuple(v) for v in cell.corners.tolist()} == {tuple(v) for v in exact.tolist()}
    cell = ta.PowerDiagram([[third, 0], [1, 0]]).cell(0)
    assert cell.corners.shape == (1, 2) and cell.corners[0, 0] == Fraction(2, 3)

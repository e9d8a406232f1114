"""Line, plane and subsets engines against enumeration, T10 in rationals, and the definition."""

from __future__ import annotations

import numpy as np
import pytest

from tests.reference import brute
from tests.reference import plane as reference_plane
from tropattn import (
    Box,
    Degenerate,
    InvalidInput,
    Line,
    Polytope,
    Slice,
    TropicalPolynomial,
    constructions,
    count_regions,
    enumerate_regions,
    initialisers,
    line_cells,
    plane_cells,
    sample_regions,
    upper_bound,
)
from tropattn.regions.euler import arcs

CASES = 120


def numbers(rng, degenerate, *shape):
    """Small integers with many ties, or Gaussian doubles."""
    if degenerate:
        return rng.integers(-2, 3, shape).astype(float)
    return rng.standard_normal(shape)


def case(seed):
    """Heads and a domain on which line, plane or subsets apply, generic or degenerate."""
    rng = np.random.default_rng([11, seed])
    columns = 2 + seed % 3
    central = (seed // 3) % 2 == 1 and columns > 2
    degenerate = (seed // 6) % 2 == 1
    dim = columns if central else columns - 1
    heads = []
    for size in rng.integers(1, 6, rng.integers(1, 6 if columns < 4 else 5)):
        slopes = numbers(rng, degenerate, size, dim)
        if degenerate and size > 2 and rng.random() < 0.3:
            slopes[1] = slopes[0]
        heights = np.zeros(size) if central else numbers(rng, degenerate, size)
        heads.append(TropicalPolynomial(slopes, heights))
    domain = None
    if rng.random() < 0.6:
        domain = Box([-1.0] * dim, [1.0] * dim)
        if rng.random() < 0.4:
            domain = Polytope(numbers(rng, degenerate, dim + 2, dim), np.ones(dim + 2))
    return heads, domain


def as_units(heads):
    return [(f.slopes.tolist(), f.intercepts.tolist()) for f in heads]


def as_rows(domain):
    return [] if domain is None else list(zip(*(w.tolist() for w in domain.walls), strict=True))


def check(seed):
    heads, domain = case(seed)
    counted = count_regions(heads, domain)
    assert counted.value == count_regions(heads, domain, engine="enumeration").value, seed
    assert counted.value <= upper_bound(heads, domain).value
    return counted, heads, domain


def test_engines_agree_and_every_engine_is_used():
    used = {}
    for seed in range(CASES):
        counted, heads, domain = check(seed)
        used[counted.engine] = used.get(counted.engine, 0) + 1
        if seed % 4 == 0 and np.prod([f.n_terms for f in heads]) <= 200:
            assert counted.value == brute.count(as_units(heads), as_rows(domain)), seed
        if domain is not None and heads[0].dim == 2 and isinstance(domain, Box):
            assert sample_regions(heads, 200, seed=1, domain=domain).value <= counted.value
    assert all(used.get(name, 0) >= 10 for name in ("line", "plane", "subsets", "enumeration"))


@pytest.mark.slow
def test_engines_agree_on_2400_cases():
    for seed in range(CASES, CASES + 2400):
        check(seed)


@pytest.mark.parametrize("degenerate", [False, True])
def test_plane_by_euler_with_multiplicities(degenerate):
    rng = np.random.default_rng(5)
    decided = 0
    for _ in range(60):
        heads = [
            TropicalPolynomial(numbers(rng, degenerate, n, 2), numbers(rng, degenerate, n))
            for n in rng.integers(2, 5, rng.integers(2, 5))
        ]
        domain = Box([-1, -1], [1, 1]) if rng.random() < 0.5 else None
        expected = reference_plane.count(as_units(heads), as_rows(domain))
        decided += expected is not None
        if expected is not None:
            assert count_regions(heads, domain, engine="enumeration").value == expected
            assert count_regions(heads, domain).value == expected
    assert decided >= 20


def named_cases():
    """Degenerate planes with the answer worked out by hand."""
    x = TropicalPolynomial([[0, 0], [1, 0]])
    y = TropicalPolynomial([[0, 0], [0, 1]])
    diagonal = TropicalPolynomial([[0, 0], [1, 1]])
    tripod = TropicalPolynomial([[0, 0], [1, 0], [0, 1]], [0, 0, 0])
    shifted = TropicalPolynomial([[0, 0], [1, 0]], [0, -1])
    off = TropicalPolynomial([[0, 0], [1, -1]], [0, 1])
    return [
        ("three concurrent walls", [x, y, diagonal, shifted], 9),
        ("a wall through a vertex of another head", [tripod, diagonal, shifted], 8),
        ("overlapping walls", [x, x, y, off], 7),
        ("parallel walls", [x, shifted, y], 6),
        ("overlap along a ray", [tripod, x, shifted], 6),
    ]


@pytest.mark.parametrize("name, heads, expected", named_cases())
def test_degenerate_planes_by_name(name, heads, expected):
    assert brute.count(as_units(heads)) == expected, name
    assert count_regions(heads).value == expected
    assert count_regions(heads, engine="plane").value == expected
    by_points = reference_plane.count(as_units(heads))
    assert by_points in (expected, None)
    assert (by_points is None) == ("overlap" in name)


def test_subsets_refuses_what_it_cannot_prove():
    heads = named_cases()[0][1]
    with pytest.raises(Degenerate, match="general position"):
        count_regions(heads, engine="subsets")
    strips = constructions.parabola_strips([3, 3, 3, 3], 3)
    with pytest.raises(InvalidInput, match="plane"):
        count_regions(strips, engine="plane")
    with pytest.raises(InvalidInput, match="line"):
        count_regions(strips, engine="line")
    with pytest.raises(InvalidInput, match="subsets"):
        count_regions(constructions.parabola_strips([2] * 5, 5), engine="subsets")


def test_an_engine_that_multiplied_or_took_the_bound_would_fail():
    rng = np.random.default_rng(2)
    heads = [TropicalPolynomial(rng.standard_normal((12, 3))) for _ in range(6)]
    counted = count_regions(heads, engine="plane").value
    assert counted == count_regions(heads, engine="enumeration").value
    assert counted < upper_bound(heads).value < 12**6


def test_whole_spheres_and_half_spaces():
    one = TropicalPolynomial([[0, 0, 0], [1, 2, 3]])
    two = TropicalPolynomial([[0, 0, 0], [0, 1, 2]])
    three = TropicalPolynomial([[0, 0, 0], [1.5, 1, 1]])
    for heads, expected in (([one, two, three], 8), ([one, two, three, one], 8)):
        assert count_regions(heads).value == expected
    half = Polytope([[1.0, 0.25, 0.125]], [0.0])
    assert count_regions([one, two, three], half).value == (
        count_regions([one, two, three], half, engine="enumeration").value
    )


@pytest.mark.parametrize("n_heads, n_keys, expected", [(3, 60, 404), (20, 30, 61365)])
def test_generic_heads_in_space_stay_with_the_subsets_engine(n_heads, n_keys, expected):
    heads = initialisers.gaussian_heads(n_keys, n_heads, 3, seed=1)
    counted = count_regions(heads)
    assert counted.engine == "subsets"
    assert counted.value == expected == count_regions(heads, engine="enumeration").value


@pytest.mark.parametrize("dim, n_heads, expected", [(3, 3, 8), (3, 5, 26), (4, 4, 16), (4, 6, 52)])
def test_walls_that_meet_in_lines_and_circles(dim, n_heads, expected):
    # Planes of R^3 and great spheres of S^3 in general position: sums of binomials.
    rng = np.random.default_rng([6, dim])
    heights = rng.standard_normal((n_heads, 2)) * (dim == 3)
    heads = [TropicalPolynomial(rng.standard_normal((2, dim)), c) for c in heights]
    assert count_regions(heads, engine="subsets").value == expected


def test_points_are_kept_for_a_few_heads_at_a_time(monkeypatch):
    rng = np.random.default_rng(3)
    heads = [TropicalPolynomial(rng.standard_normal((9, 4))) for _ in range(5)]
    monkeypatch.setattr(arcs, "_WALKS", 1)
    monkeypatch.setattr(arcs, "_ARCS", 1)
    assert count_regions(heads, engine="subsets").value == 728


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads_do_not_change_the_result(threads):
    rng = np.random.default_rng(3)
    heads = [TropicalPolynomial(rng.standard_normal((9, 4))) for _ in range(5)]
    plane = [TropicalPolynomial(rng.standard_normal((9, 2)), rng.standard_normal(9))]
    plane += [TropicalPolynomial(rng.standard_normal((9, 2)), rng.standard_normal(9))]
    expected = count_regions(heads, engine="enumeration").value
    assert count_regions(heads, threads=threads).value == expected == 728
    assert count_regions(plane, threads=threads).engine == "plane"


def test_slopes_that_vanish_modulo_the_prime_still_split():
    prime = 2**31 - 1
    heads = [
        TropicalPolynomial([[0, 0, 0], [prime, 0, 0]]),
        TropicalPolynomial([[0, 0, 0], [0, 1, 0]]),
        TropicalPolynomial([[0, 0, 0], [0, 0, 1]]),
    ]
    assert count_regions(heads).value == 8


def test_line_cells_of_a_slice_through_a_layer():
    rng = np.random.default_rng(9)
    heads = [TropicalPolynomial(rng.standard_normal((40, 6))) for _ in range(5)]
    line = Line(rng.standard_normal(6), rng.standard_normal(6), -3, 3)
    cells = line_cells(heads, line)
    assert len(cells) == count_regions(heads, line, engine="enumeration").value
    assert count_regions(heads, line).engine == "line"
    assert cells.lengths.sum() == pytest.approx(6.0)
    points = line.to_ambient(cells.midpoints[:, None])
    for h, head in enumerate(heads):
        assert (head.argmax(points) == cells.patterns[:, h]).all()


def test_line_with_ties_duplicates_and_ends_on_breakpoints():
    tent = TropicalPolynomial([[-1], [0], [1], [1], [0]], [-1, 0, -1, -1, -5])
    step = TropicalPolynomial([[0], [2]], [0, -2])
    assert line_cells([tent, step]).breakpoints.tolist() == [-1.0, 1.0]
    assert line_cells([tent, step]).patterns.tolist() == [[0, 0], [1, 0], [2, 1]]
    inside = line_cells([tent, step], Box([-1], [1]))
    assert inside.patterns.tolist() == [[1, 0]]
    assert inside.lengths.tolist() == [2.0]
    close = TropicalPolynomial([[0], [1]], [0, -(2.0**-60)])
    zero = TropicalPolynomial([[0], [1]])
    assert len(line_cells([close, zero])) == 3
    with pytest.raises(InvalidInput, match="line"):
        line_cells([TropicalPolynomial([[0, 0], [1, 1]])])
    with pytest.raises(InvalidInput, match="interior"):
        line_cells([zero], Polytope([[1], [-1]], [0, 0]))


def test_a_plane_slice_through_points_of_a_large_model():
    rng = np.random.default_rng(4)
    heads = [TropicalPolynomial(rng.standard_normal((20, 32))) for _ in range(6)]
    plane = Slice.through(rng.standard_normal((3, 32)))
    counted = count_regions(heads, plane)
    assert counted.engine == "plane"
    assert counted.value == count_regions(heads, plane, engine="enumeration").value


def test_polygons_tile_the_window_and_touch_along_sides():
    rng = np.random.default_rng(6)
    heads = [
        TropicalPolynomial(rng.standard_normal((n, 2)), rng.standard_normal(n))
        for n in (4, 6, 5, 2)
    ]
    window = Box([-1, -2], [2, 1])
    cells = plane_cells(heads, window)
    assert cells.patterns.tolist() == enumerate_regions(heads, window).patterns.tolist()
    assert cells.areas.sum() == pytest.approx(9.0)
    assert (cells.areas > 0).all()
    graph = cells.adjacency()
    # Every inner side is seen from both of its cells: Euler's relation holds for the graph.
    sides = (cells.neighbours >= 0).sum()
    assert sides == 2 * graph.number_of_edges()
    for r in range(len(cells)):
        centre = cells.polygon(r).mean(axis=0)
        assert [f.argmax(centre) for f in heads] == cells.patterns[r].tolist()


def test_polygons_where_walls_overlap_and_meet():
    x = TropicalPolynomial([[0, 0], [1, 0]])
    y = TropicalPolynomial([[0, 0], [0, 1]])
    diagonal = TropicalPolynomial([[0, 0], [1, 1]])
    cells = plane_cells([x, x, y, diagonal], Box([-1, -1], [1, 1]))
    assert len(cells) == 6
    assert sorted(cells.areas.tolist()) == pytest.approx([0.5, 0.5, 0.5, 0.5, 1.0, 1.0])
    assert sorted(d for _, d in cells.adjacency().degree()) == [2] * 6
    with pytest.raises(InvalidInput, match="bounded"):
        plane_cells([x], Polytope([[1, 0]], [0]))

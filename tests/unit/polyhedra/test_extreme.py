"""Which rows win, and how far their cells are, against programs and least squares of scipy."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog, nnls

from tropattn import Box, TropicalPolynomial, live_terms
from tropattn._kernels import nnls as kernel
from tropattn._kernels.compiling import njit
from tropattn._kernels.programs import begin, held_by, join, make_programs
from tropattn.polyhedra.nearest import cell_distances


def instance(kind, n, dim, seed):
    """Points of which some lie inside the hull of the others."""
    rng = np.random.default_rng([n, dim, seed])
    points = rng.standard_normal((n, dim))
    if kind == "pulled":
        points[n // 2 :] *= 0.3
    if kind == "mixed":
        points[n // 2 :] = rng.dirichlet(np.ones(dim + 1), n - n // 2) @ points[: dim + 1]
    if kind == "one far":
        points[0] *= 1e7
    return points


def lives_by_programs(points, heights, low=None, high=None):
    """The largest margin by which a row can win, by scipy's linear programs, one a row."""
    n, dim = points.shape
    live = []
    for j in range(n):
        others = np.delete(np.arange(n), j)
        rows = np.column_stack([points[others] - points[j], np.ones(n - 1)])
        box = [(-1e6, 1e6)] * dim if low is None else list(zip(low, high, strict=True))
        found = linprog(
            [0.0] * dim + [-1.0],
            A_ub=rows,
            b_ub=heights[j] - heights[others],
            bounds=[*box, (None, 1.0)],
            method="highs",
        )
        if found.x[-1] > 1e-7:
            live.append(j)
    return live


@pytest.mark.long
@pytest.mark.parametrize("kind", ["gauss", "pulled", "mixed", "one far"])
@pytest.mark.parametrize("n, dim", [(60, 2), (120, 5), (200, 9)])
def test_live_rows_against_linear_programs(kind, n, dim):
    points = instance(kind, n, dim, 0)
    heights = np.zeros(n)
    found = live_terms(TropicalPolynomial(points))
    assert found.live.tolist() == lives_by_programs(points, heights)
    f = TropicalPolynomial(points)
    assert np.array_equal(f.argmax(found.witnesses), found.live)
    for j, (others, weights) in found.combinations.items():
        np.testing.assert_allclose(weights @ points[others], points[j], atol=1e-12)


def test_live_rows_of_a_window_against_linear_programs():
    rng = np.random.default_rng(1)
    points, heights = rng.standard_normal((120, 3)), rng.standard_normal(120)
    low, high = np.array([0.2, -1.0, 0.5]), np.array([0.7, 1.5, 0.9])
    found = live_terms(TropicalPolynomial(points, heights), Box(low, high))
    assert found.live.tolist() == lives_by_programs(points, heights, low, high)
    assert ((found.witnesses > low) & (found.witnesses < high)).all()


def test_a_window_away_from_the_centre_needs_no_rationals():
    """Rows and their refutations lie in a hyperplane then; doubles prove them there."""
    points = instance("pulled", 80, 3, 2)
    found = live_terms(TropicalPolynomial(points), Box([1.0, 1.0, 1.0], [2.0, 2.0, 2.0]))
    assert len(found.dead) > 40
    assert found.exact_decisions == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(threads):
    points = instance("pulled", 700, 6, 3)
    found = live_terms(TropicalPolynomial(points), threads=threads)
    again = live_terms(TropicalPolynomial(points), threads=3)
    assert np.array_equal(found.live, again.live)
    assert np.array_equal(found.witnesses, again.witnesses)
    assert all(
        np.array_equal(mine, yours)
        for j in found.combinations
        for mine, yours in zip(found.combinations[j], again.combinations[j], strict=True)
    )


def test_combinations_of_rational_terms():
    """Weights are those of the terms, whatever multiples of rows the exact programs use."""
    odd = Fraction(1, 10**9 + 7)
    corners = [[odd, Fraction(0)], [Fraction(7, 3), 3 * odd], [Fraction(0), Fraction(5)]]
    parts = [(Fraction(1, 2), Fraction(1, 3)), (Fraction(0), Fraction(1, 4))]
    inner = [
        [a * p + b * q + (1 - a - b) * r for p, q, r in zip(*corners, strict=True)]
        for a, b in parts
    ]
    points = np.array([*corners, *inner], dtype=object)
    found = live_terms(TropicalPolynomial(points))
    assert found.live.tolist() == [0, 1, 2]
    assert found.exact_decisions >= 1
    for j, (others, weights) in found.combinations.items():
        assert weights.sum() == pytest.approx(1)
        np.testing.assert_allclose(
            weights @ points[others].astype(float), points[j].astype(float), rtol=1e-14
        )
    assert np.allclose(found.combinations[4][1], [1 / 4, 3 / 4])


def test_cells_thinner_than_doubles():
    """A point one rounding step outside the segment of two others wins, one on it does not."""
    step = 2.0**-52
    for off, live in ((1 + step, [0, 1, 2]), (1.0, [0, 1])):
        points = [[1.0, 0.0], [1.0, 1.0], [off, 0.5], [-1.0, 0.3]]
        found = live_terms(TropicalPolynomial(points))
        assert found.live.tolist() == [*live, 3]


def test_rows_of_very_different_sizes():
    rng = np.random.default_rng(4)
    points = rng.standard_normal((40, 2)) * 10.0 ** rng.uniform(-5, 5, (40, 1))
    hull = {j for x in on_circle(20_000) for j in [int((points @ x).argmax())]}
    found = live_terms(TropicalPolynomial(points))
    assert hull <= set(found.live.tolist())
    f = TropicalPolynomial(points)
    assert np.array_equal(f.argmax(found.witnesses), found.live)


def on_circle(count):
    angle = 2 * np.pi * np.arange(count) / count
    return np.column_stack([np.cos(angle), np.sin(angle)])


def distance_by_nnls(slopes, heights, j):
    """Least distance programming with scipy's solver on all constraints."""
    others = np.delete(np.arange(len(slopes)), j)
    rows, right = slopes[others] - slopes[j], heights[j] - heights[others]
    lengths = np.linalg.norm(rows, axis=1)
    matrix = np.vstack([-(rows / lengths[:, None]).T, -right / lengths])
    target = np.zeros(len(matrix))
    target[-1] = 1.0
    weights, length = nnls(matrix, target, maxiter=10_000)
    if length < 1e-7:
        return np.inf
    residual = matrix @ weights - target
    return np.linalg.norm(residual[:-1] / residual[-1])


@pytest.mark.parametrize("n, dim, heights", [(5, 1, 1.0), (60, 3, 0.2), (300, 8, 2.0), (40, 30, 1)])
def test_distances_against_least_squares(n, dim, heights):
    rng = np.random.default_rng([n, dim])
    slopes, heights = rng.standard_normal((n, dim)), heights * rng.standard_normal(n)
    found = cell_distances(slopes, heights)
    wanted = [distance_by_nnls(slopes, heights, j) for j in range(n)]
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)
    assert (found == 0).sum() == 1
    some = rng.permutation(n)[:4]
    np.testing.assert_array_equal(cell_distances(slopes, heights, some, threads=1), found[some])


def test_distances_of_copies_and_covered_rows():
    slopes = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [3.0, 0.0]])
    found = cell_distances(slopes, [0.0, 0.0, -1.0, -3.0])
    # Two copies share a cell; a lower copy has none; the wall to the last is 3 x - y = 3.
    assert found.tolist() == pytest.approx([0.0, 0.0, np.inf, 3 / np.sqrt(10)])


@njit(cache=False)
def nearest(programs, terms, residual):
    """Room for rows, and how the first program ended once no row among the worst is new."""
    room = programs.label.shape[1]
    value, scratch = np.zeros(room), np.zeros((2, 5))
    for _ in range(300):
        worst = np.argsort(-(terms @ programs.direction[0]))[:6]
        worst = worst[worst != 0]
        fresh = join(programs, 0, terms, 0, worst, len(worst))
        programs.size[0], ending = kernel.improve(
            programs.system[0],
            programs.count[0],
            held_by(programs, 0),
            programs.size[0],
            0.0,
            residual,
            value,
            scratch,
        )
        programs.direction[0] = residual[:4]
        if fresh == 0:
            break
    return room, ending


@pytest.mark.long
def test_a_program_that_forgets_rows_still_ends():
    """Room for 12 rows only: what has no weight is dropped, the nearest point is the same."""
    rng = np.random.default_rng(5)
    points = rng.standard_normal((200, 4)) + 1.5
    terms = np.vstack([np.zeros(4), points])
    programs, residual = make_programs(12, 4, 5, 0, 1), np.zeros(5)
    begin(programs, 0, 0, np.ones(4))
    room, ending = nearest(programs, terms, residual)
    assert room == 12
    assert ending == kernel.SEPARATED
    directions = points / np.linalg.norm(points, axis=1, keepdims=True)
    held = directions.T, np.ones(200)
    _, length = nnls(np.vstack(held), np.array([0, 0, 0, 0, 1.0]), maxiter=10_000)
    assert np.linalg.norm(residual) == pytest.approx(length)

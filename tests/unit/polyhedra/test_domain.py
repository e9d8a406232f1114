from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tropattn import (
    Box,
    Degenerate,
    InvalidInput,
    Line,
    Polytope,
    Slice,
    TropicalPolynomial,
    count_regions,
)


def test_box_walls_and_infinite_sides():
    box = Box([0, -np.inf], [np.inf, 3])
    a, b = box.walls
    assert sorted(zip(a.tolist(), b.tolist(), strict=True)) == [
        ([-1.0, 0.0], 0.0),
        ([0.0, 1.0], 3.0),
    ]
    assert not box.bounded
    assert Box.cube(-1, 1, 3).describe() == "box (-1, 1)^3"


def test_exact_box_stays_exact():
    box = Box([Fraction(0)], [Fraction(1, 3)])
    f = TropicalPolynomial([[0], [3]], [0, -1])  # wall exactly at 1/3
    assert count_regions(f, box).value == 1
    assert count_regions(f, Box([Fraction(0)], [Fraction(1, 3) + Fraction(1, 10**40)])).value == 2


def test_slice_through_points_contains_them():
    points = np.random.default_rng(0).standard_normal((3, 6))
    plane = Slice.through(points)
    p = (points - plane.embedding[1]) @ plane.embedding[0].T
    assert np.allclose(plane.to_ambient(p), points)
    a, b = plane.walls
    assert (p @ a.T < b).all()


def test_empty_domain_found_exactly():
    f = TropicalPolynomial([[0.0], [1.0]])
    thin = Polytope([[1], [-1]], [1, -1])
    with pytest.raises(InvalidInput, match="non-empty interior needed"):
        count_regions(f, thin)
    with pytest.raises(InvalidInput, match="non-empty interior needed"):
        count_regions(f, Polytope([[0], [1]], [0, 1]))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Box([1], [1]), "low < high needed, got 1.0 and 1.0 in coordinate 0"),
        (lambda: Box([0, 0], [1]), "same length"),
        (lambda: Box([np.nan], [1]), "finite numbers"),
        (lambda: Polytope([[1, 2]], [1, 2]), r"shapes \(m, d\) and \(m,\)"),
        (lambda: Line([0, 0], [0, 0]), "non-zero vector"),
        (lambda: Line([0], [1], 2, 1), "low < high"),
        (lambda: Slice([0, 0, 0], [[1, 0, 0], [2, 0, 0]]), "2 independent rows needed, got rank 1"),
        (lambda: Slice([0, 0], [[1, 0, 0]]), r"shape \(k, 2\)"),
        (lambda: Slice([0, 0], [[1, 0]], ([0, 0], [1, 1])), r"Polytope in R\^1"),
        (lambda: Slice.through([[0, 0]]), "at least 2 points"),
    ],
)
def test_bad_domains(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()


def test_points_on_one_line_span_no_plane():
    with pytest.raises(Degenerate, match="on a flat of dimension 1"):
        Slice.through([[0, 0, 0], [1, 1, 1], [2, 2, 2]])


def test_domain_of_another_dimension():
    with pytest.raises(InvalidInput, match=r"a set in R\^1 needed, got box"):
        count_regions(TropicalPolynomial([[0.0], [1.0]]), Box.cube(0, 1, 2))


@pytest.mark.parametrize("window", ["x", [1, 2, 3], 5])
def test_slice_with_a_wrong_window(window):
    with pytest.raises(InvalidInput, match=r"window: a Box or Polytope in R\^2, or a pair"):
        Slice([0, 0, 0], [[1, 0, 0], [0, 1, 0]], window)


def test_line_without_direction_says_so():
    with pytest.raises(InvalidInput, match="vector of length 3 needed, got zeros only"):
        Line([0, 0, 0], [0, 0, 0])
    with pytest.raises(InvalidInput, match=r"vector of length 3 needed, got shape \(2,\)"):
        Line([0, 0, 0], [0, 1])

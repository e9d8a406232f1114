"""Stages in integers, corners of cells, and terms struck out before a search."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import pytest

import tropattn as ta
from tropattn.polyhedra.integer_rows import corners
from tropattn.regions.networks import layerwise as depth
from tropattn.tropical.affine_state import AffineState, whole_array
from tropattn.tropical.integer_stage import IntegerStage
from tropattn.tropical.stage import OwnValue, together


@pytest.mark.parametrize("seed", range(20))
def test_whole_arrays(seed):
    """Doubles of all sizes, subnormal ones too: entries over the denominator, in lowest terms."""
    rng = np.random.default_rng(seed)
    exponents = rng.integers(-1073, 900, (4, 3)) if seed % 2 else rng.integers(-3, 3, (4, 3))
    values = np.ldexp(rng.normal(size=(4, 3)), exponents) * rng.integers(0, 2, (4, 3))
    entries, below = whole_array(values)
    assert all(type(v) is int for v in entries)
    found = [Fraction(v, below) for v in entries]
    assert found == [Fraction(v) for v in values.ravel().tolist()]
    assert below == math.lcm(*(v.denominator for v in found))
    exact = np.array([[Fraction(1, 3), Fraction(5, 6)]], dtype=object)
    assert whole_array(exact) == ([2, 5], 6)


def test_corners_of_polygons_and_intervals():
    """Corners lie on two walls and inside the others; unbounded sets have none."""
    rng = random.Random(0)
    bounded = 0
    for _ in range(300):
        points = {(rng.randint(-6, 6), rng.randint(-6, 6)) for _ in range(rng.randint(3, 9))}
        hull = _hull(sorted(points))
        if len(hull) < 3:
            continue
        walls = []
        for (a, b), (c, d) in zip(hull, hull[1:] + hull[:1], strict=True):
            normal = (d - b, a - c)  # outwards, counterclockwise
            walls.append((*normal, -(normal[0] * a + normal[1] * b)))
        rng.shuffle(walls)
        found = {(Fraction(x, w), Fraction(y, w)) for x, y, w in corners(walls)}
        assert found == set(hull)
        bounded += 1
        left = corners(walls[1:]) if len(walls) > 3 else []
        # Without a wall the others may still close: then the old corners lie in the new polygon.
        assert all(w > 0 for *_, w in left)
        if len(walls) == 3:
            assert corners(walls[1:]) == []
    assert bounded > 200
    assert corners([(2, -3), (-1, -5)]) == [(-5, 1), (3, 2)]
    assert corners([(2, -3)]) == []
    assert corners([(1, 0, 0, -1)] * 4) == []


def _hull(points):
    """Strictly convex hull, counterclockwise (monotone chain)."""

    def half(rows):
        out = []
        for p in rows:
            while len(out) > 1 and _turns(out[-2], out[-1], p) <= 0:
                out.pop()
            out.append(p)
        return out[:-1]

    return half(points) + half(points[::-1])


def _turns(a, b, c):
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


@pytest.mark.parametrize("seed", range(6))
def test_struck_out_terms_change_nothing(monkeypatch, seed):
    """The same cells and maps as a search among all terms, with fewer programs."""
    rng = np.random.default_rng(seed)
    d, k = 5, 1 + seed % 2
    layers = []
    for _ in range(2):
        heads = [
            ta.TropicalPolynomial(rng.normal(size=(6, d)), rng.normal(size=6)) for _ in range(2)
        ]
        layers.append(ta.FixedLayer(heads, [rng.normal(size=(6, d)) for _ in heads]))
        layers.append(
            ta.FeedForward(rng.normal(size=(d, 40)), rng.normal(size=40), rng.normal(size=(40, d)))
        )
    net = ta.Network(layers)
    reach = 1.0 if k == 1 else 0.1
    window = [[-reach] * k, [reach] * k]
    domain = ta.Slice(rng.normal(size=d), rng.normal(size=(k, d)), window)
    found = ta.enumerate_regions(net, domain, threads=1)
    monkeypatch.setattr(depth.LayerwiseRefinement, "_corners", lambda *_: [])
    expected = ta.enumerate_regions(net, domain, threads=1)
    assert len(found) > 5
    assert found.patterns.tolist() == expected.patterns.tolist()
    for a, b in zip(found.maps(), expected.maps(), strict=True):
        assert a.matrix.tolist() == b.matrix.tolist()
        assert a.offset.tolist() == b.offset.tolist()
    assert found.stats["programs"] < 0.7 * expected.stats["programs"]


def test_states_behind_a_stage_are_those_of_its_maps():
    """Own values, ties and scores in integers, against the maps multiplied out in rationals."""
    rng = np.random.default_rng(2)
    head = ta.TropicalPolynomial([[0, 0], [1, 0], [1, 0], [0, 1]])
    third = np.array([[Fraction(int(v), 3) for v in row] for row in rng.integers(-4, 5, (2, 2))])
    fixed = ta.FixedLayer(
        [head, head],
        [rng.normal(size=(4, 2)) for _ in range(2)],
        b_O=rng.normal(size=2),
        own=[OwnValue(2, third), None],
    )
    relu = ta.FeedForward(rng.normal(size=(2, 3)), rng.normal(size=3), rng.normal(size=(3, 2)))
    affine = ta.Affine(third, [1, 2])
    start = AffineState.of(rng.normal(size=(1, 2)), rng.normal(size=2))
    patterns = {fixed: [[0, 3], [1, 2], [(0, 3), (1, 2, 3)]], relu: [[0, 1, 1]], affine: [[0]]}
    for layer, chosen in patterns.items():
        (stage,) = layer.stages()
        exact = IntegerStage(stage)
        rows = exact.rows(exact.columns(start))
        for pattern in chosen:
            tied = [together(u, j).tolist() for u, j in zip(stage.units, pattern, strict=True)]
            found, step = exact.advance(start, rows, tied), stage.maps(pattern)
            expected = start.through(AffineState.of(step.matrix, step.offset))
            assert found.key() == expected.key()

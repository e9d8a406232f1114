"""Honest certificates of awkward layers: every one is accepted, with the count of its file.

A search decides in doubles with error bounds, or in integers, or in rationals, and each way of
proving a branch dead rests on rows of its own; a certificate has to name just these. So the layers
here are those on which multipliers, witnesses and walls differ by many orders of magnitude.
"""

from __future__ import annotations

import random
from fractions import Fraction
from math import prod

import numpy as np
import pytest
from reference import brute

from tropattn import Box, Line, Polytope, Slice, TropicalPolynomial, count_regions
from tropattn.arrays import fraction_array
from tropattn.tropical.max_affine import on_parameters
from tropattn.verify import verify

CIRCLE = [(1.0, 0.0), (0.6, 0.8), (-0.6, 0.8), (5 / 13, 12 / 13), (-5 / 13, 12 / 13), (0.0, 1.0)]


def integer_head(rng, dim, keys, size=2):
    slopes = [[rng.randint(-size, size) for _ in range(dim)] for _ in range(keys)]
    return slopes, [rng.randint(-size, size) for _ in range(keys)]


def gaussian_head(rng, dim, keys):
    return [[rng.gauss(0, 1) for _ in range(dim)] for _ in range(keys)], [
        rng.gauss(0, 1) for _ in range(keys)
    ]


def layer(rng, dim, make=integer_head, most=4):
    return [make(rng, dim, rng.randint(1, most)) for _ in range(rng.randint(1, 4))]


def exact(slopes, intercepts):
    """A head of Python integers or Fractions, kept as they are."""
    rows = np.empty((len(slopes), len(slopes[0])), dtype=object)
    for index in np.ndindex(rows.shape):
        rows[index] = Fraction(slopes[index[0]][index[1]])
    return TropicalPolynomial(rows, [Fraction(v) for v in intercepts])


def as_floats(units):
    return [TropicalPolynomial(np.array(s, float), np.array(c, float)) for s, c in units]


def ties(rng):
    """Small integers: ties, duplicates and concurrent walls; often more heads than dimensions."""
    dim = rng.randint(1, 4)
    units = layer(rng, dim)
    if rng.random() < 0.3:
        units.append(rng.choice(units))
    return [exact(*u) for u in units], None if rng.random() < 0.6 else Box.cube(-2, 1, dim)


def low_rank(rng):
    """Slopes of rank 1 or 2 in more dimensions."""
    dim, rank = rng.randint(3, 5), rng.randint(1, 2)
    basis = np.array([[rng.randint(-2, 2) for _ in range(dim)] for _ in range(rank)], float)
    heads = []
    for slopes, intercepts in layer(rng, rank):
        heads.append(TropicalPolynomial(np.array(slopes, float) @ basis, intercepts))
    heads += as_floats([integer_head(rng, dim, 2)])
    return heads, None if rng.random() < 0.7 else Box.cube(-1, 2, dim)


def far(rng):
    """Small integers seen from a centre at 10^8 to 10^15, exactly or rounded to doubles."""
    dim = rng.randint(1, 3)
    centre = [10 ** rng.randint(8, 15) + rng.randint(-2, 2) for _ in range(dim)]
    units = []
    for slopes, intercepts in layer(rng, dim):
        at = [sum(a * x for a, x in zip(row, centre, strict=True)) for row in slopes]
        units.append((slopes, [c - v for c, v in zip(intercepts, at, strict=True)]))
    return as_floats(units) if rng.random() < 0.5 else [exact(*u) for u in units], None


def thin(rng):
    """Windows 1e-8 to 1e-13 wide, some around a vertex of the first head."""
    dim = rng.randint(1, 3)
    heads = as_floats(layer(rng, dim, gaussian_head, 5))
    width = 10.0 ** -rng.randint(8, 13)
    low = np.array([rng.gauss(0, 1) for _ in range(dim)])
    first = heads[0]
    if first.n_terms > dim and rng.random() < 0.6:
        rows = first.slopes[1 : dim + 1] - first.slopes[0]
        low = np.linalg.solve(rows, first.intercepts[0] - first.intercepts[1 : dim + 1])
        low = low - width * rng.random()
    return heads, Box(low, np.maximum(low + width, np.nextafter(low, np.inf)))


def sliver(rng):
    """A window that touches the tip of heads with keys on a circle, as wide as rounding."""
    heads = []
    for _ in range(rng.randint(1, 3)):
        keys = [(s * x, t * y) for x, y in CIRCLE for s in (-1, 1) for t in (-1, 1)]
        heads.append(TropicalPolynomial(np.array(rng.sample(keys, 4)), [-0.5] * 4))
    side = -1.0 + rng.randint(1, 9000) * 2.0**-53 * 10.0 ** rng.randint(0, 4)
    box = [-1.0, -1.0], [1.0, side]
    return heads, Box(*box) if rng.random() < 0.5 else Box(box[0][::-1], box[1][::-1])


def scales(rng):
    """Walls far out and close together, slopes and biases of very different size."""
    dim = rng.randint(1, 3)
    units = []
    for slopes, intercepts in layer(rng, dim):
        size, away = 10.0 ** rng.randint(-9, 9), 10.0 ** rng.randint(0, 10)
        units.append(
            ([[size * v for v in row] for row in slopes], [size * away * v for v in intercepts])
        )
    place = rng.choice([5118838.1, 1e10, 3.0])
    axis = [1.0] + [0.0] * (dim - 1)
    for gap in rng.sample([0.0, 1e-3, 0.1, 1.0, 1e-6], 2):
        units.append(([[0.0] * dim, axis], [0.0, -(place + gap)]))
    walls = Polytope([axis, [-v for v in axis]], [place + 0.5, rng.choice([1e-3, 1e8])])
    return as_floats(units), None if rng.random() < 0.6 else walls


def one_ulp(rng):
    """Keys one rounding step off the segment of two others, and heads that are almost copies."""
    dim = rng.randint(2, 3)
    a, b = (np.array([rng.gauss(0, 1) for _ in range(dim)]) for _ in range(2))
    middle = (a + b) / 2
    middle[rng.randrange(dim)] *= 1 + rng.choice([-1, 0, 1]) * 2.0**-52
    head = np.array([a, middle, b])
    bias = np.zeros(3)
    if rng.random() < 0.5:
        bias[1] = rng.choice([-1, 1]) * 2.0**-52
    heads = [TropicalPolynomial(head, bias), *as_floats(layer(rng, dim, gaussian_head, 3))]
    if rng.random() < 0.5:
        heads.append(TropicalPolynomial(head * rng.choice([3.0, 0.1]), bias * 0.1))
    return heads[:4], None if rng.random() < 0.7 else Box.cube(-1, 1, dim)


def slices(rng):
    """Planes and lines with a window or none, integer and Gaussian."""
    dim = rng.randint(2, 4)
    make = rng.choice([integer_head, gaussian_head])
    heads = as_floats(layer(rng, dim, make))
    origin = [rng.choice([0.0, 1.0, rng.gauss(0, 1), 1e9]) for _ in range(dim)]
    if rng.random() < 0.4:
        ends = rng.choice([(-np.inf, np.inf), (-1.0, 1.0), (0.0, 1e-10)])
        return heads, Line(origin, [float(rng.randint(1, 3)) for _ in range(dim)], *ends)
    basis = np.eye(dim)[:2] + np.array([[0.0] * (dim - 1) + [rng.randint(0, 2)]] * 2)
    if dim == 2:
        basis = np.eye(2)
    window = rng.choice([None, ([-1.0, -2.0], [1.0, 1.0]), ([0.0, 0.0], [1e-11, 1e3])])
    return heads, Slice(origin, basis, window)


def groups(rng):
    """Heads on independent coordinates, mixed by a unimodular map: several groups (T8)."""
    parts = [rng.randint(1, 2) for _ in range(rng.randint(2, 3))]
    dim, start, units = sum(parts), 0, []
    mix = np.eye(dim, dtype=int)
    for i in range(dim - 1):
        mix[i + 1 :, i] = [rng.randint(-1, 1) for _ in range(dim - 1 - i)]
    for part in parts:
        for slopes, intercepts in layer(rng, part, integer_head, 3)[:2]:
            wide = np.zeros((len(slopes), dim), int)
            wide[:, start : start + part] = slopes
            shift = 10 ** rng.choice([0, 9])
            units.append(((wide @ mix).tolist(), [v * shift for v in intercepts]))
        start += part
    return [exact(*u) for u in units], None


def sizes(rng):
    """Numbers near the ends of the doubles, and exact ones beyond their digits."""
    dim = rng.randint(1, 2)
    units = layer(rng, dim, rng.choice([integer_head, gaussian_head]), 3)
    if rng.random() < 0.5:
        factors = [2.0 ** rng.choice([-1000, -520, 0, 520, 1000]) for _ in range(dim)]
        heads = [
            TropicalPolynomial(np.array(s, float) * factors, np.array(c, float)) for s, c in units
        ]
        return heads, None
    tiny = Fraction(1, 10 ** rng.choice([20, 40, 400]))
    moved = [(s, [v + rng.randint(-1, 1) * tiny for v in map(Fraction, c)]) for s, c in units]
    copies = [(s, [v + tiny for v in map(Fraction, c)]) for s, c in units[:1]]
    return [exact(*u) for u in moved + copies], None


KINDS = [ties, low_rank, far, thin, sliver, scales, one_ulp, slices, groups, sizes]


def check(seed, path):
    """Count, certify and check one layer; compare small ones with brute force."""
    rng = random.Random(seed)
    heads, domain = KINDS[seed % len(KINDS)](rng)
    counted = count_regions(heads, domain, certificate=path)
    local = on_parameters(heads, domain)
    terms = [head.exact_terms() for head in local]
    walls = None if domain is None else domain.walls
    proved = verify(path, terms, walls)
    assert proved.count == counted.value, seed
    if prod(matrix.nrows() for matrix in terms) > 64:
        return proved, False
    units = []
    for matrix in terms:
        rows = fraction_array(matrix)
        units.append((rows[:, :-1].tolist(), rows[:, -1].tolist()))
    rows = [] if walls is None else list(zip(*(v.tolist() for v in walls), strict=True))
    assert counted.value == brute.count(units, rows), seed
    return proved, True


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_awkward_layers_are_certified(kind, tmp_path):
    """Four layers of each kind; the far, thin and scaled ones were rejected."""
    for case in range(4):
        check(case * len(KINDS) + kind, tmp_path / "c.gz")


@pytest.mark.slow
def test_two_thousand_awkward_layers_are_certified(tmp_path, capsys):
    """``pytest -m slow -k two_thousand_awkward -n0 -s``; counts of small ones by brute force."""
    discards = cells = compared = 0
    for seed in range(100, 2100):
        proved, small = check(seed, tmp_path / "c.gz")
        discards, cells, compared = (
            discards + proved.discards,
            cells + proved.cells,
            compared + small,
        )
    with capsys.disabled():
        print(  # noqa: T201
            f"\n2000 accepted; {cells} witnesses, {discards} discards; {compared} by brute force"
        )

"""Diagrams of one head, proved from a proposal, against the definitions in rationals."""

from collections import Counter
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from reference.slow_subdivision import slow_subdivision

from tropattn.arrays import fraction_array
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.regular import head_diagram
from tropattn.tropical.terms import AffineMap

KINDS = (
    "gaussian", "small", "paraboloid", "repeated", "flat", "thirds", "ulps", "tenths", "huge",
    "wide", "central", "factored", "circle", "folded",
)  # fmt: skip


def polynomial_of(kind: str, seed: int) -> TropicalPolynomial:
    """A small polynomial of that kind of degeneracy."""
    rng = np.random.Generator(np.random.Philox([seed, KINDS.index(kind)]))
    d = int(rng.integers(1, 5))
    n = int(rng.integers(d + 1, (11, 10, 10, 9, 8)[d] + 1))
    whole = rng.integers(0, 3, (n, d)).astype(float)
    if kind == "gaussian":
        return TropicalPolynomial(rng.standard_normal((n, d)), rng.standard_normal(n))
    if kind == "small":
        return TropicalPolynomial(whole, rng.integers(0, 2, n).astype(float))
    if kind == "paraboloid":
        return TropicalPolynomial(whole, -(whole**2).sum(axis=1))
    if kind == "repeated":
        chosen = rng.integers(0, max(2, n // 2), n)
        return TropicalPolynomial(
            rng.standard_normal((n, d))[chosen], rng.integers(0, 2, n).astype(float)
        )
    if kind == "flat":
        rank = int(rng.integers(1, d + 1))
        flat = rng.integers(-2, 3, (n, rank)) @ rng.integers(-2, 3, (rank, d))
        return TropicalPolynomial(flat, rng.integers(-2, 2, n).astype(float))
    if kind == "thirds":
        third = np.array([[Fraction(int(v), 3) for v in row] for row in whole], dtype=object)
        return TropicalPolynomial(third, -(third**2).sum(axis=1))
    if kind == "ulps":
        heights = -(whole**2).sum(axis=1) + 9.0
        toward = np.where(rng.random(n) < 0.5, np.inf, -np.inf)
        some = rng.random(n) < 0.5
        return TropicalPolynomial(whole, np.where(some, np.nextafter(heights, toward), heights))
    if kind == "tenths":
        tenth = whole * 0.1 + 0.3
        return TropicalPolynomial(tenth, -(tenth**2).sum(axis=1))
    if kind == "huge":
        power = 10.0 ** int(rng.choice([-300, -200, 200, 300]))
        return TropicalPolynomial(whole * power, rng.standard_normal(n) * power)
    if kind == "wide":
        powers = 10.0 ** rng.integers(-300, 300, n)
        return TropicalPolynomial(rng.standard_normal((n, d)) * powers[:, None], powers[::-1])
    if kind == "central":
        centre = rng.integers(-2, 3, d).astype(float)
        return TropicalPolynomial(whole, 2.0 - whole @ centre)
    if kind == "factored":
        rank = int(rng.integers(1, d + 1))
        keys = rng.standard_normal((n, rank)) if seed % 2 else rng.integers(0, 3, (n, rank))
        step = AffineMap(rng.standard_normal((d, rank)), rng.standard_normal(rank))
        biases = rng.integers(0, 2, n).astype(float)
        return TropicalPolynomial.factored(keys, biases, scale=0.3, maps=(step,))
    if kind == "circle":
        ring = [(x, y) for x, y in product(range(-5, 6), repeat=2) if x * x + y * y == 25]
        chosen = np.array(ring, float)[rng.permutation(len(ring))[:8]]
        return TropicalPolynomial(np.vstack([chosen, [[0.0, 0.0]]]), np.append(np.zeros(8), 7.0))
    folded = np.abs(whole - 1.0)
    return TropicalPolynomial(whole, -folded[:, : max(1, d - 1)].sum(axis=1))


def differences(f: TropicalPolynomial) -> tuple[list[str], object]:
    """What of the diagram is not as defined, and the diagram."""
    rows = fraction_array(f.exact_terms())
    cells, live, walls = slow_subdivision(rows[:, :-1].tolist(), rows[:, -1].tolist())
    found = head_diagram(f)
    wrong = []
    if sorted(found.cells) != cells:
        wrong.append("cells")
    if found.live.tolist() != live:
        wrong.append("live")
    if [tuple(pair) for pair in found.walls.tolist()] != walls:
        wrong.append("walls")
    faces = found.f_vector()
    if sum((-1) ** i * v for i, v in enumerate(faces)) != 1:
        wrong.append("Euler")
    if len(faces) != found.dim + 1 or faces[0] != len(live) or faces[-1] != len(cells):
        wrong.append("f_vector")
    if len(cells) > 1:
        for cell, x in zip(found.cells, found.vertices.tolist(), strict=True):
            scores = [sum(a * b for a, b in zip(r, [*x, 1], strict=True)) for r in rows.tolist()]
            best = max(scores)
            if tuple(j for j, s in enumerate(scores) if s == best) != cell:
                wrong.append("vertices")
                break
    return wrong, found


@pytest.mark.parametrize("kind", KINDS)
def test_diagrams_are_as_defined(kind):
    for seed in range(8):
        wrong, _ = differences(polynomial_of(kind, seed))
        assert not wrong, f"{kind} {seed}: {wrong}"


def tally(first: int, last: int) -> Counter:
    """Try seeds of all kinds and say how many hulls were inserted, or had exact signs."""
    counts: Counter = Counter()
    for seed in range(first, last):
        for kind in KINDS:
            wrong, found = differences(polynomial_of(kind, seed))
            assert not wrong, f"{kind} {seed}: {wrong}"
            counts["cases"] += 1
            if found.found is not None:
                counts["hulls"] += 1
                counts["inserted"] += found.found.inserted
                counts["exact"] += found.found.rows.count > 0
                counts["signs"] += found.found.rows.count
    return counts

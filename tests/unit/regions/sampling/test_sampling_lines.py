"""Lines: every reported cell is real, in rationals, and enough chords find all cells."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from reference import families, sampler

from tropattn import Box, Polytope, TropicalPolynomial, count_regions, sample_regions
from tropattn._kernels import walks
from tropattn.regions.sampling import rows as sample_rows
from tropattn.regions.sampling import sampler as sampling


def visited(units, domain, law, n_chords, seed=0):
    """What chords meet, and for each head the words that its winners add to the hashes."""
    heads = [head for head in map(sample_rows.HeadRows.of, units) if len(head.rows) > 1]
    walls = sample_rows.Walls.of(domain, units[0].dim)
    rows = sample_rows.chord_rows(heads, walls, units[0].dim)
    starts = np.cumsum([0, *(len(head.rows) for head in heads)])
    words = np.split(sample_rows.hash_words(starts[-1]), starts[1:-1])
    return words, walks.visits(rows, law, seed, 0, n_chords, np.zeros(1, np.int64))


@pytest.mark.parametrize("kind", ["integer", "float", "central", "low_rank", "duplicates"])
def test_every_visit_is_the_pattern_of_its_point(kind, to_polynomial):
    """The point ``o + t u`` of each visit, in rationals: no tie, and the hash of its winners."""
    rng = random.Random(8)
    for case in range(4):
        dim = rng.randint(1, 4)
        plain = families.random_units(rng, dim, [rng.randint(2, 6) for _ in range(3)], kind)
        units = [TropicalPolynomial(np.array(a, float), np.array(c, float)) for a, c in plain]
        domain = None if case % 2 else Polytope([[1] * dim, *(-np.eye(dim))], [2, *[1] * dim])
        law, _ = sampling._law(dim, domain, None if domain else "gaussian")
        words, (hashes, index, times, lines, _) = visited(units, domain, law, 48, seed=case)
        many = [(u, p) for u, p in zip(units, plain, strict=True) if len(u.distinct[0]) > 1]
        assert len(hashes)
        for i in range(0, len(hashes), 3):
            o, u = lines[index[i]]
            t = Fraction(float(times[i]))
            point = [Fraction(float(a)) + t * Fraction(float(b)) for a, b in zip(o, u, strict=True)]
            winners = sampler.pattern([p for _, p in many], point)
            assert winners is not None
            total = np.zeros(2, np.uint64)
            for h, (unit, _) in enumerate(many):
                total += words[h][unit.distinct[1][winners[h]]]
            assert np.array_equal(total, hashes[i])
            if domain is not None:
                assert sum(point) < 2
                assert all(v > -1 for v in point)


def test_cells_of_a_chord_are_all_of_them(to_polynomial):
    """Against all pairwise crossings in rationals, on lines in general position."""
    rng = random.Random(1)
    for case in range(12):
        plain = families.random_units(rng, 2, [5, 4, 3], "float")
        units = [to_polynomial(u) for u in plain]
        law, _ = sampling._law(2, None, "gaussian")
        _, (_, index, _, lines, _) = visited(units, None, law, 16, seed=case)
        o, u = ([Fraction(float(v)) for v in side] for side in lines[0])
        times = set()
        for slopes, intercepts in plain:
            at = [
                (
                    sum(Fraction(a) * b for a, b in zip(s, o, strict=True)) + Fraction(c),
                    sum(Fraction(a) * b for a, b in zip(s, u, strict=True)),
                )
                for s, c in zip(slopes, intercepts, strict=True)
            ]
            times |= {(p[0] - q[0]) / (q[1] - p[1]) for p in at for q in at if p[1] != q[1]}
        times = sorted(times)
        middles = [times[0] - 1, *((a + b) / 2 for a, b in pairwise(times))]
        points = [[a + t * b for a, b in zip(o, u, strict=True)] for t in [*middles, times[-1] + 1]]
        assert (index == 0).sum() == len(sampler.patterns(plain, points))


KNOWN = [
    (families.braid, 5),
    (families.resonance, 4),
    (families.threshold, 4),
    (families.shi, 4),
    (families.catalan, 4),
    (families.associahedron, 6),
]


@pytest.mark.parametrize("family, n", KNOWN)
def test_enough_chords_find_every_cell(family, n, to_polynomial):
    """Layers of up to 1,882 cells, with three walls or more through many points."""
    units, _, expected = family(n)
    heads = [to_polynomial(u) for u in units]
    found = sample_regions(heads, 20_000, seed=0, distribution="gaussian", method="lines")
    assert found.value == expected
    assert found.stats["warning"].startswith("saturated")
    few = sample_regions(heads, 2_000, seed=0, distribution="sphere")
    assert few.value <= expected


def test_all_cells_of_generic_layers():
    """Layers with tiny cells: all of them, unlike by points."""
    rng = np.random.default_rng(0)
    for dim, n_heads, n_keys in ((2, 4, 5), (3, 3, 5)):
        heads = [
            TropicalPolynomial(rng.standard_normal((n_keys, dim)), rng.standard_normal(n_keys))
            for _ in range(n_heads)
        ]
        exact = count_regions(heads, Box.cube(-3, 3, dim)).value
        lines = sample_regions(heads, 60_000, seed=0, domain=Box.cube(-3, 3, dim), method="lines")
        points = sample_regions(heads, 60_000, seed=0, domain=Box.cube(-3, 3, dim))
        assert points.value <= exact
        assert lines.value == exact


@pytest.mark.long
def test_small_cells_in_five_dimensions():
    """Chords along walls find cells that points and free chords miss by the hundred thousand.

    All 167 and 187 cells, some of a width that the fifth power makes hopeless for points.
    """
    rng = np.random.default_rng(4)
    heads = [
        TropicalPolynomial(rng.standard_normal((4, 5)), rng.standard_normal(4)) for _ in "abcd"
    ]
    box = Box.cube(-3, 3, 5)
    for domain, law, cells in ((box, None, 167), (None, "gaussian", 187)):
        assert count_regions(heads, domain).value == cells
        options = {"seed": 0, "domain": domain, "distribution": law}
        assert sample_regions(heads, 500_000, **options).value < cells - 8
        assert sample_regions(heads, 100_000, method="lines", **options).value == cells


@pytest.mark.slow
def test_ten_thousand_cells(to_polynomial):
    """``pytest -m slow -k test_ten_thousand_cells``: 5,040 and 11,292 cells by chords alone."""
    for family, n in ((families.braid, 7), (families.resonance, 5)):
        units, _, expected = family(n)
        heads = [to_polynomial(u) for u in units]
        found = sample_regions(heads, 400_000, seed=0, distribution="gaussian", method="lines")
        assert found.value == expected


def check_found_whole(heads, domain, seed):
    """Points and chords never find more than the exact count, and enough chords all of it."""
    exact = count_regions(heads, domain).value
    options = {"seed": seed, "domain": domain}
    options |= {"distribution": "gaussian"} if domain is None else {}
    assert sample_regions(heads, 2000, **options).value <= exact
    found, chords = 0, 640
    while found < exact and chords < 2**21:
        found = sample_regions(heads, chords, method="lines", **options).value
        assert 1 <= found <= exact
        chords *= 4
    assert found == exact


@pytest.mark.parametrize("seed", range(40))
def test_never_more_than_the_exact_count_and_all_of_it(seed, to_polynomial):
    """Integers with ties, duplicates, low rank, windows: up to four dimensions."""
    rng = random.Random(seed)
    kind = ("integer", "central", "central_shifted", "low_rank", "duplicates")[seed % 5]
    dim = rng.randint(1, 4)
    units = families.random_units(rng, dim, [rng.randint(1, 4) for _ in range(3)], kind)
    heads = [to_polynomial(u) for u in units]
    check_found_whole(heads, Box.cube(-2, 3, dim) if seed % 2 else None, seed)


@pytest.mark.parametrize("name, units, dim", families.degenerate_cases())
def test_degenerate_layers_are_found_whole(name, units, dim, to_polynomial):
    heads = [to_polynomial(u) for u in units]
    check_found_whole(heads, None, 0)
    check_found_whole(heads, Box.cube(-2, 3, dim), 0)


@pytest.mark.parametrize("name, units, dim, expected", families.known_answers())
def test_known_layers_are_found_whole(name, units, dim, expected, to_polynomial):
    heads = [to_polynomial(u) for u in units]
    if expected <= 2000:
        check_found_whole(heads, None, 0)


@pytest.mark.slow
def test_random_layers_are_found_whole(to_polynomial):
    """``pytest -m slow -k test_random_layers_are_found_whole``: 300 more, up to five dimensions."""
    for seed in range(300):
        rng = random.Random(1000 + seed)
        kind = ("integer", "float", "central", "low_rank", "duplicates")[seed % 5]
        dim = rng.randint(2, 5)
        units = families.random_units(rng, dim, [rng.randint(2, 5) for _ in range(3)], kind)
        check_found_whole([to_polynomial(u) for u in units], None, seed)


def test_states_as_origins_and_missed_domains():
    head = TropicalPolynomial([[0.0, 0.0], [1.0, 0.0]])
    far = Box([100, 100], [101, 101])
    one = sample_regions(head, 160, seed=0, domain=far, distribution=[[0.0, 0.0]], method="lines")
    assert one.value <= 1
    assert one.stats["discarded"] > 100
    both = sample_regions(head, 16, seed=0, distribution=[[5.0, 5.0]], method="lines")
    assert both.value == 2


def test_one_head_with_one_key():
    only = TropicalPolynomial([[1.0, 2.0]])
    assert sample_regions(only, 16, seed=0, distribution="gaussian", method="lines").value == 1
    assert sample_regions(only, 16, seed=0, distribution="gaussian").value == 1

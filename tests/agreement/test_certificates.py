"""Certificates: written by the engines, checked in rationals by code that shares nothing."""

from __future__ import annotations

import gzip
import hashlib
import json
import random

import numpy as np
import pytest
from reference import brute, families

from tropattn import Box, EngineError, InvalidInput, count_regions, initialisers
from tropattn.verify import verify


def read(path):
    with gzip.open(path, "rt") as stream:
        return [json.loads(line) for line in stream]


def write(path, lines, sign):
    """Write altered lines; with ``sign`` the digest is made anew, as a forger would."""
    digest = hashlib.sha256()
    with gzip.open(path, "wt") as stream:
        for line in lines:
            if sign and "sha256" in line:
                line = {"sha256": digest.hexdigest()}
            text = json.dumps(line, separators=(",", ":")) + "\n"
            digest.update(text.encode())
            stream.write(text)


@pytest.mark.parametrize("name, units, dim, expected", families.known_answers())
def test_known_answers_are_certified(name, units, dim, expected, to_polynomial, tmp_path):
    """Integer families from end to end, by both engines, no float in what is checked."""
    heads = [to_polynomial(u) for u in units]
    for engine in ("enumeration", "auto"):
        counted = count_regions(heads, engine=engine, certificate=tmp_path / "c.gz")
        proved = verify(tmp_path / "c.gz", [h.exact_terms() for h in heads])
        assert proved.count == counted.value == expected
        assert counted.certified


@pytest.mark.parametrize("block", range(4))
def test_degenerate_cases_are_certified(block, to_polynomial, tmp_path):
    """Random ties, duplicates and windows: the certified count is brute force's."""
    for seed in range(25 * block, 25 * (block + 1)):
        rng = random.Random(seed)
        dim = rng.randint(1, 3)
        kind = rng.choice(["integer", "duplicates", "central_shifted", "low_rank", "float"])
        units = families.random_units(rng, dim, [rng.randint(1, 4) for _ in range(3)], kind)
        domain = Box.cube(-2, 1, dim) if seed % 3 == 0 else None
        rows = []
        for k in range(dim) if domain else ():
            axis = [int(i == k) for i in range(dim)]
            rows += [(axis, 1), ([-v for v in axis], 2)]
        heads = [to_polynomial(u) for u in units]
        counted = count_regions(heads, domain, certificate=tmp_path / "c.gz")
        assert verify(tmp_path / "c.gz").count == counted.value == brute.count(units, rows)


def test_many_ranges_are_put_together(tmp_path):
    heads = initialisers.gaussian_heads(6, 5, 4, seed=1)
    counted = count_regions(heads, certificate=tmp_path / "c.gz")
    proved = verify(tmp_path / "c.gz")
    assert proved.ranges > 3
    assert proved.count == proved.cells == counted.value


def alterations(lines, rng):
    """Copies of a certificate with one number, pattern, row or branch altered, and what it was."""
    ranges = [i for i, line in enumerate(lines) if "range" in line]
    with_cells = [i for i in ranges if lines[i]["cells"]]
    i = rng.choice(with_cells)
    line = lines[i]
    cell = rng.randrange(len(line["cells"]))
    unit = rng.randrange(len(line["cells"][0]))

    def changed(at, **fields):
        return [*lines[:at], {**lines[at], **fields}, *lines[at + 1 :]]

    pattern = list(line["cells"][cell])
    pattern[unit] += rng.choice([-1, 1])
    yield "pattern", changed(i, cells=[*line["cells"][:cell], pattern, *line["cells"][cell + 1 :]])
    point = [-v for v in line["points"][cell]]
    points = [*line["points"][:cell], point, *line["points"][cell + 1 :]]
    yield "witness", changed(i, points=points)
    count = next(at for at, entry in enumerate(lines) if "count" in entry)
    yield "count", changed(count, count=str(int(lines[count]["count"]) + rng.choice([-1, 1])))
    log = list(line["log"])
    starts = [at for at in _events(log) if log[at] == 1]
    at = rng.choice(starts)
    row = at + 5 + 2 * rng.randrange(log[at + 3])
    log[row] += 1
    yield "row", changed(i, log=log)
    drop = rng.choice(ranges)
    yield "branch", [*lines[:drop], *lines[drop + 1 :]]
    cut = list(line["log"])
    at = rng.choice(starts)
    del cut[at : at + 4 + 2 * cut[at + 3]]
    yield "discard", changed(i, log=cut)


def _events(log):
    at = 0
    while at < len(log):
        yield at
        at += 3 + (1 + 2 * log[at + 3] if log[at] == 1 else 0)


@pytest.mark.parametrize("sign", [False, True])
def test_altered_certificates_are_rejected(sign, tmp_path):
    """120 alterations a time; with the digest made anew the claims themselves must fail."""
    heads = initialisers.gaussian_heads(5, 4, 3, seed=2)
    count_regions(heads, threads=1, certificate=tmp_path / "c.gz")
    lines = read(tmp_path / "c.gz")
    rng = random.Random(0)
    exact = [h.exact_terms() for h in heads]
    tried = rejected = harmless = 0
    for _ in range(20):
        for name, altered in alterations(lines, rng):
            write(tmp_path / "a.gz", altered, sign)
            tried += 1
            try:
                proved = verify(tmp_path / "a.gz", exact)
            except EngineError:
                rejected += 1
            else:
                # Another row can give another valid proof, and a discard above branches that were
                # all left to other ranges is idle; the count that is proved stays the same.
                assert sign
                assert name in ("row", "discard")
                assert proved.count == int(lines[-2]["count"])
                harmless += 1
    assert tried == 120
    assert rejected + harmless == tried
    assert harmless <= (4 if sign else 0)


def test_other_weights_are_rejected(tmp_path):
    heads = initialisers.gaussian_heads(4, 2, 2, seed=2)
    count_regions(heads, certificate=tmp_path / "c.gz")
    others = initialisers.gaussian_heads(4, 2, 2, seed=3)
    with pytest.raises(EngineError, match="not those of the input"):
        verify(tmp_path / "c.gz", [h.exact_terms() for h in others])


def test_unreadable_files(tmp_path):
    with pytest.raises(InvalidInput, match="existing file"):
        verify(tmp_path / "none")
    (tmp_path / "plain").write_text("{}")
    with pytest.raises(InvalidInput, match="gzipped certificate"):
        verify(tmp_path / "plain")
    heads = initialisers.gaussian_heads(4, 2, 2, seed=2)
    count_regions(heads, certificate=tmp_path / "c.gz")
    whole = (tmp_path / "c.gz").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    with pytest.raises((InvalidInput, EngineError)):
        verify(tmp_path / "cut")
    write(tmp_path / "other", [{"format": "x"}], False)
    with pytest.raises(InvalidInput, match="version 1"):
        verify(tmp_path / "other")


def test_nothing_is_left_of_an_unfinished_certificate(tmp_path):
    from tropattn import BudgetExceeded

    heads = initialisers.gaussian_heads(8, 5, 5, seed=2)
    with pytest.raises(BudgetExceeded):
        count_regions(heads, max_cells=10, certificate=tmp_path / "c.gz")
    assert list(tmp_path.iterdir()) == []


def test_cells_thinner_than_doubles_are_certified(tmp_path):
    """Witnesses that no double can name are written as rationals."""
    from fractions import Fraction

    from tropattn import TropicalPolynomial

    tiny = Fraction(1, 10**30)
    walls = [
        TropicalPolynomial(np.array([[0], [1]], dtype=object), [0, -1 - k * tiny]) for k in range(3)
    ]
    counted = count_regions(walls, certificate=tmp_path / "c.gz")
    assert counted.value == 4
    assert counted.stats["exact_decisions"] > 0
    assert verify(tmp_path / "c.gz").count == 4


def float_engine(units):
    """What floats alone say: one HiGHS program a pattern, alive if its margin exceeds 1e-9."""
    from itertools import product

    from scipy.optimize import linprog

    found = 0
    dim = len(units[0][0][0])
    for pattern in product(*(range(len(s)) for s, _ in units)):
        rows, right = [], []
        for (slopes, intercepts), j in zip(units, pattern, strict=True):
            for i in range(len(slopes)):
                if i != j:
                    row = [float(a) - float(b) for a, b in zip(slopes[i], slopes[j], strict=True)]
                    rows.append([*row, 1.0])
                    right.append(float(intercepts[j]) - float(intercepts[i]))
        bounds = [(-1e6, 1e6)] * dim + [(None, 1.0)]
        best = linprog([0.0] * dim + [-1.0], A_ub=rows, b_ub=right, bounds=bounds)
        found += best.status == 0 and -best.fun > 1e-9
    return found


def adversarial(seed):
    """A head with a key one rounding step (2^-52 relative) off the segment of two others."""
    rng = random.Random(seed)
    a, b, c, d = (rng.gauss(0, 1) for _ in range(4))
    middle = [(a + c) / 2, (b + d) / 2]
    step = rng.choice([-1, 0, 1])
    middle[rng.randint(0, 1)] *= 1 + step * 2.0**-52
    head = ([[a, b], middle, [c, d]], [0.0, 0.0, 0.0])
    other = ([[0.0, 0.0], [rng.gauss(0, 1), rng.gauss(0, 1)]], [0.0, rng.gauss(0, 1)])
    return [head, other]


def test_keys_a_rounding_step_from_a_tie_are_certified(to_polynomial, tmp_path):
    """Certified counts are right on 40 adversarial layers; float margins are wrong on many."""
    wrong = 0
    for seed in range(40):
        units = adversarial(seed)
        counted = count_regions([to_polynomial(u) for u in units], certificate=tmp_path / "c.gz")
        assert counted.value == brute.count(units) == verify(tmp_path / "c.gz").count
        wrong += float_engine(units) != counted.value
    assert wrong >= 10


def test_central_layers_need_no_rationals():
    """Every dead key of a central layer has margin exactly 0, and doubles prove it dead."""
    for dim, heads, keys in [(3, 6, 10), (4, 5, 8), (5, 4, 8), (6, 4, 7)]:
        layer = initialisers.gaussian_heads(keys, heads, dim, seed=dim, central=True)
        counted = count_regions(layer, engine="enumeration")
        assert counted.value < keys**heads
        assert counted.stats["exact_decisions"] == 0


@pytest.mark.slow
def test_ten_thousand_degenerate_instances(to_polynomial, capsys):
    """Coordinates in -2..2, d <= 4, H <= 4; ``pytest -m slow -k ten_thousand -n0 -s``."""
    rng = random.Random(0)
    slow = programs = 0
    for case in range(10_000):
        dim = rng.randint(1, 4)
        sizes = [rng.randint(1, 4) for _ in range(rng.randint(1, 4))]
        kind = rng.choice(["integer", "duplicates", "low_rank", "central", "central_shifted"])
        units = families.random_units(rng, dim, sizes, kind)
        counted = count_regions([to_polynomial(u) for u in units], engine="enumeration")
        assert counted.value == brute.count(units), case
        slow += counted.stats["exact_decisions"]
        programs += counted.stats["programs"]
    with capsys.disabled():
        print(f"\n10000 instances, 0 wrong; {slow} of {programs} programs went to rationals")  # noqa: T201

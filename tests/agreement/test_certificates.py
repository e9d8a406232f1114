"""Certificates: written by the engines, checked in rationals by code that shares nothing."""

from __future__ import annotations

import gzip
import hashlib
import json
import random

import numpy as np
import pytest
from reference import brute, families

from tropattn import (
    Box,
    EngineError,
    InvalidInput,
    Polytope,
    Slice,
    TropicalPolynomial,
    constructions,
    count_regions,
    initialisers,
)
from tropattn.tropical.max_affine import on_parameters
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


@pytest.mark.long
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


WINDOW = Box.cube(-1, 1, 2)


@pytest.fixture(name="strips")
def _strips():
    """Three parabola strips of three keys: 19 cells in the plane (T6), 8 in (-1, 1)^2."""
    heads = constructions.parabola_strips([3, 3, 3], dim=2)
    return heads, [h.exact_terms() for h in heads]


def test_a_certificate_is_about_its_domain(strips, tmp_path):
    """A proof on one domain is none on another; the same walls may be written in other ways."""
    heads, terms = strips
    small = Box.cube(-0.1, 0.1, 2)
    for domain, cells in ((None, 19), (WINDOW, 8), (small, 1)):
        count_regions(heads, domain, certificate=tmp_path / "c.gz")
        for other in (None, WINDOW, small):
            walls = None if other is None else other.walls
            if other is domain:
                assert verify(tmp_path / "c.gz", terms, walls).count == cells
            else:
                with pytest.raises(EngineError, match="not those of the domain asked for"):
                    verify(tmp_path / "c.gz", terms, walls)
    count_regions(heads, WINDOW, certificate=tmp_path / "c.gz")
    a, b = WINDOW.walls
    order = [3, 1, 1, 0, 2]
    again = a[order] * [[0.5], [3], [1], [1], [2]], b[order] * [0.5, 3, 1, 1, 2]
    proved = verify(tmp_path / "c.gz", terms, again)
    assert proved.domain == "the set A x < b of 4 walls in R^2"
    assert proved.walls.nrows() == 4
    assert verify(tmp_path / "c.gz").count == 8
    with pytest.raises(EngineError, match="asked for"):
        verify(tmp_path / "c.gz", terms, (a[:3], b[:3]))


def test_on_a_plane_the_walls_are_those_of_its_window(strips, tmp_path):
    plane = Slice([0.0, 0.0], [[1.0, 1.0], [1.0, -1.0]], ([-1.0, -1.0], [1.0, 2.0]))
    counted = count_regions(strips[0], plane, certificate=tmp_path / "c.gz")
    local = [h.exact_terms() for h in on_parameters(strips[0], plane)]
    assert verify(tmp_path / "c.gz", local, plane.walls).count == counted.value
    with pytest.raises(EngineError, match="not those of the input"):
        verify(tmp_path / "c.gz", strips[1], plane.walls)


def forgeries(lines):
    """Signed anew: walls added or removed, a witness of a neighbour, a range or a row left out."""
    i = next(i for i, entry in enumerate(lines) if len(entry.get("cells", [])) > 1)
    entry = lines[i]

    def changed(at, **fields):
        return [*lines[:at], {**lines[at], **fields}, *lines[at + 1 :]]

    walls = lines[0]["walls"]
    yield changed(0, walls=[*walls, ["1/1", "0/1", "0/1"]])
    yield changed(0, walls=walls[1:])
    yield changed(0, walls=[])
    points = entry["points"]
    yield changed(i, points=[points[1], points[0], *points[2:]])
    ranges = [at for at, line in enumerate(lines) if "range" in line or "settled" in line]
    yield from ([*lines[:at], *lines[at + 1 :]] for at in ranges)
    for at in ranges:
        log = lines[at].get("log", [])
        for start in _events(log):
            if log[start] == 1:
                # One row fewer in the basis of a discard.
                shorter = [*log[: start + 3], log[start + 3] - 1, *log[start + 6 :]]
                yield changed(at, log=shorter)


def test_forged_domains_witnesses_and_bases_are_rejected(strips, tmp_path):
    """Also without polynomials to compare, but for walls, which only the comparison shows."""
    count_regions(strips[0], WINDOW, threads=1, certificate=tmp_path / "c.gz")
    lines = read(tmp_path / "c.gz")
    tried = 0
    for altered in forgeries(lines):
        write(tmp_path / "a.gz", altered, True)
        with pytest.raises(EngineError):
            verify(tmp_path / "a.gz", strips[1], WINDOW.walls)
        tried += 1
    assert tried >= 10
    # A proof of one cell in a corner: true, but of another domain.
    corner = Polytope([[1, 0], [0, 1], [-1, 0], [0, -1], [1, 0]], [1, 1, 1, 1, -0.999])
    count_regions(strips[0], corner, certificate=tmp_path / "c.gz")
    assert verify(tmp_path / "c.gz").count < 8
    with pytest.raises(EngineError, match="asked for"):
        verify(tmp_path / "c.gz", strips[1], WINDOW.walls)


def test_a_settled_branch_witnesses_its_own_cell_alone(tmp_path):
    """Three cells in a sliver: the cell of a sibling has a witness of its own, from a program."""
    third, other = [-5 / 13, 12 / 13], [12 / 13, 5 / 13]
    heads = [
        TropicalPolynomial([third, [0.6, -0.8], [1.0, 0.0], [-0.6, -0.8]], [-0.5] * 4),
        TropicalPolynomial([[-1.0, 0.0], [0.0, 1.0], third, other], [-0.5] * 4),
    ]
    sliver = Box([-1.0, -1.0], [1.0, -0.9999999999990905])
    assert count_regions(heads, sliver, certificate=tmp_path / "c.gz").value == 3
    proved = verify(tmp_path / "c.gz", [h.exact_terms() for h in heads], sliver.walls)
    assert proved.count == 3


def test_long_lines_are_cut(tmp_path, monkeypatch):
    """Where a line would grow too long it goes on below, and the checker reads it as one."""
    from tropattn.regions import certificates

    heads = initialisers.gaussian_heads(6, 4, 3, seed=2)
    counted = count_regions(heads, Box.cube(-1, 1, 3), certificate=tmp_path / "whole.gz")
    monkeypatch.setattr(certificates, "_LONG", 200)
    count_regions(heads, Box.cube(-1, 1, 3), certificate=tmp_path / "cut.gz")
    assert len(read(tmp_path / "whole.gz")) == 5 and len(read(tmp_path / "cut.gz")) > 50
    terms, walls = [h.exact_terms() for h in heads], Box.cube(-1, 1, 3).walls
    for name in ("whole.gz", "cut.gz"):
        assert verify(tmp_path / name, terms, walls).count == counted.value


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


@pytest.mark.long
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

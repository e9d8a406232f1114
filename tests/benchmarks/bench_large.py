"""Known families with their times, arrangements, two threads against one, and ten million cells.

    python tests/benchmarks/bench_large.py [--quick]

Counts of families are compared with their closed forms. With Sage installed (``sage`` on the path)
its characteristic polynomials of the same arrangements are timed as well, start excluded.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np

from tropattn import TropicalPolynomial, count_regions, initialisers

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.reference import families

SAGE = """
import time
from sage.matroids.constructor import Matroid
rows = {rows}
start = time.process_time()
p = Matroid(matrix(QQ, rows).transpose()).characteristic_polynomial()
print(abs(p(-1)), time.process_time() - start)
"""


def planes(normals) -> list[TropicalPolynomial]:
    """Two-key heads: the hyperplanes through 0 with the given normals."""
    return [TropicalPolynomial([[0] * len(n), list(n)]) for n in normals]


def counted(heads, **options):
    """Result, wall seconds, processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    found = count_regions(heads, engine="enumeration", **options)
    return found.value, time.perf_counter() - wall, time.process_time() - processor


def family_table() -> None:
    """Families to n = 8 and n = 5, each against its number."""
    cases = [
        *((name, getattr(families, name), n) for name in ("braid", "shi") for n in range(2, 6)),
        *(("resonance", families.resonance, n) for n in range(2, 6)),
        *(("associahedron", families.associahedron, n) for n in range(3, 9)),
        *(("permutohedron", families.permutohedron, n) for n in range(3, 9)),
    ]
    print(f"{'family':>14} {'n':>2} {'cells':>6} {'expected':>8} {'s':>8}")
    for name, family, n in cases:
        units, _, expected = family(n)
        heads = [TropicalPolynomial(slopes, offsets) for slopes, offsets in units]
        value, wall, _ = counted(heads)
        print(
            f"{name:>14} {n:>2} {value:>6} {expected:>8} {wall:>8.3f}"
            f"{'' if value == expected else '  WRONG'}",
            flush=True,
        )


def arrangement(name: str, normals, expected: int | None) -> None:
    """One central arrangement, and Sage's count of it where it is installed."""
    value, wall, processor = counted(planes(normals))
    line = f"{name}: {value} cells in {wall:.2f} s, {value / wall:,.0f} a second"
    if expected is not None:
        line += f" (expected {expected})"
    if shutil.which("sage"):
        code = SAGE.format(rows=[[int(v) for v in n] for n in normals])
        answer = subprocess.run(["sage", "-c", code], capture_output=True, text=True).stdout.split()
        line += (
            f"; Sage {answer[0]} in {float(answer[1]):.1f} s, {float(answer[1]) / processor:.0f}"
        )
        line += " times our processor time"
    print(line, flush=True)


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out what takes over a minute")
    options = parser.parse_args()
    count_regions(planes([(1, 0), (0, 1)]), engine="enumeration")
    family_table()
    rng = np.random.default_rng(8)
    resonance = [v for v in product((0, 1), repeat=5) if any(v)]
    arrangement("resonance, n = 5", resonance, 11292)
    arrangement("20 planes in R^8", np.round(1000 * rng.standard_normal((20, 8))), 188368)
    large = [v for v in product((0, 1), repeat=6) if any(v)]
    arrangement("resonance, n = 6", large, 1066044)
    layer = initialisers.gaussian_heads(6, 10, 8, seed=1)
    count_regions(initialisers.gaussian_heads(3, 3, 6, seed=1), engine="enumeration")
    one, alone, _ = counted(layer, threads=1)
    two, together, _ = counted(layer, threads=2)
    assert one == two
    print(
        f"10 heads of 6 keys on R^8: {one} cells, {alone:.1f} s on one thread, {together:.1f} s "
        f"on two: {alone / together:.2f} times",
        flush=True,
    )
    if not options.quick:
        layer = initialisers.gaussian_heads(6, 13, 8, seed=2)
        value, wall, _ = counted(layer)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"13 heads of 6 keys on R^8: {value} cells in {wall:.0f} s, "
            f"{value / wall:,.0f} a second, peak memory {peak:.2f} GiB"
        )


if __name__ == "__main__":
    main()

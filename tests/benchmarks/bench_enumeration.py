"""Cells of central Gaussian layers against scipy's Qhull forming the same Minkowski sum.

    python tests/benchmarks/bench_enumeration.py [--skip-peers]

Qhull adds one summand at a time and keeps the hull's vertices; sums stay raw points until they are
full-dimensional. Both sides run on this machine in this process, compile time excluded (stated
apart), one line an instance, the ratio last. Counts must agree.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
from scipy.spatial import ConvexHull

from tropattn import TropicalPolynomial, count_regions, initialisers

INSTANCES = [
    (3, 8, 50),
    (3, 16, 50),
    (3, 32, 50),
    (4, 8, 10),
    (4, 8, 20),
    (5, 5, 10),
    (5, 8, 6),
    (5, 6, 12),
    (6, 6, 8),
    (6, 5, 10),
]
BEYOND = [(8, 4, 6), (8, 4, 8), (8, 6, 6)]
AFFINE = [(4, 4, 12), (5, 5, 10), (6, 6, 8), (8, 4, 16), (8, 8, 6)]


def instance(dim: int, heads: int, keys: int) -> list[np.ndarray]:
    """Rounded 1000 * normal keys, a function of the sizes."""
    rng = np.random.default_rng([dim, heads, keys])
    return [np.round(1000 * rng.standard_normal((keys, dim))) for _ in range(heads)]


def qhull_vertices(summands: list[np.ndarray]) -> int:
    """Vertices of the Minkowski sum by incremental hulls."""
    points = np.zeros((1, summands[0].shape[1]))
    full = False
    for keys in summands:
        points = (points[:, None, :] + keys[None, :, :]).reshape(-1, points.shape[1])
        full = full or np.linalg.matrix_rank(points - points[0]) == points.shape[1]
        if full:
            points = points[ConvexHull(points).vertices]
    return len(points)


def timed(call, repeat: int = 1):
    """Result and best wall time."""
    best = math.inf
    for _ in range(repeat):
        started = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - started)
    return result, best


def affine() -> None:
    """Affine Gaussian layers with H <= d on one thread: cells a second of processor time."""
    for dim, heads, keys in AFFINE:
        layer = initialisers.gaussian_heads(keys, heads, dim, seed=dim)
        started = time.process_time()
        counted = count_regions(layer, engine="enumeration", threads=1).value
        rate = counted / (time.process_time() - started)
        print(f"affine {dim}, {heads}, {keys}: {counted} cells, {rate:.0f} a second, one thread")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skip-peers", action="store_true")
    options = parser.parse_args()
    warm = [TropicalPolynomial(k) for k in instance(4, 3, 4)]
    _, compiling = timed(lambda: count_regions(warm, engine="enumeration"))
    _, _ = timed(lambda: count_regions([TropicalPolynomial(k) for k in instance(3, 3, 4)]))
    print(f"first call, compilation or cache included: {compiling:.2f} s")
    print(f"{'d, H, N':>12} {'cells':>9} {'ours s':>9} {'cells/s':>9} {'Qhull s':>9} {'ratio':>8}")
    logs = []
    for sizes in INSTANCES + BEYOND:
        keys = instance(*sizes)
        heads = [TropicalPolynomial(k) for k in keys]
        counted, ours = timed(lambda heads=heads: count_regions(heads), 3)
        line = (
            f"{str(sizes)[1:-1]:>12} {counted.value:>9} {ours:>9.4f} {counted.value / ours:>9.0f}"
        )
        if options.skip_peers or sizes in BEYOND:
            print(line, flush=True)
            continue
        vertices, theirs = timed(lambda keys=keys: qhull_vertices(keys))
        logs.append(math.log(theirs / ours))
        agree = "" if vertices == counted.value else f"  Qhull says {vertices}"
        print(f"{line} {theirs:>9.3f} {theirs / ours:>8.1f}{agree}", flush=True)
    affine()
    if logs:
        print(f"geometric mean of the ratios: {math.exp(sum(logs) / len(logs)):.1f}")


if __name__ == "__main__":
    main()

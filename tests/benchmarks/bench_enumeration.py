"""Cells of central Gaussian layers against scipy's Qhull forming the same Minkowski sum.

    python tests/benchmarks/bench_enumeration.py [--skip-peers] [--exact]

Qhull adds one summand at a time and keeps the hull's vertices; sums stay raw points until they are
full-dimensional. Both sides run on this machine in this process, compile time excluded (stated
apart), one line an instance, the ratio last. Counts must agree. Best of three runs, of one where a
run of Qhull takes over two seconds.

``--exact`` adds the exact tools that are installed, gfan and polymake, on keys of small integers;
their start (about 0.01 s and 1 s) is in their times.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import resource
import shutil
import time

import bench_minkowski
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
EXACT = [(3, 5, 20), (3, 8, 20), (4, 4, 8), (4, 8, 6), (5, 4, 8), (5, 5, 6)]
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


def qhull_within(summands: list[np.ndarray], limit: int) -> tuple[int | None, float]:
    """Those vertices and the least processor time of three runs, of one if it takes over 2 s.

    In a process of its own, which is stopped after ``limit`` seconds: (None, ``limit``) then.
    """

    def answer(to):
        resource.setrlimit(resource.RLIMIT_CPU, (limit + 1, limit + 1))
        best = math.inf
        for _ in range(3):
            started = time.process_time()
            vertices = qhull_vertices(summands)
            best = min(best, time.process_time() - started)
            if best > 2:
                break
        to.send((vertices, best))

    forked = multiprocessing.get_context("fork")
    here, there = forked.Pipe(duplex=False)
    process = forked.Process(target=answer, args=(there,))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        return None, float(limit)
    finally:
        process.join()


def timed(call, repeat: int = 1):
    """Result and best wall time."""
    best = math.inf
    for _ in range(repeat):
        started = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - started)
        if best > 2:
            break
    return result, best


def exact_tools() -> None:
    """Exact Minkowski sums of the same keys by gfan and polymake."""
    peers = [peer for peer in ("gfan", "polymake") if shutil.which(peer)]
    print(f"{'d, H, N':>12} {'cells':>9} {'ours s':>9}" + "".join(f"{p:>30}" for p in peers))
    for sizes in EXACT:
        keys = [np.rint(k / 250).clip(-10, 10).astype(int) for k in instance(*sizes)]
        counted, ours = timed(lambda k=keys: count_regions([TropicalPolynomial(a) for a in k]), 3)
        line = f"{str(sizes)[1:-1]:>12} {counted.value:>9} {ours:>9.4f}"
        for peer in peers:
            answer = bench_minkowski.sum_by(peer, [k.tolist() for k in keys], 600.0)
            if answer is None:
                line += f"{'-':>30}"
                continue
            vertices, seconds, _ = answer
            wrong = "" if vertices == counted.value else f" says {vertices}"
            told = f"{seconds:.2f} s, {vertices / seconds:.0f}/s, {seconds / ours:.0f} x{wrong}"
            line += f"{told:>30}"
        print(line, flush=True)


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
    parser.add_argument("--exact", action="store_true", help="run gfan and polymake as well")
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
        vertices, theirs = timed(lambda keys=keys: qhull_vertices(keys), 3)
        logs.append(math.log(theirs / ours))
        agree = "" if vertices == counted.value else f"  Qhull says {vertices}"
        print(f"{line} {theirs:>9.3f} {theirs / ours:>8.1f}{agree}", flush=True)
    affine()
    if logs:
        print(f"geometric mean of the ratios: {math.exp(sum(logs) / len(logs)):.1f}")
    if options.exact:
        exact_tools()


if __name__ == "__main__":
    main()

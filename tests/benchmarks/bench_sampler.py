"""Speed of the sampler; run ``python tests/benchmarks/bench_sampler.py`` (``--quick``: smaller).

Table 1: points against the plain NumPy pipeline in double precision, each in a process of its own,
runs interleaved; by the clock and by the processor's time, which other programs do not stretch.
Table 2, by the processor's time of all threads: lines against points on two layers with millions of
cells, up to the number that points find, and for the same time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

HEADS, KEYS, DIM = 12, 256, 64


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def layer(heads: int, keys: int, dim: int, seed: int = 0) -> np.ndarray:
    """Slopes (H, N, d) of Gaussian keys."""
    return np.random.default_rng(seed).standard_normal((heads, keys, dim))


def plain(slopes: np.ndarray, n_samples: int) -> int:
    """Draw, multiply, take the argmax of each head, count distinct rows."""
    heads, _, dim = slopes.shape
    x = np.random.default_rng(1).standard_normal((n_samples, dim))
    # One head at a time: all scores at once would be 25 GB for 10^6 draws.
    winners = np.stack([(x @ slopes[h].T).argmax(axis=1) for h in range(heads)], axis=1)
    return len(np.unique(winners.astype(np.int16), axis=0))


def ours(slopes: np.ndarray, n_samples: int, threads: int) -> int:
    """Count by ``sample_regions``."""
    from tropattn import TropicalPolynomial, sample_regions

    heads = [TropicalPolynomial(a) for a in slopes]
    found = sample_regions(heads, n_samples, seed=1, distribution="gaussian", threads=threads)
    return found.value


def measure(which: str, n_samples: int, threads: int) -> None:
    """Run one pipeline after a warm-up; print its seconds, those of the processor, extra memory."""
    slopes = layer(HEADS, KEYS, DIM)

    def run(n: int) -> int:
        return plain(slopes, n) if which == "plain" else ours(slopes, n, threads)

    run(2000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, worked = time.perf_counter(), time.process_time()
    run(n_samples)
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    sys.stdout.write(json.dumps([seconds, worked, peak / 1024]) + "\n")


def matmul_rate(threads: int) -> float:
    """Single-precision multiply-adds of NumPy's own square product, 10^9 a second."""
    size = 3000
    a = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
    a @ a
    times = []
    for _ in range(5):
        started = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - started)
    return size**3 / min(times) / 1e9


def table_points(n_samples: int, repeats: int, threads: int) -> None:
    """Table 1."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads)}
    results: dict[str, list[list[float]]] = {"plain": [], "ours": []}
    for _ in range(repeats):
        for which, found in results.items():
            command = [sys.executable, __file__, "--measure", which, "--samples", str(n_samples)]
            command += ["--threads", str(threads)]
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            )
            found.append(json.loads(done.stdout))
    work = n_samples * HEADS * KEYS * DIM / 1e9
    say(f"{n_samples:,} Gaussian points, d = {DIM}, {HEADS} heads x {KEYS} keys, {threads} threads")
    say("pipeline   seconds (median)   processor's   10^9 mult-adds/s   extra memory MB")
    middle = {}
    for which, found in results.items():
        middle[which] = [statistics.median(row[i] for row in found) for i in range(3)]
        seconds, worked, memory = middle[which]
        say(f"{which:8} {seconds:12.2f} {worked:18.2f} {work / seconds:16.1f} {memory:18.0f}")
    pairs = list(zip(results["plain"], results["ours"], strict=True))
    by_clock = sorted(a[0] / b[0] for a, b in pairs)
    by_work = sorted(a[1] / b[1] for a, b in pairs)
    rate = matmul_rate(threads)
    say(
        f"speed x {statistics.median(by_clock):.2f} (pairs {by_clock[0]:.2f} to "
        f"{by_clock[-1]:.2f}), by processor's time x {statistics.median(by_work):.2f}, "
        f"memory / {middle['plain'][2] / middle['ours'][2]:.0f}, "
        f"{100 * work / middle['ours'][0] / rate:.0f} % of the machine's single-precision matmul "
        f"({rate:.0f} x 10^9 multiply-adds/s)"
    )


def find(heads: list, method: str, chunk: int, enough: Callable[[float, int], bool], threads: int):
    """Draw chunks until enough; processor's seconds, draws, cells, share of new ones at the end."""
    from tropattn.regions.sampling.estimates import Tally
    from tropattn.regions.sampling.sampler import draw_sample

    tally, spent, start = Tally(), 0.0, 0
    while not start or not enough(spent, tally.distinct):
        began = time.process_time()
        options = {"distribution": "gaussian", "method": method, "threads": threads}
        part = draw_sample(heads, chunk, seed=0, start=start, **options)
        spent += time.process_time() - began
        before = tally.distinct
        tally.add(part.hashes, part.firsts, part.counts)
        fresh = (tally.distinct - before) / int(part.counts.sum())
        start += chunk
    return spent, start, tally.distinct, fresh


def table_lines(seconds: float, threads: int) -> None:
    """Table 2."""
    from tropattn import TropicalPolynomial, sample_regions
    from tropattn.attention.constructions import parabola_strips

    rng = np.random.default_rng(5)
    layers = {
        # Sum of e_j(4, ..., 4), j <= 6, of 12 fours (theory T6); the second counted by enumeration.
        "strips 12 x 5 (4,737,617 cells)": parabola_strips([5] * 12, 6),
        "Gaussian 12 x 12 (2,478,517 cells)": [
            TropicalPolynomial(rng.standard_normal((12, 6)), rng.standard_normal(12))
            for _ in range(12)
        ],
    }
    say(f"\nd = 6, normal draws, {threads} threads: points for {seconds:g} s, lines up to as many")
    say("layer                                   method       draws     cells  new/visit  seconds")
    for name, heads in layers.items():
        for method in ("points", "lines"):
            sample_regions(heads, 512, seed=0, distribution="gaussian", method=method)
        points = find(heads, "points", 1 << 20, lambda t, _: t >= seconds, threads)
        lines = find(heads, "lines", 1 << 12, lambda _, n, m=points[2]: n >= m, threads)
        more = find(heads, "lines", 1 << 16, lambda t, _: t >= seconds, threads)
        for method, row in (("points", points), ("lines", lines), ("lines", more)):
            say(f"{name:38}  {method:6} {row[1]:11,} {row[2]:9,} {row[3]:10.4f} {row[0]:8.2f}")
        rates = (lines[2] / lines[0]) / (points[2] / points[0])
        say(f"{'':38}  lines find x {rates:.1f} cells a second up to that number")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the draws")
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--measure", choices=("plain", "ours"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.samples, options.threads)
        return
    share = 5 if options.quick else 1
    table_points(options.samples // share, options.repeats, options.threads)
    table_lines(options.seconds / share, options.threads)


if __name__ == "__main__":
    main()

"""Time against the number of cells, engine by engine, as a table and (``--figure FILE``) a picture.

    python tests/benchmarks/bench_curves.py --figure docs/figures/engines.png

Central Gaussian layers of growing size; best of two runs on all threads, after a warm-up.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np

from tropattn import TropicalPolynomial, count_regions, initialisers

SIZES = {
    "plane, d = 3 central": ("plane", [(3, h, 40) for h in (4, 8, 16, 32, 64, 128)]),
    "subsets, d = 4 central": ("subsets", [(4, h, 10) for h in (3, 5, 8, 12, 18, 26)]),
    "enumeration, d = 3": ("enumeration", [(3, h, 40) for h in (4, 8, 16, 32)]),
    "enumeration, d = 4": ("enumeration", [(4, h, 10) for h in (3, 5, 8, 12, 18)]),
    "enumeration, d = 5": ("enumeration", [(5, h, 8) for h in (2, 3, 5, 7, 9)]),
    "enumeration, d = 6": ("enumeration", [(6, h, 7) for h in (2, 3, 4, 6, 7)]),
    "enumeration, d = 8": ("enumeration", [(8, h, 6) for h in (2, 3, 4, 5, 6, 7)]),
}
LINE = [1_000, 10_000, 100_000, 1_000_000]


def timed(call, repeat: int = 2):
    """Result and best wall time."""
    best = math.inf
    for _ in range(repeat):
        started = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - started)
    return result, best


def main() -> None:
    """Print, and draw where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", help="file to draw to")
    options = parser.parse_args()
    curves = {}
    for name, (engine, sizes) in SIZES.items():
        count_regions(initialisers.gaussian_heads(4, 3, sizes[0][0], seed=0, central=True))
        for dim, heads, keys in sizes:
            layer = initialisers.gaussian_heads(keys, heads, dim, seed=heads, central=True)
            counted, seconds = timed(lambda e=engine, a=layer: count_regions(a, engine=e))
            curves.setdefault(name, []).append((counted.value, seconds))
            print(
                f"{name:>24} H = {heads:>3} N = {keys:>2} {counted.value:>8} cells "
                f"{1e3 * seconds:>9.2f} ms {1e6 * seconds / counted.value:>8.2f} us a cell",
                flush=True,
            )
    rng = np.random.default_rng(1)
    line = []
    for keys in LINE:
        head = TropicalPolynomial(rng.standard_normal((keys, 1)), rng.standard_normal(keys))
        _, seconds = timed(lambda head=head: count_regions([head], engine="line"))
        line.append((keys, seconds))
        print(f"{'line, one head':>24} N = {keys:>8} {1e3 * seconds:>9.2f} ms", flush=True)
    if options.figure:
        draw(curves, line, options.figure)


def draw(curves, line, file: str) -> None:
    """Two panels: microseconds a cell, and a line's milliseconds against its keys."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), width_ratios=[2, 1])
    for name, points in curves.items():
        cells, seconds = np.array(points).T
        left.loglog(cells, 1e6 * seconds / cells, marker="o", markersize=3, label=name)
    left.set(xlabel="cells", ylabel="microseconds a cell")
    left.legend(fontsize=7)
    keys, seconds = np.array(line).T
    right.loglog(keys, 1e3 * seconds, marker="o", markersize=3, color="black")
    right.set(xlabel="keys of a head on a line", ylabel="milliseconds")
    for axis in (left, right):
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(file, dpi=90)


if __name__ == "__main__":
    main()

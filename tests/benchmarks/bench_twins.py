"""What heads cost that repeat others, exactly or nearly: ratios to generic heads of the same size.

    python tests/benchmarks/bench_twins.py [--engine NAME]

Processor time of ``count_regions`` on one thread, best of three after a warm-up; all layers of a
table are timed in turn. ``without``: to the layer without the repeated head. ``generic``: what the
head adds, to what a generic head of as many keys adds.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np

from tropattn import Box, TropicalPolynomial, count_regions

CASES = [(2, 5, 20), (2, 2, 40), (3, 3, 12), (4, 2, 10)]


def head(rng, keys: int, dim: int) -> TropicalPolynomial:
    """Gaussian sites of an ordinary Voronoi diagram."""
    sites = rng.standard_normal((keys, dim))
    return TropicalPolynomial(sites, -(sites**2).sum(axis=1) / 2)


def repeats(rng, f: TropicalPolynomial) -> dict[str, TropicalPolynomial]:
    """The same cells again, exactly or up to rounding."""
    a, c = f.slopes, f.intercepts
    order = rng.permutation(len(a))
    whole = np.rint(2.0**20 * a) / 2.0**20
    return {
        "exact copy": TropicalPolynomial(a, c),
        "times 2": TropicalPolynomial(2 * a, 2 * c),
        "keys permuted": TropicalPolynomial(a[order], c[order]),
        "factors kept": f.pullback(np.eye(f.dim)),
        "times 3, near": TropicalPolynomial(3 * a, 3 * c),
        "times 3.7, near": TropicalPolynomial(3.7 * a, 3.7 * c),
        "single precision, near": TropicalPolynomial(a.astype("f4"), c.astype("f4")),
        "last bits, near": TropicalPolynomial(np.nextafter(a, rng.choice([-9.0, 9.0], a.shape)), c),
        "affine added, near": TropicalPolynomial(a + whole[0], c + 0.3),
    }


def timed(layers: dict[str, tuple], engine: str, repeat: int = 3) -> dict[str, tuple[int, float]]:
    """Cells and best time of each (heads, domain), in turn."""
    best = dict.fromkeys(layers, math.inf)
    cells = {}
    for _ in range(repeat):
        for name, (heads, domain) in layers.items():
            started = time.process_time()
            cells[name] = count_regions(heads, domain, engine=engine, threads=1).value
            best[name] = min(best[name], time.process_time() - started)
    return {name: (cells[name], best[name]) for name in layers}


def table(dim: int, heads: int, keys: int, domain: Box | None, engine: str) -> None:
    """All repeats of the first head of one layer."""
    rng = np.random.default_rng([dim, heads, keys])
    layer = [head(rng, keys, dim) for _ in range(heads)]
    layers = {"without": (layer, domain), "generic": ([*layer, head(rng, keys, dim)], domain)}
    for name, copy in repeats(rng, layer[0]).items():
        layers[name] = ([*layer, copy], domain)
    found = timed(layers, engine)
    alone, generic = found["without"], found["generic"]
    where = "whole space" if domain is None else "window"
    print(f"d = {dim}, {heads} heads of {keys} keys, {where}: {alone[0]} cells, "
          f"{1e3 * alone[1]:.1f} ms; one more generic head {generic[0]} cells, "
          f"{1e3 * generic[1]:.1f} ms")  # fmt: skip
    added = max(generic[1] - alone[1], 1e-4)
    for name, (cells, seconds) in found.items():
        if name not in ("without", "generic"):
            print(f"    {name:<24}{cells:>8} cells {1e3 * seconds:>9.1f} ms "
                  f"{seconds / alone[1]:>7.1f} of without "
                  f"{(seconds - alone[1]) / added:>7.1f} of generic", flush=True)  # fmt: skip


def lattices(engine: str) -> None:
    """Square and cubic lattices with a shifted copy, beside generic keys."""
    rng = np.random.default_rng(7)
    for dim, side in ((2, 15), (3, 5)):
        grid = np.stack(np.meshgrid(*[np.arange(side)] * dim), -1).reshape(-1, dim) * 1.0
        f = TropicalPolynomial(grid, -(grid**2).sum(axis=1) / 2)
        pairs = {"generic": ([head(rng, len(grid), dim) for _ in range(2)], None)}
        for shift in (0.0, 0.5, 1 / 3, 1.0):
            pairs[f"shift {shift:.2f}"] = ([f, f.pullback(np.eye(dim), [shift] * dim)], None)
        found = timed(pairs, engine, 1)
        for name, (cells, seconds) in found.items():
            print(f"{side}^{dim} keys twice, {name:<12}{cells:>6} cells {1e3 * seconds:>9.1f} ms "
                  f"{seconds / found['generic'][1]:>7.1f} of generic", flush=True)  # fmt: skip


def shared(engine: str) -> None:
    """Grouped-query heads, the same keys seen through other W_Q: no twins."""
    rng = np.random.default_rng(8)
    keys = rng.standard_normal((12, 2))
    layers = {}
    for name, common in (("own keys", False), ("shared keys", True)):
        heads = []
        for _ in range(4):
            mine = keys if common else rng.standard_normal((12, 2))
            heads.append(TropicalPolynomial(mine).pullback(rng.standard_normal((3, 2))))
        layers[name] = (heads, Box([-1] * 3, [1] * 3))
    for name, (cells, seconds) in timed(layers, engine).items():
        print(f"4 heads of 12 keys in 2 of 3 dimensions, {name}: {cells} cells, "
              f"{1e3 * seconds:.1f} ms")  # fmt: skip


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="auto", help="auto, enumeration")
    engine = parser.parse_args().engine
    rng = np.random.default_rng(0)
    warm = [head(rng, 4, 2) for _ in range(2)]
    for name in ("auto", "enumeration"):
        count_regions(warm, engine=name)
    count_regions([head(rng, 4, 3) for _ in range(2)])
    for dim, heads, keys in CASES:
        for domain in (None, Box([-1] * dim, [1] * dim)):
            table(dim, heads, keys, domain, engine)
    lattices(engine)
    shared(engine)


if __name__ == "__main__":
    main()

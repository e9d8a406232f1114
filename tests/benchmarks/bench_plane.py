"""Planes and lines: time of a count, of polygons, and cost per cell as the number of cells grows.

    python tests/benchmarks/bench_plane.py [--peer]

``--peer`` adds shapely (optional): the walls as segments, nodded by ``unary_union`` and closed by
``polygonize``. Best of three runs on all threads after a warm-up, compile time stated apart.
"""

from __future__ import annotations

import argparse
import math
import resource
import time

import numpy as np

from tropattn import Box, TropicalPolynomial, count_regions, line_cells, plane_cells

WINDOW = Box([-1, -1], [1, 1])
GROWTH = [(12, 12), (24, 20), (40, 32), (64, 50), (100, 80), (160, 120), (260, 120)]


def layer(heads: int, keys: int) -> list[TropicalPolynomial]:
    """Gaussian keys with Gaussian biases, a function of the sizes."""
    rng = np.random.default_rng([2, heads, keys])
    return [
        TropicalPolynomial(rng.standard_normal((keys, 2)), 0.5 * rng.standard_normal(keys))
        for _ in range(heads)
    ]


def timed(call, repeat: int = 3):
    """Result and best wall time."""
    best = math.inf
    for _ in range(repeat):
        started = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - started)
    return result, best


def shapely_faces(heads: list[TropicalPolynomial]) -> int:
    """Faces of the overlay: every head's polygons, their sides nodded and closed again."""
    from shapely import LineString, box, polygonize, unary_union

    sides = [box(-1, -1, 1, 1).exterior]
    for head in heads:
        cells = plane_cells([head], WINDOW)
        for r in range(len(cells)):
            corners = cells.polygon(r)
            seen = cells.neighbours[cells.offsets[r] : cells.offsets[r + 1]]
            for m in range(len(corners)):
                if seen[m] > r:
                    sides.append(LineString([corners[m - 1], corners[m]]))
    return len(polygonize(list(unary_union(sides).geoms)).geoms)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", action="store_true", help="run shapely as well")
    options = parser.parse_args()
    _, compiling = timed(lambda: plane_cells(layer(2, 3), WINDOW), 1)
    _, more = timed(lambda: count_regions(layer(3, 4), WINDOW), 1)
    print(f"first calls, compilation or cache included: {compiling + more:.2f} s")
    heads = layer(32, 50)
    counted, count_time = timed(lambda: count_regions(heads, WINDOW))
    overlay, overlay_time = timed(lambda: count_regions(heads, WINDOW, engine="enumeration"), 1)
    drawn, draw_time = timed(lambda: plane_cells(heads, WINDOW))
    print(
        f"32 heads of 50 keys: {counted.value} cells; count {1e3 * count_time:.1f} ms "
        f"({counted.engine}), {1e3 * overlay_time:.0f} ms by full overlay ({overlay.value}), "
        f"{1e3 * draw_time:.0f} ms with polygons, areas {drawn.areas.sum():.12f} of 4"
    )
    dense = strips(32, 50)
    counted, count_time = timed(lambda: count_regions(dense, WINDOW))
    drawn, draw_time = timed(lambda: plane_cells(dense, WINDOW))
    print(
        f"32 heads of 50 keys, all live: {counted.value} cells; count {1e3 * count_time:.1f} ms, "
        f"{1e3 * draw_time:.0f} ms with polygons"
    )
    if options.peer:
        faces, theirs = timed(lambda: shapely_faces(dense), 1)
        print(
            f"shapely on the same walls: {faces} faces, {theirs:.2f} s, "
            f"{theirs / count_time:.0f} times the count, {theirs / draw_time:.1f} the polygons"
        )
    growth()
    rng = np.random.default_rng(3)
    wide = [
        TropicalPolynomial(rng.standard_normal((100_000, 1)), rng.standard_normal(100_000))
        for _ in range(64)
    ]
    cells, seconds = timed(lambda: line_cells(wide))
    print(f"line, 64 heads of 100,000 keys: {len(cells)} cells in {seconds:.2f} s")


def growth() -> None:
    """Time a cell, and the largest memory of this process so far, as the number of cells grows."""
    print(f"{'heads':>6} {'keys':>5} {'cells':>9} {'count s':>9} {'us each':>8} "
          f"{'polygons s':>11} {'us each':>8} {'patterns MB':>12} {'peak MB':>8}")  # fmt: skip
    for heads, keys in GROWTH:
        layer = strips(heads, keys)
        counted, seconds = timed(lambda layer=layer: count_regions(layer, WINDOW))
        cells = counted.value
        # Only the number is kept, so that two results are never held at once.
        drawn, longer = timed(
            lambda layer=layer: len(plane_cells(layer, WINDOW, max_cells=10**7)), 2
        )
        assert drawn == cells
        size = 4e-6 * cells * heads
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{heads:>6} {keys:>5} {cells:>9} {seconds:>9.4f} {1e6 * seconds / cells:>8.2f} "
            f"{longer:>11.3f} {1e6 * longer / cells:>8.2f} {size:>12.1f} {peak:>8.0f}",
            flush=True,
        )


def strips(heads: int, keys: int) -> list[TropicalPolynomial]:
    """Power diagrams of which most cells meet the window: sites in it, weights nearly equal."""
    rng = np.random.default_rng([3, heads, keys])
    layer = []
    for _ in range(heads):
        sites = rng.uniform(-1.72, 1.72, (keys, 2))
        layer.append(TropicalPolynomial(sites, -(sites**2).sum(axis=1) / 2))
    return layer


if __name__ == "__main__":
    main()

"""Diagrams of one head with their graphs against Qhull's hull of the same lifted points.

    python tests/benchmarks/bench_diagrams.py [--large] [--today]

Processor time of one thread, the least of some runs, compile time excluded. ``proved`` is the
proved upper hull with its edges, ``diagram`` all of ``head_diagram`` from the polynomial; ``cells``
what its maximal cells take on top. ``--large`` goes to 100,000 keys, ``--today`` adds
``power_diagram().adjacency()`` and ``subdivision()`` on 500 keys.
"""

import sys
import time
from itertools import product

import numpy as np
from scipy.spatial import ConvexHull

from tropattn.arrays import rational_matrix
from tropattn.polyhedra.hull.proved import hull
from tropattn.tropical.geometry.diagram import head_diagram
from tropattn.tropical.geometry.subdivision import subdivision
from tropattn.tropical.polynomial import PowerDiagram, TropicalPolynomial


def least(action, runs):
    best, out = np.inf, None
    for _ in range(runs):
        start = time.process_time()
        out = action()
        best = min(best, time.process_time() - start)
    return best, out


def proved(points):
    found = hull(
        points, np.zeros(points.shape), lambda js: rational_matrix(points[np.asarray(js)]), True
    )
    return found, found.edges()


def lifted(sites):
    return np.column_stack([sites, -(sites**2).sum(axis=1)])


def moment(n, d):
    t = np.linspace(-1.0, 1.0, n)
    return np.column_stack([*(t**i for i in range(1, d + 1)), -(t ** (d + 1))])


def grid(n, d):
    side = round(n ** (1 / d))
    return np.array(list(product(range(side), repeat=d)), dtype=float)


def instances(large):
    rng = np.random.Generator(np.random.Philox(18))
    for n in (1_000, 10_000, 100_000) if large else (1_000, 10_000):
        for d in (2, 3):
            yield f"d={d} uniform", lifted(rng.random((n, d)))
            yield f"d={d} Gaussian", lifted(rng.standard_normal((n, d)))
            yield f"d={d} mostly dead", rng.standard_normal((n, d + 1))
        if n <= 10_000:
            yield "d=2 integer grid", lifted(grid(n, 2))
            yield "d=2 grid of tenths", lifted(grid(n, 2) * 0.1 + 0.3)
    yield "d=3 integer grid", lifted(grid(1_000, 3))
    for n in (100, 200, 500) if large else (100, 200):
        yield "d=3 moment curve", moment(n, 3)
    yield "d=4 Gaussian", lifted(rng.standard_normal((300, 4)))
    yield "d=5 Gaussian", lifted(rng.standard_normal((100, 5)))


def main():
    large, today = "--large" in sys.argv, "--today" in sys.argv
    print(f"{'instance':22}{'keys':>8}{'live':>8}{'walls':>9}{'Qhull ms':>10}"
          f"{'proved':>9}{'diagram':>9}{'cells':>8}{'exact':>8}  inserted")  # fmt: skip
    for name, points in instances(large):
        few = points[: points.shape[1] + 3]
        for warm in (few, points[:200]):
            head_diagram(TropicalPolynomial(warm[:, :-1], warm[:, -1]))
        runs = 5 if len(points) <= 1_000 else 1
        base, _ = least(lambda p=points: ConvexHull(p), runs)
        mine, (found, _) = least(lambda p=points: proved(p), runs)
        whole, diagram = least(
            lambda p=points: head_diagram(TropicalPolynomial(p[:, :-1], p[:, -1])), runs
        )
        cells, _ = least(lambda g=diagram: g.n_cells, 1)
        print(f"{name:22}{len(points):8}{len(diagram.live):8}{len(diagram.walls):9}"
              f"{base * 1e3:10.1f}{mine / base:9.2f}{whole / base:9.2f}{cells / base:8.2f}"
              f"{found.rows.count:8}  {found.inserted}", flush=True)  # fmt: skip
    if today:
        rng = np.random.Generator(np.random.Philox(18))
        sites = rng.standard_normal((500, 2))
        f = TropicalPolynomial(sites, -(sites**2).sum(axis=1))
        mine, diagram = least(lambda: head_diagram(f), 5)
        old, graph = least(lambda: PowerDiagram.from_polynomial(f).adjacency(), 1)
        cells, sub = least(lambda: subdivision(f), 1)
        agree = sorted(map(tuple, diagram.walls.tolist())) == sorted(
            tuple(sorted(e)) for e in graph.edges
        )
        same = sorted(diagram.cells) == sorted(sub.cells)
        print(f"500 keys, d = 2: {mine * 1e3:.1f} ms; adjacency() {old:.1f} s "
              f"(graph agrees: {agree}); subdivision() {cells:.1f} s "
              f"(cells agree: {same})")  # fmt: skip


if __name__ == "__main__":
    main()

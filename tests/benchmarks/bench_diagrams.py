"""Diagrams of one head, and plane counts, against Qhull's hull of the same lifted points.

    python tests/benchmarks/bench_diagrams.py [--large] [--slow] [--peers] [--figure FILE]

Processor time of one thread, the least of some runs, compile time excluded; ratios are of one
process. ``proved`` is the proved upper hull with its edges, ``diagram`` all of ``head_diagram``
from the polynomial, ``cells`` what its maximal cells take on top. ``--large`` goes to 100,000 keys,
``--slow`` adds the walk along edges of the lifted polytope, ``--peers`` polymake's and gfan's
answers where they are installed, ``--figure`` draws time against the number of keys.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
from scipy.spatial import ConvexHull, Voronoi

from tropattn import PowerDiagram, Slice, TropicalPolynomial, count_regions, subdivision
from tropattn.arrays import rational_matrix
from tropattn.polyhedra.hull.proved import hull
from tropattn.regions.euler import diagrams
from tropattn.tropical import interchange
from tropattn.tropical.geometry.diagram import head_diagram
from tropattn.tropical.geometry.regular import walked_subdivision


def least(action, runs):
    """Least processor time of some runs, and what they gave."""
    best, out = np.inf, None
    for _ in range(runs):
        start = time.process_time()
        out = action()
        best = min(best, time.process_time() - start)
    return best, out


def proved(points):
    """The proved upper hull of lifted points, and its edges."""
    found = hull(
        points, np.zeros(points.shape), lambda js: rational_matrix(points[np.asarray(js)]), True
    )
    return found, found.edges()


def lifted(sites):
    """Sites on the paraboloid: all of them live."""
    return np.column_stack([sites, -(sites**2).sum(axis=1)])


def moment(n, d):
    """Points of the moment curve, each of whose cells touches all others from d = 3 on."""
    t = np.linspace(-1.0, 1.0, n)
    return np.column_stack([*(t**i for i in range(1, d + 1)), -(t ** (d + 1))])


def grid(n, d):
    """An integer grid of about n points."""
    side = round(n ** (1 / d))
    return np.array(list(product(range(side), repeat=d)), dtype=float)


def head_of(points):
    """A fresh polynomial, of which nothing is known yet."""
    return TropicalPolynomial(points[:, :-1], points[:, -1])


def instances(large):
    """Names and lifted points."""
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
    yield "d=3 grid of tenths", lifted(grid(1_000, 3) * 0.1 + 0.3)
    for n in (100, 200, 500) if large else (100, 200):
        yield "d=3 moment curve", moment(n, 3)
    yield "d=4 Gaussian", lifted(rng.standard_normal((300, 4)))
    yield "d=5 Gaussian", lifted(rng.standard_normal((100, 5)))


def table_of_diagrams(large):
    """Print the table of hulls and return (name, keys, ours, Qhull's) in seconds."""
    print(f"{'one head':22}{'keys':>8}{'live':>8}{'walls':>9}{'Qhull ms':>10}"
          f"{'proved':>9}{'diagram':>9}{'cells':>8}{'exact':>8}  inserted")  # fmt: skip
    rows = []
    for name, points in instances(large):
        for warm in (points[: points.shape[1] + 3], points[:200]):
            head_diagram(head_of(warm))
        runs = max(1, 20_000 // len(points))
        base, _ = least(lambda p=points: ConvexHull(p), runs)
        mine, (found, _) = least(lambda p=points: proved(p), runs)
        whole, diagram = least(lambda p=points: head_diagram(head_of(p)), runs)
        cells, _ = least(lambda g=diagram: g.n_cells, 1)
        print(f"{name:22}{len(points):8}{len(diagram.live):8}{len(diagram.walls):9}"
              f"{base * 1e3:10.1f}{mine / base:9.2f}{whole / base:9.2f}{cells / base:8.2f}"
              f"{found.rows.count:8}  {found.inserted}", flush=True)  # fmt: skip
        rows.append((name, len(points), whole, base))
    return rows


def table_of_objects(slow, peers):
    """Print ``adjacency()``, ``subdivision()`` and ``PowerDiagram`` beside other tools."""
    print(f"\n{'objects, ms':14}{'keys':>6}{'adjacency':>11}{'subdivision':>13}{'f-vector':>10}"
          f"{'sites':>9}{'Qhull':>9}{'Voronoi':>9}  others")  # fmt: skip
    rng = np.random.Generator(np.random.Philox(19))
    # The last two have integers so small that gfan's do not overflow.
    for d, n, size in (
        (2, 500, 1000), (3, 200, 1000), (4, 300, 1000), (5, 100, 1000), (4, 40, 8), (5, 20, 3),
    ):  # fmt: skip
        sites = np.round(size * rng.standard_normal((n, d)))
        points = lifted(sites)
        head_diagram(head_of(points))
        graph, _ = least(lambda p=points: head_of(p).power_diagram().adjacency(), 5)
        split, found = least(lambda p=points: subdivision(head_of(p)), 5)
        faces, vector = least(lambda p=points: subdivision(head_of(p)).f_vector(), 1)
        product_, _ = least(lambda s=sites: PowerDiagram(s).vertices, 3)
        base, _ = least(lambda p=points: ConvexHull(p), 5)
        theirs, _ = least(lambda s=sites: Voronoi(s), 3)
        print(f"d = {d:10}{n:6}{graph * 1e3:11.1f}{split * 1e3:13.1f}{faces * 1e3:10.1f}"
              f"{product_ * 1e3:9.1f}{base * 1e3:9.1f}{theirs * 1e3:9.1f}", end="")  # fmt: skip
        if slow:
            walk, other = least(lambda p=points: walked_subdivision(p), 1)
            agree = other.cells == found.cells
            print(f"  walk {walk:.1f} s ({walk / split:.0f} times, agree: {agree})", end="")
        if peers:
            for name, seconds, same in by_peers(points, found.cells, vector):
                times = "no answer" if same is None else f"{seconds / split:.0f} times, {same}"
                print(f"  {name} {seconds:.2f} s ({times})", end="")
        print(flush=True)


def by_peers(points, cells, vector):
    """A regular subdivision by polymake, the lifted polytope's fan by gfan; start included."""
    missing = [name for name in ("polymake", "gfan") if not shutil.which(name)]
    if missing:
        print(f"  ({', '.join(missing)} not installed)", end="")
    if shutil.which("polymake"):
        rows = [[1, *map(int, row)] for row in points[:, :-1].tolist()]
        text = (
            f'use application "polytope"; my $c = regular_subdivision(new Matrix<Rational>({rows}),'
            f" new Vector<Rational>({[int(-v) for v in points[:, -1]]})); print scalar(@$c);"
        )
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "split.pl"
            script.write_text(text, encoding="utf-8")
            seconds, told = outside(["polymake", "--script", str(script)], None)
        yield (
            "polymake",
            seconds,
            None if told is None else f"agree: {int(told) == len(cells)}",
        )
    if shutil.which("gfan"):
        try:
            given = interchange.to_gfan([head_of(points)], lifted=True)
        except ValueError:
            return
        seconds, told = outside(["gfan", "_minkowskisum", "--nocones"], given)
        yield "gfan", seconds, None if told is None else "all faces of the lifted polytope"


def outside(command, given):
    """Time of another program, and what it printed; None where it fails or takes ten minutes."""
    started = time.perf_counter()
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, check=True, timeout=600
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return time.perf_counter() - started, None
    return time.perf_counter() - started, done.stdout


def table_of_counts(slow):
    """Print plane counts with hulls, and with every cell cut out, in one process."""
    print(f"\n{'plane count, ms':26}{'cells':>8}{'ours':>9}{'cut out':>9}{'Qhull':>9}")
    rng = np.random.Generator(np.random.Philox(20))
    few = rng.standard_normal((3, 2))
    for n in (500, 1_000, 2_000, 4_000):
        show(f"{n} keys and 3", [lifted(rng.standard_normal((n, 2))), lifted(few)], slow or n < 2e3)
    show("32 heads of 50 keys", [lifted(rng.standard_normal((50, 2))) for _ in range(32)], True)
    keys, slopes = rng.standard_normal((30_522, 32)), rng.standard_normal((64, 32)) / 8
    plane = Slice([0.0] * 64, rng.standard_normal((2, 64)))

    def sliced():
        head = TropicalPolynomial(keys).pullback(slopes, np.ones(32))
        return count_regions([head], plane, threads=1)

    sliced()
    mine, counted = least(sliced, 2)
    print(f"{'30,522 keys on a slice':26}{counted.value:8}{mine * 1e3:9.1f}", flush=True)


def show(name, layer, both):
    """One line: hulls, and where asked polygons cut out cell by cell."""

    def count():
        return count_regions([head_of(points) for points in layer], engine="plane", threads=1).value

    count()
    mine, cells = least(count, 7)
    cut, usual = np.nan, diagrams._MANY
    if both:
        diagrams._MANY = 10**9
        cut, other = least(count, 3)
        diagrams._MANY = usual
        assert cells == other
    base, _ = least(lambda: [ConvexHull(points) for points in layer if len(points) > 3], 5)
    print(f"{name:26}{cells:8}{mine * 1e3:9.1f}{cut * 1e3:9.1f}{base * 1e3:9.1f}", flush=True)


def draw(rows, file):
    """Time against the number of keys, proved diagrams and Qhull's hulls."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for d, axis in zip((2, 3), axes, strict=True):
        for colour, kind in zip(("C0", "C1", "C2"), ("uniform", "Gaussian", "mostly dead"),
                                strict=True):  # fmt: skip
            some = [row for row in rows if row[0] == f"d={d} {kind}"]
            keys = [row[1] for row in some]
            axis.loglog(keys, [row[2] for row in some], "o-", color=colour, label=f"{kind}, proved")
            axis.loglog(keys, [row[3] for row in some], "x--", color=colour, label=f"{kind}, Qhull")
        axis.set(title=f"d = {d}", xlabel="keys of one head")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("seconds")
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(file, dpi=90)


def main():
    """Print the tables, and draw where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help="up to 100,000 keys")
    parser.add_argument("--slow", action="store_true", help="the roads of before as well")
    parser.add_argument("--peers", action="store_true", help="polymake and gfan as well")
    parser.add_argument("--figure", help="file to draw to")
    options = parser.parse_args()
    rows = table_of_diagrams(options.large or bool(options.figure))
    table_of_objects(options.slow, options.peers)
    table_of_counts(options.slow)
    if options.figure:
        draw(rows, options.figure)


if __name__ == "__main__":
    main()

"""Minkowski sums: this package beside gfan, Qhull (scipy) and polymake on the same sums.

Run from the repository root::

    python tests/benchmarks/bench_minkowski.py [--limit SECONDS] [--repeat N] [CASE ...]

One process a measurement; wall time and peak memory (resident set) of that process, best of
``--repeat``. The columns of the Python programs give the time of the sum alone, after a small sum
has loaded the compiled code; those of gfan and polymake include their start, about 0.01 s and 1 s.
Qhull gets all sums of points, as in arXiv 2604.14727; gfan lists no cones; polymake uses its
version of Fukuda's algorithm. Of the memory about 200 MiB (ours) and 160 MiB (Qhull) are imports.
A program that is not installed is skipped with a line.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reference import families

from tropattn import TropicalPolynomial, constructions
from tropattn.polyhedra.minkowski import minkowski_sum
from tropattn.tropical import interchange

Points = list[list[list[int]]]


def _family(family: Callable[[int], families.Family], n: int) -> Points:
    units, _, _ = family(n)
    return [slopes for slopes, _ in units]


def _strips(keys: list[int], d: int) -> Points:
    heads = constructions.parabola_strips(keys, d, central=True)
    return [f.slopes.astype(int).tolist() for f in heads]


def _random(d: int, sizes: list[int], seed: int) -> Points:
    rng = random.Random(seed)
    return [[[rng.randint(0, 10) for _ in range(d)] for _ in range(n)] for n in sizes]


CASES: dict[str, Callable[[], Points]] = {
    "strips-3x6-d3": lambda: _strips([6, 6, 6], 3),
    "random-3x6-d3": lambda: _random(3, [6] * 3, 1),
    "random-5x8-d3": lambda: _random(3, [8] * 5, 2),
    "random-3x6-d4": lambda: _random(4, [6] * 3, 3),
    "random-4x8-d4": lambda: _random(4, [8] * 4, 4),
    "random-4x6-d5": lambda: _random(5, [6] * 4, 5),
    "permutohedron-5": lambda: _family(families.permutohedron, 5),
    "permutohedron-6": lambda: _family(families.permutohedron, 6),
    "permutohedron-7": lambda: _family(families.permutohedron, 7),
    "associahedron-6": lambda: _family(families.associahedron, 6),
    "associahedron-8": lambda: _family(families.associahedron, 8),
    "cyclohedron-6": lambda: _family(families.cyclohedron, 6),
    "resonance-5": lambda: _family(families.resonance, 5),
}


# ---- one measurement in its own process ---------------------------------------------------------


def worker(program: str, case: str) -> None:
    """Print vertices and seconds of one sum."""
    points = CASES[case]()
    if program == "qhull":
        from scipy.spatial import ConvexHull

        started = time.perf_counter()
        sums = np.array([np.sum(t, axis=0) for t in product(*map(np.array, points))], dtype=float)
        # Qhull wants full dimension: project to the span, whose basis is taken in doubles.
        _, values, axes = np.linalg.svd(sums - sums[0], full_matrices=False)
        flat = sums @ axes[values > 1e-9 * values[0]].T
        print(len(ConvexHull(flat).vertices), time.perf_counter() - started)
        return
    minkowski_sum([[[0, 0], [1, 0]], [[0, 0], [0, 1]]], threads=1)
    started = time.perf_counter()
    found = minkowski_sum(points, threads=1)
    if program == "ours+faces":
        found.f_vector()
    print(len(found), time.perf_counter() - started)


def _peak(pid: int) -> float:
    """Peak resident MiB of a running process (0 where /proc does not tell).

    ``ru_maxrss`` would not do: a child inherits the peak of the process that started it.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    lines = [line.split() for line in status.splitlines() if line.startswith("VmHWM")]
    return int(lines[0][1]) / 1024 if lines else 0.0


def _run(command: list[str], text: str, limit: float) -> tuple[str, float, float] | None:
    """Output, wall seconds and peak MiB; None after ``limit`` seconds or on failure."""
    with tempfile.TemporaryFile("w+") as source, tempfile.TemporaryFile("w+") as out:
        source.write(text)
        source.seek(0)
        started, peak = time.perf_counter(), 0.0
        child = subprocess.Popen(command, stdin=source, stdout=out, stderr=subprocess.DEVNULL)
        while child.poll() is None:
            if time.perf_counter() - started > limit:
                child.kill()
                child.wait()
                return None
            peak = max(peak, _peak(child.pid))
            time.sleep(0.002)
        seconds = time.perf_counter() - started
        out.seek(0)
        return (out.read(), seconds, peak) if child.returncode == 0 else None


def measure(program: str, case: str, limit: float) -> tuple[int, float, float] | None:
    """Vertices, seconds and peak MiB of one program on one sum."""
    points = CASES[case]()
    if program == "qhull" and np.prod([float(len(p)) for p in points]) > 3e6:
        return None
    if program in ("ours", "ours+faces", "qhull"):
        answer = _run([sys.executable, __file__, "--worker", program, case], "", limit)
        if answer is None:
            return None
        vertices, seconds = answer[0].split()
        return int(vertices), float(seconds), answer[2]
    return sum_by(program, points, limit)


def sum_by(program: str, points: Points, limit: float) -> tuple[int, float, float] | None:
    """Vertices, seconds and peak MiB of gfan or polymake on one sum."""
    if program == "gfan":
        heads = [TropicalPolynomial(p) for p in points]
        command = ["gfan", "_minkowskisum", "--nocones"]
        answer = _run(command, interchange.to_gfan(heads), limit)
        if answer is None:
            return None
        return interchange.gfan_f_vector(answer[0])[-1], answer[1], answer[2]
    with tempfile.TemporaryDirectory() as folder:
        for i, p in enumerate(points):
            Path(folder, f"p{i}.poly").write_text(interchange.to_polymake(p), encoding="utf-8")
        load = ",".join(f'load("{folder}/p{i}.poly")' for i in range(len(points)))
        script = Path(folder, "run.pl")
        script.write_text(
            f'use application "polytope"; my @p = ({load});'
            " print minkowski_sum_fukuda(\\@p)->N_VERTICES;",
            encoding="utf-8",
        )
        answer = _run(["polymake", "--script", str(script)], "", limit)
        return (int(answer[0]), answer[1], answer[2]) if answer else None


def main() -> None:
    """Print one line a case; vertices that disagree with ours are marked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--limit", type=float, default=60.0)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--worker")
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.cases[0])
        return
    programs = ["ours", "ours+faces", "qhull"]
    for peer in ("gfan", "polymake"):
        if shutil.which(peer):
            programs.append(peer)
        else:
            print(f"{peer}: not installed, skipped")
    print(f"{'case':17}{'sums':>11}{'vertices':>9}" + "".join(f"{p:>20}" for p in programs))
    for case in options.cases or CASES:
        sums = int(np.prod([len(p) for p in CASES[case]()], dtype=object))
        shown = f"{sums}" if sums < 10**9 else f"{sums:.1e}"
        cells, vertices = [], None
        for program in programs:
            runs = [measure(program, case, options.limit) for _ in range(options.repeat)]
            good = [run for run in runs if run]
            if not good:
                cells.append(f"{'-':>20}")
                continue
            count, seconds, memory = min(good, key=lambda run: run[1])
            vertices = count if vertices is None else vertices
            wrong = "" if count == vertices else f" ({count}!)"
            cells.append(f"{f'{seconds:.3f}s {memory:.0f}M{wrong}':>20}")
        print(f"{case:17}{shown:>11}{vertices!s:>9}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()

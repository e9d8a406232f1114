"""On the circle: attention as coupled oscillators, and which mode of the uniform law grows first.

At beta = 0 USA is Kuramoto's model. The uniform law loses stability mode by mode, mode k at rate
k^2 I_k(beta) / (beta I_0(beta)) under SA; the fastest mode sets the number of first clusters.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from tropattn.dynamics import closed_forms, sa, simulate
from tropattn.outputs import writing

PROFILES = {
    "smoke": {"n": 64, "betas": [0.0, 4.0], "runs": 2, "end": 8.0},
    "full": {"n": 200, "betas": [0.0, 1.0, 4.0, 9.0, 25.0, 64.0], "runs": 5, "end": 30.0},
}


def main() -> None:
    """Compare measured growth of Fourier modes with the formula."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, default="smoke")
    parser.add_argument("--output", type=Path, default=Path("results"))
    spec = parser.parse_args()
    given = PROFILES[spec.profile]
    spec.output.mkdir(parents=True, exist_ok=True)
    rows = []
    for beta in given["betas"]:
        rates = [closed_forms.circle_mode_growth(k, beta) for k in range(1, 13)]
        fastest = int(np.argmax(rates)) + 1
        row = {"beta": beta, "fastest_mode": fastest, "rate": round(max(rates), 5)}
        row["measured_rate"] = round(measured(given["n"], beta, fastest), 5)
        row["first_clusters"] = [first_clusters(given, beta, r) for r in range(given["runs"])]
        rows.append(row)
        print(json.dumps(row))
    with writing(spec.output / "kuramoto.json") as stream:
        stream.write(json.dumps(rows, indent=1).encode())


def measured(n: int, beta: float, mode: int) -> float:
    """Growth rate of one mode from a start 10^-6 away from the uniform law."""
    base = 2 * np.pi * np.arange(n) / n
    angles = base - 1e-6 * np.sin(mode * base) / mode
    run = simulate(sa(beta), circle(angles), [0.0, 0.5], rtol=1e-11)
    found = np.unwrap(np.arctan2(run.states[1][:, 1], run.states[1][:, 0])) - base
    size = -2 * mode * (found * np.sin(mode * base)).mean()
    return float(np.log(size / 1e-6) / 0.5)


def first_clusters(given: dict, beta: float, run: int) -> int:
    """Number of clusters at the end of a run from uniform random angles."""
    angles = np.random.default_rng([1, run]).uniform(0, 2 * np.pi, given["n"])
    path = simulate(sa(beta), circle(angles), [0.0, given["end"]], rtol=1e-6)
    return int(path.clusters(0.1)[-1])


def circle(angles: np.ndarray) -> np.ndarray:
    """Points of the unit circle, (n, 2)."""
    return np.column_stack([np.cos(angles), np.sin(angles)])


if __name__ == "__main__":
    main()

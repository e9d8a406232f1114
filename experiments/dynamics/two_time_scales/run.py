"""Two time scales: tokens on the circle form clusters fast, and clusters merge ever more slowly.

For each beta one start on the circle is run to a long time; windows with a constant number of
clusters are listed, with the energy staircase (arXiv 2312.10794, 2410.06833).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from tropattn import plotting
from tropattn.dynamics import metastable_windows, sa, simulate
from tropattn.outputs import writing
from tropattn.plotting import dynamics

PROFILES = {
    "smoke": {"n": 12, "betas": [1.0, 4.0], "end": 1e2, "radius": 0.1},
    "full": {"n": 32, "betas": [1.0, 4.0, 9.0, 16.0], "end": 1e4, "radius": 0.1},
}


def main() -> None:
    """Run a profile, print windows, write figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, default="smoke")
    parser.add_argument("--output", type=Path, default=Path("results"))
    spec = parser.parse_args()
    given = PROFILES[spec.profile]
    spec.output.mkdir(parents=True, exist_ok=True)
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, given["n"])
    start = np.column_stack([np.cos(angles), np.sin(angles)])
    times = np.concatenate([[0.0], np.geomspace(1e-2, given["end"], 240)])
    rows = []
    for beta in given["betas"]:
        run = simulate(sa(beta), start, times, rtol=1e-7)
        counts = run.clusters(given["radius"])
        windows = [w for w in metastable_windows(run.time, counts) if w.clusters < given["n"]]
        rows.append(
            {
                "beta": beta,
                "windows": [[w.clusters, round(w.start, 3), round(w.stop, 3)] for w in windows],
                "clusters_at_end": int(counts[-1]),
                "relative_residual": run.dissipation_residual() / float(np.ptp(run.energy)),
            }
        )
        print(json.dumps(rows[-1]))
        figure = dynamics.draw_flow(run, given["radius"])
        figure.axes[0].set_xscale("symlog", linthresh=1e-2)
        plotting.save(figure, spec.output / f"beta{beta:g}.png")
    with writing(spec.output / "two_time_scales.json") as stream:
        stream.write(json.dumps(rows, indent=1).encode())


if __name__ == "__main__":
    main()

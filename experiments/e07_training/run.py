"""Exact counts of the shipped model along its training, from the checkpoints of train.py."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from _common import ROOT, Experiment

import tropattn as ta
from tropattn.cli.options import shipped
from tropattn.plotting.growth import Curve, curves
from tropattn.study.inputs import Source
from tropattn.study.scaling import ScalingSpec, geometric_means, run

LAST = 5000
TRAIN = ROOT / "experiments" / "train_demo_model" / "train.py"


def weights_of(here: Experiment, step: int) -> Path:
    """The file with the weights after a step; the last is the shipped one."""
    if step == LAST:
        return Path(shipped())
    return here.folder / "checkpoints" / f"step-{step:06d}.safetensors"


def counted(here: Experiment, step: int, texts: list[str]) -> dict[str, Any]:
    """Live keys and cells of one checkpoint over the contexts."""
    path = str(weights_of(here, step))
    rows: dict[str, list[dict[str, Any]]] = {"layer0": [], "layer1": [], "planes": []}
    for seed, text in enumerate(texts):
        for name, layer, depth, dim in (
            ("layer0", 0, 1, None),
            ("layer1", 1, 1, None),
            ("planes", None, 2, 2),
        ):
            spec = ScalingSpec(
                families=("weights",),
                source=Source(path=path, text=text, layer=layer),
                keys=(len(text),),
                dim=dim,
                depth=depth,
                seed=seed,
                samples=0,
                threads=here.threads,
            )
            rows[name] += run(spec).tables["rows"]
    live = [n for name in ("layer0", "layer1") for row in rows[name] for n in row["live"]]
    means = {name: geometric_means(part)[len(texts[0])] for name, part in rows.items()}
    return means | {"live": sum(live) / (len(texts[0]) * len(live))}


def hard_accuracy(path: Path, lists: int) -> float:
    """Share of digit strings whose largest digit hard attention names."""
    digits = np.random.default_rng(1).integers(0, 10, (lists, 9))
    model = ta.load(path)
    ids = np.array([model.tokens("".join(map(str, row)) + "=") for row in digits.tolist()])
    logits = model(ids, temperature=0)
    return float((logits[:, -1].argmax(axis=-1) == digits.max(axis=1)).mean())


def retrain(here: Experiment) -> None:
    """Train again, where PyTorch is installed, and compare the files."""
    if not here.spec["train"] or importlib.util.find_spec("torch") is None:
        here.skip(["retrained"], "training again: full profile with PyTorch")
        return
    folder = here.out / "training"
    command = [sys.executable, str(TRAIN), "--output", str(folder / "final.safetensors")]
    with here.step("training again"):
        subprocess.run([*command, "--checkpoints", str(folder)], check=True, capture_output=True)
    same = [
        (folder / f"step-{step:06d}.safetensors").read_bytes()
        == weights_of(here, step).read_bytes()
        for step in here.spec["steps"]
    ]
    here.claim("retrained", [sum(same), len(same)])


def main() -> None:
    """Count, print, draw."""
    here = Experiment(__file__, __doc__)
    digits = np.random.default_rng(0).integers(0, 10, (here.spec["contexts"], 9)).tolist()
    texts = ["".join(map(str, row)) + "=" for row in digits]
    steps = here.spec["steps"]
    found = []
    for step in steps:
        with here.step(f"step {step}"):
            accuracy = hard_accuracy(weights_of(here, step), here.spec["lists"])
            found.append(counted(here, step, texts) | {"hard": accuracy})
    names = ("live", "layer0", "layer1", "planes", "hard")
    here.table(
        f"Along the training, {len(texts)} contexts of 10 tokens",
        [
            "step",
            "live keys",
            "cells, layer 0",
            "cells, layer 1",
            "cells, both, on planes",
            "hard accuracy",
        ],
        [[step, *(part[name] for name in names)] for step, part in zip(steps, found, strict=True)],
    )
    for name in names:
        digits_kept = 3 if name in ("live", "hard") else 0
        here.claim(name, [round(part[name], digits_kept) for part in found])
    panels = {
        "one layer on $R^8$": [
            Curve("bound", steps, [10_000] * len(steps), "bound"),
            Curve("layer 0", steps, [part["layer0"] for part in found]),
            Curve("layer 1", steps, [part["layer1"] for part in found], ink=1),
        ],
        "two layers on planes": [
            Curve("geometric mean", steps, [part["planes"] for part in found], ink=2)
        ],
    }
    here.figure(curves(panels, "training step", "routing cells", shared=False), "e07-training")
    retrain(here)
    here.finish()


if __name__ == "__main__":
    main()

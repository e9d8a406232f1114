"""A command opens its file once, runs the model once, and refines its heads once."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tropattn.attention.loading.safetensor import TensorFile
from tropattn.attention.networks import transformer
from tropattn.tropical.refinement import Refinement

COMMANDS = {
    "count": ["count", "demo", "--domain", "box:-1,1", "--max-cells", "5"],
    "count to its end": ["count", "demo", "--domain", "box:-0.001,0.001"],
    "bounds": ["bounds", "demo"],
    "bounds live": ["bounds", "demo", "--live"],
    "sample": ["sample", "demo", "--samples", "100"],
    "plot": ["plot", "demo", "--domain", "line:line.json", "--output", "x.png"],
    "inspect": ["inspect", "demo", "--no-cells"],
    "temperature": ["temperature", "demo", "--samples", "10"],
    "cells": ["cells", "demo", "--cell", "0"],
}


@pytest.fixture(name="calls")
def _calls(monkeypatch):
    """How often files were opened, each layer was run, and heads were refined."""
    found = Counter()
    opening, attend, refine = TensorFile.open.__func__, transformer.attend, Refinement.of.__func__

    def opened(cls, path):
        found["headers"] += 1
        return opening(cls, path)

    def attended(layer, *args, **more):
        found["forward", id(layer)] += 1
        return attend(layer, *args, **more)

    def refined(cls, *args, **more):
        found["refinements"] += 1
        return refine(cls, *args, **more)

    monkeypatch.setattr(TensorFile, "open", classmethod(opened))
    monkeypatch.setattr(Refinement, "of", classmethod(refined))
    monkeypatch.setattr(transformer, "attend", attended)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_the_file_is_opened_once_and_the_model_run_once(
    invoke, calls, command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    line = {"origin": [0.0] * 8, "direction": [1.0] * 8}
    (tmp_path / "line.json").write_text(json.dumps(line))
    last = ["--layer", "1"] if command != "inspect" else []
    result = invoke(*COMMANDS[command], "--text", "314=", *last)
    refinements = calls.pop("refinements", 0)
    assert result.exit_code in (0, 3), result.stderr
    assert calls.pop("headers") == 1
    # Layer 1 is entered through layer 0; the last layer's own output is nobody's key.
    passes = 1 + (command == "temperature")  # the tokens' own places, judged one by one
    assert list(calls.values()) == [passes]
    if command in ("bounds", "cells", "count", "count to its end", "sample"):
        assert refinements == (command != "sample")

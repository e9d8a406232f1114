"""Two checkpoints compared: against each model looked at alone."""

from __future__ import annotations

import numpy as np
import pytest

from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.networks.model import Model
from tropattn.cli.options import shipped
from tropattn.errors import InvalidInput
from tropattn.study.comparing import compare, compare_words, run
from tropattn.study.inputs import Source
from tropattn.study.inspection import InspectionSpec, inspect


def model(seed, words=7, heads=2):
    rng = np.random.default_rng(seed)
    layer = AttentionLayer.from_arrays(
        *rng.normal(size=(3, heads, 4, 2)),
        rng.normal(size=(heads, 2, 4)),
        b_Q=rng.normal(size=(heads, 2)),
    )
    return Model([layer], rng.normal(size=(words, 4)), vocabulary="abcdefg"[:words])


def looked(seed, keys="context", **more):
    source = Source(path="", position=0 if keys == "vocabulary" else None)
    context = None if keys == "vocabulary" else np.arange(7)
    return inspect(model(seed, **more), context, InspectionSpec(source=source, keys=keys))


def test_changes_are_those_of_the_two_alone():
    first, second = looked(0), looked(1)
    record = compare(first, second)
    for row in record.tables["heads"]:
        h = row["head"]
        live = [
            {r["key"] for r in part.tables["keys"] if r["head"] == h and r["live"]}
            for part in (first, second)
        ]
        assert set(row["gained"]) == live[1] - live[0] and row["n_gained"] == len(row["gained"])
        assert set(row["lost"]) == live[0] - live[1] and row["n_lost"] == len(row["lost"])
        asked = [[r for r in part.tables["tokens"] if r["head"] == h] for part in (first, second)]
        pairs = list(zip(*asked, strict=True))
        changed = [a["query"] for a, b in pairs if a["winner"] != b["winner"]]
        assert row["changed"] == len(changed) and row["queries"] == 7
        assert [move.partition(":")[0] for move in row["moves"]] == changed
        shares = [np.abs(np.subtract(a["attention"], b["attention"])).sum() / 2 for a, b in pairs]
        assert row["moved"] == pytest.approx(np.mean(shares))
    (layer,) = record.tables["layers"]
    assert layer["cells_a"] == first.tables["layers"][0]["cells"]
    assert layer["cells_b"] == second.tables["layers"][0]["cells"]


def test_a_model_is_itself():
    for row in compare(looked(2), looked(2)).tables["heads"]:
        assert (row["changed"], row["moved"], row["gained"], row["lost"]) == (0, 0.0, [], [])


def test_words_as_keys():
    record = compare(looked(3, "vocabulary"), looked(4, "vocabulary"))
    for row in record.tables["heads"]:
        assert row["live_b"] - row["live_a"] == row["n_gained"] - row["n_lost"]
        assert "changed" not in row


def test_files_and_last_maps():
    source = Source(path=shipped(), text="314=", layer=0)
    record = run(InspectionSpec(source=source, cells=False), shipped())
    assert all(row["changed"] == 0 for row in record.tables["heads"])
    found = compare_words(shipped(), shipped(), None)
    assert found.tables["words"][0]["sayable_a"] == 11 and not found.tables["changed"]
    assert found.table("changed").columns == ["id", "word", "first", "second"]


def test_other_models_are_refused():
    with pytest.raises(InvalidInput, match="the same layer and head numbers"):
        compare(looked(0), looked(0, heads=1))
    with pytest.raises(InvalidInput, match="the same tokens needed"):
        compare(looked(0), looked(0, "vocabulary"))

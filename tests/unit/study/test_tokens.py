"""Tables of tokens by heads against the polynomials and the model itself."""

from __future__ import annotations

import numpy as np
import pytest

import tropattn as ta
from tropattn.attention.heads.fixed import softmax
from tropattn.cli.options import shipped
from tropattn.errors import InvalidInput
from tropattn.plotting.attention import attention
from tropattn.study.inputs import Source
from tropattn.study.inspection import InspectionSpec, run

TEXT = "314159265="


@pytest.fixture(scope="module", name="record")
def _record():
    return run(InspectionSpec(source=Source(path=shipped(), text=TEXT), cells=False))


def test_every_query_of_every_head_has_a_row(record):
    model = ta.load(shipped())
    states = model.states(TEXT)
    rows = record.tables["tokens"]
    assert len(rows) == 2 * 4 * 10
    for row in rows:
        fixed = model.fix(TEXT, row["layer"], position=row["token"])
        head, state = fixed.heads[row["head"]], states[row["layer"]][row["token"]]
        winner = head.argmax(state)
        names = [f"{TEXT[i]}@{i}" for i in range(10)]
        assert row["winner"] == names[winner] and row["query"] == names[row["token"]]
        soft = softmax(head.scores(state), 1.0)
        assert np.allclose(row["attention"][: len(soft)], soft)
        assert not any(row["attention"][len(soft) :])
        assert row["weight"] == pytest.approx(soft[winner])
        if head.n_terms == 1:
            assert row["gap"] is None and row["runner_up"] is None
        else:
            assert row["gap"] == pytest.approx(head.gap(state))
            assert row["runner_up"] == names[int(np.argsort(-head.scores(state))[1])]


def test_every_key_of_every_head_has_a_row(record):
    model = ta.load(shipped())
    for index in (0, 1):
        fixed = model.fix(TEXT, index)
        for h, head in enumerate(fixed.heads):
            rows = [r for r in record.tables["keys"] if (r["layer"], r["head"]) == (index, h)]
            assert [row["token"] for row in rows] == list(range(10))
            live = ta.live_terms(head).live.tolist()
            assert [row["token"] for row in rows if row["live"]] == live
            asked = [r for r in record.tables["tokens"] if (r["layer"], r["head"]) == (index, h)]
            for row in rows:
                assert row["won"] == sum(a["winner"] == row["key"] for a in asked)
                mean = np.mean([a["attention"][row["token"]] for a in asked])
                assert row["weight"] == pytest.approx(mean)
    summed = {(r["layer"], r["head"]): r["live"] for r in record.tables["heads"]}
    for place, live in summed.items():
        rows = [r for r in record.tables["keys"] if (r["layer"], r["head"]) == place]
        assert sum(row["live"] for row in rows) == live


def test_the_picture_strikes_dead_keys_through(record):
    tokens = [row for row in record.tables["tokens"] if row["layer"] == 0]
    keys = [row for row in record.tables["keys"] if row["layer"] == 0]
    figure = attention(tokens, keys)
    dead = [row for row in keys if not row["live"]]
    lines = sum(len([x for x in axes.lines if x.get_linestyle() == "-"]) for axes in figure.axes)
    assert lines == len(dead) > 0
    struck = [
        label.get_text()
        for axes in figure.axes
        for label in axes.get_xticklabels()
        if "\N{COMBINING LONG STROKE OVERLAY}" in label.get_text()
    ]
    assert len(struck) == len(dead)


def test_the_picture_refuses_two_layers(record):
    with pytest.raises(InvalidInput, match="rows of one layer"):
        attention(record.tables["tokens"], record.tables["keys"])

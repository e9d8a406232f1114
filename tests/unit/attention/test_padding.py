"""Masks: padding is no key, keeps its place among the positions, and is never guessed."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from tropattn.attention.evaluated.forward import attend, attention_weights
from tropattn.attention.heads.head import AttentionHead
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.heads.rotary import RotaryEmbedding
from tropattn.attention.networks.model import Model
from tropattn.attention.networks.padding import Padding, read_mask
from tropattn.cli import main
from tropattn.cli.options import shipped
from tropattn.errors import InvalidInput
from tropattn.study.inputs import Source, open_target
from tropattn.study.inspection import InspectionSpec, inspect

RNG = np.random.default_rng(0)
V, D = 7, 4
ARRAYS = [RNG.normal(size=(2, D, 2)) for _ in range(3)] + [RNG.normal(size=(2, 2, D))]
TABLE, PLACES = RNG.normal(size=(V, D)), RNG.normal(size=(9, D))


def model_of(causal, positions=None, rope=None, window=None, **more):
    layers = [AttentionLayer.from_arrays(*ARRAYS, rope=rope, window=window) for _ in range(2)]
    return Model(layers, TABLE, positions=positions, causal=causal, **more)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("rope", [None, RotaryEmbedding(10.0)])
@pytest.mark.parametrize("mask", ["0,0,1,1,1", "1,1,1,0,0"])
def test_padding_at_an_end_is_the_shorter_context(causal, rope, mask):
    # Without learned positions, and with RoPE, which sees differences only, padding in front shifts
    # nothing; padding behind shifts nothing anyway.
    model = model_of(causal, rope=rope)
    kept = read_mask(mask, 5)
    ids = np.where(kept, [3, 1, 4, 1, 5], 0)
    for found, right in zip(model.states(ids, mask), model.states(ids[kept]), strict=True):
        np.testing.assert_allclose(found[kept], right, atol=1e-13, rtol=0)
    last = int(np.flatnonzero(kept)[-1])
    fixed, short = model.fix(ids, 1, last, mask=mask), model.fix(ids[kept], 1)
    assert fixed.tokens[0].tolist() == np.flatnonzero(kept).tolist()
    np.testing.assert_allclose(fixed.heads[1].slopes, short.heads[1].slopes, atol=1e-13, rtol=0)


def test_learned_positions_are_those_of_the_whole_context():
    ids, mask = [0, 0, 3, 1], [0, 0, 1, 1]
    padded = model_of(True, PLACES).states(ids, mask)
    shifted = model_of(True, PLACES[2:]).states(ids[2:])
    for found, right in zip(padded, shifted, strict=True):
        np.testing.assert_allclose(found[2:], right, atol=1e-13, rtol=0)


def test_roberta_counts_positions_without_padding():
    # Tokens 3 and 1 are the first and the second real one; padding has the row in front of them.
    model = model_of(False, PLACES[1:], padding=Padding(0, PLACES[0]))
    found = model.embedded([0, 3, 0, 1])
    assert (found == TABLE[[0, 3, 0, 1]] + PLACES[[0, 1, 0, 2]]).all()


def test_a_gap_leaves_the_distances_under_rope_and_window():
    rope, kept = RotaryEmbedding(10.0), np.array([True, False, True, True])
    layer = AttentionLayer.from_arrays(*ARRAYS, rope=rope, window=3)
    rows = RNG.normal(size=(4, D))
    left = layer.fix(rows, mask=kept)
    right = layer.fix(rows[kept], positions=np.flatnonzero(kept))
    assert left.tokens[0].tolist() == [2, 3]
    assert (left.heads[0].slopes == right.heads[0].slopes).all()
    for temperature in (0, 1):
        out = attend(layer, rows, temperature=temperature, mask=kept)
        np.testing.assert_allclose(out[3], left(rows[3], temperature), atol=1e-13, rtol=0)


def test_a_token_that_sees_nothing_else_sees_itself():
    head = AttentionHead([[1]], [[1]], [[1]], [[1]])
    rows, mask = np.array([[1.0], [2.0], [3.0]]), np.array([False, True, True])
    for temperature in (0, 1):
        weights = attention_weights(head, rows, temperature=temperature, mask=mask)
        assert weights[0].tolist() == [1, 0, 0]
        assert weights[1].tolist() == [0, 1, 0]
        assert weights[2, 0] == 0


def test_networks_take_the_mask():
    ids, mask = [0, 3, 1, 4], "0,1,1,1"
    model = model_of(True)
    left, right = model.network(ids, mask=mask), model.network(ids[1:])
    x = RNG.normal(size=D)
    np.testing.assert_allclose(left(x), right(x), atol=1e-12, rtol=0)
    with pytest.raises(InvalidInput, match="no padding needed where keys are live, got 1 tokens"):
        model.network(ids, own_key="live", mask=mask)
    assert model.network(ids, own_key="live", mask=[1] * 4).n_tokens == 4


def test_padding_is_refused_without_a_mask():
    model = model_of(True, padding=Padding(0), vocabulary="0123456", tokenizer=None)
    for call in (model.states, model.fix, model.network):
        with pytest.raises(InvalidInput, match="since ids hold the padding token 0 at place 1"):
            call([3, 0, 1])
        call([3, 0, 1], mask=[1, 1, 1])
        # In a text it is a word like any other.
        call("301")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("1,1", "mask: 3 numbers 0 or 1 needed, one a token, .* got '1,1'"),
        ("1,1,2", "mask: 3 numbers 0 or 1 needed"),
        ("a", "mask: 3 numbers 0 or 1 needed"),
        ([0.0, 1.0, 1.0], "mask: 3 numbers 0 or 1 needed"),
        ([[1, 1, 1]], "mask: 3 numbers 0 or 1 needed"),
        ([[1], 1, 1], "mask: 3 numbers 0 or 1 needed"),
        ("0,0,0", "mask: at least one token that counts needed, got zeros only"),
        ("1,1,0", "position: a token that the mask keeps needed, got 2, .* counts is at 1"),
    ],
)
def test_bad_masks(mask, message):
    with pytest.raises(InvalidInput, match=message):
        model_of(True).fix([1, 2, 3], mask=mask)


def test_inspection_leaves_padding_out():
    model = model_of(False)
    spec = InspectionSpec(source=Source(path="", mask="0,1,1,1"))
    left = inspect(model, [0, 3, 1, 4], spec).tables
    right = inspect(model, [3, 1, 4], InspectionSpec(source=Source(path=""))).tables
    for found, short in zip(left["heads"], right["heads"], strict=True):
        for name in ("keys", "live", "won", "sink_wins", "reachable"):
            assert found[name] == short[name], name
        assert found["weight"] == pytest.approx(short["weight"], abs=1e-12)
    for found, short in zip(left["layers"], right["layers"], strict=True):
        for name in ("cells", "bound", "plane"):
            assert found[name].value == short[name].value, name


def test_commands_take_the_mask():
    def invoke(*args):
        return CliRunner().invoke(main, ["count", shipped(), *args])

    found = json.loads(invoke("--ids", "0,3,1,4", "--mask", "0,1,1,0", "--json").stdout)
    assert found["spec"]["source"]["mask"] == "0,1,1,0"
    assert found["spec"]["unread"] == []
    assert "position 2 (token 1)" in found["spec"]["variable"]
    opened, _ = open_target(Source(path=shipped(), ids="0,3,1,4", mask="0,1,1,0"), None)
    assert [head.n_terms for head in opened.heads] == [2] * 4
    assert opened.keys[0] == ("3@1", "1@2")
    assert opened.state_names == ("3@1", "1@2")
    refused = invoke("--ids", "0,3", "--mask", "1")
    assert refused.exit_code == 2
    assert "mask: 2 numbers 0 or 1 needed" in refused.stderr

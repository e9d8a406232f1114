"""Networks of fixed layers: evaluation, routing, shapes, and the shipped model's own network."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import tropattn as ta
from tropattn import FixedLayer, InvalidInput, TropicalPolynomial
from tropattn.attention.constructions import digit_transformer, sawtooth_transformer
from tropattn.attention.evaluated.forward import attend
from tropattn.attention.networks.feedforward import Affine, FeedForward, Maxout
from tropattn.attention.networks.network import Network, fixed_network

MODEL = str(Path(ta.__file__).parent / "data" / "maximum.safetensors")
STEP = FixedLayer([TropicalPolynomial([[0], [1]])], [[[0], [10]]])


def exact(rows):
    out = np.empty(np.shape(rows), dtype=object)
    out.ravel()[:] = [Fraction(v) for v in np.ravel(np.array(rows, dtype=object))]
    return out


def test_layers_are_composed_in_order():
    net = Network([STEP, Affine([[2, 0]], [0, 1]), FeedForward([[1], [0]], [-7], [[1, 1]])])
    # 3 -> 13 -> (26, 1) -> + relu(26 - 7) (1, 1)
    assert net([3.0]).tolist() == [45.0, 20.0]
    assert net.routing([3.0]).tolist() == [1, 0, 1]
    assert net([[3.0], [-3.0]]).tolist() == [[45.0, 20.0], [-6.0, 1.0]]
    assert net(exact([3])).tolist() == [45, 20]
    assert net.dim == 1
    assert net.d_out == 2


def test_hard_attention_averages_ties_and_is_the_limit_of_soft():
    net = Network([STEP, STEP])
    assert net([0.0]).tolist() == [15.0]
    assert net([1.0], temperature=1e-3).tolist() == net([1.0]).tolist()
    assert net([0.0], temperature=1).tolist() != net([0.5], temperature=1).tolist()


def test_relu_and_maxout_are_what_numpy_says():
    rng = np.random.default_rng(0)
    w_1, b_1, w_2, b_2 = (rng.integers(-3, 4, s) for s in ((2, 5), (5,), (5, 2), (2,)))
    x = rng.integers(-3, 4, (50, 2)).astype(float)
    block = FeedForward(w_1, b_1, w_2, b_2)
    hidden = x @ w_1 + b_1
    assert (block(x) == x + np.maximum(hidden, 0) @ w_2 + b_2).all()
    assert (block.routing(x) == (hidden > 0)).all()
    slopes, shifts = rng.integers(-3, 4, (3, 4, 2)), rng.integers(-3, 4, (3, 4))
    layer = Maxout(slopes, shifts)
    scores = np.einsum("utd,nd->nut", slopes, x) + shifts
    assert (layer(x) == scores.max(axis=2)).all()
    assert (layer.routing(x) == scores.argmax(axis=2)).all()


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda: Network([]), "layers"),
        (lambda: Network([TropicalPolynomial([[1]])]), "layers"),
        (lambda: Network([STEP, Affine([[1], [1]])]), "layers"),
        (lambda: FeedForward([[1]], [0], [[1, 2]]), "W_2"),
        (lambda: FeedForward([[1]], [0, 1], [[1]]), "b_1"),
        (lambda: Maxout([[[1]]], [[0, 1]]), "intercepts"),
        (lambda: Affine([[1]], [0, 1]), "offset"),
        (lambda: Network([STEP])([1.0, 2.0]), "x"),
        (lambda: Network([STEP])([1.0], temperature=-1), "temperature"),
        (lambda: digit_transformer(1, 1, 1), "n_keys"),
        (lambda: sawtooth_transformer(2, 0, 1, 1), "teeth"),
    ],
)
def test_bad_input(make, word):
    with pytest.raises(InvalidInput, match=word):
        make()


def test_digit_transformer_reads_digits():
    """T15: the routing of a number is its digits, and what is left is below one place."""
    net = digit_transformer(3, 2, 4)
    rng = np.random.default_rng(1)
    digits = rng.integers(0, 3, (20, 4, 2))
    numbers = (digits * np.array([27, 9, 3, 1])[None, :, None]).sum(axis=1) + 0.5
    assert (net.routing(numbers) == digits.reshape(20, 8)).all()
    assert (net(numbers) == 0.5).all()


def test_digit_transformer_beyond_doubles_is_exact():
    net = digit_transformer(10, 1, 20)
    number = exact([[Fraction(12345678901234567890) + Fraction(1, 2)]])
    assert net.routing(number).ravel().tolist() == [int(c) for c in "12345678901234567890"]
    assert net(number).tolist() == [[Fraction(1, 2)]]


@pytest.mark.parametrize("n_keys, teeth, depth", [(4, 1, 1), (3, 2, 2), (1, 3, 1)])
def test_sawtooth_transformer_draws_a_sawtooth(n_keys, teeth, depth):
    """T15: between multiples of 1/(2wN)^L the map rises and falls between 0 and 1."""
    net = sawtooth_transformer(n_keys, teeth, 1, depth)
    pieces = (2 * teeth * n_keys) ** depth
    at = exact([[Fraction(2 * i + 1, 2 * pieces)] for i in range(pieces)])
    assert set(net(at).ravel().tolist()) == {Fraction(1, 2)}
    quarter = net(exact([[Fraction(4 * i + 1, 4 * pieces)] for i in range(pieces)])).ravel()
    assert set(quarter.tolist()) == {Fraction(1, 4), Fraction(3, 4)}


@pytest.mark.parametrize("keys_from, temperature", [("hard", 0), ("soft", 1)])
def test_fixed_network_reproduces_the_model_at_its_own_state(keys_from, temperature):
    model = ta.load(MODEL)
    rows = model.embedded([3, 1, 4, 1, 5, 9, 2, 6, 10])
    net = fixed_network(model, "31415926=", keys_from=keys_from)
    expected = rows
    for layer in model.layers:
        expected = attend(layer, expected, temperature=temperature)
    assert np.allclose(net(rows[-1], temperature), expected[-1], rtol=1e-12, atol=1e-12)
    # The prefix of an earlier token is its whole context.
    earlier = fixed_network(model, "31415926=", position=3, keys_from=keys_from)
    assert {head.n_terms for head in earlier.layers[1].heads} == {4}
    assert np.allclose(earlier(rows[3], temperature), expected[3], rtol=1e-12, atol=1e-12)


def test_fixed_network_excludes_its_own_key():
    model = ta.load(MODEL)
    net = fixed_network(model, "314=", own_key="excluded")
    assert {head.n_terms for layer in net.layers for head in layer.heads} == {3}


@pytest.mark.parametrize(
    "arguments", [{"position": 9}, {"position": "a"}, {"keys_from": "both"}, {"own_key": "live"}]
)
def test_fixed_network_refuses(arguments):
    model = ta.load(MODEL)
    with pytest.raises(InvalidInput, match=next(iter(arguments))):
        fixed_network(model, "314=", **arguments)

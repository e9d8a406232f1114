"""Stacks with live keys on lines (T11): named examples, models, norms frozen, limits, errors."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import tropattn as ta
from tropattn import (
    AttentionHead,
    AttentionLayer,
    Box,
    BudgetExceeded,
    FeedForward,
    Interrupted,
    InvalidInput,
    Line,
    LiveNetwork,
    Maxout,
    count_regions,
    enumerate_regions,
    upper_bound,
)
from tropattn.attention.evaluated.blocks import MLP, Block
from tropattn.attention.evaluated.forward import attend
from tropattn.attention.evaluated.norms import LayerNorm, RMSNorm
from tropattn.attention.networks.model import Model
from tropattn.regions.budget import Budget
from tropattn.regions.lines.moving_tokens import MovingTokens
from tropattn.regions.question import Question

MODEL = str(Path(ta.__file__).parent / "data" / "maximum.safetensors")
ONE = AttentionHead([[1]], [[1]], [[1]], [[1]])
PLANE = AttentionHead(np.eye(2), np.eye(2), [[1], [1]], [[0, 0]], scale=1)


def gaussian_head(rng, d, d_head, **extra):
    shapes = [(d, d_head), (d, d_head), (d, d_head), (d_head, d)]
    return AttentionHead(*(rng.normal(size=s) / np.sqrt(s[0]) for s in shapes), **extra)


def check_witnesses(net, line, found=None):
    """The network itself routes each witness as its interval says; the count agrees."""
    found = enumerate_regions(net, line) if found is None else found
    assert count_regions(net, line).value == len(found) <= upper_bound(net, line).value
    wide = np.array([high - low > 1e-6 for low, high in (p.ends for p in found.pieces)])
    assert wide.mean() > 0.9
    assert (net.routing(found.witnesses[wide]) == found.patterns[wide]).all()
    # A sampler's lower bound: the runs of one pattern among many points.
    low, high = found.pieces[0].ends[0], found.pieces[-1].ends[1]
    names = net.routing(line.to_ambient(np.linspace(low, high, 501)[1:-1, None]))
    assert 1 + (names[1:] != names[:-1]).any(axis=1).sum() <= len(found)
    return found


# ---- named examples -----------------------------------------------------------------------------


def test_a_pattern_comes_back():
    """The second token's score on itself is t^2, on the first t: own key, the other's, own."""
    net = LiveNetwork([AttentionLayer([ONE])], 2)
    line = Line([1, 0], [0, 1])
    found = enumerate_regions(net, line)
    assert found.patterns.tolist() == [[0, 1], [0, 0], [0, 1]]
    assert [p.ends for p in found.pieces][1] == (0, 1)
    assert [step.matrix.tolist() for step in found.maps()] == [[[0, 2]], [[0, 1]], [[0, 2]]]
    assert [step.offset.tolist() for step in found.maps()] == [[2, 0], [2, 1], [2, 0]]
    assert sorted(found.adjacency().edges) == [(0, 1), (1, 2)]
    assert found.linear_regions() == [[0], [1], [2]]
    assert count_regions(net, line, of="linear_regions").value == 3


def test_ends_are_roots():
    """Scores t^2 + 1 on itself and c on the first: the ends are the roots of c - 1."""
    net = LiveNetwork([AttentionLayer([PLANE])], 2)
    line = Line([0, 2, 0, 1], [0, 0, 1, 0], -3, 3)
    found = enumerate_regions(net, line)
    assert found.patterns[:, 1].tolist() == [1, 0, 1]
    low, high = found.pieces[1].ends
    assert (low, high) == (pytest.approx(-1.0), pytest.approx(1.0))
    line = Line([0, 3, 0, 1], [0, 0, 1, 0], -3, 3)
    assert enumerate_regions(net, line).pieces[1].ends[1] == pytest.approx(2**0.5)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_a_head_attains_two_n_minus_one(n):
    """Parabolas j - j^2 t^2, narrower and higher: each is on top on both sides of the next."""
    head = AttentionHead(
        [[1, 0], [0, 1], [0, 0], [0, 0]], [[0, 0], [0, 0], [1, 0], [0, 1]], [[0]] * 4, [[0] * 4]
    )
    net = LiveNetwork([AttentionLayer([head])], n)
    # Every query is 0 but the last token's, (1, t); key j is (j, -j^2 t).
    start, velocity = np.zeros((n, 4)), np.zeros((n, 4))
    start[-1, 0], velocity[-1, 1] = 1, 1
    start[:, 2], velocity[:, 3] = np.arange(n), -(np.arange(n) ** 2)
    line = Line(start.ravel(), velocity.ravel())
    found = enumerate_regions(net, line) if n > 1 else None
    if found is not None:
        assert found.patterns[:, -1].tolist() == [*range(n), *range(n - 2, -1, -1)]
        assert len(found) == 2 * n - 1
        # All earlier tokens see equal scores: the smallest name stands for the tie.
        assert (found.patterns[:, :-1] == 0).all()


def test_touching_parabolas_end_nothing():
    """Scores 2t on the first token and t^2 + 1 on itself touch at t = 1."""
    net = LiveNetwork([AttentionLayer([PLANE])], 2)
    line = Line([2, 0, 0, 1], [0, 0, 1, 0], -9, 9)
    assert enumerate_regions(net, line).patterns.tolist() == [[0, 1]]


def test_equal_tokens_share_their_weight():
    """Two equal tokens tie everywhere; the later one averages their values, which are equal."""
    net = LiveNetwork([AttentionLayer([ONE]), AttentionLayer([ONE])], 3)
    line = Line([2, 2, -1], [1, 1, 1], 0, 5)
    found = enumerate_regions(net, line)
    assert (found.patterns[:, [0, 1, 3, 4]] == 0).all()
    t = Fraction(1, 2)
    x = np.array([2 + t, 2 + t, -1 + t], dtype=object)
    step = found.maps()[0]
    assert (step.matrix[0] * t + step.offset).tolist() == net(x).tolist()


# ---- one token, its own key live ----------------------------------------------------------------


def integer_model(rng, n, d, layers):
    def draw(*shape):
        return rng.integers(-2, 3, shape)

    stack = []
    for _ in range(layers):
        heads = [
            AttentionHead(draw(d, 2), draw(d, 2), draw(d, 2), draw(2, d), draw(2), scale=1)
            for _ in range(2)
        ]
        stack.append(AttentionLayer(heads, draw(d)))
    return Model(stack, draw(n, d))


@pytest.mark.parametrize("seed", range(6))
def test_one_moving_token_is_the_stack_with_the_others_at_rest(seed):
    rng = np.random.default_rng(seed)
    n, d = 4, 3
    model = integer_model(rng, n, d, 2)
    ids, velocity = np.arange(n), rng.integers(-2, 3, d)
    velocity[0] = 1
    one = model.network(ids, own_key="live")
    every = model.network(ids, position=None, own_key="live")
    assert (one.dim, every.dim) == (d, n * d)
    rows = model.embedded(ids)
    along = np.zeros((n, d))
    along[-1] = velocity
    alone = enumerate_regions(one, Line(rows[-1], velocity, -5, 5))
    together = enumerate_regions(every, Line(rows.ravel(), along.ravel(), -5, 5))
    last = together.patterns.reshape(len(together), 2, n, 2)[:, :, -1].reshape(-1, 4)
    assert alone.patterns.tolist() == last.tolist()
    assert [p.ends for p in alone.pieces] == [p.ends for p in together.pieces]
    for a, b in zip(alone.maps(), together.maps(), strict=True):
        assert a.matrix[0].tolist() == b.matrix[0, -d:].tolist()
        assert a.offset.tolist() == b.offset[-d:].tolist()


def test_a_token_before_the_end_drops_those_after_it():
    model = ta.load(MODEL)
    net = model.network("83052=", position=2, own_key="live")
    assert (net.n_tokens, net.moving, net.dim) == (3, (2,), 8)
    everyone = Model(model.layers, model.embedding, positions=model.positions, causal=False)
    assert everyone.network([8, 3, 0, 5], position=2, own_key="live").n_tokens == 4


@pytest.mark.parametrize("position", [-1, None])
@pytest.mark.parametrize("keys_from", ["hard", "soft"])
def test_shipped_model(position, keys_from):
    """From one text to another: every token, or the last one, moves from state to state."""
    model = ta.load(MODEL)
    net = model.network("83052=", position, keys_from, own_key="live")
    start, end = (model.embedded(model.tokens(text)) for text in ("83052=", "19467="))
    if position is None:
        line = Line(start.ravel(), (end - start).ravel(), 0, 1)
    else:
        line = Line(start[-1], np.arange(8) - 3.0, -4, 4)
    found = check_witnesses(net, line)
    assert len(found) > 3
    if keys_from == "hard" or position is None:
        # The hard network itself, on all tokens.
        rows = [start + t * (end - start) for t in (0.2, 0.7)]
        for x in rows:
            state = x
            for layer in model.layers:
                state = attend(layer, state, temperature=0)
            if position is None:
                assert np.allclose(net(x.ravel()), state.ravel(), rtol=1e-12)


# ---- norms, blocks, positions -------------------------------------------------------------------


def relu_model(rng, norm_first, kind):
    d, n_tokens = 4, 7

    def norm():
        weight = rng.normal(size=d)
        return RMSNorm(weight) if kind == "rms" else LayerNorm(weight, rng.normal(size=d))

    def draw(*shape):
        return rng.normal(size=shape)

    layers = [
        AttentionLayer(
            [gaussian_head(rng, d, 2, rope=ta.RotaryEmbedding(100.0), sink=0.2) for _ in range(2)],
            residual=not norm_first,
        )
        for _ in range(2)
    ]
    blocks = [
        Block(MLP(draw(d, 6), draw(6), draw(6, d), draw(d), "relu"), norm(), norm_first)
        for _ in range(2)
    ]
    return Model(layers, draw(n_tokens, d), norms=[norm(), norm()], blocks=blocks)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["rms", "layer"])
@pytest.mark.parametrize("norm_first", [True, False])
def test_norms_are_frozen_and_blocks_are_relu(norm_first, kind):
    rng = np.random.default_rng([5, norm_first])
    model = relu_model(rng, norm_first, kind)
    ids = [0, 3, 1, 4, 2]
    for position in (None, -1):
        net = model.network(ids, position, "soft", own_key="live")
        rows = model.embedded(ids)
        moving = rows if position is None else rows[-1:]
        # At the given context the frozen network is the network.
        at = net(moving.ravel(), temperature=1).reshape(moving.shape)
        reference = reference_output(model, rows)
        assert np.allclose(at, reference[-len(moving) :], rtol=1e-9)
        line = Line(moving.ravel(), rng.normal(size=moving.size), -3, 3)
        found = check_witnesses(net, line)
        assert len(found) > 3


def reference_output(model, rows):
    """The model behind its last block, as its parts say, soft."""
    stream = rows
    for layer, norm, block in zip(model.layers, model.norms, model.blocks, strict=True):
        inner = norm(stream)
        out = attend(layer, inner)
        stream = out if layer.residual else stream + out
        stream = block(stream)
    return stream


def test_windows_sinks_maxout_and_queries_that_see_everything():
    rng = np.random.default_rng(8)
    d = 3
    layers = [
        AttentionLayer([gaussian_head(rng, d, 2, sink=0.1), gaussian_head(rng, d, 1)], window=2),
        Maxout(rng.normal(size=(d, 3, d)), rng.normal(size=(d, 3))),
        AttentionLayer([gaussian_head(rng, d, 2, rope=ta.RotaryEmbedding(10.0))]),
        ta.Affine(rng.normal(size=(d, d)), rng.normal(size=d)),
        FeedForward(rng.normal(size=(d, 5)), rng.normal(size=5), rng.normal(size=(5, d))),
    ]
    a, b = rng.normal(size=(2, 5 * d))
    for causal in (True, False):
        net = LiveNetwork(layers, 5, causal)
        assert net.routing(a).shape == (5 * (2 + d + 1 + 5),)
        check_witnesses(net, Line(a, b - a, -1, 2))


def test_exact_input_and_output():
    """At rational points the network is the engine's map, without rounding."""
    rng = np.random.default_rng(3)
    model = integer_model(rng, 3, 2, 2)
    net = model.network([0, 1, 2], None, own_key="live")
    start, velocity = rng.integers(-3, 4, (2, 6))
    found = enumerate_regions(net, Line(start, velocity, 0, 1))
    for piece, step, pattern in zip(found.pieces, found.maps(), found.patterns, strict=True):
        t = Fraction(piece.witness)
        x = np.array([int(a) + t * int(b) for a, b in zip(start, velocity, strict=True)])
        assert (net.routing(x) == pattern).all()
        assert net(x).tolist() == (step.matrix[0] * t + step.offset).tolist()


# ---- limits and errors --------------------------------------------------------------------------


def test_limits_carry_a_lower_bound():
    rng = np.random.default_rng(0)
    net = LiveNetwork([AttentionLayer([gaussian_head(rng, 4, 2)]) for _ in range(3)], 10)
    a, b = rng.normal(size=(2, 40))
    line = Line(a, b - a, 0, 1)
    total = count_regions(net, line).value
    assert total > 20
    with pytest.raises(BudgetExceeded) as caught:
        count_regions(net, line, max_cells=10)
    assert 10 < caught.value.lower <= total
    with pytest.raises(BudgetExceeded) as caught:
        count_regions(net, line, of="linear_regions", max_cells=10)
    assert caught.value.lower == 1
    with pytest.raises(BudgetExceeded):
        enumerate_regions(net, line, max_cells=10)

    def stop(found, left):
        raise KeyboardInterrupt

    big = LiveNetwork([AttentionLayer([gaussian_head(rng, 8, 2)] * 4) for _ in range(4)], 32)
    a, b = rng.normal(size=(2, 32 * 8))
    question = Question.about(big, Line(a, 3 * (b - a), 0, 1), budget=Budget(report=stop))
    with pytest.raises(Interrupted) as caught:
        MovingTokens().count(question)
    assert caught.value.lower > 1


def test_bad_input():
    net = LiveNetwork([AttentionLayer([ONE])], 2)
    line = Line([1, 0], [0, 1])
    for domain in (None, Box([0, 0], [1, 1]), Line([1], [1])):
        with pytest.raises(InvalidInput, match="domain"):
            count_regions(net, domain)
    for extra in ({"of": "walls"}, {"engine": "enumeration"}, {"certificate": "x.gz"}):
        with pytest.raises(InvalidInput, match=next(iter(extra))):
            count_regions(net, line, **extra)
    with pytest.raises(InvalidInput, match="layers"):
        LiveNetwork([], 2)
    with pytest.raises(InvalidInput, match="n_tokens"):
        LiveNetwork([AttentionLayer([ONE])], 0)
    with pytest.raises(InvalidInput, match="layers"):
        LiveNetwork([AttentionLayer([ONE]).fix([[1]])], 2)
    with pytest.raises(InvalidInput, match="layers"):
        LiveNetwork([AttentionLayer([ONE]), ta.Affine([[1], [1]])], 2)
    with pytest.raises(InvalidInput, match="layers"):
        LiveNetwork([AttentionLayer([AttentionHead([[1], [1]], [[1]], [[1]], [[1, 1]])])], 2)
    model = ta.load(MODEL)
    with pytest.raises(InvalidInput, match="position"):
        model.network("314=", position=None)
    with pytest.raises(InvalidInput, match="keys_from"):
        model.network("314=", keys_from="both", own_key="live")
    gelu = relu_model(np.random.default_rng(0), True, "rms")
    mlp = MLP(np.eye(4), None, np.eye(4), None, "gelu")
    block = Block(mlp, RMSNorm(np.ones(4)), True)
    other = Model(gelu.layers, gelu.embedding, norms=gelu.norms, blocks=[block, block])
    with pytest.raises(InvalidInput, match="ReLU"):
        other.network([0, 1], own_key="live")
    with pytest.raises(InvalidInput, match="states"):
        gelu.network(np.ones((2, 4)), own_key="live")
    bare = Model(gelu.layers, gelu.embedding, norms=gelu.norms)
    with pytest.raises(InvalidInput, match="blocks"):
        bare.network([0, 1], own_key="live")


@pytest.mark.parametrize(
    "ask",
    [
        lambda net: ta.sample_regions(net, 10, seed=0, distribution="gaussian"),
        lambda net: ta.line_cells(net, Line([0, 0], [0, 1])),
        lambda net: ta.plane_cells(net, Box([0, 0], [1, 1])),
    ],
)
def test_live_keys_are_counted_on_lines_only(ask):
    with pytest.raises(InvalidInput, match=r"LiveNetwork, .* on lines only: use count_regions or"):
        ask(LiveNetwork([AttentionLayer([ONE])], 2))


def test_live_terms_are_those_of_a_polynomial():
    with pytest.raises(InvalidInput, match="f: a TropicalPolynomial needed, got LiveNetwork"):
        ta.live_terms(LiveNetwork([AttentionLayer([ONE])], 2))

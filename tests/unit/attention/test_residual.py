"""Steering what enters a norm: closed forms, a fine search in the plane, random vectors."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import tropattn as ta
from tropattn.attention.evaluated.blocks import MLP, Block, Scaling
from tropattn.attention.evaluated.norms import LayerNorm, RMSNorm
from tropattn.attention.evaluated.residual import steer_residual
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.networks.transformer import Transformer, residual_in_context
from tropattn.errors import Degenerate, Inconclusive, InvalidInput
from tropattn.tropical.terms import AffineMap


def drawn(seed, norm, n=5, dim=3, constants=1.0):
    rng = np.random.default_rng(seed)
    f = ta.TropicalPolynomial(rng.standard_normal((n, dim)), constants * rng.standard_normal(n))
    weight = rng.uniform(0.5, 2, dim)
    shift = constants * rng.standard_normal(dim)
    made = RMSNorm(weight) if norm is RMSNorm else LayerNorm(weight, shift)
    return f, made, 2 * rng.standard_normal(dim), rng


def winners(f, states):
    """In doubles, for very many states."""
    return (states @ f.slopes.T + f.intercepts).argmax(axis=1)


@pytest.mark.long
@pytest.mark.parametrize("norm", [RMSNorm, LayerNorm])
@pytest.mark.parametrize("seed", [0, 2, 3, 4, 5, 6, 7])
def test_bounds_hold_and_the_vector_works(norm, seed):
    f, made, r, rng = drawn(seed, norm)
    tried = 0
    for key in range(f.n_terms):
        try:
            found = steer_residual(f, made, r, {0: key})
        except (Degenerate, Inconclusive):
            # No residual among many reaches it either.
            many = made(r + 20 * rng.standard_normal((20_000, len(r))))
            assert not (winners(f, many) == key).any()
            continue
        assert found.squared is None
        assert 0 <= found.lower <= found.upper
        assert f.argmax(made((r + found.vector)[None])[0]) == key
        assert np.linalg.norm(found.vector) == pytest.approx(found.upper)
        if found.lower:
            tried += 1
            steps = rng.standard_normal((20_000, len(r)))
            length = found.lower * rng.uniform(0, 1, (20_000, 1)) ** (1 / len(r))
            steps *= length / np.linalg.norm(steps, axis=1, keepdims=True)
            assert not (winners(f, made(r + steps)) == key).any()
    assert tried


@pytest.mark.long
def test_the_bounds_close_in_on_a_fine_search_in_the_plane():
    for seed in range(6):
        f, made, r, _ = drawn(100 + seed, RMSNorm, n=3, dim=2, constants=0.7)
        angle = np.linspace(0, 2 * np.pi, 2001)
        radius = np.linspace(0, 4, 801)[:, None]
        steps = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(-1, 2)
        won = winners(f, made(r + steps))
        for key in range(3):
            hit = np.linalg.norm(steps[won == key], axis=1)
            if len(hit) and hit.min() > 0:
                found = steer_residual(f, made, r, {0: key})
                assert found.lower <= hit.min() <= found.upper + 0.02
                assert found.upper <= 1.05 * hit.min() + 0.01
                assert found.lower >= 0.5 * hit.min()


@pytest.mark.parametrize("norm", [RMSNorm, LayerNorm])
@pytest.mark.parametrize("seed", range(8))
def test_cones_are_exact(norm, seed):
    f, made, r, rng = drawn(200 + seed, norm, constants=0.0)
    for key in ta.live_terms(f).live.tolist():
        try:
            found = steer_residual(f, made, r, {0: key})
        except Degenerate:
            # Dead on the hyperplane of the norm alone.
            assert norm is LayerNorm
            continue
        assert isinstance(found.squared, Fraction) and found.lower == found.upper
        assert f.argmax(made((r + found.vector)[None])[0]) == key
        if found.squared:
            assert np.linalg.norm(found.vector) <= 1.0100001 * found.lower
            assert f.argmax(made((r + 0.95 * found.vector)[None])[0]) != key
            steps = rng.standard_normal((5_000, 3))
            steps *= 0.999 * found.lower / np.linalg.norm(steps, axis=1, keepdims=True)
            assert not (winners(f, made(r + steps)) == key).any()


def test_one_cone_in_closed_form():
    f = ta.TropicalPolynomial([[1, 0], [0, 1]])
    found = steer_residual(f, RMSNorm([1, 3]), [6.0, 0.0], {0: 1})
    # x > 3 y turns at the line with normal (1, -3): 6 / sqrt(10) away.
    assert found.squared == Fraction(36, 10)
    centred = ta.TropicalPolynomial([[1, 0, 0], [0, 1, 0]])
    found = steer_residual(centred, LayerNorm([1, 1, 1]), [4.0, 0.0, 7.0], {0: 1})
    assert found.squared == 8


def test_a_projection_behind_the_norm():
    rng = np.random.default_rng(0)
    f = ta.TropicalPolynomial(rng.standard_normal((4, 2)))
    projection = AffineMap(rng.standard_normal((3, 2)), np.zeros(2))
    norm, r = RMSNorm(np.ones(3)), rng.standard_normal(3)
    for key in ta.live_terms(f).live.tolist():
        found = steer_residual(f, norm, r, {0: key}, projection=projection)
        state = norm((r + found.vector)[None])[0] @ projection.matrix
        assert f.argmax(state) == key and found.squared is not None


def test_out_of_reach_dead_and_bad():
    far = ta.TropicalPolynomial([[0, 0], [1, 0]], [0, -9])  # normalised states reach sqrt(2)
    with pytest.raises(Inconclusive, match="a normalised state has needed, and none was found"):
        steer_residual(far, RMSNorm([1, 1]), [1.0, 0.0], {0: 1})
    dead = ta.TropicalPolynomial([[0, 0], [1, 0], [2, 0]], [0.0, -1.0, 0.5])
    with pytest.raises(Degenerate, match="key 1 of head 0, which is dead"):
        steer_residual(dead, RMSNorm([1, 1]), [1.0, 0.0], {0: 1})
    with pytest.raises(InvalidInput, match="norm: one of width 2 needed, got 3"):
        steer_residual(dead, RMSNorm([1, 1, 1]), [1.0, 0.0], {0: 1})
    live = ta.TropicalPolynomial([[1, 0], [0, 1]], [0.0, 0.5])
    with pytest.raises(InvalidInput, match=r"margin: a positive number up to 1e.06 needed, got -1"):
        steer_residual(live, RMSNorm([1, 1]), [3.0, 1.0], {0: 1}, margin=-1)
    with pytest.raises(InvalidInput, match="got one of size 0"):
        steer_residual(dead, RMSNorm([1, 1], eps=0), [0.0, 0.0], {0: 1})


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_the_residual_of_a_context_is_what_the_norm_reads(parallel, scaled):
    rng = np.random.default_rng(5)
    arrays = [rng.normal(size=(2, 4, 3)) for _ in range(3)] + [rng.normal(size=(2, 3, 4))]
    layers = [AttentionLayer.from_arrays(*arrays, residual=False)] * 3
    mlp = MLP(rng.normal(size=(4, 5)), None, rng.normal(size=(5, 4)), None, "gelu")
    after = Scaling(rng.normal(size=4)) if scaled else None
    norm = LayerNorm(rng.normal(size=4), rng.normal(size=4))
    block = Block(mlp, norm, True, after, after, parallel)
    embedding = rng.normal(size=(6, 4))
    model = Transformer(layers, embedding, norms=[norm] * 3, blocks=[block] * 3)
    ids = [3, 0, 5, 1]
    states = model.states(ids)
    assert (residual_in_context(model, ids, 0) == embedding[ids]).all()
    for index in range(3):
        residual = residual_in_context(model, ids, index)
        np.testing.assert_array_equal(norm(residual), states[index])
    assert residual_in_context(model, states[0], 1) is None

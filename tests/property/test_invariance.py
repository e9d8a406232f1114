"""Laws that hold for every layer: permutations, changes of variable, products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tropattn import TropicalPolynomial, count_regions, enumerate_regions, live_terms

small = st.integers(-2, 2)


@st.composite
def layers(draw, max_heads=3, max_dim=3):
    """Heads with small integer data, on which ties are common."""
    dim = draw(st.integers(1, max_dim))
    heads = []
    for _ in range(draw(st.integers(1, max_heads))):
        n = draw(st.integers(1, 4))
        slopes = draw(st.lists(st.lists(small, min_size=dim, max_size=dim), min_size=n, max_size=n))
        intercepts = draw(st.lists(small, min_size=n, max_size=n))
        heads.append(TropicalPolynomial(slopes, intercepts))
    return heads


quick = settings(deadline=None, derandomize=True, max_examples=60)


@pytest.mark.long
@quick
@given(layers(), st.randoms(use_true_random=False))
def test_order_of_heads_and_keys_does_not_matter(heads, rng):
    expected = count_regions(heads).value
    shuffled = []
    for head in heads:
        order = list(range(head.n_terms))
        rng.shuffle(order)
        shuffled.append(TropicalPolynomial(head.slopes[order], head.intercepts[order]))
    rng.shuffle(shuffled)
    assert count_regions(shuffled).value == expected


@quick
@given(layers(), st.integers(1, 5), st.lists(small, min_size=3, max_size=3))
def test_affine_change_of_variable_keeps_the_count(heads, stretch, shift):
    dim = heads[0].dim
    matrix = stretch * np.eye(dim) + np.tri(dim, k=-1)
    moved = [h.pullback(matrix, shift[:dim]) for h in heads]
    assert count_regions(moved).value == count_regions(heads).value


@pytest.mark.long
@quick
@given(layers(max_heads=2))
def test_refinement_is_the_product(heads):
    """The cells of a layer are the live terms of the tropical product (T5)."""
    product = heads[0]
    for head in heads[1:]:
        product = product * head
    assert len(live_terms(product).live) == count_regions(heads, engine="enumeration").value


@quick
@given(layers())
def test_an_added_common_function_changes_nothing(heads):
    """Scores move by the same affine function: the argmax, hence every cell, stays."""
    moved = [TropicalPolynomial(h.slopes + 3.0, h.intercepts - 7.0) for h in heads]
    a, b = enumerate_regions(heads), enumerate_regions(moved)
    assert np.array_equal(a.patterns, b.patterns)

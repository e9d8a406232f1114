from fractions import Fraction

import numpy as np
import pytest

import tropattn as ta
from tropattn.errors import InvalidInput
from tropattn.regions.homology import betti_numbers

WINDOW = ta.Box([-3, -3], [3, 3])


def _rings():
    """Outputs 0, f - 1 and 2 f - 3 of ``f = max(|x|, |y|)``: two squares between three regions."""
    largest = ta.Maxout([[[1, 0], [-1, 0], [0, 1], [0, -1]]])
    return ta.Network([largest, ta.Affine([[0, 1, 2]], [0, -1, -3])])


def _maxout(seed, widths=(7, 7, 6), outputs=2):
    """Two inputs, maxout units of rank 2, a linear end: as the authors of the counts below draw it.

    Tseran and Montufar (2021), *On the expected complexity of maxout networks*, their repository
    maxout_complexity: normal weights, then normal biases, of variance 1 over the width before, and
    2 over it at the end.
    """
    rng = np.random.RandomState(seed)
    layers, dim = [], 2
    for width in widths:
        slopes = rng.normal(0, np.sqrt(1 / dim), (width, 2, dim))
        layers.append(ta.Maxout(slopes, rng.normal(0, np.sqrt(1 / dim), (width, 2))))
        dim = width
    rows = rng.normal(0, np.sqrt(2 / dim), (outputs, dim))
    return ta.Network([*layers, ta.Affine(rows.T, rng.normal(0, np.sqrt(2 / dim), outputs))])


def _attention(rng, heads, keys, dim, out):
    slopes = [ta.TropicalPolynomial(rng.normal(size=(keys, dim))) for _ in range(heads)]
    values = [rng.normal(size=(keys, out)) for _ in range(heads)]
    return ta.FixedLayer(slopes, values)


def test_two_squares():
    found = ta.decision_boundary(_rings(), WINDOW)
    assert len(found) == 8 and found.components == 2 and found.betti() == (2, 2)
    assert {p.kind for p in found.pieces} == {"tie"}
    assert {frozenset(p.decisions) for p in found.pieces} == {frozenset((0, 1)), frozenset((1, 2))}
    assert [found.betti(k) for k in (0, 1, 2)] == [(1, 0, 0), (1, 1, 0), (1, 1, 0)]
    points = [[0, 0], [1, 0], [1.5, 0.25], [3, 3], [0, 1.75]]
    assert found.distance(points).tolist() == pytest.approx([1, 0, 0.5, np.sqrt(2), 0.25])
    # On the whole plane the two squares are the same, and the outer region is unbounded.
    whole = ta.decision_boundary(_rings())
    assert len(whole) == 8 and whole.betti() == (2, 2) and whole.betti(0) == (1, 0, 0)
    with pytest.raises(InvalidInput, match="unbounded"):
        whole.betti(2)


def test_jumps_and_whole_lines():
    jump = ta.FixedLayer(
        [ta.TropicalPolynomial([[0, 0], [1, 0]])], [[[1, 0], [0, 1]]], residual=False
    )
    found = ta.decision_boundary(ta.Network([jump]))
    (piece,) = found.pieces
    assert piece.kind == "jump" and piece.open_ended == (True, True) and piece.decisions == (0, 1)
    assert found.components == 1 and found.distance([5, -7]).tolist() == [5.0]
    # The same wall where the outputs do not change: no boundary.
    idle = ta.FixedLayer([ta.TropicalPolynomial([[0, 0], [1, 0]])], [[[1, 0], [2, 0]]])
    nothing = ta.decision_boundary(ta.Network([idle, ta.Affine([[0, 0], [0, 0]], [0, 1])]))
    assert len(nothing) == 0 and nothing.components == 0
    assert nothing.distance([[0, 0]]).tolist() == [np.inf]


@pytest.mark.parametrize("seed", range(3))
def test_both_sides_of_every_piece(seed):
    """Decisions beside each piece, and whether both outputs are equal there, from the network."""
    rng = np.random.default_rng([1, seed])
    first, second = _attention(rng, 2, 3, 2, 2), _attention(rng, 1, 3, 2, 2)
    net = ta.Network([first, second, ta.Affine(rng.normal(size=(2, 3)))])
    found = ta.decision_boundary(net, WINDOW)
    assert len(found)
    kinds = set()
    for piece in found.pieces:
        a, b, _ = piece.line
        p, q = piece.ends
        # Not the middle, where a corner may split the piece.
        at = p + (q - p) * Fraction(381, 1000)
        across = np.array([Fraction(a), Fraction(b)]) / (abs(a) + abs(b))
        step = Fraction(1, 10**12)
        outputs = [net(np.array(at + s * step * across)) for s in (-1, 1)]
        assert tuple(int(np.argmax(y.astype(float))) for y in outputs) == piece.decisions
        first, second = piece.decisions
        gaps = [abs(float(y[first] - y[second])) for y in outputs]
        assert (max(gaps) < 1e-9) == (piece.kind == "tie")
        kinds.add(piece.kind)
    assert "tie" in kinds
    if seed:
        assert "jump" in kinds


def test_continuous_networks_only_tie():
    found = ta.decision_boundary(_maxout(1, (4, 4)), WINDOW)
    assert len(found) and all(piece.kind == "tie" for piece in found.pieces)


def _codes(patterns, decisions):
    """Winners of units of rank 2, and the decision, as the bits of one number."""
    bits = np.column_stack([patterns, decisions]).astype(np.int64)
    return bits @ (1 << np.arange(bits.shape[1], dtype=np.int64))


def _against_a_grid(net, found, n):
    """Codes and decisions on a grid of n x n points of the window, and the codes of our cells."""
    axis = np.linspace(-3, 3, n)
    seen, decided = set(), np.empty((n, n), np.int8)
    for i, x in enumerate(axis):
        state = np.column_stack([np.full(n, x), axis])
        parts = []
        for layer in net.layers[:-1]:
            scores = np.einsum("utd,nd->nut", layer.slopes, state) + layer.intercepts
            parts.append(scores.argmax(axis=2))
            state = scores.max(axis=2)
        decided[i] = (state @ net.layers[-1].matrix + net.layers[-1].offset).argmax(axis=1)
        seen |= set(np.unique(_codes(np.hstack(parts), decided[i])).tolist())
    # The affine end is a unit of one key.
    return axis, decided, seen, _codes(found.patterns[:, :-1], found.decisions)


def test_a_published_maxout_network():
    """The README of maxout_complexity: 216 regions, 30 pieces of the boundary, on [-3, 3]^2."""
    net = _maxout(123)
    assert len(ta.enumerate_regions(net, WINDOW)) == 216
    assert ta.count_regions(net, WINDOW, of="linear_regions").value == 216
    found = ta.decision_boundary(net, WINDOW)
    assert len(found) == sum(piece.edges for piece in found.pieces) == 30


@pytest.mark.long
@pytest.mark.parametrize("n", [300, pytest.param(4000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("seed", [0, 123])
def test_a_maxout_network_against_a_grid(seed, n):
    net = _maxout(seed)
    found = ta.decision_boundary(net, WINDOW)
    axis, decided, seen, codes = _against_a_grid(net, found, n)
    ours = set(codes.tolist())
    assert seen <= ours and len(ours) == len(codes)
    step = axis[1] - axis[0]
    assert len(seen) > 0.8 * len(ours)
    assert len(ta.enumerate_regions(net, WINDOW)) <= len(ours)
    # What the grid does not see is smaller than its meshes.
    for i in np.flatnonzero([code not in seen for code in codes.tolist()]).tolist():
        assert found.cell(i).inscribed_ball().lower <= step * 0.7072
    # Where neighbours differ the boundary passes between them.
    flips = np.argwhere(decided[1:] != decided[:-1])[:: max(1, n // 100)]
    middles = np.column_stack([axis[flips[:, 0]] + step / 2, axis[flips[:, 1]]])
    assert (found.distance(middles) <= step / 2 * (1 + 1e-9)).all()
    # And where it does not pass, they do not differ.
    for piece in found.pieces:
        p, q = piece.ends.astype(float)
        if np.abs(q - p).max() > 4 * step:
            middle = np.clip(((p + q) / 2 + 3) / step, 1, n - 3).astype(int)
            around = decided[middle[0] - 1 : middle[0] + 3, middle[1] - 1 : middle[1] + 3]
            assert len(np.unique(around)) > 1


def test_slices_measure_in_the_space_that_they_lie_in():
    net = ta.Network([ta.Affine([[1, -1], [0, 0], [0, 0]])])
    plane = ta.Slice([0, 0, 0], [[3, 0, 4], [0, 1, 0]], ([-1, -1], [1, 1]))
    found = ta.decision_boundary(net, plane)
    assert found.distance([[0.5, 0.0]]).tolist() == pytest.approx([2.5])


def test_what_is_refused():
    with pytest.raises(InvalidInput, match="at least 2 outputs"):
        ta.decision_boundary(ta.Network([ta.Affine([[1], [1]])]))
    with pytest.raises(InvalidInput, match="on 3 parameters"):
        ta.decision_boundary(ta.Network([ta.Affine(np.eye(3))]))
    with pytest.raises(InvalidInput, match="map nothing"):
        ta.decision_boundary([ta.TropicalPolynomial([[0, 0], [1, 0]])])
    found = ta.decision_boundary(_rings(), WINDOW)
    with pytest.raises(InvalidInput, match="one of"):
        found.betti(3)
    assert sum(found.cell(i).volume() for i in range(len(found.decisions))) == 36
    with pytest.raises(InvalidInput, match="a cell in 0"):
        found.cell(len(found.decisions))
    with pytest.raises(InvalidInput, match="2 coordinates"):
        found.distance([[1, 2, 3]])


def test_betti_numbers_of_a_torus_and_a_sphere():
    # Seven points, all 21 edges, 14 triangles: Moebius' torus.
    triangles = [{i % 7, (i + 1) % 7, (i + 3) % 7} for i in range(7)]
    triangles += [{i % 7, (i + 2) % 7, (i + 3) % 7} for i in range(7)]
    edges = sorted({tuple(sorted(t - {v})) for t in triangles for v in t})
    place = {edge: k for k, edge in enumerate(edges)}
    lines = [(1 << a) | (1 << b) for a, b in edges]
    sides = [sum(1 << place[tuple(sorted(t - {v}))] for v in t) for t in triangles]
    assert betti_numbers([7, 21, 14], [lines, sides]) == (1, 2, 1)
    assert betti_numbers([2, 2, 2], [[0b11, 0b11], [0b11, 0b11]]) == (1, 0, 1)

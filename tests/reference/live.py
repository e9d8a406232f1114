"""Stacks whose tokens all move along a line, straight from the definition (T11).

A stack is a list of layers, each a dictionary of lists of rationals (or of NumPy arrays for
``routes``):

    {"kind": "attention", "heads": [head], "b_O": row, "residual": bool, "window": int or None}
    {"kind": "relu", "W_1", "b_1", "W_2", "b_2", "residual"}
    {"kind": "affine", "matrix", "offset"}

with heads ``{"W_Q", "b_Q", "W_K", "b_K", "W_V", "b_V", "W_O", "scale", "sink"}``. Two roads, both
apart from the library under test: ``intervals`` cuts a line at every root of every difference of
two scores and evaluates between them in rationals; ``routes`` runs the whole network in doubles at
many points, with the margin of the closest decision.
"""

from fractions import Fraction
from itertools import combinations
from math import isqrt

import numpy as np

FINE = Fraction(1, 2**300)
"""Precision of roots; two that are closer than 2**-200 count as one."""
NEAR = Fraction(1, 2**200)


def _affine(row, matrix, offset):
    return [
        sum(x * matrix[i][c] for i, x in enumerate(row)) + offset[c] for c in range(len(offset))
    ]


def _dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def seen(layer, token, n_tokens, causal):
    """Return the keys that a token sees."""
    window = layer.get("window") or n_tokens
    stop = token + 1 if causal else min(n_tokens, token + window)
    return range(max(0, token + 1 - window), stop)


def _winners(scores):
    best = max(scores.values())
    return frozenset(j for j, s in scores.items() if s == best)


def _scores(layer, states, token, causal):
    """Return the scores of each unit of a token: one dictionary a unit, from choice to number."""
    if layer["kind"] == "affine":
        return []
    if layer["kind"] == "relu":
        return [{0: Fraction(0), 1: s} for s in _affine(states[token], layer["W_1"], layer["b_1"])]
    out = []
    for head in layer["heads"]:
        query = _affine(states[token], head["W_Q"], head["b_Q"])
        found = {}
        for j in seen(layer, token, len(states), causal):
            key = _affine(states[j], head["W_K"], head["b_K"])
            found[j] = head["scale"] * _dot(query, key)
        if head["sink"] is not None:
            found[len(states)] = Fraction(head["sink"])
        out.append(found)
    return out


def _leaving(layer, states, token, winners):
    """Return the state of a token behind a layer; ``states`` may be any numbers, slopes say.

    ``constant`` parts are added by the caller's choice of ``states``: each is a pair (slope,
    constant), and offsets go to constants only.
    """
    slopes, constants = ([row[k] for row in states] for k in (0, 1))
    zero = [Fraction(0)]

    def through(matrix, offset, row_pair):
        none = zero * len(offset)
        return _affine(row_pair[0], matrix, none), _affine(row_pair[1], matrix, offset)

    own = (slopes[token], constants[token])
    if layer["kind"] == "affine":
        return through(layer["matrix"], layer["offset"], own)
    if layer["kind"] == "relu":
        hidden = through(layer["W_1"], layer["b_1"], own)
        kept = tuple(
            [v if min(w) == 1 else Fraction(0) for v, w in zip(part, winners, strict=True)]
            for part in hidden
        )
        total = through(layer["W_2"], layer["b_2"], kept)
    else:
        total = (zero * len(layer["b_O"]), [Fraction(v) for v in layer["b_O"]])
        for head, group in zip(layer["heads"], winners, strict=True):
            for j in group:
                if j < len(states):
                    value = through(head["W_V"], head["b_V"], (slopes[j], constants[j]))
                    value = through(head["W_O"], zero * len(layer["b_O"]), value)
                    total = tuple(
                        [t + v / len(group) for t, v in zip(a, b, strict=True)]
                        for a, b in zip(total, value, strict=True)
                    )
    if layer["residual"]:
        total = tuple(
            [t + v for t, v in zip(a, b, strict=True)] for a, b in zip(total, own, strict=True)
        )
    return total


def pattern(layers, states, causal=True):
    """Return the smallest winner of each unit of each token, at given states, in rationals."""
    pairs = [([Fraction(0)] * len(row), [Fraction(v) for v in row]) for row in states]
    names = ()
    for layer in _exact(layers):
        now = _at(pairs, Fraction(0))
        winners = [
            [_winners(unit) for unit in _scores(layer, now, token, causal)]
            for token in range(len(pairs))
        ]
        names += tuple(min(w) for row in winners for w in row)
        pairs = [_leaving(layer, pairs, i, winners[i]) for i in range(len(pairs))]
    return names


def _exact(value):
    """Return the data with every number as the rational that it is."""
    if isinstance(value, dict):
        return {name: _exact(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray):
        return _exact(value.tolist())
    if isinstance(value, list):
        return [_exact(entry) for entry in value]
    return Fraction(value) if isinstance(value, float) else value


def _at(states, t):
    return [[a * t + b for a, b in zip(*pair, strict=True)] for pair in states]


def _quadratics(layer, states, token, causal):
    """Return the scores of a token as quadratics, from their values at three points."""
    values = [_scores(layer, _at(states, Fraction(t)), token, causal) for t in (-1, 0, 1)]
    out = []
    for left, middle, right in zip(*values, strict=True):
        unit = {}
        for j in middle:
            even, odd = (right[j] + left[j]) / 2, (right[j] - left[j]) / 2
            unit[j] = (middle[j], odd, even - middle[j])
        out.append(unit)
    return out


def roots(c):
    """Return the roots of ``c_0 + c_1 t + c_2 t^2`` to within 2**-300."""
    c_0, c_1, c_2 = c
    if c_2 == 0:
        return [] if c_1 == 0 else [-c_0 / c_1]
    discriminant = c_1 * c_1 - 4 * c_0 * c_2
    if discriminant < 0:
        return []
    shift = 2**320
    root = Fraction(isqrt(int(discriminant * shift * shift)), shift)
    return sorted({(-c_1 - root) / (2 * c_2), (-c_1 + root) / (2 * c_2)})


def intervals(layers, start, velocity, low, high, causal=True):
    """Return [(left end, pattern)] in order: the smallest winner of each unit of each token."""
    n_tokens = len(start)
    states = [
        ([Fraction(v) for v in b], [Fraction(v) for v in a])
        for a, b in zip(start, velocity, strict=True)
    ]
    found = [(Fraction(low), states, ())]
    for layer in layers:
        after = []
        for place, (left, states, pattern) in enumerate(found):
            right = found[place + 1][0] if place + 1 < len(found) else Fraction(high)
            inside = [left]
            cuts = []
            for token in range(n_tokens):
                for unit in _quadratics(layer, states, token, causal):
                    for f, g in combinations(unit.values(), 2):
                        cuts += roots(tuple(x - y for x, y in zip(f, g, strict=True)))
            for cut in sorted(cuts):
                if inside[-1] + NEAR < cut < right - NEAR:
                    inside.append(cut)
            previous = None
            for a, b in zip(inside, [*inside[1:], right], strict=True):
                now = _at(states, (a + b) / 2)
                winners = [
                    [_winners(unit) for unit in _scores(layer, now, token, causal)]
                    for token in range(n_tokens)
                ]
                if winners == previous:
                    continue
                previous = winners
                new = [_leaving(layer, states, i, winners[i]) for i in range(n_tokens)]
                names = tuple(min(w) for row in winners for w in row)
                after.append((a, new, pattern + names))
        found = after
    return found


# ------------------------------------------------------------------------- the network in doubles


def routes(layers, states, causal=True):
    """Return winners (m, units) of m sequences (m, N, d), and the smallest margin of each (m,).

    A margin is the gap between the two best scores of a unit over the size of its scores.
    """
    states = np.asarray(states, dtype=float)
    m, n_tokens, _ = states.shape
    names, margin = [], np.full(m, np.inf)
    for layer in layers:
        if layer["kind"] == "affine":
            states = states @ layer["matrix"] + layer["offset"]
            continue
        if layer["kind"] == "relu":
            hidden = states @ layer["W_1"] + layer["b_1"]
            size = np.abs(states) @ np.abs(layer["W_1"]) + np.abs(layer["b_1"])
            margin = np.minimum(margin, (np.abs(hidden) / size).min(axis=(1, 2)))
            names.append((hidden > 0).astype(int).reshape(m, -1))
            out = np.maximum(hidden, 0) @ layer["W_2"] + layer["b_2"]
            states = out + states if layer["residual"] else out
            continue
        hidden = np.ones((n_tokens, n_tokens), dtype=bool)
        for i in range(n_tokens):
            hidden[i, list(seen(layer, i, n_tokens, causal))] = False
        out, winners = np.zeros((m, n_tokens, len(layer["b_O"]))) + layer["b_O"], []
        for head in layer["heads"]:
            query = states @ head["W_Q"] + head["b_Q"]
            key = states @ head["W_K"] + head["b_K"]
            scores = float(head["scale"]) * query @ key.swapaxes(1, 2)
            size = np.abs(scores).max(axis=2)
            scores = np.where(hidden, -np.inf, scores)
            best = scores.argmax(axis=2)
            top = np.take_along_axis(scores, best[..., None], axis=2)[..., 0]
            np.put_along_axis(scores, best[..., None], -np.inf, axis=2)
            gap = (top - scores.max(axis=2)) / size
            margin = np.minimum(margin, gap.min(axis=1))
            value = states @ head["W_V"] + head["b_V"]
            out += np.take_along_axis(value, best[..., None], axis=1) @ head["W_O"]
            winners.append(best)
        names.append(np.stack(winners, axis=-1).reshape(m, -1))
        states = out + states if layer["residual"] else out
    return np.hstack(names), margin


# ------------------------------------------------------------------------------- random stacks


def random_stack(rng, d, integers=True, heads=None, depth=None, relu=0.4):
    """Return random layers on R^d; integers are small, so that ties are common.

    ``rng`` is a NumPy generator. Attention comes first and last.
    """

    def draw(*shape):
        if integers:
            return rng.integers(-2, 3, shape).tolist()
        return rng.normal(size=shape) / np.sqrt(shape[0])

    layers = []
    for _ in range(depth or rng.integers(1, 4)):
        d_head = int(rng.integers(1, d + 1)) if integers else max(1, d // (heads or 1))
        layer = {"kind": "attention", "heads": [], "b_O": draw(d), "residual": True, "window": None}
        if integers and rng.random() < 0.3:
            layer["residual"] = False
        if integers and rng.random() < 0.2:
            layer["window"] = 2
        for _ in range(heads or rng.integers(1, 3)):
            names = {"W_Q": (d, d_head), "b_Q": (d_head,), "W_K": (d, d_head), "b_K": (d_head,)}
            names |= {"W_V": (d, d_head), "b_V": (d_head,), "W_O": (d_head, d)}
            head = {name: draw(*shape) for name, shape in names.items()}
            head["scale"] = 1 if integers else 1 / np.sqrt(d_head)
            sink = integers and rng.random() < 0.25
            head["sink"] = int(rng.integers(-2, 3)) if sink else None
            layer["heads"].append(head)
        layers.append(layer)
        if rng.random() < relu:
            m = int(rng.integers(1, 4)) if integers else 2 * d
            block = {"W_1": draw(d, m), "b_1": draw(m), "W_2": draw(m, d), "b_2": draw(d)}
            # Without a residual a dead block makes tokens equal, which doubles cannot tell apart.
            residual = not integers or bool(rng.random() < 0.7)
            layers.append({"kind": "relu", "residual": residual, **block})
        if integers and rng.random() < 0.15:
            layers.append({"kind": "affine", "matrix": draw(d, d), "offset": draw(d)})
    return layers

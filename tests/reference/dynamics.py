"""Plain versions of the dynamics: loops over tokens, straight from the papers' formulas."""

from __future__ import annotations

from fractions import Fraction

import numpy as np


def hardmax_layer(tokens, alpha, matrix=None, ties="average"):
    """One layer in Fractions; also the winners of every token."""
    d = len(tokens[0])
    matrix = matrix or [[Fraction(i == j) for j in range(d)] for i in range(d)]
    part = Fraction(alpha) / (1 + Fraction(alpha))
    out, winners = [], []
    for z in tokens:
        image = [sum(matrix[a][b] * z[b] for b in range(d)) for a in range(d)]
        scores = [sum(image[a] * w[a] for a in range(d)) for w in tokens]
        won = [j for j, s in enumerate(scores) if s == max(scores)]
        winners.append(won)
        chosen = won if ties == "average" else won[:1]
        mean = [Fraction(sum(tokens[j][a] for j in chosen)) / len(chosen) for a in range(d)]
        out.append([z[a] + part * (mean[a] - z[a]) for a in range(d)])
    return out, winners


def leaders(tokens, winners):
    """Tokens whose winners all stand where they stand."""
    return [i for i, won in enumerate(winners) if all(tokens[j] == tokens[i] for j in won)]


def weights(kind, x, y, Q, K, beta):
    """Unnormalised weight that x gives to y."""
    q, k = Q @ x, K @ y
    return {
        "softmax": np.exp(beta * q @ k),
        "unnormalised": np.exp(beta * q @ k),
        "l2": np.exp(-beta * (q - k) @ (q - k)),
        "sigmoid": 1 / (1 + np.exp(-beta * q @ k)),
        "linear": beta * q @ k,
    }[kind]


def readout(kind, tokens, Q, K, V, beta, causal=False):
    """Attention's output for every token, one pair at a time."""
    out = np.zeros_like(tokens)
    for i, x in enumerate(tokens):
        seen = tokens[: i + 1] if causal else tokens
        w = np.array([weights(kind, x, y, Q, K, beta) for y in seen])
        total = w.sum() if kind in ("softmax", "l2") else len(seen)
        out[i] = sum(wj * (V @ y) for wj, y in zip(w, seen, strict=True)) / total
    return out


def project(tokens, moved):
    """Tangential part of each row at each unit token."""
    return np.array([m - (x @ m) * x for x, m in zip(tokens, moved, strict=True)])


def single_linkage(points, radius):
    """Number of clusters by merging until no gap is within the radius."""
    groups = [{i} for i in range(len(points))]
    merged = True
    while merged:
        merged = False
        for a in range(len(groups)):
            for b in range(a + 1, len(groups)):
                if any(
                    np.linalg.norm(points[i] - points[j]) <= radius
                    for i in groups[a]
                    for j in groups[b]
                ):
                    groups[a] |= groups.pop(b)
                    merged = True
                    break
            if merged:
                break
    return len(groups)

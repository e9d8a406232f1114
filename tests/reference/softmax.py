"""Softmax attention straight from the definition, one query and one key at a time.

NumPy only, independent of the library under test. Scores are scaled logits; a rotary embedding
turns queries and keys by their own absolute positions.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Weights = Mapping[str, Any]


def rotate(vector: np.ndarray, position: int, theta: float, layout: str) -> np.ndarray:
    """Turn each pair of coordinates of one vector by its angle at the position."""
    width = len(vector)
    out = np.array(vector, dtype=float)
    for i in range(width // 2):
        first, second = (i, i + width // 2) if layout == "half" else (2 * i, 2 * i + 1)
        angle = position * theta ** (-2 * i / width)
        a, b = vector[first], vector[second]
        out[first] = a * math.cos(angle) - b * math.sin(angle)
        out[second] = a * math.sin(angle) + b * math.cos(angle)
    return out


def logits(
    weights: Weights,
    query_state: np.ndarray,
    states: np.ndarray,
    *,
    scale: float,
    bias: Sequence[float] | None = None,
    rope: tuple[float, str] | None = None,
    positions: Sequence[int] | None = None,
    query_position: int | None = None,
) -> np.ndarray:
    """Scores of one query with every token, masks and sinks left out."""
    places = list(range(len(states))) if positions is None else list(positions)
    own = places[-1] if query_position is None else query_position
    query = query_state @ weights["W_Q"] + weights.get("b_Q", 0)
    scores = []
    for j, state in enumerate(states):
        key = state @ weights["W_K"] + weights.get("b_K", 0)
        if rope is None:
            product = query @ key
        else:
            product = rotate(query, own, *rope) @ rotate(key, places[j], *rope)
        scores.append(scale * product + (0 if bias is None else bias[j]))
    return np.array(scores)


def head(
    weights: Weights,
    query_state: np.ndarray,
    states: np.ndarray,
    *,
    temperature: float = 1.0,
    mask: Sequence[bool] | None = None,
    sink: float | None = None,
    **how: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights on all tokens (0 where masked) and the output of one head for one query."""
    scores = logits(weights, query_state, states, **how) / temperature
    kept = [mask is None or bool(mask[j]) for j in range(len(states))]
    powers = np.array([math.exp(s) if keep else 0.0 for s, keep in zip(scores, kept, strict=True)])
    total = powers.sum() + (0 if sink is None else math.exp(sink / temperature))
    shares = powers / total
    values = states @ weights["W_V"] + weights.get("b_V", 0)
    return shares, sum(
        share * (value @ weights["W_O"]) for share, value in zip(shares, values, strict=True)
    )

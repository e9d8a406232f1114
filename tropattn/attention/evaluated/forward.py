"""A whole sequence through a layer: every token attends, hard or soft."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Floats
from tropattn.arrays import to_float
from tropattn.attention.heads.fixed import read_temperature, softmax
from tropattn.attention.heads.head import AttentionHead
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.heads.linear import row_products
from tropattn.errors import InvalidInput
from tropattn.tolerance import TINY, gamma

__all__ = ["attend", "attention_scores", "attention_weights"]


_OVERFLOW = "states: scores below 1.8e308 needed, got an overflow; rescale the weights."


def attend(
    layer: AttentionLayer,
    states: Any,
    *,
    temperature: float = 1,
    causal: bool = True,
    mask: NDArray[np.bool_] | None = None,
) -> Floats:
    """Return the layer's output at every token, each token's own key included (theory T12).

    Parameters
    ----------
    states : (N, d_model), or (m, N, d_model) for ``m`` sequences.
    temperature : divides the scores (scaled logits); 1 as trained, 0 hard.
    causal : whether token ``i`` sees the keys ``0..i`` only; a layer with a window sees those fewer
        than ``layer.window`` places away.
    mask : (N,), True for a key in sight of the queries; None for all. A query that would see none
        sees its own key.

    Returns
    -------
    Array
        Of the shape of ``states``; row ``i`` equals ``layer.fix(states[:i+1])(states[i])`` up to
        rounding, and its winners are the same ones exactly.

    Raises
    ------
    InvalidInput : wrong shapes, or queries and keys of different widths.

    Notes
    -----
    Cost ``O(m H N^2 d_head)``, and ``O(m N^2)`` memory.

    >>> layer = AttentionLayer([AttentionHead([[1]], [[1]], [[1]], [[1]])])
    >>> attend(layer, [[2.0], [1.0], [3.0]], temperature=0).tolist()
    [[4.0], [3.0], [6.0]]
    """
    warmth = read_temperature(temperature)
    rows = _read_sequences(layer, states)
    total = np.zeros((*rows.shape[:-1], layer.heads[0].d_out)) + to_float(layer.b_O)[0]
    for head in layer.heads:
        mixed = row_products("states", rows, to_float(head.W_V)[0], to_float(head.b_V)[0])
        weights = attention_weights(
            head, rows, temperature=warmth, causal=causal, window=layer.window, mask=mask
        )
        # The last column belongs to the sink, whose value is zero.
        total += (weights[..., : rows.shape[-2]] @ mixed) @ to_float(head.W_O)[0]
    return total + rows if layer.residual else total


def attention_scores(
    head: AttentionHead,
    states: Any,
    *,
    causal: bool = True,
    window: int | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> Floats:
    """Return the scores (scaled logits) of each query with each key, -inf where it is not seen.

    Norms of queries and soft caps are in them: these are what softmax takes. Of shape (..., N, N),
    one column more with a sink; in doubles. Source: theory T1. Cost ``O(N^2 d_head)``.

    >>> head = AttentionHead([[1]], [[1]], [[1]], [[1]])
    >>> attention_scores(head, np.array([[1.0], [2.0]])).tolist()
    [[1.0, -inf], [2.0, 4.0]]
    """
    rows = np.asarray(states, dtype=np.float64)
    return _hidden(_logits(head, rows), _unseen(rows.shape[-2], causal, window, mask))


def attention_weights(
    head: AttentionHead,
    states: Any,
    *,
    temperature: float = 1,
    causal: bool = True,
    window: int | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> Floats:
    """Return the weights of each query on each key, (..., N, N), one column more with a sink.

    At temperature 0 the winners share the weight equally. Winners are decided in doubles where the
    margin exceeds the proven rounding error, and exactly elsewhere. Source: theory T1, T2.

    >>> head = AttentionHead([[1]], [[1]], [[1]], [[1]])
    >>> attention_weights(head, np.array([[1.0], [1.0]]), temperature=0).tolist()
    [[1.0, 0.0], [0.5, 0.5]]
    """
    warmth = read_temperature(temperature)
    rows = np.asarray(states, dtype=np.float64)
    n_tokens = rows.shape[-2]
    unseen = _unseen(n_tokens, causal, window, mask)
    if warmth > 0:
        return softmax(_hidden(_logits(head, rows), unseen), warmth)
    scores = _hidden(_scores(head, rows), unseen)
    errors = _errors(head, rows)
    floor = (scores - errors).max(axis=-1, keepdims=True)
    close = scores + errors >= floor
    weights = close.astype(np.float64)
    for index in np.argwhere(close.sum(axis=-1) > 1):
        *sequence, query = index.tolist()
        context = rows[tuple(sequence)]
        seen = np.arange(n_tokens) if unseen is None else np.flatnonzero(~unseen[query])
        poly = head.scores(context[seen], positions=seen, query_position=query)
        winners = poly.winners(context[query : query + 1])[0]
        row = np.zeros(scores.shape[-1])
        # A sink is the term after the tokens in sight.
        row[np.append(seen, n_tokens)[winners]] = 1
        weights[tuple(index)] = row
    return weights / weights.sum(axis=-1, keepdims=True)


def _unseen(
    n_tokens: int, causal: bool, window: int | None, mask: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Keys (N, N) that each query does not see: later ones, ones too far before it, masked ones."""
    if not causal and mask is None and window is None:
        return None
    unseen = np.zeros((n_tokens, n_tokens), dtype=bool)
    keys = np.arange(n_tokens)
    queries = keys[:, None]
    if causal:
        unseen |= queries < keys
    if window is not None:
        unseen |= queries - window >= keys
        unseen |= queries + window <= keys
    if mask is not None:
        unseen |= ~mask
        alone = np.flatnonzero(unseen.all(axis=1))
        unseen[alone, alone] = False
    return unseen


def _hidden(scores: Floats, unseen: NDArray[np.bool_] | None) -> Floats:
    """Write -inf over the scores of keys out of sight; sinks stay in sight."""
    if unseen is not None:
        np.copyto(scores[..., : unseen.shape[1]], -np.inf, where=unseen)
    return scores


def _scores(head: AttentionHead, rows: Floats) -> Floats:
    """All scores (..., N, N [+ 1]) in doubles."""
    keys = _keys(head, rows)
    with np.errstate(over="ignore", invalid="ignore"):
        queries = rows @ to_float(head.W_Q)[0] + to_float(head.b_Q)[0]
        if head.q_norm is not None:
            queries = queries * to_float(head.q_norm.weight)[0]
        scores = _turned(head, queries) @ _turned(head, keys).swapaxes(-1, -2)
        scores *= float(head.scale)
        if head.slant is not None:
            scores += head.slant * _ahead(rows)
    if not np.isfinite(scores).all():
        raise InvalidInput(_OVERFLOW)
    return _with_sink(head, scores, head.sink)


def _logits(head: AttentionHead, rows: Floats) -> Floats:
    """What softmax takes: scores, or these under the norm of queries and the soft cap."""
    scores = _scores(head, rows)
    return scores if head.logits is None else head.logits(rows, scores)


def _keys(head: AttentionHead, rows: Floats) -> Floats:
    """Keys (..., N, d_head) before they rotate."""
    keys = row_products("states", rows, to_float(head.W_K)[0], to_float(head.b_K)[0])
    return keys if head.k_norm is None else head.k_norm.keys(rows, keys)


def _ahead(rows: Floats) -> Floats:
    """How far each key stands before each query, (N, N), negative behind it."""
    places = np.arange(float(rows.shape[-2]))
    return places - places[:, None]


def _errors(head: AttentionHead, rows: Floats) -> Floats:
    """A bound on the errors of all scores for the given keys, of their shape."""
    keys = _keys(head, rows)
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = np.abs(rows) @ np.abs(to_float(head.W_Q)[0]) + np.abs(to_float(head.b_Q)[0])
        if head.q_norm is not None:
            sizes = sizes * np.abs(to_float(head.q_norm.weight)[0])
        left, right = _reach(head, sizes), _reach(head, np.abs(keys))
        reach = float(head.scale) * (left @ right.swapaxes(-1, -2))
        if head.slant is not None:
            reach += abs(head.slant) * np.abs(_ahead(rows))
    if not np.isfinite(reach).all():
        raise InvalidInput(_OVERFLOW)
    reach = _with_sink(head, reach, None if head.sink is None else abs(head.sink))
    # Two chained products, the offset, the scale, and weights that were rationals.
    operations = head.d_query + head.d_head + 10
    if head.rope is not None:
        # The polynomial turns keys by their distance, the scores turn both sides by their place:
        # three rotations of 12 units each (sines within 4 ulp), three angles that are rounded.
        operations += 40 + math.ceil(3 * rows.shape[-2] * head.rope.frequencies(head.d_head).max())
    return gamma(operations) * reach * 1.01 + operations * TINY


def _with_sink(head: AttentionHead, scores: Floats, logit: Any) -> Floats:
    if head.sink is None:
        return scores
    column = np.full((*scores.shape[:-1], 1), float(logit))
    return np.concatenate([scores, column], axis=-1)


def _turned(head: AttentionHead, vectors: Floats) -> Floats:
    """Queries or keys (..., N, d_head), under RoPE each turned by its place."""
    if head.rope is None:
        return vectors
    return head.rope.rotate(vectors, np.arange(vectors.shape[-2]))


def _reach(head: AttentionHead, sizes: Floats) -> Floats:
    """What bounds the parts of inner products: sizes, under RoPE of pairs, which turn together."""
    return sizes if head.rope is None else head.rope.reach(sizes)


def _read_sequences(layer: AttentionLayer, states: Any) -> Floats:
    try:
        rows = np.asarray(states, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        rows = np.empty(0)
    width = layer.heads[0].d_model
    if rows.ndim not in (2, 3) or rows.shape[-1] != width or not rows.size:
        raise InvalidInput(
            f"states: shape (N, {width}) or (m, N, {width}) with N >= 1 needed, got {rows.shape}; "
            "rows are tokens."
        )
    if not np.isfinite(rows).all():
        raise InvalidInput("states: finite numbers needed, got NaN or infinity; check the weights.")
    if layer.heads[0].d_query != width:
        raise InvalidInput(
            f"layer: queries and keys read from the same states needed, got widths "
            f"{layer.heads[0].d_query} and {width}; a cross-attention has no sequence of its own."
        )
    return rows

"""Tokens by heads: what each token's own query chooses, and what becomes of each key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Floats
from tropattn.attention.evaluated.forward import attention_scores, attention_weights
from tropattn.attention.heads.fixed import softmax
from tropattn.attention.heads.head import AttentionHead

__all__ = ["TokenAnswers", "answers", "key_rows", "token_rows"]

Row = dict[str, Any]

_LONGEST = 64
"""Keys up to which a row of the table holds all its weights."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenAnswers:
    """What the queries of a context choose in one head; the last column is the sink's, if any.

    Attributes
    ----------
    asking : (m,) the tokens that ask: all, or those that the mask keeps.
    scores, hard, soft : (m, keys) scaled logits, -inf where a key is not seen; the weights of hard
        and of soft attention.
    winner, runner_up : (m,) the key chosen, and the best that differs from it, -1 where none does.
    gaps : (m,) between the two.
    """

    asking: NDArray[np.int64]
    scores: Floats
    hard: Floats
    soft: Floats
    winner: NDArray[np.int64]
    runner_up: NDArray[np.int64]
    gaps: Floats


def answers(
    head: AttentionHead,
    states: Floats,
    causal: bool,
    window: int | None,
    kept: NDArray[np.bool_] | None,
) -> TokenAnswers:
    """Let every token of a context ask, each among the keys that it sees; winners are exact.

    >>> head = AttentionHead([[1]], [[1]], [[1]], [[1]])
    >>> found = answers(head, np.array([[1.0], [3.0]]), False, None, None)
    >>> found.winner.tolist(), found.runner_up.tolist(), found.gaps.tolist()
    ([1, 1], [0, 0], [2.0, 6.0])
    """
    how: dict[str, Any] = {"causal": causal, "window": window, "mask": kept}
    asking = np.arange(len(states)) if kept is None else np.flatnonzero(kept)
    scores = attention_scores(head, states, **how)[asking]
    hard = attention_weights(head, states, temperature=0, **how)[asking]
    # Tokens with one and the same key tie for ever; a gap is to another key.
    keys = head.keys(states, query_position=0)
    _, classes = np.unique(keys, axis=0, return_inverse=True)
    classes = classes.ravel()
    if scores.shape[1] > len(classes):
        classes = np.append(classes, -1)
    winner = hard.argmax(axis=1)
    others = np.where(classes[None, :] == classes[winner][:, None], -np.inf, scores)
    best = others.argmax(axis=1)
    gaps = scores.max(axis=1) - others.max(axis=1)
    runner_up = np.where(np.isfinite(gaps), best, -1)
    return TokenAnswers(asking, scores, hard, softmax(scores, 1.0), winner, runner_up, gaps)


def token_rows(place: Row, found: TokenAnswers, names: Sequence[str]) -> list[Row]:
    """Rows of the table ``tokens``: one a query of one head; ``place`` names layer and head."""
    rows = []
    words = [*names, "sink"]
    for at, token in enumerate(found.asking.tolist()):
        winner, second = int(found.winner[at]), int(found.runner_up[at])
        whole = found.soft.shape[1] <= _LONGEST
        rows.append(
            {
                **place,
                "token": token,
                "query": words[token],
                "winner": words[winner],
                "weight": float(found.soft[at, winner]),
                "runner_up": None if second < 0 else words[second],
                "gap": float(found.gaps[at]) if second >= 0 else None,
                "attention": found.soft[at].tolist() if whole else None,
            }
        )
    return rows


def key_rows(
    place: Row,
    found: TokenAnswers,
    names: Sequence[str],
    tokens: NDArray[np.int64],
    live: NDArray[np.bool_],
    far: Floats | None,
) -> list[Row]:
    """Rows of the table ``keys``: one a key of one head, as the query asked about sees it.

    ``tokens`` (N,) the token of each key, -1 for a sink; ``live`` (N,) whether some state makes it
    win; ``far`` (N,) its cell's distance in radii of the norm's ellipsoid, or None. Live and in
    reach are keys of the query asked about; ``won`` and ``weight`` are over all queries, of which
    earlier ones of a causal model see fewer keys.
    """
    rows = []
    words = [*names, "sink"]
    for j, token in enumerate(tokens.tolist()):
        radii = None if far is None or not np.isfinite(far[j]) else float(far[j])
        rows.append(
            {
                **place,
                "token": token,
                "key": words[token],
                "live": bool(live[j]),
                "reach": radii,
                "reachable": None if far is None else bool(far[j] < 1),
                "won": float(found.hard[:, token].sum()),
                "weight": float(found.soft[:, token].mean()),
            }
        )
    return rows

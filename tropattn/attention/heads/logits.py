"""What a model does to the scores of one query before its softmax, winners left as they are.

A norm of queries divides all scores of a query by one positive number, and a soft cap is an
increasing function of each; neither moves a wall (theory T1). Gaps and soft weights depend on both,
so these come from *logits*, while cells come from scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tropattn._types import Array, Floats
from tropattn.arrays import to_float
from tropattn.attention.heads.linear import row_products, shared
from tropattn.errors import InvalidInput
from tropattn.tropical.terms import AffineMap
from tropattn.values import Value

__all__ = ["HeadNorm", "Logits", "read_cap"]


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class HeadNorm(Value):
    """The RMS norm of a head's queries or keys, ``q -> weight * q / sqrt(mean(q_i^2) + eps)``.

    Parameters
    ----------
    weight : (d_head,).
    eps : a number >= 0.
    whole : the affine map from states to the vector whose size divides, where that is not the
        head's own query or key (the queries of all heads side by side, OLMo 2); else None.

    Raises
    ------
    InvalidInput : NaN or infinity, or a negative ``eps``.

    Notes
    -----
    There is no offset, so the norm of a query is a positive factor of its scores.

    Examples
    --------
    >>> norm = HeadNorm([1, 2], eps=0)
    >>> rows = np.array([[3.0, 3.0]])
    >>> norm.factors(rows, rows).tolist()           # one over the root of the mean square
    [0.3333333333333333]
    """

    weight: Array
    eps: float
    whole: AffineMap | None

    def __init__(self, weight: Any, eps: float = 1e-6, whole: AffineMap | None = None) -> None:
        if not 0 <= eps < float("inf"):
            raise InvalidInput(f"eps: a number >= 0 needed, got {eps}; 1e-6 is usual.")
        object.__setattr__(self, "weight", shared("weight", weight, 1, shape="(d_head,)"))
        object.__setattr__(self, "eps", float(eps))
        object.__setattr__(self, "whole", whole)

    def factors(self, states: Array, own: Array) -> Floats:
        """Return what the norm multiplies each row by, weights apart, (..., N).

        ``states`` (..., N, d) and the head's ``own`` queries or keys (..., N, d_head), in doubles.
        Each factor depends on its row alone, bit for bit. Raises ``InvalidInput`` for a row of
        zeros under ``eps`` 0.
        """
        rows = own
        if self.whole is not None:
            matrix, offset = (to_float(part)[0] for part in (self.whole.matrix, self.whole.offset))
            rows = row_products("states", states, matrix, offset)
        ones = np.ones((rows.shape[-1], 1))
        size = np.sqrt(row_products("states", rows * rows, ones)[..., 0] / len(ones) + self.eps)
        if not size.all():
            raise InvalidInput(
                "states: queries and keys other than 0 needed under a norm with eps 0, got a zero "
                "one; give eps > 0."
            )
        return 1 / size

    def keys(self, states: Array, keys: Array) -> Floats:
        """Return the normed keys, (..., N, d_head), in doubles.

        >>> HeadNorm([1, 2], eps=0).keys(np.zeros((1, 1)), np.array([[3.0, 3.0]])).tolist()
        [[1.0, 2.0]]
        """
        rows = to_float(keys)[0]
        return self.weight.astype(np.float64) * (
            rows * self.factors(to_float(states)[0], rows)[..., None]
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Logits(Value):
    """From the scores of queries to their logits, ``cap(factor(x) * s_j(x))``.

    Attributes
    ----------
    query : the head's affine map from states to queries.
    norm : of queries, or None.
    cap : ``c`` in ``c tanh(s / c)``, applied last, or None.

    >>> turn = AffineMap(np.eye(2), np.zeros(2))
    >>> logits = Logits(turn, HeadNorm([1, 1], eps=0), None)
    >>> logits(np.array([[2.0, 2.0]]), np.array([[6.0, 4.0]])).tolist()
    [[3.0, 2.0]]
    """

    query: AffineMap
    norm: HeadNorm | None
    cap: float | None

    def __call__(self, states: Floats, scores: Floats) -> Floats:
        """Take scores (..., m, N) of the queries of ``states`` (..., m, d) to logits."""
        if self.norm is not None:
            matrix, offset = (to_float(part)[0] for part in (self.query.matrix, self.query.offset))
            own = row_products("states", states, matrix, offset)
            scores = scores * self.norm.factors(states, own)[..., None]
        return scores if self.cap is None else self.cap * np.tanh(scores / self.cap)


def read_cap(cap: Any) -> float | None:
    """Read a soft cap, a positive number, or None.

    >>> read_cap(50)
    50.0
    """
    if cap is None:
        return None
    try:
        number = float(cap)
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if not 0 < number < float("inf"):
        raise InvalidInput(f"cap: a positive number or None needed, got {cap!r}; omit it for none.")
    return number

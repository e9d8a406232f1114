"""Mixtures of experts: each token goes through the few MLPs that a router chooses for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Floats
from tropattn.attention.heads.fixed import softmax
from tropattn.values import Value

__all__ = ["Experts"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Experts(Value):
    """The map ``x -> sum_e p_e(x) expert_e(x)`` over the ``top`` experts of largest logit.

    ``p`` is the softmax of the chosen experts' logits ``x W_R + b_R``, ``W_R`` (d, E) and ``b_R``
    (E,) or None. Cost ``O(N d E)`` and that of the experts chosen.

    References
    ----------
    Jiang et al. (2024), *Mixtral of Experts*, arXiv 2401.04088, section 2.1.

    >>> experts = Experts(np.array([[1.0, 0.0]]), None, [lambda x: 10 * x, lambda x: -x], 1)
    >>> experts(np.array([[2.0], [-3.0]])).tolist()
    [[20.0], [3.0]]
    """

    W_R: Floats
    b_R: Floats | None
    experts: Sequence[Callable[[Floats], Floats]]
    top: int

    def __call__(self, rows: Floats) -> Floats:
        """Evaluate each row, (N, d)."""
        logits = rows @ self.W_R + (0.0 if self.b_R is None else self.b_R)
        chosen: NDArray[np.int64] = np.argsort(-logits, axis=1, kind="stable")[:, : self.top]
        shares = softmax(np.take_along_axis(logits, chosen, axis=1), 1.0)
        out = np.zeros_like(rows)
        for index, expert in enumerate(self.experts):
            token, place = np.nonzero(chosen == index)
            if len(token):
                out[token] += shares[token, place, None] * expert(rows[token])
        return out

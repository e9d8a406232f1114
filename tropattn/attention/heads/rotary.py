"""Rotary position embedding: each pair of coordinates turns by an angle linear in the position."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import to_float
from tropattn.errors import InvalidInput
from tropattn.values import Value

__all__ = ["RotaryEmbedding"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RotaryEmbedding(Value):
    """The rotations ``R(p)``: pair ``i`` of ``d_head/2`` turns by ``p * theta**(-2i/d_head)``.

    Since ``<R(p) q, R(p') k> = <q, R(p' - p) k>``, a head with a fixed query position is a head
    without rotation whose keys are turned by the relative position (theory T1).

    Parameters
    ----------
    theta : the base, a number above 0 (1e4 in most models).
    layout : which coordinates form a pair: "half" ``(i, i + d_head/2)``, as in the Llama files of
        Hugging Face; "adjacent" ``(2i, 2i + 1)``, as in the original paper and in GGUF files.

    Raises
    ------
    InvalidInput : a base that is not a positive number, or an unknown layout.

    References
    ----------
    Su, Lu, Pan, Murtadha, Wen, Liu (2021), *RoFormer*, arXiv 2104.09864, equation (15).

    Examples
    --------
    >>> RotaryEmbedding(1e4).rotate(np.array([[1.0, 0.0]]), np.array([0])).tolist()
    [[1.0, 0.0]]
    """

    theta: float
    layout: Literal["half", "adjacent"] = "half"

    def __post_init__(self) -> None:
        try:
            theta = float(self.theta)
        except (TypeError, ValueError, OverflowError):
            theta = math.nan
        if not (math.isfinite(theta) and theta > 0):
            raise InvalidInput(
                f"theta: a positive number needed, got {self.theta!r}; most models use 1e4."
            )
        if self.layout not in ("half", "adjacent"):
            raise InvalidInput(
                f"layout: 'half' or 'adjacent' needed, got {self.layout!r}; "
                "Hugging Face files are 'half'."
            )
        object.__setattr__(self, "theta", theta)

    def frequencies(self, width: int) -> NDArray[np.float64]:
        """Return the angle by which each pair of ``width`` coordinates turns a position.

        >>> RotaryEmbedding(100.0).frequencies(4).tolist()
        [1.0, 0.1]
        """
        return self.theta ** (-2.0 * np.arange(width // 2) / width)

    def pairs(self, vectors: Array) -> tuple[Array, Array]:
        """Return the first and the second coordinate of each pair, (..., d_head/2), as views.

        >>> [part.tolist() for part in RotaryEmbedding(1e4).pairs(np.arange(4))]
        [[0, 1], [2, 3]]
        """
        half = vectors.shape[-1] // 2
        if self.layout == "half":
            return vectors[..., :half], vectors[..., half:]
        return vectors[..., ::2], vectors[..., 1::2]

    def rotate(self, vectors: Array, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Turn each row of ``vectors`` (..., N, d_head) by ``R(position)``, positions (N,).

        The result is in doubles, exact input included: the angles are irrational. Position 0
        changes nothing. Raises ``InvalidInput`` where ``d_head`` is odd. Cost ``O(N d_head)``.

        >>> turned = RotaryEmbedding(1.0).rotate(np.array([[1.0, 0.0]]), np.array([1]))
        >>> turned.tolist() == [[math.cos(1), math.sin(1)]]
        True
        """
        rows, _ = to_float(vectors)
        width = rows.shape[-1]
        if width % 2:
            raise InvalidInput(
                f"rope: an even d_head needed, got {width}; coordinates rotate in pairs."
            )
        # One table row a distinct position: equal keys at equal distances stay equal.
        distinct, inverse = np.unique(positions, return_inverse=True)
        angles = (distinct[:, None] * self.frequencies(width))[inverse.ravel()]
        cos, sin = np.cos(angles), np.sin(angles)
        out = np.empty_like(rows)
        first, second = self.pairs(rows)
        left, right = self.pairs(out)
        left[...] = first * cos - second * sin
        right[...] = second * cos + first * sin
        return out

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
from tropattn.values import Value, counted

__all__ = ["RotaryEmbedding"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RotaryEmbedding(Value):
    """The rotations ``R(p)``: pair ``i`` of ``d_head/2`` turns by ``p * theta**(-2i/d_head)``.

    With ``turns`` pair ``i`` turns by ``p * turns[i]``, and coordinates beyond the ``2 len(turns)``
    first ones stand still; with ``factor`` queries and keys become as much longer there.

    Since ``<R(p) q, R(p') k> = <q, R(p' - p) k>``, a head with a fixed query position is a head
    without rotation whose keys are turned by the relative position (theory T1).

    Parameters
    ----------
    theta : the base, a number above 0 (1e4 in most models).
    layout : which coordinates form a pair: "half" ``(i, i + d_head/2)``, as in the Llama files of
        Hugging Face; "adjacent" ``(2i, 2i + 1)``, as in the original paper and in GGUF files.
    turns : the angles of position 1, one a pair that rotates, or None for those of ``theta``.
    factor : of the rotated coordinates of a query and of a key (YaRN's attention factor).

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
    turns: tuple[float, ...] | None = None
    factor: float = 1.0

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
        numbers = (*(self.turns or ()), self.factor)
        if not all(math.isfinite(number) for number in numbers) or self.factor <= 0:
            raise InvalidInput(
                f"turns, factor: finite angles and a positive factor needed, got {self.turns} and "
                f"{self.factor}; omit them for the plain rotation."
            )

    def __repr__(self) -> str:
        more = "" if self.turns is None else f", {counted(len(self.turns), 'pair')} turned"
        more += "" if self.factor == 1.0 else f", factor={self.factor:g}"
        return f"RotaryEmbedding({self.theta:g}, {self.layout!r}{more})"

    def frequencies(self, width: int) -> NDArray[np.float64]:
        """Return the angle by which each pair of ``width`` coordinates turns a position.

        >>> RotaryEmbedding(16.0).frequencies(4).tolist()
        [1.0, 0.25]
        """
        if self.turns is not None:
            return np.array(self.turns)
        return self.theta ** (-2.0 * np.arange(width // 2) / width)

    def rotated(self, width: int) -> int:
        """Return how many of ``width`` coordinates rotate; those are the first ones.

        >>> RotaryEmbedding(1e4).rotated(6), RotaryEmbedding(1e4, turns=(1.0,)).rotated(6)
        (6, 2)
        """
        return width if self.turns is None else 2 * len(self.turns)

    def pairs(self, vectors: Array) -> tuple[Array, Array]:
        """Return the first and the second coordinate of each pair that rotates, as views.

        >>> [part.tolist() for part in RotaryEmbedding(1e4).pairs(np.arange(4))]
        [[0, 1], [2, 3]]
        """
        part = vectors[..., : self.rotated(vectors.shape[-1])]
        half = part.shape[-1] // 2
        if self.layout == "half":
            return part[..., :half], part[..., half:]
        return part[..., ::2], part[..., 1::2]

    def reach(self, sizes: Array) -> Array:
        """Bounds of coordinates (..., d_head) taken to what bounds inner products (..., m).

        The two coordinates of a pair turn together, so each can become as long as the pair.

        >>> RotaryEmbedding(1e4, turns=(1.0,)).reach(np.array([3.0, 4.0, 2.0])).tolist()
        [5.0, 2.0]
        """
        rest = sizes[..., self.rotated(sizes.shape[-1]) :]
        return np.concatenate([self.factor * np.hypot(*self.pairs(sizes)), rest], axis=-1)

    def rotate(
        self, vectors: Array, positions: NDArray[np.int64], both: bool = False
    ) -> NDArray[np.float64]:
        """Turn each row of ``vectors`` (..., N, d_head) by ``R(position)``, positions (N,).

        The result is in doubles, exact input included: the angles are irrational. Rotated
        coordinates are lengthened by ``factor``, with ``both`` by its square: the keys then stand
        for both sides, and queries are taken as they are. Position 0 changes nothing else. Raises
        ``InvalidInput`` where ``d_head`` is odd. Cost ``O(N d_head)``.

        >>> turned = RotaryEmbedding(1.0).rotate(np.array([[1.0, 0.0]]), np.array([1]))
        >>> turned.tolist() == [[math.cos(1), math.sin(1)]]
        True
        """
        rows, _ = to_float(vectors)
        width = rows.shape[-1]
        if self.rotated(width) % 2 or self.rotated(width) > width:
            raise InvalidInput(
                f"rope: an even d_head needed, got {width}; coordinates rotate in pairs."
            )
        # One table row a distinct position: equal keys at equal distances stay equal.
        distinct, inverse = np.unique(positions, return_inverse=True)
        angles = (distinct[:, None] * self.frequencies(width))[inverse.ravel()]
        longer = self.factor**2 if both else self.factor
        cos, sin = longer * np.cos(angles), longer * np.sin(angles)
        out = rows.copy()
        first, second = self.pairs(rows)
        left, right = self.pairs(out)
        left[...] = first * cos - second * sin
        right[...] = second * cos + first * sin
        return out

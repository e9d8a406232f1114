"""Arrays in doubles with an entrywise bound on their distance from the true ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tropattn._types import Array
from tropattn.arrays import to_float
from tropattn.tolerance import TINY, gamma

__all__ = ["Enclosure", "joined"]


@dataclass(frozen=True, slots=True, eq=False)
class Enclosure:
    """All arrays that differ from ``near`` by at most ``error``, entry by entry.

    Sums and products hold those of the true arrays; an error is 0 where nothing was rounded.

    >>> found = Enclosure.of(np.array([[0.5, 2.0]])) @ Enclosure.of(np.array([[4.0], [1.0]]))
    >>> found.near.tolist(), bool(0 < found.error[0, 0] < 1e-14)
    ([[4.0]], True)
    """

    near: Array
    error: Array

    @classmethod
    def of(cls, array: Array) -> Enclosure:
        """Given numbers: doubles as they stand, rationals rounded."""
        return cls(*to_float(array))

    @property
    def T(self) -> Enclosure:
        """The transpose."""
        return Enclosure(self.near.T, self.error.T)

    def __getitem__(self, index: Any) -> Enclosure:
        return Enclosure(self.near[index], self.error[index])

    def __matmul__(self, other: Enclosure) -> Enclosure:
        width = self.near.shape[1]
        size = np.abs(self.near) + self.error
        bound = gamma(width + 2) * (size @ (np.abs(other.near) + other.error))
        if self.error.any():
            bound = bound + 1.0000001 * (self.error @ np.abs(other.near))
        if other.error.any():
            bound = bound + 1.0000001 * (size @ other.error)
        return Enclosure(self.near @ other.near, bound + width * TINY)

    def __add__(self, other: Enclosure) -> Enclosure:
        near = self.near + other.near
        # A sum with an exact zero rounds nothing, so data given directly keep error 0.
        rounding = np.where((self.near == 0) | (other.near == 0), 0.0, gamma(1) * np.abs(near))
        return Enclosure(near, 1.0000001 * (self.error + other.error) + rounding)

    def scaled(self, scale: Any) -> Enclosure:
        """The product with a positive number, exact or a double."""
        factor = float(scale)
        loss = 0.0 if factor == scale else float(np.spacing(abs(factor)))
        near = self.near * factor
        lost = 1.0000001 * (self.error * abs(factor) + np.abs(self.near) * loss)
        return Enclosure(near, gamma(2) * np.abs(near) + lost + TINY)


def joined(axis: int, *parts: Enclosure) -> Enclosure:
    """Enclosures side by side along an axis."""
    near, error = ([getattr(part, name) for part in parts] for name in ("near", "error"))
    return Enclosure(np.concatenate(near, axis), np.concatenate(error, axis))

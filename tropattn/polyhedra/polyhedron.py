"""Polyhedra ``{x : A x <= b}`` as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.polyhedra import _cdd

__all__ = ["Polyhedron"]


@dataclass(frozen=True, slots=True, eq=False)
class Polyhedron:
    """``{x in R^d : A x <= b}`` with ``A`` (m, d) and ``b`` (m,), floats or exact objects.

    >>> Polyhedron(np.array([[1.0], [-1.0]]), np.array([2.0, 0.0])).contains([[1.0], [3.0]])
    array([ True, False])
    """

    A: Array
    b: Array

    @property
    def dim(self) -> int:
        """Dimension of the ambient space."""
        return self.A.shape[1]

    def contains(self, x: Any) -> NDArray[np.bool_]:
        """Whether each row of ``x`` satisfies all inequalities, in doubles."""
        points = np.atleast_2d(np.asarray(x, dtype=np.float64))
        slack = points @ self.A.astype(np.float64).T - self.b.astype(np.float64)
        return np.asarray((slack <= 0).all(axis=1))

    def generators(self) -> tuple[Array, Array]:
        """Vertices (v, d) and rays (r, d), by cddlib; a line is two opposite rays.

        >>> Polyhedron(np.array([[-1.0, 0.0], [0.0, -1.0]]), np.zeros(2)).generators()[1].tolist()
        [[1.0, 0.0], [0.0, 1.0]]
        """
        return _cdd.generators(self.A, self.b)

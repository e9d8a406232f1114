"""Polyhedra ``{x : A x <= b}`` as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_array, is_point, to_float
from tropattn.errors import InvalidInput
from tropattn.polyhedra import _cdd
from tropattn.values import Value, counted

__all__ = ["Polyhedron"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Polyhedron(Value):
    """``{x in R^d : A x <= b}`` with ``A`` (m, d) and ``b`` (m,), floats or exact objects.

    >>> Polyhedron(np.array([[1.0], [-1.0]]), np.array([2.0, 0.0])).contains([[1.0], [3.0]])
    array([ True, False])
    """

    A: Array
    b: Array

    def __repr__(self) -> str:
        return f"Polyhedron({counted(len(self.b), 'inequality', 'inequalities')} in R^{self.dim})"

    @property
    def dim(self) -> int:
        """Dimension of the ambient space."""
        return self.A.shape[1]

    def contains(self, x: Any) -> NDArray[np.bool_]:
        """Whether each row of ``x`` satisfies all inequalities, in doubles."""
        points = to_float(as_array("x", [x] if is_point(x) else x, 2, shape=f"(m, {self.dim})"))[0]
        if points.shape[1] != self.dim:
            raise InvalidInput(
                f"x: {self.dim} coordinates needed, got {points.shape[1]}; rows are points."
            )
        slack = points @ self.A.astype(np.float64).T - self.b.astype(np.float64)
        return np.asarray((slack <= 0).all(axis=1))

    def generators(self) -> tuple[Array, Array]:
        """Vertices (v, d) and rays (r, d), by cddlib; a line is two opposite rays.

        >>> Polyhedron(np.array([[-1.0, 0.0], [0.0, -1.0]]), np.zeros(2)).generators()[1].tolist()
        [[1.0, 0.0], [0.0, 1.0]]
        """
        return _cdd.generators(self.A, self.b)

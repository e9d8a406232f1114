"""The terms of one head in rationals, a few at a time: what the engines ask when doubles are open.

``TropicalPolynomial.exact_terms`` multiplies a chain of maps from the keys' side, which is dear for
wide heads on a line or plane. Here the chain is composed once, from the few parameters up, so each
further term costs one product with its key.
"""

from __future__ import annotations

from collections.abc import Iterable

import flint

from tropattn.arrays import rational, rational_matrix
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["ExactKeys"]


class ExactKeys:
    """Rows ``(a_j, c_j)`` of a polynomial as tuples of rationals, computed on demand and kept.

    >>> f = TropicalPolynomial([[1, 2], [3, 4]], [0.5, 0]).pullback([[1, 1]], [0, 10])
    >>> ExactKeys(f).row(0)
    (3, 41/2)
    """

    def __init__(self, unit: TropicalPolynomial) -> None:
        self._unit = unit
        self._rows: dict[int, tuple[flint.fmpq, ...]] = {}
        self._linear: flint.fmpq_mat | None = None
        self._shift: flint.fmpq_mat | None = None

    def row(self, j: int) -> tuple[flint.fmpq, ...]:
        """The true ``(a_j, c_j)``, of length d + 1."""
        found = self._rows.get(j)
        if found is None:
            found = self._rows[j] = self._compute(j)
        return found

    def rows(self, indices: Iterable[int]) -> list[tuple[flint.fmpq, ...]]:
        """The true rows of several terms, in the order asked for."""
        return [self.row(int(j)) for j in indices]

    def _compute(self, j: int) -> tuple[flint.fmpq, ...]:
        unit = self._unit
        key = [rational(v) for v in unit.keys[j].tolist()]
        bias = rational(unit.biases[j : j + 1].tolist()[0])
        scale = rational(unit.scale)
        if not unit.maps:
            return (*(scale * v for v in key), bias)
        self._compose()
        assert self._linear is not None
        assert self._shift is not None
        column = flint.fmpq_mat(len(key), 1, key)
        slope = self._linear * column
        constant = (self._shift * column)[0, 0]
        return (*(scale * slope[k, 0] for k in range(slope.nrows())), scale * constant + bias)

    def _compose(self) -> None:
        """``x -> x @ linear + shift``, the whole chain, multiplied from the parameters' side."""
        if self._linear is not None:
            return
        first, *others = self._unit.maps
        linear = rational_matrix(first.matrix)
        shift = rational_matrix(first.offset[None, :])
        for step in others:
            matrix = rational_matrix(step.matrix)
            linear = linear * matrix
            shift = shift * matrix + rational_matrix(step.offset[None, :])
        self._linear, self._shift = linear, shift

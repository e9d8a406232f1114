"""Three readings of the same affine functions ``x -> scale * <k_j, q(x)> + c_j``.

Every term of a tropical polynomial is a row ``(slope, intercept)`` of length ``d + 1``. The given
data are its factors, so the row is a product, and it is read in three ways: as doubles with a
proven entrywise error bound (fast decisions), modulo a prime (ranks and equality), and as
rationals (what the other two leave open). See ``docs/theory.md``, Exactness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import freeze, is_exact, rational, rational_matrix, residues
from tropattn.errors import EngineError, InvalidInput
from tropattn.threads import check
from tropattn.tropical.enclosure import Enclosure, joined
from tropattn.values import Value

__all__ = [
    "PRIME",
    "AffineMap",
    "exact_terms",
    "float_terms",
    "moderate",
    "modular_product",
    "modular_terms",
]

PRIME = 2**31 - 1
"""Modulus of the modular reading: products of two residues stay below 2**62."""

_LARGE = 2**26
"""Multiplications from which a modular product is worth a trip through doubles."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AffineMap(Value):
    """``x -> x @ matrix + offset``, with ``matrix`` of shape (d_in, d_out)."""

    matrix: Array
    offset: Array

    def __post_init__(self) -> None:
        # Written out, since one is made for every cell.
        if self.matrix.flags.writeable:
            object.__setattr__(self, "matrix", freeze(self.matrix.view()))
        if self.offset.flags.writeable:
            object.__setattr__(self, "offset", freeze(self.offset.view()))

    def __repr__(self) -> str:
        return f"AffineMap(R^{self.matrix.shape[0]} -> R^{self.matrix.shape[1]})"


def float_terms(
    keys: Array, biases: Array, scale: Any, maps: Sequence[AffineMap]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows ``(slope, intercept)`` in double precision and a bound on each entry's error.

    Returns ``terms`` and ``errors``, both (N, d + 1) with ``|true - terms| <= errors``; the error
    is zero where the data are given directly. Cost: the matrix products, twice. Raises
    ``InvalidInput`` where a product is beyond the doubles.
    """
    if not maps and scale == 1 and not is_exact(keys) and not is_exact(biases):
        given = np.column_stack([keys, biases])
        return given, np.zeros(given.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        rows, constant = Enclosure.of(keys), Enclosure.of(np.zeros((len(keys), 1)))
        for step in reversed(maps):
            matrix, offset = Enclosure.of(step.matrix), Enclosure.of(step.offset[:, None])
            product = rows @ joined(1, matrix.T, offset)
            rows, constant = product[:, :-1], constant + product[:, -1:]
        if scale != 1:
            rows, constant = rows.scaled(scale), constant.scaled(scale)
        found = joined(1, rows, constant + Enclosure.of(biases[:, None]))
    if not np.isfinite(found.near).all():
        raise InvalidInput(
            "terms: slopes and intercepts below 1.8e308 needed, got larger ones after multiplying "
            "out the factors; rescale the input."
        )
    return found.near, found.error


def moderate(terms: Array, errors: Array) -> tuple[Array, Array]:
    """Terms and errors of one head, times a power of two where squares might leave the doubles.

    Winners do not see a positive factor. Entries are at most 2**200 then, and the largest is at
    least 2**-200 unless all are 0.

    >>> bool(moderate(np.array([[1e300, 0.0]]), np.zeros((1, 2)))[0].max() < 1)
    True
    """
    power = int(np.frexp(np.abs(terms).max(initial=0.0))[1])
    if abs(power) <= 200:
        return terms, errors
    # What falls below the least double is lost, and the error says so.
    lost = 2.0**-1060 if power > 0 else 0.0
    return np.ldexp(terms, -power), np.ldexp(errors, -power) + lost


def modular_product(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """``a @ b`` modulo PRIME, by 16-bit halves.

    Large products run in doubles, whose sums of products of halves stay whole below 2**53: ten
    times as fast. Sums of small ones, in integers, stay below 2**63.
    """
    if a.shape[1] > 2**15:
        raise EngineError("modular product: inner dimension above 32768 is not supported.")
    if a.size * b.shape[1] < _LARGE:
        low = (a & 0xFFFF) @ b % PRIME
        high = (a >> 16) @ b % PRIME
        return (low + high * 65536) % PRIME
    (a_low, a_high), (b_low, b_high) = _halves(a), _halves(b)
    low = (a_low @ b_low).astype(np.int64) % PRIME
    middle = (a_low @ b_high + a_high @ b_low).astype(np.int64) % PRIME
    high = (a_high @ b_high).astype(np.int64) % PRIME
    # 2**32 is 2 modulo 2**31 - 1.
    return (low + middle * 65536 + high * 2) % PRIME


def _halves(a: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return (a & 0xFFFF).astype(np.float64), (a >> 16).astype(np.float64)


def modular_terms(
    keys: Array, biases: Array, scale: Any, maps: Sequence[AffineMap]
) -> NDArray[np.int64]:
    """Rows ``(slope, intercept)`` modulo PRIME, shape (N, d + 1)."""
    if not maps and scale == 1 and is_exact(keys) == is_exact(biases):
        return residues(np.column_stack([keys, biases]), PRIME)
    rows = residues(keys, PRIME)
    constant = np.zeros(len(rows), dtype=np.int64)
    for step in reversed(maps):
        check()
        constant = (
            constant + modular_product(rows, residues(step.offset[:, None], PRIME))[:, 0]
        ) % PRIME
        rows = modular_product(rows, residues(step.matrix, PRIME).T)
    if scale != 1:
        factor = int(residues(np.array([scale]), PRIME)[0])
        rows = rows * factor % PRIME
        constant = constant * factor % PRIME
    return np.column_stack([rows, (constant + residues(biases, PRIME)) % PRIME])


def exact_terms(
    keys: Array, biases: Array, scale: Any, maps: Sequence[AffineMap]
) -> flint.fmpq_mat:
    """Rows ``(slope, intercept)`` in rationals, an N x (d + 1) matrix.

    Products start from the narrower end of the factors: the N keys, or the d parameters and 1.
    """
    check()
    rows = rational_matrix(keys)
    n, d = rows.nrows(), len(maps[0].matrix) if maps else rows.ncols()
    if maps and d + 1 < n:
        product = rows * _composed(maps).transpose()
    else:
        constant = flint.fmpq_mat(n, 1)
        for step in reversed(maps):
            check()
            constant += rows * rational_matrix(step.offset[:, None])
            rows = rows * rational_matrix(step.matrix).transpose()
        product = _beside(rows, constant)
    if scale != 1:
        product = product * rational(scale)
    return product + _beside(flint.fmpq_mat(n, d), rational_matrix(biases[:, None]))


def _composed(maps: Sequence[AffineMap]) -> flint.fmpq_mat:
    """The maps after each other: the images of the d unit vectors without offset, then of 0."""
    matrix = rational_matrix(maps[0].matrix)
    offset = rational_matrix(maps[0].offset[None, :])
    for step in maps[1:]:
        linear = rational_matrix(step.matrix)
        matrix, offset = matrix * linear, offset * linear + rational_matrix(step.offset[None, :])
    flat = [*matrix.entries(), *offset.entries()]
    return flint.fmpq_mat(matrix.nrows() + 1, matrix.ncols(), flat)


def _beside(left: flint.fmpq_mat, right: flint.fmpq_mat) -> flint.fmpq_mat:
    """Two matrices with as many rows, side by side."""
    rows = zip(left.tolist(), right.tolist(), strict=True)
    flat = [v for one, two in rows for v in (*one, *two)]
    return flint.fmpq_mat(left.nrows(), left.ncols() + right.ncols(), flat)

"""Signs of determinants of long integers, in digits of 28 bits.

A number is ``sum_t digits[t] 2^(28 t)`` with digits in ``[-2^27, 2^27)``, the last as large as it
must be; so the sign is that of the last digit that is not 0. Products of digits are below ``2^54``
in size, and what is added up of them before digits are carried fits into 64 bits.
"""

from __future__ import annotations

import numpy as np

from tropattn._kernels.compiling import fragment, njit
from tropattn._kernels.hull_signs import expansion

__all__ = ["BITS", "determinant_signs", "last_row_sign", "minors_into", "steps_into"]

BITS = 28
"""Of one digit."""


@fragment()
def _carry(number, length):
    """Bring all digits but the last into their range; the value stays."""
    for t in range(length - 1):
        over = (number[t] + (1 << (BITS - 1))) >> BITS
        number[t] -= over << BITS
        number[t + 1] += over


@fragment()
def _add_product(minors, target, sign, matrix, row, column, source, length):
    """Add, to one minor, an entry times another minor of that length."""
    for s in range(matrix.shape[2]):
        digit = sign * matrix[row, column, s]
        for t in range(length):
            minors[target, s + t] += digit * minors[source, t]


@fragment()
def steps_into(digits, weights, chosen, matrix):
    """Write the rows less a multiple of one point; +-1 as they were turned, 0 without a point."""
    k = digits.shape[1]
    at = -1
    for i in range(len(chosen)):
        if weights[chosen[i]] == 1:
            at = i
            break
    if at < 0:
        return 0
    base = chosen[at]
    row = 0
    for i in range(len(chosen)):
        if i == at:
            continue
        weight = weights[chosen[i]]
        for c in range(k):
            for t in range(digits.shape[2]):
                matrix[row, c, t] = digits[chosen[i], c, t] - weight * digits[base, c, t]
            _carry(matrix[row, c], digits.shape[2])
        row += 1
    return -1 if at & 1 else 1


@fragment()
def minors_into(matrix, steps, turns, minors):
    """Write the minors of the first rows in all proper subsets of columns; ``expansion`` gives how.

    Minors of r rows are sums of r! products of r entries, each a bit shorter than its digits.
    """
    w = matrix.shape[2]
    minors[0, 0] = 1
    target = 0
    row = 0
    for s in range(len(turns)):
        if steps[s, 0] != target:
            _carry(minors[target], (row + 1) * w + 1)
            target = steps[s, 0]
            row = steps[s, 2]
            for t in range((row + 1) * w + 1):
                minors[target, t] = 0
        sign = np.int64(turns[s])
        _add_product(minors, target, sign, matrix, row, steps[s, 3], steps[s, 1], row * w + 1)
    _carry(minors[target], (row + 1) * w + 1)


@fragment()
def last_row_sign(minors, matrix, row):
    """The sign of the determinant of other rows, whose minors are known, and this last one."""
    k, _, w = matrix.shape
    full = (1 << k) - 1
    for t in range(k * w + 1):
        minors[full, t] = 0
    sign = -1 if k & 1 == 0 else 1
    for c in range(k):
        _add_product(minors, full, sign, matrix, row, c, full ^ (1 << c), (k - 1) * w + 1)
        sign = -sign
    _carry(minors[full], k * w + 1)
    for t in range(k * w, -1, -1):
        if minors[full, t] != 0:
            return 1 if minors[full, t] > 0 else -1
    return 0


@njit(nogil=True)
def determinant_signs(digits, weights, batch, signs):
    """Signs (m,) of the determinants of the steps from the first of k + 1 points to the others.

    Points are integers ``digits`` (n, k, w) with homogeneous ``weights`` (n,), small and not
    negative; ``batch`` (m, k + 1) has a point of weight 1 in each row. The digits must have room
    for ``weight + 1`` times each number, and ``k w <= 256``.
    """
    k, w = digits.shape[1:]
    minors = np.zeros((1 << k, k * w + 1), np.int64)
    matrix = np.zeros((k, k, w), np.int64)
    steps, turns = expansion(k)
    for m in range(len(batch)):
        turn = steps_into(digits, weights, batch[m], matrix)
        minors_into(matrix, steps, turns, minors)
        signs[m] = turn * last_row_sign(minors, matrix, k - 1)

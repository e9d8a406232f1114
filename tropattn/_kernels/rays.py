"""Which generators of a pointed cone span its extreme rays: one small linear program each.

Generator ``b`` spans an extreme ray exactly if it is no non-negative combination of the others
(none of them parallel to it). Phase one of the simplex method on ``sum(x_l v_l) = b, x >= 0`` ends
with a basis ``B``; what that basis says is then proved from a fresh bound on its inverse.
"""

from __future__ import annotations

import numpy as np

from tropattn._kernels.compiling import fragment, njit

EXTREME = 1
INNER = 2
OPEN = 0

_UNIT = 2.0**-53


def make_room(dim):
    """Scratch of one call: basis, its levels, prices, the inverse of the basis, and the basis."""
    return (
        np.zeros(dim, np.int64),
        np.zeros(dim),
        np.zeros(dim),
        np.zeros((dim, dim)),
        np.zeros((dim, dim)),
    )


@njit(nogil=True, cache=True)
def extreme_members(vectors, rho, whole, members, start, stop, room, verdicts, bases, flag):
    """Decide every member of the cones ``members[start:stop]``.

    ``vectors`` (C, D) doubles within ``rho`` of the true generators, entrywise; ``whole``: they are
    integers, exactly. ``members`` (M, W) rows of distinct generator numbers, unused places -1;
    ``room`` of ``make_room``.
    Writes ``verdicts`` (M, W) int8 and for open ones the last basis into ``bases`` (M, W, D):
    a position in the row, or ``-1 - i`` for the i-th artificial column. ``flag[0]`` is polled.
    """
    dim = vectors.shape[1]
    basis, level, price, inverse, matrix = room
    for m in range(start, stop):
        row = members[m]
        for k in range(len(row)):
            if row[k] < 0:
                continue
            if flag[0] != 0:
                return
            _phase_one(vectors, row, k, basis, inverse, level, price)
            for i in range(dim):
                for j in range(dim):
                    if basis[j] >= 0:
                        matrix[i, j] = vectors[row[basis[j]], i]
                    elif -1 - basis[j] == i:
                        matrix[i, j] = 1.0 if vectors[row[k], i] >= 0 else -1.0
                    else:
                        matrix[i, j] = 0.0
            verdict = _proved(vectors, rho, whole, row, k, basis, matrix, inverse, price)
            verdicts[m, k] = verdict
            if verdict == OPEN:
                for i in range(dim):
                    bases[m, k, i] = basis[i]


@fragment()
def _phase_one(vectors, row, k, basis, inverse, level, price):
    """Simplex steps from the artificial basis; its answer is a proposal, not a verdict."""
    dim = len(basis)
    size = 0.0
    for i in range(dim):
        b = vectors[row[k], i]
        size = max(size, abs(b))
        for j in range(dim):
            inverse[i, j] = 0.0
        inverse[i, i] = 1.0 if b >= 0 else -1.0
        level[i] = abs(b)
        basis[i] = -1 - i
    tolerance = 1e-11
    for _ in range(30 * dim + 30):
        left = 0.0
        for i in range(dim):
            price[i] = 0.0
        for i in range(dim):
            if basis[i] < 0:
                left += level[i]
                for j in range(dim):
                    price[j] += inverse[i, j]
        if left <= tolerance * size:
            return
        enter, best = -1, tolerance
        for c in range(len(row)):
            if c == k or row[c] < 0:
                continue
            gain = 0.0
            for j in range(dim):
                gain += price[j] * vectors[row[c], j]
            if gain > best:
                best, enter = gain, c
        if enter < 0:
            return
        leave, least = -1, np.inf
        for i in range(dim):
            entry = 0.0
            for j in range(dim):
                entry += inverse[i, j] * vectors[row[enter], j]
            price[i] = entry
            if entry > 1e-10:
                ratio = level[i] / entry
                # Artificial columns leave first among ties: they never come back.
                if ratio < least - 1e-13 * size or (
                    ratio <= least + 1e-13 * size and basis[i] < 0 and basis[leave] >= 0
                ):
                    least, leave = ratio, i
        if leave < 0:
            return
        pivot = price[leave]
        level[leave] /= pivot
        for j in range(dim):
            inverse[leave, j] /= pivot
        for i in range(dim):
            if i != leave and price[i] != 0.0:
                factor = price[i]
                level[i] = max(0.0, level[i] - factor * level[leave])
                for j in range(dim):
                    inverse[i, j] -= factor * inverse[leave, j]
        basis[leave] = enter


@fragment()
def _residual(left, right, rho, of_left):
    """Largest row sum of ``|I - left right|``, rounding and the error of one factor included."""
    dim = len(left)
    slack = (dim + 3) * _UNIT * 1.01
    worst = 0.0
    for i in range(dim):
        total = 0.0
        for j in range(dim):
            value = 1.0 if i == j else 0.0
            size = abs(value)
            doubt = 0.0
            for t in range(dim):
                value -= left[i, t] * right[t, j]
                size += abs(left[i, t] * right[t, j])
                doubt += abs(right[t, j]) if of_left else abs(left[i, t])
            total += abs(value) + slack * size + rho * doubt
        worst = max(worst, total)
    return worst * 1.0001


@fragment()
def _proved(vectors, rho, whole, row, k, basis, matrix, inverse, price):
    """What the basis proves about member ``k``: EXTREME, INNER or OPEN.

    With ``|I - R B| <= q`` and ``|I - B R| <= q`` in the row-sum norm, the exact solution
    ``B^-1 b`` differs from ``R b`` by at most ``q / (1 - q) |R b|``, and ``c B^-1`` from ``c R`` by
    at most ``q / (1 - q) |c R|_1`` (Neumann series). For integer generators every such number is an
    integer over ``det B``, hence 0 once it is smaller than 1 over Hadamard's bound on ``det B``.
    """
    dim = len(basis)
    slack = (dim + 3) * _UNIT * 1.01
    q = max(
        _residual(inverse, matrix, rho, np.bool_(False)),
        _residual(matrix, inverse, rho, np.bool_(True)),
    )
    if not q < 0.25:
        return OPEN
    grow = 1.0001 * q / (1.0 - q)
    gap = 0.0
    if whole:
        hadamard = 1.0
        for j in range(dim):
            length = 0.0
            for i in range(dim):
                length += matrix[i, j] ** 2
            hadamard *= np.sqrt(length)
        gap = 0.999 / hadamard
    largest, rounding, norm = 0.0, 0.0, 0.0
    for i in range(dim):
        value, size, total = 0.0, 0.0, 0.0
        for j in range(dim):
            value += inverse[i, j] * vectors[row[k], j]
            size += abs(inverse[i, j] * vectors[row[k], j])
            total += abs(inverse[i, j])
        largest = max(largest, abs(value))
        rounding = max(rounding, slack * size)
        norm = max(norm, total)
    doubt = 1.001 * (grow * (largest + rounding) + rounding + 1.5 * norm * rho)
    inside = True
    for i in range(dim):
        value = 0.0
        for j in range(dim):
            value += inverse[i, j] * vectors[row[k], j]
        zero = abs(value) + doubt < gap
        if not (value > doubt or zero):
            inside = False
        if basis[i] < 0 and not zero:
            inside = False
    if inside:
        return INNER
    return _separated(vectors, rho, row, k, basis, inverse, price, grow, slack, gap)


@fragment()
def _separated(vectors, rho, row, k, basis, inverse, price, grow, slack, gap):
    """Whether ``y = c B^-1`` is positive on member ``k`` and non-positive on all others."""
    dim = len(basis)
    length = 0.0
    for j in range(dim):
        price[j], size = 0.0, 0.0
        for i in range(dim):
            if basis[i] < 0:
                price[j] += inverse[i, j]
                size += abs(inverse[i, j])
        length += abs(price[j]) + slack * size
    # The rounding of the sums that make y is part of the doubt about y itself.
    doubt_y = 1.001 * (grow * length + slack * length)
    for i in range(dim):
        if basis[i] < 0:
            for j in range(dim):
                doubt_y += slack * abs(inverse[i, j])
    for c in range(len(row)):
        if row[c] < 0:
            continue
        basic = False
        for i in range(dim):
            basic = basic or basis[i] == c
        if basic:
            continue
        value, size, reach = 0.0, 0.0, 0.0
        for j in range(dim):
            value += price[j] * vectors[row[c], j]
            size += abs(price[j] * vectors[row[c], j])
            reach = max(reach, abs(vectors[row[c], j]))
        doubt = 1.001 * (doubt_y * (reach + rho) + slack * size + rho * length)
        if c == k:
            if not value > doubt:
                return OPEN
        elif not (value < -doubt or abs(value) + doubt < gap):
            return OPEN
    return EXTREME

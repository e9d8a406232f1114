"""Scalar products at twice the precision of doubles, many columns at a time.

Numbers are unevaluated sums of two doubles as in ``twice``. A product of n terms is summed without
loss into one double, and what every step loses into another (Ogita, Rump, Oishi 2005, algorithm
5.3); so it errs by at most ``5 (n + 5)^2 u^2`` of the sum of the sizes, ``u = 2**-53``, where the
numbers themselves may be off by ``u^2`` of their sizes.
"""

from __future__ import annotations

import numpy as np

from tropattn._kernels.compiling import njit
from tropattn._kernels.simd import DOUBLE
from tropattn._kernels.twice import two_product, two_sum


@njit(nogil=True, cache=True, error_model="numpy")
def products(rows, columns, out):
    """``out`` (2, n, m) = ``rows`` (2, n, K) times ``columns`` (2, K, m)."""
    n, width = rows.shape[1:]
    m = columns.shape[2]
    block = np.zeros((2, width, DOUBLE))
    total, lost = np.empty(DOUBLE), np.empty(DOUBLE)
    for first in range(0, m, DOUBLE):
        lanes = min(DOUBLE, m - first)
        block[:, :, :lanes] = columns[:, :, first : first + lanes]
        for j in range(n):
            total[:] = 0.0
            lost[:] = 0.0
            for k in range(width):
                a = rows[0, j, k]
                a_low = rows[1, j, k]
                for r in range(DOUBLE):
                    x = block[0, k, r]
                    p, p_low = two_product(a, x)
                    s, s_low = two_sum(total[r], p)
                    total[r] = s
                    lost[r] += (s_low + p_low) + (a * block[1, k, r] + a_low * x)
            for r in range(lanes):
                s, s_low = two_sum(total[r], lost[r])
                out[0, j, first + r] = s
                out[1, j, first + r] = s_low


@njit(nogil=True, cache=True, error_model="numpy")
def lead(scores, starts, winners, leads):
    """The best term (H, m) of each unit by ``scores`` (2, n, m), and its lead over the second."""
    for h in range(len(starts) - 1):
        for i in range(scores.shape[2]):
            best = starts[h]
            for j in range(starts[h] + 1, starts[h + 1]):
                if scores[0, j, i] > scores[0, best, i]:
                    best = j
            least = np.inf
            for j in range(starts[h], starts[h + 1]):
                if j != best:
                    d = scores[0, best, i] - scores[0, j, i]
                    d += scores[1, best, i] - scores[1, j, i]
                    # Not a number leads by nothing.
                    least = d if d < least else (least if d >= least else -np.inf)
            winners[h, i] = best - starts[h]
            leads[h, i] = least

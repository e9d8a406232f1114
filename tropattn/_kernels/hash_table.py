"""A table of 128-bit hashes: how often each was seen, and in which draw first."""

from __future__ import annotations

import numpy as np

from tropattn._kernels.compiling import njit


@njit(nogil=True, cache=True)
def insert(table, counts, firsts, hashes, times, draws):
    """Add rows of ``hashes`` (m, 2); return the number of new ones.

    ``table`` (2^p, 2) uint64 with linear probing and at least m free places, ``counts`` (2^p,)
    int64, 0 where a place is free, ``firsts`` (2^p,) the smallest draw. Row ``i`` was seen
    ``times[i]`` times (once where ``times`` is empty), first in ``draws[i]``.
    """
    mask = np.uint64(len(table) - 1)
    fresh = 0
    for i in range(len(hashes)):
        a = hashes[i, 0]
        b = hashes[i, 1]
        place = a & mask
        while counts[place] and (table[place, 0] != a or table[place, 1] != b):
            place = (place + np.uint64(1)) & mask
        if counts[place] == 0:
            table[place, 0] = a
            table[place, 1] = b
            firsts[place] = draws[i]
            fresh += 1
        elif draws[i] < firsts[place]:
            firsts[place] = draws[i]
        counts[place] += times[i] if len(times) else 1
    return fresh

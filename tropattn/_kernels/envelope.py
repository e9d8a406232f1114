"""Upper envelopes of lines ``a x + c``: a monotone chain that drops only what is proved to lose."""

from __future__ import annotations

from tropattn._kernels.compiling import fragment, njit

__all__ = ["chain"]

_U = 2.0**-53
_TINY = 1e-290


@fragment()
def _turn(a, c, ea, ec, p, q, r):
    """Proved sign of ``(c_q - c_p)(a_r - a_p) - (c_r - c_p)(a_q - a_p)``, or 0; q above p r: 1."""
    x, y = c[q] - c[p], a[r] - a[p]
    u, v = c[r] - c[p], a[q] - a[p]
    ex, ey = ec[q] + ec[p], ea[r] + ea[p]
    eu, ev = ec[r] + ec[p], ea[q] + ea[p]
    left, right = x * y, u * v
    bound = 1.01 * (
        4.0 * _U * (abs(left) + abs(right))
        + abs(x) * ey
        + abs(y) * ex
        + ex * ey
        + abs(u) * ev
        + abs(v) * eu
        + eu * ev
    )
    value = left - right
    if value > bound + _TINY:
        return 1
    if value < -bound - _TINY:
        return -1
    return 0


@njit(nogil=True, cache=True)
def chain(order, a, c, ea, ec, kept):
    """Lines that may stand on the upper envelope, by ascending slope, and whether all surely do.

    ``order`` sorts the slopes ``a``; ``kept`` (N,) takes the indices. A line is dropped only if it
    is proved to lie below two others everywhere, or below one of equal slope. Cost O(N).
    """
    count = 0
    for k in order:
        drop = False
        while count > 0:
            last = kept[count - 1]
            if a[k] == a[last] and ea[k] + ea[last] == 0.0:
                # Parallel: the higher one stays, of equals the first given.
                margin = ec[k] + ec[last] + 2.0 * _U * abs(c[k] - c[last])
                if c[k] - c[last] > margin:
                    count -= 1
                    continue
                drop = c[last] - c[k] > margin or (margin == 0.0 and c[last] == c[k])
                break
            if count > 1:
                before = kept[count - 2]
                rising = a[last] - a[before] > 1.01 * (ea[last] + ea[before]) and (
                    a[k] - a[last] > 1.01 * (ea[k] + ea[last])
                )
                if rising and _turn(a, c, ea, ec, before, last, k) < 0:
                    count -= 1
                    continue
            break
        if not drop:
            kept[count] = k
            count += 1
    sure = True
    for i in range(1, count):
        p, q = kept[i - 1], kept[i]
        sure = sure and a[q] - a[p] > 1.01 * (ea[p] + ea[q])
        if i > 1:
            sure = sure and _turn(a, c, ea, ec, kept[i - 2], p, q) > 0
    return count, sure

"""Cells in the plane by Euler's relation with multiplicities (T10), in rationals, from its words.

``R = 1 + sum_h (R_h - 1) + sum_p (m(p) - 1)`` over the distinct points p at which walls of several
heads meet, m(p) of them. Only for walls of different heads that meet in isolated points.
"""

from fractions import Fraction
from itertools import combinations

from tests.reference.brute import exact, live, merge


def walls(unit, domain):
    """Walls of one head: (point, direction, low, high) with an open interval of the parameter."""
    slopes = [[exact(v) for v in row] for row in unit[0]]
    heights = [exact(v) for v in unit[1]]
    keys = sorted(merge(unit))
    found = []
    for i, j in combinations(keys, 2):
        a = [slopes[j][0] - slopes[i][0], slopes[j][1] - slopes[i][1]]
        b = heights[i] - heights[j]
        if a == [0, 0]:
            continue
        norm = a[0] ** 2 + a[1] ** 2
        point, along = (a[0] * b / norm, a[1] * b / norm), (-a[1], a[0])
        rows = [
            ([slopes[k][c] - slopes[i][c] for c in (0, 1)], heights[i] - heights[k], False)
            for k in keys
            if k not in (i, j)
        ]
        rows += [([exact(v) for v in row], exact(right), True) for row, right in domain]
        low, high, empty = None, None, False
        for row, right, strict in rows:
            speed = row[0] * along[0] + row[1] * along[1]
            gap = right - row[0] * point[0] - row[1] * point[1]
            if speed > 0 and (high is None or gap / speed < high):
                high = gap / speed
            elif speed < 0 and (low is None or gap / speed > low):
                low = gap / speed
            elif speed == 0 and (gap < 0 or (strict and gap == 0)):
                empty = True
        if not empty and (low is None or high is None or low < high):
            found.append((point, along, low, high))
    return found


def _inside(point, domain):
    return all(
        sum(exact(v) * x for v, x in zip(row, point, strict=True)) < exact(right)
        for row, right in domain
    )


def _meeting(first, second):
    """Where two closed walls meet: a point, None, or "overlap"."""
    (p, u, low, high), (q, v, other_low, other_high) = first, second
    turn = u[0] * v[1] - u[1] * v[0]
    w = (q[0] - p[0], q[1] - p[1])
    if turn == 0:
        if w[0] * u[1] - w[1] * u[0] != 0:
            return None
        # The same line: compare the intervals in the first wall's parameter.
        size = u[0] ** 2 + u[1] ** 2
        ends = []
        for t in (other_low, other_high):
            if t is None:
                ends.append(None)
            else:
                ends.append(((w[0] + t * v[0]) * u[0] + (w[1] + t * v[1]) * u[1]) / size)
        if v[0] * u[0] + v[1] * u[1] < 0:
            ends.reverse()
        lower = max([t for t in (low, ends[0]) if t is not None], default=None)
        upper = min([t for t in (high, ends[1]) if t is not None], default=None)
        if lower is None or upper is None or lower < upper:
            return "overlap"
        if lower > upper:
            return None
        return (p[0] + lower * u[0], p[1] + lower * u[1])
    s = Fraction(w[0] * v[1] - w[1] * v[0]) / turn
    t = Fraction(w[0] * u[1] - w[1] * u[0]) / turn
    for value, a, b in ((s, low, high), (t, other_low, other_high)):
        if (a is not None and value < a) or (b is not None and value > b):
            return None
    return (p[0] + s * u[0], p[1] + s * u[1])


def count(units, domain=()):
    """Cells by T10, or None where walls of two heads overlap along a segment."""
    all_walls = [walls(unit, domain) for unit in units]
    points = {}
    for (g, first), (h, second) in combinations(enumerate(all_walls), 2):
        for a in first:
            for b in second:
                where = _meeting(a, b)
                if where == "overlap":
                    return None
                if where is not None and _inside(where, domain):
                    points.setdefault(where, set()).update((g, h))
    total = 1 + sum(len(live(unit, domain)) - 1 for unit in units)
    return total + sum(len(heads) - 1 for heads in points.values())

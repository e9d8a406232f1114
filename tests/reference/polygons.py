"""Cells of heads in a window of the plane as polygons, in rationals, straight from the definition.

A cell is what is left of the window when every key but the winner has cut its half-plane off.
A head is a pair (slopes, heights), a polygon a list of corners, a row (a, b) means a . x <= b.
"""

from fractions import Fraction

from tests.reference.brute import exact


def clipped(corners, row, right):
    """The part of a rational polygon with ``row . x <= right``."""
    values = [right - row[0] * x - row[1] * y for x, y in corners]
    kept = []
    for i, corner in enumerate(corners):
        j = (i + 1) % len(corners)
        if values[i] >= 0:
            kept.append(corner)
        if values[i] * values[j] < 0:
            t = values[i] / (values[i] - values[j])
            kept.append(tuple(a + t * (b - a) for a, b in zip(corner, corners[j], strict=True)))
    return kept


def area(corners):
    """Twice the area of a rational polygon, by the shoelace formula."""
    total = Fraction(0)
    for i, (x, y) in enumerate(corners):
        total += x * corners[i - 1][1] - corners[i - 1][0] * y
    return abs(total)


def window(rows):
    """Corners of a bounded window within 10^12 of the origin."""
    far = Fraction(10) ** 12
    corners = [(-far, -far), (far, -far), (far, far), (-far, far)]
    for row, right in rows:
        corners = clipped(corners, [exact(v) for v in row], exact(right))
    return corners


def cells(units, corners):
    """Cells with interior: pattern -> polygon. Of equal keys the first one wins."""
    found = {(): corners}
    for slopes, heights in units:
        rows = [(*map(exact, row), exact(c)) for row, c in zip(slopes, heights, strict=True)]
        finer = {}
        for pattern, polygon in found.items():
            for i in range(len(rows)):
                part = polygon if rows.index(rows[i]) == i else []
                for k in range(len(rows)):
                    if part and rows[k] != rows[i]:
                        a, b, c = (p - q for p, q in zip(rows[k], rows[i], strict=True))
                        part = clipped(part, (a, b), -c)
                if area(part) > 0:
                    finer[*pattern, i] = part
        found = finer
    return found


def share_a_side(first, second):
    """Whether two convex rational polygons with disjoint interiors meet in more than a point."""
    for i, a in enumerate(first):
        b = first[i - 1]
        for j, c in enumerate(second):
            d = second[j - 1]
            u = (b[0] - a[0], b[1] - a[1])
            if any(u[0] * (p[1] - a[1]) != u[1] * (p[0] - a[0]) for p in (c, d)):
                continue
            along = sorted((p[0] - a[0]) * u[0] + (p[1] - a[1]) * u[1] for p in (c, d))
            if max(along[0], 0) < min(along[1], u[0] ** 2 + u[1] ** 2):
                return True
    return False


def neighbours(polygons):
    """Pairs of polygons, by their places in a list, that meet in more than a point."""
    return {
        (i, j)
        for j in range(len(polygons))
        for i in range(j)
        if share_a_side(polygons[i], polygons[j])
    }

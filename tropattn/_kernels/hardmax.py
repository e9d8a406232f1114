"""Plane hulls and the vertex that wins in a direction, for hardmax layers with many tokens."""

from __future__ import annotations

import numpy as np

from tropattn._kernels.compiling import njit

_FAN = 16


@njit(nogil=True, cache=True)
def outer_points(points, rounding):
    """Indices of points not proved, beyond ``rounding``, inside the 16-gon of extreme points."""
    n = len(points)
    extreme = np.zeros(_FAN, np.int64)
    best = np.empty(_FAN)
    cosine = np.empty(_FAN)
    sine = np.empty(_FAN)
    for k in range(_FAN):
        best[k] = -np.inf
        cosine[k] = np.cos(2.0 * np.pi * k / _FAN)
        sine[k] = np.sin(2.0 * np.pi * k / _FAN)
    for i in range(n):
        x, y = points[i, 0], points[i, 1]
        for k in range(_FAN):
            score = cosine[k] * x + sine[k] * y
            if score > best[k]:
                best[k], extreme[k] = score, i
    polygon = np.empty((_FAN, 2))
    used = 0
    for k in range(_FAN):
        if used == 0 or extreme[k] != extreme[k - 1]:
            polygon[used, 0] = points[extreme[k], 0]
            polygon[used, 1] = points[extreme[k], 1]
            used += 1
    if used > 1 and extreme[0] == extreme[_FAN - 1]:
        used -= 1
    kept = np.empty(n, np.int64)
    size = 0
    for i in range(n):
        inside = used > 2
        for k in range(used):
            ax, ay = polygon[k, 0], polygon[k, 1]
            following = k + 1 if k + 1 < used else 0
            ux, uy = polygon[following, 0] - ax, polygon[following, 1] - ay
            if ux * (points[i, 1] - ay) - uy * (points[i, 0] - ax) <= rounding:
                inside = False
                break
        if not inside:
            kept[size] = i
            size += 1
    return kept[:size]


@njit(nogil=True, cache=True)
def hull_chain(points, order, rounding):
    """Hull of the points, counter-clockwise, given their lexicographic order.

    A point goes only if a cross product beyond ``rounding`` proves it inside, so points on edges
    stay; ``order`` lists distinct positions only.
    """
    m = len(order)
    chain = np.empty(2 * m + 1, np.int64)
    size = 0
    for sweep in range(2):
        # The first chain ends where the second begins; neither may pop the shared point.
        floor = 2 if sweep == 0 else size + 1
        for step in range(m):
            i = order[step] if sweep == 0 else order[m - 1 - step]
            if sweep == 1 and step == 0:
                continue
            while size >= floor:
                a, b = chain[size - 2], chain[size - 1]
                cross = (points[b, 0] - points[a, 0]) * (points[i, 1] - points[a, 1]) - (
                    points[b, 1] - points[a, 1]
                ) * (points[i, 0] - points[a, 0])
                if cross < -rounding:
                    size -= 1
                else:
                    break
            chain[size] = i
            size += 1
    if size > 1 and chain[size - 1] == chain[0]:
        size -= 1
    return chain[:size]


@njit(nogil=True, cache=True)
def best_vertices(directions, corners, angles, start, stop, winner, top, second):
    """For directions [start, stop) the corner with the largest product, and the two best products.

    ``corners`` run counter-clockwise, ``angles[k]`` is the direction of the outer normal of the
    edge that leaves corner k, ascending from ``angles[0]``. The climb after the search repairs the
    last bit; ``second`` is the better of the two neighbours.
    """
    h = len(corners)
    for i in range(start, stop):
        u, v = directions[i, 0], directions[i, 1]
        k = 0
        if h > 12:
            angle = np.arctan2(v, u)
            if angle < angles[0]:
                angle += 2.0 * np.pi
            low, high = 0, h
            while low < high:
                middle = (low + high) // 2
                if angles[middle] < angle:
                    low = middle + 1
                else:
                    high = middle
            k = low if low < h else 0
        else:
            for j in range(1, h):
                if u * corners[j, 0] + v * corners[j, 1] > u * corners[k, 0] + v * corners[k, 1]:
                    k = j
        value = u * corners[k, 0] + v * corners[k, 1]
        for _ in range(h):
            right = k + 1 if k + 1 < h else 0
            left = k - 1 if k > 0 else h - 1
            after = u * corners[right, 0] + v * corners[right, 1]
            before = u * corners[left, 0] + v * corners[left, 1]
            if after > value and after >= before:
                k, value = right, after
            elif before > value:
                k, value = left, before
            else:
                break
        winner[i] = k
        top[i] = value
        second[i] = max(after, before) if h > 1 else -np.inf

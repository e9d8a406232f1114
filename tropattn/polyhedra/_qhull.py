"""The one door to Qhull (through scipy): it proposes hulls, and nothing here is proved."""

from __future__ import annotations

from tropattn._types import Array

__all__ = ["proposed_hull"]


def proposed_hull(points: Array) -> tuple[Array, Array, Array] | None:
    """Facets of the hull of points (n, k), k >= 2, triangulated, or None where Qhull gives up.

    Returns simplices (m, k), the neighbour opposite to each vertex (m, k), and outward normals
    with offsets (m, k + 1).

    >>> import numpy as np
    >>> simplices, _, _ = proposed_hull(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    >>> sorted(map(sorted, simplices.tolist()))
    [[0, 1], [0, 2], [1, 2]]
    """
    # Here, since most commands need no hull and would wait for it.
    from scipy.spatial import ConvexHull, QhullError

    if len(points) <= points.shape[1]:
        return None
    try:
        found = ConvexHull(points)
    except (QhullError, ValueError):
        return None
    return found.simplices, found.neighbors, found.equations

"""Corners and edges of a hull whose boundary is triangulated, some ridges being flat.

The true facets are the classes of simplices joined by flat ridges. A face of dimension e lies in
facets whose normals span all but e + 1 of the k + 1 homogeneous dimensions; so a vertex of the
triangulation is a corner exactly if the normals of its star have rank k, and an edge of it, between
corners, is an edge of the hull exactly if those around it have rank k - 1.

A simplex whose ridges through the face all bend settles this without arithmetic: its neighbours'
normals are independent on its own span, where its own normal vanishes. A rank up to 3 is a number
of facets: faces of codimension 1 and 2 lie in one and two. The rest is an exact rank.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import hull_links
from tropattn._types import Array
from tropattn.polyhedra.hull.exact_signs import ExactRows

__all__ = ["corners", "edges"]


def corners(facets: Array, labels: Array, signs: Array, rows: ExactRows) -> NDArray[np.bool_]:
    """Which of the n points are corners of the hull; ``labels`` number the true facets (m,)."""
    n, k = rows.n, facets.shape[1]
    live = np.zeros(n + 1, np.bool_)
    hull_links.strict_stars(facets, signs, live)
    doubtful = np.zeros(n + 1, np.bool_)
    doubtful[facets.ravel()] = True
    doubtful &= ~live
    doubtful[n] = live[n] = False
    if not doubtful.any():
        return live[:n]
    f, i = np.nonzero(doubtful[facets])
    names, spans = _spanning(facets[f, i], labels[f], k, _normals(facets, labels, rows))
    live[names[spans]] = True
    return live[:n]


def edges(facets: Array, labels: Array, signs: Array, rows: ExactRows) -> NDArray[np.int64]:
    """Edges of the hull between points, ascending rows (w, 2); all vertices must be corners.

    Then every edge of the hull is one of the triangulation: the simplex around its middle has its
    vertices on it, and they are corners.
    """
    n, k = rows.n, facets.shape[1]
    found = hull_links.edges_of(facets, signs, n)
    flat = np.flatnonzero((signs == 0).any(axis=1))
    if k <= 3 or not len(flat):
        return found
    known = found[:, 0] * n + found[:, 1]
    codes, owners = [], []
    for a, b in combinations(range(k), 2):
        inside = flat[facets[flat, b] < n]
        codes.append(facets[inside, a] * n + facets[inside, b])
        owners.append(labels[inside])
    code, owner = np.concatenate(codes), np.concatenate(owners)
    doubtful = ~np.isin(code, known)
    names, spans = _spanning(code[doubtful], owner[doubtful], k - 1, _normals(facets, labels, rows))
    every = np.sort(np.concatenate([known, names[spans]]))
    return np.column_stack([every // n, every % n])


def _normals(facets: Array, labels: Array, rows: ExactRows) -> Any:
    """Labels -> the exact normals of these true facets."""
    _, first = np.unique(labels, return_index=True)
    made: dict[int, list[Any]] = {}

    def normals(wanted: list[int]) -> list[list[Any]]:
        fresh = [label for label in wanted if label not in made]
        if fresh:
            rows.need(np.unique(facets[first[fresh]]))
        for label in fresh:
            made[label] = rows.normal(facets[first[label]].tolist())
        return [made[label] for label in wanted]

    return normals


def _spanning(
    names: Array, labels: Array, rank: int, normals: Any
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The distinct names, and whether the normals of the labels beside them have that rank."""
    if not len(names):
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    pairs = np.unique(np.column_stack([names, labels]), axis=0)
    distinct, start, count = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    spans = count >= rank
    if rank > 3:
        normals(np.unique(pairs[np.isin(pairs[:, 0], distinct[spans]), 1]).tolist())
        for at in np.flatnonzero(spans).tolist():
            around = pairs[start[at] : start[at] + count[at], 1].tolist()
            spans[at] = _rank(normals(around)) == rank
    return distinct, spans


def _rank(rows: list[list[Any]]) -> int:
    return flint.fmpz_mat(len(rows), len(rows[0]), [v for row in rows for v in row]).rank()

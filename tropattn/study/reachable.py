"""Which keys a normalised state can choose: cells that meet the ellipsoid of LayerNorm's outputs.

A norm sends every state to the ellipsoid ``{gamma * u + beta : |u| = sqrt(d)}``, ``u`` in the
centred hyperplane for LayerNorm, in all of R^d for RMSNorm. A head's query map has a kernel there
(``d_head`` is smaller), so the queries fill a solid ellipsoid of ``R^{d_head}``, and a key can be
chosen exactly if its cell meets the interior of that solid. Answers are floats, with their margin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import to_float
from tropattn.attention.head import AttentionHead
from tropattn.attention.norms import Norm
from tropattn.polyhedra.nearest import cell_distances
from tropattn.progress import counting
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.terms import AffineMap

__all__ = ["Ellipsoid", "distances", "query_ellipsoid"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Ellipsoid:
    """The solid ``{centre + w @ axes : |w| <= 1}`` of queries; ``axes`` (r, d_head) of rank r.

    >>> Ellipsoid(np.array([1.0]), np.array([[2.0]])).axes.tolist()     # the interval [-1, 3]
    [[2.0]]
    """

    centre: Floats
    axes: Floats


def query_ellipsoid(
    head: AttentionHead, norm: Norm, projection: AffineMap | None = None
) -> Ellipsoid | None:
    """Return the queries ``x W_Q + b_Q`` of all states ``x`` that a norm can give.

    Parameters
    ----------
    head : its query map is read, positions are not (RoPE turns keys only, relative to the query).
    norm : whose outputs enter the head, through ``projection`` if there is one (ALBERT).

    Returns
    -------
    Ellipsoid or None
        None where the query map has no kernel on the norm's hyperplane: queries then lie on a
        surface, and no cell need be unbounded.

    Notes
    -----
    Source: Brody, Alon, Yahav (2023), arXiv 2305.02582, for the geometry of LayerNorm. The
    epsilon inside the root only pulls states inwards. Cost: one singular value decomposition.

    >>> from tropattn.attention.norms import RMSNorm
    >>> head = AttentionHead([[3], [4]], [[1], [0]], [[1], [0]], [[1, 0]], b_Q=[7])
    >>> solid = query_ellipsoid(head, RMSNorm([1, 1], eps=0))
    >>> solid.centre.tolist(), abs(solid.axes).round(9).tolist()        # sqrt(2) * |(3, 4)|
    ([7.0], [[7.071067812]])
    """
    matrix, offset = to_float(head.W_Q)[0], to_float(head.b_Q)[0]
    if projection is not None:
        offset = to_float(projection.offset)[0] @ matrix + offset
        matrix = to_float(projection.matrix)[0] @ matrix
    shifted = norm.weight.astype(np.float64)[:, None] * matrix
    dim = norm.width
    if norm.centred:
        shifted = shifted - shifted.mean(axis=0)
        dim -= 1
    _, sizes, directions = np.linalg.svd(np.sqrt(norm.width) * shifted, full_matrices=False)
    rank = int((sizes > 1e-10 * sizes.max(initial=0.0)).sum())
    if rank >= dim:
        return None
    centre = norm.shift.astype(np.float64) @ matrix + offset
    return Ellipsoid(centre, sizes[:rank, None] * directions[:rank])


def distances(
    f: TropicalPolynomial,
    solid: Ellipsoid,
    terms: NDArray[np.int64] | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> Floats:
    """Return how far the cell of each term lies from the centre, in radii of the ellipsoid.

    Parameters
    ----------
    f : a polynomial of the query, without maps.
    solid : the queries that occur.
    terms : which terms, all when None; cells without interior have distance infinity or that of
        their closure.

    Returns
    -------
    Floats
        (len(terms),): below 1 exactly where a live term can win, 0 at the centre's own winner.

    Notes
    -----
    One least-distance program a term, in doubles: the margin ``|1 - distance|`` says how sure the
    answer is. Cost: as ``cell_distances``.

    >>> f = TropicalPolynomial([[0.0], [1.0], [2.0]], [0.0, -2.0, -8.0])     # walls at 2 and 6
    >>> distances(f, Ellipsoid(np.zeros(1), np.array([[4.0]]))).round(9).tolist()
    [0.0, 0.5, 1.5]
    """
    keys = float(f.scale) * to_float(f.keys)[0]
    slopes, heights = keys @ solid.axes.T, keys @ solid.centre + to_float(f.biases)[0]
    with counting("cells measured", progress, "to do") as report:
        return cell_distances(slopes, heights, terms, threads, report)

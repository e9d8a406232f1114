"""What a normalised state can choose: cells that meet the ellipsoid of LayerNorm's outputs.

A norm sends every state to the ellipsoid ``{gamma * u + beta : |u| = sqrt(d)}``, ``u`` in the
centred hyperplane for LayerNorm, in all of R^d for RMSNorm. A head's query map has a kernel there
(``d_head`` is smaller), so the queries fill a solid ellipsoid of ``R^{d_head}``, and a key can be
chosen exactly if its cell meets the interior of that solid. Answers are floats, with their margin.
Cells of all heads together are cones round their common centre, and all of them are met where that
lies inside the ellipsoid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Floats
from tropattn.arrays import freeze, is_exact, to_float
from tropattn.attention.evaluated.norms import Norm
from tropattn.attention.heads.head import AttentionHead
from tropattn.polyhedra.nearest import cell_distances
from tropattn.progress import Listening, counting
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.terms import AffineMap

__all__ = ["Ellipsoid", "common_centre", "distances", "on_hyperplane", "query_ellipsoid"]


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

    >>> from tropattn.attention.evaluated.norms import RMSNorm
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
    progress: Listening = False,
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
    with counting("cells measured", progress, "") as report:
        return cell_distances(slopes, heights, terms, threads, report)


def on_hyperplane(
    f: TropicalPolynomial, norm: Norm, projection: AffineMap | None = None
) -> TropicalPolynomial:
    """Return a head as a polynomial of what the norm scales: coordinates of its hyperplane.

    The state is ``gamma * u + beta``; for LayerNorm ``u = (p_1, ..., p_{d-1}, -sum p)``, for
    RMSNorm ``u = p``. Factors are kept, so spans are those of the given weights.

    >>> from tropattn.attention.evaluated.norms import LayerNorm
    >>> f = on_hyperplane(TropicalPolynomial([[1, 0], [0, 0]]), LayerNorm([3, 5], [1, 1]))
    >>> f.slopes.tolist(), f.intercepts.tolist()
    ([[3.0], [0.0]], [1.0, 0.0])
    """
    gamma = norm.weight.astype(np.float64)
    matrix = np.diag(gamma)
    if norm.centred:
        matrix = np.hstack([np.diag(gamma[:-1]), np.full((norm.width - 1, 1), -gamma[-1])])
    if projection is not None:
        f = f.pullback(projection.matrix, projection.offset)
    return f.pullback(freeze(matrix), norm.shift)


def common_centre(units: Sequence[TropicalPolynomial], norm: Norm, dim: int) -> float | None:
    """Return how far the nearest common centre of heads lies, in radii of the norm's sphere.

    None where no point makes all scores of each head equal (the heads are not central). ``units``
    are polynomials of ``on_hyperplane``. In doubles: one least-squares problem.

    >>> from tropattn.attention.evaluated.norms import RMSNorm
    >>> f = TropicalPolynomial([[1, 0], [0, 0]], [-1, 0])       # equal where the first is 1
    >>> round(common_centre([f], RMSNorm([1, 1]), 2), 6)        # 1 / sqrt(2)
    0.707107
    """
    if any(is_exact(unit.keys) for unit in units):
        return None
    blocks, rights = [], []
    for unit in units:
        rows, right = _equalities(unit)
        blocks.append(rows)
        rights.append(right)
    matrix, right = np.vstack(blocks), np.concatenate(rights)
    if not len(right):
        return 0.0
    lengths = np.linalg.norm(matrix, axis=1)
    if not (lengths > 0).all():
        return None
    matrix, right = matrix / lengths[:, None], right / lengths
    # The sphere is round in u, not in its coordinates: u = (p, -sum p).
    shape = np.eye(dim)
    if norm.centred:
        shape = np.linalg.cholesky(np.eye(dim) + np.ones((dim, dim)))
    solution = np.linalg.lstsq(np.linalg.solve(shape, matrix.T).T, right, rcond=1e-12)[0]
    coordinates = np.linalg.solve(shape.T, solution)
    if np.abs(matrix @ coordinates - right).max() > 1e-7 * (1 + np.abs(right).max()):
        return None
    return float(np.linalg.norm(solution) / np.sqrt(norm.width))


def _equalities(f: TropicalPolynomial) -> tuple[Floats, Floats]:
    """Rows and right sides of ``all scores are equal``, as few as span them."""
    linear, constant = np.eye(f.dim), np.zeros(f.dim)
    for step in f.maps:
        constant = constant @ to_float(step.matrix)[0] + to_float(step.offset)[0]
        linear = linear @ to_float(step.matrix)[0]
    terms = np.column_stack([float(f.scale) * f.keys, f.biases])
    _, sizes, directions = np.linalg.svd(terms[1:] - terms[0], full_matrices=False)
    kept = directions[sizes > 1e-10 * sizes.max(initial=0.0)]
    return kept[:, :-1] @ linear.T, -(kept[:, :-1] @ constant + kept[:, -1])

"""The upper bound on the cells of a network: one closed form per layer, multiplied (theory T14)."""

from __future__ import annotations

from typing import Any

import flint
import numpy as np

from tropattn.arrays import as_fractions, is_exact, rational_matrix, residues
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Domain, as_domain, check_space
from tropattn.regions.bounds.layer import layer
from tropattn.regions.result import RegionCount
from tropattn.tropical.bilinear import MovesTokens, MovingAttention, TokenStack
from tropattn.tropical.refinement import Refinement
from tropattn.tropical.stage import Linear, RoutingStage, Scores, stages_of
from tropattn.tropical.terms import PRIME

__all__ = ["depth", "moving_bound"]


def depth(target: Any, domain: Domain | None = None) -> RegionCount:
    """Bound the routing cells of a network by ``prod_l B_l`` (theory T14).

    Parameters
    ----------
    target : a ``Network``, a sequence of its stages, or a ``LiveNetwork``, whose lines are bounded
        by another product (``moving_bound``).
    domain : as in ``count_regions``; a slice starts with its own dimension.

    Returns
    -------
    RegionCount of kind ``"upper"``; ``stats["layers"]`` lists (rank of the units seen through the
    pieces that enter, bound) per layer. Linear regions are at most the cells, so it bounds both.

    Raises
    ------
    InvalidInput : no stage, or a domain of another dimension.

    Notes
    -----
    ``B_l`` is T6 in dimension ``min(d_l, r_l)``: ``d_l`` bounds the rank of every affine piece that
    enters the layer, ``r_l`` is the effective rank of its units. A piece of an image meets at most
    the cells that it would meet after a small shift, so for units with a common centre T7 in
    dimension ``r_l`` holds as well, and T7 in dimension ``d_l + 1`` by homogenising; the least of
    them is taken. Cost: an exact rank per layer.

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> step = Linear(np.eye(1), np.zeros(1))
    >>> stage = RoutingStage((TropicalPolynomial([[0], [1], [2]], [0, -1, -4]),), step)
    >>> int(depth([stage, stage]))
    9
    """
    if isinstance(target, MovesTokens):
        return moving_bound(target.live_stack())
    given = list(target) if isinstance(target, list | tuple) else list(stages_of(target))
    if not given or not all(isinstance(stage, RoutingStage) for stage in given):
        raise InvalidInput("target: a Network or its stages needed, got none; pass a Network.")
    check_space(as_domain(domain), given[0].dim)
    entering = given[0].dim if domain is None else domain.dim
    total, layers = 1, []
    for stage in given:
        entering = min(entering, stage.dim)
        rank, bound = _stage_bound(stage, entering)
        layers.append((rank, bound))
        total *= bound
        entering = _leaving(stage, entering)
    where = f"R^{given[0].dim}" if domain is None else domain.describe()
    name = "T14, a product over layers"
    return RegionCount(total, "upper", "cells", where, name, True, 0, {"layers": layers})


def moving_bound(stack: TokenStack) -> RegionCount:
    """Bound the intervals of a line through a stack with moving keys (theory T11).

    Two parabolas cross at most twice, so a head with ``n`` keys in sight changes its winner at most
    ``2 n - 2`` times on an interval of the layers before it, a unit of ``n`` affine terms at most
    ``n - 1`` times; the bound is the product over layers of one more than the sum over units.

    >>> from tropattn.tropical.bilinear import BilinearHead
    >>> from tropattn.tropical.terms import AffineMap
    >>> step = AffineMap(np.eye(1), np.zeros(1))
    >>> head = BilinearHead(step, step, (step,), 1)
    >>> layer = MovingAttention((head,), np.zeros(1), ((0, 1), (0, 2)), residual=True)
    >>> moving_bound(TokenStack((layer, layer), 2, 1, (0, 1))).value
    9
    """
    total, layers = 1, []
    for part in stack.layers:
        if isinstance(part, MovingAttention):
            seen = [part.seen[token] for token in stack.moving]
            sinks = sum(head.sink is not None for head in part.heads)
            keys = sum(stop - first - 1 for first, stop in seen) * len(part.heads)
            changes = 2 * (keys + sinks * len(stack.moving))
        else:
            units = () if part.stage is None else part.stage.units
            changes = len(stack.moving) * sum(unit.n_terms - 1 for unit in units)
        layers.append(1 + changes)
        total *= 1 + changes
    where = f"lines in R^{stack.dim}, keys live"
    name = "T11, a product over layers"
    return RegionCount(total, "upper", "cells", where, name, True, 0, {"layers": layers})


def _stage_bound(stage: RoutingStage, entering: int) -> tuple[int, int]:
    refinement = Refinement.of(stage.units)
    counts = np.diff(refinement.starts).tolist()
    rank = min(entering, refinement.dim)
    options = [layer(counts, rank).value]
    if refinement.central:
        options.append(layer(counts, refinement.dim, central=True).value)
        options.append(layer(counts, min(rank + 1, refinement.dim), central=True).value)
    return rank, min(options)


def _leaving(stage: RoutingStage, entering: int) -> int:
    """A bound on the rank of the pieces that leave a stage."""
    update = stage.update
    if isinstance(update, Linear):
        return _rank_up_to(entering, update.matrix)
    if update is None or update.residual:
        return entering
    if isinstance(update, Scores):
        return _rank_up_to(entering, update.weights)
    # All patterns have sums of the matrices of values that move, so their rows lie in the span of
    # all these rows.
    rows = [own.matrix for own in update.own if own is not None]
    if any(is_exact(part) for part in rows):
        rows = [as_fractions(part) for part in rows]
    return _rank_up_to(entering, np.vstack(rows)) if rows else 0


def _rank_up_to(limit: int, matrix: Any) -> int:
    """The rank, or the limit where it is larger: a rank modulo a prime is never too large."""
    rows, columns = matrix.shape
    if is_exact(matrix) and any(v.denominator % PRIME == 0 for v in matrix.ravel()):
        return min(limit, _rank(matrix))
    modular = flint.nmod_mat(rows, columns, residues(matrix, PRIME).ravel().tolist(), PRIME)
    return limit if modular.rank() >= limit else min(limit, _rank(matrix))


def _rank(matrix: Any) -> int:
    if np.count_nonzero(matrix) == 0:
        return 0
    if matrix.shape[0] == matrix.shape[1] and (matrix == np.eye(len(matrix))).all():
        return len(matrix)
    exact: flint.fmpq_mat = rational_matrix(matrix)
    return exact.rank()

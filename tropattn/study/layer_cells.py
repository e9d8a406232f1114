"""The cells of all heads of a layer together: exact counts through independence (theory T8)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import flint
import numpy as np

from tropattn._types import Floats
from tropattn.arrays import is_exact, residues
from tropattn.attention.evaluated.norms import Norm
from tropattn.attention.heads.fixed import FixedLayer
from tropattn.errors import BudgetExceeded, Degenerate
from tropattn.polyhedra.domain import Slice
from tropattn.regions import bounds
from tropattn.regions.count import count_regions, upper_bound
from tropattn.regions.result import RegionCount
from tropattn.regions.search.direct_sum import independent_groups
from tropattn.study.layer import agree_on_head
from tropattn.study.reachable import common_centre, on_hyperplane
from tropattn.tropical.columns import rank_of_rows
from tropattn.tropical.max_affine import with_terms
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.terms import PRIME, AffineMap

__all__ = ["in_query_space", "independent_count", "layer_row", "on_token_plane"]


_MAX_CELLS = 20_000
"""Cells of dependent heads that are enumerated before a lower bound is given instead."""


def layer_row(
    fixed: FixedLayer,
    norm: Norm | None,
    projection: AffineMap | None,
    live: Sequence[int],
    threads: int | None = None,
) -> dict[str, Any]:
    """Count one layer on the whole space, and behind its norm where that follows.

    Parameters
    ----------
    fixed : the layer with its context.
    norm, projection : what the variable comes from, or None.
    live : the number of live keys of each head, found by another engine.

    Returns
    -------
    dict
        ``variable``; ``cells`` on all of R^d (exact by direct sum or enumeration, else a lower
        bound); ``bound`` (T6 or T7 for the keys given) and ``bound_live`` (T6 for live keys);
        ``patterns``, the product of the key counts; ``ranks``, the heads' spans, and ``rank``,
        their sum's; ``independent``; ``norm_cells``, the cells that normalised states meet, and
        ``centre``, the distance of the heads' common centre from the ellipsoid's, in its radii
        (doubles).

    Raises
    ------
    EngineError : the two engines' counts of a head differ.

    Notes
    -----
    Source: theory T8, T12. Cells of heads with a common centre are cones with that apex, so if the
    centre lies inside the ellipsoid, every cell meets the ellipsoid's surface: ``norm_cells`` is
    the exact count on the hyperplane of the norm where the heads' spans stay independent there,
    and else the product over heads that are and whose centre is inside, a lower bound.
    """
    thin = [_spanning(head) for head in fixed.heads]
    groups, ranks = independent_groups(thin)
    single = all(len(group) == 1 for group in groups)
    cells = _product(fixed, groups, ranks, live, threads) if single else _cells(fixed, threads)
    spans = {group[0]: rank for group, rank in zip(groups, ranks, strict=True) if single}
    return {
        "variable": fixed.variable,
        "heads": len(fixed.heads),
        "keys": [head.n_terms for head in fixed.heads],
        "cells": cells,
        "bound": upper_bound(fixed),
        "bound_live": bounds.layer(live, max(sum(ranks), 1)),
        "patterns": prod(head.n_terms for head in fixed.heads),
        "independent": single,
        "rank": sum(ranks),
        **({} if norm is None else _behind_norm(thin, norm, projection, live, spans)),
    }


def on_token_plane(
    fixed: FixedLayer, states: Floats, place: int, threads: int | None = None
) -> tuple[RegionCount, list[int]] | None:
    """Count the cells on the plane through the query's state and two other tokens' (theory T10).

    The others are the first and the middle token that differ from it; the window reaches as far
    again beyond the three as they are apart. None where no three states span a plane.

    >>> head = TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
    >>> rows = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> count, tokens = on_token_plane(FixedLayer([head], [np.zeros((3, 2))]), rows, 2)
    >>> count.value, tokens
    (3, [2, 0, 1])
    """
    others = [i for i in range(len(states)) if i != place]
    if len(others) < 2:
        return None
    first, middle = others[0], others[len(others) // 2]
    tokens = [place, first, middle]
    try:
        plane = Slice.through(states[tokens], margin=1.0)
    except Degenerate:
        return None
    return count_regions(fixed, plane, threads=threads), tokens


def independent_count(
    fixed: FixedLayer, live: Sequence[int], threads: int | None = None
) -> tuple[RegionCount, RegionCount] | None:
    """Count a layer on the whole space as a product over heads, each in its query space (T8).

    Returns the count and the bound for the live keys; None where the heads' spans are not proved
    independent. ``live`` and errors as in ``layer_row``.

    >>> heads = [TropicalPolynomial([[0, 0], [1, 0]]), TropicalPolynomial([[0, 0], [0, 1]])]
    >>> count, bound = independent_count(FixedLayer(heads, [np.zeros((2, 2))] * 2), [2, 2])
    >>> count.value, bound.value
    (4, 4)
    """
    groups, ranks = independent_groups([_spanning(head) for head in fixed.heads])
    if any(len(group) > 1 for group in groups) or len(groups) < 2:
        return None
    return _product(fixed, groups, ranks, live, threads), bounds.layer(live, sum(ranks))


def _product(
    fixed: FixedLayer,
    groups: list[list[int]],
    ranks: list[int],
    live: Sequence[int],
    threads: int | None,
) -> RegionCount:
    """The product over heads with proved independent spans, each counted in its query space."""
    alone = [count_regions(in_query_space(fixed.heads[h]), threads=threads) for (h,) in groups]
    for (h,), found in zip(groups, alone, strict=True):
        agree_on_head(h, found, live[h])
    factors = [found.value for found in alone]
    stats = {"groups": groups, "ranks": ranks, "factors": factors}
    # Ranks and independence are proved, so the product is as certain as its factors.
    sure = all(found.certified for found in alone)
    domain = f"R^{fixed.dim}"
    return RegionCount(prod(factors), "exact", "cells", domain, "direct_sum", sure, 0, stats)


def in_query_space(f: TropicalPolynomial) -> TropicalPolynomial:
    """Return a head's polynomial of its query, which has the same cells where ``W_Q`` is onto.

    Onto is proved modulo a prime; where it is not, ``f`` itself is returned. Source: theory T8.

    >>> from tropattn.tropical.terms import AffineMap
    >>> q = AffineMap(np.array([[1.0], [1.0]]), np.array([5.0]))
    >>> in_query_space(TropicalPolynomial.factored([[1.0], [2.0]], maps=(q,))).dim
    1
    """
    if len(f.maps) != 1 or is_exact(f.maps[0].matrix):
        return f
    matrix = f.maps[0].matrix
    rows, columns = matrix.shape
    reduced = flint.nmod_mat(rows, columns, residues(matrix, PRIME).ravel().tolist(), PRIME)
    if reduced.rank() < columns:
        return f
    return TropicalPolynomial.factored(f.keys, f.biases, scale=f.scale)


def _spanning(f: TropicalPolynomial) -> TropicalPolynomial:
    """The head with as few terms as have the same span of slopes, if that can be proved."""
    if is_exact(f.keys) or f.biases.any() or f.n_terms < 3:
        return f
    keys = residues(f.keys, PRIME)
    rows = (keys[1:] - keys[:1]) % PRIME
    chosen = rank_of_rows(np.ascontiguousarray(rows.T), range(len(rows)))
    # A rank modulo a prime is a lower bound; the number of columns is an upper one.
    if len(chosen) < min(f.n_terms - 1, f.keys.shape[1]):
        return f
    kept = np.array([0, *(i + 1 for i in chosen)])
    return with_terms(f, kept)


def _cells(fixed: FixedLayer, threads: int | None) -> RegionCount:
    try:
        return count_regions(fixed, max_cells=_MAX_CELLS, threads=threads)
    except BudgetExceeded as error:
        return RegionCount(
            error.lower, "lower", "cells", f"R^{fixed.dim}", "enumeration, stopped", False
        )


def _behind_norm(
    heads: Sequence[TropicalPolynomial],
    norm: Norm,
    projection: AffineMap | None,
    live: Sequence[int],
    spans: dict[int, int],
) -> dict[str, Any]:
    """Cells that normalised states meet; ``heads`` have as few terms as span their slopes."""
    units = [on_hyperplane(head, norm, projection) for head in heads]
    limit = units[0].dim
    chosen = list(range(len(units)))
    # Spans that are wider together than the space cannot be independent; drop the last heads.
    while sum(spans.get(h, 0) for h in chosen) > limit:
        chosen.pop()
    groups, ranks = independent_groups([units[h] for h in chosen])
    while any(len(group) > 1 for group in groups):
        chosen.pop()
        groups, ranks = independent_groups([units[h] for h in chosen])
    centre = common_centre([units[h] for h in chosen], norm, limit)
    found: dict[str, Any] = {"centre": centre, "norm_rank": sum(ranks), "norm_cells": None}
    # A head keeps all its cells on the hyperplane where its span keeps its dimension.
    whole = {chosen[group[0]]: rank for group, rank in zip(groups, ranks, strict=True)}
    if centre is None or whole != {h: rank for h, rank in spans.items() if h in chosen}:
        return found
    while centre >= 1 and len(chosen) > 1:
        # Fewer heads have a nearer centre: leave out the one that holds it farthest away.
        nearer = []
        for h in chosen:
            others = [unit for g, unit in enumerate(units) if g in chosen and g != h]
            nearer.append((common_centre(others, norm, limit) or 0.0, h))
        centre, gone = min(nearer)
        chosen.remove(gone)
    if centre >= 1:
        return found
    value = prod(live[h] for h in chosen)
    kind = "exact" if len(chosen) == len(units) else "lower"
    words = f"outputs of {type(norm).__name__} in R^{norm.width}"
    stats = {"heads": chosen, "centre": centre, "centre_decided_in": "doubles"}
    found["norm_cells"] = RegionCount(
        value, kind, "cells", words, "direct_sum, common centre inside", False, 0, stats
    )
    return found

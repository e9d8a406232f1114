"""Direct sums: heads that look at independent directions multiply (theory T8).

On the whole of R^d the count of a layer is the product of the counts of groups of heads whose
slope spans ``U_h`` are independent. The finest such grouping is the one into connected components
of the matroid of the spanning slope differences, read off one echelon form.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import flint
import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import pivot_columns
from tropattn.errors import BudgetExceeded, Interrupted, InvalidInput
from tropattn.polyhedra.strict import primitive_rows
from tropattn.regions.budget import out_of_memory
from tropattn.regions.question import Engine, Found, Question, answer
from tropattn.regions.result import RegionCount
from tropattn.threads import aside, interrupted
from tropattn.tropical.columns import rank_of_rows
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.terms import PRIME

__all__ = ["DirectSum", "independent_groups"]


class DirectSum(Engine):
    """The product of the counts of independent groups of heads, each counted by ``engines``."""

    name, ranges = "direct_sum", True
    where = "whole space, heads with independent spans"
    idea = "product of the groups' counts (T8)"
    cost = "that of the groups"
    otherwise = "asked for by name: an error; else the next engine"

    def __init__(self, engines: Sequence[Engine]) -> None:
        self.engines = engines

    def refuses(self, question: Question) -> str | None:
        """A domain, which couples the heads."""
        if question.domain is None:
            return None
        return (
            f"engine: direct_sum needs the whole space, got {question.space}; windows and slices "
            "couple the heads, use engine='enumeration'."
        )

    def count(self, question: Question) -> Found | None:
        """The product; None for a single group, unless it is one head that is asked for by name."""
        units = question.stages[0].units
        groups, ranks = aside(independent_groups, units)
        if len(groups) < 2:
            if question.engine != self.name:
                return None
            if len(units) > 1:
                raise InvalidInput(
                    "engine: heads with independent spans needed for direct_sum, got "
                    f"{len(units)} heads that share a span of rank {sum(ranks)}; "
                    "use engine='enumeration'."
                )
            if not groups:
                return answer(question.part([0]), self.engines)
        parts: list[Found] = []
        try:
            for group in groups:
                parts.append(answer(question.part(group), self.engines))
        except (BudgetExceeded, Interrupted) as error:
            error.lower = max(1, error.lower) * prod(part.value for part in parts)
            raise
        except MemoryError as error:
            raise out_of_memory(error, prod(part.value for part in parts)) from None
        except KeyboardInterrupt:
            raise interrupted(prod(part.value for part in parts)) from None
        factors = [part.value for part in parts]
        stats: dict[str, Any] = {"groups": groups, "ranks": ranks, "factors": factors}
        for part in parts:
            for key, value in part.stats.items():
                if key not in ("rank", "central"):
                    stats[key] = stats.get(key, 0) + value
        above = prod(part.bound.value for part in parts if part.bound is not None)
        bound = RegionCount(above, "upper", "cells", question.space, "T8, a product over groups")
        return Found(prod(factors), stats, self.name, bound)


def independent_groups(units: Sequence[TropicalPolynomial]) -> tuple[list[list[int]], list[int]]:
    """Finest grouping of heads with proved independent spans, and the rank of each group.

    Returns (groups, ranks): lists of head indices whose spans ``sum_{h in g} U_h`` form a direct
    sum, in order of their first head. Heads with one slope join no group. Where independence is
    not proved all heads are one group. Cost: one echelon form modulo a prime of at most
    (sum of ranks) x d numbers, and an exact rank for groups that the shapes do not bound.

    >>> f, g = TropicalPolynomial([[0, 0], [1, 0]]), TropicalPolynomial([[0, 0], [0, 1]])
    >>> independent_groups([f, g]), independent_groups([f, f])
    (([[0], [1]], [1, 1]), ([[0, 1]], [1]))
    """
    split = [h for h, unit in enumerate(units) if not _one_slope(unit)]
    if not split:
        return [], []
    spans = {}
    for h in split:
        spans[h] = _basis(units[h])
        if len(spans[h]) == units[h].dim:
            # This head alone spans everything: all heads that split at all are one group.
            return [split], [units[h].dim]
    owner = [h for h in split for _ in range(len(spans[h]))]
    groups = _components(np.vstack([spans[h] for h in split]), owner)
    ranks = []
    proved = sum(len(group) for group in groups) == len(split)
    for group in groups:
        rank = len(_independent(np.vstack([spans[h] for h in group])))
        ranks.append(rank)
        proved = proved and rank == _rank_above([units[h] for h in group], rank)
    if proved:
        return groups, ranks
    return [split], [_rank_above([units[h] for h in split], 0)]


def _one_slope(unit: TropicalPolynomial) -> bool:
    """Whether all slopes of a head are equal: proved, since unequal residues prove unequal."""
    slopes = unit.modular_terms()[:, :-1]
    return not (slopes != slopes[0]).any() and _rank_above([unit], 0) == 0


def _basis(unit: TropicalPolynomial) -> NDArray[np.int64]:
    """Slope differences that span ``U_h`` modulo PRIME."""
    firsts, _ = unit.distinct
    slopes = unit.modular_terms()[firsts][:, :-1]
    rows = (slopes[1:] - slopes[:1]) % PRIME
    return rows[_independent(rows)]


def _independent(rows: NDArray[np.int64]) -> list[int]:
    """Indices of rows that are independent modulo PRIME, greedily from the first."""
    if not rows.size:
        return []
    columns = np.ascontiguousarray(rows.T)
    return rank_of_rows(columns, range(columns.shape[1]))


def _components(rows: NDArray[np.int64], owner: list[int]) -> list[list[int]]:
    """Heads linked by a dependency between their rows: components of the fundamental circuits."""
    count, dim = rows.shape
    matrix = flint.nmod_mat(dim, count, np.ascontiguousarray(rows.T).ravel().tolist(), PRIME)
    echelon, rank = matrix.rref()
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(owner)
    pivots = pivot_columns(echelon, rank)
    for j in set(range(count)) - set(pivots):
        for i, pivot in enumerate(pivots):
            if int(echelon[i, j]) != 0:
                graph.add_edge(owner[pivot], owner[j])
    return sorted(sorted(part) for part in nx.connected_components(graph))


def _rank_above(units: Sequence[TropicalPolynomial], rank: int) -> int:
    """A proved upper bound on the rank of the slope differences; exact where shapes do not tell."""
    shape = 0
    for unit in units:
        narrowest = min([unit.keys.shape[1], *[m.matrix.shape[0] for m in unit.maps]])
        shape += min(len(unit.distinct[0]) - 1, narrowest)
    shape = min(shape, units[0].dim)
    if rank == shape:
        return shape
    flat: list[flint.fmpq] = []
    for unit in units:
        first, *others = unit.exact_terms(unit.distinct[0]).tolist()
        flat += [a - b for row in others for a, b in zip(row[:-1], first[:-1], strict=True)]
    dim = units[0].dim
    return primitive_rows(flint.fmpq_mat(len(flat) // dim, dim, flat)).rank()

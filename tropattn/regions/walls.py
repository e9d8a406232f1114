"""One cell as a polyhedron, from its pattern alone: a row for each key that waits (theory T5, T12).

Stage after stage the winners are compared with all other keys as functions of the domain's
parameters, in integers; behind each stage the state is composed with what the winners do to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tropattn.arrays import rational_matrix
from tropattn.polyhedra.domain import Domain
from tropattn.polyhedra.integer_rows import Row, primitive
from tropattn.polyhedra.polyhedron import Polyhedron
from tropattn.threads import check
from tropattn.tropical.affine_state import AffineState, whole
from tropattn.tropical.integer_stage import IntegerStage
from tropattn.tropical.refinement import domain_walls
from tropattn.tropical.stage import RoutingStage
from tropattn.values import Value

__all__ = ["CellWalls", "domain_state", "integer_walls"]


def integer_walls(domain: Domain | None, width: int) -> tuple[Row, ...]:
    """The walls of a domain as primitive integer rows, negative inside; none without a normal."""
    rows = [whole(row)[0] for row in rational_matrix(domain_walls(domain, width)).tolist()]
    return tuple(primitive(row) for row in rows if any(row[:-1]))


def domain_state(domain: Domain | None, dim: int) -> AffineState:
    """The ambient coordinates as functions of the domain's parameters."""
    embedding = None if domain is None else domain.embedding
    return AffineState.of(*(embedding or (np.eye(dim), np.zeros(dim))))


@dataclass(frozen=True, eq=False, repr=False)
class CellWalls(Value):
    """What bounds the cells of some stages on a domain.

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> head = TropicalPolynomial([[0], [1], [2]], [0, -1, -4])
    >>> cell = CellWalls((RoutingStage((head,)),), None).cell([1])      # 1 < x < 3
    >>> [(cell.behind[i], int(cell.A[i, 0]), int(cell.b[i])) for i in cell.facets]
    [((0, 0), -1, -1), ((0, 2), 1, 3)]
    """

    stages: tuple[RoutingStage, ...]
    domain: Domain | None

    @property
    def width(self) -> int:
        """Length of a wall's row: the parameters and 1."""
        return (self.stages[0].dim if self.domain is None else self.domain.dim) + 1

    @cached_property
    def tables(self) -> list[IntegerStage]:
        """The stages in integers, read once."""
        return [IntegerStage(stage) for stage in self.stages]

    def cell(self, pattern: Sequence[int]) -> Polyhedron:
        """The closed cell of a pattern, in the domain's parameters; rows of the domain come last.

        Cost: all keys of all stages in the parameters, one product of integers a stage.
        """
        state = domain_state(self.domain, self.stages[0].dim)
        width = state.numerators.nrows()
        rows: list[Row] = []
        behind: list[tuple[int, int] | None] = []
        at = 0
        for depth, table in enumerate(self.tables):
            check()
            terms = table.rows(table.columns(state))
            tied = []
            for start, stop in zip(table.starts, table.starts[1:], strict=False):
                best = terms[start + int(pattern[at])]
                equal = []
                for j, term in enumerate(terms[start:stop]):
                    if term == best:
                        equal.append(j)
                    else:
                        apart = [a - b for a, b in zip(term, best, strict=True)]
                        rows.append(primitive(apart))
                        behind.append((at, j))
                tied.append(equal)
                at += 1
            if depth + 1 < len(self.tables):
                state = table.advance(state, terms, tied)
        sides = integer_walls(self.domain, width)
        return Polyhedron.of_rows([*rows, *sides], width, (*behind, *[None] * len(sides)))

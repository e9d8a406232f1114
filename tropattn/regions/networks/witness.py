"""Doubles inside the cells of networks, each tested in integers (theory T12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import freeze, rational
from tropattn.polyhedra.domain import Domain
from tropattn.polyhedra.inner import inner_doubles, inner_point, nearest_double
from tropattn.regions.networks.cells import DepthCell
from tropattn.tropical.affine_state import AffineState, whole
from tropattn.tropical.integer_stage import IntegerStage
from tropattn.tropical.witness import embedded

__all__ = ["depth_witnesses"]


def depth_witnesses(
    stages: Sequence[IntegerStage], domain: Domain | None, cells: Sequence[DepthCell]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """One point of each cell in ambient coordinates, and whether it is proved to lie inside.

    On a line or slice a point counts as inside if all units route it as they route the cell, as in
    ``tropical/witness``. Cost: the cell's walls at the point, on a flat also the exact network.
    """
    flat = domain is not None and domain.embedding is not None
    points, inside = [], []
    for cell in cells:
        known = _holds(cell, cell.witness)
        near = list(cell.witness) if known else _moved(cell)
        point, sure = near or list(cell.witness), near is not None
        if flat and near is not None:
            point, sure = _beside(stages, domain, near)
            if not sure and known and (again := _moved(cell)) is not None:
                point, sure = _beside(stages, domain, again)
        elif flat:
            exact = embedded(domain, [rational(v) for v in point])
            point = [nearest_double(v) for v in exact]
        points.append(point)
        inside.append(sure)
    return freeze(np.array(points)), freeze(np.array(inside, dtype=bool))


def _holds(cell: DepthCell, point: Sequence[float]) -> bool:
    """Whether the walls hold at parameters, exactly."""
    if not np.isfinite(point).all():
        return False
    above, below = whole([rational(v) for v in point])
    return all(
        sum(a * v for a, v in zip(wall, above, strict=False)) + wall[-1] * below < 0
        for wall in cell.walls
    )


def _moved(cell: DepthCell) -> list[float] | None:
    """Doubles well inside the walls, or None."""
    width = len(cell.witness) + 1
    rows = flint.fmpq_mat(len(cell.walls), width, [v for wall in cell.walls for v in wall])
    exact = inner_point(rows)
    assert exact is not None
    return inner_doubles(rows, exact)


def _beside(
    stages: Sequence[IntegerStage], domain: Domain | None, parameters: list[float]
) -> tuple[list[float], bool]:
    """The doubles nearest to a point of the flat, and whether all units route them alike."""
    exact = embedded(domain, [rational(v) for v in parameters])
    point = [nearest_double(v) for v in exact]
    return point, _routing(stages, exact) == _routing(stages, [rational(v) for v in point])


def _routing(stages: Sequence[IntegerStage], point: list[flint.fmpq]) -> list[Any]:
    """The winners of all units of all stages at a point, ties included, exactly."""
    above, below = whole(point)
    at = AffineState(flint.fmpz_mat(1, len(point) + 1, [*above, below]), below)
    out: list[Any] = []
    for place, stage in enumerate(stages):
        rows = stage.rows(stage.columns(at))
        tied = []
        for start, stop in zip(stage.starts, stage.starts[1:], strict=False):
            best = max(rows[start:stop])
            tied.append(tuple(j for j in range(stop - start) if rows[start + j] == best))
        out.append(tied)
        if place + 1 < len(stages):
            at = stage.advance(at, rows, tied)
    return out

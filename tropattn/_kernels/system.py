"""What a search of a common refinement reads (``System``, ``Fine``) and what it writes on."""

from __future__ import annotations

import numpy as np

from tropattn._kernels import twice
from tropattn._kernels.cone import Simplex, make_simplex
from tropattn._kernels.structures import structure

FEW = 40
"""Rows in the first program for a key, which is tried where there are many more in all."""


@structure
class System:
    """The data of one refinement: rows of all units in order, and the walls of the domain."""

    terms: np.ndarray  # (n, D) rows (slope, intercept), reduced to D independent columns
    errors: np.ndarray  # (n,) bound on the entrywise error of a row
    sizes: np.ndarray  # (n,) largest absolute entry of a row
    starts: np.ndarray  # (H + 1,) first row of each unit
    walls: np.ndarray  # (g, D) unit rows, z inside where all are negative
    wall_rho: np.ndarray  # (g,)
    integers: np.ndarray  # (n, D) int64 multiples of the true rows, or (0, D)
    wall_integers: np.ndarray  # (g, D) int64, or (0, D)
    unit_of: np.ndarray  # (n,) int64 unit of each row
    everywhere: np.ndarray  # (D,) int64 0, 1, ..., D - 1
    spans: np.ndarray  # (2 ** (H + 1), D) int64 columns that determine the rows of a set of units
    ranks: np.ndarray  # (2 ** (H + 1),) int64 their number, 0 where not known; bit H: the walls


@structure
class Fine:
    """The rows at twice the precision, and scratch; a search without it leaves more keys open."""

    terms: np.ndarray  # (2, n, D)
    errors: np.ndarray  # (n,) bounds on the errors of their entries
    walls: np.ndarray  # (2, g, D)
    wall_errors: np.ndarray  # (g,)
    rows: np.ndarray  # (2, D, R) the rows of the program at hand
    rho: np.ndarray  # (R,)
    simplex: twice.FineSimplex


@structure
class Space:
    """Scratch of one search; index 0 of the per-level arrays is the root."""

    keys: np.ndarray  # (H + 1, n) int32 candidate rows of each unit, packed at the unit's start
    n_keys: np.ndarray  # (H + 1, H) int32
    n_live: np.ndarray  # (H + 1, H) int32, live keys come first in the packing
    points: np.ndarray  # (H + 1, n, 2, D) witnesses of live keys, high and low parts
    home: np.ndarray  # (H + 1, n) int32 child in which the key's witness lies, or -1
    z: np.ndarray  # (H + 1, 2, D) witness of the node
    has_z: np.ndarray  # (H + 1,) bool
    unit: np.ndarray  # (H + 1,) int32 branching unit
    at: np.ndarray  # (H + 1,) int32 next child
    n_rows: np.ndarray  # (H + 1,) int32
    fixed: np.ndarray  # (H,) int32 winner of a fixed unit, or -1
    state: np.ndarray  # (n,) int8 of the node being expanded
    value: np.ndarray  # (n,)
    rows: np.ndarray  # (D, R) unit rows of the node, then of the program at hand
    rho: np.ndarray  # (R,)
    pair: np.ndarray  # (R, 2) int32: (winner, loser), or (-1, wall)
    count: int  # rows of the program at hand
    simplex: Simplex
    support: np.ndarray  # (D + 1,) int64 rows of a proof
    matrix: np.ndarray  # (D + 1, D + 1) the same rows in fewer columns
    inverse: np.ndarray  # (D + 1, D + 1)
    columns: np.ndarray  # (D + 1, D + 1) int64
    hot: np.ndarray  # (R,) int64 rows of the node that were in a basis of a program there
    n_hot: int
    few: np.ndarray  # (D, F) those rows and the rivals known to be alive, for a first program
    few_rho: np.ndarray  # (F,)
    few_at: np.ndarray  # (F,) int64 where they stand in ``rows``


def make_fine(starts, terms, errors, walls, wall_errors):
    """The rows of a system at twice the precision, for one search."""
    rows, dim = most_rows(starts, walls.shape[1]), terms.shape[2]
    return Fine(
        terms=terms,
        errors=errors,
        walls=walls,
        wall_errors=wall_errors,
        rows=np.zeros((2, dim, rows)),
        rho=np.zeros(rows),
        simplex=twice.make_simplex(dim),
    )


def most_rows(starts, walls):
    """The most rows that a program of the search can have."""
    return walls + int(starts[-1] + np.diff(starts).max()) + 1


def make_space(starts, walls, dim):
    """Allocate the scratch of one search: ``starts`` of the units, the number of walls, columns."""
    n, units, room = int(starts[-1]), len(starts) - 1, most_rows(starts, walls)
    return Space(
        keys=np.zeros((units + 1, n), np.int32),
        n_keys=np.zeros((units + 1, units), np.int32),
        n_live=np.zeros((units + 1, units), np.int32),
        points=np.zeros((units + 1, n, 2, dim)),
        home=np.full((units + 1, n), -1, np.int32),
        z=np.zeros((units + 1, 2, dim)),
        has_z=np.zeros(units + 1, np.bool_),
        unit=np.zeros(units + 1, np.int32),
        at=np.zeros(units + 1, np.int32),
        n_rows=np.zeros(units + 1, np.int32),
        fixed=np.full(units, -1, np.int32),
        state=np.zeros(n, np.int8),
        value=np.zeros(n),
        rows=np.zeros((dim, room)),
        rho=np.zeros(room),
        pair=np.zeros((room, 2), np.int32),
        count=0,
        simplex=make_simplex(dim, room),
        support=np.zeros(dim + 1, np.int64),
        matrix=np.zeros((dim + 1, dim + 1)),
        inverse=np.zeros((dim + 1, dim + 1)),
        columns=np.zeros((dim + 1, dim + 1), np.int64),
        hot=np.zeros(room, np.int64),
        n_hot=0,
        few=np.zeros((dim, FEW)),
        few_rho=np.zeros(FEW),
        few_at=np.zeros(FEW, np.int64),
    )

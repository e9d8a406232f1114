"""What a search of a common refinement reads (``System``) and what it writes on (``Space``)."""

from __future__ import annotations

import numpy as np

from tropattn._kernels import twice
from tropattn._kernels.compiling import njit
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
    fine: np.ndarray  # (2, n, D) the rows at twice the precision, or (2, 0, D): not to be used
    fine_errors: np.ndarray  # (n,) bounds on the errors of their entries
    fine_walls: np.ndarray  # (2, g, D)
    fine_wall_errors: np.ndarray  # (g,)


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
    fine_rows: np.ndarray  # (2, D, R) the rows at hand at twice the precision
    fine_rho: np.ndarray  # (R,)
    fine: twice.FineSimplex
    hot: np.ndarray  # (R,) int64 rows of the node that were in a basis of a program there
    n_hot: int
    few: np.ndarray  # (D, F) those rows and the rivals known to be alive, for a first program
    few_rho: np.ndarray  # (F,)
    few_at: np.ndarray  # (F,) int64 where they stand in ``rows``


@njit(nogil=True, cache=True, error_model="numpy")
def make_system(*fields):
    """Bring the fields of a system together, for one search."""
    # References are counted at every use, in memory that searches at one time must not share.
    return System(*fields)


@njit(nogil=True, cache=True, error_model="numpy")
def make_space(system):
    """Allocate the scratch of one search."""
    n, dim = system.terms.shape
    units = len(system.starts) - 1
    widest = 0
    for h in range(units):
        widest = max(widest, system.starts[h + 1] - system.starts[h])
    room = len(system.walls) + n + widest + 1
    fine_room = room if system.fine.shape[1] > 0 else 0
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
        fine_rows=np.zeros((2, dim, fine_room)),
        fine_rho=np.zeros(fine_room),
        fine=twice.make_simplex(dim),
        hot=np.zeros(room, np.int64),
        n_hot=0,
        few=np.zeros((dim, FEW)),
        few_rho=np.zeros(FEW),
        few_at=np.zeros(FEW, np.int64),
    )

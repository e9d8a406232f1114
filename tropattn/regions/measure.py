"""The probability that a query hits each cell: exact, enclosed by proof, or estimated.

- ``uniform`` on a bounded domain of any dimension: volumes, in rationals;
- ``normal`` on lines and planes: the parameters are independent normal variables. On a line an
  interval has ``Phi(b) - Phi(a)``; in a plane a cell has one minus what its edges take off, each by
  two values of Owen's function ``T(h, a)`` (Owen 1956, *Tables for computing bivariate normal
  probabilities*), as the triangle from the mean to an edge at distance h does;
- ``normal`` in more dimensions: an estimate from seeded draws, each with its exact winners, in
  intervals that hold together with a stated probability (Clopper and Pearson 1934, *The use of
  confidence or fiducial limits illustrated in the case of the binomial*);
- ``direction`` for central heads in R^2 and R^3: angles, and solid angles by Girard's theorem. Any
  law that rotations around the centre do not change gives the same.

Functions are evaluated by Arb (Johansson 2017), whose balls contain the true values.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import (
    as_array,
    as_fractions,
    freeze,
    is_real,
    is_whole,
    rational,
    to_float,
)
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Domain
from tropattn.polyhedra.integer_rows import Row
from tropattn.polyhedra.polyhedron import Polyhedron
from tropattn.regions.complex import RegionComplex
from tropattn.regions.count import enumerate_regions
from tropattn.regions.edges import PlaneEdge, plane_edges, solid_cells
from tropattn.regions.result import one_cell
from tropattn.threads import check, stoppable
from tropattn.tropical.max_affine import on_parameters
from tropattn.values import Value, counted

__all__ = ["LAWS", "CellMeasure", "cell_measure", "measure_of"]

_BITS = 80
_CONFIDENCE = 0.99
_MOST_DRAWS = 10**8
_AT_ONCE = 2**14
"""Draws whose scores are held at a time."""
LAWS = ("uniform", "normal", "direction")

Real = flint.arb


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CellMeasure(Value):
    """The probability of each cell under a law on the domain.

    Attributes
    ----------
    patterns : (R, H) the winners of each cell.
    lower, upper : (R,) doubles around each probability: proved, or a confidence interval.
    exact : (R,) rationals where the law is uniform, else None.
    law, domain : in words.
    confidence : None where ``lower`` and ``upper`` are proved; of an estimate the probability, over
        its draws, that all its intervals hold.

    Build it with ``cell_measure``.
    """

    patterns: NDArray[np.int32]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    exact: NDArray[np.object_] | None
    law: str
    domain: str
    confidence: float | None = None

    def __repr__(self) -> str:
        sure = "" if self.confidence is None else f", an estimate at {self.confidence:.0%}"
        return f"CellMeasure({counted(len(self), 'cell')}, {self.law}, {self.domain}{sure})"

    def __len__(self) -> int:
        return len(self.patterns)

    def effective_cells(self) -> tuple[float, float]:
        """An enclosure of exp of the entropy: how many equally likely cells would be as spread out.

        As ``temperature.effective_cells`` of a sample; at most the number of cells. Of an estimate
        it holds where the intervals do.

        >>> from tropattn import Box, TropicalPolynomial
        >>> found = cell_measure(TropicalPolynomial([[0], [1]]), Box([-1], [1]))
        >>> low, high = found.effective_cells()
        >>> low <= 2 <= high, high - low < 1e-12
        (True, True)
        """
        with flint.ctx.workprec(_BITS):
            total = flint.arb(0)
            for low, high in zip(self.lower.tolist(), self.upper.tolist(), strict=True):
                if high > 0:
                    total += _entropy_of(low, high)
            return _below(total.exp()), min(_above(total.exp()), float(len(self)))


def _entropy_of(low: float, high: float) -> Real:
    """An enclosure of ``-p log p`` for p between two doubles."""
    values = [-v * v.log() if v > 0 else flint.arb(0) for v in map(flint.arb, (low, high))]
    if low < 1 / math.e < high:
        values.append((-flint.arb(1)).exp())
    # Monotone on both sides of 1/e.
    out = values[0]
    for value in values[1:]:
        out = out.union(value)
    return out


@stoppable(one_cell)
def cell_measure(
    target: Any,
    domain: Domain | None = None,
    law: str = "uniform",
    *,
    mean: Any = 0,
    std: Any = 1,
    samples: int = 100_000,
    seed: int = 0,
    max_cells: int = 1_000_000,
    threads: int | None = None,
    stop: threading.Event | None = None,
    time_limit: float | None = None,
) -> CellMeasure:
    """The probability that a query hits each cell of a layer or network.

    Parameters
    ----------
    target, domain, max_cells, threads, stop, time_limit : as in ``enumerate_regions``.
    law : "uniform" on a bounded domain; "normal", the parameters being independent, given that
        they are in the domain; "direction" of a query around the centre of central heads in R^2 or
        R^3.
    mean, std : of the normal law, numbers or one a parameter; std above 0.
    samples, seed : of the draws that estimate a normal law of a layer on more than two parameters.

    Raises
    ------
    InvalidInput : a law that does not fit the domain.

    Notes
    -----
    Cost: a volume a cell (uniform), a millisecond an end of an edge (normal, up to a plane), or the
    scores of all draws (beyond).

    Examples
    --------
    >>> from tropattn import Box, TropicalPolynomial
    >>> head = TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
    >>> [str(p) for p in cell_measure(head, Box([-1, -1], [1, 1])).exact]
    ['1/4', '3/8', '3/8']
    >>> found = cell_measure(head, law="normal")
    >>> found.lower.round(9).tolist() == [0.25, 0.375, 0.375]
    True
    """
    cells = enumerate_regions(target, domain, max_cells=max_cells, threads=threads)
    return measure_of(cells, law, mean=mean, std=std, samples=samples, seed=seed)


def measure_of(
    cells: RegionComplex,
    law: str,
    *,
    mean: Any = 0,
    std: Any = 1,
    samples: int = 100_000,
    seed: int = 0,
) -> CellMeasure:
    """The probabilities of cells that are known already; as ``cell_measure``."""
    if not isinstance(law, str) or law not in LAWS:
        raise InvalidInput(f"law: one of {', '.join(LAWS)} needed, got {law!r}.")
    if law != "normal" and not (_is(mean, 0) and _is(std, 1)):
        raise InvalidInput(
            f"mean, std: none needed beside the law {law}, got {mean!r} and {std!r}; they are of "
            "law='normal'."
        )
    if cells.walls is None:
        raise InvalidInput(
            "target: a layer or network with fixed keys needed, got moving ones; sample those."
        )
    dim = cells.walls.width - 1
    centre, scale = (_numbers(name, v, dim) for name, v in (("mean", mean), ("std", std)))
    if any(v <= 0 for v in scale):
        raise InvalidInput(f"std: numbers above 0 needed, got {std!r}.")
    with flint.ctx.workprec(_BITS):
        if law == "uniform":
            return _uniform(cells)
        if law == "direction":
            found = [_angle(cell, dim) for cell in _cones(cells, dim)]
            return _enclosed(cells, found, "uniform direction")
        if dim > 2:
            return _estimated(cells, centre, scale, samples, seed)
        return _normal(cells, dim, centre, scale)


def _numbers(name: str, value: Any, dim: int) -> list[Fraction]:
    """One exact number a parameter."""
    given = [value] * dim if is_real(value) else value
    found = as_fractions(as_array(name, given, 1, shape=f"({dim},)")).tolist()
    if len(found) != dim:
        raise InvalidInput(f"{name}: one number, or {dim}, needed, got {len(found)}.")
    return found


def _below(value: Real) -> float:
    return math.nextafter(float(value.lower()), -math.inf)


def _above(value: Real) -> float:
    return math.nextafter(float(value.upper()), math.inf)


def _is(value: Any, default: int) -> bool:
    """Whether an argument is left at its default."""
    return np.ndim(value) == 0 and bool(value == default)


def _enclosed(cells: RegionComplex, values: Iterable[Real], law: str) -> CellMeasure:
    """Probabilities as doubles around balls, within 0 and 1."""
    pairs = [(max(0.0, _below(v)), min(1.0, _above(v))) for v in values]
    table = np.array(pairs).reshape(-1, 2)
    low, high = freeze(table[:, 0].copy()), freeze(table[:, 1].copy())
    return CellMeasure(cells.patterns, low, high, None, law, cells.domain)


def _uniform(cells: RegionComplex) -> CellMeasure:
    assert cells.walls is not None
    domain = cells.walls.domain
    if domain is None or not Polyhedron.of(domain).bounded:
        where = "the whole space" if domain is None else domain.describe()
        raise InvalidInput(
            f"domain: a bounded one needed for the uniform law, got {where}; give a Box, or a "
            "Slice or Line with an end to each side."
        )
    whole = Polyhedron.of(domain).volume()
    exact = np.empty(len(cells), dtype=object)
    for i, cell in enumerate(solid_cells(cells)):
        check()
        exact[i] = cell.volume() / whole
    found = _enclosed(cells, (flint.arb(rational(v)) for v in exact), "uniform")
    return CellMeasure(
        found.patterns, found.lower, found.upper, freeze(exact), "uniform", cells.domain
    )


# ---- the normal law -----------------------------------------------------------------------------


def _normal(
    cells: RegionComplex, dim: int, mean: list[Fraction], std: list[Fraction]
) -> CellMeasure:
    """On a line or plane, given the domain."""
    assert cells.walls is not None
    shares, domain = (_intervals if dim == 1 else _polygons), cells.walls.domain
    parts = shares(solid_cells(cells), mean, std)
    if domain is not None and len(domain.walls[0]):
        given = shares([Polyhedron.of(domain)], mean, std)
        if not given[0] > 0:
            raise _missed()
        parts = [part / given[0] for part in parts]
    return _enclosed(cells, parts, "normal")


def _missed() -> InvalidInput:
    return InvalidInput(
        "domain: one that the law hits with a probability above 0 needed, got one where it is too "
        "small to be told from 0; move the mean or the window."
    )


def _estimated(
    cells: RegionComplex, mean: list[Fraction], std: list[Fraction], samples: int, seed: int
) -> CellMeasure:
    """Confidence intervals from draws, given the domain, for all cells together (Bonferroni)."""
    from scipy.special import betaincinv

    for name, value, least, most in (
        ("samples", samples, 1, _MOST_DRAWS),
        ("seed", seed, 0, 2**63 - 1),
    ):
        if not is_whole(value) or not least <= value <= most:
            raise InvalidInput(f"{name}: an integer in {least}..{most} needed, got {value!r}.")
    assert cells.walls is not None
    if len(cells.walls.stages) > 1:
        raise InvalidInput(
            f"domain: one or two parameters needed for the normal law of a network, got "
            f"{len(mean)}; give a Line or a Slice, or sample."
        )
    hits, inside = _hits(cells, mean, std, samples, np.random.Generator(np.random.Philox(seed)))
    if not inside:
        raise _missed()
    # Draws on a wall are no cell's; each interval allows for them.
    most, tail = hits + inside - hits.sum(), (1 - _CONFIDENCE) / (2 * len(cells))
    low = np.where(hits > 0, betaincinv(np.maximum(hits, 1), inside - hits + 1, tail), 0.0)
    rest = np.maximum(inside - most, 1)
    high = np.where(most < inside, betaincinv(most + 1, rest, 1 - tail), 1.0)
    return CellMeasure(
        cells.patterns, freeze(low), freeze(high), None, "normal", cells.domain, _CONFIDENCE
    )


def _hits(
    cells: RegionComplex,
    mean: list[Fraction],
    std: list[Fraction],
    samples: int,
    stream: np.random.Generator,
) -> tuple[NDArray[np.int64], int]:
    """How many draws fall into each cell of a layer, by exact winners, and into the domain."""
    assert cells.walls is not None
    domain = cells.walls.domain
    units = on_parameters(cells.walls.stages[0].units, domain)
    centre, scale = (np.array(list(map(float, values))) for values in (mean, std))
    place = {tuple(row): i for i, row in enumerate(cells.patterns.tolist())}
    hits, inside = np.zeros(len(cells) + 1, np.int64), 0
    for first in range(0, samples, _AT_ONCE):
        check()
        x = stream.standard_normal((min(_AT_ONCE, samples - first), len(centre))) * scale + centre
        if domain is not None:
            a, b = (to_float(side)[0] for side in domain.walls)
            x = x[(x @ a.T < b).all(axis=1)]
        inside += len(x)
        winners = np.column_stack([unit.argmax(x) for unit in units])
        for row, count in zip(*np.unique(winners, axis=0, return_counts=True), strict=True):
            hits[place.get(tuple(row.tolist()), -1)] += count
    return hits[:-1], inside


def _intervals(cells: list[Polyhedron], mean: list[Fraction], std: list[Fraction]) -> list[Real]:
    """Of intervals of a line."""

    def tail(row: Row) -> Real:
        at = rational((Fraction(row[0], row[1]) - mean[0]) / std[0])
        return (-flint.arb(at) / flint.arb(2).sqrt()).erfc() / 2

    out = []
    for cell in cells:
        corners = [row for row in cell.spans if row[1]]
        directions = [row[0] for row in cell.spans if not row[1]]
        if len(cell.lineality):
            out.append(flint.arb(1))
        elif len(corners) == 2:
            out.append(tail(corners[1]) - tail(corners[0]))
        else:
            below = tail(corners[0])
            out.append(1 - below if directions[0] > 0 else below)
    return out


def _polygons(cells: list[Polyhedron], mean: list[Fraction], std: list[Fraction]) -> list[Real]:
    """Of cells of a plane: where the mean is, less what lies beyond the edges."""
    out = [_share_around(cell, mean, std) for cell in cells]
    for edge in plane_edges(cells):
        check()
        beyond = _beyond(edge, mean, std)
        if edge.below is not None:
            out[edge.below] -= beyond
        if edge.above is not None:
            out[edge.above] += beyond
    return out


def _standard(
    row: Row, mean: list[Fraction], std: list[Fraction]
) -> tuple[list[Fraction], Fraction]:
    """A line ``<n, x> + c`` as a function of ``(x - mean) / std``."""
    normal = [Fraction(v) * s for v, s in zip(row, std, strict=False)]
    moved = sum((v * m for v, m in zip(row, mean, strict=False)), Fraction(row[2]))
    return normal, moved


def _share_around(cell: Polyhedron, mean: list[Fraction], std: list[Fraction]) -> Real:
    """What share of a small circle around the mean lies in the cell."""
    facets = [_standard(cell.rows[i], mean, std) for i in cell.facets]
    if any(c > 0 for _, c in facets):
        return flint.arb(0)
    normals = [n for n, c in facets if c == 0]
    if len(normals) < 2:
        return flint.arb(1) / (1 + len(normals))
    return (1 - _turn(*normals) / flint.arb.pi()) / 2


def _turn(one: list[Fraction], two: list[Fraction]) -> Real:
    """The angle between two vectors, in 0..pi."""
    dot = flint.arb(rational(sum((a * b for a, b in zip(one, two, strict=True)), Fraction(0))))
    squares = [sum((v * v for v in n), Fraction(0)) for n in (one, two)]
    inner = sum((a * b for a, b in zip(one, two, strict=True)), Fraction(0)) ** 2
    across = flint.arb(rational(squares[0] * squares[1] - inner)).sqrt()
    return flint.arb.atan2(across, dot)


def _beyond(edge: PlaneEdge, mean: list[Fraction], std: list[Fraction]) -> Real:
    """What of the sector that sees an edge from the mean lies beyond it, with the sign of its side.

    With h the distance to the line and ends at ``t_1 < t_2`` from the foot: the difference of
    ``T(h, t / h)``.
    """
    normal, constant = _standard(edge.line, mean, std)
    if not constant:
        return flint.arb(0)
    square = sum((v * v for v in normal), Fraction(0))
    height = flint.arb(rational(abs(constant))) / flint.arb(rational(square)).sqrt()
    values = []
    for end, side in zip(edge.ends, (-1, 1), strict=True):
        if not end[2]:
            values.append(side * _owen_all(height))
            continue
        x, y = ((Fraction(v, end[2]) - m) / s for v, m, s in zip(end[:2], mean, std, strict=True))
        # Along (-n_y, n_x) over |n|, over h = |c| / |n|.
        slope = (normal[0] * y - normal[1] * x) / abs(constant)
        values.append(_owen(height, slope))
    difference = values[1] - values[0]
    return difference if constant < 0 else -difference


def _owen_all(height: Real) -> Real:
    """``T(h, infinity)``."""
    return (height / flint.arb(2).sqrt()).erfc() / 4


def _owen(height: Real, slope: Fraction) -> Real:
    """Owen's ``T(h, a) = 1/(2 pi) int_0^a exp(-h^2 (1 + x^2) / 2) / (1 + x^2) dx``."""
    if slope < 0:
        return -_owen(height, -slope)
    if slope > 1:
        # T(h, a) + T(a h, 1 / a) in closed form.
        root = flint.arb(2).sqrt()
        steep = flint.arb(rational(slope)) * height
        one, two = ((v / root).erfc() / 2 for v in (height, steep))
        return (one + two) / 2 - one * two - _owen(steep, 1 / slope)
    half = flint.acb(-height * height / 2)

    def density(x: flint.acb, _: bool) -> flint.acb:
        return (half * (1 + x * x)).exp() / (1 + x * x)

    end = flint.acb(flint.arb(rational(slope)))
    return flint.acb.integral(density, flint.acb(0), end).real / (2 * flint.arb.pi())


# ---- directions ---------------------------------------------------------------------------------


def _cones(cells: RegionComplex, dim: int) -> list[Polyhedron]:
    """The cells of central heads on the whole space, cones with one apex."""
    found = [cells.cell(i) for i in range(len(cells))]
    apex = {cell.spans[0] for cell in found}
    assert cells.walls is not None
    if cells.walls.domain is not None or dim not in (2, 3) or len(apex) > 1:
        raise InvalidInput(
            "law: central heads in R^2 or R^3, and no domain, needed for directions, got others; "
            "use 'normal' on a plane or 'uniform' in a Box."
        )
    if any(len(cell.corners) > 1 for cell in found):
        raise InvalidInput("law: central heads needed for directions, got cells with two corners.")
    return found


def _angle(cell: Polyhedron, dim: int) -> Real:
    """The share of directions in a cone: by the angles between its facets' normals."""
    check()
    normals = [[Fraction(v) for v in cell.rows[i][:-1]] for i in cell.facets]
    if len(normals) < 2:
        return flint.arb(1) / (1 + len(normals))
    pi = flint.arb.pi()
    if len(normals) == 2:
        return (1 - _turn(*normals) / pi) / 2
    # Girard: the area of a convex spherical polygon is 2 pi less the turns at its corners.
    turns = flint.arb(0)
    for ray in range(len(cell.corners), len(cell.spans)):
        one, two = (i for i in cell.facets if cell.tight[i, ray])
        turns += _turn(*([Fraction(v) for v in cell.rows[i][:-1]] for i in (one, two)))
    return (2 * pi - turns) / (4 * pi)

"""How far a state is from other cells, and the least vector that takes it there (theory T2, T5).

The cell of a key, or of one key each for some heads, is a polyhedron whose walls are differences
of terms. The least vector from a state into its closure is a least-distance program, solved in
rationals with the multipliers that prove it (``polyhedra/nearest``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import flint
import numpy as np

from tropattn._types import Array, Floats
from tropattn.arrays import (
    as_array,
    as_fractions,
    fraction,
    is_exact,
    is_real,
    is_whole,
    rational,
    to_float,
)
from tropattn.errors import Degenerate, Inconclusive, InvalidInput
from tropattn.polyhedra.inner import nearest_double
from tropattn.polyhedra.nearest import LeastVector, Shortest, least_vector
from tropattn.polyhedra.strict import primitive_rows, strictly_negative
from tropattn.tolerance import TINY, UNIT, gamma
from tropattn.tropical.geometry.live_terms import live_terms
from tropattn.tropical.max_affine import MaxAffine
from tropattn.tropical.refinement import Refinement
from tropattn.tropical.stage import stages_of
from tropattn.values import Value

__all__ = [
    "Steering",
    "Wall",
    "WantedCell",
    "empty",
    "nearest_walls",
    "read_keys",
    "read_margin",
    "root",
    "steer",
]

LARGEST_MARGIN = 1e6
"""Beyond it a vector would say nothing of the wall, and in the end be no double."""

_NAMED = 6
"""Terms of a combination that a message names."""

_TRIES = 24
"""Programs in doubles that look for the deepest state."""

_HAIR = 2.0**-20
"""Parts of the way to a witness that are tried where cells are too thin for the deepest state."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Wall(Value):
    """The wall of a head's cell that is nearest to a state.

    Attributes
    ----------
    head, winner : whose cell the state is in.
    rival : the key behind the wall; None where the head has one cell.
    squared : the square of the distance, exact; None without a rival.
    """

    head: int
    winner: int
    rival: int | None
    squared: Fraction | None

    @property
    def distance(self) -> float:
        """The distance, rounded; infinite without a rival."""
        return math.inf if self.squared is None else root(self.squared)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Steering(Value):
    """The least vector that makes heads choose given keys.

    Attributes
    ----------
    keys : {head: key}, as asked for.
    squared : the square of the distance from the state to the cell, exact.
    nearest : (d,) the nearest point of the closed cell, rounded.
    walls : the pairs (head, rival) of the walls that the nearest point lies on and that hold it.
    vector : (d,) doubles, of length at most ``1 + margin`` times the distance.
    state : (d,) the state plus ``vector``, as doubles add them (exactly where the state is exact);
        proved to lie inside the cell.
    lead : the least gap of the heads at ``state``, scaled logits.
    """

    keys: Mapping[int, int]
    squared: Fraction
    nearest: Floats
    walls: tuple[tuple[int, int], ...]
    vector: Floats
    state: Array
    lead: float

    @property
    def distance(self) -> float:
        """The least distance, rounded."""
        return root(self.squared)

    def __repr__(self) -> str:
        keys = ", ".join(f"head {h}: key {j}" for h, j in self.keys.items())
        return f"Steering({keys}; distance {self.distance:.6g})"


def steer(target: Any, state: Any, keys: Any, *, margin: float = 0.01) -> Steering:
    """Return the least ``v`` with which ``state + v`` makes each named head choose the named key.

    Parameters
    ----------
    target : a head, a list of heads, or a layer with its context fixed.
    state : (d,), a value of their variable.
    keys : {head: key}, which key each head named shall choose; a key counts as chosen too where
        an equal one is. Other heads may choose as they like.
    margin : the vector returned may be longer than the least by this part, up to 1e6; of all
        vectors that short it is one with nearly the largest lead. A state on the very wall is taken
        off it by this part of its own length.

    Returns
    -------
    Steering
        With the exact least distance. A vector shorter than it does not reach the cell.

    Raises
    ------
    InvalidInput : shapes, heads or keys that do not fit, or a margin beyond 0 and 1e6.
    Degenerate : no state makes the heads choose so: the key is dead, or the pattern is empty. The
        message names the combination of other keys that proves it.
    Inconclusive : the cell is thinner than the spacing of doubles.

    Notes
    -----
    Source: theory T2, T5; Lawson and Hanson (1974), chapter 23 for the program, Goldfarb and
    Idnani (1983) for its rational finish. Cost: one least-distance program in doubles, a rational
    system as large as the number of walls that hold the nearest point, and the exact scores of one
    state.

    Examples
    --------
    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> f = TropicalPolynomial([[0, 0], [3, 4]], [0, -10])       # the wall 3 x + 4 y = 10
    >>> found = steer(f, [0.0, 0.0], {0: 1})
    >>> found.squared, found.nearest.round(9).tolist(), f.argmax(found.state)
    (Fraction(4, 1), [1.2, 1.6], 1)
    >>> bool(np.linalg.norm(found.vector) <= 1.01 * found.distance), f.argmax(0.95 * found.vector)
    (True, 0)
    """
    units = _units(target)
    point = read_state(units, state)
    wanted = read_keys(units, keys)
    slack = read_margin(margin)
    cell = WantedCell(units, point, wanted)
    least = cell.least()
    reached = least.vector
    if reached is None:
        raise empty(cell, least)
    vector = cell.deepest(least, slack)
    if vector is None:
        vector = _towards_inside(cell, least, slack)
    final = added(point, vector)
    gaps = [float(units[h].gap(_point(final))) for h in wanted]
    return Steering(
        dict(wanted),
        fraction(least.squared),
        np.array([nearest_double(rational(x) + v) for x, v in zip(point, reached, strict=True)]),
        tuple(cell.names[i] for i in least.rows),
        vector,
        final,
        min(gaps),
    )


def nearest_walls(target: Any, state: Any) -> tuple[Wall, ...]:
    """Return, for each head, the wall of its cell that is nearest to a state, exactly.

    Parameters
    ----------
    target : as for ``steer``; state : (d,).

    Returns
    -------
    tuple of Wall
        One a head. On a wall the distance is 0; the winner is then the smallest index.

    Raises
    ------
    InvalidInput : a state of another width.

    Notes
    -----
    The ball round the state that touches the nearest of the hyperplanes where the winner ties
    with a rival lies in the cell, so their distances ``gap / |a_i - a_j|`` are all there is to
    compare. Of rivals with one and the same hyperplane the steepest wins behind it. Source: theory
    T2. Cost: one pass over the keys; rationals for the nearest few.

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> f = TropicalPolynomial([[0, 0], [3, 4], [1, 0]], [0, -10, -3])
    >>> wall, = nearest_walls(f, [0.0, 0.0])
    >>> wall.winner, wall.rival, wall.squared
    (0, 1, Fraction(4, 1))
    """
    units = _units(target)
    point = read_state(units, state)
    return tuple(_nearest_wall(units, h, point) for h in range(len(units)))


def _nearest_wall(units: Sequence[MaxAffine], head: int, point: Array) -> Wall:
    winner = int(units[head].argmax(_point(point)))
    cell = WantedCell(units, point, {head: winner})
    length = np.sqrt((cell.near[:, :-1] ** 2).sum(axis=1))
    gaps = -cell.near[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = np.sqrt((cell.errors[:, :-1] ** 2).sum(axis=1)) + gamma(len(point) + 4) * length
        low = (gaps - cell.errors[:, -1]) / (length + lost) * (1 - 8 * UNIT)
        high = (gaps + cell.errors[:, -1]) / (length - lost) * (1 + 8 * UNIT)
    high = np.where(length > lost, high, np.inf)
    close = np.flatnonzero(low <= high.min(initial=np.inf)).tolist()
    found: list[tuple[flint.fmpq, flint.fmpq, int]] = []
    for i, row in zip(close, cell.exact(close).tolist() if close else [], strict=True):
        size = sum((v * v for v in row[:-1]), flint.fmpq(0))
        if size != 0:
            found.append((row[-1] ** 2 / size, -size, cell.names[i][1]))
    if not found:
        return Wall(head, winner, None, None)
    squared, _, rival = min(found)
    return Wall(head, winner, rival, fraction(squared))


# ---- the cell seen from a state -----------------------------------------------------------------


class WantedCell:
    """The closed cell of a pattern, as rows ``<n_i, v> + b_i <= 0`` of the vector ``v``.

    ``near`` (m, d + 1) in doubles with entrywise ``errors``; ``names`` the (head, rival) of each.
    """

    def __init__(self, units: Sequence[MaxAffine], point: Array, keys: Mapping[int, int]) -> None:
        self.units, self.point, self.keys = units, point, dict(keys)
        self.names: list[tuple[int, int]] = []
        self._known: dict[int, list[flint.fmpq]] = {}
        near, errors = [], []
        state, off = to_float(point)
        for h, key in self.keys.items():
            firsts, classes = units[h].distinct
            rivals = np.delete(firsts, classes[key])
            terms, lost = units[h].float_terms()
            rows = terms[rivals] - terms[key]
            loss = lost[rivals] + lost[key] + UNIT * np.abs(rows)
            size = np.abs(rows[:, :-1]) + loss[:, :-1]
            right = rows[:, :-1] @ state + rows[:, -1]
            loss[:, -1] += gamma(len(state) + 3) * (size @ np.abs(state) + np.abs(rows[:, -1]))
            loss[:, -1] += loss[:, :-1] @ np.abs(state) + size @ off + len(state) * TINY
            near.append(np.column_stack([rows[:, :-1], right]))
            errors.append(1.0000001 * loss)
            self.names += [(h, int(i)) for i in rivals]
        self.near, self.errors = np.vstack(near), np.vstack(errors)

    def exact(self, rows: Sequence[int]) -> flint.fmpq_mat:
        """Some rows in rationals."""
        asked: dict[int, list[int]] = {}
        for i in rows:
            if i not in self._known:
                asked.setdefault(self.names[i][0], []).append(i)
        here = [*map(rational, self.point.tolist()), flint.fmpq(1)] if asked else []
        column = flint.fmpq_mat(len(here), 1, here)
        for h, places in asked.items():
            terms = self.units[h].exact_terms([self.keys[h], *(self.names[i][1] for i in places)])
            scores = (terms * column).entries()
            own, *others = terms.tolist()
            for at, i in enumerate(places):
                slope = [a - b for a, b in zip(others[at][:-1], own[:-1], strict=True)]
                self._known[i] = [*slope, scores[at + 1] - scores[0]]
        flat = [v for i in rows for v in self._known[i]]
        return flint.fmpq_mat(len(rows), self.near.shape[1], flat)

    def least(self) -> LeastVector:
        """The least vector into the closed cell."""
        return least_vector(self.near, self.errors, self.exact)

    def holds(self, vector: Floats) -> bool:
        """Whether the state plus the vector, as added, lies inside the open cell, exactly."""
        final = added(self.point, vector)
        if not is_exact(final) and not np.isfinite(final).all():
            return False
        for h, key in self.keys.items():
            classes = self.units[h].distinct[1]
            won = self.units[h].winners(final[None, :])[0]
            if (classes[won] != classes[key]).any():
                return False
        return True

    def deepest(self, least: LeastVector, margin: float) -> Floats | None:
        """A vector hardly longer than the least whose state leads by much, proved inside.

        Between a lead whose least vector is too long and one whose is short enough the lengths
        are convex in the lead, so a few chords find the largest that fits.
        """
        nothing = np.zeros(len(self.point))
        if least.squared == 0 and self.holds(nothing):
            return nothing
        limit = _allowed(self.point, least, margin)
        program = Shortest(self.near)
        size = root(fraction(limit))
        best: Floats | None = None
        low, short = 0.0, root(fraction(least.squared))
        high, long = math.inf, math.inf
        lead = margin * (max(0.0, float(self.near[:, -1].max(initial=0.0))) or 1e-3 * size or 1e-3)
        for _ in range(_TRIES):
            vector = program.at(lead)[0] if math.isfinite(lead) else None
            length = math.inf if vector is None else math.hypot(*vector)
            if vector is not None and _squared(vector) <= limit and self.holds(vector):
                low, short, best = lead, length, vector
                if length >= short and length > (1 - 0.1 * margin) * size:
                    break
            else:
                high, long = lead, length
            lead = _between(low, short, high, long, size)
        return best


def _between(low: float, short: float, high: float, long: float, size: float) -> float:
    """A lead to try next between one that is short enough and one that is too long."""
    if not math.isfinite(high):
        return 2 * low if low > 0 else 1.0
    if not math.isfinite(long) or not long > short or short >= size or long <= size:
        return (low + high) / 2
    part = (size - short) / (long - short)
    # A chord of a convex function lies above it: what fits on the chord fits.
    return low + min(max(0.999 * part, 0.01), 0.99) * (high - low)


def _allowed(point: Array, least: LeastVector, margin: float) -> flint.fmpq:
    """The square of the longest vector that the margin allows."""
    if least.squared > 0:
        return least.squared * rational(1 + margin) ** 2
    own = sum((rational(v) ** 2 for v in point.tolist()), flint.fmpq(0))
    return rational(margin) ** 2 * (own if own > 0 else 1)


def _squared(vector: Floats) -> flint.fmpq:
    return sum((rational(v) ** 2 for v in vector.tolist()), flint.fmpq(0))


def _towards_inside(cell: WantedCell, least: LeastVector, margin: float) -> Floats:
    """From the nearest point towards a witness of the cell, for cells without a deep state."""
    witness = _inside(cell)
    limit = _allowed(cell.point, least, margin)
    start = np.array([nearest_double(v) for v in least.vector or ()])
    part = 1.0
    while part > _HAIR:
        vector = start + part * (witness - to_float(cell.point)[0] - start)
        if np.isfinite(vector).all() and _squared(vector) <= limit and cell.holds(vector):
            return vector
        part /= 2
    raise Inconclusive(
        f"margin: more than {margin:g} needed, or a wider cell: no doubles that near were found "
        f"inside it, at {root(fraction(least.squared)):g}; give a larger margin."
    )


def _inside(cell: WantedCell) -> Floats:
    """A point of the open cell, rounded; raises where there is none."""
    if len(cell.keys) == 1:
        ((h, key),) = cell.keys.items()
        found = live_terms(cell.units[h])
        firsts, classes = cell.units[h].distinct
        own = int(firsts[classes[key]])
        at = np.flatnonzero(found.live == own)
        if len(at):
            return found.witnesses[int(at[0])]
        rivals, weights = found.combinations[own]
        raise _empty(cell.keys, [((h, int(i)), w) for i, w in zip(rivals, weights, strict=True)])
    heads = list(cell.keys)
    units = [cell.units[h] for h in heads]
    refinement = Refinement.ready(units)
    pairs = []
    for at, h in enumerate(heads):
        firsts, classes = units[at].distinct
        pairs.append((at, int(refinement.starts[at]) + int(classes[cell.keys[h]])))
    rows = refinement.exact_rows(pairs)
    verdict = strictly_negative(rows)
    if verdict.point is not None:
        return np.array([nearest_double(v) for v in refinement.exact_parameters(verdict.point)])
    walls = rows.nrows() - len(cell.names)
    whole = primitive_rows(rows)
    proof = []
    for i, weight in zip(verdict.support, verdict.weights, strict=True):
        k = next((k for k in range(rows.ncols()) if rows[i, k] != 0), None)
        scaled = weight if k is None else weight * whole[i, k] / rows[i, k]
        if i >= walls:
            proof.append((cell.names[i - walls], nearest_double(scaled)))
    raise _empty(cell.keys, proof)


def empty(cell: WantedCell, least: LeastVector) -> Degenerate:
    """The error of a pattern whose rows contradict each other, with the reason."""
    weights = [nearest_double(w) for w in least.weights]
    proof = [(cell.names[i], w) for i, w in zip(least.rows, weights, strict=True)]
    return _empty(cell.keys, proof)


def _empty(keys: Mapping[int, int], proof: Sequence[tuple[tuple[int, int], float]]) -> Degenerate:
    """The error of a dead key or an empty pattern, with the combination that proves it."""
    total = sum(w for _, w in proof) or 1.0
    listed = sorted(proof, key=lambda entry: -entry[1])
    alone = len(keys) == 1
    words = []
    for (h, i), w in listed[:_NAMED]:
        name = f"key {i}" if alone else f"(key {i} over key {keys[h]} in head {h})"
        words.append(f"{w / total:.3g} of {name}")
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    sums = " + ".join(words) + more
    if alone:
        ((h, key),) = keys.items()
        return Degenerate(
            f"keys: a key that some state makes win needed, got key {key} of head {h}, which is "
            f"dead: at every state {sums} scores at least as high; choose a live key."
        )
    pattern = ", ".join(f"{h}: {key}" for h, key in keys.items())
    return Degenerate(
        f"keys: a pattern that some state has needed, got {{{pattern}}}, which none has: at every "
        f"state the lead {sums} is at least 0; name fewer heads or other keys."
    )


# ---- reading ------------------------------------------------------------------------------------


def root(squared: Fraction) -> float:
    """The square root of a rational, rounded, whatever its size.

    >>> root(Fraction(9, 4)), root(Fraction(10) ** 700)
    (1.5, inf)
    """
    if squared == 0:
        return 0.0
    shift = (squared.numerator.bit_length() - squared.denominator.bit_length()) // 2
    scaled = squared / Fraction(4) ** shift
    try:
        return math.ldexp(math.sqrt(scaled), shift)
    except OverflowError:
        return math.inf


def added(point: Array, vector: Floats) -> Array:
    """A state plus a vector, as doubles add them, or exactly where the state is exact."""
    return point + as_fractions(vector) if is_exact(point) else point + vector


def _point(state: Array) -> Any:
    return state.tolist() if is_exact(state) else state


def _units(target: Any) -> tuple[MaxAffine, ...]:
    stages = stages_of(target)
    if len(stages) != 1:
        raise InvalidInput(
            f"target: one layer needed, got a network of {len(stages)}; fix the layer of interest, "
            "e.g. model.fix(context, layer)."
        )
    return tuple(stages[0].units)


def read_state(units: Sequence[MaxAffine], state: Any) -> Array:
    """Read one value of the variable, (d,)."""
    point = as_array("state", state, 1, shape=f"({units[0].dim},)")
    if len(point) != units[0].dim:
        raise InvalidInput(
            f"state: {units[0].dim} coordinates needed, got {len(point)}; it is a value of the "
            "heads' variable."
        )
    return point


def read_keys(units: Sequence[MaxAffine], keys: Any) -> dict[int, int]:
    """Read {head: key}, heads in ascending order."""
    if not isinstance(keys, Mapping) or not keys:
        got = "none" if isinstance(keys, Mapping) else type(keys).__name__
        raise InvalidInput(f"keys: at least one head: key needed, got {got}; e.g. {{0: 3}}.")
    read: dict[int, int] = {}
    for head, key in keys.items():
        for name, value, count in (
            ("a head", head, len(units)),
            ("a key", key, units[head].n_terms if _fits(head, len(units)) else 0),
        ):
            if not _fits(value, count):
                raise InvalidInput(
                    f"keys: {name} in 0..{count - 1} needed, got {value!r}; heads and their terms "
                    "are numbered from 0."
                )
        read[int(head)] = int(key)
    return dict(sorted(read.items()))


def _fits(value: Any, count: int) -> bool:
    return is_whole(value) and 0 <= value < count


def read_margin(margin: Any) -> float:
    """Read how much longer than the least a vector may be."""
    if not is_real(margin) or not 0 < margin <= LARGEST_MARGIN:
        raise InvalidInput(
            f"margin: a positive number up to {LARGEST_MARGIN:g} needed, got {margin!r}; 0.01 goes "
            "1 % beyond the wall."
        )
    return float(margin)

"""Checking a certificate in rationals, by a program that shares no code with the engines.

A certificate claims that heads ``max_j <a_hj, x> + c_hj`` cut a domain into a number of cells. It
is accepted when

- every listed cell has a witness at which its keys strictly beat all others inside the domain, and
  no two cells have the same pattern: the count is not too large;
- every key that a step discards is refuted by a positive relation between rows that hold in that
  step (Gordan 1873), and every branch that is not discarded is followed to a leaf, whose cells are
  listed, by this range or by exactly one other: the count is not too small;
- heads that were counted in groups have slope spans that form a direct sum (theory T8);
- its heads and its domain are those asked for, where any are.

All arithmetic is in integers and rationals. Nothing is taken from the file but claims, and no more
is claimed than the size of the file can answer for: a line, a number and all that has to be kept
are bounded by what has been read (``Limits``), so no file takes memory without end.
"""

from __future__ import annotations

import os
import zlib
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import flint

from tropattn.claims import (
    Limits,
    Malformed,
    Subject,
    a_list,
    common_denominator,
    in_words,
    indices,
    inflated,
    integers,
    lines_of,
    opened,
    packed,
    rational,
    unpacked,
)
from tropattn.errors import EngineError, InvalidInput

__all__ = ["Verified", "verify"]

_DISCARD, _CHILD, _UP, _LEAF = 1, 2, 3, 4

_LISTS = {"log", "cells", "points", "rest", "deferred"}
"""What a range says of itself, on its own line or on lines below it."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked: the count, where, and how much stood behind it.

    ``cells`` witnesses, ``discards`` refuted branches and ``ranges`` of the search; ``walls``
    (g, d + 1) are the domain's, one row ``(a, -b)`` for each ``<a, x> < b``, none for all of R^d.
    """

    count: int
    cells: int
    discards: int
    ranges: int
    walls: flint.fmpq_mat = field(repr=False, compare=False)

    @property
    def domain(self) -> str:
        """The domain in words."""
        return in_words(self.walls.nrows(), self.walls.ncols() - 1)


def verify(
    path: str | Path,
    polynomials: Sequence[flint.fmpq_mat] | None = None,
    walls: tuple[Any, Any] | None = None,
) -> Verified:
    """Check a certificate file; return what it proves (theory T8, Exactness).

    Parameters
    ----------
    path : the file. polynomials : exact terms to compare with, one ``fmpq_mat`` (N, d + 1) per head
        (``head.exact_terms()``); the claim is then about these, on the domain that follows.
    walls : rational rows A (g, d) and right-hand sides b (g,) of the domain ``A x < b``
        (``domain.walls``), or None for the whole space. Compared as sets of rows up to positive
        factors. On a line or plane, polynomials and walls are those of its parameters.

    Raises
    ------
    InvalidInput : not a readable certificate. EngineError : a claim in it is false, or is not about
        these polynomials on this domain.

    Notes
    -----
    Time is that of the claims, a few small exact systems per cell; memory at most 500 MB and 50
    bytes per byte of the file. A damaged file is refused before its claims are looked at.
    """
    try:
        with opened(path) as stream:
            room = Limits(os.fstat(stream.fileno()).st_size)
            for text in inflated(stream):
                room.unpack(len(text))
            stream.seek(0)
            lines = lines_of(stream, room)
            header = next(lines, {})
            if (header.get("format"), header.get("version")) != ("tropattn-certificate", 1):
                raise InvalidInput(
                    f"{path}: a certificate of version 1 needed, got format "
                    f"{str(header.get('format'))[:40]!r}; write one with "
                    "tropattn count --certificate FILE."
                )
            about = Subject(header, room)
            return _check(about, lines, polynomials, walls)
    except InvalidInput:
        raise
    except RecursionError:
        problem = "lists within lists without end"
    except (OSError, EOFError, zlib.error, ValueError) as error:
        problem = str(error)
    raise InvalidInput(
        f"{path}: a complete gzipped certificate needed, got {problem}; write it again."
    )


def _check(
    about: Subject,
    lines: Iterator[dict[str, Any]],
    polynomials: Sequence[flint.fmpq_mat] | None,
    walls: Any,
) -> Verified:
    line = next(lines, {})
    while line and not line.keys() & {"group", "count"}:
        about.read(line)
        line = next(lines, {})
    about.close()
    if polynomials is not None:
        about.compare(polynomials, walls)
    groups: list[_Proved] = []
    counted: set[int] = set()
    while "group" in line:
        group = _Group(about, line)
        if not counted.isdisjoint(group.heads):
            raise EngineError("certificate rejected: a head is counted twice.")
        counted.update(group.heads)
        line = next(lines, {})
        while line and not line.keys() & {"group", "count"}:
            group.read(line)
            line = next(lines, {})
        groups.append(group.close())
    if not line:
        raise Malformed("one that ends before its count")
    claimed = _natural(line["count"], about.room)
    if line.keys() != {"count"} or next(lines, {}).keys() != {"sha256"} or next(lines, None):
        raise Malformed("something else than its digest after its count")
    _check_groups(about, [group.heads for group in groups])
    total = prod(group.cells for group in groups)
    if total != claimed:
        raise EngineError(
            f"certificate rejected: it proves {flint.fmpz(total)} cells and claims "
            f"{flint.fmpz(claimed)}."
        )
    return Verified(
        total,
        sum(group.cells for group in groups),
        sum(group.discards for group in groups),
        sum(group.ranges for group in groups),
        flint.fmpq_mat(about.walls) / about.wall_rows.common,
    )


def _natural(value: Any, room: Limits) -> int:
    if type(value) is not str or not value.isdigit() or "/" in value:
        raise Malformed("a count that is no text of digits")
    return int(rational(value, room).p)


def _check_groups(about: Subject, groups: list[list[int]]) -> None:
    """Each head counted once, or constant; several groups only for a direct sum on all of R^d."""
    named = [h for group in groups for h in group]
    for h in set(range(len(about.heads))) - set(named):
        if any(any(row) for row in _slope_differences(about.heads[h])):
            raise EngineError(f"certificate rejected: head {h} is not counted.")
    bounded = about.walls.nrows() > 0
    if bounded and (len(groups) != 1 or len(named) < len(about.heads)):
        raise EngineError("certificate rejected: groups multiply on the whole space only.")
    if len(groups) > 1:
        apart = sum(_span_rank([about.heads[h] for h in group]) for group in groups)
        if _span_rank([about.heads[h] for h in named]) != apart:
            raise EngineError("certificate rejected: the groups' spans are not independent.")


def _slope_differences(terms: flint.fmpz_mat) -> Iterator[list[flint.fmpz]]:
    first = [terms[0, k] for k in range(terms.ncols() - 1)]
    for i in range(1, terms.nrows()):
        yield [terms[i, k] - v for k, v in enumerate(first)]


def _span_rank(heads: list[flint.fmpz_mat]) -> int:
    """Rank of the slope differences of some heads."""
    rows = [row for terms in heads for row in _slope_differences(terms)]
    if not rows or not rows[0]:
        return 0
    return flint.fmpz_mat(len(rows), len(rows[0]), [v for row in rows for v in row]).rank()


@dataclass(frozen=True, slots=True)
class _Proved:
    """What is left of a group that was checked."""

    heads: list[int]
    cells: int
    discards: int
    ranges: int


class _Group:
    """The claims about one group of heads, checked line by line."""

    def __init__(self, about: Subject, line: dict[str, Any]) -> None:
        if not {"group", "kept"} <= line.keys() <= {"group", "kept", "columns"}:
            raise Malformed("a line of unknown kind")
        self.room = about.room
        self.width = about.width
        self.heads = indices(line["group"], len(about.heads))
        kept = a_list(line["kept"])
        if not self.heads or len(kept) != len(self.heads):
            raise Malformed("a group without heads, or without the distinct terms of each")
        if len(set(self.heads)) < len(self.heads):
            raise EngineError("certificate rejected: a head is counted twice.")
        # Witnesses are 0 in all other columns.
        self.columns = indices(line.get("columns", list(range(self.width))), self.width)
        if self.columns != sorted(set(self.columns)):
            raise Malformed("columns out of order")
        self.rows = [
            _distinct_rows(about.heads[h], indices(keep, about.heads[h].nrows()))
            for h, keep in zip(self.heads, kept, strict=True)
        ]
        self.starts = [0]
        for rows in self.rows:
            self.starts.append(self.starts[-1] + rows.nrows())
        self.walls = about.walls
        self.seen = [_chosen_columns(rows, self.columns) for rows in [self.walls, *self.rows]]
        self.room.keep(1000 * len(self.rows))
        self.room.keep(sum(rows.nrows() * (256 + 8 * len(self.columns)) for rows in self.seen))
        self.candidates = [
            set(range(a, b)) for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)
        ]
        self.several = {u for u, keys in enumerate(self.candidates) if len(keys) != 1}
        """Units with any other number of candidates than one."""
        self.patterns: set[bytes] = set()
        self.wanted: set[bytes] = {b""}
        self.open: set[bytes] = {b""}
        self.walk: _Walk | None = None
        self.discards = self.ranges = 0

    def read(self, line: dict[str, Any]) -> None:
        """Check one line below the group's own."""
        if self.walk is not None and line.keys() <= _LISTS:
            if not any(line.values()):
                raise Malformed("a line that says nothing")
            self.walk.read(line)
            return
        self._end_range()
        if "range" in line and line.keys() <= {"range", *_LISTS}:
            path = integers(line["range"])
            self._finish(packed(path))
            self.walk = _Walk(self, path)
            self.walk.read(line)
        elif line.keys() == {"settled", "support"}:
            path = integers(line["settled"])
            self._finish(packed(path))
            support = [tuple(integers(pair)) for pair in a_list(line["support"])]
            if any(len(pair) != 2 for pair in support):
                raise Malformed("a row that is no pair")
            self.refute(support, set(path[1::2]))
        elif line.keys() == {"single"}:
            if self.several:
                raise EngineError("certificate rejected: a head with several keys passes for one.")
            self.cell(self.starts[:-1], line["single"])
            self._finish(b"")
        else:
            raise Malformed("a line of unknown kind")

    def close(self) -> _Proved:
        """Nothing more comes: no branch may be left open."""
        self._end_range()
        if self.open:
            raise EngineError(
                f"certificate rejected: the branch {unpacked(min(self.open))} is missing."
            )
        return _Proved(self.heads, len(self.patterns), self.discards, self.ranges)

    def _end_range(self) -> None:
        if self.walk is not None:
            self.walk.close()
            self.walk = None

    def _finish(self, path: bytes) -> None:
        if path not in self.open:
            raise EngineError(
                f"certificate rejected: the branch {unpacked(path)} comes unasked or twice."
            )
        self.open.remove(path)
        self.ranges += 1

    def leave(self, path: bytes) -> None:
        """Ask for a branch that a range leaves to others."""
        if path in self.wanted:
            raise EngineError("certificate rejected: a branch is left over by two ranges.")
        self.room.keep(200 + len(path))
        self.wanted.add(path)
        self.open.add(path)

    def refute(self, support: Sequence[Sequence[int]], winners: set[int]) -> None:
        """Accept a discard: its rows hold in the branch and have a positive relation."""
        rows = []
        # One relation alone means at most one row more than there are columns.
        for winner, loser in support if len(support) <= self.width + 1 else ():
            if winner == -1:
                rows.append(self._wall(loser))
                continue
            unit = self._unit_of(winner)
            if winner not in winners or loser == winner or self._unit_of(loser) != unit:
                raise EngineError("certificate rejected: a row that does not hold in its branch.")
            terms, first = self.rows[unit], self.starts[unit]
            a, b = winner - first, loser - first
            rows.append([terms[b, k] - terms[a, k] for k in range(self.width)])
        if not _positive_relation(rows):
            raise EngineError("certificate rejected: a discard without a positive relation.")
        self.discards += 1

    def _wall(self, wall: int) -> list[flint.fmpz]:
        """A wall of the domain; the one after the last says that the last coordinate is > 0."""
        if wall == self.walls.nrows():
            return [flint.fmpz(-(k == self.width - 1)) for k in range(self.width)]
        if not 0 <= wall < self.walls.nrows():
            raise EngineError("certificate rejected: a wall that does not exist.")
        return [self.walls[wall, k] for k in range(self.width)]

    def _unit_of(self, row: int) -> int:
        """Unit that a stacked row belongs to."""
        if not 0 <= row < self.starts[-1]:
            raise EngineError("certificate rejected: a key that does not exist.")
        return bisect_right(self.starts, row) - 1

    def cell(self, pattern: Sequence[int], point: Any) -> bytes:
        """Accept a cell: new, and strictly won at its witness; return its pattern."""
        values = [rational(v, self.room) for v in a_list(point)]
        if len(values) != len(self.columns):
            raise EngineError("certificate rejected: a witness that is not a point.")
        common = common_denominator({v.q for v in values}, len(values), self.room)
        z = flint.fmpz_mat(len(values), 1, [v.p * (common // v.q) for v in values])
        if self.columns[-1:] == [self.width - 1] and z[len(values) - 1, 0] < 0:
            raise EngineError("certificate rejected: a witness that is not a point.")
        # A last coordinate 0 stands for all points far enough in that direction.
        walls, *units = self.seen
        if not all(v < 0 for v in (walls * z).entries()):
            raise EngineError("certificate rejected: a witness outside the domain.")
        if len(pattern) != len(units):
            raise EngineError("certificate rejected: a pattern of the wrong length.")
        for key, terms, first in zip(pattern, units, self.starts, strict=False):
            if not 0 <= key - first < terms.nrows():
                raise EngineError("certificate rejected: a key of another head in a pattern.")
            scores = (terms * z).entries()
            best = scores[key - first]
            if sum(v >= best for v in scores) != 1:
                raise EngineError(f"certificate rejected: a false witness of {list(pattern)}.")
        name = packed(pattern)
        if name in self.patterns:
            raise EngineError(f"certificate rejected: the cell {list(pattern)} is listed twice.")
        self.room.keep(110 + len(name))
        self.patterns.add(name)
        return name


def _distinct_rows(terms: flint.fmpz_mat, keep: list[int]) -> flint.fmpz_mat:
    """The distinct terms of a head; every other term must equal one of them."""
    width = terms.ncols()
    names = [" ".join(str(terms[i, k]) for k in range(width)) for i in range(terms.nrows())]
    chosen = {names[i] for i in keep}
    if len(chosen) != len(keep) or chosen != set(names):
        raise EngineError("certificate rejected: the distinct terms of a head are wrong.")
    if keep == list(range(terms.nrows())):
        return terms
    return flint.fmpz_mat(len(keep), width, [terms[i, k] for i in keep for k in range(width)])


def _chosen_columns(rows: flint.fmpz_mat, columns: list[int]) -> flint.fmpz_mat:
    if len(columns) == rows.ncols():
        return rows
    flat = [rows[i, k] for i in range(rows.nrows()) for k in columns]
    return flint.fmpz_mat(rows.nrows(), len(columns), flat)


def _positive_relation(rows: list[list[flint.fmpz]]) -> bool:
    """Whether the rows have, up to scale, one relation, and it is positive."""
    if not rows:
        return False
    matrix = flint.fmpz_mat(len(rows), len(rows[0]), [v for row in rows for v in row])
    kernel, nullity = matrix.transpose().nullspace()
    if nullity != 1:
        return False
    relation = [kernel[i, 0] for i in range(len(rows))]
    return all(v > 0 for v in relation) or all(v < 0 for v in relation)


@dataclass(slots=True)
class _Node:
    """A node under way: its branching unit, the keys followed, and what to undo when it is left."""

    entered: tuple[int, set[int]] | None
    unit: int | None = None
    followed: set[int] = field(default_factory=set)
    leaf: bool = False
    discarded: list[tuple[int, int]] = field(default_factory=list)


class _Walk:
    """One range's log, replayed from the root of the search as it is read."""

    def __init__(self, group: _Group, path: list[int]) -> None:
        self.group = group
        self.path = path
        self.nodes = [_Node(None)]
        self.here: list[int] = []
        self.fixed: dict[int, int] = {}
        """Winner of each unit that is fixed here."""
        self.winners: set[int] = set()
        self.log: list[int] = []
        self.cells: deque[bytes] = deque()
        self.left: dict[bytes, dict[int, set[int]]] = {}
        """Keys left to other ranges: by node, then by unit."""

    def read(self, line: dict[str, Any]) -> None:
        """Take what the range left, its cells and its log, or parts of them."""
        for path in [*a_list(line.get("rest", [])), *a_list(line.get("deferred", []))]:
            if len(integers(path)) < 2 or len(path) % 2:
                raise Malformed("a branch that is no list of pairs")
            self.group.leave(packed(path))
            *above, unit, key = path
            self.left.setdefault(packed(above), {}).setdefault(unit, set()).add(key)
        cells, points = a_list(line.get("cells", [])), a_list(line.get("points", []))
        if len(cells) != len(points):
            raise Malformed("cells and points of unequal number")
        for pattern, point in zip(cells, points, strict=True):
            self.cells.append(self.group.cell(integers(pattern), point))
        self.log += integers(line.get("log", []))
        self._replay()

    def _replay(self) -> None:
        """Check the steps that are complete; the rows of a discard may go on in the next line."""
        log, at = self.log, 0
        while at + 3 <= len(log):
            event, first, second = log[at : at + 3]
            end = at + 3
            if not self.nodes:
                raise EngineError("certificate rejected: a step after the root was left.")
            if event == _DISCARD:
                if end == len(log):
                    break
                if not 0 <= log[end] <= self.group.width + 1:
                    raise EngineError(
                        "certificate rejected: a discard without a positive relation."
                    )
                end += 1 + 2 * log[end]
                if end > len(log):
                    break
                rows = log[at + 4 : end]
                self._discard(first, second, list(zip(rows[::2], rows[1::2], strict=True)))
            elif event == _CHILD:
                self._child(first, second)
            elif event == _UP:
                self._up()
            elif event == _LEAF:
                self._leaf(first, second)
            else:
                raise EngineError("certificate rejected: an unknown step.")
            at = end
        self.log = log[at:]

    def close(self) -> None:
        """Nothing more comes: every open node must be accounted for."""
        if self.log:
            raise Malformed("a log that ends within a step")
        while self.nodes:
            self._up()
        if self.cells:
            raise EngineError("certificate rejected: a cell without a leaf.")
        if self.left:
            raise EngineError("certificate rejected: a branch is left over twice or for nothing.")

    def _candidates(self, unit: int) -> set[int]:
        if not 0 <= unit < len(self.group.rows):
            raise EngineError("certificate rejected: a head that is not in its group.")
        return self.group.candidates[unit]

    def _changed(self, unit: int) -> None:
        if len(self.group.candidates[unit]) == 1:
            self.group.several.discard(unit)
        else:
            self.group.several.add(unit)

    def _discard(self, unit: int, key: int, support: list[tuple[int, int]]) -> None:
        node = self.nodes[-1]
        if key not in self._candidates(unit) or unit in self.fixed:
            raise EngineError("certificate rejected: a key is discarded that is no candidate.")
        if node.unit is not None or node.leaf:
            raise EngineError("certificate rejected: a discard after its node was left.")
        self.winners.add(key)
        self.group.refute(support, self.winners)
        self.winners.remove(key)
        self.group.candidates[unit].remove(key)
        self._changed(unit)
        node.discarded.append((unit, key))

    def _child(self, unit: int, key: int) -> None:
        node = self.nodes[-1]
        keys = self._candidates(unit)
        if node.leaf or node.unit not in (None, unit) or unit in self.fixed:
            raise EngineError("certificate rejected: a node branches over two units.")
        if key not in keys or key in node.followed:
            raise EngineError("certificate rejected: a child that is no candidate, or comes twice.")
        node.unit = unit
        node.followed.add(key)
        self.nodes.append(_Node((unit, keys)))
        self.group.candidates[unit] = {key}
        self._changed(unit)
        self.here += [unit, key]
        self.fixed[unit] = key
        self.winners.add(key)

    def _leaf(self, unit: int, count: int) -> None:
        node = self.nodes[-1]
        if node.unit is not None or node.leaf or self.group.several - {unit}:
            raise EngineError("certificate rejected: a leaf with more than one unit undecided.")
        if unit != -1:
            self._candidates(unit)
            node.unit = unit
        elif count != 1:
            raise EngineError("certificate rejected: a leaf without a cell.")
        node.leaf = True
        for _ in range(count):
            if not self.cells:
                raise EngineError("certificate rejected: a leaf without its cells.")
            pattern = unpacked(self.cells.popleft())
            if any(key not in c for key, c in zip(pattern, self.group.candidates, strict=True)):
                raise EngineError("certificate rejected: a cell outside its leaf.")
            if unit != -1:
                node.followed.add(pattern[unit])

    def _up(self) -> None:
        """Leave a node: every candidate of its unit was followed, or is left to another range."""
        node = self.nodes.pop()
        if 2 * len(self.nodes) < len(self.path):
            # On the way to this range's own subtree: the siblings are other ranges' work.
            step = self.path[2 * len(self.nodes) :][:2]
            if [node.unit, *node.followed] != step:
                raise EngineError("certificate rejected: a range that leaves its path.")
        elif node.unit is not None:
            keys = self.group.candidates[node.unit]
            if len(node.followed) < len(keys):
                self._take(node.unit, keys - node.followed)
        elif not node.leaf:
            # All its children were left to other ranges.
            units = self.left.get(packed(self.here), {})
            if len(units) != 1 or next(iter(units.values())) != self._candidates(next(iter(units))):
                raise EngineError("certificate rejected: a node without its children.")
            self._take(*next(iter(units.items())))
        self._restore(node)

    def _take(self, unit: int, keys: set[int]) -> None:
        """Account for keys of a unit that are left to other ranges: these, and no other."""
        above = packed(self.here)
        left = self.left.get(above, {}).get(unit, set())
        if keys - left:
            path = [*self.here, unit, min(keys - left)]
            raise EngineError(f"certificate rejected: the branch {path} is missing.")
        if left - keys or len(self.left[above]) > 1:
            raise EngineError("certificate rejected: a branch is left over twice or for nothing.")
        del self.left[above]

    def _restore(self, node: _Node) -> None:
        """Undo what a node discarded and, above the root, the step into it."""
        for unit, key in node.discarded:
            self.group.candidates[unit].add(key)
            self._changed(unit)
        if node.entered is not None:
            unit, keys = node.entered
            self.group.candidates[unit] = keys
            self._changed(unit)
            self.winners.remove(self.fixed.pop(unit))
            del self.here[-2:]

"""Checking a certificate in rationals, by a program that shares no code with the engines.

A certificate claims that heads ``max_j <a_hj, x> + c_hj`` cut a domain into a number of cells. It
is accepted when

- every listed cell has a witness at which its keys strictly beat all others inside the domain, and
  no two cells have the same pattern: the count is not too large;
- every key that a step discards is refuted by a positive relation between rows that hold in that
  step (Gordan 1873), and every branch that is not discarded is followed to a leaf, whose cells are
  listed, by this range or by exactly one other: the count is not too small;
- heads that were counted in groups have slope spans that form a direct sum (theory T8).

All arithmetic is in integers and rationals. Nothing is taken from the file but claims.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flint

from tropattn.errors import EngineError, InvalidInput

__all__ = ["Verified", "verify"]

_DISCARD, _CHILD, _UP, _LEAF = 1, 2, 3, 4

Path_ = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked: the count, and how many witnesses, discards and ranges stood behind it."""

    count: int
    cells: int
    discards: int
    ranges: int


def verify(path: str | Path, polynomials: Sequence[Any] | None = None) -> Verified:
    """Check a certificate file; return what it proves (theory T8, Exactness).

    Parameters
    ----------
    path : the file. polynomials : exact terms to compare with, one ``fmpq_mat`` (N, d + 1) a head;
        the claim is then about these.

    Raises
    ------
    InvalidInput : not a readable certificate. EngineError : a claim in it is false.
    """
    lines = _lines(Path(path))
    header = next(lines)
    if header.get("format") != "tropattn-certificate" or header.get("version") != 1:
        raise InvalidInput(
            f"{path}: a certificate of version 1 needed, got format {header.get('format')!r}; "
            "write one with tropattn count --certificate FILE."
        )
    try:
        return _check(header, lines, polynomials)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise EngineError(
            f"certificate rejected: malformed line ({type(error).__name__}: {error})."
        ) from None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(path, "rt", encoding="ascii") as stream:
            digest = hashlib.sha256()
            for line in stream:
                value = json.loads(line)
                signature = isinstance(value, dict) and value.keys() == {"sha256"}
                # Damage by accident; a forger who signs anew still has to prove the claims.
                if signature and value["sha256"] != digest.hexdigest():
                    raise EngineError("certificate rejected: its digest does not match.")
                digest.update(line.encode())
                if not isinstance(value, dict):
                    raise ValueError("not an object")
                yield value
    except FileNotFoundError:
        raise InvalidInput(f"{path}: an existing file needed, got none; check the path.") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InvalidInput(
            f"{path}: a complete gzipped certificate needed, got {error}; write it again."
        ) from None


def _check(
    header: dict[str, Any], lines: Iterator[dict[str, Any]], polynomials: Sequence[Any] | None
) -> Verified:
    heads = [_matrix(rows) for rows in header["polynomials"]]
    walls = [[_rational(v) for v in row] for row in header["walls"]]
    if polynomials is not None and not _same(heads, polynomials):
        raise EngineError("certificate rejected: its polynomials are not those of the input.")
    groups: list[_Group] = []
    claimed: int | None = None
    signed = False
    for line in lines:
        if claimed is not None:
            signed = "sha256" in line and not signed
            if not signed:
                raise EngineError("certificate rejected: lines after the count.")
        elif "group" in line:
            groups.append(_Group(heads, walls, line["group"], line["kept"]))
        elif "count" in line:
            claimed = int(line["count"])
        else:
            groups[-1].read(line)
    if claimed is None or not signed:
        raise EngineError("certificate rejected: it ends before the count; the file is cut short.")
    total = 1
    for group in groups:
        total *= group.close()
    _check_groups(heads, walls, [group.heads for group in groups])
    if total != claimed:
        raise EngineError(f"certificate rejected: it proves {total} cells and claims {claimed}.")
    return Verified(
        total,
        sum(group.cells for group in groups),
        sum(group.discards for group in groups),
        sum(len(group.done) for group in groups),
    )


def _check_groups(heads: list[Any], walls: list[Any], groups: list[list[int]]) -> None:
    """Each head counted once, or constant; several groups only for a direct sum on all of R^d."""
    named = [h for group in groups for h in group]
    if len(set(named)) != len(named):
        raise EngineError("certificate rejected: a head is counted twice.")
    for h in set(range(len(heads))) - set(named):
        if _span_rank([heads[h]]) != 0:
            raise EngineError(f"certificate rejected: head {h} is not counted.")
    if len(groups) > 1 or (not groups and walls) or len(named) < len(heads):
        if walls:
            raise EngineError("certificate rejected: groups multiply on the whole space only.")
        apart = sum(_span_rank([heads[h] for h in group]) for group in groups)
        if groups and _span_rank([heads[h] for h in named]) != apart:
            raise EngineError("certificate rejected: the groups' spans are not independent.")


def _span_rank(heads: list[Any]) -> int:
    """Rank of the slope differences of some heads."""
    rows = []
    for terms in heads:
        dim = terms.ncols() - 1
        for i in range(1, terms.nrows()):
            rows.append([terms[i, k] - terms[0, k] for k in range(dim)])
    if not rows or not rows[0]:
        return 0
    return flint.fmpq_mat(len(rows), len(rows[0]), [v for row in rows for v in row]).rank()


@dataclass(slots=True)
class _Node:
    """Candidates left in each unit; the unit that branches and the keys followed or left over."""

    candidates: dict[int, set[int]]
    unit: int | None = None
    followed: set[int] = field(default_factory=set)
    leaf: bool = False


class _Group:
    """The claims about one group of heads, checked line by line."""

    def __init__(
        self, heads: list[Any], walls: list[Any], chosen: list[int], kept: list[list[int]]
    ) -> None:
        self.heads = [int(h) for h in chosen]
        self.width = heads[0].ncols()
        self.rows: list[list[Any]] = []
        self.unit_rows: list[range] = []
        for h, keep in zip(self.heads, kept, strict=True):
            self._keep(heads[h], keep)
        # The homogenising row says that the last coordinate of a point is positive.
        beyond = [flint.fmpq(0)] * (self.width - 1) + [flint.fmpq(-1)]
        self.walls = [*walls, beyond]
        self.given_walls = len(walls)
        self.patterns: set[Path_] = set()
        self.cells = self.discards = 0
        self.done: set[Path_] = set()
        self.wanted: set[Path_] = {()}
        self.single = False

    def _keep(self, terms: Any, keep: list[int]) -> None:
        """Take the distinct terms of a head; every other term must equal one of them."""
        rows = [tuple(terms[i, k] for k in range(self.width)) for i in range(terms.nrows())]
        chosen = [rows[i] for i in keep]
        if len(set(chosen)) != len(chosen) or set(rows) != set(chosen):
            raise EngineError("certificate rejected: the distinct terms of a head are wrong.")
        start = len(self.rows)
        self.rows += [list(row) for row in chosen]
        self.unit_rows.append(range(start, start + len(chosen)))

    def read(self, line: dict[str, Any]) -> None:
        """Check one line below the group's own."""
        if "range" in line:
            self._range(line)
        elif "settled" in line:
            self._settled(line)
        elif "single" in line:
            if any(len(rows) > 1 for rows in self.unit_rows):
                raise EngineError("certificate rejected: a head with several keys passes for one.")
            self._witness(tuple(rows[0] for rows in self.unit_rows), line["single"])
            self.single = True
            self._finish(())
        else:
            raise EngineError("certificate rejected: a line of unknown kind.")

    def close(self) -> int:
        """Cells of the group, once nothing is left open."""
        if self.wanted - self.done:
            missing = sorted(self.wanted - self.done)[0]
            raise EngineError(f"certificate rejected: the branch {list(missing)} is missing.")
        return len(self.patterns)

    def _finish(self, path: Path_) -> None:
        if path in self.done or path not in self.wanted:
            raise EngineError(
                f"certificate rejected: the branch {list(path)} comes unasked or twice."
            )
        self.done.add(path)

    # ---- one range ----------------------------------------------------------------------------

    def _range(self, line: dict[str, Any]) -> None:
        path = tuple(int(v) for v in line["range"])
        self._finish(path)
        left = [tuple(int(v) for v in p) for p in [*line["rest"], *line["deferred"]]]
        walk = _Walk(self, path, set(left))
        cells = zip(line["cells"], line["points"], strict=True)
        walk.run([int(v) for v in line["log"]], cells)
        if next(cells, None) is not None:
            raise EngineError("certificate rejected: a cell without a leaf.")
        if len(set(left)) != len(left) or walk.unused:
            raise EngineError("certificate rejected: a branch is left over twice or for nothing.")
        if self.wanted & set(left):
            raise EngineError("certificate rejected: a branch is left over by two ranges.")
        self.wanted |= set(left)

    def _settled(self, line: dict[str, Any]) -> None:
        path = tuple(int(v) for v in line["settled"])
        self._finish(path)
        winners = set(path[1::2])
        self.refute(line["support"], winners)

    def refute(self, support: list[Any], winners: set[int]) -> None:
        """Accept a discard: its rows hold in the branch and have a positive relation."""
        rows = []
        for winner, loser in ((int(a), int(b)) for a, b in support):
            if winner == -1:
                if not 0 <= loser < len(self.walls):
                    raise EngineError("certificate rejected: a wall that does not exist.")
                rows.append(self.walls[loser])
                continue
            unit = self.unit_of(winner)
            if winner not in winners or loser == winner or self.unit_of(loser) != unit:
                raise EngineError("certificate rejected: a row that does not hold in its branch.")
            a, b = self.rows[winner], self.rows[loser]
            rows.append([v - u for u, v in zip(a, b, strict=True)])
        if not _positive_relation(rows):
            raise EngineError("certificate rejected: a discard without a positive relation.")
        self.discards += 1

    def unit_of(self, row: int) -> int:
        """Unit that a stacked row belongs to."""
        for unit, rows in enumerate(self.unit_rows):
            if row in rows:
                return unit
        raise EngineError("certificate rejected: a key that does not exist.")

    def cell(self, pattern: Path_, point: list[Any]) -> None:
        """Accept a cell: new, and strictly won at its witness."""
        if pattern in self.patterns:
            raise EngineError(f"certificate rejected: the cell {list(pattern)} is listed twice.")
        self._witness(pattern, point)

    def _witness(self, pattern: Path_, point: list[Any]) -> None:
        z = _whole([_rational(v) for v in point])
        if len(z) != self.width or z[-1] < 0:
            raise EngineError("certificate rejected: a witness that is not a point.")
        # A last coordinate 0 stands for all points far enough in that direction.
        for wall in self.walls[: self.given_walls]:
            if not _dot(wall, z) < 0:
                raise EngineError("certificate rejected: a witness outside the domain.")
        if len(pattern) != len(self.unit_rows):
            raise EngineError("certificate rejected: a pattern of the wrong length.")
        for key, rows in zip(pattern, self.unit_rows, strict=True):
            if key not in rows:
                raise EngineError("certificate rejected: a key of another head in a pattern.")
            best = _dot(self.rows[key], z)
            if any(row != key and not _dot(self.rows[row], z) < best for row in rows):
                raise EngineError(f"certificate rejected: a false witness of {list(pattern)}.")
        self.patterns.add(pattern)
        self.cells += 1


class _Walk:
    """One range's log, replayed from the root of the search."""

    def __init__(self, group: _Group, path: Path_, left: set[Path_]) -> None:
        self.group = group
        self.path = path
        self.left = left
        self.unused = set(left)
        everything = {u: set(rows) for u, rows in enumerate(group.unit_rows)}
        self.nodes = [_Node(everything)]
        self.here: list[int] = []

    def run(self, log: list[int], cells: Iterator[Any]) -> None:
        """Check all events; at the end every open node must be accounted for."""
        at = 0
        while at < len(log):
            event, first, second = log[at : at + 3]
            at += 3
            if event == _DISCARD:
                count = log[at]
                flat = log[at + 1 : at + 1 + 2 * count]
                at += 1 + 2 * count
                self._discard(first, second, list(zip(flat[::2], flat[1::2], strict=True)))
            elif event == _CHILD:
                self._child(first, second)
            elif event == _UP:
                self._up()
            elif event == _LEAF:
                self._leaf(first, second, cells)
            else:
                raise EngineError("certificate rejected: an unknown step.")
        while self.nodes:
            self._up()

    def _discard(self, unit: int, key: int, support: list[tuple[int, int]]) -> None:
        node = self.nodes[-1]
        if unit in self.here[::2] or key not in node.candidates[unit]:
            raise EngineError("certificate rejected: a key is discarded that is no candidate.")
        if node.unit is not None or node.leaf:
            raise EngineError("certificate rejected: a discard after its node was left.")
        self.group.refute(support, {*self.here[1::2], key})
        node.candidates[unit] = node.candidates[unit] - {key}

    def _child(self, unit: int, key: int) -> None:
        node = self.nodes[-1]
        if node.leaf or node.unit not in (None, unit) or unit in self.here[::2]:
            raise EngineError("certificate rejected: a node branches over two units.")
        if key not in node.candidates[unit] or key in node.followed:
            raise EngineError("certificate rejected: a child that is no candidate, or comes twice.")
        node.unit = unit
        node.followed.add(key)
        self.nodes.append(_Node({**node.candidates, unit: {key}}))
        self.here += [unit, key]

    def _leaf(self, unit: int, count: int, cells: Iterator[Any]) -> None:
        node = self.nodes[-1]
        others = [c for u, c in node.candidates.items() if u != unit]
        if node.unit is not None or node.leaf or any(len(c) != 1 for c in others):
            raise EngineError("certificate rejected: a leaf with more than one unit undecided.")
        node.leaf = True
        for _ in range(count):
            pattern, point = next(cells, (None, None))
            if pattern is None or point is None:
                raise EngineError("certificate rejected: a leaf without its cells.")
            key = tuple(int(v) for v in pattern)
            if any(key[u] not in c for u, c in node.candidates.items()):
                raise EngineError("certificate rejected: a cell outside its leaf.")
            self.group.cell(key, point)
            if unit >= 0:
                node.followed.add(key[unit])
        node.unit = unit if unit >= 0 else None
        if unit < 0 and count != 1:
            raise EngineError("certificate rejected: a leaf without a cell.")

    def _up(self) -> None:
        """Leave a node: every candidate of its unit was followed, or is left to another range."""
        node = self.nodes.pop()
        depth = len(self.nodes)
        above = tuple(self.here)
        self.here = self.here[:-2]
        if 2 * depth < len(self.path):
            # On the way to this range's own subtree: the siblings are other ranges' work.
            if (node.unit, *node.followed) != self.path[2 * depth : 2 * depth + 2]:
                raise EngineError("certificate rejected: a range that leaves its path.")
            return
        if node.leaf and node.unit is None:
            return
        if node.unit is None:
            self._unopened(node, above)
            return
        for key in node.candidates[node.unit] - node.followed:
            self._leave((*above, node.unit, key))

    def _unopened(self, node: _Node, above: Path_) -> None:
        """Account for a node whose children were all left to other ranges."""
        own = {p for p in self.unused if p[: len(above)] == above and len(p) == len(above) + 2}
        units = {p[-2] for p in own}
        if len(units) != 1 or {p[-1] for p in own} != node.candidates[units.copy().pop()]:
            raise EngineError("certificate rejected: a node without its children.")
        self.unused -= own

    def _leave(self, path: Path_) -> None:
        if path not in self.unused:
            raise EngineError(f"certificate rejected: the branch {list(path)} is missing.")
        self.unused.discard(path)


# ---- exact arithmetic -------------------------------------------------------------------------


def _rational(value: Any) -> flint.fmpq:
    if isinstance(value, str):
        numerator, _, denominator = value.partition("/")
        return flint.fmpq(int(numerator), int(denominator or "1"))
    numerator, denominator = float(value).as_integer_ratio()
    return flint.fmpq(numerator, denominator)


def _matrix(rows: list[list[Any]]) -> flint.fmpq_mat:
    flat = [_rational(v) for row in rows for v in row]
    return flint.fmpq_mat(len(rows), len(rows[0]), flat)


def _same(heads: list[Any], others: Sequence[Any]) -> bool:
    return len(heads) == len(others) and all(a == b for a, b in zip(heads, others, strict=True))


def _whole(values: list[flint.fmpq]) -> list[flint.fmpz]:
    common = flint.fmpz(1)
    for v in values:
        common = common.lcm(v.q)
    return [v.p * (common // v.q) for v in values]


def _dot(row: Sequence[Any], z: Sequence[Any]) -> Any:
    total = flint.fmpq(0)
    for a, b in zip(row, z, strict=True):
        if b != 0:
            total += a * b
    return total


def _positive_relation(rows: list[list[Any]]) -> bool:
    """Whether the rows have, up to scale, one relation, and it is positive."""
    if not rows:
        return False
    columns = [v for k in range(len(rows[0])) for row in map(_whole, rows) for v in [row[k]]]
    kernel, nullity = flint.fmpz_mat(len(rows[0]), len(rows), columns).nullspace()
    if nullity != 1:
        return False
    relation = [kernel[i, 0] for i in range(len(rows))]
    return all(v > 0 for v in relation) or all(v < 0 for v in relation)

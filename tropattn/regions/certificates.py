"""Writing a certificate: every step of a search, so that a stranger can check the count.

A certificate is a gzipped file of JSON lines, written while the search runs. The first line holds
the exact polynomials and the walls of the domain; then one line for each group of heads that was
counted by itself, and below it one line for each work range: its path from the root, the log of its
steps (discarded keys with the rows between which a relation was proved, children entered, leaves),
its cells with a witness each, in the group's columns, and the branches that it left to other
ranges. Branches settled in rationals have a line of their own.

What would make a line long follows it in lines of its own: ``{"head": h, "rows": [...]}`` and
``{"walls": [...]}`` below the first line, and ``log``, ``cells`` with ``points``, ``rest`` and
``deferred`` below a range: what a range left comes first, then its cells, then its log. So a
checker reads any certificate in bounded memory. ``tropattn.verify`` does, in rationals, and shares
no code with the search. A job keeps the lines of each range in its ledger, and the file is put
together of them when no range is open.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np

from tropattn._kernels import search
from tropattn._types import Array
from tropattn.arrays import rational
from tropattn.errors import InvalidInput
from tropattn.outputs import writing
from tropattn.polyhedra.strict import Verdict
from tropattn.regions.result import decimal
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.refinement import Refinement

__all__ = ["CertificateFile", "Chunk", "GroupWriter", "path_pairs"]


FORMAT = "tropattn-certificate"
VERSION = 1

_LONG = 2**21
"""Characters beyond which the lists of a line go to lines of their own."""


def path_pairs(path: Array) -> list[tuple[int, int]]:
    """(unit, row) pairs of a path, which is closed by -1."""
    flat = path.tolist()
    end = flat.index(-1) if -1 in flat else len(flat)
    return list(zip(flat[0:end:2], flat[1:end:2], strict=True))


class _Lines(ABC):
    """What takes the lines of a certificate."""

    @abstractmethod
    def add(self, text: str) -> None:
        """Append lines."""

    def write(self, line: dict[str, Any], longest: int | None = None) -> bool:
        """Append one JSON line, unless it is longer than that; return whether it was written."""
        text = _text(line) + "\n"
        if longest is not None and len(text) > longest:
            return False
        self.add(text)
        return True


class Chunk(_Lines):
    """The lines of one range, kept until its certificate is put together.

    >>> chunk = Chunk()
    >>> chunk.add("steps")
    >>> Chunk.read(chunk.taken()), Chunk.read(chunk.taken())
    ('steps', '')
    """

    def __init__(self) -> None:
        self._texts: list[str] = []

    def add(self, text: str) -> None:
        """Append lines."""
        self._texts.append(text)

    def taken(self) -> str:
        """All lines so far, packed; the chunk is empty then."""
        packed = zlib.compress("".join(self._texts).encode())
        self._texts.clear()
        return base64.b64encode(packed).decode()

    @staticmethod
    def read(words: str) -> str:
        """The lines again; ``ValueError`` where these are none."""
        try:
            return zlib.decompress(base64.b64decode(words, validate=True)).decode()
        except zlib.error as error:
            raise ValueError(str(error)) from None


class CertificateFile(_Lines):
    """One certificate under way: no file until it is closed (``outputs.writing``)."""

    def __init__(self, path: str | Path, units: Sequence[TropicalPolynomial], walls: Array) -> None:
        self._open = ExitStack()
        stream = self._open.enter_context(writing(path, "certificate"))
        self._stream = self._open.enter_context(
            gzip.open(stream, "wt", encoding="ascii", compresslevel=5)  # noqa: SIM115 (entered)
        )
        self._digest = hashlib.sha256()
        self.groups = 0
        self._write_input([_terms(unit) for unit in units], walls)

    def _write_input(self, heads: list[list[list[str]]], walls: Array) -> None:
        """The first line: what is counted, and where."""
        rows = [[_number(v) for v in row] for row in walls.tolist()]
        line = {"format": FORMAT, "version": VERSION, "of": "cells"}
        if self.write({**line, "polynomials": heads, "walls": rows}, _LONG):
            return
        self.write({**line, "polynomials": [[] for _ in heads], "walls": []})
        for h, terms in enumerate(heads):
            for part in _parts(terms):
                self.write({"head": h, "rows": part})
        for part in _parts(rows):
            self.write({"walls": part})

    def add(self, text: str) -> None:
        """Append lines."""
        self._digest.update(text.encode())
        self._stream.write(text)

    def close(self, count: int) -> None:
        """Write the claimed count and a digest of all above, and give the file its name.

        A count without a search has nothing to show, and leaves no file.
        """
        if not self.groups:
            return
        self.write({"count": decimal(count)})
        self.write({"sha256": self._digest.hexdigest()})
        self._open.close()

    def __enter__(self) -> CertificateFile:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove a file that was not closed."""
        with suppress(_Abandoned, InvalidInput, OSError), self._open:
            raise _Abandoned


class _Abandoned(Exception):
    """Ends the writing of a certificate without a file."""


class GroupWriter:
    """Takes the steps of the search of one group of heads."""

    def __init__(self, file: _Lines, refinement: Refinement) -> None:
        self.file, self.refinement = file, refinement

    @classmethod
    def begun(
        cls, file: CertificateFile, refinement: Refinement, heads: Sequence[int]
    ) -> GroupWriter:
        """The writer of a group that follows in a file."""
        file.groups += 1
        kept = [k.tolist() for k in refinement.kept]
        file.write({"group": [*heads], "kept": kept, "columns": refinement.columns.tolist()})
        return cls(file, refinement)

    def add_range(self, found: Any, counters: list[int]) -> None:
        """Record one work range: its log, its cells, and what it left to others."""
        cells = counters[search.CELLS]
        log = found.log[: counters[search.LOGGED]].tolist()
        points = self._points(found.points[:cells, 0])
        # In slivers a point is the sum of two doubles.
        for i in np.flatnonzero(found.points[:cells, 1].any(axis=1)).tolist():
            high, low = found.points[i].tolist()
            points[i] = self._exact_point(
                [rational(a) + rational(b) for a, b in zip(high, low, strict=True)]
            )
        # A log that leaves nothing ends with UP, or is that of a single leaf. Only there is the
        # range's own point a witness; all others come from programs, and doubles prove them.
        one_leaf = log[-3:] == [search.LEAF, -1, 1] and not counters[search.REST]
        if one_leaf and not found.item.proved:
            points = [self._exact_point(found.item.exact_point)]
        rest = [_flat(p) for p in found.rest[: counters[search.REST]]]
        deferred = [_flat(p) for p in found.deferred[: counters[search.DEFERRED]]]
        patterns = found.patterns[:cells].tolist()
        line = {"range": _flat(found.item.path)}
        lists = {"log": log, "cells": patterns, "points": points}
        if self.file.write({**line, **lists, "rest": rest, "deferred": deferred}, _LONG):
            return
        self.file.write(line)
        for name, paths in (("rest", rest), ("deferred", deferred)):
            for part in _parts(paths):
                self.file.write({name: part})
        for part in _parts(list(zip(patterns, points, strict=True))):
            self.file.write({"cells": [c for c, _ in part], "points": [p for _, p in part]})
        for part in _parts(log):
            self.file.write({"log": part})

    def add_settled(self, pairs: list[tuple[int, int]], verdict: Verdict) -> None:
        """Record a branch found dead in rationals, by the rows of its relation."""
        labels = [(-1, i) for i in range(len(self.refinement.given_walls))]
        for unit, row in pairs:
            start, stop = self.refinement.starts[unit : unit + 2].tolist()
            labels += [(row, other) for other in range(start, stop) if other != row]
        support = [labels[i] for i in verdict.support]
        self.file.write({"settled": [v for pair in pairs for v in pair], "support": support})

    def add_single(self, z: Array, exact_point: tuple[Any, ...] | None) -> None:
        """Record the one cell of heads that have one key each."""
        if exact_point is None:
            self.file.write({"single": self._points(z[None, :])[0]})
        else:
            self.file.write({"single": self._exact_point(exact_point)})

    def _points(self, z: Array) -> list[list[Any]]:
        """Directions in the group's columns, exact: these scale by powers of two.

        Where that leaves the range of doubles, or loses digits below it, rationals are written.
        """
        with np.errstate(over="ignore", under="ignore"):
            near = z * self.refinement.scaling
            exact = (near / self.refinement.scaling == z).all(axis=1)
        rows = near.tolist()
        for i in np.flatnonzero(~exact).tolist():
            rows[i] = self._exact_point([rational(v) for v in z[i].tolist()])
        return rows

    def _exact_point(self, point: Sequence[Any]) -> list[str]:
        scaling = self.refinement.scaling.tolist()
        return [str(v * rational(scale)) for v, scale in zip(point, scaling, strict=True)]


def _flat(path: Array) -> list[int]:
    return [v for pair in path_pairs(path) for v in pair]


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _parts(values: list[Any]) -> Iterator[list[Any]]:
    """Slices of a list whose texts are not long, entry by entry about the same."""
    count = -(-len(_text(values)) // _LONG)
    step = max(1, -(-len(values) // count))
    return (values[at : at + step] for at in range(0, len(values), step))


def _terms(unit: TropicalPolynomial) -> list[list[str]]:
    return [[str(v) for v in row] for row in unit.exact_terms().tolist()]


def _number(value: Any) -> str:
    numerator, denominator = value.as_integer_ratio()
    return f"{decimal(numerator)}/{decimal(denominator)}"

"""Writing a certificate: every step of a search, so that a stranger can check the count.

A certificate is a gzipped file of JSON lines, written while the search runs. The first line holds
the exact polynomials; then one line for each group of heads that was counted by itself, and below
it one line for each work range: its path from the root, the log of its steps (discarded keys with
the rows of their Farkas basis, children entered, leaves), its cells with a witness each, and the
branches that it left to other ranges. Branches settled in rationals have a line of their own.
``tropattn.verify`` checks such a file in rationals and shares no code with the search.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import refine
from tropattn.arrays import rational
from tropattn.errors import InvalidInput
from tropattn.outputs import writing
from tropattn.polyhedra.strict import Verdict
from tropattn.regions.enumeration import path_pairs
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.refinement import Refinement

__all__ = ["CertificateFile", "GroupWriter"]

Array = NDArray[Any]

FORMAT = "tropattn-certificate"
VERSION = 1


class CertificateFile:
    """One certificate under way: no file until it is closed (``outputs.writing``)."""

    def __init__(self, path: str | Path, units: Sequence[TropicalPolynomial], walls: Array) -> None:
        self._open = ExitStack()
        stream = self._open.enter_context(writing(path, "certificate"))
        self._stream = self._open.enter_context(
            gzip.open(stream, "wt", encoding="ascii", compresslevel=5)  # noqa: SIM115 (entered)
        )
        self._digest = hashlib.sha256()
        self.write(
            {
                "format": FORMAT,
                "version": VERSION,
                "of": "cells",
                "polynomials": [_terms(unit) for unit in units],
                "walls": [[_number(v) for v in row] for row in walls.tolist()],
            }
        )

    def write(self, line: dict[str, Any]) -> None:
        """Append one JSON line."""
        text = json.dumps(line, separators=(",", ":")) + "\n"
        self._digest.update(text.encode())
        self._stream.write(text)

    def close(self, count: int) -> None:
        """Write the claimed count and a digest of all above, and give the file its name."""
        self.write({"count": str(count)})
        self.write({"sha256": self._digest.hexdigest()})
        self._open.close()

    def abandon(self) -> None:
        """Remove a file that was not closed."""
        with suppress(_Abandoned, InvalidInput, OSError), self._open:
            raise _Abandoned


class _Abandoned(Exception):
    """Ends the writing of a certificate without a file."""


class GroupWriter:
    """Takes the steps of the search of one group of heads (``enumeration.Certificate``)."""

    def __init__(self, file: CertificateFile, refinement: Refinement, heads: list[int]) -> None:
        self.file = file
        self.refinement = refinement
        kept = [k.tolist() for k in refinement.kept]
        file.write({"group": heads, "kept": kept})

    def add_range(self, found: Any, counters: list[int]) -> None:
        """Record one work range: its log, its cells, and what it left to others."""
        cells = counters[refine.CELLS]
        points: list[Any] = self._points(found.points[:cells, 0])
        for i in np.flatnonzero(found.points[:cells, 1].any(axis=1)):
            high, low = ([rational(v) for v in part] for part in found.points[i].tolist())
            points[i] = self._exact_point(tuple(a + b for a, b in zip(high, low, strict=True)))
        if not found.item.proved and cells == 1 and found.item.exact_point is not None:
            points = [self._exact_point(found.item.exact_point)]
        self.file.write(
            {
                "range": _flat(found.item.path),
                "log": found.log[: counters[refine.LOGGED]].tolist(),
                "cells": found.patterns[:cells].tolist(),
                "points": points,
                "rest": [_flat(p) for p in found.rest[: counters[refine.REST]]],
                "deferred": [_flat(p) for p in found.deferred[: counters[refine.DEFERRED]]],
            }
        )

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

    def _points(self, z: Array) -> list[list[float]]:
        """Directions in all d + 1 coordinates, exact: the kept columns scale by powers of two."""
        full = np.zeros((len(z), self.refinement.units[0].dim + 1))
        full[:, self.refinement.columns] = z * self.refinement.scaling
        return full.tolist()

    def _exact_point(self, point: tuple[Any, ...]) -> list[str]:
        full = ["0"] * (self.refinement.units[0].dim + 1)
        scaled = zip(self.refinement.columns, self.refinement.scaling, point, strict=True)
        for column, scale, v in scaled:
            numerator, denominator = float(scale).as_integer_ratio()
            full[int(column)] = str(v * numerator / denominator)
        return full


def _flat(path: Array) -> list[int]:
    return [v for pair in path_pairs(path) for v in pair]


def _terms(unit: TropicalPolynomial) -> list[list[str]]:
    terms = unit.exact_terms()
    return [[str(terms[i, k]) for k in range(terms.ncols())] for i in range(terms.nrows())]


def _number(value: Any) -> str:
    numerator, denominator = value.as_integer_ratio()
    return f"{numerator}/{denominator}"

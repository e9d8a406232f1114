"""The cells of a layer or network as polyhedra: what bounds them, how large and likely they are."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tropattn.errors import InvalidInput
from tropattn.polyhedra.polyhedron import Polyhedron
from tropattn.progress import Listening, doing
from tropattn.record import Record
from tropattn.regions.complex import RegionComplex
from tropattn.regions.count import enumerate_regions
from tropattn.regions.faces import faces_of
from tropattn.regions.measure import CellMeasure, measure_of
from tropattn.study.counting import resolved
from tropattn.study.inputs import Heads, Source, scatter
from tropattn.tables import winners_by_head

__all__ = ["CellsSpec", "run"]

_FEW = 4
"""Parameters up to which every cell gets its corners; beyond, those that are asked for."""

_MOST_FACES = 1_000_000

_SEED = 0
"""Of the draws behind an estimate."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellsSpec:
    """Settings of ``run``.

    Attributes
    ----------
    source, domain : as for ``open_target``.
    cells : numbers of the cells to look at; all where empty.
    faces : whether the faces of each cell, and those of all cells together, are counted.
    law : of ``cell_measure``, or None.
    max_cells, threads, progress : as for ``enumerate_regions``.
    """

    source: Source
    domain: str | None = None
    cells: tuple[int, ...] = ()
    faces: bool = False
    law: str | None = None
    max_cells: int | None = None
    threads: int | None = None
    progress: Listening = False


def run(spec: CellsSpec) -> Record:
    """Tabulate the cells of what a file holds (theory T5, T12).

    Returns
    -------
    Record
        Table ``cells``, a row a cell: its number, the winner of each unit, and, on up to four
        parameters or where the cell is asked for, how many ``corners``, ``rays``, ``lines`` and
        ``facets`` it has, whether it is ``bounded``, its ``volume`` and ``exact_volume``, its
        ``f_vector`` with ``faces``; with a law its ``probability_low`` and ``probability_high``.
        Tables ``corners`` (kind "corner", "ray" or "line"; doubles, of directions the largest
        being 1, and the ``exact`` numbers) and ``facets``
        (the ``unit`` and ``key`` behind, None beyond a wall of the domain, and the integer ``row``
        with ``<row, (x, 1)> <= 0``). With ``faces`` the table ``faces``, a row a dimension: those
        of the open domain, the bounded ones, and those with the domain's walls. With a law the
        table ``measure``, one row.

    Raises
    ------
    InvalidInput : a cell that is not there, a law or faces that do not fit the domain.
    BudgetExceeded : more cells than ``max_cells``.

    Notes
    -----
    Cost: a double description a cell, milliseconds in the plane and a second in R^8.
    """
    opened, where, settings = resolved(spec.source, spec.domain)
    asked: Row = {"threads": spec.threads, "progress": spec.progress}
    if spec.max_cells is not None:
        asked["max_cells"] = spec.max_cells
    found = enumerate_regions(opened.target, where, **asked)
    if found.walls is None:
        raise InvalidInput(
            "input: one moving token needed for cells as polyhedra, got a line for all of them; "
            "use count."
        )
    dim = found.walls.width - 1
    missing = [i for i in spec.cells if i >= len(found)]
    if missing:
        raise InvalidInput(f"cell: a number in 0..{len(found) - 1} needed, got {missing[0]}.")
    chosen = sorted(set(spec.cells)) or range(len(found))
    tables: dict[str, list[Row]] = {"cells": [_winners(found, i) for i in chosen]}
    tables |= {"corners": [], "facets": []}
    if spec.cells or dim <= _FEW:
        with doing("corners of cells", len(chosen)) as done:
            for at, (i, row) in enumerate(zip(chosen, tables["cells"], strict=True)):
                done(at)
                cell = found.cell(i)
                row |= _sizes(cell, spec.faces)
                tables["corners"] += _corners(i, cell)
                tables["facets"] += _facets(i, cell)
    if spec.faces:
        with doing("faces of all cells"):
            tables["faces"] = _faces(found)
    seed = None
    if spec.law is not None:
        with doing("probabilities of cells"):
            measured, facts = _measured(found, opened, spec)
        tables["measure"] = [facts]
        seed = None if measured.confidence is None else _SEED
        for i, row in zip(chosen, tables["cells"], strict=True):
            row["probability_low"] = float(measured.lower[i])
            row["probability_high"] = float(measured.upper[i])
    settings |= {"cells": list(spec.cells), "faces": spec.faces, "law": spec.law}
    settings |= {"found": len(found), "domain": found.domain}
    return Record("cells", settings, tables=tables, seed=seed)


def _winners(found: RegionComplex, i: int) -> Row:
    return {"cell": i, **winners_by_head(found.patterns[i].tolist())}


def _sizes(cell: Polyhedron, faces: bool) -> Row:
    volume = cell.volume() if cell.bounded else None
    row: Row = {
        "corners": 0 if len(cell.lineality) else len(cell.corners),
        "rays": len(cell.rays),
        "lines": len(cell.lineality),
        "facets": len(cell.facets),
        "bounded": cell.bounded,
        "volume": None if volume is None else float(volume),
        "exact_volume": volume,
    }
    return row | ({"f_vector": list(cell.f_vector())} if faces else {})


def _corners(i: int, cell: Polyhedron) -> list[Row]:
    kinds = ("corner", cell.corners), ("ray", cell.rays), ("line", cell.lineality)
    table: list[Row] = []
    for kind, rows in kinds:
        for row in rows.tolist():
            # Directions in integers may be beyond the doubles.
            size = 1 if kind == "corner" else max(map(abs, row))
            numbers = {f"x_{k}": float(Fraction(v) / size) for k, v in enumerate(row)}
            table.append({"cell": i, "kind": kind, **numbers, "exact": row})
    return table


def _facets(i: int, cell: Polyhedron) -> list[Row]:
    rows = []
    for facet in cell.facets:
        unit, key = cell.behind[facet] or (None, None)
        rows.append({"cell": i, "unit": unit, "key": key, "row": list(cell.rows[facet])})
    return rows


def _faces(found: RegionComplex) -> list[Row]:
    every = faces_of(found, _MOST_FACES)
    numbers = every.f_vector(), every.bounded_f_vector(), every.f_vector(closed=True)
    names = ("dimension", "faces", "bounded", "with_walls")
    return [
        dict(zip(names, row, strict=True))
        for row in zip(range(every.dim + 1), *numbers, strict=True)
    ]


def _measured(found: RegionComplex, opened: Heads, spec: CellsSpec) -> tuple[CellMeasure, Row]:
    """Probabilities; a normal law of a model's state is that of the context's own states."""
    assert spec.law is not None
    given: Row = {}
    if spec.law == "normal":
        given = {"mean": 0.0, "std": 1.0}
        if spec.domain is None and opened.states is not None:
            centre, width = scatter(opened.states)
            given = {"mean": centre, "std": width or 1.0}
    measured = measure_of(found, spec.law, **given, seed=_SEED)
    low, high = measured.effective_cells()
    facts = {"law": measured.law, **given, "confidence": measured.confidence}
    return measured, facts | {"effective_low": low, "effective_high": high}

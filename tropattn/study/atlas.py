"""The record behind an atlas page: every head of a model looked at on planes through three tokens.

weights -> heads, layer by layer -> exact live keys and counts -> exact polygons on each plane, the
subdivision dual to them, and soft weights -> one record, which ``plotting.atlas`` draws.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tropattn._types import Array
from tropattn.arrays import as_fractions
from tropattn.attention.evaluated.forward import attention_weights
from tropattn.attention.heads.fixed import softmax
from tropattn.attention.networks.model import Model
from tropattn.attention.networks.network import Network
from tropattn.attention.networks.transformer import fixed_in_context
from tropattn.errors import BudgetExceeded, Degenerate, InvalidInput
from tropattn.files import parse_json, read_bytes
from tropattn.polyhedra.domain import Box, Domain, Slice
from tropattn.polyhedra.polygon import Polygon, bounding_window
from tropattn.record import SCHEMA, Record
from tropattn.regions.count import count_regions
from tropattn.regions.polygons.cells import PlaneCells, plane_cells
from tropattn.study.atlas_depth import behind_layers
from tropattn.study.inputs import Heads, Source, open_heads, open_target, token_name
from tropattn.study.inspection import InspectionSpec, inspect
from tropattn.study.layer import Step
from tropattn.tropical.geometry.live_terms import live_terms
from tropattn.tropical.geometry.subdivision import subdivision
from tropattn.tropical.max_affine import on_parameters
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["METRICS", "AtlasSpec", "kept_record", "run"]

Row = dict[str, Any]

METRICS: tuple[tuple[str, str, str], ...] = (
    ("live_share", "live keys, share of keys", "exact"),
    ("live", "live keys = cells of the head on the whole space", "exact"),
    ("plane_cells", "cells of the head in the window of the first plane", "exact"),
    ("hardness", "hardness: 1 - entropy / log of keys in sight", "estimate"),
    ("sink_wins", "sink: share of queries that choose the key that wins most", "estimate"),
    ("gap_least", "least gap of the text's own queries (scaled logits)", "estimate"),
    ("weight", "mean weight of the winner", "estimate"),
)
"""Numbers of a head: column, words, kind. Estimates are doubles, of the text's own queries."""

TEMPERATURES = (4.0, 2.0, 1.0, 0.5, 0.25, 0.1, 0.0)

_PLANES, _TOKENS, _HEADS = 8, 512, 1024
_MAX_CELLS = 3000
"""Cells of a layer on one plane that are drawn."""
_UNIT = 10_000
"""Corners are written as integers: parts of the window."""
_SOFT_BYTES = 900_000
_MARGIN = 0.2
"""That of ``Slice.through``, so that ``plane:FILE`` of ``tropattn plane`` is the same window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtlasSpec:
    """Settings of ``run``.

    Attributes
    ----------
    source : a model and its context, or slopes and intercepts of heads on R^2. With layer ``all``
        the network through which one token moves is looked at as well, layer behind layer.
    through : up to eight triples of places in the context; the moving token, the first and the
        middle one where empty.
    threads : worker threads.
    """

    source: Source
    through: tuple[tuple[int, ...], ...] = ()
    threads: int | None = None


def run(spec: AtlasSpec, step: Step = nullcontext) -> Record:
    """Look at every head of a model on planes through the states of three tokens (T1-T5, T12).

    Parameters
    ----------
    spec : the question. step : opens each step by name, for progress.

    Returns
    -------
    Record
        ``spec`` names the tokens, the planes and the metrics. Tables: ``heads`` (as of
        ``inspection``, and ``METRICS``), ``layers``, ``pictures`` (a head on a plane: its cells as
        polygons in ten-thousandths of the window with key, share of the window, gap and
        neighbours, the dual subdivision, soft weights), ``refinements`` (a layer on a plane),
        ``attention`` (the text's own weights, in 255ths) and ``depth`` (a plane through the states
        that enter layer 0 behind each layer of the network; none without layer ``all``).

    Raises
    ------
    InvalidInput : an input, context or places that do not fit. Degenerate : three states on a line.

    Notes
    -----
    Counts, polygons, areas (to 1e-9 of the window) and neighbours are proved; corners are rounded
    once. Gaps and weights are doubles. Cost: that of ``inspection``, and for each layer and plane
    that of ``plane_cells``.
    """
    with step("reading weights"):
        network = open_target(spec.source, None)[0] if spec.source.layer == "all" else None
        source = replace(spec.source, layer=None, approximate=False) if network else spec.source
        spec = replace(spec, source=source)
        opened = open_heads(spec.source)
    if opened.model is None:
        return _of_heads(spec, opened.heads)
    model = opened.model
    ids = _ids(model, spec.source)
    names = [token_name(model, int(token), place) for place, token in enumerate(ids)]
    place = opened.places[-1]
    seen = sorted(opened.places)
    _check_size(names, sum(len(layer.heads) for layer in model.layers))
    planes = _planes(spec.through, seen, place)
    depth = _depth(network, planes, step) if network else []
    found = inspect(model, ids, InspectionSpec(source=spec.source, threads=spec.threads), step)
    heads = [dict(row) for row in found.tables["heads"]]
    layers = [dict(row) for row in found.tables["layers"]]
    pictures: list[Row] = []
    refinements: list[Row] = []
    attention: list[Row] = []
    grid = _grid(len(heads) * len(planes))
    for layer in sorted({row["layer"] for row in heads}):
        with step(f"layer {layer}: cells on planes, {len(planes)} of them"):
            fixed, entering = fixed_in_context(
                model, ids, layer, place, spec.source.own_key, mask=spec.source.mask
            )
            rows = np.asarray(entering, dtype=np.float64)
            for number, tokens in enumerate(planes):
                plane = Slice.through(rows[list(tokens)], margin=_MARGIN)
                of = {"layer": layer, "plane": number}
                refinements.append(of | _refinement(fixed, plane, spec.threads))
                for h, unit in enumerate(fixed.heads):
                    terms = fixed.tokens[h].tolist()
                    points = _parameters(plane, rows[list(tokens)])
                    pictures.append(of | {"head": h} | _picture(unit, plane, terms, points, grid))
            for h, head in enumerate(model.layers[layer].heads):
                how = {"causal": model.causal, "window": model.layers[layer].window}
                weights = attention_weights(head, rows, temperature=1, **how)
                shown = _bytes(weights[:, : len(names)])
                attention.append({"layer": layer, "head": h, "weights": shown})
    for row in layers:
        row["command"] = _again("count", spec.source, row["layer"])
    for row in heads:
        row["command"] = _again("inspect", spec.source, row["layer"]) + f" --head {row['head']}"
    return _record(
        spec, names, place, planes, str(found.spec["variable"]),
        {"heads": _measured(heads, pictures), "layers": layers, "pictures": pictures,
         "refinements": refinements, "attention": attention, "depth": depth},
        grid, "all" if network else None,
    )  # fmt: skip


def kept_record(path: str) -> dict[str, Any] | None:
    """The document in a file that holds a record; None where the file holds something else."""
    place = Path(path)
    if place.suffix != ".json" or not place.is_file():
        return None
    document = parse_json(path, read_bytes(place))
    return document if document.get("schema") == SCHEMA else None


def _of_heads(spec: AtlasSpec, heads: Sequence[TropicalPolynomial]) -> Record:
    """Bare heads on R^2, in a window round their corners."""
    if heads[0].dim != 2 or spec.through:
        raise InvalidInput(
            f"input: a model with a context, or heads on R^2 without --through, needed, got heads "
            f"on R^{heads[0].dim}; take slopes with two coordinates."
        )
    window = _round_corners(heads)
    names = [str(j) for j in range(max(head.n_terms for head in heads))]
    _check_size(names, len(heads))
    grid = _grid(len(heads))
    rows, pictures = [], []
    for h, unit in enumerate(heads):
        found = live_terms(unit, threads=spec.threads)
        rows.append({
            "layer": 0, "head": h, "variable": "x", "keys": unit.n_terms, "live": len(found.live),
            "dead": [names[j] for j in found.dead.tolist()],
            "command": _again("plot", spec.source, None) + f" --head {h} --output head.png",
        })  # fmt: skip
        of = {"layer": 0, "plane": 0, "head": h}
        points = np.empty((0, 2))
        pictures.append(of | _picture(unit, window, list(range(unit.n_terms)), points, grid))
    cells = count_regions(list(heads), threads=spec.threads)
    layer = {"layer": 0, "variable": "x", "cells": cells}
    layer["command"] = _again("count", spec.source, None)
    both = {"layer": 0, "plane": 0} | _refinement(list(heads), window, spec.threads)
    return _record(
        spec, names, None, [()], "x",
        {"heads": _measured(rows, pictures), "layers": [layer], "pictures": pictures,
         "refinements": [both], "attention": [], "depth": []},
        grid,
    )  # fmt: skip


def _record(
    spec: AtlasSpec,
    names: list[str],
    place: int | None,
    planes: Sequence[tuple[int, ...]],
    variable: str,
    tables: dict[str, list[Row]],
    grid: int,
    layer: str | None = None,
) -> Record:
    source = spec.source
    settings = {
        "source": {"path": Path(source.path).name, "text": source.text, "ids": source.ids},
        "variable": variable,
        "tokens": names,
        "place": place,
        "planes": [list(tokens) for tokens in planes],
        "metrics": [dict(zip(("name", "words", "kind"), m, strict=True)) for m in METRICS],
        "temperatures": TEMPERATURES,
        "grid": grid,
        "unit": _UNIT,
        "command": _again("atlas", source, layer)
        + "".join(f" --through {','.join(map(str, tokens))}" for tokens in spec.through)
        + " -o page.html",
    }
    return Record("atlas", settings, {}, tables)


def _measured(heads: list[Row], pictures: list[Row]) -> list[Row]:
    """The rows of heads with the columns of ``METRICS``, None where a head has no such number."""
    first = {(p["layer"], p["head"]): len(p["cells"]) for p in pictures if p["plane"] == 0}
    for row in heads:
        row["live_share"] = row["live"] / row["keys"]
        row["plane_cells"] = first[row["layer"], row["head"]]
        for name, _, _ in METRICS:
            row.setdefault(name, None)
    return heads


# ---- planes -----------------------------------------------------------------------------------


def _planes(
    asked: Sequence[tuple[int, ...]], seen: Sequence[int], place: int
) -> list[tuple[int, ...]]:
    """The triples of places, checked; one that is always there where none is asked for."""
    if len(asked) > _PLANES:
        raise InvalidInput(
            f"through: at most {_PLANES} planes needed, got {len(asked)}; write a second page."
        )
    for tokens in asked:
        if len(set(tokens)) != 3 or len(tokens) != 3 or not set(tokens) <= set(seen):
            raise InvalidInput(
                f"through: three different places among {seen[0]}..{seen[-1]} needed, which the "
                f"moving token sees, got {','.join(map(str, tokens))}; they count from 0."
            )
    others = [i for i in seen if i != place]
    if not asked and len(others) < 2:
        raise InvalidInput(
            f"input: a context of three tokens or more needed, got {len(seen)}; a plane goes "
            "through the states of three."
        )
    return list(asked) or [(place, others[0], others[len(others) // 2])]


def _round_corners(heads: Sequence[TropicalPolynomial]) -> Box:
    """A window round most corners of the heads' diagrams."""
    corners = [np.zeros((1, 2))]
    for unit in heads:
        try:
            split = subdivision(unit)
        except Degenerate:
            continue
        if split.dim == 2 and len(split.cells):
            corners.append(split.points.astype(np.float64))
    points = np.vstack(corners[1:] or corners)
    if len(points) > 8:
        points = np.quantile(points, [0.05, 0.95], axis=0)
    return Box(*bounding_window(points, 0.3))


def _parameters(plane: Slice, states: Array) -> Array:
    assert plane.embedding is not None
    basis, origin = plane.embedding
    return (states - origin) @ np.asarray(basis, dtype=np.float64).T


# ---- a network --------------------------------------------------------------------------------


def _depth(opened: Heads, planes: Sequence[tuple[int, ...]], step: Step) -> list[Row]:
    """Planes through the states that enter the network, behind each of its layers."""
    assert isinstance(opened.target, Network)
    rows = []
    for number, tokens in enumerate(planes):
        states = opened.states[[opened.places.index(token) for token in tokens]]
        plane = Slice.through(states, margin=_MARGIN)
        low, high = _frame(plane)
        with step(f"plane {number}: cells behind {len(opened.target.layers)} layers"):
            for part in behind_layers(opened.target, plane, _MAX_CELLS):
                cells = []
                for r, polygon in enumerate(part.polygons):
                    shape = Polygon((polygon.vertices - low) / (high - low), polygon.labels)
                    cell = {"corners": _whole(shape.vertices), "share": float(f"{shape.area:.6g}")}
                    cells.append(cell | {"winners": list(part.winners[r]) if part.winners else []})
                rows.append({
                    "plane": number, "layer": part.layer, "kind": part.kind, "value": part.value,
                    "variable": opened.variable, "cells": cells,
                })  # fmt: skip
    return rows


# ---- what is drawn ----------------------------------------------------------------------------


def _frame(domain: Domain) -> tuple[Array, Array]:
    window = domain.window if isinstance(domain, Slice) else domain
    assert isinstance(window, Box)
    return np.asarray(window.low, dtype=np.float64), np.asarray(window.high, dtype=np.float64)


def _whole(shares: Array) -> list[int]:
    """Points by their shares of the window's sides, in integers, x and y in turn."""
    return np.rint(shares * _UNIT).astype(int).ravel().tolist()


def _polygons(cells: PlaneCells, domain: Domain) -> list[Polygon]:
    """The cells in shares of the window's sides: whatever its size, areas are doubles."""
    low, high = (as_fractions(side) for side in _frame(domain))
    factor, offset = cells.scale / (high - low), (cells.centre - low) / (high - low)
    corners = offset.astype(np.float64) + factor.astype(np.float64) * cells.local
    parts = np.split(corners, cells.offsets[1:-1])
    return [Polygon(part, np.full(len(part), -1)) for part in parts]


def _cells(cells: PlaneCells, polygons: Sequence[Polygon]) -> list[Row]:
    """Corners, share of the window and the cells beyond, of each cell."""
    out = []
    for r, polygon in enumerate(polygons):
        beyond = cells.neighbours[cells.offsets[r] : cells.offsets[r + 1]]
        out.append({
            "corners": _whole(polygon.vertices),
            "share": float(f"{max(0.0, polygon.area):.6g}"),
            "beyond": sorted({int(i) for i in beyond if i >= 0}),
        })  # fmt: skip
    return out


def _picture(
    unit: TropicalPolynomial, domain: Domain, terms: list[int], points: Array, grid: int
) -> Row:
    """A head in a window: cells by key, marked points, the dual subdivision, soft weights."""
    cells = plane_cells([unit], domain)
    (local,) = on_parameters([unit], domain)
    low, high = _frame(domain)
    keys = [terms[j] for j in cells.patterns[:, 0].tolist()]
    polygons = _polygons(cells, domain)
    rows = _cells(cells, polygons)
    for r, row in enumerate(rows):
        middle = polygons[r].centroid
        row["key"] = keys[r]
        row["gap"] = float(f"{float(np.asarray(local.gap(low + middle * (high - low)))):.4g}")
        row["middle"] = _whole(middle)
        row["beyond"] = [keys[i] for i in row["beyond"]]
    marks = []
    for point in points:
        gap = float(np.asarray(local.gap(point)))
        winner = terms[int(np.asarray(local.argmax(point)))]
        at = _whole((point - low) / (high - low))
        marks.append({"at": at, "winner": winner, "gap": float(f"{gap:.4g}")})
    side = [np.linspace(low[k], high[k], 2 * grid + 1)[1::2] for k in range(2)]
    at = np.stack(np.meshgrid(*side), axis=2).reshape(-1, 2)
    scores = np.asarray(local.scores(at), dtype=np.float64)
    soft = [softmax(scores, tau).max(axis=1) for tau in TEMPERATURES if tau > 0]
    return {
        "window": [*low.tolist(), *high.tolist()],
        "cells": rows,
        "marks": marks,
        "dual": _dual(local, terms),
        "soft": _bytes(np.array(soft)),
    }


def _dual(local: TropicalPolynomial, terms: list[int]) -> Row:
    """Slopes of the keys on the plane, which are live there, and edges of the subdivision."""
    slopes = local.slopes.astype(np.float64)
    slopes = np.ldexp(slopes, -int(np.frexp(np.abs(slopes).max())[1]))
    size = float(np.abs(slopes - slopes.mean(axis=0)).max()) or 1.0
    places = np.rint((slopes - slopes.mean(axis=0)) / size * _UNIT).astype(int)
    try:
        split = subdivision(local)
    except Degenerate:
        return {"keys": terms, "points": places.ravel().tolist(), "live": [], "edges": []}
    live = {j for cell in split.faces(0) for j in cell[:1]}
    edges = [[j for j in pair if j in live][:2] for pair in split.faces(1)] if split.dim else []
    return {
        "keys": terms,
        "points": places.ravel().tolist(),
        "live": sorted(live),
        "edges": [pair for pair in edges if len(pair) == 2],
        "faces": list(split.f_vector()),
    }


def _refinement(target: Any, domain: Domain, threads: int | None) -> Row:
    try:
        cells = plane_cells(target, domain, max_cells=_MAX_CELLS, threads=threads)
    except BudgetExceeded as error:
        return {"kind": "lower", "value": error.lower, "cells": []}
    rows = _cells(cells, _polygons(cells, domain))
    for row, pattern in zip(rows, cells.patterns.tolist(), strict=True):
        row["pattern"] = pattern
        del row["beyond"]
    return {"kind": "exact", "value": len(cells), "cells": rows}


# ---- small things -----------------------------------------------------------------------------


def _ids(model: Model, source: Source) -> Array:
    return np.asarray(
        model.tokens(source.text) if source.text is not None else (model.ids(source.ids))
    )


def _check_size(names: Sequence[str], n_heads: int) -> None:
    if len(names) > _TOKENS or n_heads > _HEADS:
        raise InvalidInput(
            f"input: at most {_TOKENS} keys and {_HEADS} heads needed for a page, got {len(names)} "
            f"and {n_heads}; take a shorter text."
        )


def _grid(n_pictures: int) -> int:
    """Points a side of the soft weights, so that all of them are below a megabyte."""
    each = _SOFT_BYTES / (n_pictures * (len(TEMPERATURES) - 1))
    return int(np.clip(np.sqrt(each), 6, 40))


def _bytes(shares: Array) -> str:
    """Numbers in 0..1 as 255ths, in base64, the last axis fastest."""
    return base64.b64encode(np.rint(255 * shares).astype(np.uint8).tobytes()).decode()


def _again(command: str, source: Source, layer: int | str | None) -> str:
    """The command line that gives a number again."""
    shipped = Path(source.path).name == "maximum.safetensors"
    words = ["tropattn", command, "demo" if shipped else source.path]
    for name in ("text", "ids", "mask", "position"):
        value = getattr(source, name)
        if value is not None:
            words += [f"--{name}", str(value)]
    if layer is not None:
        words += ["--layer", str(layer)]
    return shlex.join(words)

"""Where the answer of a network changes, on a plane: its pieces, and where each answer is given.

weights -> network of the moving token -> its answers, by the unembedding or a file -> a plane ->
the boundary between answers, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tropattn.arrays import to_float
from tropattn.attention.networks.feedforward import Affine
from tropattn.attention.networks.model import Model
from tropattn.attention.networks.network import Network
from tropattn.errors import InvalidInput
from tropattn.files import named
from tropattn.polyhedra.domain import Domain
from tropattn.polyhedra.polyhedron import Polyhedron
from tropattn.record import Record
from tropattn.regions.decisions import DecisionBoundary, decision_boundary
from tropattn.study.inputs import Source, open_network, read_arrays, token_name
from tropattn.study.token_plane import token_plane

__all__ = ["BoundarySpec", "Decided", "decide", "record"]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundarySpec:
    """Settings of ``decide``.

    Attributes
    ----------
    source : a model and its context; the whole network decides, so without a layer.
    domain : ``plane:FILE`` with a window, or None for the plane of ``token_plane``.
    readout : an ``.npz`` or JSON file that reads answers from the last state, ``matrix`` (d, K) and
        optionally ``offset`` (K,) and ``names`` (K,); None for the model's unembedding.
    reach : of the window on a plane through three tokens, as for ``token_plane``.
    threads : worker threads.
    """

    source: Source
    domain: str | None = None
    readout: str | None = None
    reach: float | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """A boundary, the names of all answers, and the states of tokens that lie on its plane.

    ``tokens`` has a row a token on the plane, with its parameters ``p_0`` and ``p_1``.
    """

    boundary: DecisionBoundary
    plane: Domain
    names: tuple[str, ...]
    variable: str
    tokens: tuple[Row, ...]


def decide(spec: BoundarySpec) -> Decided:
    """Find the boundary between the answers of a model on a plane (theory T12).

    Raises
    ------
    InvalidInput : no model, no plane with a window, or nothing that reads answers.

    Notes
    -----
    Cost: that of ``decision_boundary``, and without a domain of ``token_plane``.
    """
    opened, plane = open_network(spec.source, spec.domain)
    model, before = opened.model, opened.target
    assert model is not None and isinstance(before, Network)
    last, names = _answers(model, before.d_out, spec.readout)
    tokens: list[Row] = []
    if plane is None:
        chosen = token_plane(opened, threads=spec.threads, reach=spec.reach)
        plane = chosen.domain
        tokens = [
            {"token": name, "p_0": p, "p_1": q}
            for name, (p, q) in zip(chosen.names, chosen.points.tolist(), strict=True)
        ]
    elif spec.reach is not None:
        raise InvalidInput(
            f"reach: a plane through three tokens needed, got {plane.describe()}; give its window "
            "in plane:FILE instead."
        )
    if plane.dim != 2 or not Polyhedron.of(plane).bounded:
        raise InvalidInput(
            f"domain: a plane with a window needed, got {plane.describe()}; give plane:FILE with "
            "window [[low, low], [high, high]]."
        )
    net = Network([*before.layers, last], before.approximation)
    found = decision_boundary(net, plane, threads=spec.threads)
    if tokens:
        states = _states(plane, tokens)
        far = found.distance([[row["p_0"], row["p_1"]] for row in tokens])
        for row, y, distance in zip(tokens, net(states), far.tolist(), strict=True):
            row |= {"answer": names[int(np.argmax(y))], "distance": distance}
    return Decided(found, plane, names, opened.variable, tuple(tokens))


def _states(plane: Domain, tokens: list[Row]) -> Any:
    assert plane.embedding is not None
    basis, origin = (to_float(part)[0] for part in plane.embedding)
    return np.array([[row["p_0"], row["p_1"]] for row in tokens]) @ basis + origin


def _answers(model: Model, width: int, readout: str | None) -> tuple[Affine, tuple[str, ...]]:
    """What reads the answers from the last state, of that width, and their names."""
    if readout is not None:
        arrays = read_arrays(Path(readout), "readout")
        if not {"matrix"} <= set(arrays) <= {"matrix", "offset", "names"}:
            raise InvalidInput(
                f"{readout}: 'matrix' with optional 'offset' and 'names' needed, got "
                f"{named(arrays)}; rename the arrays."
            )
        last = Affine(arrays["matrix"], arrays.get("offset"))
        given = arrays.get("names")
        names = map(str, range(last.d_out) if given is None else np.ravel(given).tolist())
    elif model.unembedding is not None:
        last = Affine(model.unembedding, model.b_U)
        names = (token_name(model, k) for k in range(last.d_out))
    else:
        raise InvalidInput(
            "readout: a file that reads the answers needed, got none and a model without an "
            f"unembedding of its own; give matrix ({width}, K) and optionally offset (K,)."
        )
    words = tuple(names)
    if last.dim != width or len(words) != last.d_out:
        raise InvalidInput(
            f"readout: matrix ({width}, K) and one name a column needed, got "
            f"{last.matrix.shape} and {len(words)} names; it reads the last state."
        )
    return last, words


def record(decided: Decided, spec: BoundarySpec) -> Record:
    """What was decided, as tables.

    Returns
    -------
    Record
        Table ``boundary``, one row: ``pieces``, ``ties`` and ``jumps`` among them, ``edges`` that
        they are joined from, ``components`` and ``cycles`` of the boundary, and ``cells``. Table
        ``answers``, a row an answer that is given somewhere: ``cells``, ``area`` in the parameters
        and its ``share`` of the window, ``components`` and ``holes``. Table ``pieces``: ``kind``,
        the answers ``one`` and ``other``, ends in the parameters, ``length`` in the space around,
        ``edges``. Table ``tokens``, of a plane through three of them: the ``answer`` at each
        token's state, and the ``distance`` from there to the boundary, in that space.
    """
    found = decided.boundary
    kinds = [piece.kind for piece in found.pieces]
    components, cycles = found.betti()
    summary: Row = {
        "pieces": len(found),
        "ties": kinds.count("tie"),
        "jumps": kinds.count("jump"),
        "edges": sum(piece.edges for piece in found.pieces),
        "components": components,
        "cycles": cycles,
        "cells": len(found.decisions),
    }
    tables = {
        "boundary": [summary],
        "answers": _given(decided),
        "pieces": _pieces(decided),
        "tokens": list(decided.tokens),
    }
    settings = {
        "source": spec.source,
        "variable": decided.variable,
        "domain": found.domain,
        "readout": spec.readout,
    }
    return Record("boundary", settings, tables=tables)


def _given(decided: Decided) -> list[Row]:
    found, whole = decided.boundary, Polyhedron.of(decided.plane).volume()
    rows = []
    for k in sorted(set(found.decisions.tolist())):
        cells = np.flatnonzero(found.decisions == k).tolist()
        area = sum(found.cell(i).volume() for i in cells)
        components, holes, _ = found.betti(k)
        rows.append(
            {
                "answer": decided.names[k],
                "cells": len(cells),
                "area": float(area),
                "share": float(area / whole),
                "components": components,
                "holes": holes,
            }
        )
    return rows


def _pieces(decided: Decided) -> list[Row]:
    embedding = decided.plane.embedding
    basis = np.eye(2) if embedding is None else to_float(embedding[0])[0]
    rows = []
    for piece in decided.boundary.pieces:
        one, other = (decided.names[k] for k in piece.decisions)
        (a, b), (c, d) = piece.ends.astype(float).tolist()
        length = float(np.linalg.norm(np.array([c - a, d - b]) @ basis))
        ends = {"from_0": a, "from_1": b, "to_0": c, "to_1": d}
        row = {"kind": piece.kind, "one": one, "other": other, **ends}
        rows.append(row | {"length": length, "edges": piece.edges})
    return rows

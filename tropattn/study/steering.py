"""How far a token's state is from other cells, and the least vector that takes it there.

weights -> the state that enters a layer -> its heads as tropical polynomials -> the nearest wall
of each head, the distance to a key's cell, the least vector into it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tropattn._types import Floats
from tropattn.arrays import to_float
from tropattn.attention.evaluated.norms import Norm
from tropattn.attention.evaluated.residual import ResidualSteering, steer_residual
from tropattn.attention.loading import load
from tropattn.attention.networks.model import Model
from tropattn.attention.networks.transformer import residual_in_context
from tropattn.errors import Degenerate, Inconclusive, InvalidInput
from tropattn.record import Record
from tropattn.study.inputs import Source
from tropattn.study.inspection import InspectionSpec, Scene, context_of, scenes
from tropattn.study.layer import Step
from tropattn.threads import check
from tropattn.tropical.steering import Steering, nearest_walls, steer

__all__ = ["SteerSpec", "residual_of", "run"]

Row = dict[str, Any]

_LONGEST = 400
"""Characters of an exact square in a record; longer ones are left to Python."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SteerSpec:
    """Settings of ``run``.

    Attributes
    ----------
    source : model file and context; ``layer`` None stands for 0 beside heads, for all without.
        ``position`` (default the last that counts) is the token whose state moves.
    heads, keys : which heads shall choose which keys, one key a head; all together are one pattern.
        A key is a place in the context, or a name as tables write it, such as ``"the@3"`` or
        ``"sink"``. With one key and no heads each head is asked for it alone; with neither, how
        far the nearest wall is.
    of : "state", what enters the heads; "residual", what enters the norm before them.
    margin : as for ``steer``.
    """

    source: Source
    heads: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()
    of: Literal["state", "residual"] = "state"
    margin: float = 0.01


def run(spec: SteerSpec, step: Step = nullcontext) -> Record:
    """Steer a state of a model file, or tell how far walls and cells are (theory T1, T2).

    Returns
    -------
    Record
        With heads: table ``steering`` of one row, the ``distance`` (or its bounds ``lower`` and
        ``upper``), its exact ``squared`` where short, the ``walls`` that hold the nearest state,
        and the ``vector``. Without: table ``walls``, a row per head: the ``winner``, the nearest
        wall's ``rival`` and ``distance``; with a key also the ``lower`` and ``upper`` bound of the
        distance to its cell, equal where it is exact, or why there is none.

    Raises
    ------
    InvalidInput, Degenerate, Inconclusive : as ``steer`` and ``steer_residual``.
    """
    _check(spec)
    with step("reading weights"):
        model = load(spec.source.path)
        context = context_of(model, spec.source)
    source = spec.source
    if spec.heads and source.layer is None:
        source = Source(**{**_fields(source), "layer": 0})
    with step("states that enter the heads"):
        seen = scenes(model, context, InspectionSpec(source=source))
    tables: dict[str, list[Row]] = {}
    if spec.heads:
        tables["steering"] = [_pattern(model, context, seen[0], spec)]
    else:
        with step(f"walls of {sum(len(scene.heads) for scene in seen)} heads"):
            tables["walls"] = [row for scene in seen for row in _walls(model, context, scene, spec)]
    settings = {
        "source": source,
        "heads": spec.heads,
        "keys": spec.keys,
        "of": spec.of,
        "margin": spec.margin,
        "variable": seen[0].fixed.variable if spec.of == "state" else "what enters the norm",
        "token": seen[0].names[seen[0].place],
        "unread": list(model.unread),
    }
    return Record("steer", settings, {}, tables)


def _check(spec: SteerSpec) -> None:
    if spec.of not in ("state", "residual"):
        raise InvalidInput(f"of: 'state' or 'residual' needed, got {spec.of!r}.")
    fits = len(spec.heads) == len(spec.keys) if spec.heads else len(spec.keys) <= 1
    if not fits or len(set(spec.heads)) < len(spec.heads):
        raise InvalidInput(
            f"heads, keys: one key for each head needed, every head once, got heads "
            f"{list(spec.heads)} and keys {list(spec.keys)}; name them in pairs, or one key alone "
            "for every head."
        )
    if spec.heads and spec.source.layer == "all":
        raise InvalidInput("layer: the number of one layer needed beside heads, got all.")


def _fields(source: Source) -> dict[str, Any]:
    return {name: getattr(source, name) for name in Source.__slots__}


def _pattern(model: Model, context: Any, scene: Scene, spec: SteerSpec) -> Row:
    """One vector for all heads named."""
    count = len(scene.fixed.heads)
    for h in spec.heads:
        if not -count <= h < count:
            raise InvalidInput(
                f"head: an integer in {-count}..{count - 1} needed, got {h}; layer {scene.index} "
                f"has {count} heads."
            )
    heads = [h % count for h in spec.heads]
    keys = {h: term_of(scene, h, k) for h, k in zip(heads, spec.keys, strict=True)}
    found = _steered(model, context, scene, keys, spec)
    row: Row = {
        "layer": scene.index,
        "heads": list(keys),
        "keys": [key_name(scene, h, j) for h, j in keys.items()],
        "chose": [key_name(scene, h, _winner(scene, h)) for h in keys],
        "of": spec.of,
        **_distance(found),
    }
    if isinstance(found, Steering):
        row["lead"] = found.lead
        row["walls"] = [f"head {h}: {key_name(scene, h, i)}" for h, i in found.walls]
    at = scene.states[scene.place] if isinstance(found, Steering) else found.residual - found.vector
    row["length"] = math.hypot(*found.vector)
    row["state_length"] = math.hypot(*at)
    row["vector"] = found.vector.tolist()
    return row


def _distance(found: Steering | ResidualSteering) -> Row:
    if isinstance(found, Steering):
        lower = upper = found.distance
    else:
        lower, upper = found.lower, found.upper
    squared = None if found.squared is None else str(found.squared)
    exact = squared is not None
    return {
        "exact": exact,
        "distance": lower if exact else None,
        "lower": lower,
        "upper": upper,
        "squared": squared if squared is not None and len(squared) <= _LONGEST else None,
    }


def _steered(
    model: Model, context: Any, scene: Scene, keys: Mapping[int, int], spec: SteerSpec
) -> Steering | ResidualSteering:
    if spec.of == "state":
        return steer(scene.fixed, scene.states[scene.place], keys, margin=spec.margin)
    norm, residual = residual_of(model, context, scene, spec.source.mask)
    projection = model.projection if scene.index == 0 else None
    return steer_residual(
        scene.fixed, norm, residual, keys, projection=projection, margin=spec.margin
    )


def _walls(model: Model, context: Any, scene: Scene, spec: SteerSpec) -> list[Row]:
    """The nearest wall of each head, and how far the cell of a key is."""
    rows: list[Row] = []
    for wall in nearest_walls(scene.fixed, scene.states[scene.place]):
        check()
        h = wall.head
        row: Row = {
            "layer": scene.index,
            "head": scene.heads[h],
            "winner": key_name(scene, h, wall.winner),
            "gap": float(scene.fixed.heads[h].gap(scene.states[scene.place])),
            "rival": None if wall.rival is None else key_name(scene, h, wall.rival),
            "wall": None if wall.rival is None else wall.distance,
        }
        if spec.keys:
            row |= _to_key(model, context, scene, h, spec)
        rows.append(row)
    return rows


def _to_key(model: Model, context: Any, scene: Scene, head: int, spec: SteerSpec) -> Row:
    key = term_of(scene, head, spec.keys[0])
    row: Row = {"key": key_name(scene, head, key)}
    try:
        found = _steered(model, context, scene, {head: key}, spec)
    except (Degenerate, Inconclusive) as error:
        return row | {"exact": None, "lower": None, "upper": None, "refused": str(error)}
    return row | {name: value for name, value in _distance(found).items() if name != "squared"}


def residual_of(model: Model, context: Any, scene: Scene, mask: Any = None) -> tuple[Norm, Floats]:
    """Return the norm before a layer's heads and what enters it at the token that moves, (d,).

    Raises ``InvalidInput`` for a layer without such a norm, or a model whose stream is not what its
    states say.
    """
    norm = model.norms[scene.index] if model.norms else None
    if norm is None:
        raise InvalidInput(
            "of: 'state' needed for a model without norms before its heads, got 'residual'; the "
            "state is the residual there."
        )
    if np.ndim(context) not in (0, 1) or (np.ndim(context) == 0 and not isinstance(context, str)):
        raise InvalidInput("of: 'state' needed for a context of states or images, got 'residual'.")
    stream = residual_in_context(model, context, scene.index, mask)
    if stream is None:
        raise InvalidInput(
            "of: 'state' needed for a model whose norm does not read the residual alone, got "
            "'residual'."
        )
    return norm, to_float(stream[scene.place])[0]


# ---- names --------------------------------------------------------------------------------------


def _winner(scene: Scene, head: int) -> int:
    return int(scene.fixed.heads[head].argmax(scene.states[scene.place]))


def key_name(scene: Scene, head: int, term: int) -> str:
    """How the key of a term is written."""
    token = int(scene.fixed.tokens[head][term])
    return "sink" if token < 0 else scene.names[token]


def term_of(scene: Scene, head: int, key: str) -> int:
    """The term of a head that a place or a name stands for; raises ``InvalidInput`` for none."""
    names = [key_name(scene, head, j) for j in range(scene.fixed.heads[head].n_terms)]
    places = scene.fixed.tokens[head].tolist()
    found = [j for j, name in enumerate(names) if name == key]
    if not found and key.lstrip("-").isdecimal():
        place = int(key)
        place += len(scene.states) if place < 0 else 0
        found = [j for j, token in enumerate(places) if token == place and token >= 0]
    if not found:
        found = [j for j, name in enumerate(names) if name.rpartition("@")[0] == key]
    if len(found) == 1:
        return found[0]
    raise InvalidInput(
        f"key: a place or a name among the keys of head {head} needed "
        f"({_some(names)}), got {key!r}, which names {len(found) or 'none'} of them."
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")

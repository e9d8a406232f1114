"""A trained model looked into, head by head: which keys can win, which do, and how hard.

weights -> states that enter each layer -> heads as tropical polynomials -> live keys, exactly ->
keys within reach of the norm's ellipsoid -> winners of the sequence's own queries, their gaps and
weights -> exact cells of the layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Floats
from tropattn.attention.heads.fixed import FixedLayer
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.heads.linear import row_products
from tropattn.attention.loading import load
from tropattn.attention.networks.model import Model
from tropattn.attention.networks.padding import read_mask
from tropattn.errors import InvalidInput
from tropattn.progress import Listening, counting
from tropattn.record import Record
from tropattn.study.inputs import Source, token_name
from tropattn.study.kept import kept, lasting
from tropattn.study.layer import Step
from tropattn.study.layer_cells import in_query_space, layer_row, on_token_plane
from tropattn.study.reachable import distances, query_ellipsoid
from tropattn.study.tokens import answers, key_rows, token_rows
from tropattn.threads import in_order
from tropattn.tropical.geometry.live_terms import LiveTerms, live_terms
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["InspectionSpec", "Scene", "context_of", "inspect", "run", "scenes", "vocabulary_scene"]

Row = dict[str, Any]

_NAMED = 40
"""Dead and unreachable keys are named up to this number."""

_CHUNK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectionSpec:
    """Settings of ``run``.

    Attributes
    ----------
    source : model file and context; ``layer`` None or "all" stands for all layers. ``position``
        (default the last that counts) is the query's whose keys are looked at: of a causal model it
        sees no later ones. With ``keys="vocabulary"`` it is the place where all words stand
        (default 0).
    heads : which heads, all when None.
    keys : "context", the tokens of the context; "vocabulary", every word of the embedding as a key
        at one place of layer 0, each of them also a query.
    cells : whether the cells of each layer are counted.
    threads : worker threads, default all; the result does not depend on it.
    progress : whether counters on stderr follow the words of a vocabulary.
    job : a file that keeps every head and layer that is looked at, made where there is none.
    """

    source: Source
    heads: tuple[int, ...] | None = None
    keys: Literal["context", "vocabulary"] = "context"
    cells: bool = True
    threads: int | None = None
    progress: Listening = False
    job: str | None = None


def run(spec: InspectionSpec, step: Step = nullcontext) -> Record:
    """Look into every head of a model file for one context (theory T1, T2, T8, T12, T16).

    Parameters
    ----------
    spec : the question.
    step : opens each step by name, for progress.

    Returns
    -------
    Record
        As ``inspect``.

    Raises
    ------
    InvalidInput : a file, context, layer or head that does not fit.
    """
    source = spec.source
    with step("reading weights"):
        model = load(source.path)
        if spec.keys == "vocabulary":
            if (source.text, source.ids, source.mask) != (None, None, None):
                raise InvalidInput(
                    "text, ids, mask: none needed where the words of the vocabulary are the keys, "
                    "got one; leave it out."
                )
            context: Any = None
        else:
            context = context_of(model, source)
    return inspect(model, context, spec, step)


def inspect(model: Model, context: Any, spec: InspectionSpec, step: Step = nullcontext) -> Record:
    """Look into every head of a model in memory.

    Parameters
    ----------
    model : as ``load`` and ``from_torch`` give it.
    context : text, ids or an image; None with ``keys="vocabulary"``.
    spec : the question; of ``source`` only ``layer``, ``position`` and ``mask`` are read.

    Returns
    -------
    Record
        Table ``heads``, one row per head: ``keys``, ``live`` keys (exact), ``dead`` ones by name
        (no query of R^d makes them win), ``reachable`` ones (doubles; a normalised state makes them
        win) with the ``farthest`` cell's distance in radii of the ellipsoid, ``won`` keys (some
        token's own query chooses them), ``top`` winners, the ``sink`` (the key that wins most) with
        the share of queries that choose it and its mean weight, ``gap`` (median and least distance
        to the next different key, scaled logits, so in units of tau = 1), ``weight`` (mean softmax
        weight of the winner) and ``hardness`` (1 - entropy / log of the keys in sight, mean).
        Table ``layers``, one row per layer: see ``layer_cells.layer_row``; ``plane``, the cells on
        the plane through the states of ``plane_tokens``. Both tables name the variable.
        Tables ``tokens``, a row per layer, head and query, and ``keys``, a row per layer, head and
        key: see ``tokens.token_rows`` and ``key_rows``; empty with ``keys="vocabulary"``.

    Raises
    ------
    InvalidInput : a context, layer, position or head that does not fit.

    Notes
    -----
    Source: theory T1, T2, T8. Cost: one program per key and head for ``live``, another in doubles
    for ``reachable``. The hard winners of a soft context: states are those of the model as trained.
    """
    if spec.keys not in ("context", "vocabulary"):
        raise InvalidInput(f"keys: 'context' or 'vocabulary' needed, got {spec.keys!r}; see help.")
    whole = spec.keys == "vocabulary"
    with step("states that enter the heads"):
        seen = [vocabulary_scene(model, spec)] if whole else scenes(model, context, spec)
    heads: list[Row] = []
    layers: list[Row] = []
    tokens: list[Row] = []
    keys: list[Row] = []
    counted = [scene for scene in seen if spec.cells and not whole and _entire(model, scene)]
    parts = [_named(scene, at) for scene in seen for at in range(len(scene.heads))]
    parts += [_named(scene) for scene in counted]
    with kept(spec.job, "inspect", _asked(spec), (model, context), parts) as part_of:
        for scene in seen:
            # The counters of a vocabulary follow each head; two live lines at once would clash.
            opened = nullcontext if whole else step
            with opened(f"layer {scene.index}: keys that can win, keys that do"):
                found = [
                    part_of(_named(scene, at), partial(_head_row, model, scene, at, spec))
                    for at in range(len(scene.heads))
                ]
            rows = [row for row, _, _ in found]
            heads += rows
            tokens += [row for _, asked, _ in found for row in asked]
            keys += [row for _, _, asked in found for row in asked]
            if scene in counted:
                with step(f"layer {scene.index}: cells of all heads together"):
                    live = [row["live"] for row in rows]
                    work = partial(_layer_row, model, scene, live, spec.threads)
                    layers.append(part_of(_named(scene), work))
    variables = {scene.fixed.variable for scene in seen}
    settings = {
        "source": spec.source,
        "keys": spec.keys,
        "variable": variables.pop() if len(variables) == 1 else sorted(variables),
        "tokens": seen[0].names[:1000],
        "heads": spec.heads,
        **({"words": seen[0].names} if whole else {}),
        "unread": list(model.unread),
        **({} if spec.job is None else {"job": spec.job}),
    }
    tables = {"heads": heads, "layers": layers, "tokens": tokens, "keys": keys}
    return Record("inspect", settings, {}, tables)


def _entire(model: Model, scene: Scene) -> bool:
    """Whether all heads of a layer are looked at."""
    return list(scene.heads) == list(range(len(model.layers[scene.index].heads)))


def _named(scene: Scene, at: int | None = None) -> str:
    """The name of a head in a job, or of its layer."""
    return f"layer {scene.index}" + ("" if at is None else f", head {scene.heads[at]}")


def _asked(spec: InspectionSpec) -> dict[str, Any]:
    """The settings by which heads are asked for again."""
    if spec.job is None:
        return {}
    asked = {name: getattr(spec, name) for name in ("heads", "keys", "cells")}
    return asked | {"source": lasting(spec.source)}


def _layer_row(model: Model, scene: Scene, live: list[int], threads: int | None) -> Row:
    """The row of one layer, whose heads have so many live keys."""
    norm = model.norms[scene.index] if model.norms else None
    projection = model.projection if scene.index == 0 else None
    found = layer_row(scene.fixed, norm, projection, live, threads)
    real = np.arange(len(scene.states))
    real = real if scene.kept is None else real[scene.kept]
    own = int(np.searchsorted(real, scene.place))
    plane = on_token_plane(scene.fixed, scene.states[real], own, threads)
    words = [] if plane is None else [scene.names[real[i]] for i in plane[1]]
    found |= {"plane": plane and plane[0], "plane_tokens": words}
    return {"layer": scene.index, **found}


def context_of(model: Model, source: Source) -> Any:
    """The text or the ids that a source names, one of the two."""
    if (source.text is None) == (source.ids is None):
        raise InvalidInput(
            f"text, ids: one of the two needed for the model in {source.path}, got "
            f"{'neither' if source.text is None else 'both'}; they name the context."
        )
    return model.ids(source.ids) if source.text is None else source.text


# ---- what is looked at --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One layer, of chosen heads, with its context fixed; ``whole``: all words are keys."""

    index: int
    layer: AttentionLayer
    fixed: FixedLayer
    states: Floats
    names: list[str]
    heads: Sequence[int]
    place: int
    whole: bool
    kept: NDArray[np.bool_] | None = None


def scenes(model: Model, context: Any, spec: InspectionSpec) -> list[Scene]:
    """The layers asked for, each with its context fixed for the token asked for."""
    entering = model.states(context, spec.source.mask)
    n_tokens = len(entering[0])
    names = [str(i) for i in range(n_tokens)]
    if np.ndim(context) == 1 or isinstance(context, str):
        ids = model.tokens(context) if isinstance(context, str) else model.ids(context)
        names = [token_name(model, int(token), i) for i, token in enumerate(ids)]
    kept = read_mask(spec.source.mask, n_tokens)
    place = spec.source.position
    if place is None:
        place = -1 if kept is None else int(np.flatnonzero(kept)[-1])
    place = _within("position", place, n_tokens)
    if kept is not None and not kept[place]:
        raise InvalidInput(
            f"position: a token that the mask keeps needed, got {place}, which is padding; leave "
            "it out for the last one that counts."
        )
    asked = None if spec.source.layer == "all" else spec.source.layer
    chosen = range(len(model.layers)) if asked is None else [asked]
    out = []
    for given in chosen:
        index = _within("layer", given, len(model.layers))
        if index >= len(entering):
            if asked is None:
                continue
            raise InvalidInput(
                f"layer: 0 needed for a model whose blocks are not given, got {given}; "
                "only layer 0's states follow from its ids."
            )
        chosen_heads = _heads(model.layers[index], spec)
        layer, rows = _with_heads(model.layers[index], chosen_heads), entering[index]
        stop = place + 1 if model.causal else n_tokens
        mask = None if kept is None else kept[:stop]
        fixed = layer.fix(rows[:stop], mask=mask, query_position=place)
        out.append(Scene(index, layer, fixed, rows, names, chosen_heads, place, False, kept))
    return out


def vocabulary_scene(model: Model, spec: InspectionSpec) -> Scene:
    """All words at one place of layer 0."""
    if spec.source.layer not in (None, 0):
        raise InvalidInput(
            f"layer: 0 needed with keys='vocabulary', got {spec.source.layer}; only there a state "
            "follows from the word and its place."
        )
    if model.embedding is None:
        raise InvalidInput("keys: 'context' needed for a model of images, got 'vocabulary'.")
    place = 0 if spec.source.position is None else spec.source.position
    rows = model.embedding
    if model.positions is not None:
        rows = rows + model.positions[_within("position", place, len(model.positions))]
    if model.norms and model.norms[0] is not None:
        rows = model.norms[0](rows)
    if model.projection is not None:
        rows = row_products("states", rows, model.projection.matrix) + model.projection.offset
    heads = _heads(model.layers[0], spec)
    layer = _with_heads(model.layers[0].without_rope(), heads)
    names = [token_name(model, i) for i in range(len(rows))]
    return Scene(0, layer, layer.fix(rows), rows, names, heads, place, True)


def _heads(layer: AttentionLayer, spec: InspectionSpec) -> Sequence[int]:
    count = len(layer.heads)
    if spec.heads is None:
        return range(count)
    return list(dict.fromkeys(_within("heads", h, count) for h in spec.heads))


def _with_heads(layer: AttentionLayer, heads: Sequence[int]) -> AttentionLayer:
    units = [layer.heads[h] for h in heads]
    return AttentionLayer(units, layer.b_O, layer.residual, layer.variable, layer.window)


def _within(name: str, value: int, count: int) -> int:
    if not -count <= value < count:
        raise InvalidInput(
            f"{name}: an integer in {-count}..{count - 1} needed, got {value}; negative ones count "
            "from the end."
        )
    return value % count


# ---- one head -----------------------------------------------------------------------------------


def _head_row(
    model: Model, scene: Scene, at: int, spec: InspectionSpec
) -> tuple[Row, list[Row], list[Row]]:
    """One head's row, and its rows of the tables ``tokens`` and ``keys``."""
    head, poly = scene.layer.heads[at], scene.fixed.heads[at]
    names = ["sink" if t < 0 else scene.names[t] for t in scene.fixed.tokens[at].tolist()]
    query = in_query_space(poly)
    watched = spec.progress and scene.whole
    found = live_terms(query, threads=spec.threads, progress=watched)
    row: Row = {
        "layer": scene.index,
        "head": scene.heads[at],
        "variable": scene.fixed.variable,
        "keys": poly.n_terms,
        "distinct": len(poly.distinct[0]) if query is poly else len(query.distinct[0]),
        "live": len(found.live),
        "dead": [names[j] for j in found.dead.tolist()[:_NAMED]],
        "exact_decisions": found.exact_decisions,
        "reachable": None,
        "unreachable": [],
        "farthest": None,
    }
    norm = model.norms[scene.index] if model.norms else None
    far = None
    if norm is not None and query is not poly:
        projection = model.projection if scene.index == 0 else None
        solid = query_ellipsoid(head, norm, projection)
        if solid is not None:
            far = distances(query, solid, found.live, spec.threads, watched)
            row["reachable"] = int((far < 1).sum())
            row["unreachable"] = [names[j] for j in found.live[far >= 1].tolist()[:_NAMED]]
            row["farthest"] = float(far.max())
            row["reach_margin"] = float(np.abs(1 - far).min())
    if scene.whole:
        row["dead_keys"] = found.dead.tolist()
        return row | _own_vocabulary(scene, at, spec.threads, watched), [], []
    own = answers(head, scene.states, model.causal, scene.layer.window, scene.kept)
    words = [*scene.names, "sink"]
    seen = np.isfinite(own.scores).sum(axis=1)
    wins, mass, weight = own.hard.sum(axis=0), own.soft.mean(axis=0), own.soft.max(axis=1)
    row |= _summary(words, wins, mass, weight, own.gaps, _hardness(own.soft, seen))
    place = {"layer": scene.index, "head": scene.heads[at]}
    keys = key_rows(
        place, own, scene.names, scene.fixed.tokens[at], *_of_every_key(query, found, far)
    )
    return row, token_rows(place, own, scene.names), keys


def _of_every_key(
    f: TropicalPolynomial, found: LiveTerms, far: Floats | None
) -> tuple[NDArray[np.bool_], Floats | None]:
    """Whether each term is live, and how far its cell is; equal terms alike."""
    firsts, classes = f.distinct
    live = np.isin(firsts, found.live)[classes]
    if far is None:
        return live, None
    reach = np.full(len(firsts), np.inf)
    reach[np.searchsorted(firsts, found.live)] = far
    return live, reach[classes]


def _hardness(soft: Floats, seen: NDArray[Any]) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(soft > 0, soft * np.log(soft), 0.0).sum(axis=1)
        return np.where(seen > 1, 1 - entropy / np.log(seen), np.nan)


def _own_vocabulary(scene: Scene, at: int, threads: int | None, progress: Listening) -> Row:
    """The same with every word as a query; winners in doubles, in chunks of queries."""
    head, poly = scene.layer.heads[at], scene.fixed.heads[at]
    keys, biases = poly.keys.astype(np.float64).T, poly.biases.astype(np.float64)
    queries = scene.states @ head.W_Q.astype(np.float64) + head.b_Q.astype(np.float64)
    n = len(biases)

    def work(start: int) -> tuple[NDArray[Any], Floats, Floats, Floats, Floats]:
        scores = float(head.scale) * (queries[start : start + _CHUNK] @ keys) + biases
        rows = np.arange(len(scores))
        winner = scores.argmax(axis=1)
        top = scores[rows, winner]
        scores -= top[:, None]
        scores[rows, winner] = -np.inf
        gaps = -scores.max(axis=1)
        scores[rows, winner] = 0.0
        soft = np.exp(scores)
        total = soft.sum(axis=1)
        # The entropy of the weights is log(total) - mean score under them.
        entropy = np.log(total) - np.einsum("ij,ij->i", soft, scores) / total
        hardness = 1 - entropy / np.log(n) if n > 1 else np.full(len(rows), np.nan)
        return winner, (1 / total) @ soft, 1 / total, gaps, hardness

    parts = []
    with counting("queries answered", progress, "") as report:
        for part in in_order(work, range(0, len(queries), _CHUNK), threads):
            parts.append(part)
            if report is not None:
                done = min(len(parts) * _CHUNK, len(queries))
                report(done, len(queries) - done)
    wins = np.bincount(np.concatenate([part[0] for part in parts]), minlength=n).astype(np.float64)
    mass = np.sum([part[1] for part in parts], axis=0) / len(queries)
    weight, gaps, hardness = (np.concatenate([part[i] for part in parts]) for i in (2, 3, 4))
    names = [*scene.names, "sink"]
    return _summary(names, wins, mass, weight, gaps, hardness)


def _summary(
    names: list[str], wins: Floats, mass: Floats, weight: Floats, gaps: Floats, hardness: Floats
) -> Row:
    order = np.argsort(-wins, kind="stable")
    sink = int(order[0])
    total = float(wins.sum())
    finite = gaps[np.isfinite(gaps)]
    hard = hardness[np.isfinite(hardness)]
    return {
        "won": int((wins > 0).sum()),
        "top": [
            {"key": names[j], "wins": float(wins[j])} for j in order[:5].tolist() if wins[j] > 0
        ],
        "sink": names[sink],
        "sink_wins": float(wins[sink]) / total,
        "sink_weight": float(mass[sink]),
        "gap": float(np.median(finite)) if len(finite) else None,
        "gap_least": float(finite.min()) if len(finite) else None,
        "weight": float(weight.mean()),
        "hardness": float(hard.mean()) if len(hard) else None,
    }

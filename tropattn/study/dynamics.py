"""The second wing as commands: each takes settings and gives a record, and shows it if asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tropattn.arrays import as_array, to_float
from tropattn.dynamics.basin_pieces import basin_pieces
from tropattn.dynamics.closed_forms import equiangular_time
from tropattn.dynamics.diagnosis import metastable_windows, soft_hard_horizon
from tropattn.dynamics.flow import Flow, Head
from tropattn.dynamics.gaussian import (
    Gaussian,
    GaussianTrajectory,
    freezing_level,
    simulate_gaussian,
)
from tropattn.dynamics.gram import random_gram, sync_diagram
from tropattn.dynamics.hardmax import Hardmax, coalescence_horizon
from tropattn.dynamics.limits import cells_per_layer, hardmax_limit
from tropattn.dynamics.phase import classify
from tropattn.dynamics.sentiment import load_sentiment
from tropattn.dynamics.trajectory import simulate
from tropattn.errors import BudgetExceeded, Inconclusive, InvalidInput
from tropattn.files import named, read_npz
from tropattn.polyhedra.domain import Box
from tropattn.record import Record

__all__ = ["COMMANDS", "run"]

Report = Callable[[int, int], None] | None
Show = Callable[..., None] | None
Settings = Mapping[str, Any]

_MARGIN = 0.15
_LAYERS, _STORED = 20_000, 2**24
"""Layers of a simulation, and numbers that a run may keep."""
_TOKENS, _EXACT, _BITS = 2000, 20_000, 2**31
"""In rationals: tokens, their coordinates, and bits of all layers."""


def run(command: str, settings: Settings, report: Report = None, show: Show = None) -> Record:
    """Run one command of ``COMMANDS``.

    Parameters
    ----------
    command : ``"simulate"``, ``"phase"``, ``"hardmax"``, ``"gaussian"`` or ``"sentiment"``.
    settings : its options by name.
    report : called with (done, left) where the work takes long.
    show : called with what a figure of the answer shows (``plotting.dynamics.FIGURES``).

    Raises
    ------
    InvalidInput : an unknown command, settings that do not fit, or numbers that leave the doubles.
    """
    if command not in COMMANDS:
        raise InvalidInput(f"command: one of {', '.join(COMMANDS)} needed, got {command!r}.")
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            return COMMANDS[command](settings, report, show)
    except FloatingPointError as error:
        raise InvalidInput(
            f"settings: numbers that stay within the doubles needed, got {error}; bring beta, "
            "alpha, times and steps, or the numbers of the file, nearer to 1."
        ) from None


def _simulate(given: Settings, report: Report, show: Show) -> Record:
    """Particles on the sphere or in R^d with Q = K = V = 1."""
    space = given["space"]
    flow = Flow((Head(given["kind"], beta=given["beta"]),), space, given["causal"])
    stream = np.random.Generator(np.random.Philox(key=[given["seed"], 0]))
    times = _times(given)
    gram = given["engine"] == "gram"
    _check_size("n, dim, frames", given["n"], given["n"] if gram else given["dim"], len(times))
    _check_size("n, dim", given["n"], given["dim"])
    if gram:
        start = random_gram(given["n"], given["dim"], given["seed"])
    else:
        start = stream.standard_normal((given["n"], given["dim"]))
        if space == "sphere":
            start /= np.linalg.norm(start, axis=1, keepdims=True)
    path = simulate(
        flow,
        start,
        times,
        engine=given["engine"],
        scheme=given["scheme"],
        step_size=given["step"],
        report=report,
    )
    counts = path.clusters(given["radius"])
    every = max(1, len(times) // 20)
    energy = [None] * len(times) if path.energy is None else path.energy
    rows = [
        {"time": times[k], "clusters": int(counts[k]), "energy": energy[k]}
        for k in range(0, len(times), every)
    ]
    horizon = None
    if not gram and given["kind"] in ("softmax", "l2") and given["beta"] > 0:
        horizon = soft_hard_horizon(flow.heads[0], path.time, path.states)
    summary = {
        "flow": flow.name(),
        "clusters_at_end": int(counts[-1]),
        "soft_hard_horizon": horizon,
        "dissipation_residual": None if path.dissipated is None else path.dissipation_residual(),
    }
    windows = [w for w in metastable_windows(path.time, counts) if w.clusters < given["n"]]
    if show is not None:
        show(path, given["radius"], space)
    return _record("simulate", given, {"summary": [summary], "windows": windows, "run": rows})


def _times(given: Settings) -> Any:
    """The times of a run, (t,)."""
    frames, step = given["frames"], given["step"]
    if frames < 1:
        raise InvalidInput(f"frames: an integer >= 1 needed, got {frames}; 100 shows a run well.")
    _check_positive("time", given["time"])
    if given["scheme"] != "layers":
        return np.linspace(0, given["time"], frames + 1)
    _check_positive("step", step)
    if given["time"] > _LAYERS * step:
        raise InvalidInput(
            f"step, time: at most {_LAYERS} layers needed, got {given['time'] / step:g}; take a "
            "larger step or a shorter time."
        )
    return step * np.arange(max(1, round(given["time"] / step)) + 1)


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise InvalidInput(f"{name}: a number > 0 needed, got {value}; choose a larger one.")


def _check_size(names: str, *sizes: int) -> None:
    """Bound how many numbers a run keeps at once."""
    if math.prod(sizes) > _STORED:
        raise InvalidInput(
            f"{names}: at most {_STORED} numbers to keep needed, got "
            f"{' x '.join(map(str, sizes))}; choose smaller ones."
        )


def _phase(given: Settings, report: Report, show: Show) -> Record:
    """Sync diagram of SA or USA over time and beta."""
    n, dim, times = given["n"], given["dim"], given["layers"] + 1
    _check_size("n, dim", n, dim)
    _check_size("runs, n, n", given["runs"], n, n)
    if given["scheme"] == "adaptive":
        _check_size("n, dim, layers", n, min(n, dim), times)
    betas = np.linspace(0, given["beta_max"], given["betas"])
    names = ("layers", "step", "runs", "seed", "scheme", "threads")
    more = {name: given[name] for name in names}
    normalised = given["kind"] == "softmax"
    diagram = sync_diagram(n, dim, betas.tolist(), normalised=normalised, report=report, **more)
    rows = []
    for beta, line in zip(diagram.betas, diagram.probability, strict=True):
        met = np.flatnonzero(line >= 0.5)
        half = diagram.times[met[0]] if len(met) else None
        rows.append({"beta": beta, "half_met_at": half, "met_at_end": line[-1]})
    if show is not None:
        show(diagram, _boundary(n, betas, diagram.times[-1], normalised))
    return _record("phase", given, {"rows": rows})


def _boundary(n: int, betas: Any, last: float, normalised: bool) -> Any:
    """Rows (t, beta): when orthogonal tokens have met, up to the last time shown."""
    fine = np.linspace(betas[0], betas[-1], 60)
    times = [equiangular_time(n, beta, normalised=normalised) for beta in fine.tolist()]
    rows = np.column_stack([times, fine])
    return rows[rows[:, 0] <= last]


def _hardmax(given: Settings, report: Report, show: Show) -> Record:
    """Hardmax layers: leaders, exact limits, cells of each layer."""
    model = Hardmax(given["alpha"], ties=given["ties"])
    tokens = model.check_tokens(_tokens(given))
    _check_exact(model, tokens, given)
    if show is not None and tokens.shape[1] != 2:
        raise InvalidInput(
            f"output: tokens of the plane needed for a figure, got dimension {tokens.shape[1]}; "
            "leave the figure out, or take two coordinates."
        )
    path = simulate(model, tokens, given["layers"], engine=given["engine"], report=report)
    summary: dict[str, Any] = {
        "tokens": len(tokens),
        "leaders": list(path.leaders[-1]),
        "coalescence_horizon": coalescence_horizon(model),
        "first_doubtful_layer": next((k for k, c in enumerate(path.doubtful) if c), None),
        "settled_at_layer": None,
    }
    tables: dict[str, Any] = {"summary": [summary]}
    found = None
    if given["limit"]:
        try:
            found = hardmax_limit(model, tokens)
            summary["settled_at_layer"] = found.layer
            tables["limits"] = [
                {"token": i, "limit": list(p), "winners": list(w)}
                for i, (p, w) in enumerate(zip(found.points.tolist(), found.winners, strict=True))
            ]
            tables["cells"] = [
                {"layer": layer, "cells": count}
                for layer, count in enumerate(cells_per_layer(model, tokens))
            ]
        except Inconclusive as error:
            summary["limit"] = str(error)
    if show is not None:
        show(path, () if found is None else _basins(model, tokens))
    return _record("hardmax", given, tables)


def _check_exact(model: Hardmax, tokens: Any, given: Settings) -> None:
    """Bound the rationals of a run, whose digits grow with every layer."""
    exact = given["engine"] == "exact"
    if (exact or given["limit"]) and (len(tokens) > _TOKENS or tokens.size > _EXACT):
        raise InvalidInput(
            f"tokens: at most {_TOKENS} with {_EXACT} coordinates needed in rationals, got shape "
            f"{tokens.shape}; use --engine tokens --no-limit."
        )
    _check_size("tokens, layers", tokens.size, given["layers"] + 1)
    bits = model.part.denominator.bit_length() * given["layers"] ** 2 * tokens.size
    if exact and bits > _BITS:
        raise InvalidInput(
            f"layers: rationals of at most {_BITS} bits needed, got {bits} after "
            f"{given['layers']} layers of this alpha; choose fewer, a rounder alpha or --engine "
            "tokens."
        )


def _gaussian(given: Settings, report: Report, show: Show) -> Record:
    """Covariance under attention: its fate, its run, and where n tokens leave it."""
    data = _matrices(given)
    dim = data["S"].shape[0]
    head = Head(given["kind"], data.get("Q"), data.get("K"), data.get("V"), given["beta"])
    flow = Flow((head,), "flat")
    start = Gaussian(data.get("mean", np.zeros(dim)), data["S"])
    fate = classify(flow, start)
    end = given["time"]
    if end is None:
        end = 1.2 * fate.time if fate.time else 10.0
    _check_positive("time", end)
    _check_size("dim, dim, frames", dim, dim, given["frames"] + 1)
    path = simulate_gaussian(flow, start, np.linspace(0, end, given["frames"] + 1))
    level = freezing_level(given["n"])
    summary = {
        "flow": flow.name(),
        "phase": fate.kind,
        "time": fate.time,
        "rank": fate.rank,
        "method": fate.method,
        "freezing_level": level,
        "frozen_from": path.frozen_from(given["n"]),
        "escape": path.escape,
    }
    values = np.linalg.eigvalsh(path.covariance)
    every = max(1, len(path.time) // 20)
    rows = [
        {"time": path.time[k], "eigenvalues": values[k], "deviation": path.deviation[k]}
        for k in range(0, len(path.time), every)
    ]
    if show is not None:
        show(path, level, _portrait(flow, start, path) if dim == 2 else ())
    return _record("gaussian", given, {"summary": [summary], "run": rows})


def _sentiment(given: Settings, report: Report, show: Show) -> Record:
    """A trained hardmax classifier: accuracy on held-out reviews, verdict on a text, leaders."""
    model, held = load_sentiment(given["path"])
    tables: dict[str, Any] = {}
    if given["text"]:
        ids = model.ids([given["text"]])
        logit = float(model.logits(ids)[0])
        tables["verdict"] = [{"positive": logit > 0, "logit": logit}]
    elif "test_ids" in held:
        ids = held["test_ids"]
        score = model.accuracy(ids, held["test_labels"])
        tables["accuracy"] = [{"accuracy": score, "reviews": len(ids), "dim": len(model.weight)}]
    else:
        raise InvalidInput("text: a text needed, since the file holds no test reviews; use --text.")
    leaders = model.leaders(ids, top=given["top"])
    tables["leaders"] = leaders
    if show is not None:
        show(leaders)
    return _record("sentiment", given, tables)


COMMANDS: dict[str, Callable[[Settings, Report, Show], Record]] = {
    "simulate": _simulate,
    "phase": _phase,
    "hardmax": _hardmax,
    "gaussian": _gaussian,
    "sentiment": _sentiment,
}
"""The commands by name; the settings of each are those of ``tropattn dynamics NAME``."""


def _record(name: str, given: Settings, tables: dict[str, Any]) -> Record:
    spec = {key: value for key, value in given.items() if key != "seed"}
    return Record(f"dynamics {name}", spec, {}, tables, given.get("seed"))


def _tokens(given: Settings) -> Any:
    if given["path"] is None:
        stream = np.random.Generator(np.random.Philox(key=[given["seed"], 0]))
        return stream.standard_normal((given["n"], given["dim"]))
    return _array(given["path"], read_npz(given["path"]), "tokens", "(n, d)")


def _matrices(given: Settings) -> dict[str, Any]:
    if given["path"] is not None:
        data = read_npz(given["path"])
        _array(given["path"], data, "S", "(d, d)")
        return data
    stream = np.random.Generator(np.random.Philox(key=[given["seed"], 0]))
    dim = given["dim"]
    drawn = stream.standard_normal((3, dim, dim)) / np.sqrt(dim)
    return {"Q": drawn[0], "K": drawn[1], "V": drawn[2], "S": np.eye(dim)}


def _array(path: str, data: dict[str, Any], name: str, shape: str) -> Any:
    if name not in data:
        raise InvalidInput(
            f"{path}: an array {name!r} {shape} needed, got {named(data)}; rename the arrays."
        )
    return as_array(f"{path}, {name}", data[name], 2, shape=shape)


def _basins(model: Hardmax, tokens: Any) -> Any:
    """The basins as polygons in a window round the tokens; none where they are too many."""
    low, high = (to_float(edge(tokens, axis=0)[None])[0][0] for edge in (np.min, np.max))
    wide = _MARGIN * (float((high - low).max()) or 1.0)
    try:
        return basin_pieces(model, tokens, Box(low - wide, high + wide))
    except BudgetExceeded:
        return ()


def _portrait(flow: Flow, start: Gaussian, path: GaussianTrajectory) -> list[GaussianTrajectory]:
    """Runs from twelve other shapes of the same trace, as long as the first."""
    trace = float(np.trace(start.covariance))
    if not trace > 0:
        return []
    times, found = np.linspace(0, path.time[-1], 401), []
    for turn in 2 * np.pi * np.arange(12) / 12:
        u, v = 0.85 * np.cos(turn), 0.85 * np.sin(turn)
        shape = trace / 2 * np.array([[1 + u, v], [v, 1 - u]])
        found.append(simulate_gaussian(flow, Gaussian(start.mean, shape), times))
    return found

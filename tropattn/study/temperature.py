"""How soft attention follows hard as the temperature falls: a curve over tau for one layer.

weights -> heads -> points of a domain or states of real tokens -> gap of every head at every point
-> what theory T16 promises there, and what softmax does.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from tropattn._types import Array
from tropattn.attention.heads.fixed import FixedLayer
from tropattn.attention.networks.model import Model
from tropattn.attention.networks.padding import read_mask
from tropattn.errors import EngineError, InvalidInput
from tropattn.polyhedra._highs import bounding_box
from tropattn.polyhedra.domain import Box, Domain
from tropattn.progress import doing
from tropattn.record import Record
from tropattn.study.inputs import Heads, Source, check_draws, open_layer, scatter
from tropattn.study.layer import Step
from tropattn.tropical.max_affine import on_parameters
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.temperature import Agreement, agreement, guaranteed, losers, weights

__all__ = ["TAUS", "TemperatureSpec", "run", "softened", "token_agreement"]


TAUS = (2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001)


def _refuse_logits(fixed: FixedLayer) -> None:
    if fixed.logits is not None:
        raise InvalidInput(
            "model: scores that softmax takes as they are needed, got norms of queries or soft "
            "caps, under which gaps depend on the state; use inspect, which takes them at the "
            "tokens' own states."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureSpec:
    """Settings of ``run``.

    Attributes
    ----------
    source : file and context.
    domain : where points are drawn uniformly, as for ``read_domain``; None draws normal states
        round the context's own, as wide as they are times ``spread`` (a standard normal for bare
        polynomials).
    temperatures : of the curve; 1 is the model as trained.
    tolerance : the weight that the losing keys of a head may hold for soft to follow hard.
    samples, seed, spread : of the points.
    tokens : whether the real tokens of a model's context are judged too, each in its own place.
    """

    source: Source
    domain: Domain | str | None = None
    temperatures: Sequence[float] = TAUS
    tolerance: float = 0.01
    samples: int = 20_000
    seed: int = 0
    spread: float = 1.0
    tokens: bool = True

    def __post_init__(self) -> None:
        taus = list(self.temperatures)
        if not taus or not all(np.isfinite(t) and t > 0 for t in taus):
            raise InvalidInput(
                f"temperatures: finite numbers > 0 needed, got {taus}; 1 is the model as trained."
            )
        if not 0 < self.tolerance < 1:
            raise InvalidInput(
                f"tolerance: a number between 0 and 1 needed, got {self.tolerance}; 0.01 is one "
                "percent."
            )
        if self.samples < 1:
            raise InvalidInput(f"samples: a number >= 1 needed, got {self.samples}; try 20000.")


def run(spec: TemperatureSpec, step: Step = nullcontext) -> Record:
    """Compare soft and hard attention of one layer over temperatures.

    Returns
    -------
    Record
        Table ``curve``, one row a temperature: ``guaranteed`` and ``measured``, the shares of the
        points where every head follows hard within the tolerance (promised by T16, and truly), and
        ``effective_cells`` among the guaranteed ones. Table ``heads``, one row per head: keys,
        quartiles of the gap, and at ``tau = 1`` the guaranteed and measured shares. Table
        ``tokens`` (models): one row a temperature, the shares over pairs of a real token and a
        head, and over tokens with all their heads.

    Raises
    ------
    InvalidInput : a file, context or domain that does not fit.
    EngineError : a measured share below the guaranteed one.

    Notes
    -----
    Source: theory T16. Cost ``O(samples * terms * (d + temperatures))``.
    """
    with step("reading weights, fixing the context"):
        opened, where = open_layer(spec.source, spec.domain)
    if isinstance(opened.target, FixedLayer):
        _refuse_logits(opened.target)
    with step("points, gaps and softmax"):
        units = on_parameters(opened.heads, where)
        points = _points(opened, where, units[0].dim, spec)
        curve = agreement(units, points, spec.temperatures, spec.tolerance)
        heads = []
        with doing("quartiles of heads", len(units)) as done:
            for h, unit in enumerate(units):
                done(h)
                heads.append(_head_row(h, unit, points, spec.tolerance))
    tables = {"curve": _rows(curve), "heads": heads}
    if spec.tokens and opened.model is not None:
        with step("the context's own tokens"):
            tables["tokens"] = _of_tokens(opened.model, spec)
    settings = {
        "source": spec.source,
        "variable": opened.variable,
        "domain": "normal states" if where is None else where,
        "temperatures": list(spec.temperatures),
        "tolerance": spec.tolerance,
        "samples": len(points),
        "spread": spec.spread,
    }
    return Record("temperature", settings, tables=tables, seed=spec.seed)


def _points(opened: Heads, where: Domain | None, dim: int, spec: TemperatureSpec) -> Array:
    check_draws(spec.samples, dim)
    stream = np.random.Generator(np.random.Philox(spec.seed))
    if where is None:
        draws = stream.standard_normal((spec.samples, dim))
        if opened.states is None:
            return spec.spread * draws
        centre, width = scatter(opened.states)
        return centre + spec.spread * width * draws
    a, b = (side.astype(np.float64) for side in where.walls)
    low, high = bounding_box(*where.walls)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise InvalidInput(
            f"domain: a bounded one needed, got {where.describe()}; bound it or leave it out."
        )
    draws = low + (high - low) * stream.random((spec.samples, dim))
    inside = draws[(draws @ a.T < b).all(axis=1)]
    if not len(inside):
        raise InvalidInput(
            f"domain: a fair share of its bounding box needed, got none of {spec.samples} draws "
            "inside; give a box or more samples."
        )
    return inside


def _rows(curve: Agreement) -> list[dict[str, Any]]:
    if (curve.guaranteed > curve.measured).any():
        raise EngineError(
            "temperature: a measured share at least the guaranteed one needed, got less; please "
            "report the input."
        )
    names = ("temperature", "guaranteed", "measured", "effective_cells")
    rows = zip(curve.temperatures, curve.guaranteed, curve.measured, curve.cells, strict=True)
    return [dict(zip(names, map(float, row), strict=True)) for row in rows]


def _head_row(h: int, unit: TropicalPolynomial, points: Array, tolerance: float) -> dict[str, Any]:
    promise, lost = guaranteed(unit, points), losers(unit, points)
    # One key has no rival: its gap is infinite everywhere, between which nothing is interpolated.
    finite = bool(np.isfinite(promise.gap).all())
    low, middle, high = np.quantile(promise.gap, [0.25, 0.5, 0.75]) if finite else [np.inf] * 3
    return {
        "head": h,
        "keys": unit.n_terms,
        "gap_quartiles": [float(low), float(middle), float(high)],
        "guaranteed": float((promise.losers <= tolerance).mean()),
        "measured": float((lost <= tolerance).mean()),
        "mean_losers": float(lost.mean()),
    }


# ---- real tokens ------------------------------------------------------------------------------


def _of_tokens(model: Model, spec: TemperatureSpec) -> list[dict[str, Any]]:
    text = spec.source.text
    context = model.ids(spec.source.ids) if text is None else text
    # The whole network, "all", was refused with the heads.
    layer = spec.source.layer if isinstance(spec.source.layer, int) else 0
    masks = [spec.source.mask]
    return token_agreement(model, [context], layer, spec.temperatures, spec.tolerance, masks)


def token_agreement(
    model: Model,
    contexts: Sequence[Any],
    layer: int = 0,
    temperatures: Sequence[float] = TAUS,
    tolerance: float = 0.01,
    masks: Sequence[Any] | None = None,
) -> list[dict[str, Any]]:
    """Shares of real tokens at which soft attention follows hard, one row a temperature.

    Parameters
    ----------
    contexts : texts or arrays of token ids; every position of each is judged in its own place, its
        own key where the context has it.
    layer, temperatures, tolerance : as in ``TemperatureSpec``.
    masks : one a context, as in ``Model.fix``; padding is judged as no token. None for none.

    Returns
    -------
    list of dict
        ``guaranteed``, ``measured``: shares of pairs (token, head); ``tokens_guaranteed``,
        ``tokens_measured``: shares of tokens with all their heads; ``pairs``, ``tokens``: how many.

    Notes
    -----
    A token that sees one key has nothing to choose and follows at every temperature; it counts.
    Source: theory T16, one head at one input. Cost: one forward pass and ``fix`` a token.
    """
    promised: list[Array] = []
    true: list[Array] = []
    for context, mask in zip(contexts, masks or [None] * len(contexts), strict=True):
        rows = np.asarray(model.states(context, mask)[layer], dtype=np.float64)
        kept = read_mask(mask, len(rows))
        places = range(len(rows)) if kept is None else np.flatnonzero(kept).tolist()
        with doing("tokens", len(places)) as done:
            for number, place in enumerate(places):
                done(number)
                fixed = model.fix(rows, layer=layer, position=place, mask=kept)
                _refuse_logits(fixed)
                x = rows[place : place + 1]
                parts = [agreement([head], x, temperatures, tolerance) for head in fixed.heads]
                promised.append(np.array([part.guaranteed for part in parts]))
                true.append(np.array([part.measured for part in parts]))
    if not promised:
        raise InvalidInput("contexts: at least one token needed, got none; pass texts or ids.")
    said, done = np.array(promised), np.array(true)
    return [
        {
            "temperature": float(tau),
            "guaranteed": float(said[:, :, i].mean()),
            "measured": float(done[:, :, i].mean()),
            "tokens_guaranteed": float(said[:, :, i].min(axis=1).mean()),
            "tokens_measured": float(done[:, :, i].min(axis=1).mean()),
            "tokens": len(said),
            "pairs": said.shape[0] * said.shape[1],
        }
        for i, tau in enumerate(temperatures)
    ]


# ---- weights of a plane ------------------------------------------------------------------------


def softened(
    f: TropicalPolynomial, window: Box, temperatures: Sequence[float], pixels: int = 200
) -> tuple[Array, list[Array]]:
    """Grid points (pixels^2, 2) of a window in the plane and the weights (pixels^2, N) at each tau.

    Rows of the grid run from low to high in the second coordinate, points within a row in the
    first, each in the middle of its pixel.

    >>> grid, p = softened(TropicalPolynomial([[1, 0], [0, 1]]), Box([0, 0], [2, 2]), [1.0], 2)
    >>> grid.tolist(), p[0].shape
    ([[0.5, 0.5], [1.5, 0.5], [0.5, 1.5], [1.5, 1.5]], (4, 2))
    """
    if f.dim != 2 or window.dim != 2 or not window.bounded:
        raise InvalidInput(
            f"f, window: a polynomial and a bounded box in the plane needed, got R^{f.dim} and "
            f"{window.describe()}; restrict it to a plane first."
        )
    low, high = (np.asarray(side, dtype=np.float64) for side in (window.low, window.high))
    at = (np.arange(pixels) + 0.5) / pixels
    axes = [low[k] + (high[k] - low[k]) * at for k in (0, 1)]
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    return grid, [weights(f, grid, tau) for tau in temperatures]

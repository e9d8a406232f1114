"""One potential at every temperature: ``tau log sum_j exp(s_j(x) / tau)`` and its limit.

At ``tau = 0`` it is the tropical polynomial itself, its gradient the winning slope; at ``tau > 0``
the gradient is the softmax average of the slopes. Scores are the scaled logits, ``tau = 1`` is the
model as trained; equal terms count with their multiplicity.

How far soft is from hard at a point follows from its gap, the winner's lead in score (theory T16 to
T19): ``guaranteed`` gives the bounds, ``measured`` what they bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_array, is_point, is_real, listed, of_kind, to_float
from tropattn.errors import InvalidInput
from tropattn.progress import doing
from tropattn.tropical.moments import compact, covariance, in_units, spread, spreads
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.values import Value, counted

__all__ = [
    "Agreement",
    "Deviation",
    "agreement",
    "band_width",
    "critical_temperature",
    "effective_cells",
    "gap",
    "gradient",
    "guaranteed",
    "hessian",
    "jacobian",
    "losers",
    "measured",
    "needed_gap",
    "output",
    "slip",
    "value",
    "weights",
    "winners",
]


def __dir__() -> list[str]:
    return sorted(__all__)


_AT_ONCE = 2**23
"""Entries of the matrices of points that are held at once."""


# ---- soft attention ---------------------------------------------------------------------------


def weights(f: TropicalPolynomial, x: Any, temperature: float = 1.0) -> Array:
    """Softmax weights ``exp(s_j / tau) / Z``, (N,) or (m, N); at 0 equal shares of exact winners.

    >>> weights(TropicalPolynomial([[0], [1], [1]]), [2.0], 0).tolist()
    [0.0, 0.5, 0.5]
    """
    scores = to_float(_polynomial(f).scores(x))[0]
    temperature = _checked(temperature)
    if temperature == 0:
        single = scores.ndim == 1
        out = np.zeros((1, len(scores)) if single else scores.shape)
        for i, best in enumerate(f.winners(np.asarray(x)[None, :] if single else x)):
            out[i, best] = 1.0 / len(best)
        return out[0] if single else out
    with np.errstate(over="ignore", under="ignore"):
        shifted = np.exp((scores - scores.max(axis=-1, keepdims=True)) / temperature)
    return shifted / shifted.sum(axis=-1, keepdims=True)


def value(f: TropicalPolynomial, x: Any, temperature: float = 1.0) -> Any:
    """``tau log sum_j exp(s_j(x) / tau)``, computed stably; ``f(x)`` at temperature 0.

    Exceeds ``f(x)`` by at most ``tau log(N)`` (theory T16).

    >>> round(value(TropicalPolynomial([[0], [0]]), [5.0], 1.0), 6)      # log 2
    0.693147
    """
    temperature = _checked(temperature)
    if temperature == 0:
        return _polynomial(f)(x)
    scores = to_float(_polynomial(f).scores(x))[0]
    top = scores.max(axis=-1, keepdims=True)
    with np.errstate(over="ignore", under="ignore"):
        total = np.exp((scores - top) / temperature).sum(axis=-1)
    result = top[..., 0] + temperature * np.log(total)
    return float(result) if np.ndim(result) == 0 else result


def gradient(f: TropicalPolynomial, x: Any, temperature: float = 1.0) -> Array:
    """``sum_j p_j a_j``, the attention read-out with values ``a_j``; (d,) or (m, d).

    At temperature 0 exact ties are averaged (a subgradient).

    >>> gradient(TropicalPolynomial([[0], [1]]), [0.0], 1.0).tolist()
    [0.5]
    """
    return weights(f, x, temperature) @ to_float(_polynomial(f).slopes)[0]


def hessian(f: TropicalPolynomial, x: Any, temperature: float = 1.0) -> Array:
    """``Cov_p(a) / tau``, the second derivative of ``value``; (d, d) or (m, d, d), ``tau > 0``.

    >>> hessian(TropicalPolynomial([[0], [1]]), [0.0], 0.5).tolist()     # (1/4) / (1/2)
    [[0.5]]
    """
    return jacobian(f, _polynomial(f).slopes, x, _positive(temperature))


def output(f: TropicalPolynomial, values: Any, x: Any, temperature: float = 1.0) -> Array:
    """``sum_j p_j v_j``, what the head reads out; (d_v,) or (m, d_v).

    Parameters
    ----------
    values : (N, d_v), one row per term, such as ``FixedLayer.values[h]``.
    temperature : 0 averages the values of the exact winners.

    >>> f = TropicalPolynomial([[0], [1]])
    >>> output(f, [[0], [10]], [0.0]).tolist(), output(f, [[0], [10]], [3.0], 0).tolist()
    ([5.0], [10.0])
    """
    return weights(f, x, temperature) @ _values(f, values)


def jacobian(f: TropicalPolynomial, values: Any, x: Any, temperature: float = 1.0) -> Array:
    """``sum_j p_j v_j (a_j - mean a)^T / tau = Cov_p(v, a) / tau``; (d_v, d) or (m, d_v, d).

    The derivative of ``output`` in ``x``. At temperature 0 it is 0, which is the derivative off the
    walls; on a wall the hard output jumps.

    >>> jacobian(TropicalPolynomial([[0], [1]]), [[0], [10]], [0.0], 0.5).tolist()
    [[5.0]]
    """
    read = _values(f, values)
    slopes = to_float(f.slopes)[0]
    temperature = _checked(temperature)
    if temperature == 0:
        return np.zeros((*np.shape(f.scores(x))[:-1], read.shape[1], f.dim))
    p = weights(f, x, temperature)
    centred = slopes - (p @ slopes)[..., None, :]
    return np.einsum("...j,jc,...jk->...ck", p, read, centred) / temperature


def winners(f: TropicalPolynomial, x: Any) -> list[NDArray[np.int64]]:
    """All exact winners of each row of ``x``; see ``TropicalPolynomial.winners``."""
    return _polynomial(f).winners(x)


def gap(f: TropicalPolynomial, x: Any) -> Any:
    """Score distance from the winner to the next different term; ``TropicalPolynomial.gap``."""
    return _polynomial(f).gap(x)


# ---- bounds in closed form --------------------------------------------------------------------


def slip(gap: Any, temperature: Any, ratio: Any) -> Any:
    """``M e / (1 + M e)`` with ``e = exp(-gap / tau)``: the most weight that the losers can hold.

    Parameters
    ----------
    gap : the winner's lead, >= 0; temperature : ``tau > 0``.
    ratio : ``M``, losing terms by winning terms with multiplicity; ``N - 1`` for a single winner.

    Notes
    -----
    The bound ``1 - p <= eps`` of theory T16, attained when all losers have one score. For a winner
    with ``m`` equal terms, ``p`` is the weight of all of them and ``M = (N - m) / m``.

    >>> slip(0.0, 1.0, 4)       # five equal scores: the losers hold 4/5
    0.8
    """
    tau = _positive(temperature)
    with np.errstate(over="ignore", under="ignore"):
        odds = ratio * np.exp(-np.asarray(gap, dtype=np.float64) / tau)
    out = odds / (1.0 + odds)
    return float(out) if np.ndim(out) == 0 else out


def needed_gap(tolerance: float, temperature: float, ratio: float) -> float:
    """``tau log(M (1 - t) / t)``: from this gap on the losers hold at most ``t`` (theory T16).

    Parameters
    ----------
    tolerance : ``t`` in (0, 1); ratio : ``M`` as for ``slip``. 0 where any gap will do.

    >>> round(needed_gap(0.5, 2.0, np.e), 12)
    2.0
    """
    return _positive(temperature) * max(0.0, _log_odds(tolerance, ratio))


def critical_temperature(gap: Any, tolerance: float, ratio: float) -> Any:
    """``gap / log(M (1 - t) / t)``: up to it the losers hold at most ``t``, by T16.

    Infinite where the tolerance is so wide that every temperature will do.

    >>> round(float(critical_temperature(3.0, 0.5, np.e)), 12)
    3.0
    """
    logarithm = _log_odds(tolerance, ratio)
    gaps = np.asarray(gap, dtype=np.float64)
    return gaps / logarithm if logarithm > 0 else np.full(gaps.shape, np.inf)[()]


def band_width(
    f: TropicalPolynomial, i: int, j: int, temperature: float, tolerance: float
) -> float:
    """Width of the strip along the wall of terms ``i, j`` where T16 leaves ``1 - p > tolerance``.

    ``2 needed_gap / |a_i - a_j|``, so ``O(tau log N / |a_i - a_j|)``; in units of ``x``, for a part
    of the wall far from other walls. Raises ``InvalidInput`` for parallel terms.

    >>> head = TropicalPolynomial([[-1.0], [1.0]])
    >>> round(band_width(head, 0, 1, 1.0, 0.01), 6)         # log 99
    4.59512
    """
    slopes = to_float(f.slopes)[0]
    distance = float(np.linalg.norm(slopes[i] - slopes[j]))
    if distance == 0:
        raise InvalidInput(
            f"i, j: terms with different slopes needed, got {i} and {j}; equal slopes share no "
            "wall."
        )
    return 2 * needed_gap(tolerance, temperature, f.n_terms - 1) / distance


def _log_odds(tolerance: float, ratio: float) -> float:
    if not is_real(tolerance) or not 0 < tolerance < 1:
        raise InvalidInput(
            f"tolerance: a number between 0 and 1 needed, got {tolerance}; 0.01 is one percent."
        )
    return float(np.log(ratio * (1 - tolerance) / tolerance)) if ratio > 0 else -np.inf


# ---- soft against hard at points --------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Deviation(Value):
    """How far soft attention is from hard at m points; fields are (m,), or None without values.

    Attributes
    ----------
    gap : the winner's lead; infinite where all terms are equal.
    losers : ``1 - p`` of the winner, all equal terms together.
    weights : ``|p - e|_1``, ``e`` the hard weights.
    potential : ``value - f - tau log m``, ``m`` the winner's multiplicity.
    output : ``|soft - hard|`` of the read-out; jacobian : its norm (the hard one's is 0).
    score_hessian : norm of the second derivative of ``value`` in the distinct scores.
    hessian : norm of the second derivative of ``value`` in ``x``.
    """

    gap: Array
    losers: Array
    weights: Array
    potential: Array
    score_hessian: Array
    hessian: Array
    output: Array | None = None
    jacobian: Array | None = None

    def __repr__(self) -> str:
        values = "without values" if self.output is None else "with values"
        return f"Deviation({counted(len(self.gap), 'point')}, {values})"


@dataclass(frozen=True, slots=True, eq=False)
class _Merged:
    """Scores of the distinct terms at m points, and who wins."""

    scores: Array  # (m, C)
    times: Array  # (C,) multiplicity
    best: Array  # (m,) winning class
    gap: Array  # (m,)
    slopes: Array  # (C, d)
    values: Array | None  # (C, d_v) means over equal terms

    @property
    def ratio(self) -> Array:
        """Losers by winners, ``(N - m) / m`` at each point."""
        won = self.times[self.best]
        return (self.times.sum() - won) / won


def _merged(f: TropicalPolynomial, x: Any, values: Any = None) -> _Merged:
    points = as_array("x", [x] if is_point(x) else x, 2, shape="(d,) or (m, d)")
    if not len(points):
        raise InvalidInput("x: at least one point needed, got none.")
    _polynomial(f)
    firsts, classes = f.distinct
    scores = to_float(f.scores(points))[0][:, firsts]
    times = np.bincount(classes).astype(np.float64)
    slopes = to_float(f.slopes)[0][firsts]
    read = None
    if values is not None:
        rows = _values(f, values)
        read = np.zeros((len(firsts), rows.shape[1]))
        np.add.at(read, classes, rows)
        read /= times[:, None]
    return _Merged(scores, times, scores.argmax(axis=1), to_float(f.gap(points))[0], slopes, read)


def guaranteed(
    f: TropicalPolynomial, x: Any, temperature: float = 1.0, values: Any = None
) -> Deviation:
    """Bounds on every field of ``measured`` from the gap alone (theory T16 to T19).

    Parameters
    ----------
    x : (d,) or (m, d); temperature : ``tau > 0``; values : (N, d_v) or None.

    Returns
    -------
    Deviation
        With ``eps = slip(gap, tau, M)``: ``losers <= eps``, ``weights <= 2 eps`` (T16),
        ``potential <= tau log(1 + M e)`` (T16), ``output <= eps D_v`` (T17),
        ``jacobian <= eps D_v D_a / tau`` (T18), ``score_hessian <= N e / tau`` (T19; with equal
        terms ``2 eps / tau``), ``hessian <= eps D_a^2 / tau``.

    Notes
    -----
    Hypothesis: one winner, equal terms merged. On a wall (gap 0) the bounds are infinite but for
    those of the potential and the losers. One head at one input; for a layer multiply by the norm
    of its output map and add over heads. Accurate to rounding. Cost ``O(m N d)``.

    >>> two = guaranteed(TropicalPolynomial([[0.0], [1.0]]), [0.5], 0.25)
    >>> round(float(two.score_hessian[0]), 6)        # N e / tau = 2 exp(-2) / 0.25
    1.082682
    """
    tau = _positive(temperature)
    state = _merged(f, x, values)
    with np.errstate(over="ignore", under="ignore"):
        e = np.exp(-state.gap / tau)
    eps = slip(state.gap, tau, state.ratio)
    wall = state.gap == 0
    distinct = (state.times == 1).all()
    curvature = (len(state.times) * e if distinct else 2 * eps) / tau
    reach = spread(state.slopes, state.best)
    # In this order no bound of a sure winner is the product of 0 and a square beyond the doubles.
    fields = {"weights": 2 * eps, "score_hessian": curvature}
    with np.errstate(over="ignore"):
        fields["hessian"] = eps * reach * reach / tau
        if state.values is not None:
            widest = spread(state.values, state.best)
            fields["output"] = eps * widest
            fields["jacobian"] = eps * widest * reach / tau
    fields = {name: np.where(wall, np.inf, bound) for name, bound in fields.items()}
    return Deviation(gap=state.gap, losers=eps, potential=tau * np.log1p(state.ratio * e), **fields)


def measured(
    f: TropicalPolynomial, x: Any, temperature: float = 1.0, values: Any = None
) -> Deviation:
    """What soft attention really does at each point; parameters and fields as in ``guaranteed``.

    Notes
    -----
    On a wall one of the tied terms stands for the winner. Cost ``O(m N^3)``; memory is that of a
    few hundred megabytes at most besides the scores.

    >>> one = measured(TropicalPolynomial([[0.0], [1.0]]), [0.0], 1.0)
    >>> one.losers.tolist(), one.hessian.tolist()
    ([0.5], [0.25])
    """
    tau = _positive(temperature)
    state = _merged(f, x, values)
    odds = _odds(state, tau)
    # Norms of matrices of points do not see a change of orthonormal basis.
    slopes = compact(state.slopes)
    values = None if state.values is None else compact(state.values)
    size = max(len(slopes), *slopes.shape, *(() if values is None else values.shape))
    step = max(1, _AT_ONCE // size**2)
    parts = [
        _norms(odds[low : low + step], state.best[low : low + step], slopes, values, tau)
        for low in range(0, len(odds), step)
    ]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    # Sums over the losers alone: 1 - p and log p would lose all digits where p is near 1.
    rest = odds.sum(axis=1)
    losers = rest / (1.0 + rest)
    return Deviation(
        gap=state.gap, losers=losers, weights=2 * losers, potential=tau * np.log1p(rest), **found
    )


def losers(f: TropicalPolynomial, x: Any, temperature: float = 1.0) -> Array:
    """Weight (m,) of all terms but the winner, as in ``measured``, at a cost of ``O(m N d)``.

    >>> losers(TropicalPolynomial([[0.0], [1.0]]), [0.0]).tolist()
    [0.5]
    """
    rest = _odds(_merged(f, x), _positive(temperature)).sum(axis=1)
    return rest / (1.0 + rest)


def _odds(state: _Merged, tau: float) -> Array:
    """Weight of each class over the winner's, (m, C), 0 for the winner itself."""
    rows = np.arange(len(state.best))
    with np.errstate(over="ignore", under="ignore"):
        shifted = (state.scores - state.scores[rows, state.best][:, None]) / tau
        odds = state.times * np.exp(shifted) / state.times[state.best][:, None]
    odds[rows, state.best] = 0.0
    return odds


def _norms(
    odds: Array, best: Array, slopes: Array, values: Array | None, tau: float
) -> dict[str, Array]:
    """The fields of ``Deviation`` that are norms of matrices, for some of the points."""
    rows = np.arange(len(best))
    rest = odds.sum(axis=1)
    p = odds / (1.0 + rest)[:, None]
    p[rows, best] = 1.0 / (1.0 + rest)
    unit, away = in_units(slopes - slopes[best][:, None, :])
    found = {"score_hessian": np.linalg.norm(spreads(p), ord=2, axis=(1, 2)) / tau}
    with np.errstate(over="ignore"):
        bend = np.linalg.norm(covariance(p, away, away), ord=2, axis=(1, 2))
        found["hessian"] = bend * unit * unit / tau
        if values is not None:
            size, moved = in_units(values - values[best][:, None, :])
            turn = np.linalg.norm(covariance(p, moved, away), ord=2, axis=(1, 2))
            found["output"] = np.linalg.norm(np.einsum("mj,mjc->mc", p, moved), axis=1) * size
            found["jacobian"] = turn * size * unit / tau
    return found


# ---- shares of a sample -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Agreement(Value):
    """Where all heads of a layer are hard within a tolerance, as curves over temperatures.

    Attributes
    ----------
    temperatures : (T,); tolerance : the weight that the losers of a head may hold.
    guaranteed : (T,) share of the points where T16 promises it for every head.
    measured : (T,) share where it is so.
    cells : (T,) effective cells among the guaranteed points (see ``effective_cells``).
    gaps : (m, H) gap of each head at each point.
    """

    temperatures: Array
    tolerance: float
    guaranteed: Array
    measured: Array
    cells: Array
    gaps: Array

    def __repr__(self) -> str:
        points, heads = map(counted, self.gaps.shape, ("point", "head"))
        return f"Agreement({points}, {heads}, {counted(len(self.temperatures), 'temperature')})"


def agreement(
    units: Sequence[TropicalPolynomial], x: Any, temperatures: Any, tolerance: float = 0.01
) -> Agreement:
    """Share of the points ``x`` (m, d) at which soft attention follows hard, at each temperature.

    Parameters
    ----------
    units : the heads of a layer; x : draws of a law, or states of real tokens.
    temperatures : positive numbers, in any order.
    tolerance : a head follows where its losers hold at most this weight; its output then lies
        within ``tolerance * D_v`` of the hard one (T17).

    Notes
    -----
    ``guaranteed <= measured`` at each temperature, and both fall as it grows. Cost
    ``O(T m sum_h N_h)`` besides the scores.

    >>> head = TropicalPolynomial([[0.0], [1.0]])
    >>> curve = agreement([head], [[-3.0], [0.1], [9.0]], [0.01, 1, 9])
    >>> curve.guaranteed.round(3).tolist(), curve.cells.round(3).tolist()
    ([1.0, 0.333, 0.0], [1.89, 1.0, 0.0])
    """
    points = as_array("x", [x] if is_point(x) else x, 2, shape="(d,) or (m, d)")
    given = [temperatures] if is_real(temperatures) else temperatures
    taus = np.array([_positive(t) for t in listed("temperatures", given, "give a list")])
    units = listed("units", units, "give the heads of a layer")
    if not len(points) or not units or not len(taus):
        raise InvalidInput(
            "units, x, temperatures: at least one of each needed, got "
            f"{len(units)}, {len(points)}, {len(taus)}."
        )
    if not is_real(tolerance) or not 0 < tolerance < 1:
        raise InvalidInput(
            f"tolerance: a number between 0 and 1 needed, got {tolerance!r}; 0.01 is one percent."
        )
    promised = np.ones((len(taus), len(points)), dtype=bool)
    true = promised.copy()
    gaps, patterns = [], []
    with doing("heads", len(units)) as done:
        for number, unit in enumerate(units):
            done(number)
            state = _merged(unit, points)
            gaps.append(state.gap)
            patterns.append(state.best)
            for i, tau in enumerate(taus):
                promised[i] &= slip(state.gap, tau, state.ratio) <= tolerance
                rest = _odds(state, tau).sum(axis=1)
                true[i] &= rest <= tolerance * (1.0 + rest)
    # The promise is a theorem; rounding of the last bit must not make it look false.
    true |= promised
    rows = np.column_stack(patterns)
    cells = np.array([effective_cells(rows[kept]) for kept in promised])
    return Agreement(
        taus, tolerance, promised.mean(axis=1), true.mean(axis=1), cells, np.column_stack(gaps)
    )


def effective_cells(patterns: Any) -> float:
    """``exp`` of the entropy of the shares of the distinct rows of ``patterns`` (m, H).

    For draws of a law and their routing patterns: the number of equally large cells with the same
    entropy as the cells' shares of the law. At most the number of cells, and equal to it only if
    all are equally large. Among the points that stay hard within a tolerance at a temperature it
    says how many cells attention still tells apart there; 0 without points.

    >>> effective_cells([[0], [0], [1], [1]])
    2.0
    """
    rows = np.asarray(patterns)
    if not len(rows):
        return 0.0
    _, counts = np.unique(rows, axis=0, return_counts=True)
    shares = counts / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


# ---- arguments --------------------------------------------------------------------------------


def _polynomial(f: Any) -> TropicalPolynomial:
    of_kind("f", f, TropicalPolynomial, "take one of layer.heads")
    return f


def _checked(temperature: float) -> float:
    if not is_real(temperature) or not 0 <= temperature < np.inf:
        raise InvalidInput(
            f"temperature: a finite number >= 0 needed, got {temperature}; "
            "1 is the model as trained, 0 the hard limit."
        )
    return float(temperature)


def _positive(temperature: float) -> float:
    if not is_real(temperature) or not 0 < temperature < np.inf:
        raise InvalidInput(
            f"temperature: a finite number > 0 needed, got {temperature}; "
            "1 is the model as trained, and at 0 there is nothing soft to bound."
        )
    return float(temperature)


def _values(f: TropicalPolynomial, values: Any) -> Array:
    count = _polynomial(f).n_terms
    rows = to_float(as_array("values", values, 2, shape=f"({count}, d_v)"))[0]
    if len(rows) != f.n_terms or not rows.shape[1]:
        raise InvalidInput(
            f"values: shape ({f.n_terms}, d_v) with d_v >= 1 needed, got {rows.shape}; give one "
            "row a term."
        )
    return rows

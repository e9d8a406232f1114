"""Hardmax transformers: each token steps towards the tokens that win its tropical polynomial.

One layer is ``z_i <- z_i + g * mean_{j in C_i}(z_j - z_i)`` with ``g = alpha / (1 + alpha)`` and
``C_i = argmax_j <A z_i, z_j>``: the winners of ``max_j <A x, z_j>`` at ``x = z_i``, whose cells are
the normal fan of the tokens' polytope (Alcalde, Fantuzzi, Zuazua, arXiv 2407.01602).

Doubles break this dynamics after about ``log(eps) / log(1 - g)`` layers: followers then sit within
rounding of their leader. So every float decision carries a rounding bound, a leader is reported
only when its margin exceeds it, and ``hardmax_exact`` runs the same layers in rationals.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import hardmax as kernels
from tropattn._types import Array
from tropattn.arrays import (
    as_array,
    as_fractions,
    freeze,
    is_exact,
    is_real,
    of_kind,
    rational_matrix,
    to_float,
)
from tropattn.errors import InvalidInput
from tropattn.threads import aside, check, in_order
from tropattn.tolerance import gamma
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.values import Value

__all__ = ["Decisions", "Hardmax", "coalescence_horizon", "decide", "leader_margins", "step"]


_BLOCK = 1 << 22
_PRUNE_FROM = 512
_RANGE = 1 << 17


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Hardmax(Value):
    """A hardmax layer, shared by all depths.

    Parameters
    ----------
    alpha : step parameter; a token moves the part ``alpha / (1 + alpha)`` of the way.
    matrix : (d, d) symmetric positive definite ``A``; None is the identity.
    ties : ``"average"`` over all winners, or ``"first"``, the smallest winning index.
    own : whether a token competes for itself (without that there are no leaders).

    Raises
    ------
    InvalidInput : alpha not positive, ``A`` not symmetric or not positive definite, unknown rule.

    Examples
    --------
    >>> model = Hardmax(Fraction(1, 2))
    >>> model.part, model.ties
    (Fraction(1, 3), 'average')
    """

    alpha: Any
    matrix: Any = None
    ties: str = "average"
    own: bool = True

    def __post_init__(self) -> None:
        if not is_real(self.alpha) or not 0 < self.alpha < np.inf:
            raise InvalidInput(f"alpha: a finite number > 0 needed, got {self.alpha}; e.g. 0.5.")
        if self.ties not in ("average", "first"):
            raise InvalidInput(
                f"ties: 'average' or 'first' needed, got {self.ties!r}; the papers average."
            )
        if self.matrix is not None:
            a = as_array("matrix", self.matrix, 2, shape="(d, d)")
            if a.shape[0] != a.shape[1] or not (a == a.T).all():
                raise InvalidInput(
                    f"matrix: a symmetric (d, d) matrix needed, got shape {a.shape}; "
                    "use (A + A.T) / 2 if the asymmetry is rounding."
                )
            if not _positive_definite(a):
                raise InvalidInput(
                    "matrix: positive definite needed, got a matrix with a leading minor <= 0; "
                    "the theory of leaders needs a scalar product."
                )
            object.__setattr__(self, "matrix", a)

    @property
    def part(self) -> Fraction:
        """``g = alpha / (1 + alpha)``, exactly."""
        alpha = Fraction(self.alpha)
        return alpha / (1 + alpha)

    def check_tokens(self, tokens: Any) -> Array:
        """Tokens (n, d) as a frozen array whose width fits ``A``."""
        z = as_array("tokens", tokens, 2, shape="(n, d)")
        least = 1 if self.own else 2
        if len(z) < least or z.shape[1] < 1:
            raise InvalidInput(
                f"tokens: shape (n, d) with n >= {least}, d >= 1 needed, got {z.shape}; "
                "rows are tokens."
            )
        if self.matrix is not None and z.shape[1] != len(self.matrix):
            raise InvalidInput(
                f"tokens: {len(self.matrix)} coordinates needed, got {z.shape[1]}; A and the "
                "tokens share one space."
            )
        return z

    def polynomial(self, tokens: Any) -> TropicalPolynomial:
        """The layer's tropical polynomial ``max_j <A x, z_j>`` of a token ``x`` (theory T2).

        Its cells are the power diagram of the sites ``A z_j``, kept as the factors A and z_j.

        >>> Hardmax(1).polynomial([[1, 0], [0, 1]]).argmax([0.2, 0.7])
        1
        """
        f = TropicalPolynomial(self.check_tokens(tokens))
        return f if self.matrix is None else f.pullback(self.matrix)

    def directions(self, tokens: Array) -> NDArray[np.float64]:
        """``A z_i`` in doubles, (n, d)."""
        z = to_float(tokens)[0]
        return z if self.matrix is None else z @ self.matrix.astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Decisions(Value):
    """Who wins for each token, as doubles see it.

    Attributes
    ----------
    target : (n,) the first winner; tied : rows with several winners, {row: indices}.
    margin : (n,) score of the winner minus the best score at another position (with hull search at
        another hull point: what lies inside the hull cannot win).
    bound : (n,) rounding bound: a larger margin proves the decision for the given floats.
    """

    target: NDArray[np.int64]
    tied: dict[int, NDArray[np.int64]]
    margin: NDArray[np.float64]
    bound: NDArray[np.float64]

    def doubtful(self) -> int:
        """How many decisions rounding may have changed."""
        return int((self.margin <= self.bound).sum())


def step(model: Hardmax, tokens: Array, decisions: Decisions) -> NDArray[np.float64]:
    """One layer in doubles: every token moves the part g towards the mean of its winners.

    >>> model, z = Hardmax(1.0), np.array([[2.0], [1.0]])
    >>> step(model, z, decide(model, z)).ravel().tolist()      # the second goes half the way
    [2.0, 1.5]
    """
    goal = tokens[decisions.target]
    if model.ties == "average":
        for i, winning in decisions.tied.items():
            goal[i] = tokens[winning].mean(axis=0)
    return tokens + float(model.part) * (goal - tokens)


def decide(model: Hardmax, tokens: Array, threads: int | None = 1) -> Decisions:
    """Winners ``C_i`` of all tokens in doubles, each with its margin and rounding bound.

    Notes
    -----
    In the plane only the tokens on the hull can win: O(n log h) by search over the h hull points.
    Otherwise O(n^2 d) in blocks. A tie is equality of the computed scores.

    >>> z = np.array([[1.0, 1.0], [-1.0, 1.0], [0.0, 0.0]])
    >>> decide(Hardmax(0.5), z).tied[2].tolist()
    [0, 1, 2]
    """
    directions = model.directions(tokens)
    size = np.abs(tokens)
    absolute = size if model.matrix is None else size @ np.abs(model.matrix.astype(np.float64))
    # Forward error of <A z_i, z_j> as computed, for the worst j, on both sides of a comparison.
    bound = 2 * gamma(2 * tokens.shape[1] + 2) * (absolute @ size.max(axis=0))
    if tokens.shape[1] == 2 and len(tokens) >= _PRUNE_FROM and model.own:
        target, tied, margin = _on_hull(tokens, directions, threads)
    else:
        target, tied, margin = _all_pairs(tokens, directions, model.own)
    return Decisions(target, tied, margin, bound)


def leader_margins(model: Hardmax, tokens: Array) -> NDArray[np.float64]:
    """Own score minus the best score at any other position: positive for a leader, (n,).

    The definition is by position, so repeated tokens lead together. A value within the rounding
    bound of ``decide`` proves nothing.

    >>> leader_margins(Hardmax(1.0), np.array([[2.0], [1.0], [2.0]])).tolist()
    [2.0, -1.0, 2.0]
    """
    of_kind("model", model, Hardmax, "leaders are those of hardmax layers")
    rows = to_float(model.check_tokens(tokens))[0]
    places, first = np.unique(rows, axis=0, return_inverse=True)
    first = first.ravel()
    directions = model.directions(places)
    out = np.full(len(places), np.inf)
    width = max(1, _BLOCK // len(places))
    for start in range(0, len(places) if len(places) > 1 else 0, width):
        scores = directions[start : start + width] @ places.T
        local = np.arange(len(scores))
        own = scores[local, start + local].copy()
        scores[local, start + local] = -np.inf
        out[start : start + width] = own - scores.max(axis=1)
    return out[first]


def coalescence_horizon(model: Hardmax) -> float:
    """Layers ``log(eps) / log(1 - g)`` after which a follower is within rounding of its leader.

    >>> round(coalescence_horizon(Hardmax(1.0)))        # one bit per layer
    52
    """
    return float(np.log(2.0**-52) / np.log1p(-float(model.part)))


def _all_pairs(
    tokens: Array, directions: Array, own: bool
) -> tuple[NDArray[np.int64], dict[int, NDArray[np.int64]], NDArray[np.float64]]:
    n = len(tokens)
    target = np.empty(n, np.int64)
    margin = np.full(n, np.inf)
    tied: dict[int, NDArray[np.int64]] = {}
    _, place = np.unique(tokens, axis=0, return_inverse=True)
    place = place.ravel()
    width = max(1, _BLOCK // n)
    for start in range(0, n, width):
        check()
        stop = min(n, start + width)
        scores = directions[start:stop] @ tokens.T
        local = np.arange(stop - start)
        if not own:
            scores[local, start + local] = -np.inf
        target[start:stop] = scores.argmax(axis=1)
        top = scores[local, target[start:stop]].copy()
        # Winners at one position are no tie: they are one vertex with multiplicity.
        for i in np.flatnonzero((scores == top[:, None]).sum(axis=1) > 1).tolist():
            winning = np.flatnonzero(scores[i] == top[i])
            if len(np.unique(place[winning])) > 1:
                tied[start + i] = winning
        scores[place[target[start:stop]][:, None] == place[None, :]] = -np.inf
        if n > 1:
            margin[start:stop] = top - scores.max(axis=1)
    return target, tied, margin


def _on_hull(
    tokens: Array, directions: Array, threads: int | None
) -> tuple[NDArray[np.int64], dict[int, NDArray[np.int64]], NDArray[np.float64]]:
    n = len(tokens)
    chain = plane_hull(tokens)
    corners = np.ascontiguousarray(tokens[chain])
    angles = _edge_angles(corners)
    winner, top, second = np.empty(n, np.int64), np.empty(n), np.empty(n)
    starts = range(0, n, _RANGE)

    def work(start: int) -> None:
        stop = min(n, start + _RANGE)
        kernels.best_vertices(directions, corners, angles, start, stop, winner, top, second)

    for _ in in_order(work, starts, threads):
        pass
    tied: dict[int, NDArray[np.int64]] = {}
    target = chain[winner]
    for i in np.flatnonzero(second == top).tolist():
        scores = tokens @ directions[i]
        winning = np.flatnonzero(scores == scores.max())
        target[i] = winning[0]
        if (tokens[winning] != tokens[winning[0]]).any():
            tied[i] = winning
    return target, tied, top - second


def plane_hull(tokens: Array) -> NDArray[np.int64]:
    """Tokens of the plane that may be hull vertices, counter-clockwise; nothing proved is lost.

    Points on edges, or within rounding of them, stay; of repeated ones the smallest index.

    >>> plane_hull(np.array([[0.0, 0.0], [2.0, 0.0], [0.5, 0.5], [0.0, 2.0], [2.0, 0.0]])).tolist()
    [0, 1, 3]
    """
    points = np.ascontiguousarray(tokens, dtype=np.float64)
    # A cross product of differences: each difference and product rounds once, one subtraction.
    rounding = 8 * gamma(4) * float(np.abs(points).max(initial=0.0)) ** 2
    outer = aside(kernels.outer_points, points, rounding)
    order = outer[np.lexsort((outer, points[outer, 1], points[outer, 0]))]
    repeated = np.zeros(len(order), dtype=bool)
    repeated[1:] = (points[order[1:]] == points[order[:-1]]).all(axis=1)
    return aside(kernels.hull_chain, points, order[~repeated], rounding)


def _edge_angles(corners: Array) -> NDArray[np.float64]:
    """Angles of the outer edge normals, unrolled so that they ascend; (h,)."""
    edges = np.roll(corners, -1, axis=0) - corners
    angles = np.arctan2(-edges[:, 0], edges[:, 1])
    # Counter-clockwise edges turn left; near-collinear ones may turn right by rounding.
    turns = np.diff(angles)
    turns = np.maximum(np.where(turns < -np.pi, turns + 2 * np.pi, turns), 0.0)
    return np.concatenate([angles[:1], angles[0] + np.cumsum(turns)])


def _positive_definite(a: Array) -> bool:
    """Whether all leading minors are positive: by a clear eigenvalue, else in rationals."""
    values = np.linalg.eigvalsh(a.astype(np.float64))
    if abs(values[0]) > 4 * len(a) ** 2 * 2.0**-52 * np.abs(values).max():
        return bool(values[0] > 0)
    whole = as_fractions(a) if not is_exact(a) else a
    return all(
        rational_matrix(freeze(whole[:k, :k].copy())).det() > 0 for k in range(1, len(a) + 1)
    )

"""A layer whose context is fixed: keys and values stand still, one query's state moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_array, as_fractions, freeze, is_exact, listed, to_float
from tropattn.attention.heads.linear import exact_sum, loose, n_axes, read_vector, shared
from tropattn.attention.heads.logits import Logits
from tropattn.errors import InvalidInput
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.stage import OwnValue, RoutingStage, Selected, exact_mean
from tropattn.values import Value, counted

__all__ = ["FixedLayer", "OwnValue", "read_temperature", "softmax"]


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class FixedLayer(Value):
    """The map ``x -> [x +] b_O + sum_h value_h[j_h(x)]``, ``j_h`` the winner of head ``h`` (T12).

    Parameters
    ----------
    heads : tropical polynomials of the query's state, one per head, all on R^d.
    values : one array (N_h, d_out) a head, what each term adds to the output when it wins.
    tokens : one array (N_h,) a head, the token that each term stands for, -1 for a sink;
        ``0..N_h-1`` when omitted.
    b_O : (d_out,), zero when omitted.
    residual : whether the state itself is added; then ``d_out = d``.
    variable : the name of the state that moves, for records.
    own : one ``OwnValue`` or None a head, where the token's own value moves with its state; None
        where all values are constants.
    logits : one ``Logits`` or None a head, what softmax takes in place of the scores; None where
        these are the scores. Winners are the same.

    Raises
    ------
    InvalidInput : no head, heads on different spaces, or shapes that do not fit.

    Notes
    -----
    The data of the map are the rows of ``values`` as they stand, and sums of them are kept exact
    in ``stages``. Usually built by ``AttentionLayer.fix``.

    Examples
    --------
    >>> f = TropicalPolynomial([[0], [1]])                    # max(0, x)
    >>> step = FixedLayer([f], [[[0], [10]]])
    >>> step([[-1.0], [0.0], [2.0]]).tolist()                 # the tie at 0 is averaged
    [[-1.0], [5.0], [12.0]]
    >>> step.routing([2.0]).tolist(), step
    ([1], FixedLayer(1 head, 2 terms, R^1 -> R^1, layer input))
    >>> own = OwnValue(1, np.array([[3.0]]))                  # right of 0: x + 10 + 3 x
    >>> FixedLayer([f], [[[0], [10]]], own=[own])([[-1.0], [0.0], [2.0]]).tolist()
    [[-1.0], [5.0], [18.0]]
    """

    heads: tuple[TropicalPolynomial, ...]
    values: tuple[Array, ...]
    tokens: tuple[NDArray[np.int64], ...]
    b_O: Array
    residual: bool
    variable: str
    own: tuple[OwnValue | None, ...] | None
    logits: tuple[Logits | None, ...] | None

    def __init__(
        self,
        heads: Sequence[TropicalPolynomial],
        values: Sequence[Any],
        tokens: Sequence[Any] | None = None,
        b_O: Any = None,
        residual: bool = True,
        variable: str = "layer input",
        own: Sequence[OwnValue | None] | None = None,
        logits: Sequence[Logits | None] | None = None,
    ) -> None:
        units = RoutingStage(tuple(listed("heads", heads, "pass a list of polynomials"))).units
        read = _per_head("values", values, units)
        outputs = tuple(
            shared(f"values[{h}]", value, 2, shape="(N_h, d_out)") for h, value in enumerate(read)
        )
        d_out = units[0].dim if residual else outputs[0].shape[1]
        for h, (unit, value) in enumerate(zip(units, outputs, strict=True)):
            if value.shape != (unit.n_terms, d_out) or not d_out:
                raise InvalidInput(
                    f"values[{h}]: shape ({unit.n_terms}, {d_out}) needed, got {value.shape}; "
                    "give one row a term, as wide as the layer's output."
                )
        object.__setattr__(self, "heads", units)
        object.__setattr__(self, "values", outputs)
        object.__setattr__(self, "tokens", _read_tokens(tokens, units))
        object.__setattr__(
            self, "b_O", read_vector("b_O", b_O, d_out, why="one a column of values")
        )
        object.__setattr__(self, "residual", bool(residual))
        object.__setattr__(self, "variable", str(variable))
        object.__setattr__(self, "own", _read_own(own, units, d_out))
        object.__setattr__(self, "logits", _read_logits(logits, units))

    @property
    def dim(self) -> int:
        """Dimension ``d`` of the state that moves."""
        return self.heads[0].dim

    @property
    def d_out(self) -> int:
        """Dimension of the output."""
        return len(self.b_O)

    # ---- evaluation ---------------------------------------------------------------------------

    def __call__(self, x: Any, temperature: float = 0) -> Array:
        """Return the layer's output: hard at temperature 0, softmax at any temperature above it.

        Parameters
        ----------
        x : (d,) or (m, d), states of the query.
        temperature : divides the scores (scaled logits); 1 is the model as trained, 0 the limit,
            which averages over the exact winners with multiplicity.

        Returns
        -------
        Array
            (d_out,) or (m, d_out) in doubles; rationals where ``x`` is exact, at temperature 0.

        Raises
        ------
        InvalidInput : another width, NaN, or a temperature that is negative or not finite.

        Notes
        -----
        Source: theory T12 (hard), T16 (the limit). Cost ``O(m H N d)``; ties cost rationals.

        >>> layer = FixedLayer([TropicalPolynomial([[0], [0]])], [[[0], [4]]], residual=False)
        >>> layer([7.0]).tolist(), layer([7.0], temperature=2).tolist()
        ([2.0], [2.0])
        """
        warmth = read_temperature(temperature)
        points, single = self._points(x)
        if warmth == 0:
            total = self._hard(points)
        else:
            points = to_float(points)[0]
            total = np.tile(self.b_O.astype(np.float64), (len(points), 1))
            for h, (head, value) in enumerate(zip(self.heads, self.values, strict=True)):
                weights = softmax(self._logits(h, points, head.scores(points)), warmth)
                total += weights @ value.astype(np.float64)
                own = self._own(h)
                if own is not None:
                    moved = points @ own.matrix.astype(np.float64)
                    total += weights[:, own.term, None] * moved
        if self.residual:
            total = total + points
        return total[0] if single else total

    def _hard(self, points: Array) -> Array:
        exact = is_exact(points)
        rows = []
        chosen = [head.winners(points) for head in self.heads]
        for i in range(len(points)):
            total = as_fractions(self.b_O) if exact else self.b_O.astype(np.float64)
            for h, (value, winners) in enumerate(zip(self.values, chosen, strict=True)):
                mean = exact_mean(value, winners[i])
                total = total + (as_fractions(mean) if exact else mean.astype(np.float64))
                own = self._own(h)
                if own is not None and own.term in winners[i]:
                    matrix = as_fractions(own.matrix) if exact else own.matrix.astype(np.float64)
                    total = total + points[i] @ matrix / len(winners[i])
            rows.append(total)
        return np.array(rows)

    def _logits(self, h: int, points: Array, scores: Array) -> Array:
        change = None if self.logits is None else self.logits[h]
        return scores if change is None else change(points, scores)

    def _own(self, h: int) -> OwnValue | None:
        return None if self.own is None else self.own[h]

    def routing(self, x: Any) -> NDArray[np.int64]:
        """Return each head's winning term, the smallest index on ties: (H,) or (m, H).

        Ties are decided exactly. Source: theory T5. Cost ``O(m H N d)``. Raises ``InvalidInput``
        for another width or NaN.

        >>> layer = FixedLayer([TropicalPolynomial([[0], [1], [1]])], [[[0], [1], [2]]])
        >>> layer.routing([[-1.0], [1.0]]).tolist()
        [[0], [1]]
        """
        points, single = self._points(x)
        out = np.column_stack([head.argmax(points) for head in self.heads]).astype(np.int64)
        return out[0] if single else out

    def _points(self, x: Any) -> tuple[Array, bool]:
        single = n_axes(x) == 1
        points = as_array("x", [x] if single else x, 2, shape=f"({self.dim},) or (m, {self.dim})")
        if points.shape[1] != self.dim:
            raise InvalidInput(
                f"x: {self.dim} coordinates needed, got {points.shape[1]}; "
                f"rows are values of the variable ({self.variable})."
            )
        return points, single

    # ---- what the engines count ---------------------------------------------------------------

    def log_lifted(self, values: Any) -> list[TropicalPolynomial]:
        """Return the polynomials whose refinement gives the log-lifted cells (theory T4).

        Parameters
        ----------
        values : (N, d_v) log-lifted channels (in units of scaled logits) for a single head, or one
            such array a head; row ``j`` belongs to term ``j``.

        Returns
        -------
        list of TropicalPolynomial
            For each head ``max_j(s_j + v_jc)``, ``c = 1..d_v``, then ``max_j s_j``; one flat list.

        Raises
        ------
        InvalidInput : another number of heads or rows, NaN or infinity.

        Notes
        -----
        Factors are kept. A sum ``bias + v`` that a double cannot hold becomes a rational, so the
        channels are those given.

        >>> layer = FixedLayer([TropicalPolynomial([[0], [1]])], [[[0], [0]]])
        >>> [f.intercepts.tolist() for f in layer.log_lifted([[3, 5], [4, 5]])]
        [[3.0, 4.0], [5.0, 5.0], [0.0, 0.0]]
        """
        lifted = []
        for h, value in enumerate(_per_head("values", values, self.heads)):
            head = self.heads[h]
            channels = as_array(f"values[{h}]", value, 2, shape="(N_h, d_v)")
            if channels.shape[0] != head.n_terms or not channels.shape[1]:
                raise InvalidInput(
                    f"values[{h}]: shape ({head.n_terms}, d_v) with d_v >= 1 needed, got "
                    f"{channels.shape}; give one row a term, a sink included."
                )
            lifted += [
                TropicalPolynomial.factored(
                    head.keys, exact_sum(head.biases, channel), scale=head.scale, maps=head.maps
                )
                for channel in channels.T
            ]
            lifted.append(head)
        return lifted

    def stages(self) -> tuple[RoutingStage]:
        """Return the one stage that the engines count: the heads, and each pattern's translation.

        Source: theory T12. The stage's ``maps`` takes a pattern ``(j_1, ..., j_H)`` to
        ``x -> [x +] b_O + sum_h mean of value_h over the terms equal to j_h`` without rounding:
        the offset is in doubles where they hold it, else in rationals. An entry may also be a
        sequence of indices, tied terms to average over. Where an own value is live and its term
        wins, the map has its matrix as well, an n-th of it where n terms tie.

        >>> layer = FixedLayer([TropicalPolynomial([[0], [1]])], [[[0], [10]]], b_O=[1])
        >>> stage, = layer.stages()
        >>> stage.maps((1,)).matrix.tolist(), stage.maps((1,)).offset.tolist()
        ([[1.0]], [11.0])
        """
        update = Selected(self.values, self.b_O, self.residual, self.own or ())
        return (RoutingStage(self.heads, update),)

    def __repr__(self) -> str:
        terms = " + ".join(str(head.n_terms) for head in self.heads)
        if len({head.n_terms for head in self.heads}) == 1:
            terms = str(self.heads[0].n_terms)
        return (
            f"FixedLayer({counted(len(self.heads), 'head')}, {terms} terms, "
            f"R^{self.dim} -> R^{self.d_out}, {self.variable})"
        )


def read_temperature(temperature: Any) -> float:
    """Read a temperature: a finite number, at least 0.

    >>> read_temperature(1)
    1.0
    """
    try:
        number = float(temperature)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not (np.isfinite(number) and number >= 0):
        raise InvalidInput(
            f"temperature: a finite number >= 0 needed, got {temperature!r}; "
            "1 is the model as trained, 0 the hard limit."
        )
    return number


def softmax(scores: Array, temperature: float) -> Array:
    """Return ``exp(s_j / temperature) / sum`` along the last axis, safe for any temperature > 0.

    >>> softmax(np.array([0.0, 1000.0]), 1e-320).tolist()
    [0.0, 1.0]
    """
    with np.errstate(over="ignore", under="ignore"):
        powers = (scores - scores.max(axis=-1, keepdims=True)) / temperature
        # In place: of thousands of tokens each array is a hundred megabytes.
        np.exp(powers, out=powers)
        powers /= powers.sum(axis=-1, keepdims=True)
        return powers


def _per_head(
    name: str, values: Any, heads: Sequence[TropicalPolynomial], axes: int = 2
) -> list[Any]:
    """One array with so many axes a head; a single head may come without the list around it."""
    try:
        arrays = list(values)
    except TypeError:
        arrays = []
    if len(heads) == 1 and arrays and n_axes(arrays[0]) == axes - 1:
        return [values]
    if len(arrays) != len(heads):
        raise InvalidInput(
            f"{name}: one array a head needed ({len(heads)}), got "
            f"{len(arrays) or type(values).__name__}; give a list of {len(heads)} arrays."
        )
    return arrays


def _one_a_head(name: str, kind: str, given: Any, count: int, others: str) -> tuple[Any, ...]:
    """One entry for each head, None for the ``others``."""
    entries = tuple(given)
    if len(entries) != count:
        raise InvalidInput(
            f"{name}: one {kind} or None a head needed ({count}), got {len(entries)}; give None "
            f"for heads {others}."
        )
    return entries


def _read_own(
    own: Any, heads: Sequence[TropicalPolynomial], d_out: int
) -> tuple[OwnValue | None, ...] | None:
    if own is None:
        return None
    values = _one_a_head("own", "OwnValue", own, len(heads), "whose values are constants")
    read: list[OwnValue | None] = []
    for h, (value, head) in enumerate(zip(values, heads, strict=True)):
        if value is None:
            read.append(None)
            continue
        shape = (head.dim, d_out)
        matrix = shared(f"own[{h}].matrix", value.matrix, 2, shape=str(shape))
        if matrix.shape != shape or not 0 <= value.term < head.n_terms:
            raise InvalidInput(
                f"own[{h}]: a term in 0..{head.n_terms - 1} and a matrix of shape {shape} needed, "
                f"got {value.term} and {matrix.shape}; the value is values[term] + x @ matrix."
            )
        read.append(OwnValue(value.term, matrix))
    return tuple(read) if any(value is not None for value in read) else None


def _read_logits(
    logits: Any, heads: Sequence[TropicalPolynomial]
) -> tuple[Logits | None, ...] | None:
    if logits is None:
        return None
    others = "whose scores softmax takes as they are"
    read = _one_a_head("logits", "Logits", logits, len(heads), others)
    return read if any(change is not None for change in read) else None


def _read_tokens(tokens: Any, heads: Sequence[TropicalPolynomial]) -> tuple[NDArray[np.int64], ...]:
    if tokens is None:
        return tuple(freeze(np.arange(head.n_terms)) for head in heads)
    read = []
    for h, (given, head) in enumerate(
        zip(_per_head("tokens", tokens, heads, 1), heads, strict=True)
    ):
        row = loose(given)
        if row.dtype.kind not in "iu" or row.shape != (head.n_terms,):
            raise InvalidInput(
                f"tokens[{h}]: {head.n_terms} integers needed, one a term, got shape {row.shape} "
                f"of {row.dtype}; -1 stands for a sink."
            )
        read.append(freeze(row.astype(np.int64)))
    return tuple(read)

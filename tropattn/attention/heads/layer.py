"""A multi-head attention layer, before and after its context is fixed."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_array, as_fractions, freeze, is_exact, to_float
from tropattn.attention.heads.fixed import FixedLayer, OwnValue
from tropattn.attention.heads.head import AttentionHead, kept_tokens, read_positions, read_states
from tropattn.attention.heads.linear import exact_product, loose, n_axes, read_vector, row_products
from tropattn.attention.heads.logits import HeadNorm
from tropattn.attention.heads.rotary import RotaryEmbedding
from tropattn.errors import InvalidInput
from tropattn.values import Value, counted

__all__ = ["AttentionLayer"]


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class AttentionLayer(Value):
    """Attention of ``H`` heads, ``x -> [x +] b_O + sum_h sum_j p_hj(x) v_hj W_O^h`` (theory T12).

    Parameters
    ----------
    heads : ``AttentionHead`` values of equal widths; heads may share key and value matrices.
    b_O : (d_model,), zero when omitted.
    residual : whether the query's state itself is added.
    variable : the name of the state that queries are read from, for records.
    window : a query sees the keys fewer than ``window`` positions before or behind its own
        (sliding-window attention), or None for all.

    Raises
    ------
    InvalidInput : no heads, widths that differ, or a window that is no positive integer.

    Examples
    --------
    >>> head = AttentionHead([[1]], [[1]], [[1]], [[10]])
    >>> layer = AttentionLayer([head, head])
    >>> fixed = layer.fix([[1], [-1]])          # keys and values 1 and -1
    >>> fixed([2.0]).tolist(), fixed.routing([-3.0]).tolist()
    ([22.0], [1, 1])
    """

    heads: tuple[AttentionHead, ...]
    b_O: Array
    residual: bool
    variable: str
    window: int | None

    def __init__(
        self,
        heads: Sequence[AttentionHead],
        b_O: Any = None,
        residual: bool = True,
        variable: str = "layer input",
        window: int | None = None,
    ) -> None:
        units = _read_heads(heads)
        first = units[0]
        if residual and first.d_out != first.d_query:
            raise InvalidInput(
                f"heads: W_O into R^{first.d_query} needed for a residual layer, got "
                f"R^{first.d_out}; pass residual=False."
            )
        object.__setattr__(self, "heads", units)
        object.__setattr__(
            self, "b_O", read_vector("b_O", b_O, first.d_out, why="one a column of W_O")
        )
        object.__setattr__(self, "residual", bool(residual))
        object.__setattr__(self, "variable", str(variable))
        object.__setattr__(self, "window", _read_window(window))

    @classmethod
    def from_arrays(
        cls,
        W_Q: Any,
        W_K: Any,
        W_V: Any,
        W_O: Any,
        b_Q: Any = None,
        b_K: Any = None,
        b_V: Any = None,
        b_O: Any = None,
        *,
        scale: Any = None,
        rope: RotaryEmbedding | None = None,
        sinks: Any = None,
        slants: Any = None,
        q_norms: Sequence[HeadNorm] | None = None,
        k_norms: Sequence[HeadNorm] | None = None,
        cap: float | None = None,
        residual: bool = True,
        variable: str = "layer input",
        window: int | None = None,
    ) -> AttentionLayer:
        """Build a layer from stacked arrays; fewer key heads than query heads are shared (T1).

        Parameters
        ----------
        W_Q, W_O : (H, d_model, d_head) and (H, d_v, d_model).
        W_K, W_V : (H_kv, d_model, d_head) and (H_kv, d_model, d_v), ``H`` a multiple of ``H_kv``;
            query head ``h`` reads key head ``h // (H / H_kv)`` (grouped-query attention).
        b_Q : (H, d_head). b_K, b_V : (H_kv, d_head) and (H_kv, d_v). b_O : (d_model,).
        sinks, slants : (H,), or None. q_norms, k_norms : ``H`` and ``H_kv`` of them, or None. The
            rest as in ``AttentionHead`` and ``AttentionLayer``.

        Raises
        ------
        InvalidInput : shapes that do not fit, or ``H`` no multiple of ``H_kv``.

        >>> one = [[[1]]]
        >>> layer = AttentionLayer.from_arrays([[[1]], [[2]]], one, one, [[[1]], [[1]]])
        >>> len(layer.heads), layer.heads[0].W_K is layer.heads[1].W_K
        (2, True)
        """
        query = _split("W_Q", W_Q, 2, None)
        key = _split("W_K", W_K, 2, None)
        n_heads, n_shared = len(query), len(key)
        if n_heads % n_shared:
            raise InvalidInput(
                f"W_K: a number of key heads that divides the {n_heads} query heads needed, got "
                f"{n_shared}; grouped-query attention shares each key head evenly."
            )
        value = _split("W_V", W_V, 2, n_shared)
        out = _split("W_O", W_O, 2, n_heads)
        biases = (
            _split("b_Q", b_Q, 1, n_heads),
            _split("b_K", b_K, 1, n_shared),
            _split("b_V", b_V, 1, n_shared),
        )
        logits = _split("sinks", sinks, 0, n_heads)
        leaning = _split("slants", slants, 0, n_heads)
        q_normed = [None] * n_heads if q_norms is None else list(q_norms)
        k_normed = [None] * n_shared if k_norms is None else list(k_norms)
        heads = []
        for h in range(n_heads):
            g = h * n_shared // n_heads
            arrays = (query[h], key[g], value[g], out[h], biases[0][h], biases[1][g], biases[2][g])
            more = {"slant": leaning[h], "q_norm": q_normed[h], "k_norm": k_normed[g], "cap": cap}
            heads.append(AttentionHead(*arrays, scale=scale, rope=rope, sink=logits[h], **more))
        return cls(heads, b_O, residual, variable, window)

    def without_rope(self) -> AttentionLayer:
        """Return the layer without rotations and window, all tokens at the query's position.

        With it, keys of a whole vocabulary are one context (theory T1).

        >>> head = AttentionHead([[1, 0]], [[1, 0]], [[1]], [[1]], rope=RotaryEmbedding(1e4))
        >>> AttentionLayer([head]).without_rope().heads[0].rope is None
        True
        """
        heads = [replace(head, rope=None, slant=None) for head in self.heads]
        return AttentionLayer(heads, self.b_O, self.residual, self.variable)

    # ---- the context --------------------------------------------------------------------------

    def fix(
        self,
        states: Any,
        *,
        bias: Any = None,
        mask: Any = None,
        positions: Any = None,
        query_position: Any = None,
        own_key: Literal["frozen", "excluded"] = "frozen",
        own_value: Literal["fixed", "live"] = "fixed",
        rounded: bool = False,
    ) -> FixedLayer:
        """Fix keys and values by the context and let one query's state move (theory T1, T12).

        Parameters
        ----------
        states : (N, d_model), the states that keys and values are read from.
        bias : (N,) or (H, N), added to the scores (scaled logits).
        mask : (N,) or (H, N) booleans, True for a key that is kept.
        positions : (N,) integers, ``0..N-1`` when omitted.
        query_position : the query's own, the last row's when omitted.
        own_key : "frozen", every row is a key, the query's own at its value in ``states``;
            "excluded", the row at the query's position is dropped.
        own_value : "fixed", the query's own value stands still like its key; "live", it is read
            from the moving state: where a head routes to the own key, the piece adds
            ``(x W_V + b_V) W_O`` (theory T12).
        rounded : whether ``W_V W_O`` of own values is rounded to doubles, as is fit for a network
            that is an approximation already, and a hundred times faster.

        Returns
        -------
        FixedLayer
            One polynomial on R^{d_query} a head; its ``tokens`` say which row each term is. Rows
            that the window hides from the query are dropped.

        Raises
        ------
        InvalidInput : wrong shapes, no key left, or "excluded" or "live" without exactly one row
            at the query's position.

        Notes
        -----
        Cost ``O(H N d_model (d_head + d_v))``, and for own values ``W_V W_O``.

        >>> layer = AttentionLayer([AttentionHead([[1]], [[1]], [[1]], [[1]])])
        >>> layer.fix([[1], [2], [3]], own_key="excluded").tokens[0].tolist()
        [0, 1]
        >>> layer.fix([[1], [2], [3]], own_value="live")([5.0]).tolist()       # 5, and its value 5
        [10.0]
        """
        rows = read_states(states, self.heads[0].d_model)
        where, query = read_positions(positions, query_position, len(rows))
        keep = self._keep(mask, where, query, own_key)
        own_row = self._own_row(where, query, own_key, own_value)
        added = self._bias(bias, len(rows))
        heads, values, tokens, own = [], [], [], []
        for h, head in enumerate(self.heads):
            kept = kept_tokens(len(rows), keep[h])
            heads.append(
                head.scores(
                    rows, bias=added[h], mask=keep[h], positions=where, query_position=query
                )
            )
            value = head.values(rows)
            if own_row is not None:
                value = value.copy()
                constant = row_products("b_V", head.b_V[None, :], head.W_O)[0]
                value[own_row] = as_fractions(constant) if is_exact(value) else constant
            value = value[kept]
            own.append(_own_value(head, kept, own_row, rounded))
            if head.sink is not None:
                zero = np.zeros((1, head.d_out), dtype=int)
                value, kept = np.vstack([value, zero]), np.append(kept, -1)
            values.append(value)
            tokens.append(kept)
        logits = [head.logits for head in self.heads]
        more = {"variable": self.variable, "own": own, "logits": logits}
        return FixedLayer(heads, values, tokens, self.b_O, self.residual, **more)

    def _own_row(
        self, where: NDArray[np.int64], query: int, own_key: str, own_value: str
    ) -> int | None:
        """The row whose value moves, or None."""
        if own_value not in ("fixed", "live"):
            raise InvalidInput(
                f"own_value: 'fixed' or 'live' needed, got {own_value!r}; live is read from the "
                "state that moves."
            )
        if own_value == "fixed":
            return None
        own = np.flatnonzero(where == query)
        if own_key != "frozen" or len(own) != 1:
            got = f"own_key={own_key!r}" if own_key != "frozen" else f"{len(own)} rows there"
            raise InvalidInput(
                "own_value: 'live' needs own_key='frozen' and exactly one row at the query's "
                f"position {query}, got {got}; a token without own key has no own value."
            )
        first = self.heads[0]
        if first.d_query != first.d_model:
            raise InvalidInput(
                "own_value: 'live' needs queries and values read from the same states, got widths "
                f"{first.d_query} and {first.d_model}; use 'fixed' for a cross-attention."
            )
        return int(own[0])

    def _keep(
        self, mask: Any, where: NDArray[np.int64], query: int, own_key: str
    ) -> NDArray[np.bool_]:
        if own_key not in ("frozen", "excluded"):
            raise InvalidInput(
                f"own_key: 'frozen' or 'excluded' needed, got {own_key!r}; "
                "live own keys are analysed on lines only."
            )
        flags = np.ones((len(self.heads), len(where)), dtype=bool)
        if mask is not None:
            given = loose(mask)
            if given.dtype != np.bool_ or given.shape not in (flags.shape, flags.shape[1:]):
                raise InvalidInput(
                    f"mask: booleans of shape ({len(where)},) or {flags.shape} needed, got shape "
                    f"{given.shape} of {given.dtype}; True keeps a key."
                )
            flags &= given
        if self.window is not None:
            flags &= np.abs(query - where) < self.window
        if own_key == "excluded":
            own = where == query
            if own.sum() != 1:
                raise InvalidInput(
                    f"own_key: 'excluded' needs exactly one row at the query's position {query}, "
                    f"got {own.sum()}; use 'frozen' for a query from outside the context."
                )
            if len(where) == 1:
                raise InvalidInput(
                    "own_key: 'excluded' needs a second token, got one; "
                    "the first token has no other key, so use 'frozen' or a later position."
                )
            flags &= ~own
        return flags

    def _bias(self, bias: Any, n_tokens: int) -> list[Any]:
        if bias is None:
            return [None] * len(self.heads)
        if n_axes(bias) == 1:
            return [as_array("bias", bias, 1, shape=f"({n_tokens},)")] * len(self.heads)
        shape = (len(self.heads), n_tokens)
        stacked = as_array("bias", bias, 2, shape=f"({n_tokens},) or {shape}")
        if stacked.shape != shape:
            raise InvalidInput(
                f"bias: shape ({n_tokens},) or {shape} needed, got {stacked.shape}; "
                "give one number a key, or one row a head."
            )
        return list(stacked)

    def __repr__(self) -> str:
        return (
            f"AttentionLayer({counted(len(self.heads), 'head')}, d_model={self.heads[0].d_model}, "
            f"d_head={self.heads[0].d_head}, {self.variable})"
        )


def _own_value(
    head: AttentionHead, kept: NDArray[np.int64], own_row: int | None, rounded: bool
) -> OwnValue | None:
    """The own value of a head; a head that does not see its own token has constant values."""
    place = np.flatnonzero(kept == own_row) if own_row is not None else []
    if not len(place):
        return None
    if rounded:
        product = row_products("W_V", to_float(head.W_V)[0], to_float(head.W_O)[0])
    else:
        product = exact_product(head.W_V, head.W_O)
    return OwnValue(int(place[0]), product)


def _read_heads(heads: Any) -> tuple[AttentionHead, ...]:
    try:
        units = tuple(heads)
    except TypeError:
        units = (heads,)
    if not units:
        raise InvalidInput("heads: at least one needed, got none; pass AttentionHead values.")
    for h, head in enumerate(units):
        if not isinstance(head, AttentionHead):
            raise InvalidInput(
                f"heads: AttentionHead values needed, got {type(head).__name__} at {h}; "
                "build one with AttentionHead(W_Q, W_K, W_V, W_O)."
            )
        widths = (head.d_query, head.d_model, head.d_out)
        first = (units[0].d_query, units[0].d_model, units[0].d_out)
        if widths != first:
            raise InvalidInput(
                f"heads: equal widths (query, key, output) {first} needed, got {widths} for head "
                f"{h}; heads of a layer share their states."
            )
    return units


def _read_window(window: Any) -> int | None:
    if window is None:
        return None
    try:
        width = operator.index(window)
    except TypeError:
        width = 0
    if isinstance(window, bool) or width < 1:
        raise InvalidInput(
            f"window: a positive integer or None needed, got {window!r}; it counts the keys in "
            "sight, the query's own included."
        )
    return width


def _split(name: str, stacked: Any, ndim: int, count: int | None) -> list[Any]:
    """Cut a stack into one frozen array a head, or as many Nones."""
    if stacked is None:
        return [None] * (count or 1)
    array = as_array(name, stacked, ndim + 1, shape="(heads, ...), the heads first")
    if len(array) != (count or len(array)) or not len(array):
        raise InvalidInput(
            f"{name}: {count or 'at least one'} heads needed along the first axis, got "
            f"{len(array)}; axis order is head, d_model, d_head."
        )
    if ndim == 0 or is_exact(array):
        return list(array)
    return [freeze(part.copy()) for part in array]

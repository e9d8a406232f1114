"""One attention head, and the tropical polynomial that its scores are once the keys are fixed."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_array, as_fractions, is_exact, to_float
from tropattn.attention.heads.linear import exact_sum, loose, read_vector, row_products, shared
from tropattn.attention.heads.logits import HeadNorm, Logits, read_cap
from tropattn.attention.heads.rotary import RotaryEmbedding
from tropattn.errors import InvalidInput
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.terms import AffineMap
from tropattn.values import Value

__all__ = ["AttentionHead", "kept_tokens", "read_positions", "read_states"]


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class AttentionHead(Value):
    """Scores ``s_j(x) = scale * <x W_Q + b_Q, k_j> + beta_j`` and values ``v_j W_O`` (theory T1).

    Parameters
    ----------
    W_Q : (d_model, d_head); of a cross-attention, (width of the queries' states, d_head).
    W_K, W_V : (d_model, d_head) and (d_model, d_v), with ``k_j = x_j W_K + b_K`` and
        ``v_j = x_j W_V + b_V``.
    W_O : (d_v, d_model), back to the queries' states.
    b_Q, b_K, b_V : (d_head,), (d_head,), (d_v,); zero when omitted.
    scale : positive factor on ``<q, k>``, ``1/sqrt(d_head)`` when omitted; scores are the logits
        after it.
    rope : a ``RotaryEmbedding``, or None.
    sink : a learned logit (scaled) of one more key, with slope 0 and value 0, or None.
    slant : ``m`` of a bias ``m (p_j - p)`` on a key at position ``p_j`` (ALiBi), or None.
    q_norm, k_norm : a ``HeadNorm`` of queries and of keys before they rotate, or None. That of
        queries divides all scores of a query by one number: the polynomial is without it, and
        gaps depend on the state (``logits``).
    cap : ``c`` of a soft cap ``c tanh(s / c)`` on the logits, or None; cells are those without it.

    Raises
    ------
    InvalidInput : shapes that do not fit, NaN or infinity, a scale that is not positive, a sink or
        a slant beside ``q_norm`` or ``cap``: winners would then depend on these.

    Notes
    -----
    Floats are read as the dyadic rationals that they are, object arrays of ``int`` or ``Fraction``
    stay exact. Arrays are frozen; ``dataclasses.replace(head, rope=None)`` gives a changed copy.

    Examples
    --------
    >>> head = AttentionHead([[1], [0]], [[0], [1]], [[1], [0]], [[2, 0]])
    >>> head
    AttentionHead(d_model=2, d_head=1, scale=1.0)
    >>> f = head.scores([[0, 1], [0, 3]])       # keys 1 and 3, query x_1
    >>> f.scores([2.0, 7.0]).tolist(), head.values([[5, 0], [6, 0]]).tolist()
    ([2.0, 6.0], [[10.0, 0.0], [12.0, 0.0]])
    """

    W_Q: Array
    W_K: Array
    W_V: Array
    W_O: Array
    b_Q: Array
    b_K: Array
    b_V: Array
    scale: Any
    rope: RotaryEmbedding | None
    sink: Any
    slant: float | None
    q_norm: HeadNorm | None
    k_norm: HeadNorm | None
    cap: float | None

    def __init__(
        self,
        W_Q: Any,
        W_K: Any,
        W_V: Any,
        W_O: Any,
        b_Q: Any = None,
        b_K: Any = None,
        b_V: Any = None,
        *,
        scale: Any = None,
        rope: RotaryEmbedding | None = None,
        sink: Any = None,
        slant: float | None = None,
        q_norm: HeadNorm | None = None,
        k_norm: HeadNorm | None = None,
        cap: float | None = None,
    ) -> None:
        read = _weights(W_Q, W_K, W_V, W_O)
        d_head, d_v = read["W_Q"].shape[1], read["W_V"].shape[1]
        read["b_Q"] = read_vector("b_Q", b_Q, d_head, why="one a column of W_Q")
        read["b_K"] = read_vector("b_K", b_K, d_head, why="one a column of W_K")
        read["b_V"] = read_vector("b_V", b_V, d_v, why="one a column of W_V")
        for name, value in read.items():
            object.__setattr__(self, name, value)
        if rope is not None and not isinstance(rope, RotaryEmbedding):
            raise InvalidInput(
                f"rope: a RotaryEmbedding or None needed, got {type(rope).__name__}; "
                "pass RotaryEmbedding(theta, layout)."
            )
        if rope is not None and (rope.rotated(d_head) % 2 or rope.rotated(d_head) > d_head):
            raise InvalidInput(
                f"rope: an even d_head needed, got {d_head}; coordinates rotate in pairs."
            )
        object.__setattr__(self, "rope", rope)
        object.__setattr__(self, "scale", _read_scale(scale, d_head))
        object.__setattr__(self, "sink", None if sink is None else _number("sink", sink))
        slant = None if slant is None else float(_number("slant", slant))
        object.__setattr__(self, "slant", slant)
        for name, norm in (("q_norm", q_norm), ("k_norm", k_norm)):
            object.__setattr__(self, name, _read_norm(name, norm, d_head))
        object.__setattr__(self, "cap", read_cap(cap))
        self._refuse_added("sink" if sink is not None else "slant", sink is None and slant is None)

    def _refuse_added(self, name: str, nothing: bool) -> None:
        """Raise where something is added to scores that a norm of queries or a cap changes."""
        if not nothing and (self.q_norm is not None or self.cap is not None):
            raise InvalidInput(
                f"{name}: nothing added to the scores needed beside a norm of queries or a soft "
                f"cap, got a {name}; its weight against the keys would depend on the state."
            )

    @property
    def logits(self) -> Logits | None:
        """From scores to what softmax takes, None where these are the scores themselves."""
        if self.q_norm is None and self.cap is None:
            return None
        return Logits(AffineMap(self.W_Q, self.b_Q), self.q_norm, self.cap)

    # ---- widths -------------------------------------------------------------------------------

    @property
    def d_query(self) -> int:
        """Width of the states that queries are read from; the polynomial's dimension."""
        return self.W_Q.shape[0]

    @property
    def d_model(self) -> int:
        """Width of the states that keys and values are read from."""
        return self.W_K.shape[0]

    @property
    def d_head(self) -> int:
        """Width of queries and keys."""
        return self.W_Q.shape[1]

    @property
    def d_out(self) -> int:
        """Width of the head's output."""
        return self.W_O.shape[1]

    # ---- what the context fixes ---------------------------------------------------------------

    def keys(self, states: Any, *, positions: Any = None, query_position: Any = None) -> Array:
        """Return the keys ``k_j``, (N, d_head), under RoPE turned by ``p_j - query_position``.

        Parameters and errors as in ``scores``. Rows with equal states and, under RoPE, equal
        positions get equal keys, bit for bit. Source: theory T1. Cost ``O(N d_model d_head)``.

        >>> AttentionHead([[1]], [[2]], [[1]], [[1]], b_K=[1]).keys([[3], [4]]).tolist()
        [[7.0], [9.0]]
        """
        rows = read_states(states, self.d_model)
        where, query = read_positions(positions, query_position, len(rows))
        keys = row_products("states", rows, self.W_K, self.b_K)
        if self.k_norm is not None:
            keys = self.k_norm.keys(rows, keys)
        if self.rope is not None:
            keys = self.rope.rotate(keys, where - query, both=True)
        if self.q_norm is not None:
            # The weights of queries, put to the other side of the inner product.
            keys = to_float(self.q_norm.weight)[0] * to_float(keys)[0]
        return keys

    def values(self, states: Any) -> Array:
        """Return what each token adds when it wins, ``(x_j W_V + b_V) W_O``, (N, d_out).

        Source: theory T12. Raises ``InvalidInput`` for states of another width.
        Cost ``O(N d_model d_v)``.

        >>> AttentionHead([[1]], [[1]], [[2]], [[10]], b_V=[1]).values([[3]]).tolist()
        [[70.0]]
        """
        rows = read_states(states, self.d_model)
        mixed = row_products("states", rows, self.W_V, self.b_V)
        return row_products("states", mixed, self.W_O)

    def scores(
        self,
        states: Any,
        *,
        bias: Any = None,
        mask: Any = None,
        positions: Any = None,
        query_position: Any = None,
    ) -> TropicalPolynomial:
        """Return ``f(x) = max_j s_j(x)``, the scores as a function of the query's state (T1).

        Parameters
        ----------
        states : (N, d_model), the states that keys are read from; every row is a key.
        bias : (N,) added to the scores (scaled logits), as ALiBi and T5 do.
        mask : (N,) booleans, True for a key that is kept.
        positions : (N,) integers, used by RoPE; ``0..N-1`` when omitted.
        query_position : the query's own position; the last row's when omitted.

        Returns
        -------
        TropicalPolynomial
            On R^{d_query}; one term a kept row, in their order, then the sink if there is one.
            ``layer.fix`` gives the same terms with their tokens. Factors are kept, not multiplied.

        Raises
        ------
        InvalidInput : wrong shapes, NaN or infinity, or no key left.

        >>> head = AttentionHead([[1]], [[1]], [[1]], [[1]], sink=-1)
        >>> f = head.scores([[1], [2], [3]], mask=[True, False, True], bias=[0, 0, 4])
        >>> f.slopes.tolist(), f.intercepts.tolist()
        ([[1.0], [3.0], [0.0]], [0.0, 4.0, -1.0])
        """
        rows = read_states(states, self.d_model)
        kept = kept_tokens(len(rows), mask)
        self._refuse_added("bias", bias is None)
        biases = read_vector("bias", bias, len(rows), why="one a row of states")[kept]
        if self.slant is not None:
            where, query = read_positions(positions, query_position, len(rows))
            biases = exact_sum(biases, self.slant * (where - query)[kept])
        keys = self.keys(rows, positions=positions, query_position=query_position)[kept]
        if self.sink is not None:
            keys = np.vstack([keys, np.zeros((1, self.d_head), dtype=int)])
            if is_exact(biases) or not isinstance(self.sink, float):
                biases = as_fractions(biases)
            biases = np.append(biases, self.sink)
        maps = (AffineMap(self.W_Q, self.b_Q),)
        return TropicalPolynomial.factored(keys, biases, scale=self.scale, maps=maps)

    def __repr__(self) -> str:
        source = "" if self.d_query == self.d_model else f", d_query={self.d_query}"
        more = "" if self.rope is None else f", rope={self.rope}"
        more += "" if self.sink is None else f", sink={self.sink}"
        more += "" if self.slant is None else f", slant={self.slant}"
        more += "" if self.q_norm is None else ", queries normed"
        more += "" if self.cap is None else f", cap={self.cap}"
        return (
            f"AttentionHead(d_model={self.d_model}{source}, d_head={self.d_head}, "
            f"scale={self.scale}{more})"
        )


def _weights(W_Q: Any, W_K: Any, W_V: Any, W_O: Any) -> dict[str, Array]:
    read = {
        "W_Q": shared("W_Q", W_Q, 2, shape="(d_model, d_head)"),
        "W_K": shared("W_K", W_K, 2, shape="(d_model, d_head)"),
        "W_V": shared("W_V", W_V, 2, shape="(d_model, d_v)"),
        "W_O": shared("W_O", W_O, 2, shape="(d_v, d_model)"),
    }
    for name, array in read.items():
        if 0 in array.shape:
            raise InvalidInput(
                f"{name}: at least one row and one column needed, got shape {array.shape}; "
                "tokens multiply weights from the right, x @ W."
            )
    query, key, value, out = (array.shape for array in read.values())
    if query[1] != key[1]:
        raise InvalidInput(
            f"W_K: as many columns as W_Q needed ({query[1]}), got {key[1]}; "
            "queries and keys share d_head, and weights act as x @ W."
        )
    if key[0] != value[0]:
        raise InvalidInput(
            f"W_V: as many rows as W_K needed ({key[0]}), got {value[0]}; "
            "keys and values are read from the same states."
        )
    if out[0] != value[1]:
        raise InvalidInput(
            f"W_O: as many rows as W_V has columns needed ({value[1]}), got {out[0]}; "
            "W_O has shape (d_v, d_model)."
        )
    return read


def _read_scale(scale: Any, d_head: int) -> Any:
    if scale is None:
        return float(1 / np.sqrt(d_head))
    number = _number("scale", scale)
    if not number > 0:
        raise InvalidInput(
            f"scale: a positive number needed, got {scale}; omit it for 1/sqrt(d_head)."
        )
    return number


def _read_norm(name: str, norm: Any, d_head: int) -> HeadNorm | None:
    if norm is None or (isinstance(norm, HeadNorm) and len(norm.weight) == d_head):
        return norm
    raise InvalidInput(
        f"{name}: a HeadNorm with {d_head} weights or None needed, got {norm!r}; weights are one a "
        "column of W_Q."
    )


def _number(name: str, value: Any) -> Any:
    """One number, a float or a ``Fraction``."""
    return as_array(name, value, 0, shape="one number").item()


def read_states(states: Any, width: int) -> Array:
    """Read states (N, width) with N >= 1, or raise ``InvalidInput``.

    >>> read_states([[1, 2]], 2).shape
    (1, 2)
    """
    rows = shared("states", states, 2, shape=f"(N, {width})")
    if rows.shape[0] < 1 or rows.shape[1] != width:
        raise InvalidInput(
            f"states: shape (N, {width}) with N >= 1 needed, got {rows.shape}; "
            "rows are tokens, and a head without keys has no tropical polynomial."
        )
    return rows


def read_positions(
    positions: Any, query_position: Any, n_tokens: int
) -> tuple[NDArray[np.int64], int]:
    """Read the tokens' positions (``0..N-1`` when None) and the query's (the last one's when None).

    >>> where, query = read_positions(None, None, 3)
    >>> where.tolist(), query
    ([0, 1, 2], 2)
    """
    if positions is None:
        where = np.arange(n_tokens)
    else:
        where = loose(positions)
        if where.dtype.kind not in "iu" or where.shape != (n_tokens,):
            raise InvalidInput(
                f"positions: {n_tokens} integers needed, one a row of states, got "
                f"shape {where.shape} of {where.dtype}; omit them for 0..{n_tokens - 1}."
            )
        if (np.abs(where.astype(np.float64)) > 2.0**31).any():
            raise InvalidInput(
                "positions: integers below 2**31 in size needed, got larger ones; "
                "only their differences matter."
            )
    if query_position is None:
        return where.astype(np.int64), int(where[-1])
    try:
        query = operator.index(query_position)
    except TypeError:
        query = None
    if query is None or abs(query) > 2**31:
        raise InvalidInput(
            f"query_position: an integer below 2**31 needed, got {query_position!r}; "
            "omit it for the last token's."
        )
    return where.astype(np.int64), query


def kept_tokens(n_tokens: int, mask: Any) -> NDArray[np.int64]:
    """Return the indices that a boolean mask keeps, ascending; all of them when it is None.

    >>> kept_tokens(3, [True, False, True]).tolist()
    [0, 2]
    """
    if mask is None:
        return np.arange(n_tokens)
    flags = loose(mask)
    if flags.dtype != np.bool_ or flags.shape != (n_tokens,):
        raise InvalidInput(
            f"mask: {n_tokens} booleans needed, True for a kept key, got shape {flags.shape} "
            f"of {flags.dtype}; numbers that are added to scores go into bias."
        )
    if not flags.any():
        raise InvalidInput(
            f"mask: at least one kept key needed, got {n_tokens} masked ones; "
            "a head without keys has no tropical polynomial."
        )
    return np.flatnonzero(flags)

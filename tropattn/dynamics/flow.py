"""Attention flows: ``x_i' = P(sum over heads of V * (attention average of the tokens))``.

``Q, K, V`` act on columns, as in the papers (``x -> Q x``; on rows ``x @ Q.T``). A head's score is
``beta <Q x, K y>``; the weight that token i gives token j depends on ``kind``:

    softmax        exp(score) / Z_i                      SA with Q = K = V = 1 on the sphere
    unnormalised   exp(score) / n                        USA
    l2             exp(-beta |Q x - K y|^2) / Z_i
    sinkhorn       exp(score) scaled to rows and columns of sum 1
    sigmoid        sigmoid(score) / n
    linear         score / n

Sources: Geshkovski, Letrouit, Polyanskiy, Rigollet (arXiv 2312.10794, 2305.05465); Castin, Ablin,
Carrillo, Peyre (arXiv 2501.18322).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.special import expit

from tropattn._types import Array
from tropattn.arrays import as_array, freeze, is_real, listed, to_float
from tropattn.errors import Inconclusive, InvalidInput
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.terms import AffineMap
from tropattn.values import Value

__all__ = [
    "KINDS",
    "SPACES",
    "Flow",
    "Head",
    "attention_layer",
    "budgeted",
    "energy",
    "energy_rate",
    "readout",
    "residual_layer",
    "sa",
    "score_polynomial",
    "sinkhorn_weights",
    "unsolved",
    "usa",
    "velocity",
]


KINDS = ("softmax", "unnormalised", "l2", "sinkhorn", "sigmoid", "linear")
SPACES = ("sphere", "flat", "rescaled", "prenorm")

_BLOCK_BYTES = 1 << 23
_SAFE_EXPONENT = 300.0
_SINKHORN_ROUNDS = 20_000
_EVALUATIONS = 30_000
_LARGEST_ENERGY = 600.0
"""Inverse temperature up to which the sum of ``exp(beta <x_i, x_j>)`` is a double."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Head(Value):
    """One head: how it scores pairs of tokens and what it reads.

    Parameters
    ----------
    kind : one of ``KINDS``.
    Q, K : (k, d); V : (d, d); None is the identity.
    beta : inverse temperature, >= 0; scores are ``beta <Q x, K y>``.

    Raises
    ------
    InvalidInput : unknown kind, negative beta, or shapes that do not fit.

    >>> Head("softmax", Q=[[1.0, 0.0]], K=[[0.0, 2.0]]).score_matrix(2).tolist()   # beta K^T Q
    [[0.0, 0.0], [2.0, 0.0]]
    """

    kind: str = "softmax"
    Q: Any = None
    K: Any = None
    V: Any = None
    beta: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidInput(f"kind: one of {', '.join(KINDS)} needed, got {self.kind!r}.")
        if not is_real(self.beta) or not 0 <= self.beta < np.inf:
            raise InvalidInput(
                f"beta: a finite number >= 0 needed, got {self.beta}; the limit beta = inf is "
                "Hardmax."
            )
        for name in ("Q", "K", "V"):
            value = getattr(self, name)
            if value is not None:
                matrix = np.array(to_float(as_array(name, value, 2, shape="(rows, d)"))[0])
                object.__setattr__(self, name, freeze(matrix))
        if self.V is not None and self.V.shape[0] != self.V.shape[1]:
            raise InvalidInput(f"V: a (d, d) matrix needed, got {self.V.shape}; fold W_O into V.")
        widths = {m.shape[1] for m in (self.Q, self.K, self.V) if m is not None}
        if len(widths) > 1 or self._rows(self.Q) != self._rows(self.K):
            raise InvalidInput(
                "Q, K, V: shapes (k, d), (k, d), (d, d) with one k and one d needed, got "
                f"{[None if m is None else m.shape for m in (self.Q, self.K, self.V)]}; None is "
                "the (d, d) identity."
            )

    def _rows(self, matrix: Array | None) -> int | None:
        return self.width if matrix is None else matrix.shape[0]

    @property
    def width(self) -> int | None:
        """Dimension d of the tokens; None if every matrix is the identity."""
        known = [m.shape[1] for m in (self.Q, self.K, self.V) if m is not None]
        return known[0] if known else None

    def is_plain(self) -> bool:
        """Whether Q, K and V are all the identity (left as None)."""
        return self.Q is None and self.K is None and self.V is None

    def score_matrix(self, dim: int) -> NDArray[np.float64]:
        """``A = beta K^T Q``, (d, d): the score of x and y is ``<A x, y>`` (arXiv 2501.18322)."""
        q = np.eye(dim) if self.Q is None else self.Q
        k = np.eye(dim) if self.K is None else self.K
        return self.beta * (k.T @ q)

    def value_matrix(self, dim: int) -> NDArray[np.float64]:
        """``V``, (d, d)."""
        return np.eye(dim) if self.V is None else self.V


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Flow(Value):
    """A sum of heads and the space that its tokens move in.

    Parameters
    ----------
    heads : one or more ``Head``.
    space : ``"sphere"`` (velocities are projected on the tangent space), ``"flat"`` (R^d),
        ``"rescaled"`` (R^d in the variable ``z = exp(-t V) x``; one softmax head), ``"prenorm"``
        (R^d, attention reads ``x / |x|``).
    causal : token i reads tokens j <= i only.

    >>> Flow((Head(beta=2.0),), "sphere").name()
    'softmax on the sphere'
    """

    heads: tuple[Head, ...]
    space: str = "sphere"
    causal: bool = False

    def __post_init__(self) -> None:
        given = [self.heads] if isinstance(self.heads, Head) else self.heads
        heads = tuple(listed("heads", given, "e.g. Flow((Head(beta=1.0),))"))
        object.__setattr__(self, "heads", heads)
        if len(heads) == 0 or not all(isinstance(h, Head) for h in heads):
            raise InvalidInput("heads: one or more Head needed; e.g. Flow((Head(beta=1.0),)).")
        if self.space not in SPACES:
            raise InvalidInput(f"space: one of {', '.join(SPACES)} needed, got {self.space!r}.")
        if self.causal and any(h.kind == "sinkhorn" for h in heads):
            raise InvalidInput(
                "causal: a kind other than sinkhorn needed; a triangular matrix with row and "
                "column sums 1 is the identity."
            )
        if self.space == "rescaled" and (len(heads) > 1 or heads[0].kind != "softmax"):
            raise InvalidInput("space: 'rescaled' needs a single softmax head; use 'flat'.")
        if len({h.width for h in heads if h.width is not None}) > 1:
            raise InvalidInput("heads: one dimension d for all heads needed; check the shapes.")

    def __repr__(self) -> str:
        return f"Flow({self.name()})"

    def name(self) -> str:
        """In words."""
        kinds = " + ".join(h.kind for h in self.heads)
        where = {"sphere": "on the sphere", "flat": "in R^d"}.get(self.space, self.space)
        return f"{'causal ' if self.causal else ''}{kinds} {where}"

    def has_gram_form(self) -> bool:
        """Whether the flow closes on the Gram matrix: on the sphere, ``Q = K = V = 1``, SA, USA."""
        head = self.heads[0]
        plain = len(self.heads) == 1 and head.is_plain()
        return plain and self.space == "sphere" and head.kind in ("softmax", "unnormalised")

    def has_energy(self) -> bool:
        """Whether ``E_beta`` rises along the flow: SA and USA without mask, ``beta <= 600``."""
        plain = self.has_gram_form() and not self.causal
        return plain and self.heads[0].beta <= _LARGEST_ENERGY

    def check_tokens(self, tokens: Any) -> NDArray[np.float64]:
        """Tokens (n, d) in doubles, of length 1 on the sphere."""
        x = np.array(to_float(as_array("tokens", tokens, 2, shape="(n, d)"))[0])
        width = next((h.width for h in self.heads if h.width is not None), x.shape[1])
        if not len(x) or x.shape[1] != width or width < 1:
            raise InvalidInput(
                f"tokens: shape (n, {width}) with n >= 1 needed, got {x.shape}; rows are tokens."
            )
        if self.space in ("sphere", "prenorm"):
            length = np.linalg.norm(x, axis=1)
            if self.space == "sphere" and np.abs(length - 1).max() > 1e-9:
                raise InvalidInput(
                    f"tokens: rows of length 1 needed on the sphere, got length "
                    f"{length[np.abs(length - 1).argmax()]:.6g}; divide each row by its norm."
                )
            if length.min() == 0:
                raise InvalidInput("tokens: no zero row allowed with pre-norm; remove it.")
        return x


def sa(beta: float, *, causal: bool = False) -> Flow:
    """Self-attention on the sphere with ``Q = K = V = 1`` (arXiv 2312.10794, equation SA)."""
    return Flow((Head("softmax", beta=beta),), "sphere", causal)


def usa(beta: float, *, causal: bool = False) -> Flow:
    """Its unnormalised variant, the gradient flow of ``n E_beta`` (equation USA)."""
    return Flow((Head("unnormalised", beta=beta),), "sphere", causal)


def readout(flow: Flow, tokens: Array) -> NDArray[np.float64]:
    """What attention writes for each token, before any projection; (n, d).

    >>> readout(Flow((Head(beta=0.0),), "flat"), np.array([[1.0], [3.0]])).ravel().tolist()
    [2.0, 2.0]
    """
    out = np.zeros_like(tokens)
    for head in flow.heads:
        q = tokens if head.Q is None else tokens @ head.Q.T
        k = tokens if head.K is None else tokens @ head.K.T
        v = tokens if head.V is None else tokens @ head.V.T
        if head.kind == "sinkhorn":
            out += sinkhorn_weights(head.beta * (q @ k.T)) @ v
        elif head.kind == "linear" and not flow.causal:
            # Associativity: O(n d^2) instead of O(n^2 d).
            out += (head.beta / len(tokens)) * (q @ (k.T @ v))
        else:
            _by_blocks(head, q, k, v, flow.causal, out)
    return out


def velocity(flow: Flow, tokens: Array, time: float = 0.0) -> NDArray[np.float64]:
    """``dx/dt`` of every token, (n, d); in the variable ``z`` for the rescaled space.

    On the sphere the tokens are normalised first, so an integrator's drift off it does not grow.
    Cost O(n^2 d) a head.

    >>> velocity(sa(0.0), np.array([[1.0, 0.0], [0.0, 1.0]])).tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """
    if flow.space == "flat":
        return readout(flow, tokens)
    if flow.space == "rescaled":
        v = flow.heads[0].value_matrix(tokens.shape[1])
        x = tokens @ expm(time * v).T
        return (readout(flow, x) - x @ v.T) @ expm(-time * v).T
    y = tokens / np.linalg.norm(tokens, axis=1, keepdims=True)
    moved = readout(flow, y)
    if flow.space == "prenorm":
        return moved
    moved -= np.einsum("ij,ij->i", y, moved)[:, None] * y
    return moved


def budgeted(
    rate: Callable[[float, Array], Array], most: int = _EVALUATIONS
) -> Callable[[float, Array], Array]:
    """The right-hand side of an integration, which gives up after so many evaluations.

    A flow of 32 tokens takes 20,000 up to time 10^4; a stiff or endless one would take all
    the time there is.
    """
    used = 0

    def counted(t: float, y: Array) -> Array:
        nonlocal used
        used += 1
        if used > most:
            raise unsolved(f"more than {most} evaluations")
        return rate(t, y)

    return counted


def unsolved(message: str) -> Inconclusive:
    """What to raise where the integrator gave up, so that no number is given."""
    return Inconclusive(
        f"integrator: a solution within its tolerance needed, got none ({message.rstrip('.')}); "
        "lower beta or shorten the times."
    )


def residual_layer(flow: Flow, tokens: Array, step: float) -> NDArray[np.float64]:
    """One layer ``x + h * attention(x)``, put back on the sphere by dividing by the length.

    With h = 0.1 this is the scheme behind the figures of arXiv 2312.10794; on the sphere it lags
    the flow by about the factor 1 + h, since the radial part is not projected out.

    >>> x = residual_layer(sa(0.0), np.array([[1.0, 0.0], [0.0, 1.0]]), 1.0)
    >>> (x[0] / x[0, 1]).tolist()       # (1, 0) + (1/2, 1/2), up to length
    [3.0, 1.0]
    """
    if flow.space == "rescaled":
        raise InvalidInput("space: sphere, flat or prenorm needed for layers, got 'rescaled'.")
    y = tokens / np.linalg.norm(tokens, axis=1, keepdims=True) if flow.space == "prenorm" else None
    moved = tokens + step * readout(flow, tokens if y is None else y)
    return _normalised(moved) if flow.space == "sphere" else moved


def attention_layer(flow: Flow, tokens: Array) -> NDArray[np.float64]:
    """One layer without residual, ``attention(x)``, on the sphere divided by its length.

    >>> attention_layer(sa(0.0), np.array([[1.0, 0.0], [-0.6, 0.8]]))[0].round(6).tolist()
    [0.447214, 0.894427]
    """
    moved = readout(flow, tokens)
    return _normalised(moved) if flow.space == "sphere" else moved


def energy(beta: float, gram: Array) -> float:
    """``E_beta = sum_ij exp(beta <x_i, x_j>) / (2 beta n^2)`` from the Gram matrix (n, n).

    At ``beta = 0`` its limit without the constant ``1 / (2 beta)``.

    >>> energy(0.0, np.eye(2)), round(energy(1.0, np.zeros((2, 2))), 6)
    (0.25, 0.5)
    """
    n = len(gram)
    if beta == 0:
        return float(gram.sum()) / (2 * n * n)
    return float(np.exp(beta * gram).sum()) / (2 * beta * n * n)


def energy_rate(flow: Flow, tokens: Array, moved: Array | None = None) -> float:
    """``dE/dt`` along SA or USA: ``(1/n) sum_i (Z_i/n) |x_i'|^2``, with 1 for ``Z_i/n`` in USA.

    ``moved`` holds the velocities where they are known. Source: arXiv 2312.10794, section 3.
    """
    if not flow.has_energy():
        raise InvalidInput(f"flow: SA or USA without mask, beta <= 600, needed, got {flow.name()}.")
    head, n = flow.heads[0], len(tokens)
    squares = ((velocity(flow, tokens) if moved is None else moved) ** 2).sum(axis=1)
    if head.kind == "unnormalised":
        return float(squares.sum()) / n
    y = _normalised(tokens)
    partition = np.exp(head.beta * (y @ y.T)).sum(axis=1) / n
    return float(partition @ squares) / n


def score_polynomial(head: Head, tokens: Array) -> TropicalPolynomial:
    """The head's tropical polynomial of a query x: softmax weights are its weights at tau = 1.

    Terms ``beta <Q x, K x_j>``, for l2 ``2 beta <Q x, K x_j> - beta |K x_j|^2``, kept in factors.
    Its cells are the zero-temperature partition: a power diagram, for l2 a Voronoi diagram of the
    keys when Q is the identity.

    >>> score_polynomial(Head("l2"), np.array([[0.0], [2.0]])).intercepts.tolist()
    [0.0, -4.0]
    """
    if head.kind not in ("softmax", "unnormalised", "l2") or head.beta == 0:
        raise InvalidInput(
            f"head: softmax, unnormalised or l2 with beta > 0 needed, got {head.kind} with beta "
            f"{head.beta}; the others have no tropical polynomial."
        )
    keys = tokens if head.K is None else tokens @ head.K.T
    maps = () if head.Q is None else (AffineMap(head.Q.T, np.zeros(len(head.Q))),)
    if head.kind == "l2":
        squares = -head.beta * (keys**2).sum(axis=1)
        return TropicalPolynomial.factored(keys, squares, scale=2 * head.beta, maps=maps)
    return TropicalPolynomial.factored(keys, np.zeros(len(keys)), scale=head.beta, maps=maps)


def sinkhorn_weights(scores: Array, *, tolerance: float = 1e-13) -> NDArray[np.float64]:
    """The matrix ``a_i exp(s_ij) b_j`` with all row and column sums 1, (n, n).

    Raises
    ------
    Inconclusive : sums off by more than ``tolerance`` after 20,000 rounds (scores too far apart).

    Notes
    -----
    Sinkhorn 1964; linear convergence at a rate set by the spread of the scores.

    >>> sinkhorn_weights(np.array([[0.0, 3.0], [0.0, 3.0]])).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    shifted = scores - scores.max(axis=1, keepdims=True)
    kernel = np.exp(shifted - shifted.max(axis=0, keepdims=True))
    left = np.ones(len(kernel))
    for _ in range(_SINKHORN_ROUNDS):
        right = 1.0 / (left @ kernel)
        sums = kernel @ right
        off = np.abs(left * sums - 1.0).max()
        left = 1.0 / sums
        if off <= tolerance:
            return left[:, None] * kernel * right
        if not np.isfinite(off):
            break
    raise Inconclusive(
        f"sinkhorn: row and column sums within {tolerance} of 1 needed, not reached; scores spread "
        f"over {float(np.ptp(scores)):.3g}, lower beta."
    )


def _normalised(x: Array) -> NDArray[np.float64]:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _by_blocks(head: Head, q: Array, k: Array, v: Array, causal: bool, out: Array) -> None:
    """Add the read-out of one head, a block of rows at a time so that scores stay in cache."""
    n = len(q)
    scale = 2 * head.beta if head.kind == "l2" else head.beta
    shift = -head.beta * (k**2).sum(axis=1) if head.kind == "l2" else None
    exponential = head.kind in ("softmax", "l2")
    # Scores inside +-300 need no maximum subtracted: exp and its sums stay finite, nothing is lost.
    largest = scale * np.sqrt((q**2).sum(axis=1).max() * (k**2).sum(axis=1).max())
    stable = exponential and largest + (0.0 if shift is None else -shift.min()) > _SAFE_EXPONENT
    keys, scaled = np.ascontiguousarray(k.T), scale * q
    # A column of ones makes the row sums a part of the same matrix product.
    values = np.column_stack([v, np.ones(n)]) if exponential else v
    rows = max(16, _BLOCK_BYTES // (8 * n))
    for start in range(0, n, rows):
        stop = min(n, start + rows)
        scores = scaled[start:stop] @ keys
        if shift is not None:
            scores += shift
        hidden = np.arange(n) > np.arange(start, stop)[:, None] if causal else None
        if hidden is not None and exponential:
            scores[hidden] = -np.inf
        if stable:
            scores -= scores.max(axis=1, keepdims=True)
        weights = _weights(head.kind, scores)
        if exponential:
            product = weights @ values
            out[start:stop] += product[:, :-1] / product[:, -1:]
            continue
        if hidden is not None:
            weights[hidden] = 0.0
        counts = np.arange(start, stop)[:, None] + 1.0 if causal else n
        out[start:stop] += (weights @ values) / counts


def _weights(kind: str, scores: Array) -> Array:
    if kind == "sigmoid":
        return expit(scores, out=scores)
    return scores if kind == "linear" else np.exp(scores, out=scores)

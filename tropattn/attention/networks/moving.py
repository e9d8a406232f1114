"""A stack with live keys: the states of tokens move, their keys and values with them (T11)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_fractions, freeze, is_exact
from tropattn.attention.evaluated.blocks import MLP, Block
from tropattn.attention.evaluated.forward import attend, attention_weights
from tropattn.attention.evaluated.norms import frozen
from tropattn.attention.heads.fixed import read_temperature
from tropattn.attention.heads.head import AttentionHead
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.heads.linear import row_products
from tropattn.attention.heads.rotary import RotaryEmbedding
from tropattn.attention.networks.feedforward import Affine, FeedForward, Maxout, read_points
from tropattn.attention.networks.transformer import Transformer, read_warmth
from tropattn.errors import InvalidInput
from tropattn.tropical.bilinear import BilinearHead, MovingAttention, MovingPointwise, TokenStack
from tropattn.tropical.terms import AffineMap
from tropattn.values import Value, counted

__all__ = ["LayerStep", "LiveNetwork", "live_network"]

Core = AttentionLayer | FeedForward | Affine | Maxout


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LayerStep(Value):
    """One layer of a stack: ``x -> [x +] core(before(x))``, ``before`` one affine map a token.

    ``core`` is None where nothing follows ``before``; one that is residual or affine itself has no
    ``before``. ``context`` (N, d) are the states that an attention layer reads from tokens that
    stand still, None where all move.
    """

    core: Core | None
    residual: bool = False
    before: tuple[AffineMap, ...] | None = None
    context: Array | None = None


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class LiveNetwork(Value):
    """A stack of layers on a sequence of tokens that move, keys and values included (T11).

    Parameters
    ----------
    layers : ``AttentionLayer``, ``FeedForward``, ``Maxout`` or ``Affine`` values, first to last;
        the latter three act on each token by itself.
    n_tokens : length ``N`` of the sequence.
    causal : whether a token sees only itself and earlier ones.

    Raises
    ------
    InvalidInput : no layers or tokens, other objects, or widths that do not fit.

    Notes
    -----
    The variable is all states side by side, in R^{N d}. Scores are quadratic along a line and
    cells curved in higher dimension, so ``count_regions`` takes a ``Line`` as the domain:
    ``Line(start.ravel(), velocity.ravel())``. ``Model.network(..., own_key="live")`` gives the
    stack of a model, of all its tokens or of one.

    Examples
    --------
    >>> head = AttentionHead([[1]], [[1]], [[1]], [[1]])
    >>> net = LiveNetwork([AttentionLayer([head])], 2)
    >>> net([3.0, 2.0]).tolist(), net.routing([[3.0, 2.0], [3.0, 4.0]]).tolist()
    ([6.0, 5.0], [[0, 0], [0, 1]])
    """

    steps: tuple[LayerStep, ...]
    n_tokens: int
    causal: bool
    moving: tuple[int, ...]
    d_model: int

    def __init__(self, layers: Sequence[Core], n_tokens: int, causal: bool = True) -> None:
        given = tuple(layers) if isinstance(layers, Sequence) else (layers,)
        try:
            count = operator.index(n_tokens)
        except TypeError:
            count = 0
        if not given or count < 1:
            raise InvalidInput(
                f"layers, n_tokens: at least one of each needed, got {len(given)} and "
                f"{n_tokens!r}; a stack acts on a sequence."
            )
        width = 0
        for place, layer in enumerate(given):
            if not isinstance(layer, Core):
                raise InvalidInput(
                    "layers: AttentionLayer, FeedForward, Affine or Maxout values needed, got "
                    f"{type(layer).__name__} at {place}; keys are live, so contexts are not fixed."
                )
            enters, leaves = _widths(layer)
            if place and enters != width:
                raise InvalidInput(
                    f"layers: a layer on R^{width} needed at {place}, got one on R^{enters}; "
                    "widths of consecutive layers must agree."
                )
            width = leaves
        self._set([LayerStep(layer) for layer in given], count, bool(causal), tuple(range(count)))

    def _set(
        self, steps: list[LayerStep], count: int, causal: bool, moving: tuple[int, ...]
    ) -> None:
        fields = {
            "steps": tuple(steps),
            "n_tokens": count,
            "causal": causal,
            "moving": moving,
            "d_model": _entry(steps),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of_steps(
        cls, steps: list[LayerStep], n_tokens: int, causal: bool, moving: tuple[int, ...]
    ) -> LiveNetwork:
        """A stack from steps that fit; all tokens but those in ``moving`` stand still."""
        net = object.__new__(cls)
        net._set(steps, n_tokens, causal, moving)
        return net

    @property
    def dim(self) -> int:
        """Dimension of the variable: the moving tokens' states side by side."""
        return len(self.moving) * self.d_model

    # ---- evaluation ---------------------------------------------------------------------------

    def __call__(self, x: Any, temperature: float = 0) -> Array:
        """Return the moving tokens' states behind the last layer, side by side.

        ``x`` (dim,) or (m, dim). At temperature 0 exact ties are averaged, and exact input gives
        exact output. Raises ``InvalidInput`` for another width or NaN. Cost: a forward pass a row.
        """
        warmth = read_temperature(temperature)
        points, single = read_points(x, self.dim)
        if is_exact(points) and warmth == 0:
            out = np.stack([self._exact(row)[0] for row in points])
        else:
            out = self._doubles(points.astype(np.float64), warmth)[0]
        return out[0] if single else out

    def routing(self, x: Any) -> NDArray[np.int64]:
        """Return the winners, (n_units,) or (m, n_units): layer by layer, token by token.

        Keys are named by their token, a sink comes after all tokens; ties give the smallest. In
        doubles the states of later layers are rounded; exact input gives the exact routing.
        """
        points, single = read_points(x, self.dim)
        if is_exact(points):
            out = np.stack([self._exact(row)[1] for row in points])
        else:
            out = self._doubles(points, 0)[1]
        return out[0] if single else out

    def _doubles(self, points: Array, warmth: float) -> tuple[Array, NDArray[np.int64]]:
        state = points.reshape(len(points), len(self.moving), self.d_model)
        parts = [np.zeros((len(points), 0), dtype=np.int64)]
        for step in self.steps:
            entered, inner = state, state
            if step.before is not None:
                parts_in = enumerate(self.moving)
                inner = np.stack(
                    [_mapped(state[:, m], step.before[token]) for m, token in parts_in], axis=1
                )
            state, winners = self._core(step, inner, warmth)
            state = state + entered if step.residual else state
            parts.append(winners.reshape(len(points), -1))
        return state.reshape(len(points), -1), np.hstack(parts)

    def _core(
        self, step: LayerStep, inner: Array, warmth: float
    ) -> tuple[Array, NDArray[np.int64]]:
        """A core's outputs (m, M, d_out) and winners in doubles."""
        core, moving = step.core, list(self.moving)
        if core is None:
            return inner, np.zeros((len(inner), 0), dtype=np.int64)
        if not isinstance(core, AttentionLayer):
            flat = inner.reshape(-1, inner.shape[2])
            out = core(flat).reshape(*inner.shape[:2], -1)
            # An affine map routes nothing.
            none = np.zeros((len(inner), 0), dtype=np.int64)
            return out, none if isinstance(core, Affine) else core.routing(flat)
        rows = inner
        if step.context is not None:
            rows = np.tile(step.context.astype(np.float64), (len(inner), 1, 1))
            rows[:, moving] = inner
        winners = [
            attention_weights(
                head, rows, temperature=0, causal=self.causal, window=core.window
            ).argmax(axis=-1)[:, moving]
            for head in core.heads
        ]
        out = attend(core, rows, temperature=warmth, causal=self.causal)
        return out[:, moving], np.stack(winners, axis=-1)

    def _exact(self, point: Array) -> tuple[Array, NDArray[np.int64]]:
        """States and winners at one point, in rationals."""
        state = point.reshape(len(self.moving), self.d_model)
        parts = [np.zeros(0, dtype=np.int64)]
        for step in self.steps:
            inner, entered = state, state
            if step.before is not None:
                inner = np.stack(
                    [
                        _mapped(row[None], step.before[token])[0]
                        for row, token in zip(state, self.moving, strict=True)
                    ]
                )
            core = step.core
            if isinstance(core, AttentionLayer):
                rows = inner
                if step.context is not None:
                    rows = as_fractions(step.context).copy()
                    rows[list(self.moving)] = inner
                found = [self._attended(core, rows, token) for token in self.moving]
                state = np.stack([out for out, _ in found])
                parts += [winners for _, winners in found]
            else:
                state = inner if core is None else core(inner)
                if core is not None and not isinstance(core, Affine):
                    parts.append(core.routing(inner).ravel())
            state = state + entered if step.residual else state
        return state.ravel(), np.concatenate(parts)

    def _attended(
        self, core: AttentionLayer, rows: Array, token: int
    ) -> tuple[Array, NDArray[np.int64]]:
        first, stop = _seen(core, self.n_tokens, token, self.causal)
        fixed = replace(core, window=None).fix(
            rows[first:stop], positions=np.arange(first, stop), query_position=token
        )
        winners = [
            int(tokens[i]) + first if tokens[i] >= 0 else self.n_tokens
            for tokens, i in zip(fixed.tokens, fixed.routing(rows[token]), strict=True)
        ]
        return fixed(rows[token]), np.array(winners)

    # ---- what the engine counts ---------------------------------------------------------------

    def live_stack(self) -> TokenStack:
        """The layers as the engine of lines reads them (theory T11).

        >>> head = AttentionHead([[1]], [[1]], [[1]], [[1]])
        >>> LiveNetwork([AttentionLayer([head])], 2).live_stack().layers[0].seen
        ((0, 1), (0, 2))
        """
        layers = []
        for step in self.steps:
            core = step.core
            if isinstance(core, AttentionLayer):
                layers.append(self._attention(step, core))
            elif core is None or isinstance(core, Affine):
                before = step.before
                if core is not None:
                    before = (AffineMap(core.matrix, core.offset),) * self.n_tokens
                layers.append(MovingPointwise(None, step.residual, before))
            else:
                (stage,) = core.stages()
                layers.append(MovingPointwise(stage, step.residual, step.before))
        return TokenStack(tuple(layers), self.n_tokens, self.d_model, self.moving)

    def _attention(self, step: LayerStep, core: AttentionLayer) -> MovingAttention:
        seen = [_seen(core, self.n_tokens, token, self.causal) for token in range(self.n_tokens)]
        heads = tuple(_bilinear_head(head) for head in core.heads)
        residual = core.residual or step.residual
        return MovingAttention(heads, core.b_O, tuple(seen), residual, step.before, step.context)

    def __repr__(self) -> str:
        tokens = f"{len(self.moving)} of {self.n_tokens} tokens move"
        return f"LiveNetwork({counted(len(self.steps), 'layer')}, {tokens}, d_model={self.d_model})"


def _widths(core: Core) -> tuple[int, int]:
    if isinstance(core, AttentionLayer):
        head = core.heads[0]
        if head.d_query != head.d_model:
            raise InvalidInput(
                f"layers: queries and keys read from the same states needed, got widths "
                f"{head.d_query} and {head.d_model}; a cross-attention has no sequence of its own."
            )
        return head.d_model, head.d_out
    return core.dim, core.d_out


def _entry(steps: Sequence[LayerStep]) -> int:
    first = steps[0]
    if first.before is not None:
        return first.before[0].matrix.shape[0]
    assert first.core is not None
    return _widths(first.core)[0]


def _seen(layer: AttentionLayer, n_tokens: int, token: int, causal: bool) -> tuple[int, int]:
    """First and stop of the keys that a token sees."""
    reach = n_tokens if layer.window is None else layer.window
    stop = token + 1 if causal else min(n_tokens, token + reach)
    return max(0, token + 1 - reach), stop


def _mapped(rows: Array, step: AffineMap) -> Array:
    return row_products("states", rows, step.matrix, step.offset)


def _refuse_head(head: AttentionHead) -> None:
    if head.slant is not None or head.k_norm is not None or head.logits is not None:
        raise InvalidInput(
            "model: keys and scores without norms, position biases and soft caps needed where "
            "keys are live, got some; use own_key='frozen'."
        )


def _bilinear_head(head: AttentionHead) -> BilinearHead:
    _refuse_head(head)
    return BilinearHead(
        query=AffineMap(head.W_Q, head.b_Q),
        key=AffineMap(head.W_K, head.b_K),
        value=(AffineMap(head.W_V, head.b_V), AffineMap(head.W_O, np.zeros(head.d_out))),
        scale=head.scale,
        turn=None if head.rope is None else _turning(head.rope, head.d_head),
        sink=head.sink,
    )


def _turning(rope: RotaryEmbedding, width: int) -> Callable[[int], Array]:
    """The matrix by which a key at a distance is turned; its doubles are its data."""
    eye = np.eye(width)
    return lambda distance: rope.rotate(eye, np.full(width, distance), both=True)


# ---- the stack of a model -------------------------------------------------------------------


def live_network(
    model: Transformer,
    ids_or_states: Any,
    position: int | None = -1,
    keys_from: Literal["hard", "soft"] = "hard",
    mask: Any = None,
) -> LiveNetwork:
    """Let one token of a model move, its own key and value with it, or all tokens (theory T11).

    Parameters
    ----------
    model : of attention layers, norms and ReLU blocks.
    ids_or_states : text, token ids, or, for a model without norms, the states (N, d) that enter.
    position : the token that moves; a causal model drops the tokens after it. None: all move.
    keys_from : the network, "hard" or "soft", that gives the states of the tokens that stand still
        and those at which norms are frozen.
    mask : all ones, or None: there is no padding where keys move.

    Returns
    -------
    LiveNetwork
        Its variable is what enters layer 0, of the tokens that move. A norm is the affine map
        ``x -> weight (x - mean(x)) / s + bias`` with the scale ``s`` of the given context, one a
        token and place.

    Raises
    ------
    InvalidInput : activations other than ReLU, norms without the blocks between them, or arguments
        as in ``Model.fix``.

    >>> from tropattn.attention.networks.model import Model
    >>> layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
    >>> live_network(Model([layer, layer], [[1], [2]]), [0, 1], position=None)
    LiveNetwork(2 layers, 2 of 2 tokens move, d_model=1)
    """
    warmth = read_warmth(keys_from)
    if model.norms and (not model.blocks or None in model.norms):
        raise InvalidInput(
            "model: the blocks between its norms needed, got none; analyse one layer with "
            "model.fix."
        )
    _refuse_keys(model)
    rows, place, kept = model.kept_context(ids_or_states, position, mask)
    if kept is not None:
        raise InvalidInput(
            "mask: no padding needed where keys are live, got "
            f"{int((~kept).sum())} tokens of it; leave them out of the ids."
        )
    builder = _Builder(model, rows, warmth, place is not None)
    moving = tuple(range(len(rows))) if place is None else (place,)
    return LiveNetwork.of_steps(builder.steps(), len(rows), model.causal, moving)


def _refuse_keys(model: Transformer) -> None:
    """Raise where scores are no bilinear function of states, and for blocks of another kind."""
    for head in (head for layer in model.layers for head in layer.heads):
        _refuse_head(head)
    for block in model.blocks:
        block.parts()


@dataclass(slots=True)
class _Builder:
    """The reference states of a model, layer by layer, and the steps frozen at them."""

    model: Transformer
    stream: Array
    warmth: float
    standing: bool

    def steps(self) -> list[LayerStep]:
        """All layers, first to last."""
        out: list[LayerStep] = []
        for index, layer in enumerate(self.model.layers):
            out += self._attention(index, layer)
            if self.model.blocks:
                out += self._block(self.model.blocks[index])
        return out

    def _attention(self, index: int, layer: AttentionLayer) -> list[LayerStep]:
        model, out = self.model, []
        entering, before = self.stream, None
        if model.norms:
            norm = model.norms[index]
            assert norm is not None
            entering, before = norm(self.stream), frozen(norm, self.stream)
        projection = model.projection if index == 0 else None
        if before is not None and (layer.residual or projection is not None):
            out.append(LayerStep(None, before=before))
            before = None
        if projection is not None:
            out.append(LayerStep(Affine(projection.matrix, projection.offset)))
            entering = _mapped(entering, projection)
        context = freeze(np.array(entering)) if self.standing else None
        outer = before is not None
        out.append(LayerStep(layer, outer, before, context))
        left = attend(layer, entering, temperature=self.warmth, causal=model.causal)
        self.stream = self.stream + left if outer else left
        return out

    def _block(self, block: Block) -> list[LayerStep]:
        mlp, norm = block.parts()
        before = frozen(norm, self.stream)
        self.stream = block(self.stream)
        if block.norm_first:
            return [LayerStep(_feed_forward(mlp, residual=False), True, before)]
        return [LayerStep(None, before=before), LayerStep(_feed_forward(mlp, residual=True))]


def _feed_forward(mlp: MLP, residual: bool) -> FeedForward:
    if mlp.activation != "relu" or mlp.W_gate is not None:
        name = mlp.activation if mlp.W_gate is None else f"gated {mlp.activation}"
        raise InvalidInput(
            f"model: ReLU blocks needed, which are piecewise affine, got {name}; analyse one "
            "layer with model.fix."
        )
    return FeedForward(*mlp.doubles(), residual=residual)

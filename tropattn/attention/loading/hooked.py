"""Any torch model in memory, one context of it: what its attention is given, and checked.

No code of a family: queries, keys, values and masks are taken where the model's library hands them
to its attention function, and the map from states to queries by running the attention again at
other states of the token that moves. What comes out is compared with the model's own weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from tropattn._types import Array, Floats
from tropattn.arrays import freeze
from tropattn.attention.heads.fixed import FixedLayer, softmax
from tropattn.attention.heads.logits import Logits
from tropattn.attention.loading.listening import (
    HIDDEN,
    AttentionCall,
    Heard,
    is_of_transformers,
    listening,
)
from tropattn.attention.loading.memory import import_torch
from tropattn.errors import InvalidInput
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.terms import AffineMap

__all__ = ["hooked_layers"]

_CHUNK = 64
_CLOSE = 1e-5
"""Models rotate and take their softmax in single precision, whatever their weights."""

_Call = tuple[Any, tuple[Any, ...], dict[str, Any], AttentionCall]
"""A module that attends, its arguments, and what was heard of it."""

_REFUSALS = (ValueError, TypeError, RuntimeError, IndexError, KeyError, AssertionError)
"""What models raise at inputs that they do not take."""


def hooked_layers(module: Any, inputs: Any, position: int = -1) -> tuple[FixedLayer, ...]:
    """Return every attention layer of a model with the context of one token fixed (theory T1, T12).

    Parameters
    ----------
    module : a model whose weights are ``softmax(scale <q, k> + bias)``, soft caps and attention
        sinks allowed: of transformers, of TransformerLens (HookedTransformer, TransformerBridge),
        or any whose attention calls ``torch.nn.functional.scaled_dot_product_attention``, as timm's
        ViT and ``torch.nn.TransformerEncoder`` do.
    inputs : for one sequence, token ids (n,), a mapping of the model's own inputs, or, of a model
        outside transformers, states (n, d) or an image (channels, height, width).
    position : the token whose state moves; its own key stays where the context has it.

    Returns
    -------
    tuple of FixedLayer
        One a layer, on the states that enter its attention, in doubles. The output is the heads'
        mixtures of values side by side, before the output projection, without residual.

    Raises
    ------
    InvalidInput : attention that none of the three hears, other tokens' keys that depend on the
        token that moves, queries that are no affine function of its state (norms of queries: load
        the family from a file), or weights that differ from the model's own.

    Notes
    -----
    The model is copied in doubles. Every layer is checked at the token's own state and at five
    others. Cost: ``d / 64`` runs of each layer's attention on 64 sequences.
    """
    torch = import_torch("module")
    made = _in_doubles(torch, module)
    words, run = _inputs(torch, made, inputs)
    with listening(torch, made) as heard, torch.no_grad():
        calls: list[_Call] = []
        handles = _watch(made, heard, calls)
        try:
            run()
        except _REFUSALS as error:
            raise InvalidInput(
                f"inputs: what {type(made).__name__} takes needed, got {str(error)[:120]!r}; pass "
                f"{words}, or a mapping of its own inputs."
            ) from None
        finally:
            for handle in handles:
                handle.remove()
        if not calls:
            of_torch = "torch.nn.functional.scaled_dot_product_attention"
            how = "transformers' interface" if is_of_transformers(made) else of_torch
            raise InvalidInput(
                f"module: attention through {how} needed, got {type(made).__name__}, which has its "
                "own; save it, and load the folder."
            )
        if len(calls) < len(heard.calls):
            raise InvalidInput(
                f"module: modules that attend once each needed, got {len(heard.calls)} calls of "
                f"{len(calls)} modules; attention of another form is not read."
            )
        return tuple(
            _layer(torch, heard, place, call, position) for place, call in enumerate(calls)
        )


def _in_doubles(torch: Any, module: Any) -> Any:
    made = copy.deepcopy(module)
    if is_of_transformers(made):
        return made.to(dtype=torch.float64, device="cpu").eval()
    # Models of TransformerLens move in ways of their own, and ask their settings for the type.
    made = torch.nn.Module.to(made, dtype=torch.float64, device="cpu").eval()
    settings: Any = getattr(made, "cfg", None)
    if hasattr(settings, "dtype"):
        settings.dtype, settings.device = torch.float64, "cpu"
    return made


def _inputs(torch: Any, made: Any, inputs: Any) -> tuple[str, Callable[[], Any]]:
    """What a model takes, in words, and the call that gives it."""
    ours = is_of_transformers(made)
    words = "token ids" if ours else "token ids (n,), states (n, d), an image"
    if hasattr(inputs, "keys"):
        given = {name: inputs[name] for name in inputs.keys()}  # noqa: SIM118 (mappings of torch)
        return words, lambda: made(**given)
    if isinstance(made, torch.nn.MultiheadAttention):
        raise InvalidInput(
            "inputs: none beside a torch.nn.MultiheadAttention needed, got "
            f"{type(inputs).__name__}; from_torch(module).fix(states) fixes its context."
        )
    array = _array(inputs, "token ids (n,)" if ours else words, () if ours else (2, 3))
    tensor = torch.tensor(array if array.dtype.kind in "iu" else array.astype(np.float64))
    if ours:
        return words, lambda: made(input_ids=tensor[None])
    ordered = [m for m in made.modules() if isinstance(m, torch.nn.MultiheadAttention)]
    behind = array.ndim == 2 and ordered and not ordered[0].batch_first
    return words, lambda: made(tensor[:, None] if behind else tensor[None])


def _array(inputs: Any, wanted: str, axes: tuple[int, ...]) -> Array:
    """Whole numbers on one axis, or others on one of ``axes`` many, or raise."""
    needed = f"inputs: {wanted} or a mapping needed, got"
    try:
        array = np.asarray(inputs)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InvalidInput(
            f"{needed} a {type(inputs).__name__} that numpy does not read ({str(error)[:120]}); "
            "give every row the same length, and tensors as .detach().cpu().double()."
        ) from None
    if array.dtype.kind not in "iuf":
        raise InvalidInput(
            f"{needed} {type(inputs).__name__}; text goes through the model's own tokenizer."
        )
    if not array.size:
        raise InvalidInput(f"{needed} none, of shape {array.shape}; give one token at least.")
    if array.ndim not in ((1,) if array.dtype.kind in "iu" else axes):
        raise InvalidInput(
            f"{needed} {array.dtype} numbers of shape {array.shape}; ids are integers on one axis."
        )
    return array


def _watch(made: Any, heard: Heard, calls: list[Any]) -> list[Any]:
    """Keep, of every module that attends, the arguments with which it was called."""

    def before(module: Any, args: Any, kwargs: Any) -> None:
        heard.running.append((module, args, dict(kwargs)))

    def after(module: Any, _args: Any, _kwargs: Any, _out: Any) -> None:
        _, args, kwargs = heard.running.pop()
        last = heard.calls[-1] if heard.calls else None
        if last is not None and last.module is module and (not calls or calls[-1][3] is not last):
            calls.append((module, args, kwargs, last))

    handles = []
    for part in made.modules():
        handles.append(part.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(part.register_forward_hook(after, with_kwargs=True))
    return handles


def _layer(torch: Any, heard: Heard, place: int, call: _Call, position: int) -> FixedLayer:
    module, args, kwargs, first = call
    given: Any = args[0] if args else kwargs.get("hidden_states", next(iter(kwargs.values()), None))
    behind = not getattr(module, "batch_first", True)
    shapes = tuple(first.query.shape), tuple(first.key.shape)
    flat = torch.is_tensor(given) and given.dim() == 3
    states = given.transpose(0, 1) if flat and behind else given
    if not flat or len(states) != 1 or {shape[-2] for shape in shapes} != {states.shape[1]}:
        raise InvalidInput(
            f"module: queries and keys of one sequence needed in layer {place}, got "
            f"{shapes[0]} and {shapes[1]}; cross-attention is not read."
        )
    n_tokens, width = states.shape[1:]
    if not -n_tokens <= position < n_tokens:
        raise InvalidInput(
            f"position: an integer in {-n_tokens}..{n_tokens - 1} needed, got {position}; negative "
            "ones count from the end."
        )
    at = position % n_tokens

    def run(rows: Any) -> AttentionCall:
        """The layer's attention with the token at other states, (m, d)."""
        batch = states.expand(len(rows), -1, -1).clone()
        batch[:, at] = rows
        batch = batch.transpose(0, 1) if behind else batch

        def moved(value: Any) -> Any:
            # Some take the states as queries, as keys and as values.
            return batch if torch.is_tensor(value) and _equal(torch, value, given) else value

        again = {k: moved(v) for k, v in kwargs.items() if "past" not in k and "cache" not in k}
        if torch.is_tensor(again.get("key_padding_mask")):
            again["key_padding_mask"] = again["key_padding_mask"].expand(len(rows), -1)
        try:
            module(*map(moved, args), **again)
        except _REFUSALS as error:
            raise InvalidInput(
                f"module: attention that runs on several sequences needed in layer {place}, got "
                f"{str(error)[:120]!r}; save the model, and load the folder."
            ) from None
        return heard.calls.pop()

    own = states[0, at]
    eye = torch.eye(width, dtype=torch.float64)
    parts = [run(own + chunk).query[:, :, at] for chunk in eye.split(_CHUNK)]
    start = first.query[0, :, at]
    matrix = (torch.cat(parts) - start).numpy().swapaxes(0, 1)
    offset = (start - torch.einsum("i,hij->hj", own, torch.tensor(matrix))).numpy()
    generator = torch.Generator().manual_seed(0)
    moved = own + own.std() * torch.randn(5, width, generator=generator, dtype=torch.float64)
    _check(torch, place, at, matrix, offset, first, own[None])
    _check(torch, place, at, matrix, offset, run(moved), moved, first)
    return _fixed(first, at, matrix, offset)


def _equal(torch: Any, one: Any, other: Any) -> bool:
    return one is other or (one.shape == other.shape and torch.equal(one, other))


def _rows(call: AttentionCall, at: int) -> Floats:
    """The biases (B, H, N) on the keys of one query, -inf where it does not see them."""
    batch, heads, n_tokens = call.key.shape[:3]
    if call.mask is None:
        return np.zeros((batch, heads, n_tokens))
    # One row for all queries where only padding is masked.
    row = at if call.mask.shape[2] > 1 else 0
    rows = call.mask[:, :, row, :n_tokens].numpy()
    if rows.dtype == bool:
        rows = np.where(rows, 0.0, -np.inf)
    rows = np.where(rows < HIDDEN, -np.inf, rows)
    return np.broadcast_to(rows, (batch, heads, n_tokens))


def _check(
    torch: Any,
    place: int,
    at: int,
    matrix: Floats,
    offset: Floats,
    call: AttentionCall,
    states: Any,
    fixed: AttentionCall | None = None,
) -> None:
    """Compare queries, keys and weights with the model's own, or raise."""
    query = np.einsum("mi,hij->mhj", states.numpy(), matrix) + offset
    size = np.abs(query).max() + np.abs(offset).max()
    _same(place, "queries", query, call.query[:, :, at].numpy(), _CLOSE * (1 + size))
    if fixed is not None:
        others = np.arange(call.key.shape[-2]) != at
        for name in ("key", "value"):
            now, before = (getattr(c, name)[:, :, others].numpy() for c in (call, fixed))
            _same(place, f"other tokens' {name}s", now, np.broadcast_to(before, now.shape), _CLOSE)
    scores = call.scale * np.einsum("mhj,mhnj->mhn", query, call.key.numpy())
    if call.cap is not None:
        scores = call.cap * np.tanh(scores / call.cap)
    scores = scores + _rows(call, at)
    if call.sinks is not None:
        column = np.broadcast_to(
            call.sinks.detach().numpy().reshape(1, -1, 1), (*scores.shape[:2], 1)
        )
        scores = np.concatenate([scores, column], axis=-1)
    soft = softmax(scores, 1.0)[..., : call.key.shape[-2]]
    _same(place, "weights", soft, call.weights[:, :, at, : soft.shape[-1]].numpy(), _CLOSE)


def _same(place: int, what: str, found: Array, own: Array, limit: float) -> None:
    # A context of one token has no others, and so nothing that differs.
    axes = tuple(i for i in range(found.ndim) if i != 1)
    difference = np.abs(found - own).max(axis=axes, initial=0.0)
    head = int(difference.argmax())
    if not difference[head] <= limit:
        raise InvalidInput(
            f"module: {what} as softmax(scale <q, k> + bias) with affine queries has them needed, "
            f"got a difference of {difference[head]:.1e} in layer {place}, head {head}; attention "
            "of another form is not read."
        )


def _fixed(call: AttentionCall, at: int, matrix: Floats, offset: Floats) -> FixedLayer:
    """The layer with its context fixed, heads side by side."""
    biases, n_heads = _rows(call, at)[0], call.key.shape[1]
    if call.cap is not None and np.any(np.isfinite(biases) & (biases != 0)):
        raise InvalidInput(
            "module: nothing added to capped scores needed, got a bias; its weight against the "
            "keys would depend on the state."
        )
    heads, values, tokens, logits = [], [], [], []
    d_v = call.value.shape[-1]
    for h in range(n_heads):
        kept = np.flatnonzero(np.isfinite(biases[h]))
        keys, added = call.key[0, h].numpy()[kept], biases[h][kept]
        value = np.zeros((len(kept), n_heads * d_v))
        value[:, h * d_v : (h + 1) * d_v] = call.value[0, h].numpy()[kept]
        if call.sinks is not None:
            keys = np.vstack([keys, np.zeros(keys.shape[1])])
            added = np.append(added, float(call.sinks[h]))
            value, kept = np.vstack([value, np.zeros(value.shape[1])]), np.append(kept, -1)
        query = AffineMap(freeze(matrix[h].copy()), freeze(offset[h].copy()))
        parts = freeze(keys.astype(np.float64)), freeze(added.astype(np.float64))
        heads.append(TropicalPolynomial.factored(*parts, scale=call.scale, maps=(query,)))
        values.append(value)
        tokens.append(kept)
        logits.append(None if call.cap is None else Logits(query, None, float(call.cap)))
    more = {"residual": False, "variable": "input of the attention", "logits": logits}
    return FixedLayer(heads, values, tokens, **more)

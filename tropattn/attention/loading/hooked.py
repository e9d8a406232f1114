"""Any model of transformers in memory, one context of it: what its attention is given, and checked.

No code of a family: queries, keys, values and masks are taken where transformers hands them to its
attention function, and the map from states to queries by running the attention again at other
states of the token that moves. What comes out is compared with the model's own weights.
"""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tropattn._types import Array, Floats
from tropattn.arrays import freeze
from tropattn.attention.heads.fixed import FixedLayer, softmax
from tropattn.attention.heads.logits import Logits
from tropattn.attention.loading.memory import import_torch
from tropattn.errors import InvalidInput
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.terms import AffineMap

__all__ = ["hooked_layers"]

_NAME = "tropattn"
_CHUNK = 64
_HIDDEN = -1e30
_CLOSE = 1e-5
"""Models rotate and take their softmax in single precision, whatever their weights."""


@dataclass(slots=True)
class _Call:
    """One call of an attention function: what it was given, the weights that it gave."""

    module: Any
    query: Any
    key: Any
    value: Any
    mask: Any
    scale: float
    cap: float | None
    sinks: Any
    weights: Any


def hooked_layers(module: Any, inputs: Any, position: int = -1) -> tuple[FixedLayer, ...]:
    """Return every attention layer of a model with the context of one token fixed (theory T1, T12).

    Parameters
    ----------
    module : a model of transformers whose weights are ``softmax(scale <q, k> + bias)``, soft caps
        and attention sinks allowed.
    inputs : token ids (n,), or a mapping of the model's own inputs for one sequence.
    position : the token whose state moves; its own key stays where the context has it.

    Returns
    -------
    tuple of FixedLayer
        One a layer, on the states that enter its attention, in doubles. The output is the heads'
        mixtures of values side by side, before the output projection, without residual.

    Raises
    ------
    InvalidInput : attention outside transformers' interface, other tokens' keys that depend on the
        token that moves, queries that are no affine function of its state (norms of queries: load
        the family from a file), or weights that differ from the model's own.

    Notes
    -----
    The model is copied in doubles. Every layer is checked at the token's own state and at five
    others. Cost: ``d / 64`` runs of each layer's attention on 64 sequences.
    """
    torch = import_torch("module")
    made = copy.deepcopy(module).to(dtype=torch.float64, device="cpu").eval()
    given = _inputs(torch, inputs)
    with _listening(torch, made) as heard, torch.no_grad():
        calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], _Call]] = []
        handles = _watch(made, heard, calls)
        try:
            made(**given)
        except (ValueError, TypeError, RuntimeError, IndexError, KeyError) as error:
            raise InvalidInput(
                f"inputs: what {type(made).__name__} takes needed, got {str(error)[:120]!r}; pass "
                "token ids, or a mapping of its own inputs."
            ) from None
        finally:
            for handle in handles:
                handle.remove()
        if not calls:
            raise InvalidInput(
                f"module: attention through transformers' interface needed, got "
                f"{type(made).__name__}, which has its own; save it, and load the folder."
            )
        return tuple(
            _layer(torch, heard, place, call, position) for place, call in enumerate(calls)
        )


def _inputs(torch: Any, inputs: Any) -> dict[str, Any]:
    if hasattr(inputs, "keys"):
        return {name: inputs[name] for name in inputs.keys()}  # noqa: SIM118 (mappings of torch)
    try:
        ids = np.asarray(inputs)
        whole = ids.dtype.kind in "iu" and ids.ndim == 1 and len(ids) > 0
    except (ValueError, TypeError):
        whole, ids = False, np.empty(0)
    if not whole:
        raise InvalidInput(
            f"inputs: token ids (n,) or a mapping needed, got {type(inputs).__name__}; text goes "
            "through the model's own tokenizer."
        )
    return {"input_ids": torch.tensor(ids)[None]}


@contextmanager
def _listening(torch: Any, made: Any) -> Iterator[list[_Call]]:
    """Let the model call an attention function that notes what it is given."""
    modeling = importlib.import_module("transformers.modeling_utils")
    masking = importlib.import_module("transformers.masking_utils")
    heard: list[_Call] = []

    def listen(module: Any, query: Any, key: Any, value: Any, mask: Any, **more: Any) -> Any:
        eager = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
        if eager is None:
            raise InvalidInput(
                f"module: an eager attention of {type(module).__name__} needed, got none; save the "
                "model, and load the folder."
            )
        out, weights = eager(module, query, key, value, mask, **more)
        scale = more.get("scaling")
        scale = query.shape[-1] ** -0.5 if scale is None else float(scale)
        groups = query.shape[1] // key.shape[1]
        key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
        cap, sinks = more.get("softcap"), more.get("s_aux")
        heard.append(_Call(module, query, key, value, mask, scale, cap, sinks, weights))
        return out, weights

    modeling.ALL_ATTENTION_FUNCTIONS.register(_NAME, listen)
    masking.ALL_MASK_ATTENTION_FUNCTIONS.register(_NAME, masking.eager_mask)
    try:
        made.set_attn_implementation(_NAME)
        yield heard
    finally:
        for table in (modeling.ALL_ATTENTION_FUNCTIONS, masking.ALL_MASK_ATTENTION_FUNCTIONS):
            type(table)._global_mapping.pop(_NAME, None)


def _watch(made: Any, heard: list[_Call], calls: list[Any]) -> list[Any]:
    """Keep, of every module that attends, the arguments with which it was called."""
    open_: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def before(module: Any, args: Any, kwargs: Any) -> None:
        open_.append((module, args, dict(kwargs)))

    def after(module: Any, _args: Any, _kwargs: Any, _out: Any) -> None:
        _, args, kwargs = open_.pop()
        if heard and heard[-1].module is module and (not calls or calls[-1][3] is not heard[-1]):
            calls.append((module, args, kwargs, heard[-1]))

    handles = []
    for part in made.modules():
        handles.append(part.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(part.register_forward_hook(after, with_kwargs=True))
    return handles


def _layer(
    torch: Any, heard: list[_Call], place: int, call: tuple[Any, ...], position: int
) -> FixedLayer:
    module, args, kwargs, first = call
    states = args[0] if args else kwargs["hidden_states"]
    n_tokens, width = states.shape[-2:]
    if not -n_tokens <= position < n_tokens:
        raise InvalidInput(
            f"position: an integer in {-n_tokens}..{n_tokens - 1} needed, got {position}; negative "
            "ones count from the end."
        )
    at = position % n_tokens
    if states.dim() != 3 or first.query.shape[-2] != n_tokens or first.key.shape[-2] != n_tokens:
        raise InvalidInput(
            f"module: queries and keys of one sequence needed in layer {place}, got "
            f"{tuple(first.query.shape)} and {tuple(first.key.shape)}; cross-attention is not read."
        )

    def run(rows: Any) -> _Call:
        """The layer's attention with the token at other states, (m, d)."""
        batch = states.expand(len(rows), -1, -1).clone()
        batch[:, at] = rows
        again = {k: v for k, v in kwargs.items() if "past" not in k and "cache" not in k}
        try:
            if args:
                module(batch, *args[1:], **again)
            else:
                module(**{**again, "hidden_states": batch})
        except (ValueError, TypeError, RuntimeError, IndexError, KeyError) as error:
            raise InvalidInput(
                f"module: attention that runs on several sequences needed in layer {place}, got "
                f"{str(error)[:120]!r}; save the model, and load the folder."
            ) from None
        return heard.pop()

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


def _rows(call: _Call, at: int) -> Floats:
    """The biases (B, H, N) on the keys of one query, -inf where it does not see them."""
    batch, heads, n_tokens = call.key.shape[:3]
    if call.mask is None:
        return np.zeros((batch, heads, n_tokens))
    rows = call.mask[:, :, at, :n_tokens].numpy()
    if rows.dtype == bool:
        rows = np.where(rows, 0.0, -np.inf)
    rows = np.where(rows < _HIDDEN, -np.inf, rows)
    return np.broadcast_to(rows, (batch, heads, n_tokens))


def _check(
    torch: Any,
    place: int,
    at: int,
    matrix: Floats,
    offset: Floats,
    call: _Call,
    states: Any,
    fixed: _Call | None = None,
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
    difference = np.abs(found - own).max(axis=tuple(i for i in range(found.ndim) if i != 1))
    head = int(difference.argmax())
    if not difference[head] <= limit:
        raise InvalidInput(
            f"module: {what} as softmax(scale <q, k> + bias) with affine queries has them needed, "
            f"got a difference of {difference[head]:.1e} in layer {place}, head {head}; attention "
            "of another form is not read."
        )


def _fixed(call: _Call, at: int, matrix: Floats, offset: Floats) -> FixedLayer:
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

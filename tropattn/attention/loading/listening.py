"""What the attention of a torch model is given while it runs: one listener a library.

transformers hands queries, keys and masks to a function that can be exchanged; TransformerLens has
hook points; timm, ``torch.nn.TransformerEncoder`` and much else call one function of torch.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tropattn.errors import InvalidInput

__all__ = ["HIDDEN", "AttentionCall", "Heard", "is_of_transformers", "listening"]

_NAME = "tropattn"
HIDDEN = -1e30
"""Scores below are masked ones."""


@dataclass(slots=True)
class AttentionCall:
    """One call of an attention function: what it was given, the weights that it gave.

    Attributes
    ----------
    module : that attends.
    query, key, value : (B, H, N, d_head), keys repeated for their queries' heads.
    mask : added to the scores, or truth values, (B or 1, H or 1, N, N) or more keys; None for none.
    scale, cap, sinks : positive factor, soft cap, a logit a head; the last two may be None.
    weights : (B, H, N, N) the model's own.
    """

    module: Any
    query: Any
    key: Any
    value: Any
    mask: Any
    scale: float
    cap: float | None
    sinks: Any
    weights: Any


@dataclass(slots=True)
class Heard:
    """Calls in order, and the modules that run, each with its arguments, the innermost last."""

    calls: list[AttentionCall] = field(default_factory=list)
    running: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def hear(self, module: Any, query: Any, key: Any, value: Any, *rest: Any) -> None:
        """Note a call; ``rest`` are mask, scale, cap, sinks and weights."""
        groups = query.shape[1] // key.shape[1]
        key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
        self.calls.append(AttentionCall(module, query, key, value, *rest))


def is_of_transformers(made: Any) -> bool:
    """Whether a model lets its attention function be exchanged; what wraps one does not."""
    return hasattr(type(made), "set_attn_implementation")


@contextmanager
def listening(torch: Any, made: Any) -> Iterator[Heard]:
    """Let the attention of a model be heard while the block runs."""
    heard = Heard()
    hooked = [part for part in made.modules() if _is_hooked(torch, part)]
    if hooked:
        how = _hook_points(torch, hooked, heard)
    elif is_of_transformers(made):
        how = _exchanged(made, heard)
    else:
        how = _one_function(torch, made, heard)
    with how:
        yield heard


@contextmanager
def _exchanged(made: Any, heard: Heard) -> Iterator[None]:
    """Of transformers: an attention function that notes what it is given."""
    modeling = importlib.import_module("transformers.modeling_utils")
    masking = importlib.import_module("transformers.masking_utils")

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
        cap, sinks = more.get("softcap"), more.get("s_aux")
        heard.hear(module, query, key, value, mask, scale, cap, sinks, weights)
        return out, weights

    modeling.ALL_ATTENTION_FUNCTIONS.register(_NAME, listen)
    masking.ALL_MASK_ATTENTION_FUNCTIONS.register(_NAME, masking.eager_mask)
    try:
        made.set_attn_implementation(_NAME)
        yield
    finally:
        for table in (modeling.ALL_ATTENTION_FUNCTIONS, masking.ALL_MASK_ATTENTION_FUNCTIONS):
            type(table)._global_mapping.pop(_NAME, None)


@contextmanager
def _one_function(torch: Any, made: Any, heard: Heard) -> Iterator[None]:
    """Of all others: ``scaled_dot_product_attention``, whose weights on unit values are its own."""
    functional, real = torch.nn.functional, torch.nn.functional.scaled_dot_product_attention

    def listen(
        query: Any,
        key: Any,
        value: Any,
        attn_mask: Any = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        **more: Any,
    ) -> Any:
        how = {"attn_mask": attn_mask, "is_causal": is_causal, "scale": scale, **more}
        shape = query.shape[-2], key.shape[-2]
        if query.dim() == 4:
            units = torch.eye(shape[1], dtype=value.dtype).expand(*key.shape[:2], -1, -1)
            mask = torch.ones(shape, dtype=torch.bool).tril() if is_causal else attn_mask
            mask = mask if mask is None else mask[(None,) * (4 - mask.dim())]
            factor = query.shape[-1] ** -0.5 if scale is None else float(scale)
            module = heard.running[-1][0] if heard.running else None
            own = real(query, key, units, **how)
            heard.hear(module, query, key, value, mask, factor, None, None, own)
        return real(query, key, value, dropout_p=dropout_p, **how)

    fused = torch.backends.mha.get_fastpath_enabled()
    for part in made.modules():
        if hasattr(part, "fused_attn"):
            part.fused_attn = True
    # Torch's own encoder layers are else one call into compiled code.
    torch.backends.mha.set_fastpath_enabled(False)
    functional.scaled_dot_product_attention = listen
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = real
        torch.backends.mha.set_fastpath_enabled(fused)


# ---- TransformerLens ----------------------------------------------------------------------------


def _is_hooked(torch: Any, part: Any) -> bool:
    names = ("hook_q", "hook_k", "hook_v", "hook_attn_scores", "hook_pattern")
    return all(isinstance(getattr(part, name, None), torch.nn.Module) for name in names)


@contextmanager
def _hook_points(torch: Any, parts: list[Any], heard: Heard) -> Iterator[None]:
    """Of TransformerLens: its hook points, rotated queries and keys where there are any."""
    handles = []
    for part in parts:
        seen: dict[str, Any] = {}

        def note(name: str, value: Any, part: Any = part, seen: dict[str, Any] = seen) -> None:
            seen[name] = value
            # Some of the models wrapped say nothing of their scores; these are not heard.
            if name == "hook_pattern" and "hook_attn_scores" in seen:
                heard.hear(part, *_at_hook_points(torch, part, seen))
                seen.clear()

        names = ("hook_q", "hook_k", "hook_v", "hook_rot_q", "hook_rot_k")
        for name in (*names, "hook_attn_scores", "hook_pattern"):
            point: Any = getattr(part, name, None)
            if isinstance(point, torch.nn.Module):
                handles.append(
                    point.register_forward_hook(
                        lambda _point, _given, out, name=name, note=note: note(name, out)
                    )
                )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _at_hook_points(torch: Any, part: Any, seen: dict[str, Any]) -> tuple[Any, ...]:
    """Queries, keys, values, mask, scale, cap, sinks and weights of one attention."""
    weights, scores = seen["hook_pattern"], seen["hook_attn_scores"]
    batch, n_heads, n_tokens = weights.shape[:3]
    given = [seen.get(f"hook_rot_{name}", seen[f"hook_{name}"]) for name in "qk"]
    # What replaced HookedTransformer has heads before tokens in all but flat states.
    bridged = hasattr(part, "original_component")
    query, key, value = (
        part
        if part.dim() == 4 and bridged
        else part.reshape(batch, n_tokens, -1, _width(given[0], n_heads)).transpose(1, 2)
        for part in (*given, seen["hook_v"])
    )
    inner = part.original_component if bridged else part
    scale = 1 / float(inner.attn_scale) if hasattr(inner, "attn_scale") else None
    scale = float(getattr(inner, "scaling", query.shape[-1] ** -0.5)) if scale is None else scale
    cap = getattr(inner, "attn_logit_softcapping", None)
    cap = getattr(getattr(part, "cfg", None), "attn_scores_soft_cap", cap)
    mask = torch.zeros_like(scores).masked_fill(scores < HIDDEN, -torch.inf)
    return query, key, value, mask, scale, cap if cap and cap > 0 else None, None, weights


def _width(query: Any, n_heads: int) -> int:
    """Of a head."""
    return query.shape[-1] if query.dim() == 4 else query.shape[-1] // n_heads

"""Gemma 2 and the text model of Gemma 3: norms on both sides, windows in turn, caps, head norms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tropattn._types import Array
from tropattn.attention.heads.rotary import RotaryEmbedding
from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.decoder import FIXED, NAMES, READ, Decoder, family_of, sliding
from tropattn.attention.loading.rotations import layered_groups, longest, rotation
from tropattn.attention.loading.tensors import Tensors

__all__ = ["ENTRIES", "GEMMA2", "GEMMA3"]

_READ = {name: READ[name] for name in READ if name != "hidden_act"} | {
    "hidden_activation": "gelu_pytorch_tanh",
    "head_dim": 256,
    "pad_token_id": 0,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "layer_types": None,
    # The reference does not look at these two.
    "hidden_act": None,
    "final_logit_softcapping": None,
}
_FIXED = {**FIXED, "use_bidirectional_attention": (False,)}
ENTRIES = {
    "gemma2": Entries({**_READ, "attn_logit_softcapping": 50.0}, _FIXED),
    "gemma3_text": Entries(
        {
            **_READ,
            "rope_theta": 1e6,
            "rope_local_base_freq": 1e4,
            "sliding_window_pattern": 6,
        },
        _FIXED,
    ),
}
_NAMES = {
    **NAMES,
    "norm after attention": "post_attention_layernorm.weight",
    "norm before mlp": "pre_feedforward_layernorm.weight",
    "norm after mlp": "post_feedforward_layernorm.weight",
}
_NORMED = {
    **_NAMES,
    "q norm": "self_attn.q_norm.weight",
    "k norm": "self_attn.k_norm.weight",
}


class _Gemma2(Decoder):
    families = ("gemma2",)
    entries = ENTRIES
    names = _NAMES
    tokenizer = "GemmaTokenizer"
    activation = "hidden_activation"
    lift = 1.0
    pattern: int = 2

    def biased(self) -> tuple[bool | None, bool | None, bool | None]:
        attention = self.config.flag("attention_bias")
        return attention, attention, False

    def embedded(self) -> Array:
        return self.embedding * self.width**0.5

    def window(self, index: int) -> int | None:
        return self.config.needed("sliding_window") if self._slides(index) else None

    def _slides(self, index: int) -> bool:
        return sliding(self.config, index, self.n_layers, (index + 1) % self.pattern != 0)

    def scores(
        self, stems: Mapping[str, str], arrays: Mapping[str, Any], d_head: int
    ) -> dict[str, Any]:
        cap = self.config.values.get("attn_logit_softcapping")
        return {
            "scale": self.config.number("query_pre_attn_scalar") ** -0.5,
            "cap": None if cap is None else self.config.positive("attn_logit_softcapping", cap),
        }


class _Gemma3(_Gemma2):
    families = ("gemma3_text",)
    names = _NORMED

    def __init__(self, tensors: Tensors, config: Config, n_heads: int | None) -> None:
        super().__init__(tensors, config, n_heads)
        self.pattern = self.config.needed("sliding_window_pattern")

    def rotations(self) -> dict[str, Any]:
        return layered_groups(self.config, ("rope_theta", "rope_local_base_freq"))

    def rope(self, index: int, d_head: int) -> RotaryEmbedding | None:
        kind = "sliding_attention" if self._slides(index) else "full_attention"
        return rotation(self.config, self.group[kind], d_head)

    def longest(self) -> int | None:
        limits = [longest(self.config, group) for group in self.group.values()]
        return min((limit for limit in limits if limit is not None), default=None)

    def scores(
        self, stems: Mapping[str, str], arrays: Mapping[str, Any], d_head: int
    ) -> dict[str, Any]:
        return super().scores(stems, arrays, d_head) | {
            "q_norms": self.head_norms(stems["q norm"], len(arrays["W_Q"]), d_head),
            "k_norms": self.head_norms(stems["k norm"], len(arrays["W_K"]), d_head),
        }


GEMMA2 = family_of(_Gemma2)
GEMMA3 = family_of(_Gemma3)

"""Qwen2, with biases of queries, keys and values, and Qwen3, which norms queries and keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tropattn.attention.loading.config import Entries
from tropattn.attention.loading.decoder import FIXED, NAMES, READ, Decoder, family_of

__all__ = ["ENTRIES", "QWEN2", "QWEN3"]

_WINDOW = {
    "use_sliding_window": False,
    "sliding_window": 4096,
    "max_window_layers": 28,
    "layer_types": None,
}
ENTRIES = {
    "qwen2": Entries({**READ, **_WINDOW}, FIXED),
    "qwen3": Entries({**READ, **_WINDOW, "head_dim": 128, "attention_bias": False}, FIXED),
}
_NAMES = {**NAMES, "q norm": "self_attn.q_norm.weight", "k norm": "self_attn.k_norm.weight"}


class _Qwen2(Decoder):
    families = ("qwen2",)
    entries = ENTRIES
    tokenizer = "Qwen2Tokenizer"

    def biased(self) -> tuple[bool | None, bool | None, bool | None]:
        return True, False, False

    def window(self, index: int) -> int | None:
        first = self.config.values["max_window_layers"]
        whole = type(first) is int and first >= 0
        if self.config.values["layer_types"] is None and not whole:
            raise self.config.broken("an integer >= 0", "max_window_layers", first)
        return self.switched_window(index, whole and index >= first)


class _Qwen3(_Qwen2):
    families = ("qwen3",)
    names = _NAMES

    def biased(self) -> tuple[bool | None, bool | None, bool | None]:
        attention = self.config.flag("attention_bias")
        return attention, attention, False

    def scores(
        self, stems: Mapping[str, str], arrays: Mapping[str, Any], d_head: int
    ) -> dict[str, Any]:
        return {
            "q_norms": self.head_norms(stems["q norm"], len(arrays["W_Q"]), d_head),
            "k_norms": self.head_norms(stems["k norm"], len(arrays["W_K"]), d_head),
        }


QWEN2 = family_of(_Qwen2)
QWEN3 = family_of(_Qwen3)

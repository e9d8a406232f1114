"""OLMo 2: no norm before the heads or the MLP but behind both; queries and keys normed whole.

The state that moves is the residual stream itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tropattn._types import Array
from tropattn.attention.evaluated.norms import RMSNorm
from tropattn.attention.heads.logits import HeadNorm
from tropattn.attention.loading.config import Entries
from tropattn.attention.loading.decoder import FIXED, NAMES, READ, Decoder, family_of
from tropattn.tropical.terms import AffineMap

__all__ = ["ENTRIES", "OLMO2"]

ENTRIES = {
    "olmo2": Entries(
        {**READ, "attention_bias": False, "rms_norm_eps": 1e-5, "pad_token_id": 1}, FIXED
    )
}
_NAMES = {name: NAMES[name] for name in NAMES if not name.startswith("norm")} | {
    "q norm": "self_attn.q_norm.weight",
    "k norm": "self_attn.k_norm.weight",
    "norm after attention": "post_attention_layernorm.weight",
    "norm after mlp": "post_feedforward_layernorm.weight",
}


class _Olmo2(Decoder):
    families = ("olmo2",)
    entries = ENTRIES
    names = _NAMES
    tokenizer = "TokenizersBackend"
    variable = "residual stream"

    def biased(self) -> tuple[bool | None, bool | None, bool | None]:
        attention = self.config.flag("attention_bias")
        return attention, attention, False

    def before(self, stems: Mapping[str, str]) -> RMSNorm | None:
        return None

    def scores(
        self, stems: Mapping[str, str], arrays: Mapping[str, Any], d_head: int
    ) -> dict[str, Any]:
        return {
            "q_norms": self._whole(stems["q norm"], arrays["W_Q"], arrays["b_Q"]),
            "k_norms": self._whole(stems["k norm"], arrays["W_K"], arrays["b_K"]),
        }

    def _whole(self, name: str, matrices: Array, offsets: Array | None) -> list[HeadNorm]:
        """The norm of all heads side by side, each head with its own weights."""
        count, width, d_head = matrices.shape
        weights = self.tensors.weight(name, (count * d_head,)).reshape(count, d_head)
        matrix = np.swapaxes(matrices, 0, 1).reshape(width, count * d_head)
        offset = np.zeros(count * d_head) if offsets is None else offsets.reshape(-1)
        whole = AffineMap(matrix, offset)
        return [HeadNorm(weight, self.eps, whole) for weight in weights]


OLMO2 = family_of(_Olmo2)

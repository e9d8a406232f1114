"""Phi-3: Llama with fused projections, heads that may rotate in part, and long rotations."""

from __future__ import annotations

from typing import Any

from tropattn.attention.loading.config import Entries
from tropattn.attention.loading.decoder import FIXED, READ, Decoder, family_of
from tropattn.attention.loading.rotations import kind, rope_group
from tropattn.attention.loading.tensors import Tensors, cut

__all__ = ["ENTRIES", "PHI3"]

_LENGTH = "original_max_position_embeddings"
ENTRIES = {
    "phi3": Entries(
        {
            **READ,
            "rms_norm_eps": 1e-5,
            "pad_token_id": 32000,
            "sliding_window": None,
            _LENGTH: 4096,
        },
        {name: harmless for name, harmless in FIXED.items() if name != _LENGTH},
    )
}


class _Phi3(Decoder):
    families = ("phi3",)
    entries = ENTRIES
    partial = True

    def rotations(self) -> dict[str, Any]:
        # The names that older versions gave to long rotations.
        group = rope_group(self.config, {"su": "longrope", "yarn": "longrope"})
        if kind(group) not in ("default", "longrope"):
            raise self.config.broken("'default' or 'longrope'", "rope_type", kind(group))
        return group

    def whole(self, tensors: Tensors) -> Tensors:
        config = self.config
        heads, width = config.needed("num_attention_heads"), config.needed("hidden_size")
        d_head = config.count("head_dim") or width // heads
        shared = (config.count("num_key_value_heads") or heads) * d_head
        queries, inner = heads * d_head, config.needed("intermediate_size")
        rows: dict[str, dict[str, Any]] = {
            "self_attn.qkv_proj": {
                "self_attn.q_proj": range(queries),
                "self_attn.k_proj": range(queries, queries + shared),
                "self_attn.v_proj": range(queries + shared, queries + 2 * shared),
            },
            "mlp.gate_up_proj": {
                "mlp.gate_proj": range(inner),
                "mlp.up_proj": range(inner, 2 * inner),
            },
        }
        return cut(tensors, rows)

    def window(self, index: int) -> int | None:
        return self.config.count("sliding_window")


PHI3 = family_of(_Phi3)

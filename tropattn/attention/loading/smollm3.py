"""SmolLM3: Llama with layers that do not rotate."""

from __future__ import annotations

from tropattn.attention.heads.rotary import RotaryEmbedding
from tropattn.attention.loading.config import Entries
from tropattn.attention.loading.decoder import FIXED, READ, Decoder, family_of

__all__ = ["ENTRIES", "SMOLLM3"]

ENTRIES = {
    "smollm3": Entries(
        {
            **READ,
            "rope_theta": 2e6,
            "pad_token_id": 128004,
            "tie_word_embeddings": True,
            "attention_bias": False,
            "mlp_bias": False,
            "use_sliding_window": False,
            "sliding_window": None,
            "layer_types": None,
            "no_rope_layers": None,
            "no_rope_layer_interval": 4,
        },
        FIXED,
    )
}


class _SmolLM3(Decoder):
    families = ("smollm3",)
    entries = ENTRIES

    def biased(self) -> tuple[bool | None, bool | None, bool | None]:
        attention = self.config.flag("attention_bias")
        return attention, attention, self.config.flag("mlp_bias")

    def _rotates(self, index: int) -> bool:
        config, listed = self.config, self.config.values["no_rope_layers"]
        if listed is None:
            return (index + 1) % config.needed("no_rope_layer_interval") != 0
        if not isinstance(listed, list) or len(listed) < self.n_layers or not set(listed) <= {0, 1}:
            raise config.broken("0 or 1 a layer", "no_rope_layers", listed)
        return bool(listed[index])

    def rope(self, index: int, d_head: int) -> RotaryEmbedding | None:
        return super().rope(index, d_head) if self._rotates(index) else None

    def window(self, index: int) -> int | None:
        return self.switched_window(index, not self._rotates(index))


SMOLLM3 = family_of(_SmolLM3)

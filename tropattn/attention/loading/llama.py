"""Llama and Mistral as Hugging Face stores them."""

from __future__ import annotations

from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.decoder import FIXED, NAMES, PREFIXES, READ, Decoder, family_of
from tropattn.attention.loading.tensors import Tensors, found_prefixes

__all__ = ["ENTRIES", "LLAMA"]

ENTRIES = {
    "llama": Entries(
        {**READ, "attention_bias": False, "mlp_bias": False},
        {**FIXED, "sliding_window": (), "layer_types": ()},
    ),
    "mistral": Entries({**READ, "sliding_window": 4096}, {**FIXED, "layer_types": ()}),
}


class _Llama(Decoder):
    families = ("llama", "mistral")
    entries = ENTRIES

    def biased(self) -> tuple[bool | None, bool | None, bool | None]:
        if not self.given:
            return None, None, None
        if self.family == "mistral":
            return False, False, False
        attention = self.config.flag("attention_bias")
        return attention, attention, self.config.flag("mlp_bias")

    def window(self, index: int) -> int | None:
        return self.config.count("sliding_window") if self.family == "mistral" else None


def _recognises(tensors: Tensors, _config: Config) -> bool:
    first = NAMES["layer"].format(0) + NAMES["q"] + ".weight"
    return bool(found_prefixes(tensors, first, PREFIXES))


LLAMA = family_of(_Llama, recognises=_recognises)

"""gpt-oss: Llama with attention sinks, windows in turn, and experts with a clamped gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Floats
from tropattn.attention.evaluated.experts import Experts
from tropattn.attention.loading.config import Entries
from tropattn.attention.loading.decoder import FIXED, NAMES, READ, Decoder, family_of, sliding
from tropattn.values import Value

__all__ = ["ENTRIES", "GPT_OSS"]

_ROPE = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}
ENTRIES = {
    "gpt_oss": Entries(
        {
            **READ,
            "head_dim": 64,
            "rms_norm_eps": 1e-5,
            "rope_theta": 150_000.0,
            "attention_bias": True,
            "sliding_window": 128,
            "layer_types": None,
            "num_local_experts": 128,
            "num_experts_per_tok": 4,
            "swiglu_alpha": 1.702,
            "swiglu_limit": 7.0,
            # Of training.
            "output_router_logits": None,
            "router_aux_loss_coef": None,
        },
        FIXED,
        {"num_experts": "num_local_experts"},
    )
}
_ATTENTION = {name: NAMES[name] for name in NAMES if name not in ("gate", "up", "down")}
_NAMES = {
    **_ATTENTION,
    "sinks": "self_attn.sinks",
    "router": "mlp.router",
    "gates and ups": "mlp.experts.gate_up_proj",
    "biases of gates and ups": "mlp.experts.gate_up_proj_bias",
    "downs": "mlp.experts.down_proj",
    "biases of downs": "mlp.experts.down_proj_bias",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Expert(Value):
    """``x -> ((u + 1) g sigmoid(alpha g)) W_2 + b_2``; ``g``, ``u`` are clamped columns in turn."""

    W_1: NDArray[Any]
    b_1: Floats
    W_2: NDArray[Any]
    b_2: Floats
    alpha: float
    limit: float

    def __call__(self, rows: Floats) -> Floats:
        inner = rows @ self.W_1.astype(np.float64) + self.b_1
        gate = np.minimum(inner[:, ::2], self.limit)
        up = np.clip(inner[:, 1::2], -self.limit, self.limit)
        # Here, as few models need it and all would wait for it.
        from scipy.special import expit

        inner = (up + 1) * gate * expit(self.alpha * gate)
        return inner @ self.W_2.astype(np.float64) + self.b_2


class _GptOss(Decoder):
    families = ("gpt_oss",)
    entries = ENTRIES
    names = _NAMES
    tokenizer = "PreTrainedTokenizer"

    def biased(self) -> tuple[bool | None, bool | None, bool | None]:
        attention = self.config.flag("attention_bias")
        return attention, attention, True

    def rotations(self) -> dict[str, Any]:
        group = super().rotations()
        return group if group or self.config.values["rope_parameters"] is not None else dict(_ROPE)

    def window(self, index: int) -> int | None:
        slides = sliding(self.config, index, self.n_layers, (index + 1) % 2 != 0)
        return self.config.needed("sliding_window") if slides else None

    def scores(
        self, stems: Mapping[str, str], arrays: Mapping[str, Any], d_head: int
    ) -> dict[str, Any]:
        return {"sinks": self.tensors.weight(stems["sinks"], (len(arrays["W_Q"]),))}

    def mlp(self, stems: Mapping[str, str]) -> Any:
        config, read, width = self.config, self.tensors.weight, self.width
        count, top = config.needed("num_local_experts"), config.needed("num_experts_per_tok")
        inner = config.needed("intermediate_size")
        if top > count:
            raise config.broken(f"a number up to {count}", "num_experts_per_tok", top)
        first = read(stems["gates and ups"], (count, width, 2 * inner), narrow=True)
        b_first = read(stems["biases of gates and ups"], (count, 2 * inner))
        last = read(stems["downs"], (count, inner, width), narrow=True)
        b_last = read(stems["biases of downs"], (count, width))
        gate = config.number("swiglu_alpha"), config.number("swiglu_limit")
        experts = [
            _Expert(*parts, *gate) for parts in zip(first, b_first, last, b_last, strict=True)
        ]
        router = read(stems["router"] + ".weight", (count, width)).T
        return Experts(router, read(stems["router"] + ".bias", (count,)), experts, top)


GPT_OSS = family_of(_GptOss)

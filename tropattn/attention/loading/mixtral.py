"""Mixtral: Llama with a mixture of experts in the place of each MLP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tropattn._types import Array
from tropattn.attention.evaluated.blocks import MLP
from tropattn.attention.evaluated.experts import Experts
from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.decoder import FIXED, NAMES, READ, Decoder, family_of
from tropattn.attention.loading.tensors import Tensors

__all__ = ["ENTRIES", "MIXTRAL"]

ENTRIES = {
    "mixtral": Entries(
        {
            **READ,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1e6,
            "sliding_window": None,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            # Of training: the noise and the losses of the router.
            "output_router_logits": None,
            "router_aux_loss_coef": None,
            "router_jitter_noise": None,
        },
        FIXED,
        {"num_experts": "num_local_experts"},
    )
}
_ATTENTION = {name: NAMES[name] for name in NAMES if name not in ("gate", "up", "down")}
_FILE = "block_sparse_moe."
_PARTS = {"gate": "w1", "up": "w3", "down": "w2"}
_NAMES = {
    **_ATTENTION,
    "router": _FILE + "gate",
    # Inside a module of transformers 5 all experts are one tensor.
    "router in memory": "mlp.gate",
    "gates and ups": "mlp.experts.gate_up_proj",
    "downs": "mlp.experts.down_proj",
}


class _Mixtral(Decoder):
    families = ("mixtral",)
    entries = ENTRIES

    def __init__(self, tensors: Tensors, config: Config, n_heads: int | None) -> None:
        count = config.under(ENTRIES["mixtral"]).needed("num_local_experts")
        experts = [f"experts.{e}.{name}" for e in range(count) for name in _PARTS.values()]
        self.names = {**_NAMES, **{name: _FILE + name for name in experts}}
        super().__init__(tensors, config, n_heads)

    def window(self, index: int) -> int | None:
        return self.config.count("sliding_window")

    def mlp(self, stems: Mapping[str, str]) -> Any:
        config, width = self.config, self.width
        count, top = config.needed("num_local_experts"), config.needed("num_experts_per_tok")
        inner, activation = config.count("intermediate_size"), config.activation("hidden_act")
        if top > count:
            raise config.broken(f"a number up to {count}", "num_experts_per_tok", top)
        fused = stems["gates and ups"] in self.tensors.shapes
        router = stems["router in memory" if fused else "router"] + ".weight"
        weights = self._fused(stems, count) if fused else self._listed(stems, count, inner)
        experts = [MLP(up.T, None, down.T, None, activation, gate.T) for gate, up, down in weights]
        return Experts(self.tensors.weight(router, (count, width)).T, None, experts, top)

    def _listed(
        self, stems: Mapping[str, str], count: int, inner: int | None
    ) -> list[tuple[Array, ...]]:
        shapes = ((inner, self.width), (inner, self.width), (self.width, inner))
        return [
            tuple(
                self.tensors.weight(f"{stems[f'experts.{e}.{name}']}.weight", shape, narrow=True)
                for name, shape in zip(_PARTS.values(), shapes, strict=True)
            )
            for e in range(count)
        ]

    def _fused(self, stems: Mapping[str, str], count: int) -> list[tuple[Array, ...]]:
        inner, width = self.config.needed("intermediate_size"), self.width
        shape = (count, 2 * inner, width)
        first = self.tensors.weight(stems["gates and ups"], shape, narrow=True)
        last = self.tensors.weight(stems["downs"], (count, width, inner), narrow=True)
        return [(first[e, :inner], first[e, inner:], last[e]) for e in range(count)]


MIXTRAL = family_of(_Mixtral)

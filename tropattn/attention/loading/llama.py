"""The Llama family as Hugging Face stores it, ``model.layers.L.self_attn.q_proj.weight`` etc.

Weights are stored output by input and are transposed here. A layer is read in its
post-normalisation variable: what leaves the RMSNorm before the heads is the state that moves.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn.attention.layer import AttentionLayer
from tropattn.attention.loading.safetensor import TensorFile, named, parse_json
from tropattn.attention.model import Model, RMSNorm
from tropattn.attention.rotary import RotaryEmbedding
from tropattn.errors import InvalidInput

__all__ = ["DEFAULT_EPS", "DEFAULT_THETA", "is_llama", "load_llama"]

Array = NDArray[Any]

DEFAULT_THETA = 1e4
"""RoPE base of a file without a configuration, as in the first Llama."""

DEFAULT_EPS = 1e-6
"""RMSNorm epsilon of a file without a configuration, as in the first Llama."""

_NAME = re.compile(r"model\.layers\.(\d{1,4})\.(self_attn|input_layernorm)\.(.+)")
_ATTENTION = {f"{part}_proj.{kind}" for part in "qkvo" for kind in ("weight", "bias")}
_IGNORED = {"rotary_emb.inv_freq"}
_LARGEST_CONFIG = 10**8


def is_llama(file: TensorFile) -> bool:
    """Whether the tensors have this family's names."""
    return "model.layers.0.self_attn.q_proj.weight" in file.shapes


def load_llama(file: TensorFile, n_heads: int | None = None) -> Model:
    """Read a model of this family, with ``config.json`` and ``vocab.json`` beside it if there.

    Raises ``InvalidInput`` for anything that does not fit, other families with the same names
    included.
    """
    config = _Config(file.path.parent, n_heads)
    n_layers = _count_layers(file, config)
    embedding = file.read("model.embed_tokens.weight", (None, None))
    width = embedding.shape[1]
    layers, norms = [], []
    for index in range(n_layers):
        prefix = f"model.layers.{index}."
        norm = file.read(prefix + "input_layernorm.weight", (width,))
        norms.append(RMSNorm(norm, config.number("rms_norm_eps", DEFAULT_EPS)))
        layers.append(_layer(file, prefix + "self_attn.", width, config))
    return Model(
        layers,
        embedding,
        _vocabulary(file.path.parent / "vocab.json", len(embedding)),
        norms=norms,
        max_length=config.count("max_position_embeddings", None),
    )


class _Config:
    """``config.json`` beside the weights; empty where there is none."""

    def __init__(self, folder: Path, n_heads: int | None) -> None:
        self.path = folder / "config.json"
        self.values = _read_json(self.path) or {}
        self.given_heads = n_heads
        family = self.values.get("model_type", "llama")
        if family != "llama":
            raise InvalidInput(
                f"{self.path}: model_type 'llama' needed, got {family!r}; other families with the "
                "same tensor names compute otherwise and are not read."
            )

    def number(self, name: str, default: float) -> float:
        return self._positive(name, self.values.get(name, default))

    def _positive(self, name: str, value: Any) -> float:
        try:
            good = not isinstance(value, bool) and 0 < float(value) < float("inf")
        except (TypeError, ValueError, OverflowError):
            good = False
        if not good or isinstance(value, str):
            raise InvalidInput(
                f"{self.path}: a positive number as {name} needed, got {str(value)[:40]!r}; "
                "restore the file that came with the weights."
            )
        return float(value)

    def count(self, name: str, default: int | None) -> int | None:
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
            raise InvalidInput(
                f"{self.path}: a positive integer as {name} needed, got {str(value)[:40]!r}; "
                "restore the file that came with the weights."
            )
        return value

    def heads(self, file: TensorFile) -> int:
        """Return the number of query heads, from the configuration or from the caller."""
        listed = self.count("num_attention_heads", None)
        if listed is None and self.given_heads is None:
            raise InvalidInput(
                f"{file.path}: the number of heads needed, got no config.json with "
                "num_attention_heads beside it; pass load(path, n_heads=...)."
            )
        if listed is not None and self.given_heads not in (None, listed):
            raise InvalidInput(
                f"n_heads: {listed} needed as in {self.path}, got {self.given_heads}; omit it."
            )
        return listed if listed is not None else int(self.given_heads or 0)

    def rope(self) -> RotaryEmbedding:
        """Return the plain rotary embedding; scaled variants are refused."""
        nested = self.values.get("rope_parameters")
        scaling = self.values.get("rope_scaling")
        for group in (nested, scaling):
            if group is not None and not isinstance(group, dict):
                raise InvalidInput(
                    f"{self.path}: a JSON object as rope_parameters needed, got "
                    f"{str(group)[:40]!r}; restore the file that came with the weights."
                )
            kind = (group or {}).get("rope_type", (group or {}).get("type", "default"))
            if kind != "default":
                raise InvalidInput(
                    f"{self.path}: rope_type 'default' needed, got {kind!r}; "
                    "scaled rotary embeddings are not read."
                )
        partial = (nested or {}).get("partial_rotary_factor", 1)
        if self.values.get("partial_rotary_factor", partial) != 1:
            raise InvalidInput(
                f"{self.path}: partial_rotary_factor 1 needed, got another; "
                "partly rotated heads are not read."
            )
        theta = (nested or {}).get("rope_theta", self.values.get("rope_theta", DEFAULT_THETA))
        return RotaryEmbedding(self._positive("rope_theta", theta), "half")


def _count_layers(file: TensorFile, config: _Config) -> int:
    found = set()
    unknown = []
    for name in file.shapes:
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        found.add(int(match[1]))
        known = _ATTENTION | _IGNORED if match[2] == "self_attn" else {"weight"}
        if match[3] not in known:
            unknown.append(name)
    if unknown:
        raise InvalidInput(
            f"{file.path}: attention with q_proj, k_proj, v_proj and o_proj only needed, got "
            f"{named(unknown)} as well; this is another family, which is not read."
        )
    n_layers = config.count("num_hidden_layers", None) or len(found)
    if found != set(range(n_layers)):
        raise InvalidInput(
            f"{file.path}: layers 0..{n_layers - 1} needed, got {sorted(found)[:8]}; "
            "the file is incomplete."
        )
    return n_layers


def _layer(file: TensorFile, prefix: str, width: int, config: _Config) -> AttentionLayer:
    n_heads = config.heads(file)
    query = file.read(prefix + "q_proj.weight", (None, width))
    if n_heads < 1 or len(query) % n_heads:
        raise InvalidInput(
            f"{file.path}, {prefix}q_proj.weight: rows in {n_heads} equal heads needed, got "
            f"{len(query)}; check num_attention_heads or n_heads."
        )
    d_head = config.count("head_dim", None) or len(query) // n_heads
    file.read(prefix + "q_proj.weight", (n_heads * d_head, width))
    key = file.read(prefix + "k_proj.weight", (None, width))
    n_shared = config.count("num_key_value_heads", None) or len(key) // d_head
    if n_shared < 1 or len(key) != n_shared * d_head or n_heads % n_shared:
        raise InvalidInput(
            f"{file.path}, {prefix}k_proj.weight: rows for a number of key heads that divides "
            f"{n_heads}, with {d_head} each, needed, got {len(key)}; "
            "check num_key_value_heads and head_dim."
        )

    def weight(part: str, heads: int) -> Array:
        stored = file.read(f"{prefix}{part}_proj.weight", (heads * d_head, width))
        return np.swapaxes(stored.reshape(heads, d_head, width), 1, 2)

    def bias(part: str, heads: int) -> Array | None:
        name = f"{prefix}{part}_proj.bias"
        if name not in file.shapes:
            return None
        return file.read(name, (heads * d_head,)).reshape(heads, d_head)

    out = file.read(prefix + "o_proj.weight", (width, n_heads * d_head))
    b_out = prefix + "o_proj.bias"
    return AttentionLayer.from_arrays(
        weight("q", n_heads),
        weight("k", n_shared),
        weight("v", n_shared),
        out.T.reshape(n_heads, d_head, width),
        b_Q=bias("q", n_heads),
        b_K=bias("k", n_shared),
        b_V=bias("v", n_shared),
        b_O=file.read(b_out, (width,)) if b_out in file.shapes else None,
        rope=config.rope(),
        residual=False,
        variable="post-normalisation state",
    )


def _vocabulary(path: Path, n_tokens: int) -> list[str] | None:
    table = _read_json(path)
    if table is None:
        return None
    by_id = {i: token for token, i in table.items() if type(i) is int and 0 <= i < n_tokens}
    if len(by_id) != len(table) or not table:
        raise InvalidInput(
            f"{path}: one distinct id in 0..{n_tokens - 1} a token needed, got others; "
            "check that the vocabulary belongs to the weights."
        )
    return [by_id.get(i, f"<unused {i}>") for i in range(max(by_id) + 1)]


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > _LARGEST_CONFIG:
            raise InvalidInput(
                f"{path}: a file below {_LARGEST_CONFIG} bytes needed, got a larger one; "
                "restore the file that came with the weights."
            )
        return parse_json(str(path), path.read_bytes())
    except OSError as error:
        raise InvalidInput(
            f"{path}: a readable file needed, got {error.strerror}; check its permissions."
        ) from None

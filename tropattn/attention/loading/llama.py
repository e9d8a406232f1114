"""The Llama family as Hugging Face stores it: Llama, Mistral and Qwen2.

Weights are stored output by input and are transposed here. A layer is read in its
post-normalisation variable: what leaves the RMSNorm before the heads is the state that moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tropattn.attention.evaluated.blocks import Block
from tropattn.attention.evaluated.norms import RMSNorm
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.heads.rotary import RotaryEmbedding
from tropattn.attention.loading import stacking
from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.family import ModelFamily, text_model
from tropattn.attention.loading.tensors import Tensors, first_prefix, found_prefixes
from tropattn.attention.networks.model import Model
from tropattn.errors import InvalidInput

__all__ = ["DEFAULT_EPS", "DEFAULT_THETA", "ENTRIES", "LLAMA", "NAMES"]

DEFAULT_THETA = 1e4
"""RoPE base of a file without a configuration, as in the first Llama."""

DEFAULT_EPS = 1e-6
"""RMSNorm epsilon of a file without a configuration, as in the first Llama."""

NAMES = {
    "word": "embed_tokens.weight",
    "layer": "layers.{}.",
    "norm before attention": "input_layernorm.weight",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "norm before mlp": "post_attention_layernorm.weight",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}

_PREFIXES = ("model.", "")
"""What stands before the names in a model with a head of its own, and without."""

_FIRST = NAMES["layer"].format(0) + NAMES["q"] + ".weight"
PARTS = [NAMES[part] for part in (*"qkvo", "gate", "up", "down")] + [
    NAMES[part].removesuffix(".weight") for part in ("norm before attention", "norm before mlp")
]
_READ = {
    "hidden_size": None,
    "num_attention_heads": None,
    # Where these are missing, the rows of the weights tell them.
    "num_key_value_heads": None,
    "head_dim": None,
    "num_hidden_layers": None,
    "intermediate_size": None,
    "vocab_size": None,
    "max_position_embeddings": None,
    "hidden_act": "silu",
    "rms_norm_eps": DEFAULT_EPS,
    "rope_theta": DEFAULT_THETA,
    "rope_parameters": None,
    "rope_scaling": None,
    "partial_rotary_factor": 1,
    "is_causal": True,
    "pad_token_id": None,
    "tie_word_embeddings": False,
}
_FIXED = {"add_cross_attention": (False,), "pruned_heads": ({},), "is_decoder": (False, True)}
ENTRIES = {
    "llama": Entries(
        {**_READ, "attention_bias": False, "mlp_bias": False},
        {**_FIXED, "sliding_window": (), "layer_types": ()},
    ),
    "mistral": Entries({**_READ, "sliding_window": 4096}, {**_FIXED, "layer_types": ()}),
    "qwen2": Entries(
        {
            **_READ,
            "use_sliding_window": False,
            "sliding_window": 4096,
            "max_window_layers": 28,
            "layer_types": None,
        },
        _FIXED,
    ),
}
TABLE = "self_attn.rotary_emb.inv_freq"
"""Frequencies that old files hold beside the weights."""


def _recognises(tensors: Tensors) -> bool:
    return bool(found_prefixes(tensors, _FIRST, _PREFIXES))


def _load(tensors: Tensors, config: Config, folder: Path | None, n_heads: int | None) -> Model:
    family = config.family
    given, config = bool(config.values), config.under(ENTRIES[family])
    biased = _biased(config, family) if given else (None, None, None)
    prefix = first_prefix(tensors, _FIRST, _PREFIXES)
    listed = config.count("num_hidden_layers")
    n_layers = stacking.count_layers(tensors, prefix + NAMES["layer"], PARTS, listed, TABLE)
    word = stacking.word(tensors, prefix + NAMES["word"], config.flag("tie_word_embeddings"))
    embedding = tensors.weight(word, (config.count("vocab_size"), None))
    width = embedding.shape[1]
    if config.count("hidden_size") not in (None, width):
        raise InvalidInput(
            f"{config.where}: hidden_size {width} needed as in the weights, got "
            f"{config.count('hidden_size')}; the files do not belong together."
        )
    layers, norms, blocks = [], [], []
    eps = config.number("rms_norm_eps")
    heads = _heads(tensors, config, n_heads)
    for index in range(n_layers):
        at = prefix + NAMES["layer"].format(index)
        stems = {part: at + name for part, name in NAMES.items()}
        norms.append(RMSNorm(tensors.weight(stems["norm before attention"], (width,)), eps))
        window = _window(config, family, index, n_layers)
        layers.append(_layer(tensors, config, stems, width, heads, window, biased[:2]))
        before = RMSNorm(tensors.weight(stems["norm before mlp"], (width,)), eps)
        inner, activation = config.count("intermediate_size"), config.activation("hidden_act")
        mlp = stacking.mlp(tensors, stems, width, inner, activation, biased[2])
        blocks.append(Block(mlp, before, norm_first=True))
    return text_model(
        config,
        folder,
        "Qwen2Tokenizer" if family == "qwen2" else "LlamaTokenizer",
        layers,
        embedding,
        norms=norms,
        causal=config.causal(),
        max_length=config.count("max_position_embeddings"),
        blocks=blocks,
    )


def _biased(config: Config, family: str) -> tuple[bool, bool, bool]:
    """Whether queries, keys and values, the output, and the MLP have biases."""
    if family != "llama":
        return family == "qwen2", False, False
    attention = config.flag("attention_bias")
    return attention, attention, config.flag("mlp_bias")


def _heads(tensors: Tensors, config: Config, given: int | None) -> int:
    """Return the number of query heads, from the configuration or from the caller."""
    listed = config.count("num_attention_heads")
    if listed is None and given is None:
        raise InvalidInput(
            f"{tensors.path}: the number of heads needed, got no config.json with "
            "num_attention_heads beside it; pass load(path, n_heads=...)."
        )
    if listed is not None and given not in (None, listed):
        raise InvalidInput(f"n_heads: {listed} needed as in {config.where}, got {given}; omit it.")
    return listed if listed is not None else int(given or 0)


def _rope(config: Config) -> RotaryEmbedding:
    """The plain rotary embedding, of ``rope_scaling``, else ``rope_parameters``, else the rest."""
    groups = [config.values[name] for name in ("rope_scaling", "rope_parameters")]
    for group in groups:
        if group is not None and not isinstance(group, dict):
            raise config.broken("a JSON object", "rope_parameters", group)
    for group in groups:
        kind = (group or {}).get("rope_type", (group or {}).get("type", "default"))
        nested = [name for name, value in (group or {}).items() if isinstance(value, dict)]
        if kind != "default" or nested:
            raise InvalidInput(
                f"{config.where}: rope_type 'default' needed, got {str(nested or kind)[:40]!r}; "
                "scaled rotary embeddings are not read."
            )
    chosen = {**(groups[0] or groups[1] or {})}
    beside = config.values["partial_rotary_factor"]
    if chosen.get("partial_rotary_factor", beside) != 1 or beside != 1:
        raise InvalidInput(
            f"{config.where}: partial_rotary_factor 1 needed, got another; "
            "partly rotated heads are not read."
        )
    theta = chosen.get("rope_theta", config.values["rope_theta"])
    return RotaryEmbedding(config.positive("rope_theta", theta), "half")


def _window(config: Config, family: str, index: int, n_layers: int) -> int | None:
    """Return how many keys a query of a layer sees, its own included; None for all of them."""
    if family == "llama":
        return None
    window = config.count("sliding_window")
    if family == "qwen2":
        window = _of_layer(config, window, index, n_layers)
    if window is not None and not config.causal():
        raise InvalidInput(
            f"{config.where}: is_causal true beside a sliding window needed, got false; windows "
            "to both sides are not read."
        )
    return window


def _of_layer(config: Config, window: int | None, index: int, n_layers: int) -> int | None:
    """Qwen2's window of one layer."""
    if not config.flag("use_sliding_window"):
        window = None
    kinds = config.values["layer_types"]
    first = config.values["max_window_layers"]
    if kinds is None:
        if type(first) is not int or first < 0:
            raise config.broken("an integer >= 0", "max_window_layers", first)
        return window if index >= first else None
    known = ("full_attention", "sliding_attention")
    if not isinstance(kinds, list) or len(kinds) != n_layers or kinds[index] not in known:
        raise InvalidInput(
            f"{config.where}: one of {', '.join(known)} a layer as layer_types needed, got "
            f"{str(kinds)[:60]}; other kinds of layers are not read."
        )
    if kinds[index] == "sliding_attention" and window is None:
        raise InvalidInput(
            f"{config.where}: a sliding_window and use_sliding_window true needed for "
            "layer_types with sliding_attention, got none; the entries contradict each other."
        )
    return window if kinds[index] == "sliding_attention" else None


def _layer(
    tensors: Tensors,
    config: Config,
    stems: Mapping[str, str],
    width: int,
    n_heads: int,
    window: int | None,
    biased: tuple[bool | None, bool | None],
) -> AttentionLayer:
    rows = _rows(tensors, stems["q"], width)
    if n_heads < 1 or rows % n_heads:
        raise InvalidInput(
            f"{tensors.path}, {stems['q']}.weight: rows in {n_heads} equal heads needed, got "
            f"{rows}; check num_attention_heads or n_heads."
        )
    d_head = config.count("head_dim") or rows // n_heads
    tensors.weight(stems["q"] + ".weight", (n_heads * d_head, width), narrow=True)
    rows = _rows(tensors, stems["k"], width)
    n_shared = config.count("num_key_value_heads") or rows // d_head
    if n_shared < 1 or rows != n_shared * d_head or n_heads % n_shared:
        raise InvalidInput(
            f"{tensors.path}, {stems['k']}.weight: rows for a number of key heads that divides "
            f"{n_heads}, with {d_head} each, needed, got {rows}; "
            "check num_key_value_heads and head_dim."
        )
    return AttentionLayer.from_arrays(
        **stacking.attention(tensors, stems, width, (n_heads, n_shared), d_head, biased),
        rope=_rope(config),
        residual=False,
        variable="post-normalisation state",
        window=window,
    )


def _rows(tensors: Tensors, stem: str, width: int) -> int:
    return len(tensors.weight(stem + ".weight", (None, width), narrow=True))


LLAMA = ModelFamily(tuple(ENTRIES), _load, _recognises)

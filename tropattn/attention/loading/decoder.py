"""Decoders of the Llama kind: norms first, gated MLPs, rotations; what families do otherwise.

Weights are stored output by input and are transposed here. A layer is read in its
post-normalisation variable: what leaves the RMSNorm before the heads is the state that moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from tropattn._types import Array
from tropattn.attention.evaluated.blocks import Block
from tropattn.attention.evaluated.norms import RMSNorm
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.heads.logits import HeadNorm
from tropattn.attention.heads.rotary import RotaryEmbedding
from tropattn.attention.loading import stacking
from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.family import ModelFamily, text_model
from tropattn.attention.loading.rotations import longest, rope_group, rotation
from tropattn.attention.loading.tensors import Tensors, first_prefix
from tropattn.attention.loading.vocabulary import Words
from tropattn.attention.networks.model import Model
from tropattn.errors import InvalidInput

__all__ = ["FIXED", "NAMES", "PREFIXES", "READ", "Decoder", "family_of", "sliding"]

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

PREFIXES = ("model.", "")
"""What stands before the names in a model with a head of its own, and without."""

READ: dict[str, Any] = {
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
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e4,
    "rope_parameters": None,
    "rope_scaling": None,
    "partial_rotary_factor": 1,
    "is_causal": True,
    "pad_token_id": None,
    "tie_word_embeddings": False,
}
FIXED: dict[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "pruned_heads": ({},),
    "is_decoder": (False, True),
    "original_max_position_embeddings": (),
}
TABLE = "self_attn.rotary_emb.inv_freq"
"""Frequencies that old files hold beside the weights."""


class Decoder:
    """One model while it is read, as Llama has it; a family overrides what it does otherwise.

    ``config`` is that of one of its ``families`` (``entries``), ``n_heads`` what the caller says of
    the query heads. Methods take the number of a layer, or ``stems``, the names of its tensors.
    """

    families: ClassVar[tuple[str, ...]]
    entries: ClassVar[Mapping[str, Entries]]
    names: Mapping[str, str] = NAMES
    tokenizer: ClassVar[str] = "LlamaTokenizer"
    variable: ClassVar[str] = "post-normalisation state"
    activation: ClassVar[str] = "hidden_act"
    partial: ClassVar[bool] = False
    lift: ClassVar[float] = 0.0

    def __init__(self, tensors: Tensors, config: Config, n_heads: int | None) -> None:
        self.family = config.family
        self.given = bool(config.values)
        self.config = config = config.under(self.entries[config.family])
        first = self.names["layer"].format(0) + self.names["q"] + ".weight"
        self.tensors = tensors = self.whole(tensors)
        self.prefix = first_prefix(tensors, first, PREFIXES)
        listed = config.count("num_hidden_layers")
        parts = [name.removesuffix(".weight") for part, name in self.names.items()]
        self.n_layers = stacking.count_layers(
            tensors, self.prefix + self.names["layer"], parts[2:], listed, TABLE
        )
        tied = config.flag("tie_word_embeddings")
        word = stacking.word(tensors, self.prefix + self.names["word"], tied)
        self.embedding = tensors.weight(word, (config.count("vocab_size"), None))
        self.width = self.embedding.shape[1]
        if config.count("hidden_size") not in (None, self.width):
            raise InvalidInput(
                f"{config.where}: hidden_size {self.width} needed as in the weights, got "
                f"{config.count('hidden_size')}; the files do not belong together."
            )
        self.eps = config.number("rms_norm_eps")
        self.n_heads = _heads(tensors, config, n_heads)
        self.group = self.rotations()

    def model(self, folder: Path | Words | None) -> Model:
        """The model, with the words that lie in a folder."""
        layers, norms, blocks = [], [], []
        for index in range(self.n_layers):
            at = self.prefix + self.names["layer"].format(index)
            stems = {part: at + name for part, name in self.names.items()}
            norms.append(self.before(stems))
            layers.append(self.layer(stems, index))
            blocks.append(self.block(stems))
        return text_model(
            self.config,
            folder,
            self.tokenizer,
            layers,
            self.embedded(),
            norms=norms,
            causal=self.config.causal(),
            max_length=self.longest(),
            blocks=blocks,
        )

    # ---- what families do otherwise -----------------------------------------------------------

    def whole(self, tensors: Tensors) -> Tensors:
        """The tensors under Llama's names."""
        return tensors

    def biased(self) -> tuple[bool | None, bool | None, bool | None]:
        """Whether queries, keys and values, the output, and the MLP have biases."""
        return False, False, False

    def window(self, _index: int) -> int | None:
        """How many keys a query of a layer sees, its own included; None for all of them."""
        return None

    def rotations(self) -> dict[str, Any]:
        """The entries of the rotation."""
        return rope_group(self.config)

    def rope(self, _index: int, d_head: int) -> RotaryEmbedding | None:
        """The rotation of a layer's queries and keys."""
        return rotation(self.config, self.group, d_head, self.partial)

    def longest(self) -> int | None:
        """The longest context."""
        return longest(self.config, self.group)

    def embedded(self) -> Array:
        """What stands for the words in the stream, (V, d)."""
        return self.embedding

    def before(self, stems: Mapping[str, str]) -> RMSNorm | None:
        """The norm before a layer's heads."""
        return self.norm(stems["norm before attention"])

    def block(self, stems: Mapping[str, str]) -> Block:
        """What stands behind a layer's heads, with the norms that the family has names for."""

        def norm(part: str) -> RMSNorm | None:
            return self.norm(stems[part]) if part in stems else None

        before, after = norm("norm before mlp"), norm("norm after attention")
        return Block(self.mlp(stems), before, True, after, norm("norm after mlp"))

    def mlp(self, stems: Mapping[str, str]) -> Any:
        """The MLP of a layer."""
        config, (*_, biased) = self.config, self.biased()
        inner, activation = config.count("intermediate_size"), config.activation(self.activation)
        return stacking.mlp(self.tensors, stems, self.width, inner, activation, biased)

    def scores(
        self, _stems: Mapping[str, str], _arrays: Mapping[str, Any], _d_head: int
    ) -> dict[str, Any]:
        """More arguments of ``AttentionLayer.from_arrays``: scales, norms, caps, sinks."""
        return {}

    # ---- what families share ------------------------------------------------------------------

    def switched_window(self, index: int, otherwise: bool) -> int | None:
        """The window of a layer where ``use_sliding_window`` switches them; else as ``sliding``."""
        config = self.config
        window = config.count("sliding_window") if config.flag("use_sliding_window") else None
        if not sliding(config, index, self.n_layers, otherwise):
            return None
        if window is None and config.values["layer_types"] is not None:
            raise InvalidInput(
                f"{config.where}: a sliding_window and use_sliding_window true needed for "
                "layer_types with sliding_attention, got none; the entries contradict each other."
            )
        return window

    def norm(self, name: str) -> RMSNorm:
        """One norm; ``lift`` is added to its weights."""
        weight = self.tensors.weight(name, (self.width,))
        return RMSNorm(weight + self.lift if self.lift else weight, self.eps)

    def head_norms(self, name: str, count: int, d_head: int) -> list[HeadNorm]:
        """The norm that the queries or keys of all heads share."""
        weight = self.tensors.weight(name, (d_head,))
        return [HeadNorm(weight + self.lift if self.lift else weight, self.eps)] * count

    def layer(self, stems: Mapping[str, str], index: int) -> AttentionLayer:
        """The heads of a layer."""
        config, tensors, n_heads, width = self.config, self.tensors, self.n_heads, self.width
        window = self.window(index)
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
        biased = self.biased()[:2] if self.given else (None, None)
        heads = (n_heads, n_shared)
        arrays = stacking.attention(tensors, stems, width, heads, d_head, biased)
        if window is not None and not config.causal():
            raise InvalidInput(
                f"{config.where}: is_causal true beside a sliding window needed, got false; "
                "windows to both sides are not read."
            )
        more, variable = self.scores(stems, arrays, d_head), self.variable
        if "q_norms" in more:
            variable += ", scores before the norm of its query: gaps depend on the state"
        return AttentionLayer.from_arrays(
            **arrays,
            **more,
            rope=self.rope(index, d_head),
            residual=False,
            variable=variable,
            window=window,
        )


def family_of(kind: type[Decoder], **more: Any) -> ModelFamily:
    """The family of the models that a kind of decoder reads."""

    def load(
        tensors: Tensors, config: Config, folder: Path | Words | None, n_heads: int | None
    ) -> Model:
        return kind(tensors, config, n_heads).model(folder)

    return ModelFamily(kind.families, load, **more)


def sliding(config: Config, index: int, n_layers: int, otherwise: bool) -> bool:
    """Whether ``layer_types`` gives a layer a window; ``otherwise`` where there are none."""
    kinds = config.values["layer_types"]
    if kinds is None:
        return otherwise
    known = ("full_attention", "sliding_attention")
    if not isinstance(kinds, list) or len(kinds) != n_layers or kinds[index] not in known:
        raise InvalidInput(
            f"{config.where}: one of {', '.join(known)} a layer as layer_types needed, got "
            f"{str(kinds)[:60]}; other kinds of layers are not read."
        )
    return kinds[index] == "sliding_attention"


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


def _rows(tensors: Tensors, stem: str, width: int) -> int:
    return len(tensors.weight(stem + ".weight", (None, width), narrow=True))

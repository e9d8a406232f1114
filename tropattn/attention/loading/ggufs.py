"""GGUF files of the Llama family: quantised weights as the numbers that they stand for.

Only this module imports the package ``gguf``, and only when such a file is opened. Dequantised
single-precision numbers are the data; rows of queries and keys go back to the order in which pair
``i`` is ``(i, i + d_head/2)``. Names, configuration and vocabulary are those in the file.
"""

from __future__ import annotations

import importlib
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tropattn._types import Array
from tropattn.attention.loading.config import Config
from tropattn.attention.loading.tensors import Tensors
from tropattn.attention.loading.texts import bytes_tokenizer, opened
from tropattn.attention.loading.vocabulary import Words
from tropattn.errors import InvalidInput
from tropattn.files import printable, regular_file
from tropattn.threads import check

__all__ = ["GgufFile"]

_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_MODEL = {"token_embd": "embed_tokens", "output_norm": "norm", "output": "lm_head"}
_SETTINGS = {
    "llama.block_count": "num_hidden_layers",
    "llama.context_length": "max_position_embeddings",
    "llama.embedding_length": "hidden_size",
    "llama.feed_forward_length": "intermediate_size",
    "llama.attention.head_count": "num_attention_heads",
    "llama.attention.head_count_kv": "num_key_value_heads",
    "llama.attention.key_length": "head_dim",
    "llama.attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "llama.rope.freq_base": "rope_theta",
    "llama.vocab_size": "vocab_size",
    "tokenizer.ggml.padding_token_id": "pad_token_id",
}
"""Entries of a file, and the entries of ``config.json`` that they are."""

_WIDTHS = {
    "llama.attention.value_length": ("values of", "values of another width"),
    "llama.rope.dimension_count": ("rotations of all", "partly rotated heads"),
}
"""Entries that repeat the width of a head, and words on what others would be."""

_HARMLESS: dict[str, tuple[Any, ...]] = {
    "llama.attention.causal": (True,),
    "llama.expert_count": (0,),
    "llama.expert_used_count": (0,),
    "llama.rope.scale_linear": (1.0,),
    "llama.tensor_data_layout": ("Meta AI original pth",),
    "llama.use_parallel_residual": (False,),
}
"""Values of other entries under which a file is a plain Llama; any other entry refuses it."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class GgufFile(Tensors):
    """One GGUF file under the names of Hugging Face; open with ``GgufFile.open(path)``.

    ``settings`` are what ``config.json`` would say.
    """

    settings: dict[str, Any]
    _reader: Any
    _stored_as: dict[str, int]

    @classmethod
    def open(cls, path: Path) -> GgufFile:
        """Read the header. Raises ``InvalidInput`` for other architectures and broken files."""
        regular_file(path)
        try:
            library = importlib.import_module("gguf")
        except ImportError:
            raise InvalidInput(
                f"{path}: the package gguf needed to read it, got none installed; "
                "pip install 'tropattn[gguf]', or use the model's safetensors file."
            ) from None
        try:
            _check_header(path)
            reader = library.GGUFReader(path)
            settings = _settings(path, reader)
        except InvalidInput:
            raise
        except (ValueError, KeyError, IndexError, OSError, OverflowError, MemoryError) as error:
            why = printable(str(error), 120) or "a broken file"
            raise InvalidInput(
                f"{path}: a complete GGUF file needed, got {why}; download it again."
            ) from None
        shapes, places = {}, {}
        for place, tensor in enumerate(reader.tensors):
            name = _name(path, tensor.name)
            # Sizes are stored from the innermost outwards.
            shapes[name] = tuple(int(n) for n in reversed(tensor.shape))
            places[name] = place
        return cls(path, {}, shapes, settings, reader, places)

    def _stored(self, name: str) -> Array:
        library = importlib.import_module("gguf")
        tensor = self._reader.tensors[self._stored_as[name]]
        try:
            numbers = library.dequantize(tensor.data, tensor.tensor_type)
        except (NotImplementedError, ValueError, KeyError) as error:
            raise InvalidInput(
                f"{self.path}, {name}: a type that the package gguf dequantises needed, got "
                f"{tensor.tensor_type.name} ({printable(str(error), 60)}); convert the file."
            ) from None
        numbers = np.asarray(numbers, dtype=np.float32).reshape(self.shapes[name])
        counts = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
        for part, count in counts.items():
            if f"self_attn.{part}." in name:
                return _half(numbers, self.settings[count])
        return numbers

    def words(self) -> Words:
        """The file's own vocabulary, and the reader of texts that it describes."""
        tokens = _field(self._reader, "tokenizer.ggml.tokens")
        if not isinstance(tokens, list) or len(set(tokens)) != len(tokens):
            return Words(None, None)
        return Words(tokens, _Reader(self))


@dataclass(frozen=True, slots=True, eq=False)
class _Reader:
    """Reads texts by the vocabulary and the merges of a file, opened at each text."""

    file: GgufFile

    def __call__(self, text: str) -> list[int]:
        where, reader = self.file.path, self.file._reader
        kind, cutting = (_field(reader, f"tokenizer.ggml.{name}") for name in ("model", "pre"))
        if kind != "gpt2":
            raise InvalidInput(
                f"text: a vocabulary of bytes and merges ('gpt2') in {where} needed, got {kind!r}; "
                "split the text with the model's own tokenizer, or pass ids."
            )
        tokens = _field(reader, "tokenizer.ggml.tokens")
        kinds = _field(reader, "tokenizer.ggml.token_type") or [1] * len(tokens)
        merges, start = (_field(reader, f"tokenizer.ggml.{n}") for n in ("merges", "bos_token_id"))
        begins, ends = (_field(reader, f"tokenizer.ggml.add_{n}_token") for n in ("bos", "eos"))
        whole = isinstance(merges, list) and isinstance(kinds, list) and len(kinds) == len(tokens)
        if not whole or ends or (begins and start not in range(len(tokens))):
            raise InvalidInput(
                f"text: merges, a kind for each token, a first token where one is added and no "
                f"last one in {where} needed, got others; split the text with the model's own "
                "tokenizer, or pass ids."
            )
        # Control tokens and those of the user are found in a text as they stand.
        added = [token for token, kind in zip(tokens, kinds, strict=True) if kind in (3, 4)]
        first = tokens[start] if begins else None
        made = bytes_tokenizer(str(where), tokens, merges, cutting, added, first)
        return opened(where, made).ids(text)


_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of the kinds of numbers in a header."""

_STRING, _ARRAY = 8, 9


def _check_header(path: Path) -> None:
    """Raise ``ValueError`` unless what the header counts fits the file, which its reader trusts."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] != b"GGUF":
            raise ValueError("another kind of file")
        if int.from_bytes(data[4:8], "little") not in (2, 3):
            raise ValueError("another version or order of bytes")

        def number(at: int, size: int) -> tuple[int, int]:
            if at + size > len(data):
                raise ValueError("a header beyond the end of the file")
            return int.from_bytes(data[at : at + size], "little"), at + size

        def behind(at: int, kind: int, count: int) -> int:
            if kind == _STRING:
                for _ in range(count):
                    check()
                    length, at = number(at, 8)
                    at += length
            elif kind == _ARRAY and count == 1:
                item, at = number(at, 4)
                inner, at = number(at, 8)
                if item == _ARRAY:
                    raise ValueError("arrays of arrays in the header")
                at = behind(at, item, inner)
            else:
                at += count * _SIZES[kind]
            return number(at, 0)[1]

        entries, at = number(16, 8)
        for _ in range(entries):
            kind, at = number(behind(at, _STRING, 1), 4)
            at = behind(at, kind, 1)


def _settings(path: Path, reader: Any) -> dict[str, Any]:
    """The configuration of a file, or ``InvalidInput`` for one that is not read."""
    kind = _field(reader, "general.architecture")
    if kind != "llama":
        raise InvalidInput(
            f"{path}: general.architecture 'llama' needed, got {kind!r}; other architectures "
            "compute otherwise, use the model's safetensors file."
        )
    settings: dict[str, Any] = {"model_type": "llama", "tie_word_embeddings": True}
    for name in reader.fields:
        value = _field(reader, name)
        if name in _SETTINGS:
            settings[_SETTINGS[name]] = value
        elif name in _WIDTHS:
            continue
        elif name.startswith("llama.rope.scaling."):
            if value not in ("none", 1, 1.0):
                raise InvalidInput(
                    f"{path}: plain rotations needed, got {name} {str(value)[:40]}; scaled ones "
                    "are read from the model's safetensors file."
                )
        elif name.startswith("llama.") and value not in _HARMLESS.get(name, ()):
            raise InvalidInput(
                f"{path}: a plain Llama needed, got {name} {str(value)[:40]}; what it changes is "
                "not read from GGUF files, use the model's safetensors file."
            )
    given = Config(f"metadata of {path}", {name: _field(reader, name) for name in _SETTINGS})
    heads = given.needed("llama.attention.head_count")
    # Files of models without grouped keys do not say how many there are.
    settings["num_key_value_heads"] = given.count("llama.attention.head_count_kv") or heads
    d_head = given.count("llama.attention.key_length")
    d_head = d_head or given.needed("llama.embedding_length") // heads
    for name, (what, others) in _WIDTHS.items():
        width = _field(reader, name)
        if width not in (None, d_head):
            raise InvalidInput(
                f"{path}: {what} {d_head} coordinates of a head needed, got {width}; {others} are "
                "not read from GGUF files."
            )
    return settings


def _field(reader: Any, name: str) -> Any:
    """One entry of a file as Python has it, None where it is missing."""
    field = reader.fields.get(name)
    return None if field is None else field.contents()


def _name(path: Path, stored: str) -> str:
    """The name of a tensor in the files of Hugging Face."""
    parts = stored.split(".")
    if parts[0] == "blk" and len(parts) == 4 and parts[2] in _LAYER:
        return f"model.layers.{parts[1]}.{_LAYER[parts[2]]}.{parts[3]}"
    if len(parts) == 2 and parts[0] in _MODEL:
        return ("" if parts[0] == "output" else "model.") + f"{_MODEL[parts[0]]}.{parts[1]}"
    raise InvalidInput(
        f"{path}: tensors {', '.join(_MODEL)} and blk.L.{{{','.join(_LAYER)}}} needed, got "
        f"{printable(stored, 60)} as well; this is another family, which is not read."
    )


def _half(rows: Array, heads: int) -> Array:
    """Rows from the order in which pairs are adjacent to that in which they lie half a head apart.

    >>> _half(np.arange(8), 2).tolist()
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    if heads < 1 or len(rows) % (2 * heads):
        return rows
    cut = rows.reshape(heads, -1, 2, *rows.shape[1:])
    return np.swapaxes(cut, 1, 2).reshape(rows.shape)

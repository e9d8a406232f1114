"""The package's own format: one safetensors file with an attention-only, residual model.

Metadata ``format = "tropattn"``, ``version = "1"``, ``vocabulary`` (a JSON list), ``causal``
("true" or "false") and ``scale``; the tensors are those of ``_LAYER`` and ``_MODEL``.
"""

from __future__ import annotations

import re

from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.loading.tensors import Tensors
from tropattn.attention.networks.model import Model
from tropattn.errors import InvalidInput
from tropattn.files import json_value, named
from tropattn.numerals import real

__all__ = ["is_own", "load_own"]

_MODEL = ("embedding", "positions", "unembedding", "b_U")
_LAYER = ("W_Q", "b_Q", "W_K", "W_V", "W_O", "b_O")
_NAME = re.compile(r"layers\.(\d{1,4})\.(" + "|".join(_LAYER) + ")")


def is_own(file: Tensors) -> bool:
    """Whether the metadata name this format."""
    return file.metadata.get("format") == "tropattn"


def load_own(file: Tensors) -> Model:
    """Read a model of this format. Raises ``InvalidInput`` for anything that does not fit."""
    version = file.metadata.get("version")
    if version != "1":
        raise InvalidInput(
            f"{file.path}: format version '1' needed, got {version!r}; "
            "update tropattn or export the model again."
        )
    n_layers = _count_layers(file)
    scale = _scale(file)
    embedding = file.read("embedding", (None, None))
    n_tokens, d_model = embedding.shape
    vocabulary = _vocabulary(file, n_tokens)
    layers = []
    for index in range(n_layers):
        prefix = f"layers.{index}."
        query = file.read(prefix + "W_Q", (None, d_model, None))
        n_heads, _, d_head = query.shape
        layers.append(
            AttentionLayer.from_arrays(
                query,
                file.read(prefix + "W_K", (n_heads, d_model, d_head)),
                file.read(prefix + "W_V", (n_heads, d_model, d_head)),
                file.read(prefix + "W_O", (n_heads, d_head, d_model)),
                b_Q=file.read(prefix + "b_Q", (n_heads, d_head)),
                b_O=file.read(prefix + "b_O", (d_model,)),
                scale=scale,
                variable="residual stream",
            )
        )
    return Model(
        layers,
        embedding,
        vocabulary,
        positions=file.read("positions", (None, d_model)),
        unembedding=file.read("unembedding", (d_model, n_tokens)),
        b_U=file.read("b_U", (n_tokens,)),
        causal=_causal(file),
    )


def _count_layers(file: Tensors) -> int:
    found = set()
    unknown = []
    for name in file.shapes:
        match = _NAME.fullmatch(name)
        if match:
            found.add(int(match[1]))
        elif name not in _MODEL:
            unknown.append(name)
    if unknown:
        raise InvalidInput(
            f"{file.path}: tensors {', '.join(_MODEL)} and layers.L.{{{','.join(_LAYER)}}} needed, "
            f"got {named(unknown)} as well; remove them or use another format."
        )
    if not found or max(found) != len(found) - 1:
        raise InvalidInput(
            f"{file.path}: layers numbered 0, 1, ... needed, got {sorted(found)[:8] or 'none'}; "
            "the file is incomplete."
        )
    return len(found)


def _scale(file: Tensors) -> float:
    text = file.metadata.get("scale")
    try:
        scale = real(text) if text is not None else 0.0
    except ValueError:
        scale = 0.0
    if not 0 < scale < float("inf"):
        raise InvalidInput(
            f"{file.path}: a positive number as metadata 'scale' needed, got {text!r}; "
            "it is the factor on query times key, 1/sqrt(d_head) as a rule."
        )
    return scale


def _causal(file: Tensors) -> bool:
    text = file.metadata.get("causal")
    if text not in ("true", "false"):
        raise InvalidInput(
            f"{file.path}: 'true' or 'false' as metadata 'causal' needed, got {text!r}; "
            "it says whether tokens see only earlier ones."
        )
    return text == "true"


def _vocabulary(file: Tensors, n_tokens: int) -> list[str]:
    text = file.metadata.get("vocabulary")
    try:
        tokens = json_value(text) if text is not None else None
    except ValueError:
        tokens = None
    if not isinstance(tokens, list) or len(tokens) != n_tokens:
        raise InvalidInput(
            f"{file.path}: a JSON list of {n_tokens} strings as metadata 'vocabulary' needed, one "
            f"a row of embedding, got {text if text is None else text[:40]!r}; export it again."
        )
    return tokens

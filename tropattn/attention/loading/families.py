"""Which family a set of tensors and its configuration belong to."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

from tropattn.attention.loading.albert import ALBERT
from tropattn.attention.loading.bert import BERT
from tropattn.attention.loading.bloom import BLOOM
from tropattn.attention.loading.config import Config
from tropattn.attention.loading.dinov2 import DINOV2
from tropattn.attention.loading.distilbert import DISTILBERT
from tropattn.attention.loading.family import ModelFamily
from tropattn.attention.loading.gemma import GEMMA2, GEMMA3
from tropattn.attention.loading.gpt2 import GPT2
from tropattn.attention.loading.gpt_neox import GPT_NEOX
from tropattn.attention.loading.gpt_oss import GPT_OSS
from tropattn.attention.loading.llama import LLAMA
from tropattn.attention.loading.mixtral import MIXTRAL
from tropattn.attention.loading.modernbert import MODERNBERT
from tropattn.attention.loading.olmo2 import OLMO2
from tropattn.attention.loading.opt import OPT
from tropattn.attention.loading.phi3 import PHI3
from tropattn.attention.loading.qwen import QWEN2, QWEN3
from tropattn.attention.loading.smollm3 import SMOLLM3
from tropattn.attention.loading.tensors import Tensors, named, unwrapped
from tropattn.attention.loading.vit import VIT
from tropattn.attention.loading.vocabulary import Words
from tropattn.attention.networks.model import Model
from tropattn.errors import InvalidInput

__all__ = ["FAMILIES", "build", "family_name"]

FAMILIES: tuple[ModelFamily, ...] = (
    *(ALBERT, BERT, BLOOM, DINOV2, DISTILBERT, GEMMA2, GEMMA3, GPT2, GPT_NEOX, GPT_OSS, LLAMA),
    *(MIXTRAL, MODERNBERT, OLMO2, OPT, PHI3, QWEN2, QWEN3, SMOLLM3, VIT),
)
"""A new family is a module with a ``ModelFamily``, and a word here."""

_ARCHITECTURE = re.compile("(.+?)(Model|LMHeadModel|DoubleHeadsModel|For.+)")
"""Classes of transformers whose layers are those of the family."""


def build(
    tensors: Tensors, config: Config, folder: Path | Words | None, n_heads: int | None = None
) -> Model:
    """Build the model, or raise ``InvalidInput`` for a family that is not read.

    ``folder`` is where vocabularies lie, None for a module in memory; ``n_heads`` stands in for
    a configuration that does not say it.
    """
    tensors = unwrapped(tensors)
    table = {name: family for family in FAMILIES for name in family.model_types}
    name = family_name(tensors, config)
    if name not in table and not config.values:
        raise InvalidInput(
            f"{tensors.path}: metadata format 'tropattn', tensors such as "
            "model.layers.0.self_attn.q_proj.weight, or a config.json beside the file needed, got "
            f"format {tensors.metadata.get('format')!r} and {named(tensors.shapes)}; this family "
            "is not read without config.json."
        )
    if name not in table:
        said = [config.values.get(name) for name in ("model_type", "architectures")]
        got = f"{said[0]!r}" + ("" if said[1] is None else f" with architectures {said[1]}"[:90])
        raise InvalidInput(
            f"{config.where}: model_type {', '.join(map(repr, sorted(table)))} needed, got {got}; "
            "other families compute otherwise and are not read."
        )
    model = table[name].load(tensors, replace(config, family=name), folder, n_heads)
    listed = len(model.layers[0].heads)
    if n_heads not in (None, listed):
        raise InvalidInput(
            f"n_heads: {listed} needed as in {config.where}, got {n_heads}; omit it."
        )
    return model


def family_name(tensors: Tensors, config: Config) -> str | None:
    """The ``model_type`` that a configuration says, or, where it says none, that tensors show."""
    if config.values.get("model_type") is None and config.values.get("architectures") is None:
        seen = [family.model_types[0] for family in FAMILIES if family.recognises(tensors, config)]
        return seen[0] if seen else None
    return _said(config, {name for family in FAMILIES for name in family.model_types})


def _said(config: Config, known: Container[str]) -> str | None:
    """``model_type``, or the one that ``architectures`` says where there is none, or None."""
    value, listed = (config.values.get(name) for name in ("model_type", "architectures"))
    if value is None and isinstance(listed, list):
        matches = [_ARCHITECTURE.fullmatch(str(name)) for name in listed]
        found = {match[1].lower() for match in matches if match is not None}
        found = {name for name in found if name in known}
        value = found.pop() if len(found) == 1 else None
    return value if isinstance(value, str) else None

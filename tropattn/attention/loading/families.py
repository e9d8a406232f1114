"""Which family a set of tensors and its configuration belong to."""

from __future__ import annotations

from pathlib import Path

from tropattn.attention.loading.albert import load_albert
from tropattn.attention.loading.bert import load_bert
from tropattn.attention.loading.config import Config
from tropattn.attention.loading.gpt2 import load_gpt2
from tropattn.attention.loading.llama import is_llama, load_llama
from tropattn.attention.loading.tensors import Tensors, named, unwrapped
from tropattn.attention.loading.vit import load_vit
from tropattn.attention.model import Model
from tropattn.errors import InvalidInput

__all__ = ["FAMILIES", "build"]

FAMILIES = {
    "albert": load_albert,
    "bert": load_bert,
    "gpt2": load_gpt2,
    "llama": load_llama,
    "mistral": load_llama,
    "qwen2": load_llama,
    "roberta": load_bert,
    "vit": load_vit,
}
"""Builders by ``model_type`` of the configuration."""


def build(
    tensors: Tensors, config: Config, folder: Path | None, n_heads: int | None = None
) -> Model:
    """Build the model, or raise ``InvalidInput`` for a family that is not read.

    ``folder`` is where vocabularies lie, None for a module in memory; ``n_heads`` stands in for
    the configuration of a Llama file.
    """
    tensors = unwrapped(tensors)
    if not config.values and is_llama(tensors):
        return load_llama(tensors, config, folder, n_heads)
    if not config.values:
        raise InvalidInput(
            f"{tensors.path}: metadata format 'tropattn', tensors such as "
            "model.layers.0.self_attn.q_proj.weight, or a config.json beside the file needed, got "
            f"format {tensors.metadata.get('format')!r} and {named(tensors.shapes)}; this family "
            "is not read without config.json."
        )
    family = config.family
    said = [config.values.get(name) for name in ("model_type", "architectures")]
    if said == [None, None] and is_llama(tensors):
        family = "llama"
    if family not in FAMILIES:
        got = f"{said[0]!r}" + ("" if said[1] is None else f" with architectures {said[1]}"[:90])
        raise InvalidInput(
            f"{config.where}: model_type {', '.join(map(repr, FAMILIES))} needed, got {got}; "
            "other families compute otherwise and are not read."
        )
    if FAMILIES[family] is load_llama:
        return load_llama(tensors, config, folder, n_heads)
    model = FAMILIES[family](tensors, config, folder)
    listed = len(model.layers[0].heads)
    if n_heads not in (None, listed):
        raise InvalidInput(
            f"n_heads: {listed} needed as in {config.where}, got {n_heads}; omit it."
        )
    return model

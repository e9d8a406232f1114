"""What a family of models gives to be read: the names it goes by, and a loader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tropattn._types import Array
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.loading.config import Config
from tropattn.attention.loading.tensors import Tensors
from tropattn.attention.loading.vocabulary import Words, read_words
from tropattn.attention.networks.model import Model
from tropattn.attention.networks.padding import Padding

__all__ = ["ModelFamily", "text_model"]


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """Models that one loader reads.

    Attributes
    ----------
    model_types : their names in ``model_type`` of a configuration, first the one of a file without;
        classes of transformers are called so too, capitals apart.
    load : takes tensors, the configuration, of which ``family`` is one of these names, the folder
        with vocabularies (None in memory) and the number of heads if the caller gives it; raises
        ``InvalidInput`` for anything that does not fit.
    recognises : whether tensors are of this family, whose configuration is empty or does not say.
    """

    model_types: tuple[str, ...]
    load: Callable[[Tensors, Config, Path | Words | None, int | None], Model]
    recognises: Callable[[Tensors, Config], bool] = lambda *_: False


def text_model(
    config: Config,
    folder: Path | Words | None,
    tokenizer: str,
    layers: Sequence[AttentionLayer],
    embedding: Array,
    padding: Padding | None = None,
    **parts: Any,
) -> Model:
    """A model of texts, with the words that lie beside its weights.

    ``tokenizer`` is the class of the family's; ``padding`` that of the configuration unless given.
    """
    words = read_words(folder, len(embedding), tokenizer)
    return Model(
        layers,
        embedding,
        words.vocabulary,
        tokenizer=words.tokenizer,
        padding=padding or Padding.of(config.token("pad_token_id")),
        unread=config.unread,
        **parts,
    )

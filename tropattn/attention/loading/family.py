"""What a family of models gives to be read: the names it goes by, and a loader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tropattn.attention.loading.config import Config
from tropattn.attention.loading.tensors import Tensors
from tropattn.attention.networks.model import Model

__all__ = ["ModelFamily"]


def _never(_: Tensors) -> bool:
    return False


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
    recognises : whether tensors without a configuration are of this family.
    """

    model_types: tuple[str, ...]
    load: Callable[[Tensors, Config, Path | None, int | None], Model]
    recognises: Callable[[Tensors], bool] = _never

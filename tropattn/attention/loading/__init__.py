"""Reading trained models from files that may come from anywhere; nothing is ever unpickled."""

from __future__ import annotations

import operator
from typing import Any

from tropattn.attention.loading.config import Config
from tropattn.attention.loading.families import build
from tropattn.attention.loading.ggufs import GgufFile
from tropattn.attention.loading.modules import from_torch
from tropattn.attention.loading.own import is_own, load_own
from tropattn.attention.loading.paths import open_tensors
from tropattn.attention.loading.polynomials import holds_polynomials, load_polynomials
from tropattn.attention.loading.tensors import Tensors
from tropattn.attention.networks.model import Model
from tropattn.errors import InvalidInput
from tropattn.files import DEMO, existing_path, shipped

__all__ = ["from_torch", "load", "load_polynomials", "model_of"]


def __dir__() -> list[str]:
    return sorted(__all__)


def load(path: Any, *, n_heads: int | None = None) -> Model:
    """Read a model: the package's own format or a family of Hugging Face (theory T1, T12).

    Parameters
    ----------
    path : a folder, a ``.safetensors`` file, the index of a split model
        (``model.safetensors.index.json``), a ``.bin`` file (needs torch, which then reads tensors
        only) or a ``.gguf`` file of the Llama family (needs the package gguf; dequantised numbers
        are the weights). ``config.json`` beside the weights names the family, one of those of
        ``docs/models.md``; vocabularies beside it are read if they are there. The word "demo" is
        the model that the package ships, as in every command; write "./demo" for a folder.
    n_heads : number of query heads, for a Llama file without ``config.json``; RoPE base 1e4 and
        epsilon 1e-6 are then assumed.

    Returns
    -------
    Model
        Weights in doubles; bfloat16, half and single precision are converted without loss. The
        analysed variable is the residual stream (own format) or what leaves the norm before the
        heads (all others).

    Raises
    ------
    InvalidInput : no such file, a damaged or incomplete one, another format, version or family,
        wrong shapes, scores of another form (relative positions), quantised weights outside GGUF,
        NaN or infinity.

    Notes
    -----
    Cost: one pass through the tensors that are needed. Weights of MLPs keep their precision.

    Examples
    --------
    >>> load("demo")
    Model(2 layers, 11 tokens, d_model=8)
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load(folder)    # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tropattn.errors.InvalidInput: ...: a folder with model.safetensors needed, got no files; ...
    """
    heads = None
    if n_heads is not None:
        try:
            heads = operator.index(n_heads)
        except TypeError:
            heads = 0
        if not 0 < heads < 2**31:
            raise InvalidInput(
                f"n_heads: a positive integer needed, got {n_heads!r}; omit it where config.json "
                "lies beside the weights."
            )
    place = shipped() if isinstance(path, str) and path == DEMO else path
    return model_of(open_tensors(existing_path(place)), heads)


def model_of(tensors: Tensors, n_heads: int | None = None) -> Model:
    """Read a model from weights that are open; ``n_heads`` and errors as for ``load``."""
    if is_own(tensors):
        return load_own(tensors)
    if holds_polynomials(tensors):
        raise InvalidInput(
            f"{tensors.path}: the tensors of a model needed, got polynomials; use load_polynomials."
        )
    if isinstance(tensors, GgufFile):
        config = Config(f"metadata of {tensors.path}", tensors.settings)
        return build(tensors, config, tensors.words(), n_heads)
    folder = tensors.path.parent
    return build(tensors, Config.beside(folder), folder, n_heads)

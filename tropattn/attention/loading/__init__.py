"""Reading trained models from files that may come from anywhere; nothing is ever unpickled."""

from __future__ import annotations

import operator
from typing import Any

from tropattn.attention.loading.llama import is_llama, load_llama
from tropattn.attention.loading.own import is_own, load_own
from tropattn.attention.loading.paths import existing_path, weights_file
from tropattn.attention.loading.polynomials import load_polynomials
from tropattn.attention.loading.safetensor import TensorFile, named
from tropattn.attention.model import Model
from tropattn.errors import InvalidInput

__all__ = ["load", "load_polynomials"]


def load(path: Any, *, n_heads: int | None = None) -> Model:
    """Read a model: the package's own format or the Llama family (theory T1, T12).

    Parameters
    ----------
    path : a ``.safetensors`` file, or a folder with one. Of the Llama family, ``config.json`` and
        ``vocab.json`` beside the weights are read if they are there.
    n_heads : number of query heads, for a Llama file without ``config.json``; RoPE base 1e4 and
        epsilon 1e-6 are then assumed.

    Returns
    -------
    Model
        Weights in doubles; bfloat16, half and single precision are converted without loss. The
        analysed variable is the residual stream (own format) or what leaves the norm before the
        heads (Llama).

    Raises
    ------
    InvalidInput : no such file, a damaged one, another format, version or family, wrong shapes,
        NaN or infinity.

    Notes
    -----
    Cost: one pass through the tensors that are needed.

    Examples
    --------
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
    file = TensorFile.open(weights_file(existing_path(path)))
    if is_own(file):
        return load_own(file)
    if is_llama(file):
        return load_llama(file, heads)
    if any(name.split("_")[0] == "slopes" for name in file.shapes):
        raise InvalidInput(
            f"{file.path}: the tensors of a model needed, got polynomials; use load_polynomials."
        )
    raise InvalidInput(
        f"{file.path}: metadata format 'tropattn', or tensors such as "
        f"model.layers.0.self_attn.q_proj.weight, needed, got format "
        f"{file.metadata.get('format')!r} and {named(file.shapes)}; this family is not read."
    )

"""Heads given directly by their slopes and intercepts, in an ``.npz`` or a safetensors file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tropattn._types import Array
from tropattn.arrays import as_array
from tropattn.attention.loading.safetensor import TensorFile
from tropattn.attention.loading.tensors import Tensors
from tropattn.errors import InvalidInput
from tropattn.files import existing_path, named, read_npz
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["holds_polynomials", "load_polynomials", "polynomials_of"]


_NAME = re.compile(r"(slopes|intercepts)_(0|[1-9]\d{0,5})")


def load_polynomials(path: Any) -> list[TropicalPolynomial]:
    """Return the tropical polynomials of a file, one per head (theory T1).

    Parameters
    ----------
    path : an ``.npz`` or ``.safetensors`` file with ``slopes`` (H, N, d) and, if not zero,
        ``intercepts`` (H, N), scaled logits; or, for unequal heads, ``slopes_0`` (N_0, d),
        ``intercepts_0`` (N_0,), ``slopes_1``, ...

    Raises
    ------
    InvalidInput : no such file, another format, other names, shapes that do not fit, NaN or
        infinity. Pickled objects are refused, never read.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder, "two.npz"), slopes=[[[0.0], [1.0]], [[2.0], [3.0]]])
    ...     load_polynomials(Path(folder, "two.npz"))
    [TropicalPolynomial(2 terms on R^1), TropicalPolynomial(2 terms on R^1)]
    """
    return polynomials_of(existing_path(path))


def holds_polynomials(tensors: Tensors) -> bool:
    """Whether the names are those of polynomials, not of a model."""
    return any(name.split("_")[0] == "slopes" for name in tensors.shapes)


def polynomials_of(place: Path, tensors: Tensors | None = None) -> list[TropicalPolynomial]:
    """As ``load_polynomials``; ``tensors`` are those of a safetensors file that is open."""
    if place.suffix == ".npz" and not place.is_dir():
        arrays = read_npz(place)
        _check_names(place, arrays)
    elif place.suffix == ".safetensors" and not place.is_dir():
        file = TensorFile.open(place) if tensors is None else tensors
        _check_names(place, file.shapes)
        arrays = {name: file.read(name) for name in file.shapes}
    else:
        raise InvalidInput(
            f"{place}: an .npz or .safetensors file needed, got "
            f"{'a folder' if place.is_dir() else place.suffix or 'no suffix'}; "
            "save slopes and intercepts with numpy.savez."
        )
    if "slopes" in arrays:
        return _stacked(place, arrays["slopes"], arrays.get("intercepts"))
    heads = sorted(int(name.split("_")[1]) for name in arrays if name.startswith("slopes_"))
    return [_head(place, arrays, h) for h in heads]


def _check_names(path: Path, names: Any) -> None:
    numbered = [match for match in map(_NAME.fullmatch, names) if match is not None]
    heads = {int(match[2]) for match in numbered if match[1] == "slopes"}
    offsets = {int(match[2]) for match in numbered if match[1] == "intercepts"}
    one_stack = set(names) in ({"slopes"}, {"slopes", "intercepts"})
    one_each = (
        len(numbered) == len(list(names))
        and bool(heads)
        and heads == set(range(len(heads)))
        and offsets <= heads
    )
    if not (one_stack or one_each):
        raise InvalidInput(
            f"{path}: 'slopes' with optional 'intercepts', or slopes_0, slopes_1, ... with "
            f"optional intercepts_0, ... needed, got {named(names)}; rename the arrays."
        )


def _stacked(path: Path, slopes: Array, intercepts: Array | None) -> list[TropicalPolynomial]:
    stack = as_array(f"{path}, slopes", slopes, 3, shape="(H, N, d)")
    if 0 in stack.shape:
        raise InvalidInput(
            f"{path}, slopes: shape (H, N, d) without zeros needed, got {stack.shape}; "
            "a head without keys has no tropical polynomial."
        )
    if intercepts is None:
        return [TropicalPolynomial(slope) for slope in stack]
    offsets = as_array(f"{path}, intercepts", intercepts, 2, shape="(H, N)")
    if offsets.shape != stack.shape[:2]:
        raise InvalidInput(
            f"{path}, intercepts: shape {stack.shape[:2]} needed, one a slope, got "
            f"{offsets.shape}; axis order is head, term."
        )
    return [TropicalPolynomial(*pair) for pair in zip(stack, offsets, strict=True)]


def _head(path: Path, arrays: dict[str, Array], h: int) -> TropicalPolynomial:
    slopes = as_array(f"{path}, slopes_{h}", arrays[f"slopes_{h}"], 2, shape="(N, d)")
    given = arrays.get(f"intercepts_{h}")
    width = arrays["slopes_0"].shape[-1]
    if slopes.shape[1] != width:
        raise InvalidInput(
            f"{path}, slopes_{h}: {width} columns as in slopes_0 needed, got {slopes.shape[1]}; "
            "heads share one space."
        )
    try:
        return TropicalPolynomial(slopes, given)
    except InvalidInput as error:
        raise InvalidInput(f"{path}, head {h}: {error}") from None

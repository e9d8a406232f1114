"""Heads given directly by their slopes and intercepts: arrays in a file, or on standard input."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

from tropattn._types import Array
from tropattn.arrays import as_array
from tropattn.attention.heads.linear import n_axes
from tropattn.attention.loading.safetensor import TensorFile
from tropattn.attention.loading.shards import INDEX
from tropattn.attention.loading.tensors import Tensors
from tropattn.errors import InvalidInput
from tropattn.files import (
    existing_path,
    json_value,
    named,
    printable,
    read_array,
    read_bytes,
    read_npz,
    standard_input,
)
from tropattn.numerals import ratio, ratios, real, whole
from tropattn.tropical.interchange import from_polymake
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.reading import from_off

__all__ = [
    "STANDARD_INPUT",
    "holds_arrays",
    "holds_polynomials",
    "load_polynomials",
    "polynomials_of",
]


STANDARD_INPUT = "-"

_ARRAYS = (".npz", ".npy", ".csv", ".json", ".off", ".poly")
_STARTS = ((b"PK", ".npz"), (b"\x93NUMPY", ".npy"), (b"{", ".json"), (b"[", ".json"))
"""How arrays on standard input are told; all else is a table."""
_POINTS = {".off": from_off, ".poly": from_polymake}
_NAME = re.compile(r"(slopes|intercepts)_(0|[1-9]\d{0,5})")


def load_polynomials(path: Any) -> list[TropicalPolynomial]:
    """Return the tropical polynomials of a file, one per head (theory T1).

    Parameters
    ----------
    path : an ``.npz``, ``.json`` or ``.safetensors`` file with ``slopes`` (H, N, d) and, if not
        zero, ``intercepts`` (H, N), scaled logits; or, for unequal heads, ``slopes_0`` (N_0, d),
        ``intercepts_0`` (N_0,), ``slopes_1``, ... An ``.npy`` file, or a bare list in ``.json``, is
        slopes, (H, N, d) or (N, d) of one head. A ``.csv`` file has a key a row, its slopes in
        columns; where the first row has names, the columns ``head`` and ``intercept`` are those. In
        both ``1/3`` is the rational that it is, in JSON as a text, where ``"2"`` is 2.
        Points of an ``.off`` or polymake (``.poly``) file are the slopes of one head.

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
    if holds_arrays(place):
        place, arrays = _read(place)
        _check_names(place, arrays)
    elif place.suffix == ".safetensors" and not place.is_dir():
        file = TensorFile.open(place) if tensors is None else tensors
        _check_names(place, file.shapes)
        arrays = {name: file.read(name) for name in file.shapes}
    else:
        raise InvalidInput(
            f"{place}: an .npz or .safetensors file needed, got "
            f"{'a folder' if place.is_dir() else place.suffix or 'no suffix'}; "
            "save slopes and intercepts with numpy.savez, or as .npy, .csv or .json."
        )
    if "slopes" in arrays:
        return _stacked(place, arrays["slopes"], arrays.get("intercepts"))
    heads = sorted(int(name.split("_")[1]) for name in arrays if name.startswith("slopes_"))
    return [_head(place, arrays, h) for h in heads]


def holds_arrays(place: Path) -> bool:
    """Whether a path stands for arrays, by its ending: standard input does, a model does not.

    >>> holds_arrays(Path("heads.csv")), holds_arrays(Path("model.safetensors.index.json"))
    (True, False)
    """
    if str(place) == STANDARD_INPUT:
        return True
    return place.suffix in _ARRAYS and place.name != INDEX and not place.is_dir()


def _read(place: Path) -> tuple[Path, dict[str, Any]]:
    """What the file is called in messages, and its arrays by name."""
    if str(place) == STANDARD_INPUT:
        data, place = standard_input(), Path("standard input")
        kind = next(
            (kind for start, kind in _STARTS if data.lstrip()[:6].startswith(start)), ".csv"
        )
    elif place.suffix == ".npz":
        return place, read_npz(place)
    else:
        data, kind = read_bytes(place), place.suffix
    if kind == ".npz":
        return place, read_npz(place, data=data)
    if kind == ".csv":
        return place, _table(place, data)
    if kind in _POINTS:
        return place, {"slopes": [_points(place, kind, data)]}
    if kind == ".npy":
        value: Any = read_array(place, data)
    else:
        try:
            value = ratios(json_value(data))
        except ValueError as error:
            raise InvalidInput(
                f"{place}: JSON with slopes needed, got {printable(str(error), 120)}; e.g. "
                '{"slopes": [[[0, 0], [1, 0]]]}.'
            ) from None
    if isinstance(value, dict):
        return place, value
    return place, {"slopes": [value] if n_axes(value) == 2 else value}


def _points(place: Path, kind: str, data: bytes) -> Array:
    """The points of an OFF or polymake file."""
    try:
        return _POINTS[kind](data.decode("utf-8-sig"))
    except (UnicodeDecodeError, InvalidInput) as error:
        raise InvalidInput(f"{place}: {error}") from None


def _table(place: Path, data: bytes) -> dict[str, Any]:
    """Heads out of a table: a key a row, columns of slopes and those named head and intercept."""
    try:
        text = data.decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(
            f"{place}: a table with commas needed, got {printable(str(error), 120)}; a key a row."
        ) from None
    names = [name.strip().lower() for name in rows[0]] if rows else []
    if any(map(_is_number, names)) or not names:
        names = [""] * len(names)
    else:
        rows = rows[1:]
    if not rows:
        raise InvalidInput(f"{place}: a row with the slopes of a key needed, got none.")
    for special in ("head", "intercept"):
        if names.count(special) > 1:
            raise InvalidInput(f"{place}: one column {special} needed, got {names.count(special)}.")
    heads: dict[str, list[list[Any]]] = {}
    for place_of, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise InvalidInput(
                f"{place}: {len(names)} columns in every row needed, got {len(row)} in row "
                f"{place_of}; a key a row."
            )
        entries = dict(zip(range(len(row)), row, strict=True))
        head = entries.pop(names.index("head")).strip() if "head" in names else "0"
        heads.setdefault(head, []).append([_number(place, cell) for cell in entries.values()])
    kept = [name for name in names if name != "head"]
    at = kept.index("intercept") if "intercept" in kept else None
    arrays: dict[str, Any] = {}
    for h, terms in enumerate(heads.values()):
        arrays[f"slopes_{h}"] = [[v for k, v in enumerate(term) if k != at] for term in terms]
        if at is not None:
            arrays[f"intercepts_{h}"] = [term[at] for term in terms]
    return arrays


def _is_number(cell: str) -> bool:
    return _read_number(cell) is not None


def _read_number(cell: str) -> Any:
    """An integer or a ratio of two as it is, else a double, or None for no number."""
    for reading in (whole, ratio, real):
        try:
            return reading(cell.strip())
        except ValueError:
            continue
    return None


def _number(place: Path, cell: str) -> Any:
    """The number in a cell of a table."""
    found = _read_number(cell)
    if found is not None:
        return found
    raise InvalidInput(
        f"{place}: decimal numbers needed, got {printable(cell, 40)!r}; only the first row has "
        "names."
    )


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
    width = as_array(f"{path}, slopes_0", arrays["slopes_0"], 2, shape="(N, d)").shape[1]
    if slopes.shape[1] != width:
        raise InvalidInput(
            f"{path}, slopes_{h}: {width} columns as in slopes_0 needed, got {slopes.shape[1]}; "
            "heads share one space."
        )
    try:
        return TropicalPolynomial(slopes, given)
    except InvalidInput as error:
        raise InvalidInput(f"{path}, head {h}: {error}") from None

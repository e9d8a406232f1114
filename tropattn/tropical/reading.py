"""Files of polytopes and polynomials: OFF, polymake, JSON."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tropattn._types import Array
from tropattn.arrays import as_array
from tropattn.errors import InvalidInput
from tropattn.files import existing_path, read_bytes
from tropattn.numerals import real
from tropattn.polyhedra.minkowski import MinkowskiSum
from tropattn.tropical.geometry.newton import NewtonPolytope
from tropattn.tropical.interchange import from_json, from_polymake
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["from_off", "read"]


def from_off(text: str) -> Array:
    """The points of an OFF file, (N, 3), or (N, d) of an nOFF file, as doubles.

    Faces are checked and left out: points say what their hull is. Raises ``InvalidInput`` for other
    files, and for numbers that do not fit.

    >>> from_off(chr(10).join(["OFF", "2 0 0", "0 0 0", "1 1.5 0"])).tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.5, 0.0]]
    """
    lines = [line.split("#")[0].split() for line in text.splitlines()]
    lines = [line for line in lines if line]
    kind = lines[0][0] if lines else ""
    if kind not in ("OFF", "nOFF"):
        raise InvalidInput(f"text: OFF or nOFF in the first line needed, got {kind[:40]!r}.")
    words = [word for line in [lines[0][1:], *lines[1:]] for word in line]
    head = words[: 3 + (kind == "nOFF")]
    if len(head) < 3 + (kind == "nOFF") or not all(re.fullmatch(r"[0-9]{1,9}", w) for w in head):
        raise InvalidInput(f"text: numbers of points, faces and edges needed, got {head}.")
    dim = int(head[0]) if kind == "nOFF" else 3
    points, n_faces = int(head[-3]), int(head[-2])
    body = words[len(head) :]
    if not dim or not points or len(body) < points * dim:
        raise InvalidInput(
            f"text: {points} points of {dim} coordinates needed, at least one of each, got "
            f"{len(body)} numbers."
        )
    try:
        numbers = [real(word) for word in body[: points * dim]]
    except ValueError as error:
        raise InvalidInput(f"text: decimal coordinates needed, got {error}.") from None
    _check_off_faces(lines, n_faces, points)
    return as_array("text", np.array(numbers).reshape(points, dim), 2)


def _check_off_faces(lines: list[list[str]], n_faces: int, points: int) -> None:
    """The last lines name the corners of a face each; colours may follow."""
    for line in lines[len(lines) - n_faces :] if n_faces else []:
        size = int(line[0]) if re.fullmatch(r"[0-9]{1,9}", line[0]) else 0
        named = line[1 : 1 + size]
        good = len(named) == size > 0 and all(re.fullmatch(r"[0-9]{1,9}", w) for w in named)
        if not good or any(int(w) >= points for w in named):
            raise InvalidInput(
                f"text: a face as its number of corners and their places below {points} needed, "
                f"got {' '.join(line)[:60]!r}."
            )


def read(path: Any) -> NewtonPolytope | TropicalPolynomial | MinkowskiSum:
    """What a file holds: the polytope of an ``.off`` or polymake (``.poly``) file, or JSON of ours.

    Raises ``InvalidInput`` for no such file, another ending, or text that does not fit. Heads are
    read by ``load_polynomials``, models by ``load``.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "two.poly").write_text('{"POINTS": [[1, 0, 0], [1, 1, 2]]}')
    ...     read(Path(folder, "two.poly"))
    NewtonPolytope(2 vertices of 2 points in R^2)
    """
    place = existing_path(path)
    text_of = {".off": from_off, ".poly": from_polymake, ".json": from_json}
    if place.suffix not in text_of or place.is_dir():
        raise InvalidInput(
            f"{place}: a file ending in {', '.join(text_of)} needed, got "
            f"{'a folder' if place.is_dir() else place.suffix or 'no suffix'}; use "
            "load_polynomials for arrays and load for models."
        )
    try:
        found = text_of[place.suffix](read_bytes(place).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{place}: text needed, got {error}.") from None
    except InvalidInput as error:
        raise InvalidInput(f"{place}, {error}") from None
    return NewtonPolytope.from_points(found) if isinstance(found, np.ndarray) else found

"""Cells and linear regions of networks straight from the definition, in rationals (T12, T13).

A network is a list of layers, each a dictionary:

    {"kind": "attention", "units": [unit], "values": [rows a unit], "offset": row, "residual": bool}
        and, where a head's own value moves, "own": [None or (term, matrix) a unit]
    {"kind": "relu", "W_1", "b_1", "W_2", "b_2", "residual"}
    {"kind": "maxout", "units": [unit]}
    {"kind": "affine", "matrix", "offset"}

with units as in ``brute``. Every pattern of winners is tried, layer by layer, on the polyhedron
where the pattern so far wins; nothing is imported from the library under test.
"""

import random
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from .brute import Row, Unit, cells, exact, merge, strictly_feasible

Matrix = list[list[Fraction]]


@dataclass
class Piece:
    """One cell: its winners, the rows that cut it out, and its map ``p -> p @ matrix + offset``."""

    pattern: tuple[int, ...]
    rows: list[Row]
    matrix: Matrix
    offset: list[Fraction]


def _matrix(rows) -> Matrix:
    return [[exact(v) for v in row] for row in rows]


def _times(a: Matrix, b: Matrix) -> Matrix:
    return [[sum(x * b[i][c] for i, x in enumerate(row)) for c in range(len(b[0]))] for row in a]


def _pull(unit: Unit, matrix: Matrix, offset: list[Fraction]) -> Unit:
    """Return the unit as a function of the parameters."""
    slopes, intercepts = unit
    rows = [[sum(m * exact(a) for m, a in zip(r, s, strict=True)) for r in matrix] for s in slopes]
    shifts = [sum(o * exact(a) for o, a in zip(offset, s, strict=True)) for s in slopes]
    return rows, [exact(c) + s for c, s in zip(intercepts, shifts, strict=True)]


def units_of(layer) -> list[Unit]:
    """Return the routing units of a layer; an affine layer has one term that always wins."""
    if layer["kind"] == "relu":
        columns = zip(*layer["W_1"], strict=True)
        return [
            ([[0] * len(w), list(w)], [0, b]) for w, b in zip(columns, layer["b_1"], strict=True)
        ]
    if layer["kind"] == "affine":
        return [([[0] * len(layer["matrix"])], [0])]
    return layer["units"]


def _apply(layer, piece: Piece, pulled: list[Unit], groups: list[list[int]]):
    """Return the map behind the layer; ``groups`` are the terms of each unit that win together."""
    k = len(piece.matrix)
    if layer["kind"] == "affine":
        matrix = _matrix(layer["matrix"])
        offset = _times([piece.offset], matrix)[0]
        return _times(piece.matrix, matrix), [
            a + exact(b) for a, b in zip(offset, layer["offset"], strict=True)
        ]
    if layer["kind"] == "attention":
        shift = [exact(v) for v in layer["offset"]]
        for values, group in zip(layer["values"], groups, strict=True):
            for c in range(len(shift)):
                shift[c] += Fraction(sum(exact(values[j][c]) for j in group), len(group))
        state = [*piece.matrix, piece.offset]
        if layer["residual"]:
            total = [list(row) for row in state]
        else:
            total = [[Fraction(0)] * len(shift) for _ in state]
        for own, group in zip(layer.get("own", [None] * len(groups)), groups, strict=True):
            if own is not None and own[0] in group:
                moved = _times(state, _matrix(own[1]))
                for row, more in zip(total, moved, strict=True):
                    for c, v in enumerate(more):
                        row[c] += v / len(group)
        return total[:k], [a + b for a, b in zip(total[k], shift, strict=True)]
    # The scores of the winners themselves, as functions of the parameters.
    slopes = [unit[0][group[0]] for unit, group in zip(pulled, groups, strict=True)]
    scores = [unit[1][group[0]] for unit, group in zip(pulled, groups, strict=True)]
    matrix = [[slope[i] for slope in slopes] for i in range(k)]
    if layer["kind"] == "maxout":
        return matrix, scores
    out = _matrix(layer["W_2"])
    matrix, offset = _times(matrix, out), _times([scores], out)[0]
    offset = [a + exact(b) for a, b in zip(offset, layer["b_2"], strict=True)]
    if layer["residual"]:
        matrix = [
            [a + b for a, b in zip(r, s, strict=True)]
            for r, s in zip(matrix, piece.matrix, strict=True)
        ]
        offset = [a + b for a, b in zip(offset, piece.offset, strict=True)]
    return matrix, offset


def attention_of(heads, states, own: int | None, offset, residual: bool, live=True) -> dict:
    """Return an attention layer from weights: scores ``(x W_Q + b_Q) k_j``, values ``v_j W_O``.

    ``heads`` are dictionaries of W_Q, b_Q, W_K, b_K, W_V, b_V, W_O; the value of the token ``own``
    is read from the moving state where ``live``.
    """
    units, values, moving = [], [], []
    for head in heads:
        m = {name: _matrix(head[name]) for name in ("W_Q", "W_K", "W_V", "W_O")}
        keys = [_added(row, head["b_K"]) for row in _times(_matrix(states), m["W_K"])]
        slopes = [[sum(a * b for a, b in zip(w, k, strict=True)) for w in m["W_Q"]] for k in keys]
        shifts = [sum(a * b for a, b in zip(head["b_Q"], k, strict=True)) for k in keys]
        mixed = [_added(row, head["b_V"]) for row in _times(_matrix(states), m["W_V"])]
        rows = _times(mixed, m["W_O"])
        if live:
            rows[own] = _times([[exact(v) for v in head["b_V"]]], m["W_O"])[0]
            moving.append((own, _times(m["W_V"], m["W_O"])))
        units.append((slopes, shifts))
        values.append(rows)
    layer = {"kind": "attention", "units": units, "values": values}
    return layer | {"offset": offset, "residual": residual, "own": moving or [None] * len(units)}


def _added(row, bias):
    return [a + exact(b) for a, b in zip(row, bias, strict=True)]


def pieces(layers, start: tuple, domain: list[Row]) -> list[Piece]:
    """Return all cells of a network whose input is ``p @ start[0] + start[1]``, p in a domain."""
    matrix, offset = _matrix(start[0]), [exact(v) for v in start[1]]
    found = [Piece((), list(domain), matrix, offset)]
    for layer in layers:
        after = []
        for piece in found:
            pulled = [_pull(unit, piece.matrix, piece.offset) for unit in units_of(layer)]
            merged = [merge(unit) for unit in pulled]
            for pattern in cells(pulled, piece.rows):
                rows = list(piece.rows)
                for (slopes, shifts), j, classes in zip(pulled, pattern, merged, strict=True):
                    for other in classes:
                        if other != j:
                            normal = [a - b for a, b in zip(slopes[other], slopes[j], strict=True)]
                            rows.append((normal, shifts[j] - shifts[other]))
                groups = [classes[j] for j, classes in zip(pattern, merged, strict=True)]
                new = _apply(layer, piece, pulled, groups)
                after.append(Piece(piece.pattern + pattern, rows, *new))
        found = after
    return found


def touch(first: Piece, second: Piece) -> bool:
    """Return whether two closures meet in dimension d - 1.

    Then some row of the first, turned into an equation, leaves an open piece of its hyperplane on
    which all rows of both hold strictly but those of the same hyperplane.
    """
    rows = first.rows + second.rows
    return any(any(a) and _meet_inside(a, b, rows) for a, b in first.rows)


def _meet_inside(normal, bound, rows) -> bool:
    k = next(i for i, v in enumerate(normal) if v != 0)
    left = []
    for a, b in rows:
        factor = Fraction(a[k]) / normal[k]
        reduced = [p - factor * q for p, q in zip(a, normal, strict=True)]
        rest, right = reduced[:k] + reduced[k + 1 :], b - factor * bound
        if any(rest):
            left.append((rest, right))
        elif right < 0 or (right == 0 and factor == 0):
            return False
    return not left or strictly_feasible(left) is not None


def linear_regions(found: list[Piece]) -> int:
    """Return the number of linear regions: components of cells of equal map that touch (T13)."""
    parent = list(range(len(found)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i, j in combinations(range(len(found)), 2):
        a, b = found[i], found[j]
        if a.matrix == b.matrix and a.offset == b.offset and root(i) != root(j) and touch(a, b):
            parent[root(i)] = root(j)
    return len({root(i) for i in range(len(found))})


# ------------------------------------------------------------------------------- random cases


def random_network(rng: random.Random, d: int) -> list[dict]:
    """Return 2 or 3 small layers on R^d: integer data with ties, duplicates and dead units."""
    layers, width = [], d
    for _ in range(rng.randint(2, 3)):
        kind = rng.choice(
            ["attention", "attention", "attention", "relu", "relu", "maxout", "affine"]
        )
        out = rng.randint(1, 3)
        residual = rng.random() < 0.75
        if kind == "attention":
            units, values = [], []
            target = width if residual else out
            for _ in range(rng.randint(1, 2)):
                n = rng.choice([1, 2, 3, 3, 4])
                units.append((_rows(rng, n, width), _row(rng, n)))
                values.append(_rows(rng, n, target))
            layers.append(
                {
                    "kind": kind,
                    "units": units,
                    "values": values,
                    "offset": _row(rng, target),
                    "residual": residual,
                }
            )
        elif kind == "relu":
            m, target = rng.randint(2, 4), width if residual else out
            layers.append(
                {
                    "kind": kind,
                    "W_1": _rows(rng, width, m),
                    "b_1": _row(rng, m),
                    "W_2": _rows(rng, m, target),
                    "b_2": _row(rng, target),
                    "residual": residual,
                }
            )
        elif kind == "maxout":
            target, n = rng.randint(1, 3), rng.randint(2, 3)
            units = [(_rows(rng, n, width), _row(rng, n)) for _ in range(target)]
            layers.append({"kind": kind, "units": units})
        else:
            target = rng.randint(1, 3)
            layers.append(
                {"kind": kind, "matrix": _rows(rng, width, target), "offset": _row(rng, target)}
            )
        width = target
    return layers


def _row(rng: random.Random, n: int) -> list[int]:
    return [rng.randint(-2, 2) for _ in range(n)]


def _rows(rng: random.Random, n: int, d: int) -> list[list[int]]:
    return [_row(rng, d) for _ in range(n)]

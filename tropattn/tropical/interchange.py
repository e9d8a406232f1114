"""Polynomials, polytopes, fans and graphs as text: JSON, gfan, polymake, networkx."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import as_array, as_fractions, freeze
from tropattn.errors import InvalidInput
from tropattn.polyhedra.minkowski import MinkowskiSum, minkowski_sum
from tropattn.polyhedra.normal_fan import NormalFan
from tropattn.tropical.points import term_points
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.terms import AffineMap

__all__ = [
    "from_gfan",
    "from_gfan_fan",
    "from_json",
    "from_polymake",
    "from_polymake_polynomial",
    "gfan_f_vector",
    "graph_from_json",
    "graph_to_json",
    "to_gfan",
    "to_json",
    "to_polymake",
    "to_polymake_polynomial",
]

Array = NDArray[Any]

# ---- JSON ---------------------------------------------------------------------------------------


def to_json(value: TropicalPolynomial | MinkowskiSum) -> str:
    """A polynomial with its factors, or a sum with its summands, as JSON that loses nothing.

    Doubles are JSON numbers (their shortest decimal form reads back as the same double), rationals
    strings such as ``"1/3"``.

    >>> to_json(TropicalPolynomial([[1], [2]]))
    '{"type": "TropicalPolynomial", "keys": [[1.0], [2.0]], "biases": [0.0, 0.0]}'
    """
    out: dict[str, Any]
    if isinstance(value, MinkowskiSum):
        out = {
            "type": "MinkowskiSum",
            "upper": value.upper,
            "summands": [_plain(p) for p in value.summands],
            "decomposition": value.decomposition.tolist(),
            "edges": value.edges.tolist(),
        }
    elif isinstance(value, TropicalPolynomial):
        out = {
            "type": "TropicalPolynomial",
            "keys": _plain(value.keys),
            "biases": _plain(value.biases),
        }
        if value.scale != 1:
            out["scale"] = _number(value.scale)
        if value.maps:
            out["maps"] = [
                {"matrix": _plain(m.matrix), "offset": _plain(m.offset)} for m in value.maps
            ]
    else:
        raise InvalidInput(
            f"value: a TropicalPolynomial or MinkowskiSum needed, got {type(value).__name__}; "
            "of a NewtonPolytope write its hull."
        )
    return json.dumps(out)


def from_json(text: str) -> TropicalPolynomial | MinkowskiSum:
    """What ``to_json`` wrote; a sum is computed again and must agree with what was written.

    >>> from_json(to_json(TropicalPolynomial([[1], [2]]))).keys.tolist()
    [[1.0], [2.0]]
    """
    try:
        found = json.loads(text)
        kind = found["type"]
        if kind == "TropicalPolynomial":
            maps = tuple(
                AffineMap(_array("matrix", m["matrix"], 2), _array("offset", m["offset"], 1))
                for m in found.get("maps", [])
            )
            return TropicalPolynomial.factored(
                _array("keys", found["keys"], 2),
                _array("biases", found["biases"], 1),
                scale=_read(found.get("scale", 1)),
                maps=maps,
            )
        if kind == "MinkowskiSum":
            summands = [_array("summands", p, 2) for p in found["summands"]]
            again = minkowski_sum(summands, upper=found["upper"])
            agrees = again.decomposition.tolist() == found["decomposition"]
            if not agrees or again.edges.tolist() != found["edges"]:
                raise InvalidInput(
                    "text: decomposition and edges of the summands needed, got others; "
                    "the file was changed or cut."
                )
            return again
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InvalidInput(f"text: JSON written by to_json needed, got {error!r}.") from None
    raise InvalidInput(f"text: a polynomial or a sum needed, got type {kind!r}.")


def _number(value: Any) -> Any:
    if isinstance(value, Fraction):
        return str(value)
    return float(value) if isinstance(value, float | np.floating) else int(value)


def _plain(array: Array) -> Any:
    return json.loads(json.dumps(array.tolist(), default=str))


def _read(value: Any) -> Any:
    return Fraction(value) if isinstance(value, str) else value


def _array(name: str, value: Any, ndim: int) -> Array:
    flat = np.array(value, dtype=object)
    if flat.ndim != ndim:
        return as_array(name, value, ndim)
    if any(isinstance(v, str) for v in flat.ravel()):
        read = np.empty(flat.shape, dtype=object)
        for index, entry in np.ndenumerate(flat):
            read[index] = _read(entry)
        return as_array(name, read, ndim)
    return as_array(name, np.array(value, dtype=np.float64).reshape(flat.shape), ndim)


# ---- gfan ---------------------------------------------------------------------------------------


def to_gfan(polynomials: Sequence[TropicalPolynomial], *, lifted: bool = False) -> str:
    """The polynomials with these integer slopes as exponents, in gfan's notation.

    Exponents are translated to be non-negative, which moves no face of the Newton polytopes; all
    coefficients are 1. With ``lifted`` the intercepts are exponents of one more variable. gfan
    reads 32-bit exponents and slows down on large ones: keep entries small.

    >>> to_gfan([TropicalPolynomial([[0, 0], [1, 2]])])
    'Q[x0,x1]{1+x0*x1^2}'
    """
    rows = [_whole(term_points(f, lifted)) for f in polynomials]
    if not rows or len({r.shape[1] for r in rows}) != 1:
        raise InvalidInput("polynomials: at least one, all of one dimension, needed.")
    names = [f"x{k}" for k in range(rows[0].shape[1])]
    texts = []
    for exponents in rows:
        shifted = exponents - exponents.min(axis=0)
        terms = []
        for row in shifted.tolist():
            powers = [
                name if power == 1 else f"{name}^{power}"
                for name, power in zip(names, row, strict=True)
                if power
            ]
            terms.append("*".join(powers) or "1")
        texts.append("+".join(terms))
    return f"Q[{','.join(names)}]{{{','.join(texts)}}}"


def _whole(points: Array) -> NDArray[np.int64]:
    exact = as_fractions(points)
    if any(v.denominator != 1 or abs(v) > 2**31 for v in exact.ravel()):
        raise InvalidInput(
            "polynomials: integer slopes below 2**31 needed for exponents, got others; multiply "
            "by a common denominator."
        )
    return exact.astype(np.int64)


def from_gfan(text: str) -> list[TropicalPolynomial]:
    """Exponents of each polynomial as slopes, in the order written; coefficients are dropped.

    >>> from_gfan("Q[x,y]{1+x*y^2, 3*x-y}")[1].slopes.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    match = re.fullmatch(r"\s*\w+(?:/\d+\w*)?\[([^\]]*)\]\s*\{(.*)\}\s*", text, re.DOTALL)
    if not match:
        raise InvalidInput(f"text: Q[x,y]{{f, g}} needed, got {text[:40]!r}.")
    names = [name.strip() for name in match[1].split(",")]
    found = []
    for polynomial in match[2].split(","):
        rows = []
        for term in re.split(r"(?<!\^)[+-]", polynomial.strip().lstrip("+-")):
            row = [0] * len(names)
            for factor in term.strip().split("*"):
                base, _, power = factor.strip().partition("^")
                if base in names:
                    row[names.index(base)] += int(power or 1)
                elif not re.fullmatch(r"\d+(/\d+)?", base):
                    raise InvalidInput(
                        f"text: monomials in {', '.join(names)} needed, got {factor!r}."
                    )
            rows.append(row)
        found.append(TropicalPolynomial(rows))
    return found


def _section(text: str, name: str) -> list[list[str]]:
    """Words of the lines between a heading and the next empty line, comments and braces off."""
    lines = text.splitlines()
    if name not in lines:
        raise InvalidInput(f"text: a gfan fan with section {name} needed, got none.")
    body = []
    for line in lines[lines.index(name) + 1 :]:
        if not line.strip():
            break
        body.append(line.split("#")[0].strip().strip("{}").split())
    return body


def gfan_f_vector(text: str) -> tuple[int, ...]:
    """Section ``F_VECTOR`` of a gfan fan: cones by dimension, the lineality space first.

    >>> gfan_f_vector(chr(10).join(["F_VECTOR", "1 4 4"]))
    (1, 4, 4)
    """
    return tuple(int(v) for row in _section(text, "F_VECTOR") for v in row)


def from_gfan_fan(text: str) -> NormalFan:
    """Rays, lineality space and maximal cones of a fan that gfan printed.

    gfan prints fans for maxima, so rays are outer normals, as ours.
    """
    (dim,) = (int(v) for row in _section(text, "AMBIENT_DIM") for v in row)
    fields = []
    for name in ("RAYS", "LINEALITY_SPACE"):
        rows = [[int(v) for v in row] for row in _section(text, name)]
        fields.append(freeze(np.array(rows, dtype=object).reshape(-1, dim)))
    cones = tuple(tuple(int(v) for v in row) for row in _section(text, "MAXIMAL_CONES"))
    return NormalFan(fields[0], cones, fields[1], complete=True)


# ---- polymake -----------------------------------------------------------------------------------


def to_polymake(polytope: Any) -> str:
    """Points (an array, or an object with ``.points``) as a polymake file (JSON, version 4).

    ``load("file.poly")`` in polymake reads it; points are homogenised by a leading 1.

    >>> '"POINTS":[["1","0"],["1","1/2"]]' in to_polymake(
    ...     np.array([[Fraction(0)], [Fraction(1, 2)]]))
    True
    """
    points = as_array("polytope", getattr(polytope, "points", polytope), 2, shape="(N, d)")
    rows = [["1", *map(str, row)] for row in as_fractions(points).tolist()]
    out = {
        "_ns": {"polymake": ["https://polymake.org", "4.6"]},
        "_type": "polytope::Polytope<Rational>",
        "POINTS": rows,
    }
    return json.dumps(out, separators=(",", ":"))


def from_polymake(text: str) -> Array:
    """Points (or vertices) of a polymake file, as rationals (N, d).

    Raises ``InvalidInput`` for other files and for rays (leading coordinate 0).
    """
    try:
        found = json.loads(text)
        rows = found.get("VERTICES", found.get("POINTS"))
        # polymake writes the number of columns as a last entry of some matrices.
        table = [[Fraction(str(v)) for v in row] for row in rows if isinstance(row, list)]
    except (json.JSONDecodeError, AttributeError, TypeError, ValueError) as error:
        raise InvalidInput(f"text: a polymake polytope in JSON needed, got {error!r}.") from None
    if not table or any(row[0] != 1 for row in table):
        raise InvalidInput(
            "text: points with leading coordinate 1 needed, got none or rays; polymake writes "
            "bounded polytopes that way."
        )
    out = np.empty((len(table), len(table[0]) - 1), dtype=object)
    for at, row in enumerate(table):
        out[at] = row[1:]
    return freeze(out)


def to_polymake_polynomial(f: TropicalPolynomial) -> str:
    """The polynomial as polymake's ``toTropicalPolynomial`` reads it (integer slopes).

    >>> to_polymake_polynomial(TropicalPolynomial([[0, 0], [2, -1]], [1, -3]))
    'max(1,-3+2*x0-x1)'
    """
    points = as_fractions(term_points(f, lifted=True))
    exponents = _whole(points[:, :-1])
    terms = []
    for row, constant in zip(exponents.tolist(), points[:, -1].tolist(), strict=True):
        text = str(constant)
        for k, power in enumerate(row):
            if power:
                size = "" if abs(power) == 1 else f"{abs(power)}*"
                text += f"{'-' if power < 0 else '+'}{size}x{k}"
        terms.append(text)
    return f"max({','.join(terms)})"


def from_polymake_polynomial(text: str, dim: int) -> TropicalPolynomial:
    """A ``max(...)`` of affine terms in ``x0, ..., x{dim-1}``, as rationals.

    >>> f = from_polymake_polynomial("max(1,-3+2*x0-x1)", 2)
    >>> [[int(v) for v in row] for row in f.slopes], [int(v) for v in f.intercepts]
    ([[0, 0], [2, -1]], [1, -3])
    """
    match = re.fullmatch(r"\s*max\((.*)\)\s*", text, re.DOTALL)
    if not match:
        raise InvalidInput(f"text: max(term, ...) needed, got {text[:40]!r}.")
    slopes, intercepts = [], []
    for term in match[1].replace(" ", "").split(","):
        slope, constant = [Fraction(0)] * dim, Fraction(0)
        pieces = re.findall(r"([+-]?)(\d+(?:/\d+)?)?(\*?)(?:x_?(\d+))?", term)
        for sign, size, _, variable in pieces:
            if not size and not variable:
                continue
            value = (-1 if sign == "-" else 1) * Fraction(size or 1)
            if not variable:
                constant += value
            elif int(variable) < dim:
                slope[int(variable)] += value
            else:
                raise InvalidInput(f"dim: above {variable} needed for x{variable}, got {dim}.")
        slopes.append(slope)
        intercepts.append(constant)
    return TropicalPolynomial(
        np.array(slopes, dtype=object).reshape(-1, dim), np.array(intercepts, dtype=object)
    )


# ---- networkx -----------------------------------------------------------------------------------


def graph_to_json(graph: nx.Graph[Any]) -> str:
    """A graph of this package (vertices, walls, faces) as node-link JSON.

    Face sets become sorted lists, tuples lists.

    >>> graph_from_json(graph_to_json(nx.path_graph(3))).number_of_edges()
    2
    """

    def name(node: Any) -> Any:
        return sorted(node) if isinstance(node, frozenset) else node

    return json.dumps(
        {
            "directed": graph.is_directed(),
            "nodes": [{"id": name(v), **data} for v, data in graph.nodes(data=True)],
            "links": [
                {"source": name(u), "target": name(v), **data}
                for u, v, data in graph.edges(data=True)
            ],
        }
    )


def graph_from_json(text: str) -> nx.Graph[Any]:
    """The graph that ``graph_to_json`` wrote: lists as nodes become frozensets, else tuples."""

    def name(node: Any) -> Any:
        return frozenset(node) if isinstance(node, list) else node

    def plain(data: dict[str, Any], *without: str) -> dict[str, Any]:
        kept = {key: value for key, value in data.items() if key not in without}
        return {k: tuple(v) if isinstance(v, list) else v for k, v in kept.items()}

    found = json.loads(text)
    graph: nx.Graph[Any] = nx.DiGraph() if found["directed"] else nx.Graph()
    for node in found["nodes"]:
        graph.add_node(name(node["id"]), **plain(node, "id"))
    for link in found["links"]:
        ends = name(link["source"]), name(link["target"])
        graph.add_edge(*ends, **plain(link, "source", "target"))
    return graph

"""Polynomials, polytopes, fans and graphs as text: JSON, gfan, polymake, Sage, networkx."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_array, as_fractions, freeze
from tropattn.errors import InvalidInput
from tropattn.polyhedra.minkowski import MinkowskiSum, minkowski_sum
from tropattn.polyhedra.normal_fan import NormalFan
from tropattn.polyhedra.polyhedron import Polyhedron
from tropattn.tropical.geometry.points import term_points
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.sums import NAME, SIGNED, read_maximum, read_sums, refused
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
    "to_sage",
]


_WRONG = (AttributeError, KeyError, RecursionError, TypeError, ValueError, ZeroDivisionError)
"""What text of another kind makes json and Fraction raise."""

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
    except InvalidInput:
        raise
    except _WRONG as error:
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

    Monomials are written with ``*`` and ``^``. Raises ``InvalidInput`` with the place of what is
    not read.

    >>> from_gfan("Q[x,y]{1+x*y^2, 3*x-y}")[1].slopes.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    match = re.match(r"\s*\w+(?:/\d+\w*)?\[([^\]]*)\]\s*\{", text)
    if not match:
        raise InvalidInput(f"text: Q[x,y]{{f, g}} needed, got {text[:40]!r}.")
    names = [name.strip() for name in match[1].split(",")]
    if len(set(names)) < len(names) or not all(NAME.fullmatch(name) for name in names):
        raise InvalidInput(
            f"text: different names of letters and digits needed in the ring, got {match[1]!r}."
        )
    found = []
    for polynomial in read_sums(text, match.end(), "}", powers=True):
        rows = []
        for product in polynomial:
            unknown = [name for name in product.powers if name not in names]
            if unknown:
                raise refused(text, product.place, f"monomials in {', '.join(names)}")
            if product.number == 0:
                raise refused(text, product.place, "coefficients other than 0")
            rows.append([product.powers.get(name, 0) for name in names])
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
    return tuple(v for row in _integers(text, "F_VECTOR") for v in row)


def from_gfan_fan(text: str) -> NormalFan:
    """Rays, lineality space and maximal cones of a fan that gfan printed.

    gfan prints fans for maxima, so rays are outer normals, as ours. The fan is called complete
    where section ``CONES`` proves it: all maximal cones have the dimension of the space, and each
    cone of one dimension less lies in two of them.

    Raises
    ------
    InvalidInput : sections are missing, or numbers in them do not fit each other.
    """
    dim = _entry(text, "AMBIENT_DIM")
    rays, lineality = (_vectors(text, name, dim) for name in ("RAYS", "LINEALITY_SPACE"))
    cones = _index_sets(text, "MAXIMAL_CONES", len(rays))
    return NormalFan(rays, cones, lineality, complete=_covers(text, dim, len(rays), cones))


def _entry(text: str, name: str) -> int:
    """The one non-negative integer of a section."""
    rows = _integers(text, name)
    if [len(row) for row in rows] != [1] or rows[0][0] < 0:
        raise InvalidInput(f"text: one integer >= 0 needed in section {name}, got {rows}.")
    return rows[0][0]


def _integers(text: str, name: str) -> list[list[int]]:
    """The lines of a section as integers."""
    out = []
    for at, row in enumerate(_section(text, name)):
        wrong = [word for word in row if not re.fullmatch(r"-?[0-9]+", word)]
        if wrong:
            raise InvalidInput(
                f"text: integers needed in section {name}, got {wrong[0]!r} in line {at + 1} of it."
            )
        out.append([int(word) for word in row])
    return out


def _vectors(text: str, name: str, dim: int) -> Array:
    """The lines of a section as vectors."""
    rows = _integers(text, name)
    for at, row in enumerate(rows):
        if len(row) != dim:
            raise InvalidInput(
                f"text: {dim} coordinates (AMBIENT_DIM) needed in section {name}, got {len(row)} "
                f"in line {at + 1} of it."
            )
    return freeze(np.array(rows, dtype=object).reshape(-1, dim))


def _index_sets(text: str, name: str, n_rays: int) -> tuple[tuple[int, ...], ...]:
    """The lines of a section as sets of rays."""
    rows = _integers(text, name)
    for at, row in enumerate(rows):
        if any(not 0 <= ray < n_rays for ray in row) or len(set(row)) < len(row):
            raise InvalidInput(
                f"text: different rays in 0..{n_rays - 1} needed in section {name}, got {row} in "
                f"line {at + 1} of it."
            )
    return tuple(tuple(row) for row in rows)


def _covers(text: str, dim: int, n_rays: int, cones: tuple[tuple[int, ...], ...]) -> bool:
    """Whether the file proves that its cones cover the space."""
    lines = text.splitlines()
    if any(name not in lines for name in ("CONES", "F_VECTOR", "LINEALITY_DIM")):
        return False
    counts, smallest = gfan_f_vector(text), _entry(text, "LINEALITY_DIM")
    known = _index_sets(text, "CONES", n_rays)
    if sum(counts) != len(known) or smallest + len(counts) - 1 != dim:
        return False
    largest = counts[-1]
    below = len(known) - largest
    walls = known[below - counts[-2] : below] if len(counts) > 1 else ()
    whole = {frozenset(cone) for cone in cones}
    if whole != {frozenset(cone) for cone in known[below:]}:
        return False
    # A set of full-dimensional cones is bounded by walls that lie in one of them.
    return all(sum(cone.issuperset(wall) for cone in whole) == 2 for wall in walls)


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
    """Points (or vertices) of a polymake file, as rationals (N, d); rows may be sparse.

    Raises ``InvalidInput`` for other files, for rows that do not fit, and for rays (leading
    coordinate 0).
    """
    try:
        found = json.loads(text)
        rows = found.get("VERTICES", found.get("POINTS"))
    except _WRONG as error:
        raise InvalidInput(f"text: a polymake polytope in JSON needed, got {error!r}.") from None
    if not isinstance(rows, list):
        raise InvalidInput(
            f"text: lists VERTICES or POINTS needed, got {', '.join(map(str, found)) or 'neither'}."
        )
    columns = None
    # polymake writes the number of columns as a last entry where rows may be sparse.
    if rows and isinstance(rows[-1], dict) and set(rows[-1]) == {"cols"}:
        rows, columns = rows[:-1], rows[-1]["cols"]
    table = [_row(at, row, columns) for at, row in enumerate(rows)]
    if not table or any(row[:1] != [1] for row in table):
        raise InvalidInput(
            "text: points with leading coordinate 1 needed, got none or rays; polymake writes "
            "bounded polytopes that way."
        )
    wide = max(map(len, table)) if columns is None else columns
    for at, row in enumerate(table):
        if len(row) != wide or wide < 2:
            raise InvalidInput(
                f"text: {max(wide, 2)} entries a row needed, got {len(row)} in row {at}."
            )
    out = np.empty((len(table), wide - 1), dtype=object)
    for at, row in enumerate(table):
        out[at] = row[1:]
    return freeze(out)


def _row(at: int, row: Any, columns: Any) -> list[Fraction]:
    """One row of a polymake matrix, dense or sparse."""
    if isinstance(row, list):
        return [_polymake_number(f"row {at}, column {k}", value) for k, value in enumerate(row)]
    places = {k: re.fullmatch(r"[0-9]+", k) and int(k) for k in row} if type(row) is dict else {}
    if (
        not places
        or type(columns) is not int
        or any(k is None or k >= columns for k in places.values())
    ):
        raise InvalidInput(
            f"text: a list, or a sparse row with columns below the number in 'cols', needed, got "
            f"{str(row)[:60]!r} in row {at}."
        )
    dense = [Fraction(0)] * columns
    for name, k in places.items():
        dense[k or 0] = _polymake_number(f"row {at}, column {k}", row[name])
    return dense


def _polymake_number(place: str, value: Any) -> Fraction:
    """A rational in quotes, or a JSON number: doubles are the dyadic rationals that they are."""
    given = type(value) in (int, float) and abs(value) < float("inf")
    if not given and not (isinstance(value, str) and SIGNED.fullmatch(value)):
        raise InvalidInput(f"text: a rational number needed in {place}, got {value!r}.")
    try:
        return Fraction(value)
    except ZeroDivisionError:
        raise InvalidInput(f"text: a denominator other than 0 needed in {place}.") from None


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

    Variables are numbered (``x0`` or ``x_0``); ``dim`` other names count in alphabetical order, as
    in polymake. Coefficients are integers, fractions or decimals, before the variable (``2x0``,
    ``2*x0``) or behind it (``x0*2``). Raises ``InvalidInput`` with the place of what is not read.

    >>> f = from_polymake_polynomial("max(1,-3+2*x0-x1)", 2)
    >>> [[int(v) for v in row] for row in f.slopes], [int(v) for v in f.intercepts]
    ([[0, 0], [2, -1]], [1, -3])
    """
    slopes, intercepts, least = read_maximum(text, dim=dim)
    if least:
        raise InvalidInput(f"text: max(term, ...) needed, got {text[:40]!r}.")
    return TropicalPolynomial(
        np.array(slopes, dtype=object).reshape(-1, dim), np.array(intercepts, dtype=object)
    )


# ---- Sage ---------------------------------------------------------------------------------------


def to_sage(value: TropicalPolynomial | Polyhedron | Any) -> str:
    """A polyhedron, points (an array, or an object with ``.points``) or a polynomial for Sage.

    Polynomials are over the max-plus semiring of the rationals; their slopes are exponents, so
    integers >= 0.

    >>> print(to_sage(TropicalPolynomial([[0, 0], [2, 1]], [1, -3])))
    PolynomialRing(TropicalSemiring(QQ, use_min=False), 'x0,x1')({(0,0): 1, (2,1): -3})
    >>> print(to_sage(Polyhedron([[1, 2]], [3])))
    Polyhedron(ieqs=[(3, -1, -2)], base_ring=QQ)
    """
    if isinstance(value, TropicalPolynomial):
        points = as_fractions(term_points(value, lifted=True))
        exponents = _whole(points[:, :-1])
        if (exponents < 0).any():
            raise InvalidInput(
                "value: slopes >= 0 needed for exponents, got a negative one; add one linear "
                "function to all terms."
            )
        terms = zip(exponents.tolist(), points[:, -1].tolist(), strict=True)
        best: dict[tuple[int, ...], Fraction] = {}
        for row, constant in terms:
            best[tuple(row)] = max(constant, best.get(tuple(row), constant))
        entries = ", ".join(
            f"({','.join(map(str, row))}{',' if len(row) == 1 else ''}): {constant}"
            for row, constant in best.items()
        )
        names = ",".join(f"x{k}" for k in range(value.dim))
        return f"PolynomialRing(TropicalSemiring(QQ, use_min=False), {names!r})({{{entries}}})"
    if isinstance(value, Polyhedron):
        rows = [(Fraction(-row[-1]), *(-v for v in row[:-1])) for row in value.rows]
        listed = ", ".join(f"({', '.join(map(str, row))})" for row in rows)
        if not rows:
            listed = f"({', '.join(['0'] * (value.dim + 1))})"
        return f"Polyhedron(ieqs=[{listed}], base_ring=QQ)"
    points = as_array("value", getattr(value, "points", value), 2, shape="(N, d)")
    rows = [
        f"({', '.join(map(str, row))}{',' if len(row) == 1 else ''})"
        for row in as_fractions(points).tolist()
    ]
    return f"Polyhedron(vertices=[{', '.join(rows)}], base_ring=QQ)"


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

    try:
        found = json.loads(text)
        graph: nx.Graph[Any] = nx.DiGraph() if found["directed"] else nx.Graph()
        for node in found["nodes"]:
            graph.add_node(name(node["id"]), **plain(node, "id"))
        for link in found["links"]:
            ends = name(link["source"]), name(link["target"])
            graph.add_edge(*ends, **plain(link, "source", "target"))
    except _WRONG as error:
        raise InvalidInput(f"text: JSON of graph_to_json needed, got {error!r}.") from None
    return graph

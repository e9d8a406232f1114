"""Layers of heads whose number of cells is known, with integer entries throughout.

Every family returns ``(units, dimension, expected_count)``; a unit is ``(slopes, intercepts)`` as
in ``brute``. The expected count is a closed formula where there is one, otherwise a published
number. A head with two keys is a hyperplane.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import combinations, product
from itertools import count as integers
from math import comb, factorial
from typing import TypeAlias

Number: TypeAlias = int | float
Unit: TypeAlias = tuple[list[list[Number]], list[Number]]
Family: TypeAlias = tuple[list[Unit], int, int]

# Signed combinatorics without published closed form, indexed by n.
_RESONANCE = {1: 2, 2: 6, 3: 32, 4: 370, 5: 11292, 6: 1066044}
_THRESHOLD = {1: 4, 2: 14, 3: 104, 4: 1882, 5: 94572}


def _basis(n: int, i: int) -> list[int]:
    """Return the unit vector ``e_i`` of length ``n``."""
    return [int(k == i) for k in range(n)]


def _hyperplane(normal: Sequence[int], offset: int = 0) -> Unit:
    """Return the two-key head whose wall is ``<normal, x> = offset``."""
    return [[0] * len(normal), list(normal)], [0, -offset]


def _differences(n: int, offsets: Iterable[int]) -> list[Unit]:
    """Return the hyperplanes ``x_i - x_j = s`` for ``i < j`` and each offset ``s``."""
    shifts = list(offsets)
    units = []
    for i, j in combinations(range(n), 2):
        normal = [p - q for p, q in zip(_basis(n, i), _basis(n, j), strict=True)]
        units += [_hyperplane(normal, shift) for shift in shifts]
    return units


def _simplices(n: int, sets: Iterable[Iterable[int]]) -> list[Unit]:
    """Return one central head with keys ``{e_i : i in I}`` for every index set ``I``."""
    heads = [[_basis(n, i) for i in chosen] for chosen in sets]
    return [(keys, [0] * len(keys)) for keys in heads]


# ----------------------------------------------------------------- hyperplane arrangements


def braid(n: int) -> Family:
    """Return the hyperplanes ``x_i = x_j``: a cell for each of the ``n!`` coordinate orders."""
    return _differences(n, [0]), n, factorial(n)


def resonance(n: int) -> Family:
    """Return all normals in ``{0,1}^n`` but 0, central.

    2, 6, 32, 370, 11292, 1066044 cells for n = 1..6 (OEIS A034997).
    """
    normals = [vector for vector in product((0, 1), repeat=n) if any(vector)]
    return [_hyperplane(normal) for normal in normals], n, _RESONANCE[n]


def threshold(n: int) -> Family:
    """Return normals ``(1, e)``, ``e`` in ``{0,1}^n``: a cell for each threshold function.

    4, 14, 104, 1882, 94572 for n = 1..5 (OEIS A000609).
    """
    units = [_hyperplane((1, *bits)) for bits in product((0, 1), repeat=n)]
    return units, n + 1, _THRESHOLD[n]


def shi(n: int) -> Family:
    """Return hyperplanes ``x_i - x_j = 0, 1``, i < j: ``(n+1)^(n-1)`` cells (Shi 1986)."""
    return _differences(n, [0, 1]), n, (n + 1) ** (n - 1)


def linial(n: int) -> Family:
    """Return hyperplanes ``x_i - x_j = 1``, i < j: 2, 7, 36, 246 cells for n = 2..5.

    ``2^-n sum_k C(n,k) (k+1)^(n-1)`` (Postnikov and Stanley 2000; OEIS A007889).
    """
    expected = sum(comb(n, k) * (k + 1) ** (n - 1) for k in range(n + 1)) // 2**n
    return _differences(n, [1]), n, expected


def catalan(n: int) -> Family:
    """Return hyperplanes ``x_i - x_j = -1, 0, 1``: ``n!`` Catalan(n) cells (OEIS A001761)."""
    expected = factorial(n) * comb(2 * n, n) // (n + 1)
    return _differences(n, [-1, 0, 1]), n, expected


def generic_affine(d: int, n_hyperplanes: int) -> Family:
    """Return affine hyperplanes in general position in R^d: ``sum_{j <= d} C(m, j)`` cells.

    Normals ``(1, t, ..., t^(d-1))`` and offset ``t^d``: any ``d + 1`` of them form a Vandermonde
    matrix, so any ``d`` meet in one point and no ``d + 1`` do.
    """
    units = [_hyperplane([t**k for k in range(d)], t**d) for t in range(1, n_hyperplanes + 1)]
    return units, d, sum(comb(n_hyperplanes, j) for j in range(d + 1))


def generic_central(d: int, n_hyperplanes: int) -> Family:
    """Return m >= 1 generic hyperplanes through 0: ``2 sum_{j < d} C(m-1, j)`` cells."""
    units = [_hyperplane([t**k for k in range(d)]) for t in range(1, n_hyperplanes + 1)]
    return units, d, 2 * sum(comb(n_hyperplanes - 1, j) for j in range(d))


# ------------------------------------------------------------ sums of faces of a simplex


def permutohedron(n: int) -> Family:
    """Return heads with keys ``{e_i, e_j}`` for all pairs: ``n!`` cells (OEIS A000142)."""
    return _simplices(n, combinations(range(n), 2)), n, factorial(n)


def associahedron(n: int) -> Family:
    """Return heads with keys ``{e_i : i in I}`` for all intervals ``I`` of length >= 2.

    2, 5, 14, 42, 132, 429 cells for n = 2..7: ``C(2n, n)/(n+1)`` (Loday 2004, Postnikov 2009; OEIS
    A000108).
    """
    intervals = [range(i, j) for i, j in combinations(range(n + 1), 2) if j - i >= 2]
    return _simplices(n, intervals), n, comb(2 * n, n) // (n + 1)


def cyclohedron(n: int) -> Family:
    """Return heads on the cyclic intervals of length 2..n-1 and on the whole set, n >= 3.

    ``C(2n-2, n-1)`` cells: 6, 20, 70, 252 for n = 3..6 (OEIS A000984), the nestohedron of a
    cycle (Postnikov 2009). The whole set adds no wall: its winner wins two of the longest arcs.
    """
    arcs = [[(i + k) % n for k in range(size)] for size in range(2, n) for i in range(n)]
    return _simplices(n, [*arcs, range(n)]), n, comb(2 * n - 2, n - 1)


def prefixes(n: int) -> Family:
    """Return heads with keys ``{e_1, ..., e_k}``, k = 2..n: ``2^(n-1)`` cells.

    From the second on, each coordinate is a new record or not.
    """
    return _simplices(n, [range(k) for k in range(2, n + 1)]), n, 2 ** (n - 1)


def subsets(n: int, k: int) -> Family:
    """Return heads with keys ``{e_i : i in I}`` for all k-sets, 2 <= k <= n: ``n!/(k-1)!`` cells.

    The winners of all k-sets reveal the order of all coordinates but the k - 1 least.
    """
    return _simplices(n, combinations(range(n), k)), n, factorial(n) // factorial(k - 1)


# ----------------------------------------------------------------------- parabola strips


def _determinant(matrix: list[list[int]]) -> int:
    """Return a small integer determinant by expansion along the first column."""
    if not matrix:
        return 1
    return sum(
        (-1) ** i * row[0] * _determinant([other[1:] for other in matrix[:i] + matrix[i + 1 :]])
        for i, row in enumerate(matrix)
        if row[0]
    )


def _are_generic(directions: Sequence[Sequence[int]], offsets: Sequence[set[int]]) -> bool:
    """Return whether ``d`` or ``d + 1`` bundles of walls ``<u_i, x> = s`` meet generically.

    Of ``d`` bundles the directions must be independent. Of ``d + 1``, no choice of one offset
    from each may give walls with a common point: the determinant with rows ``(u_i, s_i)``, here
    expanded along its last column up to sign, must not vanish.
    """
    d = len(directions[0])
    if len(directions) == d:
        return _determinant([list(u) for u in directions]) != 0
    values = {0}
    for i, choices in enumerate(offsets):
        minor = (-1) ** i * _determinant([list(u) for k, u in enumerate(directions) if k != i])
        values = {value + s * minor for value in values for s in choices}
    return 0 not in values


def _candidates(d: int) -> Iterator[tuple[int, ...]]:
    """Yield integer vectors, one of each pair ``+-u``, by increasing largest entry."""
    for radius in integers(1):
        for u in product(range(-radius, radius + 1), repeat=d):
            if max(map(abs, u)) == radius and next(v for v in u if v) > 0:
                yield u


@cache
def _generic_directions(d: int, n_terms: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return small directions ``u_i`` for which strips of these sizes are generic, greedily.

    The walls' offsets, doubled, are 1, 3, ..., 2N-3. ``N - 1`` is added: the one wall that the
    homogenised strip has on the far side of infinity. Moment curves with first coordinate 1
    would not do: walls of equal offset all meet on the first axis.
    """
    offsets = [{*range(1, 2 * n - 2, 2), n - 1} if n > 1 else set() for n in n_terms]
    chosen = [tuple(_basis(d, i)) for i in range(min(d, len(n_terms)))]
    while len(chosen) < len(n_terms):
        new = len(chosen)
        chosen.append(
            next(
                u
                for u in _candidates(d)
                if all(
                    _are_generic([chosen[k] for k in old] + [u], [offsets[k] for k in (*old, new)])
                    for size in (d, d + 1)
                    for old in combinations(range(new), size - 1)
                )
            )
        )
    return tuple(chosen)


def _elementary_symmetric(values: Iterable[int], top: int) -> int:
    """Return ``e_0 + ... + e_top`` of ``values`` from the product of all ``1 + v z``."""
    coefficients = [1]
    for v in values:
        shifted = [0, *(v * c for c in coefficients)]
        coefficients = [p + q for p, q in zip([*coefficients, 0], shifted, strict=True)]
    return sum(coefficients[: top + 1])


def strips(d: int, n_terms: Sequence[int]) -> Family:
    """Return parabola strips (T6): ``max_t 2t<u_i, x> - t^2``, t = 0..N_i-1, generic ``u_i``.

    N_i - 1 parallel walls a unit, so ``sum_{j <= d} e_j(N_1 - 1, ..., N_H - 1)`` cells.
    """
    units = [
        ([[2 * t * v for v in u] for t in range(n)], [-t * t for t in range(n)])
        for u, n in zip(_generic_directions(d, tuple(n_terms)), n_terms, strict=True)
    ]
    return units, d, _elementary_symmetric([n - 1 for n in n_terms], d)


def homogenised_strips(d: int, n_terms: Sequence[int]) -> Family:
    """Return the strips of dimension d - 1 made central (T7), d >= 2.

    The intercept becomes the slope's last coordinate ``z``. The side ``z > 0`` shows the strips;
    for ``z < 0`` only ``t = 0`` and ``t = N - 1`` win, one wall a unit. Each cell of the central
    arrangement on ``z = 0`` joins a cell above to one below, so these are subtracted once.
    """
    flat, _, above = strips(d - 1, n_terms)
    units = [
        ([[*a, c] for a, c in zip(slopes, intercepts, strict=True)], [0] * len(slopes))
        for slopes, intercepts in flat
    ]
    walls = sum(n > 1 for n in n_terms)
    below = _elementary_symmetric([1] * walls, d - 1)
    at_infinity = 2 * sum(comb(walls - 1, j) for j in range(d - 1)) if walls else 1
    return units, d, above + below - at_infinity


def known_answers() -> list[tuple[str, list[Unit], int, int]]:
    """Return ``(name, units, dimension, expected_count)`` for small members of all families."""
    named: list[tuple[str, Family]] = [
        *((f"braid {n}", braid(n)) for n in (2, 3, 4)),
        *((f"resonance {n}", resonance(n)) for n in (1, 2, 3)),
        *((f"threshold {n}", threshold(n)) for n in (1, 2, 3)),
        *((f"Shi {n}", shi(n)) for n in (2, 3, 4)),
        *((f"Linial {n}", linial(n)) for n in (2, 3, 4)),
        *((f"Catalan {n}", catalan(n)) for n in (2, 3)),
        *((f"generic affine {d}, {m}", generic_affine(d, m)) for d, m in ((1, 4), (2, 6), (3, 5))),
        *(
            (f"generic central {d}, {m}", generic_central(d, m))
            for d, m in ((1, 3), (2, 5), (3, 6), (4, 6))
        ),
        *((f"permutohedron {n}", permutohedron(n)) for n in (2, 3, 4)),
        *((f"associahedron {n}", associahedron(n)) for n in (2, 3, 4, 5)),
        *((f"cyclohedron {n}", cyclohedron(n)) for n in (3, 4, 5)),
        *((f"prefixes {n}", prefixes(n)) for n in (2, 3, 4, 5)),
        *((f"subsets {n}, {k}", subsets(n, k)) for n, k in ((4, 2), (4, 3), (4, 4), (5, 3))),
        *(
            (f"strips {d}; {sizes}", strips(d, sizes))
            for d, sizes in (
                (1, (3, 2, 4)),
                (2, (3, 3, 3)),
                (2, (3, 3, 3, 3)),
                (2, (2, 3, 4, 5)),
                (3, (2, 3)),
                (3, (3, 3, 3, 3)),
            )
        ),
        *(
            (f"homogenised strips {d}; {sizes}", homogenised_strips(d, sizes))
            for d, sizes in (
                (2, (2, 4, 3)),
                (3, (3, 4)),
                (3, (2, 3, 4)),
                (3, (4, 4, 4, 4)),
                (4, (3, 3, 3, 3)),
            )
        ),
    ]
    return [(name, *family) for name, family in named]


# --------------------------------------------------------------------- degenerate and random


def degenerate_cases() -> list[tuple[str, list[Unit], int]]:
    """Return ``(name, units, d)`` for small layers that are degenerate on purpose."""
    corner: Unit = ([[1, 0], [0, 1], [0, 0]], [0, 0, 0])  # max(x, y, 0): vertex at the origin
    return [
        ("one key", [([[3, -1]], [5])], 2),
        ("one key beside a wall", [([[3, -1]], [5]), _hyperplane([1, 1])], 2),
        ("all keys equal", [([[1, 2]] * 3, [4] * 3), _hyperplane([1, 0])], 2),
        ("duplicated keys", [([[1, 0], [1, 0], [0, 1], [0, 0], [0, 1]], [0] * 5)], 2),
        ("zero slopes", [([[0, 0]] * 3, [1, 3, 2])], 2),
        ("zero slopes, tied", [([[0, 0]] * 3, [2, 0, 2])], 2),
        ("dominated key", [([[1, 0], [1, 0], [0, 1]], [0, -1, 0])], 2),
        # 0 = (u - u)/2 wins nowhere alone but ties on the whole wall
        ("key winning only on a wall", [([[1, 0], [0, 0], [-1, 0]], [0, 0, 0])], 2),
        ("key winning only at a point", [([[1, 0], [-1, 1], [-1, -1], [0, 0]], [0] * 4)], 2),
        ("collinear keys, central", [([[0, 0], [1, 1], [2, 2], [-1, -1]], [0] * 4)], 2),
        ("collinear keys, parabola", [([[0, 0], [2, 2], [4, 4]], [0, -1, -4])], 2),
        ("four walls at one vertex", [([[1, 1], [1, -1], [-1, 1], [-1, -1]], [0] * 4)], 2),
        (
            "low rank",
            [([[0, 0, 0], [1, 2, 3], [-1, -2, -3]], [0, 0, -1]), _hyperplane([2, 4, 6], 1)],
            3,
        ),
        (
            "low rank, two of three dimensions",
            [([[1, 0, 1], [0, 1, 1], [0, 0, 0]], [0] * 3), _hyperplane([1, 1, 2], 3)],
            3,
        ),
        (
            "centre away from 0",  # the centre is (1, 2)
            [([[1, 0], [0, 1], [0, 0]], [-1, -2, 0]), _hyperplane([1, 1], 3)],
            2,
        ),
        ("wall through a vertex", [corner, _hyperplane([1, 1])], 2),
        ("three concurrent walls", [_hyperplane(u) for u in ([1, 0], [0, 1], [1, -1])], 2),
        (
            "three walls concurrent away from 0, and a fourth",
            [
                _hyperplane([1, 0], 2),
                _hyperplane([0, 1], 1),
                _hyperplane([1, -1], 1),
                _hyperplane([1, 1], 0),
            ],
            2,
        ),
        ("parallel walls", [_hyperplane([1, 0], s) for s in (0, 1, 3)], 2),
        ("one wall twice", [_hyperplane([1, 2], 1), _hyperplane([-2, -4], -2)], 2),
        ("walls overlapping in a ray", [corner, _hyperplane([1, -1])], 2),
        ("one head twice", [corner, corner], 2),
        (
            "three planes through a line",
            [_hyperplane(u) for u in ([1, -1, 0], [0, 1, -1], [1, 0, -1])],
            3,
        ),
        (
            "breakpoints of two heads coincide on the line",
            [([[0], [1], [3]], [0, 0, -2]), ([[-1], [0], [2]], [0, 0, -2])],
            1,
        ),
    ]


def random_units(
    rng: random.Random, d: int, n_terms: Sequence[int], kind: str = "integer"
) -> list[Unit]:
    """Return one random unit per entry of ``n_terms``; small integers unless ``kind`` is float.

    Kinds: ``integer`` (coordinates -2..2, many ties), ``float`` (Gaussian), ``central`` (one
    intercept a unit: centre 0), ``central_shifted`` (common integer centre), ``low_rank`` (slopes
    through a common map to dimension ``max(1, d - 1)``), ``duplicates`` (keys repeated, some with
    another intercept).
    """

    def vector(length: int, reach: int = 2) -> list[Number]:
        return [rng.randint(-reach, reach) for _ in range(length)]

    point = vector(d, 3)
    narrow = max(1, d - 1)
    lift = [vector(d) for _ in range(narrow)]

    def unit(n: int) -> Unit:
        if kind == "float":
            return [[rng.gauss(0, 1) for _ in range(d)] for _ in range(n)], [
                rng.gauss(0, 1) for _ in range(n)
            ]
        slopes, intercepts = [vector(d) for _ in range(n)], vector(n)
        if kind == "central":
            intercepts = vector(1) * n
        elif kind == "central_shifted":
            (level,) = vector(1)
            intercepts = [level - sum(p * q for p, q in zip(a, point, strict=True)) for a in slopes]
        elif kind == "low_rank":
            slopes = [
                [sum(p * row[k] for p, row in zip(a, lift, strict=True)) for k in range(d)]
                for a in (vector(narrow) for _ in range(n))
            ]
        elif kind == "duplicates":
            for j in range(n // 2, n):
                source = rng.randrange(j) if j else 0
                slopes[j] = list(slopes[source])
                if rng.random() < 0.7:
                    intercepts[j] = intercepts[source]
        elif kind != "integer":
            raise ValueError(f"kind: no such kind of random unit, got {kind!r}")
        return slopes, intercepts

    return [unit(n) for n in n_terms]

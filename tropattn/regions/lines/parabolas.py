"""Upper envelopes of parabolas on a line, exactly (theory T11).

A *quadratic* is three integers ``(c_0, c_1, c_2)`` for ``c_0 + c_1 t + c_2 t^2``. Where the winner
changes is a root of a difference, a number ``(p + s sqrt(D)) / q``; such numbers are compared by
their doubles where these are apart, and by squaring where they are not. Nothing is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["Quadratic", "Root", "compare", "envelope", "sign_at"]

Quadratic = tuple[int, int, int]

_BITS = 64
"""Binary places by which the doubles around a root are found."""


@dataclass(frozen=True, slots=True, eq=False)
class Root:
    """The number ``(p + s sqrt(square)) / q``, ``q > 0``, with doubles ``low <= it <= high``.

    ``s`` is 1 or -1, and ``square`` is 0 for a rational.

    >>> root = Root.rising((-2, 0, 1))
    >>> root.low <= 2**0.5 <= root.high, sign_at(root, (-2, 0, 1))
    (True, 0)
    """

    p: int
    s: int
    square: int
    q: int
    low: float
    high: float

    @classmethod
    def of(cls, p: int, s: int, square: int, q: int) -> Root:
        """The number, its doubles worked out; ``q`` of either sign."""
        if q < 0:
            p, s, q = -p, -s, -q
        whole = math.isqrt(square)
        if whole * whole == square:
            p = p + s * whole
            near = _ratio(p, q)
            if math.isfinite(near) and Fraction(near) == Fraction(p, q):
                return cls(p, 1, 0, q, near, near)
            return cls(p, 1, 0, q, *_around(p, p, q))
        # Where p and the root nearly cancel, their sum is at least 1 / (|p| + sqrt(D)).
        cancelling = (p > 0) != (s > 0)
        places = max(0, _BITS + (1 if cancelling else -1) * max(p.bit_length(), whole.bit_length()))
        near = math.isqrt(square << 2 * places)
        ends = sorted((s * near, s * (near + 1)))
        p_shifted = p << places
        low, high = _around(p_shifted + ends[0], p_shifted + ends[1], q << places)
        return cls(p, s, square, q, low, high)

    @classmethod
    def rational(cls, value: Fraction | float) -> Root:
        """A number as it is given, doubles being the dyadic rationals that they are."""
        exact = Fraction(value)
        return cls.of(exact.numerator, 1, 0, exact.denominator)

    @classmethod
    def rising(cls, c: Quadratic) -> Root | None:
        """Where a quadratic passes from negative to positive, which it does once or never.

        >>> Root.rising((-1, 2, 0)).low, Root.rising((-1, 2, 0)).high
        (0.5, 0.5)
        >>> Root.rising((1, -2, 1)) is None         # it touches 0 only
        True
        """
        constant, linear, leading = c
        if leading == 0:
            return cls.of(-constant, 1, 0, linear) if linear > 0 else None
        discriminant = linear * linear - 4 * constant * leading
        return cls.of(-linear, 1, discriminant, 2 * leading) if discriminant > 0 else None


def _around(low: int, high: int, below: int) -> tuple[float, float]:
    """Doubles strictly around the interval ``[low, high] / below``."""
    return math.nextafter(_ratio(low, below), -math.inf), math.nextafter(
        _ratio(high, below), math.inf
    )


def _ratio(above: int, below: int) -> float:
    try:
        return above / below
    except OverflowError:
        return math.inf if above > 0 else -math.inf


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


def _sign_with_root(u: int, v: int, square: int) -> int:
    """The sign of ``u + v sqrt(square)``."""
    left, right = _sign(u), _sign(v) if square else 0
    if left == right or right == 0:
        return left
    if left == 0:
        return right
    return left * _sign(u * u - v * v * square)


def sign_at(root: Root, c: Quadratic) -> int:
    """The sign of a quadratic at a root.

    >>> sign_at(Root.rational(Fraction(1, 2)), (-1, 0, 4)), sign_at(Root.rational(3), (-10, 0, 1))
    (0, -1)
    """
    constant, linear, leading = c
    p, q = root.p, root.q
    even = leading * (p * p + root.square) + (linear * p + constant * q) * q
    odd = root.s * (2 * leading * p + linear * q)
    return _sign_with_root(even, odd, root.square)


def compare(a: Root, b: Root) -> int:
    """-1, 0 or 1 as the first number is smaller than, equal to or larger than the second.

    >>> two = Root.rising((-2, 0, 1))
    >>> compare(two, Root.rising((-8, 0, 4))), compare(two, Root.rational(1.4142135623730951))
    (0, -1)
    """
    if a is b:
        return 0
    if a.high < b.low:
        return -1
    if b.high < a.low:
        return 1
    u, v, w = a.p * b.q - b.p * a.q, a.s * b.q, -b.s * a.q
    first = _sign_with_root(u, v, a.square)
    second = _sign(w) if b.square else 0
    if first == second or second == 0:
        return first
    if first == 0:
        return second
    even = u * u + (v * v * a.square) - w * w * b.square
    return first * _sign_with_root(even, 2 * u * v, a.square)


def envelope(
    functions: Sequence[Quadratic], low: Root | None, high: Root | None
) -> list[tuple[Root | None, int]]:
    """The largest of distinct quadratics between two numbers: where each piece starts, and whose.

    Parameters
    ----------
    functions : no two of them equal.
    low, high : None for an infinite end.

    Returns
    -------
    list of (start, index)
        In order, the first start being ``low``; at most ``2 n - 1`` pieces. A piece is an open
        interval up to single points: where two functions touch without crossing nothing ends.

    Notes
    -----
    Source: theory T11. Cost ``O(n)`` differences per piece, each a square root of an integer.

    >>> pieces = envelope([(0, 0, 0), (-1, 0, 1)], None, None)      # 0 and t^2 - 1
    >>> [(start and round(start.high), winner) for start, winner in pieces]
    [(None, 1), (-1, 0), (1, 1)]
    """
    at, winner = low, _after(functions, low)
    pieces = [(at, winner)]
    while True:
        first: Root | None = None
        for j, f in enumerate(functions):
            root = None if j == winner else Root.rising(_difference(f, functions[winner]))
            if (
                root is not None
                and (at is None or compare(root, at) > 0)
                and (high is None or compare(root, high) < 0)
                and (first is None or compare(root, first) < 0)
            ):
                first = root
        if first is None:
            return pieces
        at, winner = first, _after(functions, first)
        pieces.append((at, winner))


def _after(functions: Sequence[Quadratic], at: Root | None) -> int:
    """The largest function right after a number, or near minus infinity."""
    best = 0
    for j in range(1, len(functions)):
        if _sign_after(_difference(functions[j], functions[best]), at) > 0:
            best = j
    return best


def _sign_after(c: Quadratic, at: Root | None) -> int:
    constant, linear, leading = c
    if at is None:
        return _sign(leading) or -_sign(linear) or _sign(constant)
    return sign_at(at, c) or sign_at(at, (linear, 2 * leading, 0)) or _sign(leading)


def _difference(a: Quadratic, b: Quadratic) -> Quadratic:
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])

"""Sums of products as text, the way gfan and polymake write them: ``3*x_1^2*y - 1/2``.

One grammar for all of them, which refuses what it does not read, and says where.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from tropattn.errors import InvalidInput

__all__ = ["NAME", "SIGNED", "Product", "read_maximum", "read_sums", "refused"]

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TOKEN = re.compile(
    r"(?P<number>[0-9]+(?:/[0-9]+|\.[0-9]+)?)|(?P<name>[A-Za-z][A-Za-z0-9_]*)"
    r"|(?P<power>\^\s*-?[0-9]+)|(?P<sign>[+-])|(?P<other>\S)"
)
SIGNED = re.compile(r"[+-]?[0-9]+(?:/[0-9]+|\.[0-9]+)?")


@dataclass(slots=True)
class Product:
    """A number times powers of variables, and the character where it begins."""

    number: Fraction
    powers: dict[str, int]
    place: int


def refused(text: str, place: int, wanted: str) -> InvalidInput:
    """The error that says what is needed at a place of a text, and what is there."""
    got = repr(text[place : place + 12]) if place < len(text) else "the end"
    return InvalidInput(f"text: {wanted} needed at character {place + 1}, got {got}.")


def read_sums(text: str, start: int, close: str, *, powers: bool) -> list[list[Product]]:
    """Sums of products between commas, up to a closing bracket; anything else is refused.

    With ``powers`` names take exponents and every product needs its ``*``; without them ``2x`` is
    a product too.
    """
    sums: list[list[Product]] = [[]]
    # What came last: a number, a name, a power, a sign, a product's *, or a new sum's beginning.
    last, sign, name = "sum", 1, ""
    for token in _TOKEN.finditer(text, start):
        kind, word, place = str(token.lastgroup), token[0], token.start()
        whole = last in ("number", "name", "power")
        joined = last == "number" and kind == "name" and not powers
        if joined and re.fullmatch(r"[eE][0-9]*", word):
            raise refused(text, place, "a * between number and variable")
        if (kind == "number" and not whole) or (kind == "name" and (joined or not whole)):
            if last in ("sum", "sign"):
                sums[-1].append(Product(Fraction(sign), {}, place))
            product = sums[-1][-1]
            if kind == "name":
                if word.lower() in ("inf", "infinity", "nan"):
                    raise refused(text, place, "a finite number or a variable")
                product.powers[word] = product.powers.get(word, 0) + 1
            elif re.search(r"/0+$", word):
                raise refused(text, place, "a denominator other than 0")
            else:
                product.number *= Fraction(word)
            name = word
        elif kind == "power" and last == "name" and powers:
            sums[-1][-1].powers[name] += int(word[1:]) - 1
        elif kind == "sign" and (whole or last == "sum"):
            sign = 1 if word == "+" else -1
        elif word == "*" and whole:
            kind = "times"
        elif word == "," and whole:
            sums.append([])
            kind, sign = "sum", 1
        elif word == close and whole:
            if text[token.end() :].strip():
                raise refused(text, token.end(), "nothing more")
            return sums
        else:
            operator = "an operator, a comma or the closing bracket"
            raise refused(text, place, operator if whole else "a number or a variable")
        last = kind
    raise refused(text, len(text), repr(close))


def read_maximum(
    text: str, variables: Sequence[str] | None = None, dim: int | None = None
) -> tuple[list[list[Fraction]], list[Fraction], bool]:
    """Slopes, intercepts and whether it is a minimum, of ``max(term, ...)`` or ``min(...)``.

    Terms are affine in the ``variables``, in this order; without them in ``x0, x1, ...`` (as many
    as ``dim``, or as are named), or in other names, in alphabetical order.

    >>> read_maximum("max(0, x + 1, 2*y - 3/2)")[:2] == (
    ...     [[0, 0], [1, 0], [0, 2]], [0, 1, Fraction(-3, 2)])
    True
    """
    match = re.match(r"\s*(max|min)\s*\(", text)
    if not match:
        raise InvalidInput(f"text: max(term, ...) needed, got {text[:40]!r}.")
    terms = read_sums(text, match.end(), ")", powers=False)
    columns, width = _columns(text, [p for term in terms for p in term], variables, dim)
    slopes, intercepts = [], []
    for term in terms:
        slope, constant = [Fraction(0)] * width, Fraction(0)
        for product in term:
            if product.powers:
                (name,) = product.powers
                slope[columns[name]] += product.number
            else:
                constant += product.number
        slopes.append(slope)
        intercepts.append(constant)
    return slopes, intercepts, match[1] == "min"


def _columns(
    text: str, products: list[Product], variables: Sequence[str] | None, dim: int | None
) -> tuple[dict[str, int], int]:
    """The coordinate of each variable, and how many there are."""
    for product in products:
        if sum(product.powers.values()) > 1:
            raise refused(text, product.place, "one variable a product")
    places = {name: product.place for product in products for name in product.powers}
    if variables is not None:
        unknown = next((name for name in places if name not in variables), None)
        if unknown is not None:
            raise refused(text, places[unknown], f"variables {', '.join(variables)}")
        return {name: k for k, name in enumerate(variables)}, len(variables)
    numbered = {name: re.fullmatch(r"x_?([0-9]{1,6})", name) for name in places}
    if not places or not all(numbered.values()):
        names = sorted(places)
        odd = next((name for name in places if not numbered[name]), None)
        mixed = odd is not None and any(numbered.values())
        if mixed or (dim is not None and odd is not None and len(places) != dim):
            wanted = (
                "x0, ..., or other names alone" if dim is None else f"x0, ..., or {dim} other names"
            )
            raise refused(text, places[odd or ""], f"variables {wanted}")
        return {name: k for k, name in enumerate(names)}, len(names) if dim is None else dim
    columns = {name: int(match[1]) for name, match in numbered.items() if match}
    for k in columns.values():
        if dim is not None and k >= dim:
            raise InvalidInput(f"dim: above {k} needed for x{k}, got {dim}.")
    return columns, max(columns.values()) + 1 if dim is None else dim

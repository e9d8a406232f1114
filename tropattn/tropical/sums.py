"""Sums of products as text, the way gfan and polymake write them: ``3*x_1^2*y - 1/2``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from tropattn.errors import InvalidInput

__all__ = ["NAME", "SIGNED", "Product", "read_sums", "refused"]

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

"""Numbers that a user writes: plain decimal numerals, and nothing else that Python would take.

``int`` and ``float`` also read ``1_0``, digits of other scripts and blanks around; here a numeral
is one that every reader takes for the same number.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

import click

__all__ = ["Real", "Whole", "ratio", "ratios", "real", "whole"]

_WHOLE = re.compile(r"[+-]?[0-9]{1,40}", re.ASCII)
_REAL = re.compile(
    r"[+-]?(([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,6})?|inf|nan)", re.ASCII
)

_RATIO = re.compile(r"[+-]?[0-9]{1,1000}/0*[1-9][0-9]{0,999}", re.ASCII)


def whole(text: str) -> int:
    """The integer that a text stands for, or ``ValueError``.

    >>> whole("-12")
    -12
    >>> whole("1_0")
    Traceback (most recent call last):
    ValueError: '1_0' is not a valid integer.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a valid integer.")
    return int(text)


def real(text: str) -> float:
    """The double that a text stands for, ``inf`` and ``nan`` among them, or ``ValueError``.

    A numeral beyond the largest double stands for none.

    >>> real("2.5e-1"), real("-inf")
    (0.25, -inf)
    """
    if not _REAL.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a valid number.")
    value = float(text)
    if math.isinf(value) and not text.endswith("inf"):
        raise ValueError(f"{text[:40]!r} is beyond the largest double, 1.8e308.")
    return value


def ratio(text: str) -> Fraction:
    """The rational that a text such as ``-1/3`` stands for, or ``ValueError``.

    >>> ratio("2/6")
    Fraction(1, 3)
    """
    if not _RATIO.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a valid ratio of integers.")
    return Fraction(text)


def ratios(value: Any) -> Any:
    """Read a value of JSON with texts such as ``"1/3"`` or ``"2"`` in its lists as rationals.

    >>> ratios({"slopes": [[1, "1/3", "2"]], "name": "1/3"})
    {'slopes': [[1, Fraction(1, 3), 2]], 'name': '1/3'}
    """
    if isinstance(value, dict):
        return {name: ratios(entry) for name, entry in value.items()}
    if not isinstance(value, list):
        return value
    return [_exact(entry) if isinstance(entry, str) else ratios(entry) for entry in value]


def _exact(text: str) -> Any:
    """An integer or a ratio of two as the number that it is; any other text stays one."""
    if _RATIO.fullmatch(text):
        return Fraction(text)
    return int(text) if _WHOLE.fullmatch(text) else text


class Whole(click.IntRange):
    """An integer as the type of an option, within bounds if there are any."""

    def _describe_range(self) -> str:
        # Click would say "x<=None" in the help.
        return "" if self.min is self.max is None else super()._describe_range()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read ``"12"``."""
        try:
            number = whole(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return super().convert(number, param, ctx)


class Real(click.FloatRange):
    """A finite number as the type of an option, within bounds if there are any."""

    def _describe_range(self) -> str:
        return "" if self.min is self.max is None else super()._describe_range()

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read ``"0.5"``."""
        try:
            number = real(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not math.isfinite(number):
            self.fail(f"a finite number needed, got {number}.", param, ctx)
        return super().convert(number, param, ctx)

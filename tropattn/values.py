"""``Value``, the base of all public values: shown in a line, compared, copied, read-only.

A value is what it says, number for number. Two of one class are equal where all their parts are,
doubles and rationals compared exactly; what only tells of the work done (fields with
``compare=False``) does not count. A copy or an unpickled value is as read-only as the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from html import escape
from typing import Any, ClassVar

import numpy as np

from tropattn.arrays import freeze

__all__ = ["Value", "counted", "decimal", "number", "same"]

_WIDEST = 60
_LOOKED_AT = 8
_LONGEST = 60
_SHOWN = 10
"""Rows of a table that a notebook shows."""


class Value:
    """Base of frozen values: their parts are the fields of the dataclass, or ``_PARTS``.

    Equality leaves out the fields with ``compare=False``, or ``_APART``.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, slots=True, eq=False, repr=False)
    ... class Pair(Value):
    ...     left: Any
    ...     right: int
    >>> pair = Pair(np.arange(3), 4)
    >>> pair, pair == Pair(np.arange(3.0), 4), pair.left.flags.writeable
    (Pair(left=array (3,), right=4), True, False)
    """

    __slots__ = ()
    _PARTS: ClassVar[tuple[str, ...]] = ()
    _APART: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Hold the arrays read-only; the caller's own stay as they are."""
        for name, _ in self._contents():
            part = getattr(self, name)
            if isinstance(part, np.ndarray):
                if part.flags.writeable:
                    object.__setattr__(self, name, freeze(part.view()))
            else:
                _freeze(part)

    @classmethod
    def _contents(cls) -> tuple[tuple[str, bool], ...]:
        """Names of the parts, and whether equality looks at them."""
        if is_dataclass(cls):
            return tuple((entry.name, entry.compare) for entry in fields(cls))
        return tuple((name, name not in cls._APART) for name in cls._PARTS)

    def __repr__(self) -> str:
        shown = [
            f"{name}={_words(getattr(self, name))}" for name, counts in self._contents() if counts
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _listed(self) -> list[dict[str, Any]]:
        """What notebooks show as a table: the parts, or the rows of what is a table."""
        return [
            {"part": name, "value": _words(getattr(self, name))}
            for name, _ in self._contents()
            if name[0] != "_"
        ]

    def _repr_html_(self) -> str:
        """What notebooks show: the line, and below it the first rows or the parts."""
        table = self._listed()
        names = list(dict.fromkeys(name for row in table[:_SHOWN] for name in row))
        lines = [[row.get(name, "") for name in names] for row in table[:_SHOWN]]
        more = len(table) - len(lines)
        top = "".join(f"<th>{escape(name)}</th>" for name in names)
        body = "".join(
            "<tr>"
            + "".join(f"<td>{escape(_short(value), quote=False)}</td>" for value in line)
            + "</tr>"
            for line in lines
        )
        rest = f"<p>and {more} more</p>" if more > 0 else ""
        head = f"<p><code>{escape(repr(self))}</code></p>"
        return f"{head}<table><tr>{top}</tr>{body}</table>{rest}"

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) is not type(self):
            return NotImplemented
        names = [name for name, counts in self._contents() if counts]
        return all(same(getattr(self, name), getattr(other, name)) for name in names)

    def __hash__(self) -> int:
        names = [name for name, counts in self._contents() if counts]
        return hash((type(self), *(_mark(getattr(self, name)) for name in names)))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; cannot set {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), {name: getattr(self, name) for name, _ in self._contents()})


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _restored(kind: type[Value], parts: dict[str, Any]) -> Value:
    self = kind.__new__(kind)
    for name, part in parts.items():
        _freeze(part)
        object.__setattr__(self, name, part)
    return self


def _freeze(part: Any) -> None:
    """Mark an array read-only, or all arrays in a tuple, list or dictionary."""
    if isinstance(part, np.ndarray):
        freeze(part)
    elif isinstance(part, tuple | list):
        for entry in part:
            _freeze(entry)
    elif isinstance(part, dict):
        for entry in part.values():
            _freeze(entry)


def same(one: Any, two: Any) -> bool:
    """Whether two parts are equal, arrays number for number; what is no number equals itself.

    >>> from fractions import Fraction
    >>> same(np.array([0.5]), np.array([Fraction(1, 2)])), same([0.1], [Fraction(1, 10)])
    (True, False)
    """
    if one is two:
        return True
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        if np.shape(one) != np.shape(two):
            return False
        equal = np.asarray(one) == np.asarray(two)
        if not np.all(equal):
            equal = equal | ((np.asarray(one) != one) & (np.asarray(two) != two))
        return bool(np.all(equal))
    if isinstance(one, tuple | list) and isinstance(two, tuple | list):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    return bool(one == two) or (one != one and two != two)


def _mark(part: Any) -> Any:
    """Something hashable that is equal for equal parts."""
    if isinstance(part, np.ndarray):
        return (part.shape, tuple(part.ravel()[:_LOOKED_AT].tolist()))
    if isinstance(part, tuple | list):
        return (len(part), tuple(_mark(entry) for entry in part[:_LOOKED_AT]))
    if isinstance(part, Mapping):
        return len(part)
    try:
        # What is no number is not even equal to its copy.
        return hash(part) if part == part else 0
    except TypeError:
        return 0


def _words(part: Any) -> str:
    """One part in a few words: an array by its shape, a long list by its length."""
    if isinstance(part, np.ndarray):
        return f"array {part.shape}"
    if isinstance(part, tuple | list | Mapping | set | frozenset) and (
        len(part) > 4 or len(repr(part)) > _WIDEST
    ):
        return f"{len(part)} of them"
    words = repr(part)
    return words if len(words) <= _WIDEST else f"{words[: _WIDEST - 3]}..."


def decimal(value: int) -> str:
    """Decimal digits of an integer of any length (Python's own limit is 4300 digits).

    >>> decimal(10**5000) == "1" + "0" * 5000
    True
    """
    if value < 0:
        return "-" + decimal(-value)
    if value.bit_length() < 10_000:
        return str(value)
    half = (value.bit_length() * 30103 // 100_000) // 2
    high, low = divmod(value, 10**half)
    return decimal(high) + decimal(low).rjust(half, "0")


def number(value: int, longest: int = _LONGEST) -> str:
    """An integer with separators; beyond 60 digits its leading digits and its size.

    >>> number(6342), number(3**200)
    ('6,342', '2.656e+95 (96 digits)')
    """
    digits = decimal(value)
    if len(digits) <= longest:
        return f"{value:,}"
    return f"{digits[0]}.{digits[1:4]}e+{len(digits) - 1} ({len(digits)} digits)"


def counted(n: int, one: str, many: str | None = None) -> str:
    """A number and its noun, in the singular where the number is 1.

    >>> counted(1, "cell"), counted(3, "branch", "branches")
    ('1 cell', '3 branches')
    """
    return f"{number(n)} {one if n == 1 else many or one + 's'}"

"""Arrays at the public edge: read once, checked once, frozen, and read as rationals on request.

Numbers from numpy are floats and stand for the dyadic rationals that they are; object arrays of
``int`` or ``Fraction`` stay exact. Integers beyond 2**53 become exact objects, never rounded.
"""

from __future__ import annotations

import copyreg
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.errors import InvalidInput

__all__ = [
    "as_array",
    "as_fractions",
    "fraction",
    "fraction_array",
    "freeze",
    "is_exact",
    "is_point",
    "is_real",
    "is_whole",
    "listed",
    "of_kind",
    "pivot_columns",
    "plain",
    "rational",
    "rational_matrix",
    "residues",
    "to_float",
    "unmasked",
]


_LARGEST_EXACT_INT = 2**53


def _integers_of(matrix: flint.fmpz_mat) -> tuple[Any, ...]:
    return flint.fmpz_mat, (matrix.nrows(), matrix.ncols(), [int(v) for v in matrix.entries()])


# Cells of networks hold integer matrices, and flint does not say how they are pickled.
copyreg.pickle(flint.fmpz_mat, _integers_of)


def freeze(array: Array) -> Array:
    """Return the array marked read-only (the same object)."""
    array.setflags(write=False)
    return array


def is_whole(value: Any) -> bool:
    """Whether a value is an integer, Python's or numpy's, and no truth value.

    >>> is_whole(np.int64(3)), is_whole(3.0), is_whole(True)
    (True, False, False)
    """
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_point(x: Any) -> bool:
    """Whether ``x`` is one point (d,) rather than rows (m, d)."""
    if isinstance(x, np.ndarray):
        return x.ndim == 1
    if not isinstance(x, Sequence) or isinstance(x, str | bytes):
        return False
    return not any(isinstance(v, Sequence | np.ndarray) for v in x)


def is_real(value: Any) -> bool:
    """Whether a value is one real number, and no truth value.

    >>> is_real(0.5), is_real(Fraction(1, 2)), is_real(True), is_real([1])
    (True, True, False, False)
    """
    return is_whole(value) or isinstance(value, float | Fraction | np.floating)


def of_kind(name: str, value: Any, kind: type | tuple[type, ...], instead: str) -> None:
    """Raise ``InvalidInput`` for an argument of another class.

    >>> of_kind("f", 3, str, "give its name")
    Traceback (most recent call last):
    tropattn.errors.InvalidInput: f: a str needed, got int; give its name.
    """
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        words = " or ".join(part.__name__ for part in kinds)
        raise InvalidInput(f"{name}: a {words} needed, got {type(value).__name__}; {instead}.")


def listed(name: str, value: Any, instead: str) -> list[Any]:
    """The entries of a sequence; ``InvalidInput`` for what is none, texts among it.

    >>> listed("n", (1, 2), "give a list")
    [1, 2]
    """
    if not isinstance(value, str | bytes):
        try:
            return list(value)
        except TypeError:
            pass
    raise InvalidInput(f"{name}: a sequence needed, got {type(value).__name__}; {instead}.")


def is_exact(array: Array) -> bool:
    """Whether the array holds Python rationals rather than floats."""
    return array.dtype == object


def unmasked(name: str, value: Any) -> Any:
    """The value itself; ``InvalidInput`` for an array of numpy with masked entries.

    Reading such an array as an ordinary one would take what lies under the mask for numbers.

    >>> unmasked("x", np.ma.array([1.0, 2.0], mask=[False, True]))
    Traceback (most recent call last):
    tropattn.errors.InvalidInput: x: no masked entries needed, got 1 of 2; leave their rows out.
    """
    # Asked of subclasses alone, as numpy loads its masked arrays when they are first named.
    if isinstance(value, np.ndarray) and type(value) is not np.ndarray and np.ma.is_masked(value):
        hidden = int(np.ma.getmaskarray(value).sum())
        raise InvalidInput(
            f"{name}: no masked entries needed, got {hidden} of {value.size}; leave their rows out."
        )
    return value


def as_array(name: str, value: Any, ndim: int, *, shape: str = "") -> Array:
    """Read ``value`` as a frozen float64 array, or an object array of ``Fraction``.

    Parameters
    ----------
    name, shape : the argument's name and its shape in words, for the error message.
    ndim : required number of axes.

    Raises
    ------
    InvalidInput : wrong number of axes, NaN or infinity, masked entries, or entries that are not
        real numbers.
    """
    wanted = shape or f"{ndim} axes"
    value = unmasked(name, value)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        got, instead = str(error), "give every row the same length"
        if hasattr(value, "dtype"):
            # A tensor of torch in its own format, or one with gradients.
            got = f"a {type(value).__name__} of {value.dtype} that numpy does not read ({error})"
            instead = "convert it to a numpy array of floats"
        raise InvalidInput(
            f"{name}: a rectangular array of real numbers ({wanted}) needed, got {got}; {instead}."
        ) from None
    if array.dtype == object:
        array = _exact_objects(name, array, wanted)
    elif array.dtype.kind in "iub":
        if array.size and (
            int(array.max()) > _LARGEST_EXACT_INT or int(array.min()) < -_LARGEST_EXACT_INT
        ):
            array = _exact_objects(name, array.astype(object), wanted)
        else:
            array = array.astype(np.float64)
    elif array.dtype.kind == "f":
        if array.dtype.itemsize > 8:
            raise InvalidInput(
                f"{name}: float64 or narrower needed, got {array.dtype}; "
                "convert with .astype(float) or pass Fractions."
            )
        array = array.astype(np.float64)
    else:
        raise InvalidInput(
            f"{name}: real numbers needed ({wanted}), got dtype {array.dtype}; pass floats, "
            "ints or Fractions."
        )
    if array.ndim != ndim:
        raise InvalidInput(
            f"{name}: shape {wanted} needed, got an array of shape {array.shape}; reshape it."
        )
    if not is_exact(array) and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InvalidInput(
            f"{name}: finite numbers needed, got {array[where]} at index {where}; "
            "remove the term (a mask drops keys) instead of using NaN or infinity."
        )
    return freeze(np.array(array))


def _exact_objects(name: str, array: Array, wanted: str) -> Array:
    out = np.empty(array.shape, dtype=object)
    for index, entry in np.ndenumerate(array):
        try:
            out[index] = _exact_number(entry)
        except (TypeError, ValueError, OverflowError):
            raise InvalidInput(
                f"{name}: int, Fraction or finite float entries needed ({wanted}), got "
                f"{entry!r} at index {index}; give every row the same length and real numbers only."
            ) from None
    return out


def _exact_number(entry: Any) -> Fraction:
    """One real number; numpy's own kinds are the numbers that they hold, text is none."""
    if isinstance(entry, str | bytes):
        raise TypeError
    if isinstance(entry, np.floating):
        return Fraction(*map(int, entry.as_integer_ratio()))
    return Fraction(entry.item() if isinstance(entry, np.generic) else entry)


def as_fractions(array: Array) -> Array:
    """The same numbers as an object array of ``Fraction`` (unchanged if they are already)."""
    if is_exact(array):
        return array
    out = np.empty(array.shape, dtype=object)
    out.ravel()[:] = [Fraction(entry) for entry in array.ravel().tolist()]
    return out


def to_float(array: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nearest doubles and an entrywise bound on what the rounding lost (0 for float input)."""
    if not is_exact(array):
        return array, np.zeros(array.shape)
    try:
        near = array.astype(np.float64)
    except OverflowError:
        raise InvalidInput(
            "exact number: magnitude below 1.8e308 needed, got a larger one; rescale the input."
        ) from None
    lost = np.zeros(array.shape)
    for index, entry in np.ndenumerate(array):
        if Fraction(float(near[index])) != entry:
            # Half a unit in the last place would do; a whole one keeps the bound clear of doubt.
            lost[index] = np.spacing(abs(near[index]))
    return near, lost


def plain(values: Array) -> Array:
    """Doubles where they hold the numbers exactly, else the rationals."""
    try:
        near, lost = to_float(values)
    except InvalidInput:
        # Squares of large slopes are beyond the doubles.
        return values
    return values if lost.any() else near


def rational(value: Any) -> flint.fmpq:
    """One number as an exact rational."""
    if type(value) is Fraction:
        return flint.fmpq(value.numerator, value.denominator)
    numerator, denominator = float(value).as_integer_ratio()
    return flint.fmpq(numerator, denominator)


def fraction(value: flint.fmpq) -> Fraction:
    """One exact rational as a Python number."""
    return Fraction(int(value.p), int(value.q))


def fraction_array(matrix: flint.fmpq_mat) -> Array:
    """An exact rational matrix as an object array of ``Fraction``."""
    out = np.empty(matrix.nrows() * matrix.ncols(), dtype=object)
    out[:] = [fraction(value) for value in matrix.entries()]
    return out.reshape(matrix.nrows(), matrix.ncols())


def rational_matrix(array: Array) -> flint.fmpq_mat:
    """A two-axis array as an exact rational matrix."""
    rows, columns = array.shape
    return flint.fmpq_mat(rows, columns, [rational(v) for v in array.ravel().tolist()])


def pivot_columns(echelon: Any, rank: int) -> list[int]:
    """The columns of the first entries other than 0 in the rows of an echelon form.

    >>> pivot_columns(flint.fmpz_mat([[0, 1, 2], [0, 0, 3]]), 2)
    [1, 2]
    """
    found, column = [], 0
    for i in range(rank):
        while echelon[i, column] == 0:
            column += 1
        found.append(column)
        column += 1
    return found


def residues(array: Array, prime: int) -> NDArray[np.int64]:
    """The entries modulo a prime below 2**31 (exact: a double is an integer times a power of 2)."""
    if is_exact(array):
        if any(v.denominator % prime == 0 for v in array.ravel()):
            raise InvalidInput(
                f"exact number: denominators that {prime} does not divide needed, got a multiple "
                "of it; scale the numbers by it."
            )
        flat = [v.numerator * pow(v.denominator, -1, prime) % prime for v in array.ravel()]
        return np.array(flat, dtype=np.int64).reshape(array.shape)
    if array.dtype.kind in "iu" or (
        (np.abs(array) < 2.0**62).all() and (array == np.rint(array)).all()
    ):
        return array.astype(np.int64) % prime
    fraction, exponent = np.frexp(array)
    mantissa = np.ldexp(fraction, 53).astype(np.int64) % prime
    shift = exponent.astype(np.int64) - 53
    low = int(shift.min(initial=0))
    table = _powers_of_two(low, int(shift.max(initial=0)), prime)
    return mantissa * table[shift - low] % prime


@lru_cache(maxsize=256)
def _powers_of_two(low: int, high: int, prime: int) -> NDArray[np.int64]:
    """Powers 2^low .. 2^high modulo a prime."""
    return np.array([pow(2, e, prime) for e in range(low, high + 1)], dtype=np.int64)

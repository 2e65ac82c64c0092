"""Double-double arithmetic on arrays: about 32 significant digits from pairs of doubles.

A value is an unevaluated sum ``high + low`` of two float64 arrays. The error-free
transformations are those of Dekker (1971) and Knuth; the accurate product sum follows Ogita,
Rump and Oishi, SIAM J. Sci. Comput. 26 (2005). They need neither ``long double`` (which is a
plain double on some machines) nor fused multiply-add.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SPLITTER = 134217729.0  # 2**27 + 1


class DoubleDouble(NamedTuple):
    """An array of extended precision: ``high + low``, both of the same shape."""

    high: Array
    low: Array


def from_float(values: Array | float) -> DoubleDouble:
    """Doubles as double-doubles with a zero low part."""
    high = np.asarray(values, dtype=float)
    return DoubleDouble(high, np.zeros_like(high))


def _two_sum(a: Array, b: Array) -> DoubleDouble:
    total = a + b
    part = total - a
    return DoubleDouble(total, (a - (total - part)) + (b - part))


def _split(a: Array) -> tuple[Array, Array]:
    scaled = _SPLITTER * a
    high = scaled - (scaled - a)
    return high, a - high


def _two_product(a: Array, b: Array) -> DoubleDouble:
    product = a * b
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return DoubleDouble(product, error)


def add(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    """Elementwise sum."""
    high, low = _two_sum(a.high, b.high)
    return _two_sum(high, low + a.low + b.low)


def subtract(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    """Elementwise difference ``a - b``."""
    return add(a, DoubleDouble(-b.high, -b.low))


def multiply(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    """Elementwise product."""
    high, low = _two_product(a.high, b.high)
    return _two_sum(high, low + a.high * b.low + a.low * b.high)


def divide(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    """Elementwise quotient, by one Newton correction of the float64 quotient."""
    first = from_float(a.high / b.high)
    rest = subtract(a, multiply(first, b))
    return add(first, from_float((rest.high + rest.low) / b.high))


def total(a: DoubleDouble) -> DoubleDouble:
    """Sum over the first axis, pairwise."""
    while a.high.shape[0] > 1:
        if a.high.shape[0] % 2:
            zero = np.zeros_like(a.high[:1])
            a = DoubleDouble(np.concatenate([a.high, zero]), np.concatenate([a.low, zero]))
        a = add(
            DoubleDouble(a.high[::2], a.low[::2]),
            DoubleDouble(a.high[1::2], a.low[1::2]),
        )
    return DoubleDouble(a.high[0], a.low[0])


def transpose(a: DoubleDouble) -> DoubleDouble:
    """The transpose of a matrix."""
    return DoubleDouble(a.high.T, a.low.T)


def matvec(matrix: DoubleDouble, vector: DoubleDouble) -> DoubleDouble:
    """Product of an ``(n, p)`` matrix and a ``(p,)`` vector."""
    columns = transpose(matrix)
    terms = multiply(columns, DoubleDouble(vector.high[:, None], vector.low[:, None]))
    return total(terms)

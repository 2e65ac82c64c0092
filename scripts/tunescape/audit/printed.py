"""Printed numbers as intervals: what was there before it was rounded."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from tunescape.errors import UserError

_NUMBER = re.compile(
    r"(?P<bound>[<>]=?|[≤≥])?\s*"
    r"(?P<mantissa>[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.(?P<decimals>\d*))?)"
    r"(?:\s*(?:[eE]|[x×*]\s*10\s*\^?)\s*\(?(?P<exponent>[+-]?\d+)\)?)?"
)
_DECORATION = "*†‡'’ \t[]();"
_BRACKETS = " \t[]();,"
_SLACK = 1e-6  # of half a unit: printing rounds the binary number, reading its decimal


@dataclass(frozen=True)
class Interval:
    """A closed interval; empty when ``low > high``."""

    low: float
    high: float

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Interval) -> Interval:
        return Interval(self.low - other.high, self.high - other.low)

    def __and__(self, other: Interval) -> Interval:
        return Interval(max(self.low, other.low), min(self.high, other.high))

    def times(self, factor: float) -> Interval:
        """The interval scaled by a number."""
        ends = (self.low * factor, self.high * factor)
        return Interval(min(ends), max(ends))

    def product(self, other: Interval) -> Interval:
        """All products of a member of each."""
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(min(ends), max(ends))

    def over(self, positive: Interval) -> Interval:
        """All quotients by a non-negative interval; dividing by 0 gives an infinite end."""
        ends = [
            a / b if b > 0 else math.copysign(math.inf, a) if a else 0.0
            for a in (self.low, self.high)
            for b in (positive.low, positive.high)
        ]
        return Interval(min(ends), max(ends))

    def magnitude(self) -> Interval:
        """The absolute values."""
        ends = (abs(self.low), abs(self.high))
        return Interval(0.0 if self.low <= 0 <= self.high else min(ends), max(ends))

    @property
    def empty(self) -> bool:
        """Whether no number is inside."""
        return self.low > self.high

    @property
    def middle(self) -> float:
        """The midpoint."""
        return (self.low + self.high) / 2

    def distance(self, other: Interval) -> float:
        """The gap between two intervals, 0 when they meet."""
        return max(0.0, self.low - other.high, other.low - self.high)

    def meets(self, other: Interval) -> bool:
        """Whether a number is in both."""
        return not (self & other).empty

    def __str__(self) -> str:
        if not math.isfinite(self.high - self.low) or self.low == self.high:
            return (
                f"{self.low:.6g}" if self.low == self.high else f"{self.low:.6g}..{self.high:.6g}"
            )
        digits = 3
        if (size := max(abs(self.low), abs(self.high))) and (width := self.high - self.low) > 0:
            digits = min(12, max(3, 2 + math.ceil(math.log10(size / width))))
        return f"{self.low:.{digits}g} to {self.high:.{digits}g}"


ANYTHING = Interval(-math.inf, math.inf)


@dataclass(frozen=True)
class Printed:
    """A number as printed.

    Attributes:
        text: the characters, trimmed.
        value: what they say; nan where the cell is empty.
        interval: what may have been rounded to it (half a unit in the last place either way); a
            bound such as ``<0.001`` gives everything that it allows.
        digits: significant digits shown.
    """

    text: str
    value: float
    interval: Interval
    digits: int

    @property
    def missing(self) -> bool:
        """Whether the cell is empty."""
        return math.isnan(self.value)


def parse_printed(text: str, where: str | None = None) -> Printed:
    """Read one printed number: ``-0.0010``, ``3.705e+08``, ``1.2×10^-5``, ``1,204``, ``<.001``.

    Stars, daggers and brackets around it are ignored; an empty cell, ``-``, ``NA`` and ``nan``
    are missing. Trailing zeros count as printed digits; zeros that a format dropped
    (``6.9e+04`` for 6.90e+04) make the interval wider than need be, never narrower.

    Raises:
        UserError: when it is not a number.
    """
    shown = text.strip(_BRACKETS)
    plain = shown.replace("−", "-").replace("–", "-").replace("\u00a0", " ").strip(_DECORATION)
    if plain.lower() in ("", "-", "--", "na", "n/a", "nan", "none"):
        return Printed(shown, math.nan, ANYTHING, 0)
    match = _NUMBER.fullmatch(plain)
    mantissa = match["mantissa"].replace(",", "") if match else ""
    if match is None or not any(c.isdigit() for c in mantissa):
        raise UserError(
            f"{shown[:60]!r} is not a number",
            where=where,
            expected="a number as printed, such as -0.0010 or 3.705e+08",
        )
    exponent = int(match["exponent"] or 0)
    if abs(exponent) > 300:
        raise UserError(f"{shown[:60]!r} is out of range", where=where, expected="below 1e300")
    value = float(f"{mantissa}e{exponent}")
    decimals = len(match["decimals"] or "")
    half = 0.5 * 10.0 ** (exponent - decimals) * (1 + _SLACK)
    interval = Interval(value - half, value + half)
    if match["bound"]:
        low = match["bound"][0] in ("<", "≤")
        interval = Interval(-math.inf, value) if low else Interval(value, math.inf)
    digits = len(re.sub(r"\D", "", mantissa).lstrip("0"))
    return Printed(shown, value, interval, digits)

"""Numbers as the report prints them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeGuard

MISSING = "–"
MINUS = "−"

# As wide as a digit and as a full stop where figures are tabular.
_FIGURE_SPACE = "\u2007"
_POINT_SPACE = "\u2008"


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number (no truth value)."""
    if value is None or isinstance(value, (bool, str)):
        return False
    try:
        return math.isfinite(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def significant(value: object, digits: int = 6) -> str:
    """A number with ``digits`` significant digits; very small and large ones as ``1.23456e-10``.

    Missing and not finite numbers are a dash.
    """
    if not is_number(value):
        return MISSING
    number = float(value)
    if number == 0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{number:.{digits - 1}e}"))))
    if -5 < exponent < digits:
        said = f"{number:.{max(digits - 1 - exponent, 0)}f}"
    else:
        mantissa, _, power = f"{number:.{digits - 1}e}".partition("e")
        said = f"{mantissa}e{int(power)}"
    return said.replace("-", MINUS)


def printed(value: object) -> str:
    """A number that was read from print, with the digits it has there; 0 was rounded to 0.000."""
    if not is_number(value):
        return MISSING
    number = float(value)
    if number == 0:
        return "0.000"
    mantissa, _, power = f"{number:.10g}".partition("e")
    if not power and abs(number) >= 1e6:
        mantissa, _, power = f"{number:.9e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
    return (f"{mantissa}e{int(power)}" if power else mantissa).replace("-", MINUS)


def fixed(value: object, decimals: int = 2) -> str:
    """A number with ``decimals`` places, or a dash."""
    if not is_number(value):
        return MISSING
    said = f"{float(value):,.{decimals}f}"
    return said.replace("-", MINUS) if float(said.replace(",", "")) else said.replace("-", "")


def count(value: object) -> str:
    """A whole number with separators, or a dash."""
    return f"{round(float(value)):,}".replace("-", MINUS) if is_number(value) else MISSING


def percent(value: object) -> str:
    """A fraction as a whole percentage, never 0 % or 100 % for a part."""
    if not is_number(value):
        return MISSING
    share = 100 * float(value)
    if 0 < share < 1:
        return "<1 %"
    if 99 < share < 100:
        return ">99 %"
    return f"{share:.0f} %"


def p_value(value: object) -> str:
    """A probability with three places; below 0.001 it says so, and it is never 0."""
    if not is_number(value):
        return MISSING
    p = float(value)
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def aligned(texts: Iterable[str]) -> list[str]:
    """Pad printed numbers on the right so that their points stand in one column.

    The padding is figure spaces: right-aligned in tabular figures, the points line up.
    """
    texts = list(texts)
    tails = [text[text.index(".") :] if "." in text else "" for text in texts]
    longest = max(map(len, tails), default=0)
    padded = []
    for text, tail in zip(texts, tails, strict=True):
        lacking = longest - len(tail)
        if not longest or text == MISSING or not lacking:
            padded.append(text)
        elif tail:
            padded.append(text + _FIGURE_SPACE * lacking)
        else:
            padded.append(text + _POINT_SPACE + _FIGURE_SPACE * (lacking - 1))
    return padded


def listed(words: Iterable[str]) -> str:
    """Words as a list in a sentence: ``a, b and c``."""
    items = list(words)
    return (
        items[0]
        if len(items) == 1
        else ", ".join(items[:-1]) + " and " + items[-1]
        if items
        else ""
    )


def plural(number: int, noun: str, several: str = "") -> str:
    """``1 model``, ``2 models``."""
    return f"{count(number)} {noun if number == 1 else several or noun + 's'}"

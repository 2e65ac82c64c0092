"""Which metric values n examples can give, and how many examples a gain is.

The GRIM idea (Brown and Heathers, Soc. Psychol. Personal. Sci. 8, 2017) for accuracies and F1:
an accuracy on n examples is one of 0/n ... n/n, and F1 is 2 TP / (2 TP + errors).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunescape.audit.printed import Interval, parse_printed
from tunescape.errors import UserError

Ints = NDArray[np.int64]


def share_of(text: str, percent: bool = False) -> Interval:
    """What may have been rounded to a printed share, as a fraction."""
    printed = parse_printed(text)
    if printed.missing:
        raise UserError(f"{text!r} is no share", expected="a number such as 0.85049")
    return printed.interval.times(0.01 if percent else 1.0) & Interval(0.0, 1.0)


def possible_counts(text: str, n: int, percent: bool = False) -> list[int]:
    """The numbers of right answers out of n that print as `text` (none: it cannot occur)."""
    if n < 1:
        raise UserError(f"{n} examples", where="n_eval", expected="at least 1")
    share = share_of(text, percent)
    if share.empty:
        return []
    return list(range(math.ceil(share.low * n - 1e-9), math.floor(share.high * n + 1e-9) + 1))


def possible_f1(text: str, n: int, percent: bool = False) -> Ints:
    """The (true positives, errors) out of n examples whose binary F1 prints as `text`.

    Shape (m, 2); errors are false positives plus false negatives.
    """
    share = share_of(text, percent)
    if share.empty or n < 1 or share.high <= 0:
        return np.empty((0, 2), dtype=np.int64)
    hits = np.arange(1, n + 1)
    low = np.ceil(2 * hits * (1 / share.high - 1) - 1e-9).astype(np.int64)
    most = n - hits
    wide = np.minimum(2.0 * hits * (1 / share.low - 1), most) if share.low > 0 else most
    high = np.minimum(np.floor(wide + 1e-9).astype(np.int64), most)
    pairs = [
        (int(tp), errors)
        for tp, a, b in zip(hits, low, high, strict=True)
        for errors in range(max(int(a), 0), int(b) + 1)
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def fewest_changes(before: Ints, after: Ints) -> int | None:
    """The fewest predictions to change between two sets of (true positives, errors).

    On the same examples: each change of a prediction moves the true or the false positives by 1.
    """
    if not len(before) or not len(after):
        return None
    hits = after[None, :, 0] - before[:, None, 0]
    errors = after[None, :, 1] - before[:, None, 1]
    return int(np.min(np.abs(hits) + np.abs(errors + hits)))


@dataclass(frozen=True)
class Gain:
    """A difference between two accuracies on the same n examples.

    Attributes:
        fewest, most: examples more that are right (negative: fewer); None when a figure cannot
            occur on n examples.
        standard_error: of one accuracy at the first figure, as a fraction.
        best_p: two-sided sign-test p in the best case, when every changed answer changed for the
            better; no paired test on these figures can give less.
    """

    fewest: int | None
    most: int | None
    standard_error: float
    best_p: float | None


def examples_gained(before: str, after: str, n: int, percent: bool = False) -> Gain:
    """How many of n examples lie between two printed accuracies."""
    a, b = possible_counts(before, n, percent), possible_counts(after, n, percent)
    rate = min(max(share_of(before, percent).middle, 0.0), 1.0)
    error = math.sqrt(rate * (1 - rate) / n)
    if not a or not b:
        return Gain(None, None, error, None)
    fewest, most = b[0] - a[-1], b[-1] - a[0]
    return Gain(fewest, most, error, min(1.0, 2 * 0.5 ** max(abs(fewest), abs(most))))

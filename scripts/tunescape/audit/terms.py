"""Which regressor a printed term is.

Second-order polynomials are printed under numbers (x1, x2, ...) more often than under names. A
numbered table is read under a `Convention`; `identify_convention` and `views.identify_factors`
work out from the printed numbers which one it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import combinations, combinations_with_replacement
from typing import Literal

import numpy as np

from tunescape.audit.table import PublishedTable

Powers = tuple[int, ...]
Convention = Literal["polynomial_features", "squares_first", "interactions_first"]
CONVENTIONS: tuple[Convention, ...] = ("polynomial_features", "squares_first", "interactions_first")
TELLING = 0.5  # misfit in log10 units above which an order of terms is ruled out
_NUMBERED = re.compile(r"[xX]_?(\d+)")


def powers_in_order(k: int, convention: Convention = "polynomial_features") -> list[Powers]:
    """Powers of the terms of a full second-order polynomial in k factors, without the constant.

    ``polynomial_features`` is scikit-learn's order: a, b, c, a², ab, ac, b², bc, c² for three.
    """

    def powers(*factors: int) -> Powers:
        return tuple(factors.count(i) for i in range(k))

    linear = [powers(i) for i in range(k)]
    squares = [powers(i, i) for i in range(k)]
    crossed = [powers(*pair) for pair in combinations(range(k), 2)]
    if convention == "squares_first":
        return linear + squares + crossed
    if convention == "interactions_first":
        return linear + crossed + squares
    return linear + [powers(*pair) for pair in combinations_with_replacement(range(k), 2)]


def factor_count(terms: int) -> int | None:
    """How many factors give that many terms (k + k(k+1)/2), None if no k does."""
    k = round((math.sqrt(9 + 8 * terms) - 3) / 2)
    return k if k >= 1 and k * (k + 3) // 2 == terms else None


def is_numbered(table: PublishedTable) -> bool:
    """Whether its slopes are exactly x1, x2, ... of a full second-order polynomial."""
    numbers = [m[1] for row in table.slopes if (m := _NUMBERED.fullmatch(row.term))]
    expected = [str(i + 1) for i in range(len(table.slopes))]
    return numbers == expected and factor_count(len(expected)) is not None


def term_powers(
    table: PublishedTable, factors: Sequence[str], convention: Convention
) -> dict[str, Powers] | None:
    """Printed term -> powers of `factors`; None where the table is no polynomial in them.

    Numbered terms are read in the order of `convention`; named terms as products (``:``, ``*`` or
    a blank) of the factors' names, with ``^2`` or ``²``.
    """
    if is_numbered(table) and factor_count(len(table.slopes)) == len(factors):
        ordered = powers_in_order(len(factors), convention)
        return {row.term: p for row, p in zip(table.slopes, ordered, strict=True)}
    named = {row.term: _read_name(row.term, factors) for row in table.slopes}
    found = {term: powers for term, powers in named.items() if powers is not None}
    return found if found and len(found) == len(named) else None


def _read_name(term: str, factors: Sequence[str]) -> Powers | None:
    counts = [0] * len(factors)
    plain = term.replace("²", "^2").replace("**", "^")
    for part in re.split(r"\s*[:*×]\s*|\s+", plain.strip()):
        name, _, power = part.partition("^")
        squared = re.fullmatch(r"I\((.+)", name)
        name = squared[1] if squared else name
        power = power.rstrip(")")
        if name not in factors or (power and not power.isdigit()):
            return None
        counts[list(factors).index(name)] += int(power or 1)
    return tuple(counts) if 1 <= sum(counts) <= 2 else None


def canonical_name(powers: Powers, factors: Sequence[str]) -> str:
    """``learning_rate``, ``learning_rate^2`` or ``learning_rate:num_epochs``."""
    parts = [
        name if power == 1 else f"{name}^{power}"
        for name, power in zip(factors, powers, strict=True)
        if power
    ]
    return ":".join(parts)


def named_factors(tables: Sequence[PublishedTable]) -> list[str]:
    """Factors of tables whose terms are names: the parts of their products; [] when numbered."""
    names: dict[str, None] = {}
    for table in tables:
        if is_numbered(table):
            return []
        for row in table.slopes:
            for part in re.split(r"[:*×]", row.term.replace("²", "^2")):
                names.setdefault(part.partition("^")[0].strip())
    return list(names)


def identify_convention(
    tables: Sequence[PublishedTable], k: int
) -> tuple[Convention, Mapping[Convention, float]]:
    """The order of numbered terms that the sizes of the standard errors fit.

    A term's standard error goes as the inverse of its regressor's scale, and the scale of a
    product is the product of the scales: log se = c - sum(power * log scale). Each convention is
    fitted by least squares to every table.

    Returns:
        the convention, and the misfit of each (log10 units, root mean square over terms). It is
        scikit-learn's unless another fits clearly better: regressors of about one scale, as in a
        coded design, do not tell the conventions apart.
    """
    from tunescape.surface import Factor, fit_surface

    factors = [Factor(str(i)) for i in range(k)]
    misfit: dict[Convention, float] = {}
    for convention in CONVENTIONS:
        powers = np.array(powers_in_order(k, convention), dtype=float)
        squares, count = 0.0, 0
        for table in tables:
            if not is_numbered(table) or len(table.slopes) != len(powers):
                continue
            se = np.array([row.recovered_se.middle for row in table.slopes])
            usable = np.isfinite(se) & (se > 0)
            if usable.sum() <= k + 1:
                continue
            of_factor = {str(i): powers[usable, i] for i in range(k)}
            fit = fit_surface(of_factor, np.log10(se[usable]), factors, degree=1)
            squares += fit.rss
            count += int(usable.sum())
        misfit[convention] = math.sqrt(squares / count) if count else math.nan
    best = min(CONVENTIONS, key=lambda name: (math.isnan(misfit[name]), misfit[name]))
    usual = misfit[CONVENTIONS[0]]
    clear = usual > TELLING and misfit[best] < usual / 2
    return best if clear else CONVENTIONS[0], misfit

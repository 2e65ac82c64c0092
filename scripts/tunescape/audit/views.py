"""Two views of one regression: the absolute table against the relative one.

With one constant baseline b, the same rows and an intercept, regressing differences on differences
is a shift of origin: quadratic and interaction coefficients and their errors coincide, and the
slopes obey relative_i = absolute_i + 2 q_ii b_i + sum_j q_ij b_j. The shift also tells which
numbered regressor is which factor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from tunescape.audit.arithmetic import Degrees, possible_n, span
from tunescape.audit.findings import Finding, Severity
from tunescape.audit.printed import Interval
from tunescape.audit.table import PublishedTable, Row
from tunescape.audit.terms import (
    TELLING,
    Convention,
    Powers,
    canonical_name,
    identify_convention,
    is_numbered,
    term_powers,
)

Pair = tuple[PublishedTable, PublishedTable]


@dataclass(frozen=True)
class Reading:
    """Which factor each regressor is.

    Attributes:
        factors: in the order of the regressors x1, x2, ...
        convention: order of the second-order terms.
        numbered: whether the tables number their terms (else the names were read).
        misfit: order of factors -> root mean square misfit of the shift identity, in standard
            errors of the relative slopes; empty where no pair of views or no baseline is there.
        convention_misfit: see `terms.identify_convention`.
    """

    factors: tuple[str, ...]
    convention: Convention
    numbered: bool
    misfit: Mapping[tuple[str, ...], float]
    convention_misfit: Mapping[Convention, float]

    def powers(self, table: PublishedTable) -> dict[str, Powers] | None:
        """Printed term -> powers; None where the table is no polynomial in the factors."""
        return term_powers(table, self.factors, self.convention)

    def name(self, table: PublishedTable, term: str) -> str | None:
        """The canonical name of a printed term; ``constant`` for the constant."""
        row = table.row(term)
        if row is not None and row.is_constant:
            return "constant"
        powers = (self.powers(table) or {}).get(term)
        return None if powers is None else canonical_name(powers, self.factors)

    def find(self, table: PublishedTable, name: str) -> Row | None:
        """The row of a canonical term."""
        return next((row for row in table.rows if self.name(table, row.term) == name), None)


def view_pairs(tables: Sequence[PublishedTable]) -> list[Pair]:
    """Absolute and relative tables of the same metric."""
    return [
        (absolute, relative)
        for absolute in tables
        for relative in tables
        if (absolute.view, relative.view) == ("absolute", "relative")
        and absolute.metric == relative.metric
    ]


def identify_factors(
    tables: Sequence[PublishedTable], factors: Sequence[str], baseline: Mapping[str, float]
) -> Reading:
    """Work out the order of terms and of factors from the printed numbers.

    The sizes of the standard errors give the order of the second-order terms; the shift between
    the views, tried with the baseline's values in every order, gives the order of the factors.
    Without a pair of views or a baseline the stated order is taken.
    """
    numbered = any(is_numbered(table) for table in tables)
    convention, sizes = identify_convention(tables, len(factors))
    misfit: dict[tuple[str, ...], float] = {}
    pairs = view_pairs(tables)
    if numbered and pairs and len(factors) <= 6 and all(name in baseline for name in factors):
        for order in permutations(factors):
            squares = [
                miss**2
                for pair in pairs
                for miss in shift_misfit(pair, order, convention, baseline).values()
            ]
            if squares:
                misfit[order] = math.sqrt(sum(squares) / len(squares))
    best = min(misfit, key=lambda order: misfit[order]) if misfit else tuple(factors)
    return Reading(best, convention, numbered, misfit, sizes if numbered else {})


def expected_slopes(
    absolute: PublishedTable, powers: Mapping[str, Powers], origin: Sequence[float]
) -> dict[Powers, Interval]:
    """Slopes at `origin` from the printed coefficients, by the linear term's powers."""
    k = len(origin)
    slopes: dict[Powers, Interval] = {}
    for i in range(k):
        total = Interval(0.0, 0.0)
        for term, power in powers.items():
            if not power[i]:
                continue
            # d/dx_i of the monomial at the origin.
            factor = float(power[i])
            for j, exponent in enumerate(power):
                factor *= origin[j] ** (exponent - (i == j))
            row = absolute.row(term)
            if row is not None:
                total = total + row.coef.interval.times(factor)
        slopes[tuple(int(i == j) for j in range(k))] = total
    return slopes


def shift_misfit(
    pair: Pair, order: Sequence[str], convention: Convention, baseline: Mapping[str, float]
) -> dict[Powers, float]:
    """By linear term: gap between printed and shifted slope, in relative standard errors."""
    absolute, relative = pair
    powers, others = (term_powers(table, order, convention) for table in pair)
    if powers is None or others is None:
        return {}
    expected = expected_slopes(absolute, powers, [baseline[name] for name in order])
    rows = {power: relative.row(term) for term, power in others.items()}
    result = {}
    for power, slope in expected.items():
        row = rows.get(power)
        if row is not None and row.recovered_se.high > 0:
            result[power] = slope.distance(row.coef.interval) / row.recovered_se.high
    return result


# --- checks ---------------------------------------------------------------------------------------


def check_identity(
    pair: Pair, reading: Reading, degrees: Mapping[str, Degrees], baseline: Mapping[str, float]
) -> list[Finding]:
    """Quadratic and interaction terms coincide between the views, and slopes shift."""
    absolute, relative = pair
    powers, others = reading.powers(absolute), reading.powers(relative)
    if powers is None or others is None:
        return []
    by_power = {power: term for term, power in others.items()}
    differing: list[Finding] = []
    compared = 0
    reason = _why_not(pair, degrees)
    name = f"{absolute.name}|{relative.name}"
    for term, power in powers.items():
        a, b = absolute.row(term), relative.row(by_power.get(power, ""))
        if sum(power) < 2 or a is None or b is None:
            continue
        compared += 1
        apart = [
            column
            for column in ("coef", "std_err")
            if not getattr(a, column).interval.meets(getattr(b, column).interval)
        ]
        if apart:
            differing.append(
                Finding(
                    name, "view_identity", "warning" if reason else "error",
                    "; ".join(
                        f"{c} {getattr(a, c).text} and {getattr(b, c).text}" for c in apart
                    ),
                    "equal",
                    f"{canonical_name(power, reading.factors)} cannot depend on the origin; "
                    + (reason or "same rows, one baseline and a constant are not all true"),
                    term,
                )
            )  # fmt: skip
    if not compared:
        return []
    found = differing or [
        Finding(name, "view_identity", "info", f"{compared} second-order terms", "equal",
                "the relative fit is the absolute one with another origin")
    ]  # fmt: skip
    return found + _check_slopes(pair, reading, baseline, name, bool(differing))


def _check_slopes(
    pair: Pair, reading: Reading, baseline: Mapping[str, float], name: str, broken: bool
) -> list[Finding]:
    absolute, relative = pair
    powers = reading.powers(absolute)
    if powers is None or any(factor not in baseline for factor in reading.factors):
        return []
    expected = expected_slopes(absolute, powers, [baseline[f] for f in reading.factors])
    found = []
    for power, slope in expected.items():
        row = reading.find(relative, canonical_name(power, reading.factors))
        if row is None or slope.meets(row.coef.interval):
            continue
        why = (
            "the views do not rest on the same fit, so slopes shift only about as they should"
            if broken
            else "relative slope = absolute slope + 2 quadratic baseline + interactions baseline"
        )
        found.append(
            Finding(name, "slope_shift", "note" if broken else "error",
                    f"relative coef {row.coef.text}", f"{slope}", why, row.term)
        )  # fmt: skip
    return found


def _why_not(pair: Pair, degrees: Mapping[str, Degrees]) -> str:
    """Why two views need not be one fit, empty when nothing printed says so."""
    reasons = []
    ends = [degrees[table.name].limits for table in pair]
    for table in pair:
        if table.constant is None:
            reasons.append(f"table {table.name} prints no constant")
        elif table.constant in degrees[table.name].outliers:
            reasons.append(f"the constant of table {table.name} does not fit its other rows")
    if ends[0] and ends[1] and (ends[0][1] < ends[1][0] or ends[1][1] < ends[0][0]):
        reasons.append(
            f"residual degrees of freedom differ ({span(set(ends[0]))} and {span(set(ends[1]))})"
        )
    return "; ".join(reasons)


def check_rows(pair: Pair, degrees: Mapping[str, Degrees]) -> list[Finding]:
    """Whether the two views can rest on the same observations."""
    a, b = (possible_n(table, degrees[table.name]) for table in pair)
    if a is None or b is None:
        return []
    (with_a, without_a), (with_b, without_b) = a, b
    name = f"{pair[0].name}|{pair[1].name}"
    said = " and ".join(
        f"{table.name}: n {span(with_ | without)}"
        for table, (with_, without) in zip(pair, (a, b), strict=True)
    )
    if not (with_a | without_a) & (with_b | without_b):
        why = "the two views of a metric rest on different observations"
        return [Finding(name, "view_rows", "warning", said, "the same n", why)]
    if not with_a & with_b:
        why = "the same n only if one of them goes through the origin: two models, not two views"
        return [Finding(name, "view_rows", "warning", said, "the same n and form", why)]
    return []


def check_order(reading: Reading, tables: Sequence[PublishedTable]) -> list[Finding]:
    """State which numbered term is which, and how clearly the numbers say so."""
    table = next((t for t in tables if reading.powers(t)), None)
    if not reading.numbered or table is None:
        return []
    names = ", ".join(f"{row.term} = {reading.name(table, row.term)}" for row in table.slopes)
    sizes = ", ".join(
        f"{name} {value:.2f}"
        for name, value in reading.convention_misfit.items()
        if not math.isnan(value)
    )
    why = f"misfit of the standard errors' sizes by order of terms (log10 units): {sizes}"
    ranked = sorted(reading.misfit.items(), key=lambda item: item[1])
    if ranked:
        why += "; misfit of the shift between views by order of factors (standard errors): "
        why += ", ".join(f"{' '.join(order)} {value:.2g}" for order, value in ranked)
    else:
        why += "; no pair of views with a baseline: the stated order of factors is taken"
    told = sum(value > TELLING for value in reading.convention_misfit.values())
    if told < len(reading.convention_misfit) - 1:
        why += "; the sizes are too alike to tell the order of terms"
    clear = len(ranked) < 2 or ranked[1][1] > 1.5 * ranked[0][1]
    severity: Severity = "info" if clear else "note"
    return [Finding("all", "term_order", severity, "numbered terms", names, why)]

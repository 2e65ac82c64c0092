"""One table against itself: t, p, interval, degrees of freedom, constant.

The unrounded coefficient c and standard error s of a row, at q = the t quantile for the residual
degrees of freedom, have to satisfy inequalities that are linear in c and s: c and s within their
printed intervals, c/s within that of t and within the |t| that the printed p allows, c - qs and
c + qs within those of the interval's ends. Eliminating c (Fourier-Motzkin) leaves a range of s; a
row fits a number of degrees of freedom when that range is not empty. After Nuijten et al.,
Behav. Res. Methods 48 (2016), who recompute p from t and df; here df is unknown too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from tunescape.audit.findings import Finding
from tunescape.audit.printed import Interval
from tunescape.audit.table import NUMBERS, PublishedTable, Row

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Every integer up to 1000, then cells of about 5 % named by their first integer, then the normal.
DF_GRID: Array = np.unique(
    np.concatenate([np.arange(1.0, 1001.0), np.rint(np.geomspace(1000, 1e6, 140)), [np.inf]])
)
_LAST: Array = np.append(DF_GRID[1:] - 1, np.inf)  # the last integer of each cell


@lru_cache(maxsize=2048)
def _quantile(upper_tail: float) -> tuple[Array, Array]:
    """t above which lies `upper_tail`: the least and the most within each cell of df."""
    if upper_tail <= 0:
        infinite = np.full(DF_GRID.shape, np.inf)
        return infinite, infinite
    at = np.append(-special.stdtrit(DF_GRID[:-1], upper_tail), -special.ndtri(upper_tail))
    after = np.where(_LAST > DF_GRID, np.append(at[1:], at[-1]), at)
    return np.minimum(at, after), np.maximum(at, after)


def two_sided_p(t: float, df: float) -> float:
    """P(|T| >= |t|) at `df`, which may be infinite."""
    tail = special.ndtr(-abs(t)) if np.isinf(df) else special.stdtr(df, -abs(t))
    return float(2 * tail)


def quantile(level: float, df: float) -> float:
    """The multiplier of the standard error in an interval of that level."""
    tail = (1 - level) / 2
    return float(-special.ndtri(tail) if np.isinf(df) else -special.stdtrit(df, tail))


def p_range(t: Interval, df: float) -> Interval:
    """The p that a range of t gives."""
    size = t.magnitude()
    return Interval(two_sided_p(size.high, df), two_sided_p(size.low, df))


def df_from_p(row: Row) -> Mask:
    """The df of the grid at which the printed t gives the printed p."""
    size, p = row.t.interval.magnitude(), row.p_printed
    if row.t.missing or row.p.missing:
        return np.ones(DF_GRID.shape, dtype=bool)
    least, most = _quantile(p.high / 2)[0], _quantile(p.low / 2)[1]
    return np.asarray((size.high >= least) & (size.low <= most))


def df_from_interval(row: Row, level: float) -> Mask:
    """The df of the grid at which half-width / standard error is the t quantile."""
    least, most = _quantile((1 - level) / 2)
    half = (row.ci_high.interval - row.ci_low.interval).times(0.5)
    se = row.se
    return np.asarray((least * se.low <= half.high) & (most * se.high >= half.low))


def df_from_row(row: Row, level: float) -> Mask:
    """The df of the grid at which every printed number of the row can be right at once."""
    least, most = _quantile((1 - level) / 2)
    zero = np.zeros_like(least)
    c, t, low, high = (x.interval for x in (row.coef, row.t, row.ci_low, row.ci_high))
    t_low, t_high, possible = _t_limits(row, t)
    below = [(zero + c.low, zero), (zero, t_low), (low.low + zero, least), (high.low + zero, -most)]
    above = [
        (zero + c.high, zero), (zero, t_high), (low.high + zero, most), (high.high + zero, -least)
    ]  # fmt: skip
    se = row.se
    s_low, s_high = zero + se.low, zero + se.high
    with np.errstate(divide="ignore", invalid="ignore"):
        for a, b in below:
            for limit, slope in above:
                # a + b s <= c <= limit + slope s has to leave room for c.
                room, rate = limit - a, b - slope
                unbounded = ~np.isfinite(room) | ~np.isfinite(rate)
                s_high = np.where(~unbounded & (rate > 0), np.minimum(s_high, room / rate), s_high)
                s_low = np.where(~unbounded & (rate < 0), np.maximum(s_low, room / rate), s_low)
                possible &= unbounded | (rate != 0) | (room >= 0)
    slack = 1e-9 * np.maximum(np.abs(s_low), 1e-300)
    return np.asarray(possible & (s_low <= s_high + slack))


def _t_limits(row: Row, t: Interval) -> tuple[Array, Array, Mask]:
    """Limits of t from its print and from p, by df, and whether they leave any."""
    size, p = t.magnitude(), row.p_printed  # [0, 1] where p is missing: no limit
    low = np.maximum(size.low, _quantile(p.high / 2)[0])
    high = np.minimum(size.high, _quantile(p.low / 2)[1])
    possible = np.asarray(low <= high)
    sign = row.coef.value if row.t.missing else row.t.value
    if t.low <= 0 <= t.high:
        return -high, high, possible
    return (low, high, possible) if sign > 0 else (-high, -low, possible)


def df_text(mask: Mask) -> str:
    """``29``, ``28 to 31`` or ``none`` for a set of df."""
    if not mask.any():
        return "none"
    low, high = DF_GRID[mask][0], _LAST[mask][-1]
    top = "any larger" if np.isinf(high) else f"{high:.0f}"
    return f"{low:.0f}" if low == high else f"{low:.0f} to {top}"


@dataclass(frozen=True)
class Degrees:
    """Residual degrees of freedom of a table.

    Attributes:
        df: the value that most rows fit (the middle where several do); nan when rows disagree
            so much that no value fits more than half of them.
        allowed: all values that as many rows fit.
        outliers: rows that do not fit `df`.
        by_row: term -> mask over the grid.
    """

    df: float
    allowed: Mask
    outliers: tuple[Row, ...]
    by_row: tuple[tuple[Row, Mask], ...]

    @property
    def exact(self) -> int | None:
        """The df when only one integer is left."""
        limits = self.limits
        return limits[0] if limits is not None and limits[0] == limits[1] else None

    @property
    def limits(self) -> tuple[int, int] | None:
        """Smallest and largest integer left, None when none or no largest."""
        if np.isnan(self.df) or not self.allowed.any() or np.isinf(_LAST[self.allowed][-1]):
            return None
        return int(DF_GRID[self.allowed][0]), int(_LAST[self.allowed][-1])


def infer_degrees(table: PublishedTable) -> Degrees:
    """The residual degrees of freedom that fit the most rows of a table."""
    by_row = tuple((row, df_from_row(row, table.level)) for row in table.rows)
    fitting = np.sum([mask for _, mask in by_row], axis=0)
    best = int(fitting.max())
    allowed = np.asarray(fitting == best)
    usable = sum(bool(mask.any()) for _, mask in by_row)
    if best == 0 or 2 * best <= usable:
        return Degrees(float("nan"), np.zeros_like(allowed), (), by_row)
    # Ties between different sets of rows: keep the run of df around the middle one.
    candidates = np.flatnonzero(allowed)
    middle = int(candidates[(len(candidates) - 1) // 2])
    chosen = tuple(bool(mask[middle]) for _, mask in by_row)
    same = [tuple(bool(mask[i]) for _, mask in by_row) == chosen for i in candidates]
    allowed = np.zeros_like(allowed)
    allowed[candidates[np.array(same)]] = True
    outliers = tuple(row for (row, _), fits in zip(by_row, chosen, strict=True) if not fits)
    return Degrees(float(DF_GRID[middle]), allowed, outliers, by_row)


# --- checks ---------------------------------------------------------------------------------------


def check_possible(table: PublishedTable, degrees: Degrees) -> list[Finding]:
    """Numbers that no regression prints: negative errors, p outside [0, 1], turned intervals."""
    found = []
    printed = [n for n in NUMBERS if not all(getattr(row, n).missing for row in table.rows)]
    for row in table.rows:
        wrong = []
        if row.std_err.interval.high < 0:
            wrong.append(("std_err", row.std_err.text, "a standard error is not negative"))
        if not row.p.missing and row.p_printed.empty:
            wrong.append(("p", row.p.text, "p lies between 0 and 1"))
        if row.ci_low.interval.low > row.ci_high.interval.high:
            turned = f"{row.ci_low.text}, {row.ci_high.text}"
            wrong.append(("interval", turned, "the lower end lies above the upper one"))
        for column, text, why in wrong:
            found.append(
                Finding(table.name, "possible", "error", f"{column} {text}", "", why, row.term)
            )
        empty = [name for name in printed if getattr(row, name).missing]
        if empty:
            why = "checks that need these cells were left out for this row"
            text = f"no {', '.join(empty)}"
            found.append(Finding(table.name, "empty_cells", "note", text, "", why, row.term))
    names = [row.term for row in table.rows]
    for name in sorted({name for name in names if names.count(name) > 1}):
        why = "a regression has each term once; rows of two fits may stand in one table"
        found.append(
            Finding(table.name, "repeated_term", "warning", f"{names.count(name)} rows", "1", why,
                    name)
        )  # fmt: skip
    return found


def check_t(table: PublishedTable, degrees: Degrees) -> list[Finding]:
    """t against coefficient / standard error."""
    found = []
    for row in table.rows:
        ratio = row.coef.interval.over(row.se)
        if not row.t.missing and not row.se.empty and not ratio.meets(row.t.interval):
            why = "t is the coefficient over its standard error; one of the three is wrong"
            found.append(
                Finding(table.name, "t_ratio", "error", f"t {row.t.text}", f"t {ratio}", why,
                        row.term)
            )  # fmt: skip
    return found


def check_centre(table: PublishedTable, degrees: Degrees) -> list[Finding]:
    """The estimate in the middle of its interval."""
    found = []
    for row in table.rows:
        centre = (row.ci_low.interval + row.ci_high.interval).times(0.5)
        if not centre.meets(row.coef.interval):
            twice = row.coef.interval.times(2)
            why = (
                "a t interval is centred on the estimate: with the upper end as printed the lower "
                f"one is {twice - row.ci_high.interval}, with the lower the upper one is "
                f"{twice - row.ci_low.interval}"
            )
            printed = f"coef {row.coef.text} in [{row.ci_low.text}, {row.ci_high.text}]"
            found.append(
                Finding(table.name, "interval_centre", "error", printed, f"centre {centre}", why,
                        row.term)
            )  # fmt: skip
    return found


def check_row_degrees(table: PublishedTable, degrees: Degrees) -> list[Finding]:
    """Rows whose interval, or whose p, fits no degrees of freedom at all."""
    found = []
    for row in table.rows:
        if not df_from_interval(row, table.level).any():
            half = (row.ci_high.interval - row.ci_low.interval).times(0.5)
            why = _near_quantiles(half.over(row.se), table.level)
            printed = f"[{row.ci_low.text}, {row.ci_high.text}], std_err {row.std_err.text}"
            recomputed = f"half-width / std_err {half.over(row.se)}"
            found.append(
                Finding(table.name, "interval_df", "error", printed, recomputed, why, row.term)
            )
        if not row.p_printed.empty and not df_from_p(row).any():
            size = row.t.interval
            allowed = Interval(p_range(size, float("inf")).low, p_range(size, 1.0).high)
            why = "no degrees of freedom turn this t into this p (two-sided)"
            found.append(
                Finding(table.name, "p_df", "error", f"t {row.t.text}, p {row.p.text}",
                        f"p {allowed}", why, row.term)
            )  # fmt: skip
    return found


def _near_quantiles(ratio: Interval, level: float) -> str:
    """Which quantiles there are near a ratio that is none of them."""
    q = _quantile((1 - level) / 2)[1]
    if ratio.high < q[-1] or ratio.low > q[0]:
        return (
            f"half an interval of level {level:g} is {q[-1]:.4g} standard errors (the normal) to "
            f"{q[0]:.4g} (1 df) wide"
        )
    i = int(np.searchsorted(-q, -ratio.middle))
    return (
        f"half an interval of level {level:g} is {q[i - 1]:.5f} standard errors wide at "
        f"{DF_GRID[i - 1]:.0f} df and {q[i]:.5f} at {DF_GRID[i]:.0f}: nothing between"
    )


def check_common_degrees(table: PublishedTable, degrees: Degrees) -> list[Finding]:
    """The integer df that fits all rows, and rows that fit no common one."""
    if len(table.rows) < 2 and not np.isnan(degrees.df):
        return [_degrees_finding(table, degrees)]
    if np.isnan(degrees.df):
        ranges = "; ".join(f"{row.term} {df_text(mask)}" for row, mask in degrees.by_row)
        why = "one regression has one number of residual degrees of freedom" + _other_level(table)
        return [Finding(table.name, "common_df", "error", f"df by row: {ranges}", "none", why)]
    found = [_degrees_finding(table, degrees)]
    by_term = {id(row): mask for row, mask in degrees.by_row}
    for row in degrees.outliers:
        own = df_text(by_term[id(row)])
        said = conflicts(row, degrees.df, table.level)
        why = (
            f"the other rows fit {df_text(degrees.allowed)} residual degrees of freedom, this one "
            f"{'fits ' + own if own != 'none' else 'no number of them'}: an edited number, or a "
            "row of another fit"
        )
        printed = "; ".join(p for p, _ in said) or f"df {own}"
        recomputed = "; ".join(r for _, r in said) or f"df {df_text(degrees.allowed)}"
        found.append(Finding(table.name, "common_df", "error", printed, recomputed, why, row.term))
    return found


def _degrees_finding(table: PublishedTable, degrees: Degrees) -> Finding:
    rows = [row for row in table.rows if row not in degrees.outliers]
    intervals = np.logical_and.reduce([df_from_interval(row, table.level) for row in rows])
    p_values = np.logical_and.reduce([df_from_p(row) for row in rows])
    why = (
        f"residual degrees of freedom that {len(rows)} of {len(table.rows)} rows fit; from the "
        f"intervals alone {df_text(intervals)}, from p and t alone {df_text(p_values)}"
    )
    return Finding(table.name, "df", "info", "", f"df {df_text(degrees.allowed)}", why)


def _other_level(table: PublishedTable) -> str:
    for level in (0.9, 0.95, 0.99):
        masks = [df_from_row(row, level) for row in table.rows]
        if level != table.level and np.logical_and.reduce(masks).any():
            return f"; intervals of level {level:g} would fit, {table.level:g} was assumed"
    return ""


def conflicts(row: Row, df: float, level: float) -> list[tuple[str, str]]:
    """What a row prints against what the rest of it gives at `df`: (printed, recomputed)."""
    said = []
    p = p_range(row.t_range, df)
    if not row.p.missing and not p.meets(row.p_printed):
        said.append((f"p {row.p.text}", f"p {p}"))
    q, c = quantile(level, df), row.coef.interval
    se = row.recovered_se
    low, high = c - se.times(q), c + se.times(q)
    if not low.meets(row.ci_low.interval) or not high.meets(row.ci_high.interval):
        said.append((f"[{row.ci_low.text}, {row.ci_high.text}]", f"[{low}, {high}]"))
    half = (row.ci_high.interval - row.ci_low.interval).times(0.5 / q)
    if not said and not half.meets(se):
        said.append((f"std_err {row.std_err.text}", f"std_err {half}"))
    return said


def check_constant(
    table: PublishedTable, degrees: Degrees, stated_n: Mapping[str, int]
) -> list[Finding]:
    """A missing constant, and the number of observations implied with and without one."""
    found = []
    limits = degrees.limits
    k = len(table.slopes)
    if limits is not None:
        with_constant, without = implied_n(limits, k)
        if table.constant is not None:
            text = f"n {with_constant}"
            why = f"df + {k} slopes + constant (without a constant it would be {without})"
            if table.constant in degrees.outliers:
                text = f"n {without} without the constant, {with_constant} with it"
                why = (
                    "the constant's row does not fit the other rows: a fit through the origin with "
                    "a constant added to the table, or a constant of another fit"
                )
        else:
            text = f"n {without} through the origin, {with_constant} if the row was dropped"
            why = f"df + {k} slopes, and one more if a constant was fitted"
        found.append(Finding(table.name, "n_implied", "info", "", text, why))
    if table.constant is None:
        why = (
            "either the regression goes through the origin (then the response is forced to 0 where "
            "all regressors are 0, and R² is uncentred) or the constant's row was left out"
        )
        found.append(Finding(table.name, "no_constant", "warning", "no constant", "", why))
    n = stated_n.get(table.name)
    if n is not None and limits is not None:
        found += _check_stated_n(table, n, limits, k)
    return found


def possible_n(table: PublishedTable, degrees: Degrees) -> tuple[set[int], set[int]] | None:
    """The n that df allow, fitted with a constant and through the origin.

    The second set is empty where a constant is printed that fits the other rows, the whole None
    where df are not known.
    """
    limits = degrees.limits
    if limits is None:
        return None
    through_origin = {df + len(table.slopes) for df in range(limits[0], limits[1] + 1)}
    doubtful = table.constant is None or table.constant in degrees.outliers
    return {n + 1 for n in through_origin}, through_origin if doubtful else set()


def span(values: set[int]) -> str:
    """``38`` or ``38 to 39``."""
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low} to {high}"


def implied_n(limits: tuple[int, int], slopes: int) -> tuple[str, str]:
    """n with and without a constant, as text, for a range of df."""
    texts = []
    for extra in (1, 0):
        low, high = (value + slopes + extra for value in limits)
        texts.append(f"{low}" if low == high else f"{low} to {high}")
    return texts[0], texts[1]


def _check_stated_n(
    table: PublishedTable, n: int, limits: tuple[int, int], k: int
) -> list[Finding]:
    low, high = (value + k for value in limits)
    said = f"n {n}"
    if table.constant is None and low + 1 <= n <= high + 1 and not low <= n <= high:
        why = "the degrees of freedom are those of a fit with a constant: its row was left out"
        return [Finding(table.name, "dropped_constant", "error", said, f"n {high + 1}", why)]
    extra = int(table.constant is not None)
    if not low + extra <= n <= high + extra:
        why = "the table rests on another number of observations than is stated"
        implied = implied_n(limits, k)[1 - extra]
        return [Finding(table.name, "n_stated", "error", said, f"n {implied}", why)]
    return []


def check_precision(table: PublishedTable, degrees: Degrees) -> list[Finding]:
    """Standard errors rounded to nothing, with what coefficient and t still say."""
    found = []
    for row in table.rows:
        if row.std_err.digits == 0 and not row.std_err.missing:
            why = "the printed standard error has no digit left; coefficient and t give it back"
            found.append(
                Finding(table.name, "precision", "note", f"std_err {row.std_err.text}",
                        f"std_err {row.recovered_se}", why, row.term)
            )  # fmt: skip
    return found


CHECKS: tuple[Callable[[PublishedTable, Degrees], list[Finding]], ...] = (
    check_possible,
    check_t,
    check_centre,
    check_row_degrees,
    check_common_degrees,
    check_precision,
)


def summarise(table: PublishedTable, degrees: Degrees) -> dict[str, Any]:
    """Degrees of freedom and implied n as plain data."""
    limits = degrees.limits
    k = len(table.slopes)
    bounds = list(limits) if limits else None
    sizes = possible_n(table, degrees)
    every = set.union(*sizes) if sizes else set()
    return {
        "rows": len(table.rows),
        "constant": table.constant is not None,
        "df": degrees.exact,
        "df_range": bounds,
        "df_misfits": [row.term for row in degrees.outliers],
        "n": [min(every), max(every)] if every else None,
        "n_with_constant": [v + k + 1 for v in limits] if limits else None,
        "n_without_constant": [v + k for v in limits] if limits else None,
    }

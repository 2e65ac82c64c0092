"""Hold what published models suggest against what an experiment finds, term by term.

Both samples are fitted in one common coding. A coefficient is compared only where both samples
estimate the same thing: if a term is aliased in one sample, its partner's coefficient there stands
for a combination of terms, and that combination is taken from the other sample, too.

Sources: Hausman, Econometrica 46 (1978), for testing two estimates of one parameter jointly (here
from independent samples, so that the variance of the difference is the sum); Welch, Biometrika 34
(1947), and Kenward and Roger, Biometrics 53 (1997), for its degrees of freedom; DerSimonian and
Laird, Controlled Clinical Trials 7 (1986), for the combined estimate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from tunescape import inference, regression
from tunescape.design import alias_text
from tunescape.errors import UserError
from tunescape.surface import (
    Coding,
    Factor,
    SurfaceFit,
    Term,
    code_factor,
    find_aliases,
    fit_surface,
    gradient_rows,
)
from tunescape.tables import read_table, write_json, write_table

Array = NDArray[np.float64]

HUB, EXPERIMENT = "hub", "experiment"
_PER_ARM = ("estimate", "se", "df", "ci_low", "ci_high", "p")
_DIFFERENCE = (
    "difference", "se_difference", "df", "t", "p", "p_holm", "ci_low", "ci_high",
    "detectable_difference",
)  # fmt: skip
_COMBINED = (
    "tau", "i2", "combined", "combined_se", "combined_ci_low", "combined_ci_high",
    "hub_shrunk", "experiment_shrunk",
)  # fmt: skip
TABLE_COLUMNS: dict[str, str] = {
    "term": "str", "kind": "str", "comparable": "bool", "reason": "str", "compared": "str",
    **dict.fromkeys((f"{HUB}_{what}" for what in _PER_ARM), "float64"), f"{HUB}_error": "str",
    **dict.fromkeys((f"{EXPERIMENT}_{what}" for what in _PER_ARM), "float64"),
    f"{EXPERIMENT}_error": "str",
    **dict.fromkeys(_DIFFERENCE, "float64"),
    "same_sign": "boolean", "both_clear": "boolean",
    **dict.fromkeys(_COMBINED, "float64"),
}  # fmt: skip
"""Columns of contrast.csv: coded coefficients, the effect of half the coding range."""


@dataclass(frozen=True)
class Arm:
    """One sample's fit.

    Attributes:
        label: name in sentences.
        span: (kept, columns), what each estimated coefficient stands for.
        robust, classical: covariances; robust by clusters (CR3).
        mixed: whether terms without a robust error may take the classical one beside others that
            have one. A designed experiment has one error for all its terms instead: its runs are
            independent, and where deleting a configuration loses a term (the centre of a
            Box-Behnken design), the classical error serves all.
        ranges: factor -> least and largest raw value.
    """

    key: str
    label: str
    fit: SurfaceFit
    span: Array
    robust: inference.Covariance
    classical: inference.Covariance
    mixed: bool
    ranges: dict[str, tuple[float, float]]

    def estimable(self, function: Array) -> bool:
        """Whether the sample determines a combination of all columns' coefficients."""
        kept = function[list(self.fit.kept)]
        return bool(np.allclose(kept @ self.span, function, rtol=0, atol=1e-6))

    def has_robust(self, used: NDArray[np.bool_]) -> bool:
        """Whether these estimated columns have a robust error (for all columns unless mixed)."""
        exists = self.robust.exists[used] if self.mixed else self.robust.exists
        return bool(exists.all()) and self.robust.df > 0

    def estimate(self, function: Array, level: float) -> Estimate:
        """Value and error of an estimable combination; cluster-robust where that exists."""
        weights = function[list(self.fit.kept)]
        used = np.abs(weights) > 0
        found = self.robust if self.has_robust(used) else self.classical
        block = found.matrix[np.ix_(used, used)]
        variance = float(weights[used] @ block @ weights[used])
        value = float(weights @ self.fit.kept_coef)
        se = float(np.sqrt(variance)) if variance > 0 else float("nan")
        _, p, low, high = inference.t_tests(np.array([value]), np.array([se]), found.df, level)
        kind = found.kind if np.isfinite(se) else "none"
        return Estimate(value, se, found.df, float(p[0]), float(low[0]), float(high[0]), kind)


@dataclass(frozen=True)
class Estimate:
    """A value with its error; `error` names the covariance it comes from."""

    value: float
    se: float
    df: float
    p: float
    ci_low: float
    ci_high: float
    error: str


@dataclass(frozen=True)
class Difference:
    """Experiment minus hub, with Welch's degrees of freedom."""

    value: float
    se: float
    df: float
    t: float
    p: float
    ci_low: float
    ci_high: float
    detectable: float


@dataclass(frozen=True)
class Combination:
    """Random-effects mean of two estimates, and both drawn towards it."""

    tau: float
    i2: float
    value: float
    se: float
    ci_low: float
    ci_high: float
    shrunk: tuple[float, float]


def contrast(
    hub_path: str | Path,
    experiment_path: str | Path,
    out_table: str | Path,
    out_summary: str | Path,
    spec: Mapping[str, Any],
) -> None:
    """Write the contrast of published models and an experiment for one metric.

    Args:
        hub_path, experiment_path: samples, tables of ``schemas.FEATURE_COLUMNS``.
        out_table: CSV of :data:`TABLE_COLUMNS`, one row a term.
        out_summary: JSON: both samples, coding, terms that cannot be compared, slopes at the
            named point, joint test, sign agreement, and ``statements``.
        spec: see `contrast_samples`.
    """
    table, summary = contrast_samples(read_table(hub_path), read_table(experiment_path), spec)
    write_table(table, out_table, TABLE_COLUMNS)
    write_json(regression.plain(summary), out_summary)


def contrast_samples(
    hub: pd.DataFrame, experiment: pd.DataFrame, spec: Mapping[str, Any]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Fit both samples in one coding and compare them.

    Args:
        hub, experiment: rows with the factors, the metric and the cluster column.
        spec: ``metric``; ``factors`` (name -> linear or log, or ``{coding, centre, scale}``);
            optionally ``degree`` (2), ``link`` (identity), ``cluster`` (owner), ``confidence``
            (0.95), ``coded_on`` (experiment, hub or both: whose range becomes [-1, 1]),
            ``restrict`` (false; true keeps hub rows inside the experiment's ranges), ``point``
            (``{name, values}``, where slopes are compared; default: the centre of the coding),
            ``labels`` (``{hub, experiment}``).

    The hub's errors are cluster-robust (CR3) term by term where that exists, and classical, named
    as such, elsewhere. The experiment's are CR3 by configuration if that exists for all terms.

    Returns:
        The table and the summary; when a sample cannot be fitted, no term is comparable and the
        summary's ``status`` is ``not_fitted`` with a ``reason``.

    Raises:
        UserError: a required key is missing, or a value is not one of the above.
    """
    wanted = regression.read_specification(spec)
    level = wanted.level
    labels = {HUB: "the Hub", EXPERIMENT: "the experiment", **dict(spec.get("labels") or {})}
    samples = {HUB: _usable(hub, wanted), EXPERIMENT: _usable(experiment, wanted)}
    found_rows = len(samples[HUB])
    ranges = {name: _ranges(rows, wanted) for name, rows in samples.items()}
    inside = _inside(samples[HUB], ranges[EXPERIMENT])
    if spec.get("restrict"):
        samples[HUB] = samples[HUB][inside]
    header: dict[str, Any] = {
        "schema": 1,
        "metric": wanted.metric,
        "degree": wanted.degree,
        "link": wanted.link,
        "level": level,
        "cluster": wanted.cluster,
        "labels": labels,
        "restricted": bool(spec.get("restrict")),
        "hub_rows_inside_experiment": int(inside.sum()),
        "hub_rows": found_rows,
    }
    reason = next(
        (
            f"{labels[key]}: {len(rows)} rows with {wanted.metric} and all of "
            f"{', '.join(wanted.codings)}"
            for key, rows in samples.items()
            if len(rows) < 2
        ),
        "",
    )
    if reason:
        return _nothing(header, reason)
    factors = _common_coding(samples, wanted, str(spec.get("coded_on", EXPERIMENT)))
    hub_arm = _fit_arm(HUB, labels[HUB], samples[HUB], factors, wanted)
    own_arm = _fit_arm(EXPERIMENT, labels[EXPERIMENT], samples[EXPERIMENT], factors, wanted)
    functions = _comparable(hub_arm, own_arm)
    rows = [_row(term, functions[term.name], hub_arm, own_arm, level) for term in own_arm.fit.terms]
    table = pd.DataFrame(rows).reindex(columns=list(TABLE_COLUMNS))
    slope = (table["kind"] != "intercept").to_numpy()
    p = np.where(slope, table["p"].to_numpy(dtype=float), np.nan)
    table["p_holm"] = inference.adjust_p(p, "holm")
    table = table.astype(TABLE_COLUMNS)
    point = _point(spec.get("point"), factors)
    summary = {
        **header,
        "status": "ok",
        "reason": "",
        "coding": [
            {"name": f.name, "coding": f.coding, "centre": f.centre, "scale": f.scale}
            for f in factors
        ],
        "coded_on": str(spec.get("coded_on", EXPERIMENT)),
        "samples": {arm.key: _describe(arm) for arm in (hub_arm, own_arm)},
        "not_comparable": {
            str(row["term"]): str(row["reason"]) for row in rows if not row["comparable"]
        },
        "point": point,
        "slopes": _slopes(hub_arm, own_arm, point["values"], level),
        "joint": _joint(functions, hub_arm, own_arm),
        "signs": _signs(table),
    }
    for entry in summary["slopes"]:
        within = {
            arm.key: arm.ranges[entry["factor"]][0]
            <= point["values"][entry["factor"]]
            <= arm.ranges[entry["factor"]][1]
            for arm in (hub_arm, own_arm)
        }
        entry["inside"] = within
    summary["statements"] = _statements(summary)
    return table, summary


# Samples ----------------------------------------------------------------------------------------


def _usable(frame: pd.DataFrame, wanted: regression.Specification) -> pd.DataFrame:
    """Rows with a finite metric and factors (positive where coded by logarithm)."""
    left = frame
    for name in (wanted.metric, *wanted.codings):
        if name not in left:
            return left.iloc[:0]
        numbers = pd.to_numeric(left[name], errors="coerce").astype("float64")
        usable = np.isfinite(numbers)
        if wanted.codings.get(name, {}).get("coding") == "log":
            usable &= numbers > 0
        left = left.assign(**{name: numbers})[usable]
    # Order must not matter, down to the last bit.
    return left.sort_values("id", kind="stable") if "id" in left else left


def _ranges(rows: pd.DataFrame, wanted: regression.Specification) -> dict[str, tuple[float, float]]:
    if rows.empty:
        return {}
    return {name: (float(rows[name].min()), float(rows[name].max())) for name in wanted.codings}


def _inside(rows: pd.DataFrame, ranges: Mapping[str, tuple[float, float]]) -> NDArray[np.bool_]:
    inside = np.ones(len(rows), dtype=bool)
    for name, (low, high) in ranges.items():
        if name in rows:
            values = rows[name].to_numpy(dtype=float)
            inside &= (values >= low * (1 - 1e-9)) & (values <= high * (1 + 1e-9))
    return inside


def _common_coding(
    samples: Mapping[str, pd.DataFrame], wanted: regression.Specification, coded_on: str
) -> tuple[Factor, ...]:
    if coded_on not in (HUB, EXPERIMENT, "both"):
        raise UserError(
            f"got {coded_on!r}", where="contrast.coded_on", expected="experiment, hub or both"
        )
    chosen = [rows for key, rows in samples.items() if coded_on in (key, "both")]
    factors = []
    for name, described in wanted.codings.items():
        coding: Coding = described.get("coding", "linear")
        if "scale" in described:
            centre = float(described.get("centre", 0.0))
            factors.append(Factor(name, coding, centre, float(described["scale"])))
        else:
            values = np.concatenate([rows[name].to_numpy(dtype=float) for rows in chosen])
            factors.append(code_factor(name, values, coding))
    return tuple(factors)


def _fit_arm(
    key: str,
    label: str,
    rows: pd.DataFrame,
    factors: Sequence[Factor],
    wanted: regression.Specification,
) -> Arm:
    fit = fit_surface(
        {f.name: rows[f.name].to_numpy(dtype=float) for f in factors},
        rows[wanted.metric].to_numpy(dtype=float),
        factors,
        degree=wanted.degree,
        link=wanted.link,
    )
    span = np.zeros((fit.rank, len(fit.columns)))
    span[np.arange(fit.rank), list(fit.kept)] = 1.0
    for name, combination in fit.aliased.items():
        for other, weight in combination.items():
            at = fit.position(other)
            if at is not None:
                span[at, fit.columns.index(name)] = weight
    return Arm(
        key,
        label,
        fit,
        span,
        inference.covariance(fit, "cr3", _clusters(rows, wanted.cluster)),
        inference.covariance(fit, "classical"),
        key == HUB,
        _ranges(rows, wanted),
    )


def _clusters(rows: pd.DataFrame, column: str) -> list[str]:
    """Cluster labels; a row without one is a cluster of its own."""
    labels = rows[column] if column in rows else [None] * len(rows)
    return [
        value if isinstance(value, str) and value else f"(row {i})"
        for i, value in enumerate(labels)
    ]


def _describe(arm: Arm) -> dict[str, Any]:
    fit = arm.fit
    lack = inference.lack_of_fit(fit)
    return {
        "label": arm.label,
        "n": fit.n,
        "clusters": arm.robust.clusters,
        "rank": fit.rank,
        "terms": len(fit.terms),
        "df_residual": fit.df_residual,
        "r2": fit.r2,
        "sigma": fit.sigma,
        "aliased": {name: alias_text(by) for name, by in fit.aliased.items()},
        "ranges": {name: list(span) for name, span in arm.ranges.items()},
        "lack_of_fit": {"f": lack.f, "p": lack.p, "df_pure": lack.df_pure, "reason": lack.reason},
        "robust_reason": arm.robust.reason,
        "no_robust_error": sorted(arm.robust.blocking),
    }


# Terms ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Compared:
    """A combination of coefficients that both samples determine, or why there is none."""

    function: Array | None
    reason: str


def _comparable(hub: Arm, own: Arm) -> dict[str, _Compared]:
    columns = own.fit.columns
    result: dict[str, _Compared] = {}
    for j, name in enumerate(columns):
        lost = [arm for arm in (hub, own) if arm.fit.position(name) is None]
        if lost:
            reason = "; ".join(
                f"{arm.label} cannot estimate it: it equals "
                f"{alias_text(arm.fit.aliased[name])} there"
                for arm in lost
            )
            result[name] = _Compared(None, reason)
            continue
        alone = np.zeros(len(columns))
        alone[j] = 1.0
        meant = [arm.span[arm.fit.position(name) or 0] for arm in (hub, own)]
        function = next((f for f in (alone, *meant) if hub.estimable(f) and own.estimable(f)), None)
        if function is None:
            mixed = [
                f"in {arm.label} it stands for {_function_text(f, columns, name)}"
                for arm, f in zip((hub, own), meant, strict=True)
                if not arm.estimable(alone)
            ]
            reason = "; ".join(mixed) + ", which the other sample cannot estimate"
            result[name] = _Compared(None, reason)
        else:
            result[name] = _Compared(function, "")
    return result


def _function_text(function: Array, columns: Sequence[str], term: str) -> str:
    """A term and what comes with it, e.g. ``a + 0.5 b^2``."""
    others = {
        c: float(w) for c, w in zip(columns, function, strict=True) if abs(w) > 1e-9 and c != term
    }
    if not others:
        return term
    text = alias_text(others)
    return f"{term} {text}" if text.startswith("-") else f"{term} + {text}"


def _row(term: Term, compared: _Compared, hub: Arm, own: Arm, level: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "term": term.name,
        "kind": term.kind,
        "comparable": compared.function is not None,
        "reason": compared.reason,
        "compared": "",
    }
    if compared.function is None:
        for arm in (hub, own):
            if arm.fit.position(term.name) is not None:
                alone = np.array([float(c == term.name) for c in arm.fit.columns])
                row |= _prefixed(arm.key, arm.estimate(alone, level))
        return row
    function = compared.function
    if np.count_nonzero(np.abs(function) > 1e-9) > 1:
        row["compared"] = _function_text(function, own.fit.columns, term.name)
    one, two = hub.estimate(function, level), own.estimate(function, level)
    gap = difference(one, two, level)
    pooled = combine((one.value, one.se), (two.value, two.se), level)
    return {
        **row,
        **_prefixed(HUB, one),
        **_prefixed(EXPERIMENT, two),
        "difference": gap.value,
        "se_difference": gap.se,
        "df": gap.df,
        "t": gap.t,
        "p": gap.p,
        "ci_low": gap.ci_low,
        "ci_high": gap.ci_high,
        "detectable_difference": gap.detectable,
        "same_sign": bool(np.sign(one.value) == np.sign(two.value)),
        "both_clear": _clear(one) and _clear(two),
        "tau": pooled.tau,
        "i2": pooled.i2,
        "combined": pooled.value,
        "combined_se": pooled.se,
        "combined_ci_low": pooled.ci_low,
        "combined_ci_high": pooled.ci_high,
        "hub_shrunk": pooled.shrunk[0],
        "experiment_shrunk": pooled.shrunk[1],
    }


def _prefixed(key: str, found: Estimate) -> dict[str, Any]:
    return {
        f"{key}_estimate": found.value,
        f"{key}_se": found.se,
        f"{key}_df": found.df,
        f"{key}_ci_low": found.ci_low,
        f"{key}_ci_high": found.ci_high,
        f"{key}_p": found.p,
        f"{key}_error": found.error,
    }


def _clear(found: Estimate) -> bool:
    """Whether the interval leaves out 0."""
    return bool(found.ci_low > 0 or found.ci_high < 0)


def difference(hub: Estimate, experiment: Estimate, level: float = 0.95) -> Difference:
    """Experiment minus hub. The samples are independent: variances add, and Welch gives the df."""
    value = experiment.value - hub.value
    one, two = hub.se**2, experiment.se**2
    total = one + two
    nan = float("nan")
    if not (np.isfinite(total) and total > 0 and hub.df > 0 and experiment.df > 0):
        return Difference(value, nan, nan, nan, nan, nan, nan, nan)
    df = total**2 / (one**2 / hub.df + two**2 / experiment.df)
    se = float(np.sqrt(total))
    t, p, low, high = inference.t_tests(np.array([value]), np.array([se]), df, level)
    detectable = inference.detectable_effect([se], df, 1 - level)
    return Difference(
        value, se, df, float(t[0]), float(p[0]), float(low[0]), float(high[0]), float(detectable[0])
    )


def combine(one: tuple[float, float], two: tuple[float, float], level: float = 0.95) -> Combination:
    """Inverse-variance mean of two (value, standard error) with their heterogeneity.

    tau^2 is DerSimonian and Laird's moment estimate, for two samples
    ``max(0, ((b2 - b1)^2 - v1 - v2) / 2)``; weights are ``1 / (v + tau^2)``. Each estimate is
    shrunk towards the mean by its share ``v / (v + tau^2)`` of sampling error: fully when the two
    agree within their errors. Intervals use the normal distribution.
    """
    values = np.array([one[0], two[0]])
    variances = np.array([one[1], two[1]]) ** 2
    nan = float("nan")
    if not bool(np.all(np.isfinite(variances)) and np.all(variances > 0)):
        return Combination(nan, nan, nan, nan, nan, nan, (nan, nan))
    gap = float((values[1] - values[0]) ** 2)
    total = float(variances.sum())
    tau2 = max(0.0, (gap - total) / 2)
    weights = 1 / (variances + tau2)
    mean = float(weights @ values / weights.sum())
    se = float(1 / np.sqrt(weights.sum()))
    shrunk = mean + tau2 / (variances + tau2) * (values - mean)
    half = float(stats.norm.ppf(0.5 + level / 2)) * se
    return Combination(
        float(np.sqrt(tau2)),
        max(0.0, 1 - total / gap) if gap > 0 else 0.0,
        mean,
        se,
        mean - half,
        mean + half,
        (float(shrunk[0]), float(shrunk[1])),
    )


# Joint statements -------------------------------------------------------------------------------


def _joint(functions: Mapping[str, _Compared], hub: Arm, own: Arm) -> dict[str, Any]:
    """Wald test that all comparable terms but the intercept are equal in both samples.

    Terms whose cluster-robust error does not exist in the hub (they rest on one cluster) are left
    out. Scaled after Kenward and Roger, see `two_sample_wald`.
    """
    tested: list[str] = []
    left_out: dict[str, str] = {}
    kinds = {term.name: term.kind for term in own.fit.terms}
    for name, compared in functions.items():
        if compared.function is None or kinds[name] == "intercept":
            continue
        if hub.has_robust(np.abs(compared.function[list(hub.fit.kept)]) > 0):
            tested.append(name)
        else:
            left_out[name] = f"no cluster-robust error in {hub.label}"
    rows = [functions[name].function for name in tested]
    if rows:
        stacked = np.vstack([row for row in rows if row is not None])
        kept = find_aliases(stacked.T).kept
        for i, name in enumerate(tested):
            if i not in kept:
                left_out[name] = "a combination of other compared terms"
        tested = [tested[i] for i in kept]
        stacked = stacked[list(kept)]
    result: dict[str, Any] = {
        "tested": tested,
        "left_out": left_out,
        "covariance": {HUB: "cr3", EXPERIMENT: "cr3"},
        "df1": len(tested),
        "df2": None,
        "f": None,
        "p": None,
        "reason": "",
    }
    if not tested:
        return {**result, "reason": "no term has an error in both samples"}
    at_hub, at_own = stacked[:, list(hub.fit.kept)], stacked[:, list(own.fit.kept)]
    second = own.robust if own.has_robust(np.any(np.abs(at_own) > 0, axis=0)) else own.classical
    result["covariance"][EXPERIMENT] = second.kind
    if second.df < 1:
        return {**result, "reason": f"{own.label} leaves no degrees of freedom"}
    gap = at_own @ own.fit.kept_coef - at_hub @ hub.fit.kept_coef
    parts = [
        (_sandwich(at_hub, hub.robust.matrix), hub.robust.df, False),
        (_sandwich(at_own, second.matrix), second.df, second.kind == "classical"),
    ]
    f, df2 = two_sample_wald(gap, parts)
    if not np.isfinite(f):
        reason = f"{len(tested)} terms cannot be tested jointly with so few clusters and runs"
        return {**result, "reason": reason}
    return {**result, "df2": df2, "f": f, "p": float(stats.f.sf(f, len(tested), df2))}


def _sandwich(rows: Array, matrix: Array) -> Array:
    """Covariance of combinations; columns without a weight may be without a variance."""
    used = np.any(np.abs(rows) > 0, axis=0)
    return np.asarray(rows[:, used] @ matrix[np.ix_(used, used)] @ rows[:, used].T, dtype=float)


def two_sample_wald(gap: Array, parts: Sequence[tuple[Array, float, bool]]) -> tuple[float, float]:
    """Scaled Wald statistic of a difference whose covariance is a sum of estimated ones.

    Kenward and Roger's scale and degrees of freedom, from the variances that the estimated
    covariances have: exact for one sample (Hotelling's T^2, or the F of a linear model), and
    Welch's for one term.

    Args:
        gap: (q,), the differences.
        parts: of each sample the covariance (q, q), its degrees of freedom, and whether it is a
            known matrix times one estimated variance (classical) instead of estimated throughout.

    Returns:
        F and its second degrees of freedom (the first are q); nan when the covariance is singular
        or rests on too few degrees of freedom.
    """
    nothing = (float("nan"), float("nan"))
    q = gap.shape[0]
    total = np.sum([matrix for matrix, _, _ in parts], axis=0)
    unit = np.sqrt(np.diag(total))
    if not bool(np.all(np.isfinite(unit) & (unit > 0))):
        return nothing
    scaled = total / np.outer(unit, unit)
    if np.linalg.matrix_rank(scaled, hermitian=True) < q:
        return nothing
    wald = float((gap / unit) @ np.linalg.solve(scaled, gap / unit)) / q
    # With E the relative error of the covariance: Var(tr E), and the expectation of tr E^2.
    of_trace, of_square = 0.0, 0.0
    for matrix, df, one_variance in parts:
        share = np.linalg.solve(scaled, matrix / np.outer(unit, unit))
        trace, square = float(np.trace(share)), float(np.trace(share @ share))
        of_trace += 2 * (trace**2 if one_variance else square) / df
        of_square += (2 * square if one_variance else square + trace**2) / df
    b = (of_trace + 6 * of_square) / (2 * q)
    g = ((q + 1) * of_trace - (q + 4) * of_square) / ((q + 2) * of_square)
    c1, c2, c3 = (np.array([g, q - g, q + 2 - g]) / (3 * q + 2 * (1 - g))).tolist()
    if min(1 - of_square / q, 1 - c2 * b, 1 - c3 * b) <= 0:
        return nothing
    mean = 1 / (1 - of_square / q)
    variance = 2 / q * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b))
    excess = q * variance / (2 * mean**2) - 1
    if excess <= 0:
        return nothing
    df2 = 4 + (q + 2) / excess
    return wald * df2 / (mean * (df2 - 2)), df2


def _point(raw: Any, factors: Sequence[Factor]) -> dict[str, Any]:
    """The named point where slopes are compared."""
    centre = {f.name: float(f.decode(0.0)) for f in factors}
    if not raw:
        return {"name": "centre of the coding", "values": centre}
    values = {k: float(v) for k, v in dict(raw.get("values") or {}).items() if k in centre}
    missing = [name for name in centre if name not in values]
    if missing:
        raise UserError(
            f"no value of {', '.join(missing)}",
            where="contrast.point.values",
            expected=f"one for each of {', '.join(centre)}",
        )
    return {"name": str(raw.get("name", "named point")), "values": values}


def _slopes(hub: Arm, own: Arm, point: Mapping[str, float], level: float) -> list[dict[str, Any]]:
    """Slope of each factor at a point: for a doubling (log coding) or for one unit."""
    every = replace(own.fit, kept=tuple(range(len(own.fit.columns))))
    result = []
    for factor, gradient in zip(own.fit.factors, gradient_rows(every, point), strict=True):
        step = np.log(2.0) if factor.coding == "log" else 1.0
        function = gradient * step / factor.scale
        lost = [arm.label for arm in (hub, own) if not arm.estimable(function)]
        entry: dict[str, Any] = {
            "factor": factor.name,
            "per": "doubling" if factor.coding == "log" else "unit",
            "comparable": not lost,
            "reason": f"{' and '.join(lost)} cannot estimate it" if lost else "",
        }
        for arm in (hub, own):
            if arm.estimable(function):
                entry |= _prefixed(arm.key, arm.estimate(function, level))
        if not lost:
            gap = difference(hub.estimate(function, level), own.estimate(function, level), level)
            entry |= {
                "difference": gap.value,
                "se_difference": gap.se,
                "p": gap.p,
                "detectable_difference": gap.detectable,
            }
        result.append(entry)
    return result


def _signs(table: pd.DataFrame) -> dict[str, int]:
    """How many compared terms but the intercept agree in sign."""
    compared = table[table["comparable"] & (table["kind"] != "intercept")]
    clear = compared[compared["both_clear"].fillna(False).astype(bool)]
    return {
        "compared": len(compared),
        "same": int(compared["same_sign"].sum()),
        "clear": len(clear),
        "clear_same": int(clear["same_sign"].sum()),
    }


def _nothing(header: dict[str, Any], reason: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    empty = pd.DataFrame({c: pd.Series(dtype=t) for c, t in TABLE_COLUMNS.items()})
    said = f"the two samples cannot be compared: {reason}"
    return empty, {**header, "status": "not_fitted", "reason": reason, "statements": [said]}


# Words ------------------------------------------------------------------------------------------


def _statements(summary: Mapping[str, Any]) -> list[str]:
    """What the Hub suggests and what the experiment finds, from the numbers alone."""
    hub, own = summary["samples"][HUB], summary["samples"][EXPERIMENT]
    said = [
        f"{hub['label']}: {hub['n']} models in {hub['clusters']} clusters; {own['label']}: "
        f"{own['n']} runs of {own['clusters']} configurations; "
        f"{summary['hub_rows_inside_experiment']} of {summary['hub_rows']} published models lie "
        "within the experiment's ranges"
    ]
    if not summary["restricted"] and 2 * summary["hub_rows_inside_experiment"] < hub["n"]:
        said.append(
            f"{hub['label']} answers here from a surface that most of its models lie outside of: "
            "where the two differ, its curvature elsewhere may be why"
        )
    point = ", ".join(f"{name} {value:.4g}" for name, value in summary["point"]["values"].items())
    place = f"{summary['point']['name']} ({point})"
    said += [_slope_statement(slope, summary, place) for slope in summary["slopes"]]
    for term, reason in summary["not_comparable"].items():
        said.append(f"{term} is not compared: {reason}")
    signs = summary["signs"]
    if signs["compared"]:
        text = f"{signs['same']} of {signs['compared']} compared terms agree in sign"
        if signs["clear"]:
            text += f"; of the {signs['clear']} clear in both samples, {signs['clear_same']}"
        said.append(text)
    joint = summary["joint"]
    if joint["p"] is None:
        said.append(f"no joint test: {joint['reason']}")
    else:
        verdict = (
            "the two samples differ by more than their errors"
            if joint["p"] < 1 - summary["level"]
            else "no difference shown, which is not proof of agreement"
        )
        said.append(
            f"all {joint['df1']} compared terms together: F({joint['df1']}, {joint['df2']:.1f}) = "
            f"{joint['f']:.2f}, {_p_text(joint['p'])}: {verdict}"
        )
    return said


def _slope_statement(slope: Mapping[str, Any], summary: Mapping[str, Any], place: str) -> str:
    step = "doubling" if slope["per"] == "doubling" else "one more unit of"
    metric = (
        summary["metric"]
        if summary["link"] == "identity"
        else (f"{summary['link']} {summary['metric']}")
    )
    opening = f"{step} {slope['factor']} at {place}"
    parts = []
    for key, verb in ((HUB, "suggests"), (EXPERIMENT, "finds")):
        label = summary["labels"][key]
        if f"{key}_estimate" not in slope:
            parts.append(f"{label} says nothing, as it cannot estimate it")
            continue
        value, low, high = (slope[f"{key}_{w}"] for w in ("estimate", "ci_low", "ci_high"))
        text = f"{label} {verb} {value:+.4f} {metric}"
        if np.isfinite(low):
            clear = "" if low > 0 or high < 0 else ", no clear effect"
            text += f" ({100 * summary['level']:.0f}% CI {low:+.4f} to {high:+.4f}{clear})"
        else:
            text += " (no error can be given)"
        if slope[f"{key}_error"] == "classical":
            text += " (classical error: no cluster-robust one exists)"
        if not slope["inside"][key]:
            text += " (extrapolated)"
        parts.append(text)
    text = f"{opening}: {', '.join(parts)}"
    if slope.get("p") is not None and np.isfinite(slope["p"]):
        text += f"; difference {slope['difference']:+.4f}, {_p_text(slope['p'])}"
    return text


def _p_text(p: float) -> str:
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.4f}"

"""Inference and diagnostics for a fitted surface whose rows come in clusters.

Everything works on the estimated columns of a `SurfaceFit`, through the thin factor Q of its
weighted design, so aliased terms never enter and units never matter.

Sources: MacKinnon, Nielsen and Webb, J. Econometrics 232 (2023), for the cluster jackknife CR3
and the restricted wild cluster bootstrap; Long and Ervin, Am. Stat. 54 (2000), for HC3; Holm
(1979), Benjamini and Hochberg (1995), Benjamini and Yekutieli (2001); Koenker (1981) for the
studentised Breusch-Pagan test; Tipton and Pustejovsky (2015) for Hotelling-scaled Wald tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from tunescape.errors import UserError
from tunescape.surface import INTERCEPT, SurfaceFit, invert_link

Array = NDArray[np.float64]
Labels = Sequence[str] | NDArray[np.str_]
Kind = Literal["classical", "hc3", "cr3"]
Resampling = Literal["clusters", "residuals"]

# Eigenvalues of I - Q_g'Q_g lie in [0, 1]; at 0 the deletion of cluster g loses a column.
_SINGULAR = 1e-10
_CHUNK = 1000


@dataclass(frozen=True)
class Covariance:
    """A covariance of the estimated coded coefficients.

    Attributes:
        matrix: (kept, kept); nan in the rows and columns of terms without a variance.
        df: degrees of freedom for t quantiles.
        exists: per estimated column.
        blocking: term -> clusters (or rows) whose deletion leaves the term undetermined.
        reason: why it is missing for some or all terms, empty when it is there.
    """

    kind: Kind
    matrix: Array
    df: float
    clusters: int
    exists: NDArray[np.bool_]
    blocking: dict[str, tuple[str, ...]]
    reason: str


@dataclass(frozen=True)
class Jackknife:
    """Leave-one-cluster-out fits without refitting.

    Attributes:
        labels: cluster names, sorted.
        codes: cluster index of each row.
        shifts: (clusters, kept), full-sample minus leave-out coefficients in the basis Q.
        determined: (clusters, kept), whether the deletion still determines each coefficient.
        full_rank: (clusters,), whether the deletion keeps every column.
    """

    labels: tuple[str, ...]
    codes: NDArray[np.int64]
    shifts: Array
    determined: NDArray[np.bool_]
    full_rank: NDArray[np.bool_]


def _codes(labels: Labels, n: int) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    text = np.asarray([str(label) for label in labels])
    if text.shape[0] != n:
        raise UserError(
            f"{text.shape[0]} cluster labels for {n} rows",
            where="clusters",
            expected="one label a row",
            fix="align the labels with the rows",
        )
    names, codes = np.unique(text, return_inverse=True)
    return tuple(names.tolist()), np.asarray(codes, dtype=np.int64)


def _sum_by(codes: NDArray[np.int64], rows: Array, clusters: int) -> Array:
    """Sums of `rows` (n, ...) by cluster, shape (clusters, ...)."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(clusters))
    return np.asarray(np.add.reduceat(rows[order], starts, axis=0), dtype=float)


def _moments(q: Array, codes: NDArray[np.int64], clusters: int) -> Array:
    """Q_g'Q_g for each cluster of the rows `q` (n, p), shape (clusters, p, p)."""
    p = q.shape[1]
    order = np.argsort(codes, kind="stable")
    if clusters == q.shape[0]:
        return q[order, :, None] * q[order, None, :]
    result = np.empty((clusters, p, p))
    bounds = np.searchsorted(codes[order], np.arange(clusters + 1))
    for g in range(clusters):
        block = q[order[bounds[g] : bounds[g + 1]]]
        result[g] = block.T @ block
    return result


def jackknife(fit: SurfaceFit, labels: Labels) -> Jackknife:
    """All leave-one-cluster-out coefficients, from the full fit's Q and residuals.

    With an orthonormal basis the leave-out shift is ``(I - Q_g'Q_g)^-1 Q_g'e_g``. Where that
    matrix is singular, coefficients that the remaining rows still determine keep their shift
    (pseudo-inverse) and the others are marked.
    """
    names, codes = _codes(labels, fit.n)
    count, p = len(names), fit.rank
    root = np.sqrt(fit.weights)
    scores = _sum_by(codes, fit.q * (root * fit.residuals)[:, None], count)
    # A coefficient is lost where its functional (a row of R^-1) meets the lost directions.
    functionals = fit.r_inverse / np.linalg.norm(fit.r_inverse, axis=1, keepdims=True)
    shifts, lost = np.zeros((count, p)), np.zeros((count, p))
    full_rank = np.ones(count, dtype=bool)
    # A cluster of one row has one eigenvalue besides 1, 1 - leverage, along the row itself.
    single = np.bincount(codes, minlength=count) == 1
    own = np.argsort(codes, kind="stable")[np.searchsorted(np.sort(codes), np.flatnonzero(single))]
    q, free = fit.q[own], 1 - np.sum(fit.q[own] ** 2, axis=1)
    alive = free > _SINGULAR
    shifts[single] = scores[single] * (alive / np.where(alive, free, 1.0))[:, None]
    full_rank[single] = alive
    lost[single] = np.abs(q @ functionals.T) * ~alive[:, None]
    several = ~single
    if several.any():
        rows = several[codes]
        place = np.cumsum(several) - 1
        moments = _moments(fit.q[rows], place[codes[rows]], int(several.sum()))
        values, vectors = np.linalg.eigh(np.eye(p) - moments)
        here = values > _SINGULAR
        inverse = np.where(here, 1 / np.where(here, values, 1.0), 0.0)
        rotated = np.einsum("gkj,gk->gj", vectors, scores[several])
        shifts[several] = np.einsum("gij,gj->gi", vectors, inverse * rotated)
        full_rank[several] = here.all(axis=1)
        overlap = np.einsum("ji,gik->gjk", functionals, vectors)
        lost[several] = np.max(np.abs(overlap) * ~here[:, None, :], axis=2, initial=0.0)
    return Jackknife(names, codes, shifts, lost < 1e-6, full_rank)


def covariance(fit: SurfaceFit, kind: Kind, labels: Labels | None = None) -> Covariance:
    """Covariance of the estimated coefficients.

    ``classical``: sigma^2 (X'WX)^-1 with the residual df. ``hc3``: leave-one-row-out, residual
    df. ``cr3``: leave-one-cluster-out, ``(G - 1) / G`` times the squared shifts about the full
    estimate, G - 1 df. A term that some deletion leaves undetermined has no such variance.

    Raises:
        UserError: unknown kind, or ``cr3`` without labels.
    """
    p = fit.rank
    if kind == "classical":
        there = fit.df_residual > 0
        return Covariance(
            kind,
            fit.covariance,
            float(fit.df_residual),
            fit.n,
            np.full(p, there),
            {},
            "" if there else f"{fit.n} rows for {p} estimated terms leave no residual df",
        )
    if kind not in ("hc3", "cr3"):
        raise UserError(
            f"unknown covariance {kind!r}",
            where="covariance",
            expected="classical, hc3 or cr3",
            fix="name one of the three",
        )
    if kind == "hc3":
        width = len(str(fit.n))
        labels = [f"row {i + 1:0{width}d}" for i in range(fit.n)]
    elif labels is None:
        raise UserError(
            "cr3 needs clusters", where="covariance", expected="one label a row", fix="pass labels"
        )
    found = jackknife(fit, labels)
    count = len(found.labels)
    if count < 2 or (kind == "hc3" and fit.df_residual < 1):
        reason = (
            "all rows belong to one cluster: between-cluster variance cannot be estimated"
            if kind == "cr3"
            else f"{fit.n} rows for {p} estimated terms leave no residual df"
        )
        return Covariance(
            kind, np.full((p, p), np.nan), float(count - 1), count, np.zeros(p, bool), {}, reason
        )
    shifts = found.shifts @ fit.r_inverse.T
    matrix = shifts.T @ shifts
    df = float(fit.df_residual)
    if kind == "cr3":
        matrix *= (count - 1) / count
        df = float(count - 1)
    exists = np.asarray(found.determined.all(axis=0))
    matrix[~exists, :] = np.nan
    matrix[:, ~exists] = np.nan
    blocking = {
        name: tuple(found.labels[g] for g in np.flatnonzero(~found.determined[:, j]))
        for j, name in enumerate(fit.kept_names)
        if not exists[j]
    }
    reason = ""
    if blocking:
        unit = "row" if kind == "hc3" else "cluster"
        culprits = sorted({label for group in blocking.values() for label in group})
        reason = (
            f"{kind.upper()} does not exist for {len(blocking)} of {p} terms: leaving out any of "
            f"{len(culprits)} {unit}(s) makes the design rank-deficient"
        )
    return Covariance(kind, np.asarray(matrix), df, count, exists, blocking, reason)


def whole(fit: SurfaceFit, cov: Covariance) -> bool:
    """Whether the intercept and every estimated term have a variance, effects aside."""
    terms = [i for i, j in enumerate(fit.kept) if j >= fit.n_effects]
    return cov.df > 0 and bool(cov.exists[terms].all())


def surface_covariance(fit: SurfaceFit, labels: Labels) -> Covariance:
    """CR3 where the intercept and every term have one, else the classical covariance.

    Levels of effects without a variance get 0: predictions are at their reference level, where
    they have no part.
    """
    found = covariance(fit, "cr3", labels)
    if not whole(fit, found):
        return covariance(fit, "classical")
    return replace(found, matrix=np.nan_to_num(found.matrix, nan=0.0))


@dataclass(frozen=True)
class TermTests:
    """Two-sided t tests of each column of a fit; nan where aliased or without a variance."""

    terms: tuple[str, ...]
    estimate: Array
    se: Array
    t: Array
    p: Array
    ci_low: Array
    ci_high: Array
    df: float
    level: float


def _spread(fit: SurfaceFit, kept_values: Array) -> Array:
    full = np.full(len(fit.columns), np.nan)
    full[list(fit.kept)] = kept_values
    return full


def t_tests(estimate: Array, se: Array, df: float, level: float = 0.95) -> tuple[Array, ...]:
    """t, two-sided p, lower and upper limit for estimates with standard errors."""
    if df <= 0:
        nothing = np.full_like(estimate, np.nan)
        return nothing, nothing, nothing, nothing
    with np.errstate(divide="ignore", invalid="ignore"):
        t = estimate / se
    half = float(stats.t.ppf(0.5 + level / 2, df)) * se
    p = np.asarray(2 * stats.t.sf(np.abs(t), df), dtype=float)
    return t, p, estimate - half, estimate + half


def term_tests(fit: SurfaceFit, cov: Covariance, level: float = 0.95) -> TermTests:
    """Test every coded coefficient against 0."""
    se = _spread(fit, np.sqrt(np.diag(cov.matrix)))
    t, p, low, high = t_tests(fit.coef, se, cov.df, level)
    return TermTests(fit.columns, fit.coef, se, t, p, low, high, cov.df, level)


def term_groups(fit: SurfaceFit) -> dict[str, tuple[str, ...]]:
    """Terms to be tested jointly: ``order:linear`` ..., ``factor:NAME``, and ``model``."""
    groups: dict[str, list[str]] = {}
    for term in fit.terms:
        if term.order == 0:
            continue
        groups.setdefault("model", []).append(term.name)
        groups.setdefault(f"order:{term.kind}", []).append(term.name)
        for factor, power in zip(fit.factors, term.powers, strict=True):
            if power:
                groups.setdefault(f"factor:{factor.name}", []).append(term.name)
    return {name: tuple(terms) for name, terms in groups.items()}


@dataclass(frozen=True)
class JointTest:
    """A joint test that all `tested` terms are 0; `reason` says why `p` is nan."""

    name: str
    tested: tuple[str, ...]
    df1: int
    df2: float
    f: float
    p: float
    partial_r2: float
    reason: str


def joint_test(fit: SurfaceFit, cov: Covariance, name: str, terms: Sequence[str]) -> JointTest:
    """Wald F test. With a cluster covariance the statistic is scaled as Hotelling's T^2,
    ``F = W (v - q + 1) / (v q)`` on (q, v - q + 1) df with v = G - 1, because CR3 is itself
    estimated on v df. Aliased terms are left out. Partial R2 is the classical one.
    """
    at = [i for i in (fit.position(t) for t in terms) if i is not None]
    tested = tuple(fit.kept_names[i] for i in at)
    q = len(at)
    nan = float("nan")
    if not at:
        return JointTest(name, tested, 0, nan, nan, nan, nan, "all terms are aliased")
    b = fit.kept_coef[at]
    unscaled = (fit.r_inverse @ fit.r_inverse.T)[np.ix_(at, at)]
    gain = float(b @ np.linalg.solve(unscaled, b))
    partial = gain / (gain + fit.rss) if gain + fit.rss > 0 else nan
    if not bool(cov.exists[at].all()):
        return JointTest(name, tested, q, nan, nan, nan, partial, cov.reason)
    df2 = cov.df if cov.kind != "cr3" else cov.df - q + 1
    if df2 <= 0:
        reason = f"{q} terms cannot be tested jointly on {cov.df:.0f} degrees of freedom"
        return JointTest(name, tested, q, df2, nan, nan, partial, reason)
    block = cov.matrix[np.ix_(at, at)]
    unit = np.sqrt(np.diag(block))
    if not bool(np.all(unit > 0)):
        return JointTest(name, tested, q, df2, nan, nan, partial, "no residual variance")
    scaled = block / np.outer(unit, unit)
    if np.linalg.matrix_rank(scaled, hermitian=True) < q:
        reason = "the covariance of these terms is singular: too few clusters move them"
        return JointTest(name, tested, q, df2, nan, nan, partial, reason)
    wald = float((b / unit) @ np.linalg.solve(scaled, b / unit))
    f = wald / q * (df2 / cov.df if cov.kind == "cr3" else 1.0)
    return JointTest(name, tested, q, df2, f, float(stats.f.sf(f, q, df2)), partial, "")


def joint_tests(fit: SurfaceFit, cov: Covariance) -> list[JointTest]:
    """Joint tests of every group of `term_groups`."""
    return [joint_test(fit, cov, name, terms) for name, terms in term_groups(fit).items()]


def adjust_p(p: ArrayLike, method: Literal["holm", "bh", "by"]) -> Array:
    """Adjusted p-values over one family; nan entries are not members and stay nan."""
    values = np.asarray(p, dtype=float)
    result = np.full_like(values, np.nan)
    member = np.flatnonzero(np.isfinite(values))
    m = member.size
    if m == 0:
        return result
    order = member[np.argsort(values[member], kind="stable")]
    ranked = values[order]
    rank = np.arange(1, m + 1)
    if method == "holm":
        adjusted = np.maximum.accumulate(ranked * (m - rank + 1))
    elif method in ("bh", "by"):
        factor = float(np.sum(1 / rank)) if method == "by" else 1.0
        adjusted = np.minimum.accumulate((ranked * m * factor / rank)[::-1])[::-1]
    else:
        raise UserError(f"unknown method {method!r}", where="multiplicity", expected="holm, bh, by")
    result[order] = np.minimum(adjusted, 1.0)
    return result


def detectable_effect(se: ArrayLike, df: float, alpha: float = 0.05, power: float = 0.8) -> Array:
    """Smallest true coefficient that a two-sided test at `alpha` finds with `power`."""
    unit = np.asarray(se, dtype=float)
    if df <= 0:
        return np.full_like(unit, np.nan)
    return np.asarray(unit * (stats.t.ppf(1 - alpha / 2, df) + stats.t.ppf(power, df)))


def equivalence_bound(estimate: ArrayLike, se: ArrayLike, df: float, alpha: float = 0.05) -> Array:
    """Smallest margin within which two one-sided tests at `alpha` place the coefficient."""
    unit = np.asarray(se, dtype=float)
    if df <= 0:
        return np.full_like(unit, np.nan)
    reach = float(stats.t.ppf(1 - alpha, df)) * unit
    return np.asarray(np.abs(np.asarray(estimate, dtype=float)) + reach)


@dataclass(frozen=True)
class LackOfFit:
    """Lack of fit against pure error; `reason` says why `p` is nan.

    ``noise_ceiling`` is the R2 of the model with one mean a setting: no model of these factors
    can do better on these rows.
    """

    settings: int
    replicated_rows: int
    df_lack: int
    df_pure: int
    ss_lack: float
    ss_pure: float
    f: float
    p: float
    noise_ceiling: float
    reason: str


def settings(design: Array, digits: int = 9) -> NDArray[np.int64]:
    """Index of each row's setting: equal coded rows (to `digits` decimals) share one."""
    rounded = np.round(design, digits) + 0.0
    return np.asarray(np.unique(rounded, axis=0, return_inverse=True)[1], dtype=np.int64).ravel()


def lack_of_fit(fit: SurfaceFit) -> LackOfFit:
    """Split the residual sum of squares into lack of fit and pure error by repeated settings."""
    codes = settings(fit.design)
    count = int(codes.max(initial=-1)) + 1
    w = fit.weights
    means = np.bincount(codes, w * fit.response) / np.bincount(codes, w)
    ss_pure = float(np.sum(w * (fit.response - means[codes]) ** 2))
    df_pure = fit.n - count
    df_lack = count - fit.rank
    ss_lack = max(fit.rss - ss_pure, 0.0)
    sizes = np.bincount(codes)
    ceiling = 1 - ss_pure / fit.tss if fit.tss > 0 and df_pure > 0 else float("nan")
    reason, f, p = "", float("nan"), float("nan")
    if df_pure < 1:
        reason = "no setting is repeated, so there is no pure error"
    elif df_lack < 1:
        reason = f"{count} distinct settings for {fit.rank} terms leave no lack of fit to test"
    elif ss_pure <= 0:
        reason = "repeated settings agree exactly: pure error is 0"
    else:
        f = (ss_lack / df_lack) / (ss_pure / df_pure)
        p = float(stats.f.sf(f, df_lack, df_pure))
    return LackOfFit(
        count,
        int(sizes[sizes > 1].sum()),
        df_lack,
        df_pure,
        ss_lack,
        ss_pure,
        f,
        p,
        ceiling,
        reason,
    )


@dataclass(frozen=True)
class HeldOut:
    """Prediction of rows by a fit without their cluster.

    ``r2`` compares with the mean of the other clusters' rows (0 through the origin), over the
    rows that the remaining clusters determine; the others are counted in ``undetermined``.
    ``clusters`` and ``rows`` count what was left out in turn, and residuals are nan elsewhere.
    """

    r2: float
    residuals: Array
    undetermined: int
    clusters: int
    clusters_undetermined: int
    rows: int


def held_out(fit: SurfaceFit, labels: Labels, scored: NDArray[np.bool_] | None = None) -> HeldOut:
    """Leave-one-cluster-out prediction (clusters of one row: PRESS), on the link scale.

    Rows that are not `scored` (rows,) always stay in the fit and are not predicted; no cluster
    may hold rows of both kinds.
    """
    found = jackknife(fit, labels)
    root = np.sqrt(fit.weights)
    shifted = np.einsum("ij,ij->i", fit.q, found.shifts[found.codes]) / root
    residuals = fit.residuals + shifted
    judged = np.ones(fit.n, dtype=bool) if scored is None else np.asarray(scored, dtype=bool)
    own = np.unique(found.codes[judged])
    lost = judged & ~found.full_rank[found.codes]
    good = judged & ~lost
    residuals = np.where(good, residuals, np.nan)
    w, y = fit.weights, fit.response
    if fit.intercept and len(found.labels) > 1:
        count = len(found.labels)
        rest = np.sum(w) - np.bincount(found.codes, w, count)
        mean = (np.sum(w * y) - np.bincount(found.codes, w * y, count)) / rest
        reference = y - mean[found.codes]
    else:
        reference = y
    base = float(np.sum(w[good] * reference[good] ** 2))
    usable = own.size > 1 and base > 0
    r2 = 1 - float(np.sum(w[good] * residuals[good] ** 2)) / base if usable else float("nan")
    return HeldOut(
        r2,
        residuals,
        int(lost.sum()),
        int(own.size),
        int((~found.full_rank[own]).sum()),
        int(judged.sum()),
    )


def press(fit: SurfaceFit) -> tuple[float, float]:
    """PRESS (weighted sum of squared leave-one-out residuals) and its R2, ``1 - PRESS / TSS``.

    nan when some row alone determines a term (leverage 1).
    """
    free = 1 - fit.leverage
    if bool(np.any(free < _SINGULAR)):
        return float("nan"), float("nan")
    value = float(np.sum(fit.weights * (fit.residuals / free) ** 2))
    return value, 1 - value / fit.tss if fit.tss > 0 else float("nan")


def variance_inflation(fit: SurfaceFit) -> dict[str, float]:
    """Variance inflation factor of each estimated column but the intercept, in coded units."""
    w = fit.weights[:, None]
    centre = np.sum(w * fit.design, axis=0) / np.sum(w) if fit.intercept else 0.0
    spread = np.sum(w * (fit.design - centre) ** 2, axis=0)
    inverse = np.sum(fit.r_inverse**2, axis=1)
    return {
        name: float(s * v)
        for name, s, v in zip(fit.kept_names, spread, inverse, strict=True)
        if name != INTERCEPT
    }


def cook_distance(fit: SurfaceFit, labels: Labels | None = None) -> Array:
    """Cook's distance of each row, or of each cluster (sorted labels); inf where undetermined."""
    if not fit.sigma2 > 0:
        count = fit.n if labels is None else len(set(map(str, labels)))
        return np.full(count, np.nan)
    if labels is None:
        free = np.maximum(1 - fit.leverage, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = (
                fit.weights * fit.residuals**2 * fit.leverage / (fit.rank * fit.sigma2 * free**2)
            )
        return np.where(free < _SINGULAR, np.inf, value)
    found = jackknife(fit, labels)
    value = np.sum(found.shifts**2, axis=1) / (fit.rank * fit.sigma2)
    return np.where(found.full_rank, value, np.inf)


def studentised_residuals(fit: SurfaceFit) -> Array:
    """Externally studentised residuals; nan where undefined."""
    free = 1 - fit.leverage
    df = fit.df_residual - 1
    if df < 1:
        return np.full(fit.n, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        square = fit.weights * fit.residuals**2
        left = (fit.rss - square / free) / df
        value = np.sqrt(fit.weights) * fit.residuals / np.sqrt(left * free)
    return np.where((free < _SINGULAR) | ~(left > 0), np.nan, value)


def breusch_pagan(fit: SurfaceFit) -> tuple[float, int, float]:
    """Koenker's studentised Breusch-Pagan test: (LM, df, p), nan where it cannot be computed."""
    df = fit.rank - int(fit.intercept)
    square = fit.weights * fit.residuals**2
    centred = square - square.mean()
    total = float(centred @ centred)
    if df < 1 or fit.df_residual < 1 or total <= 0 or not fit.intercept:
        return float("nan"), df, float("nan")
    columns = fit.design[:, [i for i, name in enumerate(fit.kept_names) if name != INTERCEPT]]
    basis = np.linalg.qr(columns - columns.mean(axis=0))[0]
    lm = fit.n * float(np.sum((basis.T @ centred) ** 2)) / total
    return lm, df, float(stats.chi2.sf(lm, df))


def partial_r2(fit: SurfaceFit) -> dict[str, float]:
    """Partial R2 of each estimated column, ``t^2 / (t^2 + df)`` with the classical t."""
    gain = fit.kept_coef**2 / np.sum(fit.r_inverse**2, axis=1)
    return {
        name: float(g / (g + fit.rss)) if g + fit.rss > 0 else float("nan")
        for name, g in zip(fit.kept_names, gain, strict=True)
    }


def impossible(values: ArrayLike, low: float | None, high: float | None) -> int:
    """How many finite values lie outside [low, high]; a bound of None is absent."""
    x = np.asarray(values, dtype=float)
    x = x[np.isfinite(x)]
    outside = np.zeros(x.shape, dtype=bool)
    if low is not None:
        outside |= x < low
    if high is not None:
        outside |= x > high
    return int(outside.sum())


def fitted_response(fit: SurfaceFit) -> Array:
    """Fitted values on the response scale."""
    return invert_link(fit.fitted, fit.link)


def cluster_bootstrap(fit: SurfaceFit, labels: Labels, draws: int = 10_000, seed: int = 0) -> Array:
    """Coded coefficients of refits to resampled clusters, shape (draws, kept).

    Each draw takes as many clusters as there are, with replacement. A refit needs only the
    clusters' moments, so all draws are one matrix product and a batch of small solves, in the
    orthonormal basis of the full fit. Draws that do not determine every term are rows of nan.
    With effects, the levels (and the intercept) are absorbed in each draw and are nan: a level
    that no drawn cluster has drops out, and the terms stay determined.
    """
    names, codes = _codes(labels, fit.n)
    count, p = len(names), fit.rank
    if fit.n_effects:
        absorbed = _absorb(fit)
        result = np.full((draws, p), np.nan)
        start = 0
        for gram, right, _ in _absorbed_draws(absorbed, codes, count, draws, seed):
            good = np.linalg.eigvalsh(gram)[:, 0] > _SINGULAR
            gamma = np.linalg.solve(gram[good], right[good][:, :, None])[:, :, 0]
            rows = start + np.flatnonzero(good)
            result[np.ix_(rows, np.asarray(absorbed.at))] = gamma @ absorbed.inverse.T
            start += len(gram)
        return result
    root = np.sqrt(fit.weights)
    moments = _moments(fit.q, codes, count).reshape(count, p * p)
    products = _sum_by(codes, fit.q * (root * fit.response)[:, None], count)
    rng = np.random.default_rng(seed)
    stacked = np.hstack([moments, products])
    result = np.empty((draws, p))
    for start in range(0, draws, _CHUNK):
        size = min(_CHUNK, draws - start)
        sums = _resample(rng, size, count) @ stacked
        gram = sums[:, : p * p].reshape(size, p, p)
        good = np.linalg.eigvalsh(gram)[:, 0] > _SINGULAR
        gamma = np.full((size, p), np.nan)
        if good.any():
            right = sums[good, p * p :, None]
            gamma[good] = np.linalg.solve(gram[good], right)[:, :, 0]
        result[start : start + size] = gamma @ fit.r_inverse.T
    return result


def residual_bootstrap(fit: SurfaceFit, draws: int = 10_000, seed: int = 0) -> Array:
    """Coded coefficients of refits to resampled residuals, shape (draws, kept).

    For designed runs, whose settings are fixed and whose errors are exchangeable: resampled
    clusters of a small design mostly lose a term. Residuals are divided by the root of one minus
    their leverage and centred (Davison and Hinkley, Bootstrap Methods and their Application,
    1997, section 6.3).
    """
    return (_resampled_responses(fit, draws, seed) @ fit.q) @ fit.r_inverse.T


def _resampled_responses(fit: SurfaceFit, draws: int, seed: int) -> Array:
    """Fitted values with resampled residuals, times the roots of the weights: (draws, rows)."""
    root = np.sqrt(fit.weights)
    free = 1 - fit.leverage
    usable = free > _SINGULAR
    scaled = np.where(usable, root * fit.residuals / np.sqrt(np.where(usable, free, 1.0)), 0.0)
    scaled = scaled - scaled.mean()
    drawn = np.random.default_rng(seed).integers(0, fit.n, (draws, fit.n))
    return np.asarray(root * fit.fitted + scaled[drawn], dtype=float)


@dataclass(frozen=True)
class _Absorbed:
    """Terms, and the response, after effects and intercept are taken out of the full sample.

    Attributes:
        levels: (rows, levels), the effects' columns and the intercept, weighted.
        q: (rows, terms), orthonormal basis of what they leave of the terms.
        inverse: (terms, terms), from coefficients of q to those of the terms.
        at: positions of the terms among the estimated columns.
    """

    levels: Array
    q: Array
    y: Array
    inverse: Array
    at: list[int]


def _absorb(fit: SurfaceFit) -> _Absorbed:
    weighted = fit.design * np.sqrt(fit.weights)[:, None]
    at = [
        i
        for i, (j, name) in enumerate(zip(fit.kept, fit.kept_names, strict=True))
        if j >= fit.n_effects and name != INTERCEPT
    ]
    levels = weighted[:, [i for i in range(fit.rank) if i not in at]]
    basis = np.linalg.qr(levels)[0]
    y = np.sqrt(fit.weights) * fit.response
    rest = weighted[:, at] - basis @ (basis.T @ weighted[:, at])
    q, r = np.linalg.qr(rest)
    return _Absorbed(levels, q, y - basis @ (basis.T @ y), np.linalg.inv(r), at)


def _absorbed_draws(
    absorbed: _Absorbed, codes: NDArray[np.int64], count: int, draws: int, seed: int
) -> Iterator[tuple[Array, Array, Array]]:
    """Resamples in chunks: moments of q, of q with y, and of y, each draw's levels taken out."""
    columns = np.column_stack([absorbed.levels, absorbed.q, absorbed.y])
    size, e = columns.shape[1], absorbed.levels.shape[1]
    moments = _moments(columns, codes, count).reshape(count, -1)
    rng = np.random.default_rng(seed)
    for start in range(0, draws, _CHUNK):
        drawn = _resample(rng, min(_CHUNK, draws - start), count)
        sums = (drawn @ moments).reshape(-1, size, size)
        cross = sums[:, e:, :e]
        inverse = np.linalg.pinv(sums[:, :e, :e], rcond=1e-10, hermitian=True)
        left = sums[:, e:, e:] - cross @ inverse @ np.swapaxes(cross, 1, 2)
        yield left[:, :-1, :-1], left[:, :-1, -1], left[:, -1, -1]


def _resample(rng: np.random.Generator, size: int, count: int) -> Array:
    """How often each of `count` clusters is drawn, in `size` resamples: (size, count)."""
    drawn = rng.integers(0, count, (size, count)) + np.arange(size)[:, None] * count
    return np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(float)


def bootstrap_draws(labels: Labels, draws: int, seed: int = 0) -> Array:
    """The cluster counts that `cluster_bootstrap` uses with the same arguments."""
    names, _ = _codes(labels, len(labels))
    rng = np.random.default_rng(seed)
    parts = [
        _resample(rng, min(_CHUNK, draws - start), len(names)) for start in range(0, draws, _CHUNK)
    ]
    return np.vstack(parts)


_WILD_CELLS = 2**22
"""Draws times clusters of the wild bootstrap that are held at a time."""

_WEBB = np.array([-np.sqrt(1.5), -1.0, -np.sqrt(0.5), np.sqrt(0.5), 1.0, np.sqrt(1.5)])


def wild_bootstrap(
    fit: SurfaceFit,
    labels: Labels,
    draws: int = 9_999,
    seed: int = 0,
    terms: Iterable[str] | None = None,
) -> dict[str, float]:
    """Restricted wild cluster bootstrap p-value of each estimated column, or of those named.

    The null is imposed, residuals of a cluster share one sign (Rademacher weights from 13
    clusters on, Webb's six points below), and studentising is by CR1. nan with one cluster.
    """
    names, codes = _codes(labels, fit.n)
    count = len(names)
    if count < 2:
        return {name: float("nan") for name in fit.kept_names}
    rng = np.random.default_rng(seed)
    points = np.array([-1.0, 1.0]) if count >= 13 else _WEBB
    root = np.sqrt(fit.weights)
    y, e = root * fit.response, root * fit.residuals
    moments = _moments(fit.q, codes, count)
    result: dict[str, float] = {}
    parts: dict[str, tuple[Array, Array, Array, float]] = {}
    asked = set(fit.kept_names if terms is None else terms)
    for j, name in enumerate(fit.kept_names):
        if name not in asked:
            continue
        functional = fit.r_inverse[j]
        length = float(np.linalg.norm(functional))
        unit = functional / length
        direction = fit.q @ unit
        # Restricted residuals: those of the fit without column j.
        u = e + direction * float(direction @ y)
        scores = _sum_by(codes, fit.q * u[:, None], count)
        passing = np.einsum("gij,i->gj", moments, unit)
        observed = _sum_by(codes, direction * e, count)
        scale = float(np.sqrt(np.sum(observed**2)))
        result[name] = float("nan")
        if scale > 0:
            parts[name] = scores, scores @ unit, passing, abs(float(direction @ y)) / scale
    beyond = dict.fromkeys(parts, 0)
    # Some draws at a time: all of them at once are draws by clusters in memory.
    step = max(1, _WILD_CELLS // count)
    for start in range(0, draws, step):
        signs = rng.choice(points, (min(step, draws - start), count))
        for name, (scores, own, passing, t) in parts.items():
            spread = np.sqrt(np.sum((signs * own - (signs @ scores) @ passing.T) ** 2, axis=1))
            with np.errstate(divide="ignore", invalid="ignore"):
                drawn = np.abs(signs @ own) / spread
            drawn = np.where(spread > 0, drawn, np.inf)
            beyond[name] += int(np.sum(drawn >= t * (1 - 1e-12)))
    return result | {name: (1 + number) / (draws + 1) for name, number in beyond.items()}


@dataclass(frozen=True)
class Importance:
    """Importance of each factor with cluster-bootstrap limits (percentiles).

    ``partial_r2`` is the classical one of all the factor's terms; ``permutation`` the loss of
    leave-cluster-out R2 when the factor's values are permuted among held-out rows.
    """

    factor: str
    partial_r2: float
    low: float
    high: float
    permutation: float


def importance(
    fit: SurfaceFit,
    values: Mapping[str, ArrayLike],
    labels: Labels,
    draws: int = 1_000,
    seed: int = 0,
    level: float = 0.95,
    resample: Resampling = "clusters",
) -> list[Importance]:
    """Importance of the factors; signs and units change nothing.

    `values` are the raw factor columns of the fitted rows. Bootstrap draws that lose a term are
    left out, and there are no limits where those are more than half; the permutation measure is
    the mean of 20 permutations.
    """
    groups = {
        f.name: [
            i
            for i in (fit.position(t) for t in term_groups(fit).get(f"factor:{f.name}", ()))
            if i is not None
        ]
        for f in fit.factors
    }
    boot = _bootstrap_partial_r2(fit, labels, groups, draws, seed, resample)
    drop = _permutation_drop(fit, values, labels, seed)
    tail = (1 - level) / 2
    result = []
    for name, at in groups.items():
        test = joint_test(fit, covariance(fit, "classical"), name, [fit.kept_names[i] for i in at])
        drawn = boot[name][np.isfinite(boot[name])]
        # Resamples that keep every term are no fair sample where most of them do not.
        several = len(set(map(str, labels))) > 1 or resample == "residuals"
        told = several and drawn.size >= draws / 2
        low, high = np.quantile(drawn, [tail, 1 - tail]) if told else (float("nan"), float("nan"))
        result.append(Importance(name, test.partial_r2, float(low), float(high), drop[name]))
    return result


def _bootstrap_partial_r2(
    fit: SurfaceFit,
    labels: Labels,
    groups: Mapping[str, list[int]],
    draws: int,
    seed: int,
    resample: Resampling,
) -> dict[str, Array]:
    if resample == "residuals":
        y = _resampled_responses(fit, draws, seed)
        gram = np.broadcast_to(np.eye(fit.rank), (draws, fit.rank, fit.rank))
        return _gains(gram, y @ fit.q, np.sum(y**2, axis=1), fit.r_inverse, groups)
    names, codes = _codes(labels, fit.n)
    count, p = len(names), fit.rank
    if fit.n_effects:
        absorbed = _absorb(fit)
        parts = list(_absorbed_draws(absorbed, codes, count, draws, seed))
        gram, right, total = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        place = {i: k for k, i in enumerate(absorbed.at)}
        within = {name: [place[i] for i in at] for name, at in groups.items()}
        return _gains(gram, right, total, absorbed.inverse, within)
    y = np.sqrt(fit.weights) * fit.response
    basis = np.column_stack([fit.q, y])
    outer = _sum_by(codes, (basis[:, :, None] * basis[:, None, :]).reshape(fit.n, -1), count)
    sums = (_resample(np.random.default_rng(seed), draws, count) @ outer).reshape(
        draws, p + 1, p + 1
    )
    return _gains(sums[:, :p, :p], sums[:, :p, p], sums[:, p, p], fit.r_inverse, groups)


def _gains(
    gram: Array, right: Array, total: Array, inverse: Array, groups: Mapping[str, list[int]]
) -> dict[str, Array]:
    """Partial R2 of groups of coefficients from moments in an orthonormal basis, a draw a row.

    `inverse` maps coefficients in the basis to those of the columns.
    """
    draws = len(gram)
    good = np.linalg.eigvalsh(gram)[:, 0] > _SINGULAR
    result = {name: np.full(draws, np.nan) for name in groups}
    if not good.any():
        return result
    gamma = np.linalg.solve(gram[good], right[good][:, :, None])[:, :, 0]
    rss = np.maximum(total[good] - np.sum(gamma * right[good], axis=1), 0.0)
    coef = gamma @ inverse.T
    spread = inverse @ np.linalg.inv(gram[good]) @ inverse.T
    for name, at in groups.items():
        if at:
            block = spread[:, at][:, :, at]
            b = coef[:, at]
            gain = np.sum(b * np.linalg.solve(block, b[:, :, None])[:, :, 0], axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                result[name][good] = gain / (gain + rss)
    return result


def _permutation_drop(
    fit: SurfaceFit, values: Mapping[str, ArrayLike], labels: Labels, seed: int, repeats: int = 20
) -> dict[str, float]:
    found = jackknife(fit, labels)
    if len(found.labels) < 2 or fit.n_effects:
        return {f.name: float("nan") for f in fit.factors}
    good = found.full_rank[found.codes]
    coef = (fit.kept_coef - found.shifts @ fit.r_inverse.T)[found.codes]
    rng = np.random.default_rng(seed)
    y, w = fit.response, fit.weights

    def error(design: Array) -> float:
        return float(np.sum((w * (y - np.sum(design * coef, axis=1)) ** 2)[good]))

    start = error(fit.design)
    columns = {f.name: np.asarray(values[f.name], dtype=float) for f in fit.factors}
    spread = fit.tss if fit.tss > 0 else float("nan")
    result = {}
    for f in fit.factors:
        losses = []
        for _ in range(repeats):
            shuffled = dict(columns)
            shuffled[f.name] = columns[f.name][rng.permutation(fit.n)]
            losses.append(error(fit.rows(shuffled)) - start)
        result[f.name] = float(np.mean(losses)) / spread if good.any() else float("nan")
    return result


@dataclass(frozen=True)
class RandomIntercept:
    """A surface whose clusters have a random level each, on the scale of the link.

    Attributes:
        terms, estimate, se, p: of the estimated columns; p against the normal.
        between_sd, within_sd: standard deviations of the levels and of the rows about them.
    """

    terms: tuple[str, ...]
    estimate: Array
    se: Array
    p: Array
    between_sd: float
    within_sd: float
    converged: bool

    @property
    def intraclass_correlation(self) -> float:
        """Share of the variance that lies between clusters."""
        between, within = self.between_sd**2, self.within_sd**2
        return between / (between + within) if between + within > 0 else float("nan")


def random_intercept(fit: SurfaceFit, labels: Labels) -> RandomIntercept:
    """Refit with a random intercept a cluster (REML), by statsmodels' MixedLM.

    The fit's own coded design is used, its rows scaled by the roots of the weights.
    """
    import warnings

    from statsmodels.regression.mixed_linear_model import MixedLM

    _, codes = _codes(labels, fit.n)
    root = np.sqrt(fit.weights)
    # In units of the residual error: the search for the variances starts at 1.
    unit = fit.sigma
    model = MixedLM(
        root * fit.response / unit, root[:, None] * fit.design, groups=codes, exog_re=root[:, None]
    )
    with warnings.catch_warnings():
        # A variance of 0 between clusters is a result here, not a problem.
        warnings.simplefilter("ignore")
        # One variance ratio is searched for: gradients overshoot to a singular one.
        result = model.fit(reml=True, method="powell", xtol=1e-10, ftol=1e-12)
    k = fit.rank
    estimate, se = (np.asarray(v, dtype=float)[:k] * unit for v in (result.params, result.bse))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.asarray(2 * stats.norm.sf(np.abs(estimate / se)), dtype=float)
    return RandomIntercept(
        fit.kept_names,
        estimate,
        se,
        p,
        unit * float(np.sqrt(max(float(np.asarray(result.cov_re).ravel()[0]), 0.0))),
        unit * float(np.sqrt(result.scale)),
        bool(result.converged),
    )


def concentration(labels: Iterable[str]) -> tuple[str, float]:
    """The most frequent label (first by name among equals) and its share of the rows."""
    text = [str(label) for label in labels]
    if not text:
        return "", float("nan")
    names, counts = np.unique(np.asarray(text), return_counts=True)
    first = int(np.argmax(counts))
    return str(names[first]), float(counts[first] / counts.sum())


def effective_clusters(labels: Iterable[str]) -> float:
    """How many clusters of equal size weigh as much as these, ``n^2 / sum n_g^2``; nan for none.

    Uneven clusters carry less than their number (Kish, Survey Sampling, 1965): with one of all
    rows but one, tests rest on little more than 1.
    """
    counts = np.unique(np.asarray([str(label) for label in labels]), return_counts=True)[1]
    return float(counts.sum() ** 2 / np.sum(counts**2)) if counts.size else float("nan")

"""Regress a metric on hyperparameters, for one population, view and metric.

`regress` is the stage: table of models in, coefficients, fit and diagnostics out. `fit_population`
does the same in memory. `compare_published` sets our terms beside a published table whose terms
are numbered instead of named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tunescape import canonical, inference
from tunescape.errors import UserError
from tunescape.surface import (
    INTERCEPT,
    Coding,
    Factor,
    Link,
    SurfaceFit,
    apply_link,
    code_factor,
    fit_surface,
    polynomial_terms,
)
from tunescape.tables import read_json, read_table, write_json, write_table

Array = NDArray[np.float64]
View = Literal["absolute", "relative"]

SHARES = ("accuracy", "f1", "precision", "recall", "roc_auc")
LINKS: dict[str, Link] = {**dict.fromkeys(SHARES, "logit"), "loss": "log"}
BOUNDS: dict[str, tuple[float | None, float | None]] = {
    **dict.fromkeys(SHARES, (0.0, 1.0)),
    "loss": (0.0, None),
    **dict.fromkeys(("matthews_correlation", "pearson", "spearmanr"), (-1.0, 1.0)),
}
IDENTITY_TOLERANCE = 1e-8
SIZE_ERRORS = ("cr3", "hc3", "classical")
"""Errors of the smallest detectable effect and the equivalence bound, the preferred one first."""

_NUMBERS = (
    "estimate", "se_classical", "t_classical", "p_classical",
    "ci_low_classical", "ci_high_classical", "se_hc3", "t_hc3", "p_hc3",
    "se_cr3", "t_cr3", "p_cr3", "p_wild", "ci_low", "ci_high",
    "raw_estimate", "raw_se", "raw_t", "raw_p", "raw_ci_low", "raw_ci_high",
    "raw_se_cr3", "raw_p_cr3", "partial_r2", "vif",
    "detectable_effect", "equivalence_bound", "mixed_estimate", "mixed_se", "mixed_p",
)  # fmt: skip
COEFFICIENT_COLUMNS: dict[str, str] = {
    "term": "str", "kind": "str", "estimable": "bool",
    **dict.fromkeys(_NUMBERS, "float64"),
    "df_classical": "Int64", "df_cr3": "Int64",
    "size_error": "str", "aliased_with": "str", "confounded_with": "str",
    "n": "Int64", "clusters": "Int64", "datasets": "Int64",
    "metric": "str", "view": "str",
}  # fmt: skip


@dataclass(frozen=True)
class FitResult:
    """What one regression gives; `fit` is None when nothing could be fitted."""

    fit: SurfaceFit | None
    values: dict[str, Array]
    coefficients: pd.DataFrame
    summary: dict[str, Any]
    diagnostics: pd.DataFrame


@dataclass(frozen=True)
class Specification:
    """One regression, as plain data; see `read_specification` for the keys."""

    metric: str
    view: View
    codings: dict[str, dict[str, Any]]
    degree: int
    intercept: bool
    baseline: dict[str, float]
    baseline_name: str
    cluster: str
    level: float
    link: Link
    weights: str | None
    effects: tuple[str, ...]
    mixed: str | None
    wild_draws: int
    published_form: bool
    designed: bool


def read_specification(spec: Mapping[str, Any]) -> Specification:
    """Read a plain dict.

    Keys: ``metric`` (required), ``factors`` (required; name -> ``linear``/``log`` or
    ``{coding, centre, scale}``), ``view`` (absolute), ``degree`` (2), ``intercept`` (true),
    ``baseline`` (``{model, values}`` or values), ``cluster`` (owner), ``confidence`` (0.95),
    ``link`` (``none``, ``auto`` by the metric's bounds as `LINKS` says, or a link's name),
    ``weights`` (none, or a column such as n_eval), ``effects`` (columns whose levels enter as
    indicators), ``mixed`` (a column whose levels get a random intercept in a second fit),
    ``wild_draws`` (1999), ``published_form`` (false: true codes every factor linearly, the form
    of the published tables), ``designed`` (false: true resamples residuals instead of clusters
    where leaving out a configuration loses a term).

    Raises:
        UserError: a required key is missing or a value is not one of the above.
    """
    for key in ("metric", "factors"):
        if key not in spec:
            raise UserError("missing", where=f"spec.{key}", expected="a value", fix="add the key")
    view = spec.get("view", "absolute")
    if view not in ("absolute", "relative"):
        raise UserError(f"unknown view {view!r}", where="spec.view", expected="absolute, relative")
    baseline = dict(spec.get("baseline") or {})
    values = baseline.get("values", baseline)
    published = bool(spec.get("published_form", False))
    codings: dict[str, dict[str, Any]] = {}
    for name, coding in spec["factors"].items():
        described = dict(coding) if isinstance(coding, Mapping) else {"coding": coding}
        codings[name] = {"coding": "linear"} if published else described
    weights = spec.get("weights")
    link = spec.get("link", "none")
    if link == "auto":
        link = LINKS.get(str(spec["metric"]), "identity")
    return Specification(
        metric=str(spec["metric"]),
        view=view,
        codings=codings,
        degree=int(spec.get("degree", 2)),
        intercept=bool(spec.get("intercept", True)),
        baseline={k: float(v) for k, v in values.items() if isinstance(v, (int, float))},
        baseline_name=str(baseline.get("model", baseline.get("id", "baseline"))),
        cluster=str(spec.get("cluster", "owner")),
        level=float(spec.get("confidence", 0.95)),
        link="identity" if link == "none" else link,
        weights=None if weights in (None, "", "none") else str(weights),
        effects=tuple(spec.get("effects", ())),
        mixed=spec.get("mixed"),
        wild_draws=int(spec.get("wild_draws", 1999)),
        published_form=published,
        designed=bool(spec.get("designed", False)),
    )


def regress(
    sample_path: str | Path,
    chosen_path: str | Path,
    out_coefficients: str | Path,
    out_fit: str | Path,
    out_diagnostics: str | Path,
    spec: Mapping[str, Any],
) -> None:
    """Fit one population, view and metric, and write its three files.

    Samples that cannot be fitted give the same files with ``status: not_fitted`` and a reason.

    Args:
        sample_path: the population's models (``populations.write_sample``).
        chosen_path: which factors are numerous enough (``populations.measure_coverage``); the
            others are left out of the model and named.
        out_coefficients, out_fit, out_diagnostics: CSV, JSON and CSV.
        spec: see `read_specification`.
    """
    chosen = read_table(chosen_path)
    of_metric = chosen[(chosen["metric"] == spec["metric"]) & ~chosen["chosen"]]
    left_out = dict(zip(of_metric["hyperparameter"], of_metric["reason"], strict=True))
    result = fit_population(read_table(sample_path), spec, left_out)
    write_table(result.coefficients, out_coefficients)
    write_table(result.diagnostics, out_diagnostics)
    write_json(plain(result.summary), out_fit)


def fit_population(
    frame: pd.DataFrame, spec: Mapping[str, Any], left_out: Mapping[str, str] | None = None
) -> FitResult:
    """Fit the surface to a population's complete rows and describe the fit.

    Args:
        frame: a sample, one row a model (``schemas.FEATURE_COLUMNS``).
        spec: see `read_specification`.
        left_out: factors that are not to be analysed, with the reason.
    """
    left_out = {name: why for name, why in (left_out or {}).items() if name in spec["factors"]}
    if len(left_out) < len(spec["factors"]):
        kept = {name: how for name, how in spec["factors"].items() if name not in left_out}
        spec = {**spec, "factors": kept}
    wanted = read_specification(spec)
    complete, flow, reason = complete_rows(frame, wanted)
    if left_out and len(left_out) == len(wanted.codings):
        reason = reason or "too few models: " + "; ".join(
            f"{name}: {why}" for name, why in left_out.items()
        )
    header = {
        "schema": 1,
        "metric": wanted.metric,
        "view": wanted.view,
        "factors": list(wanted.codings),
        "left_out": dict(left_out),
        "degree": wanted.degree,
        "intercept": wanted.intercept,
        # A relative view takes its differences on the link's scale, where the fit is linear.
        "link": wanted.link if wanted.view == "absolute" else "identity",
        "scale": wanted.link,
        "weights": wanted.weights,
        "effects_of": list(wanted.effects),
        "cluster": wanted.cluster,
        "level": wanted.level,
        "published_form": wanted.published_form,
        "baseline": {"model": wanted.baseline_name, "values": wanted.baseline},
        "sample_flow": flow,
        "models_selected": len(frame),
        "n": len(complete),
        "models": int(complete["id"].nunique()) if "id" in complete else len(complete),
    }
    if not reason:
        terms = polynomial_terms(list(wanted.codings), wanted.degree, intercept=wanted.intercept)
        distinct = {name: int(complete[name].nunique()) for name in wanted.codings}
        levels = sum(complete[name].nunique() - 1 for name in wanted.effects)
        if len(complete) < len(terms) + levels:
            also = f" and {levels} further levels of {', '.join(wanted.effects)}" if levels else ""
            reason = f"{len(complete)} complete rows are fewer than the {len(terms)} terms{also}"
        elif all(count < 2 for count in distinct.values()):
            reason = "every factor is constant in the complete rows"
        elif np.ptp(complete[wanted.metric]) <= 1e-12 * complete[wanted.metric].abs().max():
            reason = f"{wanted.metric} is the same in all {len(complete)} complete rows"
    if reason:
        return _not_fitted(wanted, header, complete, reason)
    return _describe(wanted, header, complete)


def complete_rows(
    frame: pd.DataFrame, wanted: Specification
) -> tuple[pd.DataFrame, list[dict[str, Any]], str]:
    """Rows with a usable metric and factors; or why there can be none."""
    needed = [*wanted.codings, wanted.metric]
    if wanted.weights:
        needed.append(wanted.weights)
    for name in needed:
        if name not in frame:
            return frame.iloc[:0], [], f"no model states {name}: the table has no such column"
    if wanted.view == "relative":
        lacking = [n for n in (*wanted.codings, wanted.metric) if n not in wanted.baseline]
        if lacking:
            return frame.iloc[:0], [], f"the baseline states no {', '.join(lacking)}"
    flow = []
    left = frame
    for name in (wanted.metric, *wanted.codings, *([wanted.weights] if wanted.weights else [])):
        before = len(left)
        numbers = pd.to_numeric(left[name], errors="coerce").astype("float64")
        usable = np.isfinite(numbers)
        if wanted.codings.get(name, {}).get("coding") == "log" or name == wanted.weights:
            usable &= numbers > 0
        left = left[usable].assign(**{name: numbers[usable]})
        flow.append({"reason": f"no usable {name}", "before": before, "after": len(left)})
    for name in wanted.effects:
        before = len(left)
        left = _with_company(left, name)
        flow.append(
            {"reason": f"no other model of its {name}", "before": before, "after": len(left)}
        )
    order = [c for c in ("id",) if c in left]
    left = (left.sort_values(order, kind="stable") if order else left).reset_index(drop=True)
    if left.empty:
        return left, flow, f"no model states {wanted.metric} and all of {', '.join(wanted.codings)}"
    return left, flow, ""


def _with_company(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Rows whose level is known and has another row: no others inform slopes within levels."""
    if column not in frame:
        return frame.iloc[:0]
    counts = frame[column].map(frame[column].value_counts())
    return frame[(counts > 1).fillna(False).to_numpy(dtype=bool)]


def has_label(frame: pd.DataFrame, column: str) -> NDArray[np.bool_]:
    """Which rows have a label of their own in `cluster_labels`, shape (rows,)."""
    if column not in frame:
        return np.zeros(len(frame), dtype=bool)
    return np.array([isinstance(v, str) and bool(v) for v in frame[column]], dtype=bool)


def cluster_labels(frame: pd.DataFrame, column: str) -> list[str]:
    """Cluster labels; a row without one is a cluster of its own."""
    ids = frame["id"].astype(str) if "id" in frame else frame.index.astype(str).to_series()
    if column not in frame:
        return [f"(row) {i}" for i in ids]
    return [
        str(value) if known else f"(unknown) {i}"
        for value, known, i in zip(frame[column], has_label(frame, column), ids, strict=True)
    ]


def view_data(
    frame: pd.DataFrame, wanted: Specification, view: View
) -> tuple[dict[str, Array], Array]:
    """Factor columns and response of a view.

    Relative linear factors are differences to the baseline and log factors ratios to it, whose
    logarithm is the difference of logarithms. With a link, the relative response is the
    difference on the link's scale (a log odds ratio, or a log ratio).
    """
    values: dict[str, Array] = {}
    for name, coding in wanted.codings.items():
        column = frame[name].to_numpy(dtype=float)
        if view == "relative":
            base = wanted.baseline[name]
            column = column / base if coding.get("coding") == "log" else column - base
        values[name] = column
    response = frame[wanted.metric].to_numpy(dtype=float)
    if view == "relative":
        response = _on_scale(response, wanted) - baseline_on_scale(response, wanted)
    return values, response


def _on_scale(response: Array, wanted: Specification) -> Array:
    """Values of the metric on the scale of the link."""
    return apply_link(response, wanted.link)


def baseline_on_scale(response: Array, wanted: Specification) -> float:
    """The baseline's metric on the scale of the link, moved inwards if the rows are."""
    base = np.array([wanted.baseline[wanted.metric]])
    if wanted.link == "logit" and bool(np.any((response == 0) | (response == 1))):
        base = (base * (response.size - 1) + 0.5) / response.size
    return float(_on_scale(base, wanted)[0])


def _factors(values: Mapping[str, Array], wanted: Specification) -> list[Factor]:
    result = []
    for name, described in wanted.codings.items():
        coding: Coding = described.get("coding", "linear")
        if "scale" in described:
            centre = float(described.get("centre", 0.0))
            result.append(Factor(name, coding, centre, float(described["scale"])))
        else:
            origin = not wanted.intercept
            result.append(code_factor(name, values[name], coding, through_origin=origin))
    return result


def _fit_view(
    frame: pd.DataFrame, wanted: Specification, view: View
) -> tuple[SurfaceFit, dict[str, Array]]:
    values, response = view_data(frame, wanted, view)
    weights = None
    if wanted.weights:
        column = frame[wanted.weights].to_numpy(dtype=float)
        weights = column / column.mean()
    effects = {name: cluster_labels(frame, name) for name in wanted.effects}
    fit = fit_surface(
        values,
        response,
        _factors(values, wanted),
        degree=wanted.degree,
        intercept=wanted.intercept,
        weights=weights,
        effects=effects,
        link=wanted.link if view == "absolute" else "identity",
    )
    return fit, values


def _not_fitted(
    wanted: Specification, header: dict[str, Any], rows: pd.DataFrame, reason: str
) -> FitResult:
    terms = polynomial_terms(list(wanted.codings), wanted.degree, intercept=wanted.intercept)
    table = pd.DataFrame({"term": [t.name for t in terms], "kind": [t.kind for t in terms]})
    table = table.assign(
        estimable=False, size_error="", aliased_with="", confounded_with="",
        n=len(rows), metric=wanted.metric, view=wanted.view,
    )  # fmt: skip
    summary = {
        **header,
        "status": "not_fitted",
        "reason": reason,
        "owners": len(set(cluster_labels(rows, "owner"))),
        "datasets": _distinct(rows, "dataset"),
        "rank": None,
        "terms": [t.name for t in terms],
        "statements": [f"not fitted: {reason}"],
    }
    factors = {f"{name}{coded}": "float64" for coded in ("", "_coded") for name in wanted.codings}
    columns = {**_IDENTITY, **factors, **_DIAGNOSTICS}
    diagnostics = pd.DataFrame({c: pd.Series(dtype=t) for c, t in columns.items()})
    return FitResult(None, {}, _shape(table), summary, diagnostics)


def _shape(table: pd.DataFrame) -> pd.DataFrame:
    """All columns of the coefficient table, in order and typed."""
    full = table.reindex(columns=list(COEFFICIENT_COLUMNS))
    return full.astype(COEFFICIENT_COLUMNS)


def _distinct(frame: pd.DataFrame, column: str) -> int:
    return int(frame.loc[has_label(frame, column), column].nunique()) if column in frame else 0


def _describe(wanted: Specification, header: dict[str, Any], rows: pd.DataFrame) -> FitResult:
    try:
        fit, values = _fit_view(rows, wanted, wanted.view)
    except UserError as error:
        return _not_fitted(wanted, header, rows, str(error))
    owners = cluster_labels(rows, "owner")
    clusters = cluster_labels(rows, wanted.cluster)
    covariances = {
        "classical": inference.covariance(fit, "classical"),
        "hc3": inference.covariance(fit, "hc3"),
        "cr3": inference.covariance(fit, "cr3", clusters),
    }
    table = _coefficients(fit, covariances, clusters, wanted)
    mixed = _mixed(fit, rows, wanted)
    for column in ("estimate", "se", "p"):
        found = mixed["terms"] if mixed else {}
        table[f"mixed_{column}"] = [
            found.get(name, {}).get(column, np.nan) for name in table["term"]
        ]
    datasets = _distinct(rows, "dataset")
    table = table.assign(
        n=fit.n, clusters=covariances["cr3"].clusters, datasets=datasets,
        metric=wanted.metric, view=wanted.view,
    )  # fmt: skip
    diagnostics = _diagnostics(fit, values, rows, wanted, clusters)
    summary = {
        **header,
        **_summary(fit, values, rows, wanted, covariances, owners, clusters, datasets),
    }
    summary["mixed"] = {k: v for k, v in mixed.items() if k != "terms"} if mixed else None
    summary["impossible"] = _impossible(fit, wanted)
    summary["identity"] = _identity(rows, wanted)
    summary["statements"] = _statements(summary)
    return FitResult(fit, values, _shape(table), summary, diagnostics)


def _describe_alias(combination: Mapping[str, float]) -> str:
    if not combination:
        return "0"
    parts = [f"{weight:+.6g} {name}" for name, weight in combination.items()]
    return " ".join(parts).removeprefix("+")


def _coefficients(
    fit: SurfaceFit,
    covariances: Mapping[str, inference.Covariance],
    clusters: Sequence[str],
    wanted: Specification,
) -> pd.DataFrame:
    names = [t.name for t in fit.terms]
    pick = slice(fit.n_effects, None)
    table = pd.DataFrame({"term": names, "kind": [t.kind for t in fit.terms]})
    table["estimable"] = np.isfinite(fit.coef[pick])
    table["estimate"] = fit.coef[pick]
    tests = {k: inference.term_tests(fit, c, wanted.level) for k, c in covariances.items()}
    for kind, test in tests.items():
        table[f"se_{kind}"] = test.se[pick]
        table[f"t_{kind}"] = test.t[pick]
        table[f"p_{kind}"] = test.p[pick]
    table["ci_low_classical"] = tests["classical"].ci_low[pick]
    table["ci_high_classical"] = tests["classical"].ci_high[pick]
    robust = tests["cr3"]
    table["ci_low"], table["ci_high"] = robust.ci_low[pick], robust.ci_high[pick]
    sizes = _sizes(tests, wanted.level)
    for column in ("detectable_effect", "equivalence_bound", "size_error"):
        table[column] = sizes[column].to_numpy()[pick]
    raw = fit.raw()
    table["raw_estimate"], table["raw_se"] = raw.estimate[pick], raw.se[pick]
    df = covariances["classical"].df
    t, p, low, high = inference.t_tests(raw.estimate, raw.se, df, wanted.level)
    table["raw_t"], table["raw_p"] = t[pick], p[pick]
    table["raw_ci_low"], table["raw_ci_high"] = low[pick], high[pick]
    if inference.whole(fit, covariances["cr3"]):
        robust_raw = fit.raw(inference.surface_covariance(fit, clusters).matrix)
        _, p_raw, _, _ = inference.t_tests(robust_raw.estimate, robust_raw.se, robust.df)
        table["raw_se_cr3"], table["raw_p_cr3"] = robust_raw.se[pick], p_raw[pick]
    for column, found in (
        ("partial_r2", inference.partial_r2(fit)),
        ("vif", inference.variance_inflation(fit)),
        ("p_wild", _wild(fit, clusters, covariances["cr3"], wanted)),
    ):
        table[column] = [found.get(name, np.nan) for name in names]
    confounded = fit.confounded()
    table["aliased_with"] = [
        _describe_alias(fit.aliased[name]) if name in fit.aliased else "" for name in names
    ]
    table["confounded_with"] = [" ".join(confounded.get(name, ())) for name in names]
    table["df_classical"] = fit.df_residual
    table["df_cr3"] = int(covariances["cr3"].df)
    return table


def _sizes(tests: Mapping[str, inference.TermTests], level: float) -> pd.DataFrame:
    """What a test could have found, a column of the design a row.

    Of each term with the first of `SIZE_ERRORS` that exists for it; ``size_error`` names it.
    """
    count = len(tests["classical"].se)
    sizes = pd.DataFrame(
        {"detectable_effect": np.nan, "equivalence_bound": np.nan, "size_error": [""] * count}
    )
    for kind in SIZE_ERRORS:
        test = tests[kind]
        detectable = inference.detectable_effect(test.se, test.df, 1 - level)
        bound = inference.equivalence_bound(test.estimate, test.se, test.df, 1 - level)
        new = np.isfinite(detectable) & (sizes["size_error"] == "").to_numpy()
        sizes.loc[new, "detectable_effect"] = detectable[new]
        sizes.loc[new, "equivalence_bound"] = bound[new]
        sizes.loc[new, "size_error"] = kind
    return sizes


def _mixed(fit: SurfaceFit, rows: pd.DataFrame, wanted: Specification) -> dict[str, Any] | None:
    """The same terms with a random intercept a level of a column; None where not asked for."""
    if not wanted.mixed:
        return None
    labels = cluster_labels(rows, wanted.mixed)
    levels = len(set(labels))
    told: dict[str, Any] = {"group": wanted.mixed, "levels": levels, "terms": {}}
    if levels < 2 or levels == fit.n or fit.df_residual < 1:
        return {**told, "reason": f"{levels} levels of {wanted.mixed} among {fit.n} rows"}
    found = inference.random_intercept(fit, labels)
    return {
        **told,
        "reason": "" if found.converged else "the likelihood did not converge",
        "between_sd": found.between_sd,
        "within_sd": found.within_sd,
        "intraclass_correlation": found.intraclass_correlation,
        "terms": {
            name: {"estimate": b, "se": s, "p": p}
            for name, b, s, p in zip(found.terms, found.estimate, found.se, found.p, strict=True)
        },
    }


def _wild(
    fit: SurfaceFit,
    clusters: Sequence[str],
    robust: inference.Covariance,
    wanted: Specification,
) -> dict[str, float]:
    """Wild bootstrap p-values of the terms that no single cluster carries.

    Where one cluster alone determines a term, its sign flips are all there is to draw, and the
    smallest p-value would be an artefact.
    """
    if wanted.wild_draws < 1 or fit.df_residual < 1 or not bool(robust.exists.any()):
        return {}
    terms = [term.name for term in fit.terms]
    found = inference.wild_bootstrap(fit, clusters, wanted.wild_draws, terms=terms)
    there = dict(zip(fit.kept_names, robust.exists, strict=True))
    return {name: p for name, p in found.items() if there[name]}


_IDENTITY = {"id": "str", "owner": "str", "dataset": "str", "cluster": "str"}
_DIAGNOSTICS: dict[str, str] = {
    "response": "float64", "fitted": "float64", "residual": "float64",
    "studentised": "float64", "leverage": "float64", "cook": "float64",
    "cook_cluster": "float64", "held_out_residual": "float64",
    "held_out_cluster_residual": "float64", "setting": "int64", "weight": "float64",
    "n_eval": "float64", "sampling_se": "float64", "impossible": "bool",
}  # fmt: skip


def _diagnostics(
    fit: SurfaceFit,
    values: Mapping[str, Array],
    rows: pd.DataFrame,
    wanted: Specification,
    clusters: Sequence[str],
) -> pd.DataFrame:
    by_cluster = inference.cook_distance(fit, clusters)
    index = np.unique(np.asarray(clusters), return_inverse=True)[1]
    alone = [f"{i:09d}" for i in range(fit.n)]
    n_eval = pd.to_numeric(
        rows["n_eval"] if "n_eval" in rows else pd.Series(np.nan, index=rows.index)
    ).to_numpy(dtype=float)
    sampling = np.full(fit.n, np.nan)
    if wanted.metric == "accuracy":
        share = rows[wanted.metric].to_numpy(dtype=float)
        with np.errstate(invalid="ignore", divide="ignore"):
            sampling = np.sqrt(share * (1 - share) / n_eval)
    fitted = inference.fitted_response(fit)
    low, high = _bounds(wanted)
    impossible = np.zeros(fit.n, dtype=bool)
    if low is not None:
        impossible |= fitted < low
    if high is not None:
        impossible |= fitted > high
    response = view_data(rows, wanted, wanted.view)[1]
    return pd.DataFrame(
        {
            "id": _text(rows, "id"),
            "owner": _text(rows, "owner"),
            "dataset": _text(rows, "dataset"),
            "cluster": list(clusters),
            **{name: rows[name].to_numpy(dtype=float) for name in wanted.codings},
            **{f"{f.name}_coded": f.encode(values[f.name]) for f in fit.factors},
            "response": response,
            "fitted": fitted,
            "residual": response - fitted,
            "studentised": inference.studentised_residuals(fit),
            "leverage": fit.leverage,
            "cook": inference.cook_distance(fit),
            "cook_cluster": by_cluster[index],
            "held_out_residual": inference.held_out(fit, alone).residuals,
            "held_out_cluster_residual": inference.held_out(fit, clusters).residuals,
            "setting": inference.settings(fit.design),
            "weight": fit.weights,
            "n_eval": n_eval,
            "sampling_se": sampling,
            "impossible": impossible,
        }
    )


def _text(rows: pd.DataFrame, column: str) -> list[str]:
    if column not in rows:
        return [""] * len(rows)
    return [v if isinstance(v, str) else "" for v in rows[column]]


def _bounds(wanted: Specification) -> tuple[float | None, float | None]:
    """Possible values of the response of a view."""
    low, high = BOUNDS.get(wanted.metric, (None, None))
    if wanted.view == "relative":
        if wanted.link != "identity":
            return None, None
        base = wanted.baseline[wanted.metric]
        low = None if low is None else low - base
        high = None if high is None else high - base
    return low, high


def _impossible(fit: SurfaceFit, wanted: Specification) -> dict[str, Any]:
    """Predictions that the metric cannot take: at the rows, and over their ranges (a grid)."""
    low, high = _bounds(wanted)
    axes = [np.linspace(-1, 1, 5) if wanted.intercept else np.linspace(0, 1, 5)] * len(fit.factors)
    mesh = np.meshgrid(*axes, indexing="ij")
    coded = np.column_stack([m.ravel() for m in mesh])
    raw = {f.name: f.decode(coded[:, i]) for i, f in enumerate(fit.factors)}
    predicted = fit.predict(raw)
    usable = predicted.fit[predicted.estimable]
    return {
        "low": low,
        "high": high,
        "rows": inference.impossible(inference.fitted_response(fit), low, high),
        "grid": inference.impossible(usable, low, high),
        "grid_points": len(usable),
    }


def _summary(
    fit: SurfaceFit,
    values: Mapping[str, Array],
    rows: pd.DataFrame,
    wanted: Specification,
    covariances: Mapping[str, inference.Covariance],
    owners: Sequence[str],
    clusters: Sequence[str],
    datasets: int,
) -> dict[str, Any]:
    dominant, share = inference.concentration(owners)
    lost = wanted.designed and not bool(covariances["cr3"].exists.all())
    resample: inference.Resampling = "residuals" if lost else "clusters"
    alone = [f"{i:09d}" for i in range(fit.n)]
    lagrange, bp_df, bp_p = inference.breusch_pagan(fit)
    press, press_r2 = inference.press(fit)
    aliased = [t.name for t in fit.terms if t.name in fit.aliased]
    held = {"row": inference.held_out(fit, alone), "owner": inference.held_out(fit, owners)}
    # Rows of unknown data sets are no data sets: they stay in the fit and are not scored.
    known = {unit: has_label(rows, unit) for unit in ("owner", "dataset")}
    held["dataset"] = inference.held_out(fit, cluster_labels(rows, "dataset"), known["dataset"])
    cook = inference.cook_distance(fit, clusters)
    names = sorted(set(map(str, clusters)))
    return {
        "status": "rank_deficient" if aliased else "ok",
        "reason": "",
        "owners": len(set(owners)),
        "datasets": datasets,
        "clusters": covariances["cr3"].clusters,
        "clusters_effective": inference.effective_clusters(clusters),
        "dominant_owner": {"owner": dominant, "share": share},
        "terms": [t.name for t in fit.terms],
        "rank": fit.rank,
        "effects": fit.n_effects,
        # Predictions and drawings are at the first level of each effect.
        "reference_levels": {n: min(cluster_labels(rows, n)) for n in wanted.effects},
        "aliased": {name: fit.aliased[name] for name in aliased},
        "confounded": {name: list(by) for name, by in fit.confounded().items()},
        "df_residual": fit.df_residual,
        "r2": fit.r2,
        "r2_kind": fit.r2_kind,
        "adjusted_r2": fit.adjusted_r2,
        "sigma": fit.sigma,
        "condition_coded": fit.condition_coded,
        "condition_raw": fit.condition_raw,
        "coding": [
            {
                **asdict(f),
                "distinct": int(rows[f.name].nunique()),
                "min": float(rows[f.name].min()),
                "max": float(rows[f.name].max()),
            }
            for f in fit.factors
        ],
        "covariance": {
            kind: {
                "df": c.df,
                "clusters": c.clusters,
                "exists": inference.whole(fit, c),
                "terms_with_variance": int(c.exists.sum()),
                "reason": c.reason,
                "blocking": {name: list(by) for name, by in c.blocking.items()},
            }
            for kind, c in covariances.items()
        },
        "joint_tests": {
            kind: [asdict(t) for t in inference.joint_tests(fit, covariances[kind])]
            for kind in ("classical", "cr3")
        },
        "lack_of_fit": asdict(inference.lack_of_fit(fit)),
        "press": {"press": press, "r2": press_r2},
        "held_out": {
            unit: {
                "r2": h.r2,
                "clusters": h.clusters,
                "rows_scored": h.rows,
                "rows_unlabelled": int((~known[unit]).sum()) if unit in known else 0,
                "rows_undetermined": h.undetermined,
                "clusters_undetermined": h.clusters_undetermined,
            }
            for unit, h in held.items()
        },
        "breusch_pagan": {"lm": lagrange, "df": bp_df, "p": bp_p},
        "cook_clusters": dict(
            sorted(zip(names, map(float, cook), strict=True), key=lambda item: -item[1])[:5]
        ),
        "resampling": resample,
        "importance": [
            asdict(i)
            for i in inference.importance(fit, values, clusters, draws=500, resample=resample)
        ],
        "sampling_noise": _sampling_noise(rows, wanted),
        "surface": _surface(fit, values, wanted),
    }


def _surface(fit: SurfaceFit, values: Mapping[str, Array], wanted: Specification) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if wanted.degree <= 2:
        found = canonical.canonical_analysis(fit, values)
        result["canonical"] = asdict(found)
        result["rsreg"] = canonical.rsreg_tables(fit, values)
    middle = {
        f.name: float(np.median(np.asarray(values[f.name], dtype=float))) for f in fit.factors
    }
    result["slopes_at_median"] = asdict(fit.slopes(middle))
    return result


def _sampling_noise(rows: pd.DataFrame, wanted: Specification) -> dict[str, Any] | None:
    """Standard error that the size of the evaluation set alone gives an accuracy."""
    if wanted.metric != "accuracy" or "n_eval" not in rows:
        return None
    n_eval = pd.to_numeric(rows["n_eval"], errors="coerce").astype("float64")
    known = n_eval > 0
    if not bool(known.any()):
        return None
    size = float(n_eval[known].median())
    share = float(rows.loc[known, wanted.metric].mean())
    return {
        "rows": int(known.sum()),
        "median_n_eval": size,
        "se": float(np.sqrt(max(share * (1 - share), 0.0) / size)),
        "statement": f"1 point is {size / 100:.1f} examples of {size:.0f}",
    }


def _identity(rows: pd.DataFrame, wanted: Specification) -> dict[str, Any]:
    """Check that the relative fit is the absolute one, seen from the baseline.

    On the same rows and with an intercept, second-order coefficients, their errors and R2
    coincide, fitted values differ by the baseline's metric (on the link's scale), and a relative
    slope is the absolute one plus twice its quadratic and its interactions times the baseline.
    """
    names = [*wanted.codings, wanted.metric]
    lacking = [name for name in names if name not in wanted.baseline]
    if lacking:
        return {"checked": False, "reason": f"the baseline states no {', '.join(lacking)}"}
    if any("scale" in coding for coding in wanted.codings.values()):
        return {"checked": False, "reason": "the coding is fixed by hand, not by each view"}
    try:
        absolute, _ = _fit_view(rows, wanted, "absolute")
        relative, _ = _fit_view(rows, wanted, "relative")
    except UserError as error:
        return {"checked": False, "reason": str(error)}
    level = baseline_on_scale(rows[wanted.metric].to_numpy(dtype=float), wanted)
    compared = compare_views(absolute, relative, wanted.baseline, level)
    worst = max(compared.values(), default=0.0)
    holds = wanted.intercept and worst <= IDENTITY_TOLERANCE
    reason = ""
    if not wanted.intercept:
        reason = "without an intercept the two views are different models"
    elif not holds:
        reason = f"largest difference {worst:.2e}"
    return {
        "checked": True, "holds": holds, "max_difference": worst,
        "differences": compared, "rows": absolute.n, "reason": reason,
    }  # fmt: skip


def compare_views(
    absolute: SurfaceFit, relative: SurfaceFit, baseline: Mapping[str, float], level: float
) -> dict[str, float]:
    """Largest relative difference between two views that should be one model.

    `level` is the baseline's metric on the scale of the fits.

    Keys: second_order (coefficients), second_order_se, slopes (after the shift), r2, fitted.
    Differences of coefficients are relative to ``|coefficient| + standard error``.
    """
    one, two = absolute.raw(), relative.raw()
    shift = np.array([float(f.measure(np.array([baseline[f.name]]))[0]) for f in absolute.factors])
    a = dict(zip(one.terms, one.estimate, strict=True))
    b = dict(zip(two.terms, two.estimate, strict=True))
    se_a = dict(zip(one.terms, one.se, strict=True))
    se_b = dict(zip(two.terms, two.se, strict=True))

    def gap(x: float, y: float, size: float) -> float:
        if np.isnan(x) and np.isnan(y):
            return 0.0
        if np.isnan(x) or np.isnan(y):
            return float("inf")
        return abs(x - y) / size if size > 0 else abs(x - y)

    found = {"second_order": 0.0, "second_order_se": 0.0, "slopes": 0.0}
    for term in absolute.terms:
        name = term.name
        spread = float(np.nan_to_num(se_b[name]))
        if term.order == 2:
            size = abs(float(b[name])) + spread
            found["second_order"] = max(found["second_order"], gap(a[name], b[name], size))
            if np.isfinite(se_a[name]) or np.isfinite(se_b[name]):
                found["second_order_se"] = max(
                    found["second_order_se"], gap(se_a[name], se_b[name], float(se_b[name]))
                )
        if term.order == 1:
            k = term.powers.index(1)
            expected = float(a[name])
            for other in absolute.terms:
                if other.order == 2 and other.powers[k] and np.isfinite(a[other.name]):
                    rest = list(other.powers)
                    rest[k] -= 1
                    expected += other.powers[k] * float(a[other.name]) * float(np.prod(shift**rest))
            found["slopes"] = max(
                found["slopes"], gap(expected, b[name], abs(float(b[name])) + spread)
            )
    found["r2"] = abs(absolute.r2 - relative.r2)
    moved = absolute.fitted - level - relative.fitted
    size = float(np.sqrt(np.mean(absolute.response**2))) or 1.0
    found["fitted"] = float(np.max(np.abs(moved))) / size
    return {key: float(value) for key, value in found.items()}


def _statements(summary: Mapping[str, Any]) -> list[str]:
    """Plain sentences made from the numbers of a fit."""
    said = [
        f"{summary['n']} models of {summary['owners']} owners, {summary['datasets']} datasets; "
        f"{summary['df_residual']} residual degrees of freedom"
    ]
    said += [f"{name} left out: {why}" for name, why in summary["left_out"].items()]
    polynomial = [t for t in summary["terms"] if t != INTERCEPT]
    aliased = summary["aliased"]
    if aliased:
        said.append(
            f"rank-deficient: {len(aliased)} of {len(polynomial)} terms not estimable "
            f"({', '.join(aliased)})"
        )
        held = [t for t in summary["confounded"] if t in polynomial]
        if held:
            said.append(
                f"{len(held)} estimated term(s) hold only if those are zero: {', '.join(held)}"
            )
    if summary["df_residual"] < 1:
        said.append("saturated: as many terms as rows, so no error can be estimated")
    share = summary["dominant_owner"]["share"]
    if share >= 0.2:
        said.append(f"{100 * share:.0f}% of rows come from one uploader")
    robust = summary["covariance"]["cr3"]
    if robust["reason"]:
        said.append(robust["reason"])
    elif robust["clusters"] < 15:
        said.append(f"only {robust['clusters']} clusters: cluster-robust errors are rough")
    said.append(f"R2 {summary['r2']:.3f} ({summary['r2_kind']})")
    held_owner = summary["held_out"]["owner"]
    if held_owner["r2"] is not None and np.isfinite(held_owner["r2"]):
        said.append(
            f"R2 for owners left out {held_owner['r2']:.3f}"
            + (
                f" ({held_owner['rows_undetermined']} rows could not be predicted)"
                if held_owner["rows_undetermined"]
                else ""
            )
        )
    lack = summary["lack_of_fit"]
    if lack["reason"]:
        said.append(f"lack of fit not tested: {lack['reason']}")
    else:
        verdict = "lack of fit" if lack["p"] < 0.05 else "no lack of fit shown"
        said.append(
            f"{verdict}: F({lack['df_lack']}, {lack['df_pure']}) = {lack['f']:.2f}, "
            f"{_p_text(lack['p'])}; no model of these factors exceeds "
            f"R2 {lack['noise_ceiling']:.3f} on these rows"
        )
    impossible = summary["impossible"]
    if impossible["rows"] or impossible["grid"]:
        said.append(
            f"impossible predictions: {impossible['rows']} rows, {impossible['grid']} of "
            f"{impossible['grid_points']} grid points"
        )
    identity = summary["identity"]
    if identity["checked"] and identity["holds"]:
        said.append(
            "absolute and relative views are one model "
            f"(largest difference {identity['max_difference']:.1e})"
        )
    else:
        said.append(f"absolute and relative views not shown to agree: {identity['reason']}")
    if "canonical" in summary["surface"]:
        said.append(summary["surface"]["canonical"]["statement"])
    if summary["sampling_noise"]:
        said.append(summary["sampling_noise"]["statement"])
    return said


def _p_text(p: float) -> str:
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.4f}"


def plain(value: Any) -> Any:
    """Builtins only, for JSON: numpy unwrapped, anything not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()]
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value


def adjust_family(tables: Iterable[pd.DataFrame], p_column: str = "p_cr3") -> pd.DataFrame:
    """Holm, BH and BY over one family: all estimated terms but intercepts of all tables.

    Returns one row a term with its table's metric and view, in the order given; without tables
    none.
    """
    none = pd.DataFrame(columns=["metric", "view", "term", "estimable", p_column])
    joined = pd.concat(list(tables) or [none], ignore_index=True)
    joined = joined[joined["term"] != INTERCEPT].reset_index(drop=True)
    result = joined[["metric", "view", "term", "estimable"]].assign(p=joined[p_column])
    p = result["p"].to_numpy(dtype=float)
    return result.assign(
        family=int(np.isfinite(p).sum()),
        holm=inference.adjust_p(p, "holm"),
        bh=inference.adjust_p(p, "bh"),
        by=inference.adjust_p(p, "by"),
    )


def adjust_study(
    coefficient_paths: Sequence[str | Path],
    out_family: str | Path,
    experiments: Iterable[str] = (),
) -> None:
    """Adjust all tables of a study: those of published models as one family.

    An experiment is a study of its own, and its tables a family. Its runs are independent, so
    that classical errors serve in a table where leaving out a configuration loses a term (the
    centre of a Box-Behnken design); the column ``error`` says which were taken.

    Args:
        coefficient_paths: ``.../{population}/{view}/{metric}/coefficients.csv`` of `regress`.
        out_family: CSV of `adjust_family` with the population and the error of each row.
        experiments: populations that are experiments.
    """
    designed = set(experiments)
    families: dict[str, list[pd.DataFrame]] = {}
    for path in coefficient_paths:
        population = Path(path).parts[-4]
        table = read_table(path)
        lacking = table["estimable"] & table["p_cr3"].isna()
        error = "classical" if population in designed and bool(lacking.any()) else "cr3"
        table = table.assign(population=population, error=error, p=table[f"p_{error}"])
        families.setdefault(population if population in designed else "", []).append(table)
    adjusted = []
    for tables in families.values():
        joined = pd.concat(tables, ignore_index=True)
        names = joined.loc[joined["term"] != INTERCEPT, ["population", "error"]]
        family = adjust_family(tables, "p")
        family.insert(0, "population", names["population"].tolist())
        family.insert(4, "error", names["error"].tolist())
        adjusted.append(family)
    if not adjusted:
        adjusted = [adjust_family([], "p").assign(population=None, error=None)]
    write_table(pd.concat(adjusted, ignore_index=True), out_family)


IDENTITY_COLUMNS = {
    "population": "str", "metric": "str", "status": "str", "rows": "Int64",
    "second_order": "float64", "second_order_se": "float64", "slopes": "float64", "r2": "float64",
    "fitted": "float64", "written": "float64", "largest": "float64", "holds": "boolean",
    "reason": "str",
}  # fmt: skip


def check_views(
    coefficient_paths: Sequence[str | Path],
    fit_paths: Sequence[str | Path],
    out_identity: str | Path,
) -> None:
    """Tabulate, for each pair of views of a population and metric, that they are one model.

    Args:
        coefficient_paths, fit_paths: ``.../{population}/{view}/{metric}/coefficients.csv`` and
            ``fit.json`` of `regress`.
        out_identity: CSV of `IDENTITY_COLUMNS`: the differences of `compare_views`; ``written``,
            the largest of raw second-order coefficients and their errors as the two tables have
            them; ``holds``, all within `IDENTITY_TOLERANCE`; or why there is nothing to compare.
    """
    tables = {_where(path): read_table(path).set_index("term") for path in coefficient_paths}
    fits = {_where(path): read_json(path) for path in fit_paths}
    rows = [
        {"population": population, "metric": metric, **_pair(tables, fits, population, metric)}
        for population, view, metric in fits
        if view == "relative" and (population, "absolute", metric) in fits
    ]
    table = pd.DataFrame(rows).reindex(columns=list(IDENTITY_COLUMNS))
    write_table(table, out_identity, IDENTITY_COLUMNS)


def _where(path: str | Path) -> tuple[str, str, str]:
    population, view, metric = Path(path).parts[-4:-1]
    return population, view, metric


def _pair(
    tables: Mapping[tuple[str, str, str], pd.DataFrame],
    fits: Mapping[tuple[str, str, str], Mapping[str, Any]],
    population: str,
    metric: str,
) -> dict[str, Any]:
    """What `check_views` says of one pair."""
    relative = fits[population, "relative", metric]
    found = relative.get("identity", {"checked": False, "reason": relative["reason"]})
    if not found["checked"]:
        return {"status": "not compared", "reason": found["reason"]}
    one, two = (tables[population, view, metric] for view in ("absolute", "relative"))
    second = one.index[one["kind"].isin(("quadratic", "interaction"))]
    gaps = [0.0]
    for column in ("raw_estimate", "raw_se"):
        a, b = (t.loc[second, column].to_numpy(dtype=float) for t in (one, two))
        # As in `compare_views`: relative to the coefficient and its error.
        size = np.abs(two.loc[second, "raw_estimate"]) + two.loc[second, "raw_se"].fillna(0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = np.abs(a - b) / size.to_numpy(dtype=float)
        same = (np.isnan(a) & np.isnan(b)) | (a == b)
        gaps += np.where(same, 0.0, np.nan_to_num(gap, nan=np.inf)).tolist()
    written = max(gaps)
    largest = max(found["max_difference"], written)
    holds = bool(found["holds"]) and largest <= IDENTITY_TOLERANCE
    return {
        "status": "one model" if holds else "different",
        "rows": found["rows"], **found["differences"], "written": written, "largest": largest,
        "holds": holds, "reason": found["reason"],
    }  # fmt: skip


def map_published_terms(
    published: pd.DataFrame, factors: Sequence[str], baseline: Mapping[str, float]
) -> tuple[dict[str, str], pd.DataFrame]:
    """Which named term each numbered one is, from the printed numbers alone.

    x1 ... x9 are taken in the order a, b, c, a^2, a:b, a:c, b^2, b:c, c^2. Every order of the
    factors is scored in two ways. `magnitude`: the share of tables in which the largest of the
    coefficients x4, x7, x9 (the squares) falls to the factor with the smallest values, as the
    inverse units of a quadratic coefficient demand. `shift`: the relative slope minus the
    absolute slope must be ``2 * quadratic * baseline + sum(interaction * other baseline)``; the
    score is the mean over slopes of ``|actual - expected| / (|actual| + |expected|)``, with the
    mean of the two views' curvatures. It is 0 when both views are one model and every digit is
    printed, and at most 1.

    Args:
        published: metric, view, term (const, x1 ... x9), coef.
        factors: the three factors' names, in any order.
        baseline: value of each factor that the relative view takes differences to.

    Returns:
        The mapping of the best order (magnitude first, then shift), and the scores of all.
    """
    rows = []
    for order in permutations(factors):
        scores = _score_order(published, order, baseline)
        rows.append({"x1": order[0], "x2": order[1], "x3": order[2], **scores})
    table = pd.DataFrame(rows)
    table = table.sort_values(["magnitude", "shift"], ascending=[False, True]).reset_index(
        drop=True
    )
    best = [str(table.loc[0, key]) for key in ("x1", "x2", "x3")]
    names = [t.name for t in polynomial_terms(best, 2, intercept=False)]
    mapping = {"const": INTERCEPT, **{f"x{i + 1}": name for i, name in enumerate(names)}}
    return mapping, table


def _score_order(
    published: pd.DataFrame, order: Sequence[str], baseline: Mapping[str, float]
) -> dict[str, float]:
    labels = [f"x{i}" for i in range(1, 10)]
    powers = [t.powers for t in polynomial_terms(list(order), 2, intercept=False)]
    base = np.array([baseline[name] for name in order])
    agreeing, possible, gaps = 0, 0, []
    for _, both in published.groupby("metric", sort=True):
        views = {
            view: part.set_index("term")["coef"].astype(float)
            for view, part in both.groupby("view", sort=True)
        }
        for coef in views.values():
            squares = np.abs([coef["x4"], coef["x7"], coef["x9"]])
            # The factor of far smallest size must have the far largest quadratic coefficient.
            possible += 1
            agreeing += int(np.argmax(squares) == int(np.argmin(base)))
        if len(views) < 2:
            continue
        absolute, relative = views["absolute"], views["relative"]
        curvature = (absolute + relative) / 2
        for k in range(3):
            moved = sum(
                powers[j][k]
                * float(curvature[labels[j]])
                * float(np.prod(base ** np.array([p - (i == k) for i, p in enumerate(powers[j])])))
                for j in range(3, 9)
                if powers[j][k]
            )
            actual = float(relative[labels[k]] - absolute[labels[k]])
            gaps.append(abs(actual - moved) / (abs(actual) + abs(moved)))
    return {
        "magnitude": agreeing / possible if possible else float("nan"),
        "shift": float(np.mean(gaps)) if gaps else float("nan"),
    }


def compare_published(
    fits: Mapping[tuple[str, str], pd.DataFrame],
    published: pd.DataFrame,
    mapping: Mapping[str, str],
) -> pd.DataFrame:
    """Our raw coefficients beside the published ones, term by term.

    Args:
        fits: (metric, view) -> coefficient table in the published form (`published_form`).
        published: table, metric, view, term, coef, std_err, t, p, ci_low, ci_high.
        mapping: published term -> named term (`map_published_terms`).
    """
    rows = []
    for _, line in published.iterrows():
        ours = fits.get((str(line["metric"]), str(line["view"])))
        named = mapping.get(str(line["term"]), "")
        row: dict[str, Any] = {
            "table": int(line["table"]), "metric": line["metric"], "view": line["view"],
            "term": named, "published_term": line["term"],
            "published_coef": float(line["coef"]), "published_std_err": float(line["std_err"]),
            "published_p": float(line["p"]),
        }  # fmt: skip
        match = None if ours is None else ours[ours["term"] == named]
        if match is not None and len(match):
            mine = match.iloc[0]
            row |= {
                "coef": mine["raw_estimate"], "std_err": mine["raw_se"], "p": mine["raw_p"],
                "std_err_cr3": mine["raw_se_cr3"], "p_cr3": mine["raw_p_cr3"],
                "estimable": bool(mine["estimable"]), "aliased_with": mine["aliased_with"],
                "n": mine["n"], "clusters": mine["clusters"],
            }  # fmt: skip
            there = bool(np.isfinite(mine["raw_estimate"]))
            row["same_sign"] = (
                bool(np.sign(mine["raw_estimate"]) == np.sign(row["published_coef"]))
                if there
                else None
            )
        rows.append(row)
    return pd.DataFrame(rows)


def regress_published(
    sample_path: str | Path,
    published_path: str | Path,
    out_table: str | Path,
    out_mapping: str | Path,
    spec: Mapping[str, Any],
) -> None:
    """Fit every published table's form on our rows and write both side by side.

    `spec` holds factors, baseline and cluster; metric, view and intercept follow
    each published table. Writes the comparison and the scored term orders.
    """
    published = read_table(published_path)
    baseline = read_specification({**spec, "metric": "loss"}).baseline
    mapping, scores = map_published_terms(published, list(spec["factors"]), baseline)
    frame = read_table(sample_path)
    fits: dict[tuple[str, str], pd.DataFrame] = {}
    for (metric, view), table in published.groupby(["metric", "view"], sort=True):
        form = {
            **spec, "metric": metric, "view": view, "published_form": True,
            "intercept": bool((table["term"] == "const").any()), "wild_draws": 0,
            "link": "none", "weights": None, "effects": (), "mixed": None,
        }  # fmt: skip
        fits[(str(metric), str(view))] = fit_population(frame, form).coefficients
    write_table(compare_published(fits, published, mapping), out_table)
    write_json(plain({"mapping": mapping, "orders": scores.to_dict("records")}), out_mapping)

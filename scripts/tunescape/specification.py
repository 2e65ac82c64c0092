"""Specification curve: what a coefficient becomes under every defensible way to fit it.

One metric is fitted under all combinations of eight decisions, and each coefficient's sign and
significance are counted over them. Estimates are comparable: a coefficient is the change of the
metric over half the range that the factor has in the study's own sample, at the middle of that
range (absolute view), at the baseline (relative view), or at the origin of the view's scale when
there is no intercept.

Source: Simonsohn, Simmons and Nelson, Nature Human Behaviour 4 (2020).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tunescape import inference
from tunescape.errors import UserError
from tunescape.populations import read_candidates, read_unsure, select_population
from tunescape.regression import (
    Specification,
    View,
    cluster_labels,
    complete_rows,
    read_specification,
    view_data,
)
from tunescape.surface import (
    INTERCEPT,
    Coding,
    Factor,
    SurfaceFit,
    code_factor,
    fit_surface,
    polynomial_terms,
)
from tunescape.tables import read_table, write_table

Array = NDArray[np.float64]

DECISIONS = (
    "coding", "intercept", "view", "duplicates", "confidence", "dataset", "outliers", "covariance",
)  # fmt: skip
COVARIANCES: tuple[inference.Kind, ...] = ("classical", "hc3", "cr3")
OUTLIER_RULES = ("keep", "studentised", "cook")
SURE = 0.9
STUDENTISED_LIMIT = 3.0

CURVE_COLUMNS: dict[str, str] = {
    "metric": "str", "term": "str", "specification": "int64", **dict.fromkeys(DECISIONS, "str"),
    "n": "Int64", "clusters": "Int64", "estimate": "float64", "se": "float64", "df": "float64",
    "p": "float64", "status": "str",
}  # fmt: skip
SUMMARY_COLUMNS: dict[str, str] = {
    "metric": "str", "term": "str", "decision": "str", "level": "str",
    "specifications": "int64", "estimated": "int64", "tested": "int64", "distinct": "int64",
    "reference_estimate": "float64", "reference_p": "float64",
    "median": "float64", "low": "float64", "high": "float64",
    "share_sign": "float64", "share_significant": "float64",
    "share_significant_sign": "float64", "share_verdict": "float64",
}  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """One way through the decisions but the covariance, which shares the fit."""

    coding: str
    intercept: bool
    view: View
    duplicates: str
    confidence: float
    dataset: str
    outliers: str

    def spelled(self) -> dict[str, str]:
        """The decisions as words, in the order of `DECISIONS`."""
        return {
            "coding": self.coding,
            "intercept": "yes" if self.intercept else "no",
            "view": self.view,
            "duplicates": self.duplicates,
            "confidence": f"{self.confidence:g}",
            "dataset": self.dataset,
            "outliers": self.outliers,
        }


@dataclass(frozen=True)
class _Outcome:
    """Estimates of one fit: per covariance (se, df, p); `status` when there is no fit."""

    n: int
    clusters: int
    estimate: Array
    tests: dict[inference.Kind, tuple[Array, float, Array]]
    status: tuple[str, ...]


def specification_curve(
    features_path: str | Path,
    provenance_path: str | Path,
    chosen_path: str | Path,
    out_curve: str | Path,
    out_summary: str | Path,
    spec: Mapping[str, Any],
) -> None:
    """Fit a population's metric under every combination of decisions and write what comes out.

    Args:
        features_path, provenance_path: tables of ``features.build_features``.
        chosen_path: which factors are numerous enough (``populations.measure_coverage``).
        out_curve: CSV of `CURVE_COLUMNS`, one row a specification and term.
        out_summary: CSV of `SUMMARY_COLUMNS`; the rows with decision ``all`` count every
            specification, the others those of one level of one decision.
        spec: that of the regression (`regression.read_specification`; its view, if any, is the
            study's own, otherwise absolute) and ``population``
            (`populations.select_population`).
    """
    chosen = read_table(chosen_path)
    of_metric = chosen[(chosen["metric"] == spec["metric"]) & ~chosen["chosen"]]
    left_out = set(of_metric["hyperparameter"]) & set(spec["factors"])
    kept = {name: how for name, how in spec["factors"].items() if name not in left_out}
    if kept:
        features = read_candidates(features_path, spec["population"])
        unsure = read_unsure(provenance_path, max(SURE, _own_sample(spec["population"])[1]))
        curve = trace_curve(features, unsure, {**spec, "factors": kept})
    else:
        curve = _empty(CURVE_COLUMNS)
    level = float(spec.get("confidence", 0.95))
    write_table(curve, out_curve, CURVE_COLUMNS)
    write_table(summarise_curve(curve, reference_choice(spec), 1 - level), out_summary)


def reference_choice(spec: Mapping[str, Any]) -> dict[str, str]:
    """The study's own decisions, as the words of the curve's columns."""
    population = spec["population"]
    choice = Choice(
        "study",
        bool(spec.get("intercept", True)),
        spec.get("view", "absolute"),
        population.get("duplicates", "drop"),
        float(population.get("min_confidence", 0.0)),
        "fixed" if "dataset" in spec.get("effects", ()) else "pooled",
        "keep",
    )
    return {**choice.spelled(), "covariance": "cr3"}


def trace_curve(
    features: pd.DataFrame, provenance: pd.DataFrame, spec: Mapping[str, Any]
) -> pd.DataFrame:
    """All specifications of one metric, one row a specification and term (`CURVE_COLUMNS`).

    Fits are shared between specifications that come to the same rows, and the three covariances
    of a fit between their specifications. ``estimate`` is nan where the term is aliased, ``p``
    where there is no variance; ``status`` says which, or why nothing was fitted. Numbers are
    rounded to six significant digits.

    Raises:
        UserError: a spec without population, metric or factors.
    """
    if "population" not in spec:
        raise UserError("missing", where="spec.population", expected="a population's keys")
    wanted = read_specification(spec)
    samples = _samples(features, provenance, spec["population"])
    own_rows, _, reason = complete_rows(samples[_own_sample(spec["population"])], wanted)
    if reason:
        return _empty(CURVE_COLUMNS)
    # Whether data sets have a level each is a decision of the curve.
    wanted = replace(wanted, effects=())
    codings = _codings(wanted)
    curve = _Curve(wanted, codings, _common_scales(own_rows, codings))
    needed = ["id", "owner", "dataset", wanted.cluster, wanted.metric, *wanted.codings]
    needed = list(dict.fromkeys([*needed, *([wanted.weights] if wanted.weights else [])]))
    rows = {
        (*place, coding, dataset): found
        for place, sample in samples.items()
        for coding, described in codings.items()
        for dataset, found in _by_dataset(_plain(sample[needed]), wanted, described)
    }
    for choice in _choices(list(samples), codings, wanted):
        curve.add(choice, rows[choice.duplicates, choice.confidence, choice.coding, choice.dataset])
    return curve.table()


def _empty(columns: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})


def _own_sample(population: Mapping[str, Any]) -> tuple[str, float]:
    return population.get("duplicates", "drop"), float(population.get("min_confidence", 0.0))


def _samples(
    features: pd.DataFrame, provenance: pd.DataFrame, population: Mapping[str, Any]
) -> dict[tuple[str, float], pd.DataFrame]:
    """The population by (duplicates, least confidence), the study's own first."""
    own = _own_sample(population)
    found = {}
    for duplicates, least in product(("drop", "keep"), sorted({own[1], SURE})):
        asked = {**population, "duplicates": duplicates, "min_confidence": least}
        sample, _ = select_population(
            features, asked, factors=(), metrics=(), provenance=provenance
        )
        found[duplicates, least] = sample
    return {own: found.pop(own), **found}


def _codings(wanted: Specification) -> dict[str, dict[str, dict[str, Any]]]:
    """The study's coding, and all factors linear or log where that is something else."""
    own = {name: how.get("coding", "linear") for name, how in wanted.codings.items()}
    found = {"study": own}
    for coding in ("linear", "log"):
        same = dict.fromkeys(own, coding)
        if same != own:
            found[coding] = same
    return {
        name: {factor: {"coding": coding} for factor, coding in codings.items()}
        for name, codings in found.items()
    }


def _common_scales(
    rows: pd.DataFrame, codings: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> dict[tuple[str, Coding], Factor]:
    """Centre and scale of each factor in each coding, from the study's own rows."""
    scales: dict[tuple[str, Coding], Factor] = {}
    for described in codings.values():
        for name, how in described.items():
            values = rows[name].to_numpy(dtype=float)
            coding: Coding = how["coding"]
            scales[name, coding] = code_factor(
                name, values[values > 0] if coding == "log" else values, coding
            )
    return scales


def _choices(
    samples: Sequence[tuple[str, float]], codings: Mapping[str, Any], wanted: Specification
) -> Iterator[Choice]:
    based = all(name in wanted.baseline for name in (*wanted.codings, wanted.metric))
    views: tuple[View, ...] = ("absolute",)
    if based and wanted.link == "identity":
        views = ("absolute", "relative")
    # Data-set effects contain a constant: with them an intercept is no decision.
    levels = ((True, "pooled"), (True, "fixed"), (False, "pooled"))
    for coding, view, (duplicates, least), (intercept, dataset), outliers in product(
        codings, views, samples, levels, OUTLIER_RULES
    ):
        yield Choice(coding, intercept, view, duplicates, least, dataset, outliers)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Texts as Python strings: the rows are walked through hundreds of times."""
    texts = [name for name in ("id", "owner", "dataset") if name in frame]
    return frame.astype(dict.fromkeys(texts, "object"))


def _by_dataset(
    sample: pd.DataFrame, wanted: Specification, described: dict[str, dict[str, Any]]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The complete rows, and those of them that a fit with data-set effects rests on."""
    complete, _, _ = complete_rows(sample, replace(wanted, codings=described))
    yield "pooled", complete
    yield "fixed", _shared_datasets(complete)


def _shared_datasets(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose data set is known and has another row: no others inform within-set slopes."""
    counts = rows["dataset"].map(rows["dataset"].value_counts())
    return rows[(counts > 1).fillna(False).to_numpy(dtype=bool)].reset_index(drop=True)


class _Curve:
    """Collects specifications; fits are made once for equal rows and decisions."""

    def __init__(
        self,
        wanted: Specification,
        codings: Mapping[str, dict[str, dict[str, Any]]],
        scales: Mapping[tuple[str, Coding], Factor],
    ) -> None:
        terms = polynomial_terms(list(wanted.codings), wanted.degree)
        self.terms = [t.name for t in terms if t.name != INTERCEPT]
        self.wanted, self.codings, self.scales = wanted, codings, scales
        self._whole: tuple[tuple[Any, ...], SurfaceFit | str] | None = None
        self._outcomes: dict[tuple[Any, ...], _Outcome] = {}
        self._columns: dict[str, list[Any]] = {name: [] for name in CURVE_COLUMNS}
        self._count = 0

    def add(self, choice: Choice, rows: pd.DataFrame) -> None:
        """One choice under each covariance."""
        key = (_same_rows(rows), replace(choice, duplicates="", confidence=0.0))
        if key not in self._outcomes:
            self._outcomes[key] = self._try(choice, rows)
        self._note(choice, self._outcomes[key])

    def table(self) -> pd.DataFrame:
        """`CURVE_COLUMNS`."""
        return pd.DataFrame(self._columns).astype(CURVE_COLUMNS)

    def _try(self, choice: Choice, rows: pd.DataFrame) -> _Outcome:
        fit = self._fit_whole(choice, rows)
        if isinstance(fit, SurfaceFit) and choice.outliers != "keep":
            far = _outlying(fit, choice.outliers)
            rows = rows[~far].reset_index(drop=True)
            if choice.dataset == "fixed":
                rows = _shared_datasets(rows)
            fit = self._fit_rows(choice, rows) if far.any() else fit
        if isinstance(fit, str):
            nan = np.full(len(self.terms), np.nan)
            empty = (nan, float("nan"), nan)
            status = (f"not fitted: {fit}",) * len(self.terms)
            return _Outcome(len(rows), 0, nan, dict.fromkeys(COVARIANCES, empty), status)
        at = [fit.columns.index(term) for term in self.terms]
        labels = cluster_labels(rows, self.wanted.cluster)
        tests: dict[inference.Kind, tuple[Array, float, Array]] = {}
        for kind in COVARIANCES:
            found = inference.covariance(fit, kind, labels)
            test = inference.term_tests(fit, found, self.wanted.level)
            tests[kind] = (test.se[at], test.df, test.p[at])
        status = tuple("" if np.isfinite(fit.coef[j]) else "not estimable" for j in at)
        return _Outcome(fit.n, len(set(labels)), fit.coef[at], tests, status)

    def _fit_whole(self, choice: Choice, rows: pd.DataFrame) -> SurfaceFit | str:
        """The fit before outliers go; their rules come one after another and share it."""
        key = (_same_rows(rows), replace(choice, duplicates="", confidence=0.0, outliers=""))
        if self._whole is None or self._whole[0] != key:
            self._whole = None  # a fit is as large as its rows: hold one at a time
            self._whole = key, self._fit_rows(choice, rows)
        return self._whole[1]

    def _fit_rows(self, choice: Choice, rows: pd.DataFrame) -> SurfaceFit | str:
        """The fit of these rows, or why there is none."""
        form = replace(self.wanted, codings=self.codings[choice.coding], intercept=choice.intercept)
        if len(rows) <= len(self.terms) + int(form.intercept):
            return f"{len(rows)} rows for {len(self.terms)} terms"
        values, response = view_data(rows, form, choice.view)
        weights = None
        if form.weights:
            column = rows[form.weights].to_numpy(dtype=float)
            weights = column / column.mean()
        try:
            return fit_surface(
                values,
                response,
                self._factors(choice),
                degree=form.degree,
                intercept=form.intercept,
                weights=weights,
                effects={"dataset": rows["dataset"].tolist()} if choice.dataset == "fixed" else {},
                link=form.link,
            )
        except UserError as error:
            return str(error)

    def _factors(self, choice: Choice) -> list[Factor]:
        """Codings on the common scale, their origin the view's own unless it can be the middle."""
        at_zero = choice.view == "relative" or not choice.intercept
        common = [
            self.scales[name, how["coding"]] for name, how in self.codings[choice.coding].items()
        ]
        return [replace(factor, centre=0.0) if at_zero else factor for factor in common]

    def _note(self, choice: Choice, outcome: _Outcome) -> None:
        size = len(self.terms)
        for kind in COVARIANCES:
            self._count += 1
            se, df, p = outcome.tests[kind]
            status = [
                said or ("" if np.isfinite(value) else "no variance")
                for said, value in zip(outcome.status, p, strict=True)
            ]
            same = {
                "metric": self.wanted.metric, "specification": self._count, **choice.spelled(),
                "covariance": kind, "n": outcome.n, "clusters": outcome.clusters, "df": df,
            }  # fmt: skip
            each: dict[str, Sequence[Any]] = {
                "term": self.terms, "estimate": _round(outcome.estimate), "se": _round(se),
                "p": _round(p), "status": status,
            }  # fmt: skip
            for name, column in self._columns.items():
                column.extend(each[name] if name in each else [same[name]] * size)


def _same_rows(rows: pd.DataFrame) -> bytes:
    """A digest that tells whether two choices come to the same models."""
    return hashlib.sha256("\n".join(rows["id"]).encode("utf-8", "surrogatepass")).digest()


def _outlying(fit: SurfaceFit, rule: str) -> NDArray[np.bool_]:
    """Rows that a rule drops: |studentised residual| > 3, or Cook's distance > 4 / n."""
    if rule == "studentised":
        size = np.abs(inference.studentised_residuals(fit))
        return np.asarray(np.nan_to_num(size) > STUDENTISED_LIMIT)
    distance = inference.cook_distance(fit)
    return np.asarray(np.where(np.isfinite(distance), distance, 0.0) > 4 / fit.n)


def _round(values: Array) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def summarise_curve(
    curve: pd.DataFrame, reference: Mapping[str, str], alpha: float = 0.05
) -> pd.DataFrame:
    """Count agreement over a curve, in all and within each level of each decision.

    The reference is the study's own specification; where it does not estimate a term, its sign is
    the more frequent one. Shares of signs are over the specifications that estimate the term,
    shares of significance (p < alpha) over those that test it:

    - ``share_sign``: the sign is the reference's;
    - ``share_significant``: significant, whichever sign;
    - ``share_significant_sign``: significant with the reference's sign;
    - ``share_verdict``: significant or not as the reference is (nan where that has no p).

    ``median``, ``low`` and ``high`` are the median and the central 95 % of the estimates;
    ``distinct`` counts different tests: where a decision changes nothing (no duplicates to drop,
    data sets of one owner), several specifications are one.
    """
    rows = []
    for term, part in curve.groupby("term", sort=False):
        own = part[np.logical_and.reduce([part[k] == v for k, v in reference.items()])]
        estimate = float(own["estimate"].iloc[0]) if len(own) else float("nan")
        p = float(own["p"].iloc[0]) if len(own) else float("nan")
        sign = np.sign(estimate)
        if not np.isfinite(estimate):
            sign = 1.0 if (part["estimate"] > 0).sum() >= (part["estimate"] < 0).sum() else -1.0
        groups = [("all", "", part)]
        groups += [
            (decision, str(level), group)
            for decision in DECISIONS
            for level, group in part.groupby(decision, sort=False)
        ]
        for decision, level, group in groups:
            counted = _count(group, float(sign), p, alpha)
            rows.append(
                {
                    "metric": part["metric"].iloc[0], "term": term, "decision": decision,
                    "level": level, "reference_estimate": estimate, "reference_p": p, **counted,
                }
            )  # fmt: skip
    if not rows:
        return _empty(SUMMARY_COLUMNS)
    return pd.DataFrame(rows)[list(SUMMARY_COLUMNS)].astype(SUMMARY_COLUMNS)


def _count(group: pd.DataFrame, sign: float, reference_p: float, alpha: float) -> dict[str, Any]:
    estimate = group["estimate"].to_numpy(dtype=float)
    p = group["p"].to_numpy(dtype=float)
    there, tested = np.isfinite(estimate), np.isfinite(p)
    same, significant = np.sign(estimate[there]) == sign, p[tested] < alpha
    both = significant & (np.sign(estimate[tested]) == sign)
    nan = float("nan")
    low, median, high = (
        np.quantile(estimate[there], [0.025, 0.5, 0.975]) if there.any() else (nan, nan, nan)
    )
    verdict = nan
    if np.isfinite(reference_p) and tested.any():
        verdict = float(np.mean(significant == (reference_p < alpha)))
    return {
        "specifications": len(group),
        "estimated": int(there.sum()),
        "tested": int(tested.sum()),
        "distinct": len(group[tested].drop_duplicates(["n", "estimate", "se", "df"])),
        "median": median,
        "low": low,
        "high": high,
        "share_sign": float(same.mean()) if there.any() else nan,
        "share_significant": float(significant.mean()) if tested.any() else nan,
        "share_significant_sign": float(both.mean()) if tested.any() else nan,
        "share_verdict": verdict,
    }

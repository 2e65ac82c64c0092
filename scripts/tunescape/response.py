"""The surface of one regression as tables: the nine of RSREG, its paths, and its optimum's region.

A regression is rebuilt from its own files, so that every table describes the fit that the
coefficients came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tunescape import canonical, inference
from tunescape.canonical import Path as SurfacePath
from tunescape.errors import UserError
from tunescape.regression import cluster_labels
from tunescape.surface import Factor, SurfaceFit, fit_surface
from tunescape.tables import read_json, read_table, write_table

Array = NDArray[np.float64]

LOWER_IS_BETTER = ("loss",)

_ANOVA = {
    "source": "str", "df": "Int64", "ss": "float64", "ms": "float64", "f": "float64",
    "p": "float64", "r2": "float64",
}  # fmt: skip
_PATH = {
    "goal": "str", "radius": "float64", "fit": "float64", "se": "float64", "ci_low": "float64",
    "ci_high": "float64", "interval": "str", "extrapolated": "bool", "estimable": "bool",
}  # fmt: skip
SURFACE_TABLES: dict[str, dict[str, str]] = {
    "coding": {"factor": "str", "coding": "str", "centre": "float64", "scale": "float64"},
    "model_anova": _ANOVA,
    "error_anova": _ANOVA,
    "factor_anova": {"factor": "str", "df": "Int64", "f": "float64", "p": "float64"},
    "estimates": {
        "term": "str", "estimate": "float64", "se": "float64", "t": "float64", "p": "float64",
    },
    "spectral": {"axis": "Int64", "eigenvalue": "float64", "factor": "str", "weight": "float64"},
    "stationary_point": {
        "factor": "str", "coded": "float64", "raw": "float64", "predicted": "float64",
        "se": "float64", "nature": "str", "inside_range": "bool", "inside_hull": "boolean",
        "statement": "str",
    },
    "ridge": _PATH,
    "fit_statistics": {"statistic": "str", "value": "str"},
    "steepest": _PATH,
    "optimum_region": {
        "factor": "str", "goal": "str", "resampled": "str", "draws": "Int64",
        "share_maximum": "float64", "share_minimum": "float64", "share_saddle": "float64",
        "share_inside": "float64",
        "coded_low": "float64", "coded_high": "float64", "raw_low": "float64",
        "raw_high": "float64", "statement": "str",
    },
    "joint_tests": {
        "error": "str", "group": "str", "terms": "str", "df1": "Int64", "df2": "float64",
        "f": "float64", "p": "float64", "partial_r2": "float64", "reason": "str",
    },
    "importance": {
        "factor": "str", "partial_r2": "float64", "low": "float64", "high": "float64",
        "permutation": "float64",
    },
    "slopes": {
        "factor": "str", "at": "float64", "per_coded_unit": "float64",
        "per_measured_unit": "float64", "per_raw_unit": "float64", "se_classical": "float64",
        "se": "float64", "p": "float64", "error": "str",
    },
    "checks": {"check": "str", "value": "float64", "where": "str", "reason": "str"},
}  # fmt: skip
"""Tables by name with their columns; paths have one more column a factor, in raw units."""


@dataclass(frozen=True)
class Response:
    """A regression rebuilt from its files; `fit` is None when nothing was fitted.

    Attributes:
        values: factor -> (rows,), raw and in the fit's view.
        clusters: (rows,) labels.
        rows: the diagnostics table.
        effects: columns of ``rows`` that entered as effects.
    """

    summary: dict[str, Any]
    fit: SurfaceFit | None
    values: dict[str, Array]
    clusters: tuple[str, ...]
    rows: pd.DataFrame
    effects: tuple[str, ...] = ()

    @property
    def metric(self) -> str:
        """Name of the response."""
        return str(self.summary["metric"])

    def robust(self) -> inference.Covariance:
        """The cluster-robust covariance where it exists for every term, else the classical."""
        assert self.fit is not None
        return inference.surface_covariance(self.fit, self.clusters)


def read_response(
    fit_path: str | Path, diagnostics_path: str | Path, effects: Sequence[str] = ()
) -> Response:
    """Rebuild a regression from ``fit.json`` and ``diagnostics.csv`` of `regression.regress`.

    Args:
        effects: columns of the diagnostics that entered as effects.
    """
    summary = read_json(fit_path)
    rows = read_table(diagnostics_path)
    clusters = tuple(str(name) for name in rows["cluster"])
    if summary["status"] == "not_fitted":
        return Response(summary, None, {}, clusters, rows)
    baseline = summary["baseline"]["values"]
    factors, values = [], {}
    for f in summary["coding"]:
        factors.append(Factor(f["name"], f["coding"], f["centre"], f["scale"]))
        column = rows[f["name"]].to_numpy(dtype=float)
        if summary["view"] == "relative":
            base = float(baseline[f["name"]])
            column = column / base if f["coding"] == "log" else column - base
        values[f["name"]] = column
    effects = tuple(effects)
    fit = _fit(summary, factors, values, rows, effects)
    return Response(summary, fit, values, clusters, rows, effects)


def _fit(
    summary: Mapping[str, Any],
    factors: Sequence[Factor],
    values: Mapping[str, Array],
    rows: pd.DataFrame,
    effects: Sequence[str],
) -> SurfaceFit:
    return fit_surface(
        values,
        rows["response"].to_numpy(dtype=float),
        factors,
        degree=int(summary["degree"]),
        intercept=bool(summary["intercept"]),
        weights=rows["weight"].to_numpy(dtype=float),
        effects={name: rows[name].fillna("").astype(str).tolist() for name in effects},
        link=summary["link"],
    )


def write_surface(
    fit_path: str | Path,
    diagnostics_path: str | Path,
    outputs: Sequence[str | Path],
    spec: Mapping[str, Any],
) -> None:
    """Write tables of a fitted surface.

    Args:
        fit_path, diagnostics_path: files of `regression.regress`.
        outputs: files whose stem is a key of `SURFACE_TABLES`; what is not named is not made.
            Without a fit the tables are empty and ``stationary_point`` says why.
        spec: ``effects`` as in the regression; ``draws`` (2000) and ``seed`` (0) of the bootstrap.
    """
    found = read_response(fit_path, diagnostics_path, tuple(spec.get("effects", ())))
    names = [Path(path).stem for path in outputs]
    for name in names:
        if name not in SURFACE_TABLES:
            raise UserError(
                f"no surface table '{name}'", expected=", ".join(SURFACE_TABLES), where="outputs"
            )
    tables = surface_tables(found, int(spec.get("draws", 2_000)), int(spec.get("seed", 0)))
    for name, path in zip(names, outputs, strict=True):
        write_table(tables[name], path)


def surface_tables(
    response: Response, draws: int = 2_000, seed: int = 0
) -> dict[str, pd.DataFrame]:
    """All tables of `SURFACE_TABLES` for one regression (degree 2 at most)."""
    fit = response.fit
    if fit is None:
        reason = f"not fitted: {response.summary['reason']}"
        return {name: _shape(name, _without_fit(name, reason)) for name in SURFACE_TABLES}
    plain = canonical.rsreg_tables(fit, response.values)
    records: dict[str, list[dict[str, Any]]] = {
        "coding": [{**row, "factor": row["name"]} for row in plain["coding"]],
        **{name: plain[name] for name in ("model_anova", "error_anova", "factor_anova")},
        "estimates": plain["estimates"],
        "spectral": [
            {
                "axis": k + 1,
                "eigenvalue": row["eigenvalue"],
                "factor": f.name,
                "weight": row[f.name],
            }
            for k, row in enumerate(plain["spectral"])
            for f in fit.factors
        ],
        "stationary_point": _stationary(fit, response.values),
        "ridge": _paths(response, fit, canonical.ridge_path),
        "fit_statistics": [
            {"statistic": name, "value": value if isinstance(value, str) else repr(float(value))}
            for name, value in plain["fit_statistics"].items()
        ],
        "steepest": _paths(response, fit, canonical.steepest_path),
        "optimum_region": _optimum(response, fit, draws, seed),
        "joint_tests": [
            {**test, "error": error, "group": test["name"], "terms": " ".join(test["tested"])}
            for error, tests in response.summary["joint_tests"].items()
            for test in tests
        ],
        "importance": response.summary["importance"],
        "slopes": _slopes(response, fit),
        "checks": _checks(response, fit),
    }
    names = [f.name for f in fit.factors]
    return {name: _shape(name, records[name], names) for name in SURFACE_TABLES}


def _shape(
    name: str, records: Sequence[Mapping[str, Any]], factors: Sequence[str] = ()
) -> pd.DataFrame:
    columns = dict(SURFACE_TABLES[name])
    if name in ("ridge", "steepest"):
        columns |= dict.fromkeys(factors, "float64")
    table = pd.DataFrame(list(records)).reindex(columns=list(columns))
    return table.astype(columns)


def _without_fit(name: str, reason: str) -> list[dict[str, Any]]:
    if name != "stationary_point":
        return []
    return [{"factor": "", "nature": "unknown", "inside_range": False, "statement": reason}]


def _stationary(fit: SurfaceFit, values: Mapping[str, Array]) -> list[dict[str, Any]]:
    found = canonical.canonical_analysis(fit, values)
    known = 1.0 if found.nature != "unknown" else float("nan")
    return [
        {
            "factor": name,
            "coded": found.point[k] * known,
            "raw": found.point_raw[k] * known,
            "predicted": found.value * known,
            "se": found.se * known,
            "nature": found.nature,
            "inside_range": found.inside_range,
            "inside_hull": found.inside_hull,
            "statement": found.statement,
        }
        for k, name in enumerate(found.factors)
    ]


def _slopes(response: Response, fit: SurfaceFit) -> list[dict[str, Any]]:
    """First derivatives at the median setting; the error is that of `Response.robust`."""
    middle = {name: float(np.median(column)) for name, column in response.values.items()}
    used = response.robust()
    found, robust = fit.slopes(middle), fit.slopes(middle, covariance=used.matrix)
    se = robust.se_per_measured_unit
    _, p, _, _ = inference.t_tests(found.per_measured_unit, se, used.df)
    return [
        {
            "factor": name, "at": middle[name], "per_coded_unit": found.per_coded_unit[k],
            "per_measured_unit": found.per_measured_unit[k], "per_raw_unit": found.per_raw_unit[k],
            "se_classical": found.se_per_measured_unit[k], "se": se[k], "p": p[k],
            "error": used.kind,
        }
        for k, name in enumerate(found.factors)
    ]  # fmt: skip


def _checks(response: Response, fit: SurfaceFit) -> list[dict[str, Any]]:
    """What to know of a fit before it is believed: one number a row, with its place."""
    told, rows = response.summary, response.rows
    lack, impossible = told["lack_of_fit"], told["impossible"]
    inflation = inference.variance_inflation(fit)
    worst = max(inflation, key=lambda name: inflation[name], default="")
    leading = told["dominant_owner"]
    owner, distance = _most_influential(told["cook_clusters"], fit)
    found: list[tuple[str, Any, str, str]] = [
        *((name, told[name], "", "") for name in ("n", "models", "owners", "datasets", "clusters")),
        ("largest_owner_share", leading["share"], leading["owner"], ""),
        *((name, told[name], "", "") for name in ("rank", "df_residual", "condition_coded")),
        ("condition_raw", told["condition_raw"], "", ""),
        ("r2", told["r2"], "", told["r2_kind"]),
        ("adjusted_r2", told["adjusted_r2"], "", ""),
        ("noise_ceiling_r2", lack["noise_ceiling"], "", lack["reason"]),
        ("press_r2", told["press"]["r2"], "", ""),
        *(
            (
                f"left_out_{unit}_r2", held["r2"], "",
                f"{held['rows_undetermined']} of {held['rows_scored']} rows not determined",
            )
            for unit, held in told["held_out"].items()
        ),
        ("left_out_dataset_clusters", told["held_out"]["dataset"]["clusters"], "", ""),
        (
            "left_out_dataset_rows_unlabelled", told["held_out"]["dataset"]["rows_unlabelled"],
            "", "rows without a data set stay in the fit and are not scored",
        ),
        ("lack_of_fit_f", lack["f"], "", lack["reason"]),
        ("lack_of_fit_p", lack["p"], "", lack["reason"]),
        ("breusch_pagan_lm", told["breusch_pagan"]["lm"], "", ""),
        ("breusch_pagan_p", told["breusch_pagan"]["p"], "", ""),
        ("largest_vif", inflation.get(worst), worst, ""),
        *(
            (f"largest_{name}", rows[name].max(), _place_of(rows, name), "")
            for name in ("leverage", "cook")
        ),
        ("largest_cook_cluster", distance, owner, ""),
        *_without(response, fit, owner),
        ("impossible_rows", impossible["rows"], "", ""),
        ("impossible_share_of_range", _share(impossible), "", "grid over the factors' ranges"),
    ]  # fmt: skip
    return [dict(zip(("check", "value", "where", "reason"), row, strict=True)) for row in found]


def _most_influential(found: Mapping[str, float | None], fit: SurfaceFit) -> tuple[str, float]:
    """The cluster of largest Cook's distance, infinite where a term is lost without it."""
    if not fit.sigma2 > 0 or not found:
        return "", float("nan")
    name, distance = _largest(found)[0]
    return name, float("inf") if distance is None else distance


def _without(
    response: Response, fit: SurfaceFit, cluster: str
) -> list[tuple[str, float, str, str]]:
    """R2 of the fit in the same coding without a cluster, and its R2 for owners left out."""
    keep = np.array([label != cluster for label in response.clusters])
    names = ("r2_without_cluster", "left_out_owner_r2_without_cluster")
    if keep.all() or not keep.any():
        reason = "no other rows" if cluster else "no residual variance, so no Cook's distance"
        return [(name, float("nan"), cluster, reason) for name in names]
    rows = response.rows[keep]
    values = {name: column[keep] for name, column in response.values.items()}
    rest = _fit(response.summary, fit.factors, values, rows, response.effects)
    held = inference.held_out(rest, cluster_labels(rows, "owner"))
    said = f"{rest.n} rows remain, rank {rest.rank}"
    lost = f"{held.undetermined} of {rest.n} rows not determined"
    return [(names[0], rest.r2, cluster, said), (names[1], held.r2, cluster, lost)]


def _largest(found: Mapping[str, float | None]) -> list[tuple[str, float | None]]:
    """Entries from the largest on; one without a number is infinite."""
    return sorted(found.items(), key=lambda item: -(np.inf if item[1] is None else item[1]))


def _place_of(rows: pd.DataFrame, name: str) -> str:
    column = rows[name].to_numpy(dtype=float)
    if not np.isfinite(column).any():
        return ""
    return str(rows["id"].iloc[int(np.nanargmax(np.where(np.isnan(column), -np.inf, column)))])


def _share(impossible: Mapping[str, Any]) -> float:
    points = impossible["grid_points"]
    return float(impossible["grid"] / points) if points else float("nan")


def _paths(response: Response, fit: SurfaceFit, walk: Any) -> list[dict[str, Any]]:
    """Both directions of a path, with the interval of `Response.robust`."""
    used = response.robust()
    level = float(response.summary["level"])
    rows = []
    for goal in ("maximum", "minimum"):
        path: SurfacePath = walk(fit, response.values, maximise=goal == "maximum", level=level)
        at = {f.name: path.raw[:, k] for k, f in enumerate(fit.factors)}
        predicted = fit.predict(at, level=level, covariance=used.matrix, df=used.df)
        for i in range(len(path.radius)):
            known = bool(predicted.estimable[i])
            numbers = (predicted.fit, predicted.se, predicted.ci_low, predicted.ci_high)
            shown = [float(v[i]) if known else float("nan") for v in numbers]
            rows.append(
                {
                    "goal": goal, "radius": path.radius[i],
                    **dict(zip(("fit", "se", "ci_low", "ci_high"), shown, strict=True)),
                    "interval": used.kind, "extrapolated": bool(path.extrapolated[i]),
                    "estimable": known, **{name: float(v[i]) for name, v in at.items()},
                }
            )  # fmt: skip
    return rows


def _optimum(response: Response, fit: SurfaceFit, draws: int, seed: int) -> list[dict[str, Any]]:
    maximise = response.metric not in LOWER_IS_BETTER
    goal = "maximum" if maximise else "minimum"
    resample = response.summary.get("resampling", "clusters")
    found = canonical.optimum_region(
        fit, response.values, response.clusters, maximise=maximise, draws=draws, seed=seed,
        resample=resample,
    )  # fmt: skip
    if fit.aliased:
        said = f"no region: not estimable: {', '.join(fit.aliased)}"
    elif not found.draws:
        said = "no region: resampled clusters do not determine the surface"
    elif len(set(response.clusters)) < 2 and resample == "clusters":
        said = "no region: all rows belong to one cluster"
    elif found.draws < draws / 2:
        said = f"no region: {found.draws} of {draws} resamples determine the surface"
    elif not np.isfinite(found.low).all():
        said = f"no interior optimum: fewer than half of the resampled surfaces have a {goal}"
    else:
        said = f"central limits of the {goal} of resampled surfaces"
    low, high = (canonical.decode_point(fit, limit) for limit in (found.low, found.high))
    return [
        {
            "factor": f.name, "goal": goal, "resampled": resample, "draws": found.draws,
            **{f"share_{kind}": share for kind, share in found.share.items()},
            "share_inside": found.inside, "coded_low": found.low[k], "coded_high": found.high[k],
            "raw_low": low[k], "raw_high": high[k], "statement": said,
        }
        for k, f in enumerate(fit.factors)
    ]  # fmt: skip

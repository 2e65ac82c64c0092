"""Several metrics at once: desirability and the Pareto front, on surfaces and on observed models.

Sources: Derringer and Suich, J. Quality Technology 12 (1980), for the one-sided desirability and
its geometric mean; the weighted mean is Derringer, Quality Progress 27 (1994).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tunescape.errors import UserError
from tunescape.region import Region
from tunescape.regression import BOUNDS, plain
from tunescape.response import LOWER_IS_BETTER, Response, read_response
from tunescape.tables import write_json, write_table

Array = NDArray[np.float64]

CANDIDATES = 4_000
_TAIL = 0.05


@dataclass(frozen=True)
class Goal:
    """What is wanted of a metric.

    Attributes:
        worst: value from which on (away from `target`) desirability is 0.
        target: value from which on it is 1; above `worst` when the metric is to be maximised.
        weight: shape, 1 is linear; above 1 only values near the target count.
        importance: weight in the overall desirability.
    """

    metric: str
    worst: float
    target: float
    weight: float = 1.0
    importance: float = 1.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.worst) and np.isfinite(self.target)) or self.worst == self.target:
            raise UserError(
                f"worst {self.worst!r} and target {self.target!r} make no scale",
                where=f"desirability of {self.metric}",
                expected="two different numbers",
            )
        if not (self.weight > 0 and self.importance > 0):
            raise UserError(
                f"weight {self.weight!r}, importance {self.importance!r}",
                where=f"desirability of {self.metric}",
                expected="numbers above 0",
            )

    @property
    def maximise(self) -> bool:
        """Whether higher is better."""
        return self.target > self.worst


def goal_from_data(metric: str, values: ArrayLike, **given: float) -> Goal:
    """A goal between the 5 % and the 95 % quantile of observed values; `given` overrides.

    Where the two quantiles are equal, the extremes take their place. Loss is minimised, every
    other metric maximised.
    """
    x = np.asarray(values, dtype=float)
    x = x[np.isfinite(x)]
    low, high = (float(q) for q in np.quantile(x, [_TAIL, 1 - _TAIL]))
    if low == high:
        low, high = float(x.min()), float(x.max())
    if metric in LOWER_IS_BETTER:
        low, high = high, low
    return Goal(metric, **{"worst": low, "target": high, **given})


def desirability(values: ArrayLike, goal: Goal) -> Array:
    """One-sided desirability of each value, in [0, 1]; nan for nan."""
    x = np.asarray(values, dtype=float)
    share = np.clip((x - goal.worst) / (goal.target - goal.worst), 0.0, 1.0)
    return np.asarray(share**goal.weight, dtype=float)


def overall_desirability(individual: Array, importance: Sequence[float]) -> Array:
    """Weighted geometric mean over metrics: (rows, metrics) to (rows,); 0 where any is 0."""
    weights = np.asarray(importance, dtype=float) / float(np.sum(importance))
    with np.errstate(divide="ignore"):
        return np.asarray(np.exp(np.log(individual) @ weights), dtype=float)


def pareto_front(values: Array, maximise: Sequence[bool]) -> NDArray[np.bool_]:
    """Rows that no other row beats: as good in every column and better in one.

    Args:
        values: (rows, metrics); rows with nan are never on the front.
        maximise: per column, whether higher is better.
    """
    better = np.asarray(values, dtype=float) * np.where(np.asarray(maximise), 1.0, -1.0)
    front: NDArray[np.bool_] = np.isfinite(better).all(axis=1)
    for i in np.flatnonzero(front):
        others = better[front]
        beaten = (others >= better[i]).all(axis=1) & (others > better[i]).any(axis=1)
        front[i] = not beaten.any()
    return front


def weigh_metrics(
    fit_paths: Sequence[str | Path],
    diagnostics_paths: Sequence[str | Path],
    out_surface: str | Path,
    out_observed: str | Path,
    out_summary: str | Path,
    spec: Mapping[str, Any],
) -> None:
    """Write the trade-offs among the metrics of one population in one view.

    Args:
        fit_paths, diagnostics_paths: of `regression.regress`, one a metric, same view.
        out_surface: CSV; settings on the Pareto front of the fitted surfaces, best overall
            desirability first, each prediction with its interval.
        out_observed: CSV; models that state all metrics, with desirability and front.
        out_summary: JSON; goals, counts of candidates, the best setting, or why there is none.
        spec: ``goals`` (metric -> worst, target, weight, importance; all optional), ``effects``.
    """
    if len(fit_paths) != len(diagnostics_paths):
        raise UserError("one diagnostics file a fit is needed", where="weigh_metrics")
    effects = tuple(spec.get("effects", ()))
    responses = [
        read_response(fit, rows, effects)
        for fit, rows in zip(fit_paths, diagnostics_paths, strict=True)
    ]
    given = spec.get("goals", {})
    usable = [r for r in responses if r.fit is not None]
    goals = [
        goal_from_data(r.metric, r.rows["response"], **given.get(r.metric, {})) for r in usable
    ]
    observed = weigh_observed(usable, goals)
    surface, counts = weigh_surfaces(usable, goals)
    write_table(surface, out_surface)
    write_table(observed, out_observed)
    reason = ""
    if not usable:
        reason = "no metric could be fitted"
    elif surface.empty:
        reason = "no setting lies in the data of every metric with all predictions possible"
    summary = {
        "goals": [{**asdict(g), "maximise": g.maximise} for g in goals],
        "not_fitted": {r.metric: r.summary["reason"] for r in responses if r.fit is None},
        "candidates": counts,
        "observed": {
            "models": len(observed),
            "front": int(observed["front"].sum()) if len(observed) else 0,
        },
        "best": surface.iloc[0].to_dict() if len(surface) else None,
        "reason": reason,
    }
    write_json(plain(summary), out_summary)


def weigh_observed(responses: Sequence[Response], goals: Sequence[Goal]) -> pd.DataFrame:
    """Models that state every metric: desirability of each and overall, and the Pareto front.

    Columns: id, owner, factors, metrics, ``d_`` metric, desirability, front; best first.
    """
    names = _factor_names(responses)
    if not responses:
        return pd.DataFrame({c: [] for c in ("id", "owner", "desirability", "front")})
    joined = responses[0].rows[["id", "owner"]]
    for response in responses:
        own = response.rows[["id", "response"]].rename(columns={"response": response.metric})
        joined = joined.merge(own, on="id", how="inner")
    for name in names:
        where = next(r for r in responses if name in r.values).rows[["id", name]]
        joined = joined.merge(where, on="id", how="left")
    table = _weigh(joined, goals)
    metrics = [g.metric for g in goals]
    order = ["id", "owner", *names, *metrics, *(f"d_{m}" for m in metrics)]
    return _best_first(table)[[*order, "desirability", "front"]]


def weigh_surfaces(
    responses: Sequence[Response], goals: Sequence[Goal]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The Pareto front of the fitted surfaces inside the region of the data.

    Candidates are a grid over the range that all metrics share, and the observed settings. One
    counts when, for every metric, it lies in the convex hull of the data in coded units, its
    leverage is within theirs, the terms determine it, and the prediction is a possible value.

    Returns:
        The front, best first (factors in raw units of the view; per metric its name, ``_low``,
        ``_high`` and ``d_``; desirability), and counts of candidates by reason of exclusion.
    """
    counts = {"tried": 0, "outside_data": 0, "not_determined": 0, "impossible": 0, "kept": 0}
    names = _factor_names(responses)
    metrics = [g.metric for g in goals]
    columns = [c for m in metrics for c in (m, f"{m}_low", f"{m}_high", f"d_{m}")]
    empty = pd.DataFrame({c: pd.Series(dtype="float64") for c in (*names, *columns)}).assign(
        desirability=pd.Series(dtype="float64")
    )
    points = _candidates(responses, names)
    counts["tried"] = len(points)
    if not len(points):
        return empty, counts
    table = pd.DataFrame(points, columns=names)
    for response in responses:
        known = _predict(response, table)
        for reason, bad in known.pop("excluded").items():
            counts[reason] += int(bad.sum())
            table, known = table[~bad], {k: v[~bad] for k, v in known.items()}
        table = table.assign(**known)
    counts["kept"] = len(table)
    if table.empty:
        return empty, counts
    weighed = _best_first(_weigh(table, goals))
    front = weighed[weighed["front"]]
    return front[[*names, *columns, "desirability"]].reset_index(drop=True), counts


def _factor_names(responses: Sequence[Response]) -> list[str]:
    return list(dict.fromkeys(name for r in responses for name in r.values))


def _candidates(responses: Sequence[Response], names: Sequence[str]) -> Array:
    """Grid over the ranges that all metrics share, then observed settings, without repeats."""
    if not responses or not names:
        return np.empty((0, len(names)))
    levels = max(3, int(CANDIDATES ** (1 / len(names))))
    axes = []
    for name in names:
        having = [r for r in responses if name in r.values]
        low = max(float(r.values[name].min()) for r in having)
        high = min(float(r.values[name].max()) for r in having)
        if low > high:
            return np.empty((0, len(names)))
        coding = next(f.coding for f in _factors(having[0]) if f.name == name)
        axes.append((np.geomspace if coding == "log" else np.linspace)(low, high, levels))
    mesh = np.meshgrid(*axes, indexing="ij")
    grid = np.column_stack([m.ravel() for m in mesh])
    seen = [
        np.column_stack([r.values[name] for name in names])
        for r in responses
        if set(names) <= set(r.values)
    ]
    return np.unique(np.vstack([grid, *seen]), axis=0)


def _factors(response: Response) -> tuple[Any, ...]:
    assert response.fit is not None
    return response.fit.factors


def _predict(response: Response, table: pd.DataFrame) -> dict[str, Any]:
    """Predictions of one metric at the points of a table, and which do not count and why."""
    fit = response.fit
    assert fit is not None
    used = response.robust()
    at = {f.name: table[f.name].to_numpy(dtype=float) for f in fit.factors}
    level = float(response.summary["level"])
    predicted = fit.predict(at, level=level, covariance=used.matrix, df=used.df)
    region = Region(np.column_stack([f.encode(response.values[f.name]) for f in fit.factors]))
    coded = np.column_stack([f.encode(at[f.name]) for f in fit.factors])
    outside = ~region.contains(coded) | predicted.extrapolated
    loose = ~outside & ~predicted.estimable
    low, high = BOUNDS.get(response.metric, (None, None))
    shift = 0.0
    if response.summary["view"] == "relative" and response.summary.get("scale") != "identity":
        low = high = None  # log odds ratios and log ratios have no bounds
    elif response.summary["view"] == "relative":
        shift = float(response.summary["baseline"]["values"][response.metric])
    impossible = np.zeros(len(table), dtype=bool)
    if low is not None:
        impossible |= predicted.fit + shift < low
    if high is not None:
        impossible |= predicted.fit + shift > high
    reasons = np.where(outside, 1, np.where(loose, 2, np.where(impossible, 3, 0)))
    excluded = {}
    # Each exclusion is applied to what the ones before it left.
    for code, reason in enumerate(("outside_data", "not_determined", "impossible"), start=1):
        excluded[reason] = reasons == code
        reasons = reasons[reasons != code]
    return {
        response.metric: predicted.fit,
        f"{response.metric}_low": predicted.ci_low,
        f"{response.metric}_high": predicted.ci_high,
        "excluded": excluded,
    }


def _weigh(table: pd.DataFrame, goals: Sequence[Goal]) -> pd.DataFrame:
    """The table with ``d_`` of each metric, overall desirability and the Pareto front."""
    single = np.column_stack([desirability(table[g.metric], g) for g in goals])
    metrics = table[[g.metric for g in goals]].to_numpy(dtype=float)
    return table.assign(
        **{f"d_{g.metric}": single[:, k] for k, g in enumerate(goals)},
        desirability=overall_desirability(single, [g.importance for g in goals]),
        front=pareto_front(metrics, [g.maximise for g in goals]),
    )


def _best_first(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values("desirability", ascending=False, kind="stable").reset_index(drop=True)

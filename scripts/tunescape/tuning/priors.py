"""What a search may know before it starts: finished trials, or the surface of published models.

Neither is believed outright. Finished trials enter as they are. The surface mined from published
models gives an order of settings and never a level: its points enter as a few made-up trials whose
values are quantiles of the search's own results, pulled towards their middle, and it narrows
ranges by a part of the way only. What a prior is worth is measured, by a cold start beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunescape.constructions import sobol
from tunescape.errors import UserError
from tunescape.factors import DesignFactor, Value
from tunescape.tables import read_json, read_table
from tunescape.tuning.bayes import Observation, contains, observe
from tunescape.tuning.study import Search, TuningStudy
from tunescape.tuning.trials import Trial

Array = NDArray[np.float64]

POOL = 512
TAIL = 0.05
FULL_WEIGHT = 20
"""Made-up trials that a mined surface of weight 1 enters a search with."""


# Earlier stages ---------------------------------------------------------------------------------


def earlier_observations(
    study: TuningStudy,
    factors: Sequence[DesignFactor],
    trials: Sequence[Trial],
) -> tuple[list[Observation], dict[str, Any]]:
    """Finished trials of earlier stages that say something about the search's region.

    Left out are runs that failed or were stopped early, those with another factor off the
    baseline, those outside the search's ranges, and repetitions of one run.

    Returns:
        The observations, and how many were used and left out for which reason.
    """
    names = {factor.name for factor in factors}
    counts = {"used": 0, "not_ok": 0, "other_factor": 0, "out_of_range": 0, "repeated": 0}
    found, seen = [], set()
    for one in observe(study, trials):
        others = {k: v for k, v in one.settings.items() if k not in names}
        if one.value is None or one.censored:
            counts["not_ok"] += 1
        elif any(value != study.baseline[name] for name, value in others.items()):
            counts["other_factor"] += 1
        elif not contains(factors, one.settings):
            counts["out_of_range"] += 1
        elif one.attributes["run_id"] in seen:
            counts["repeated"] += 1
        else:
            seen.add(one.attributes["run_id"])
            counts["used"] += 1
            found.append(one)
    return found, counts


# The mined surface ------------------------------------------------------------------------------


@dataclass(frozen=True)
class MinedSurface:
    """A second-order surface of published models.

    Attributes:
        metric: what it is of.
        codings: name -> (linear or log, centre, scale).
        terms: name -> coded coefficient; terms that the models cannot tell are 0.
        ranges: name -> where the models lie (5 % to 95 %, or least to largest).
        models: how many.
        degree: of the polynomial.
    """

    metric: str
    codings: Mapping[str, tuple[str, float, float]]
    terms: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]
    models: int
    degree: int

    def predict(self, points: Sequence[Mapping[str, float]]) -> Array:
        """Predicted metric at points in raw units, shape (points,)."""
        from tunescape import surface

        names = list(self.codings)
        factors = []
        for name in names:
            coding, centre, scale = self.codings[name]
            kind: surface.Coding = "log" if coding == "log" else "linear"
            factors.append(surface.Factor(name, kind, centre, scale))
        intercept = surface.INTERCEPT in self.terms
        terms = surface.polynomial_terms(names, self.degree, intercept=intercept)
        values = {name: [float(point[name]) for point in points] for name in names}
        matrix = surface.design_matrix(values, factors, terms)
        return np.asarray(matrix @ [self.terms.get(term.name, 0.0) for term in terms], dtype=float)


def read_surface(
    fit: str | Path, coefficients: str | Path, diagnostics: str | Path | None = None
) -> MinedSurface | str:
    """A regression's files as a surface, or the reason why they are none.

    Args:
        fit: fit.json of `regression.regress`, of the absolute view.
        coefficients: coefficients.csv beside it.
        diagnostics: diagnostics.csv beside it, for the range in which the models lie.
    """
    summary = read_json(fit)
    if summary.get("status") == "not_fitted":
        return f"the surface was not fitted: {summary.get('reason', '')}"
    if summary.get("view") != "absolute":
        raise UserError("the surface is of differences", where=str(fit), expected="view: absolute")
    table = read_table(coefficients)
    estimates = table["estimate"].where(table["estimable"], 0.0).fillna(0.0)
    terms = dict(zip(table["term"].astype(str), map(float, estimates), strict=True))
    rows = None if diagnostics is None else read_table(diagnostics)
    codings, ranges = {}, {}
    for coding in summary["coding"]:
        name = str(coding["name"])
        codings[name] = (str(coding["coding"]), float(coding["centre"]), float(coding["scale"]))
        ranges[name] = (float(coding["min"]), float(coding["max"]))
        if rows is not None and name in rows:
            low, high = np.quantile(rows[name].to_numpy(dtype=float), [TAIL, 1 - TAIL])
            ranges[name] = (float(low), float(high))
    return MinedSurface(
        str(summary["metric"]), codings, terms, ranges, int(summary["n"]), int(summary["degree"])
    )


@dataclass(frozen=True)
class HubPrior:
    """What a mined surface gives a search.

    Attributes:
        factors: with narrowed ranges.
        starts: points tried first, best predicted first.
        points: made-up trials' settings, worst predicted first.
        weight: 0 to 1.
        summary: what was done, for the report.
    """

    factors: tuple[DesignFactor, ...]
    starts: tuple[dict[str, Value], ...]
    points: tuple[dict[str, Value], ...]
    weight: float
    summary: Mapping[str, Any]

    def observations(self, own: Sequence[Observation]) -> list[Observation]:
        """The made-up trials, with values on the scale of the search's own results.

        The i-th of m points gets the quantile ``0.5 + weight * ((i + 0.5) / m - 0.5)`` of the own
        results (of their metric, good ones high): the surface's order, at a part of its spread.
        Without own results only the order counts.
        """
        values = [float(one.value) for one in own if one.value is not None]
        count = len(self.points)
        found = []
        for place, point in enumerate(self.points):
            level = 0.5 + self.weight * ((place + 0.5) / count - 0.5)
            if not self.summary["maximise"]:
                level = 1 - level
            value = float(np.quantile(values, level)) if values else level
            found.append(Observation(point, value, seed=-1, attributes={"prior": "hub"}))
        return found


def hub_prior(
    mined: MinedSurface | str,
    factors: Sequence[DesignFactor],
    fixed: Mapping[str, Any],
    *,
    parallel: int,
    weight: float,
    maximise: bool,
    seed: int = 0,
) -> HubPrior:
    """Starting points, ranges and made-up trials from a mined surface, down-weighted.

    Args:
        mined: see `read_surface`; a reason instead gives a prior that says nothing.
        factors: of the search.
        fixed: hyperparameters that the search does not vary, for the surface's other factors.
        parallel: of the search: ``weight`` of a round is the number of starting points (at least
            one).
        weight: 0 (ignore) to 1; ranges move that part of the way to where the models lie, and
            that part of :data:`FULL_WEIGHT` is the number of made-up trials (at least two).
        seed: of the points.

    Raises:
        UserError: a weight outside 0 to 1.
    """
    if not 0 <= weight <= 1:
        raise UserError(f"got {weight:g}", where="weight", expected="a number from 0 to 1")
    chosen = tuple(sorted(factors, key=lambda factor: factor.name))
    if isinstance(mined, str):
        return _nothing(chosen, weight, maximise, mined)
    shared = [f.name for f in chosen if f.name in mined.codings and not f.categorical]
    if not shared or weight == 0:
        reason = "its weight is 0" if shared else "the surface has none of the search's factors"
        return _nothing(chosen, weight, maximise, reason)
    narrowed = tuple(
        _narrow(f, mined.ranges[f.name], weight) if f.name in shared else f for f in chosen
    )
    rows = sobol(len(narrowed), POOL, seed)
    points = [
        {f.name: _place(f, float(z)) for f, z in zip(narrowed, row, strict=True)} for row in rows
    ]
    middle = {
        name: math.sqrt(low * high) if mined.codings[name][0] == "log" else (low + high) / 2
        for name, (low, high) in mined.ranges.items()
    }
    known = {name: value for name, value in fixed.items() if value is not None}
    full = [
        {name: float({**middle, **known, **point}[name]) for name in mined.codings}
        for point in points
    ]
    inside = [
        i
        for i, point in enumerate(full)
        if all(mined.ranges[n][0] <= point[n] <= mined.ranges[n][1] for n in shared)
    ]
    made_up = max(2, round(weight * FULL_WEIGHT))
    if len(inside) < made_up:
        reason = "the search's ranges lie outside those of the published models"
        return _nothing(chosen, weight, maximise, reason)
    predicted = mined.predict([full[i] for i in inside]) * (1.0 if maximise else -1.0)
    order = [inside[int(i)] for i in np.argsort(predicted, kind="stable")]
    spaced = np.linspace(0, len(order) - 1, made_up).round().astype(int)
    best = [points[i] for i in order[::-1]]
    starts = _spread(narrowed, best, max(1, round(weight * parallel)))
    return HubPrior(
        narrowed,
        tuple(starts),
        tuple(points[order[int(i)]] for i in spaced),
        weight,
        {
            "maximise": maximise,
            "models": mined.models,
            "shared_factors": shared,
            "weight": weight,
            "made_up_trials": made_up,
            "starts": starts,
            "ranges": {f.name: [f.low, f.high] for f in narrowed if f.name in shared},
            "reason": "",
        },
    )


def _nothing(
    factors: tuple[DesignFactor, ...], weight: float, maximise: bool, reason: str
) -> HubPrior:
    return HubPrior(factors, (), (), weight, {"maximise": maximise, "reason": reason})


def _place(factor: DesignFactor, z: float) -> Value:
    if factor.categorical:
        return factor.values[min(int((z + 1) / 2 * len(factor.values)), len(factor.values) - 1)]
    return factor.setting(z)


def _narrow(factor: DesignFactor, where: tuple[float, float], weight: float) -> DesignFactor:
    """A range moved part of the way to where the models lie, on the factor's own scale."""
    low, high = (min(max(x, factor.low), factor.high) for x in where)
    if not low < high:
        return factor
    start = factor.setting(-1 + weight * (factor.code(low) + 1))
    end = factor.setting(1 - weight * (1 - factor.code(high)))
    if not float(start) < float(end):
        return factor
    return replace(factor, low=float(start), high=float(end), values=(), baseline=None)


def _spread(
    factors: Sequence[DesignFactor], best: Sequence[dict[str, Value]], count: int
) -> list[dict[str, Value]]:
    """The best point, then among the best tenth the ones farthest from those chosen."""
    pool = list(best[: max(count, len(best) // 10)])
    coded = np.array(
        [[0.0 if f.categorical else f.code(point[f.name]) for f in factors] for point in pool]
    )
    chosen = [0]
    while len(chosen) < min(count, len(pool)):
        gaps = np.linalg.norm(coded[:, None, :] - coded[chosen][None, :, :], axis=2).min(axis=1)
        chosen.append(int(np.argmax(gaps)))
    return [pool[i] for i in chosen]


def search_prior(
    study: TuningStudy,
    search: Search,
    factors: Sequence[DesignFactor],
    earlier: Sequence[Trial],
    own: Sequence[Trial],
    mined: MinedSurface | str | None = None,
) -> tuple[
    tuple[DesignFactor, ...], list[Observation], tuple[dict[str, Value], ...], dict[str, Any]
]:
    """What the warm arm of a search starts from; the cold arm starts from nothing.

    Args:
        factors: of the search.
        earlier: trials of earlier stages.
        own: the search's finished trials.
        mined: the surface, for the prior ``hub``.

    Returns:
        Factors (with their ranges), warming observations, starting points, and a summary.
    """
    chosen = tuple(factors)
    prior = str(search.options.get("prior", "none"))
    if search.arm != "warm" or prior == "none":
        return chosen, [], (), {"prior": "none"}
    if prior == "earlier_stages":
        warm, counts = earlier_observations(study, chosen, earlier)
        return chosen, warm, (), {"prior": prior, **counts}
    found = hub_prior(
        "no mined surface was given" if mined is None else mined,
        chosen,
        {**study.shared, **study.baseline},
        parallel=int(search.options["parallel"]),
        weight=float(search.options["weight"]),
        maximise=study.maximise,
        seed=int(search.options["seed"]) + search.repeat - 1,
    )
    warm = found.observations(observe(study, own)) if found.points else []
    return found.factors, warm, found.starts, {"prior": prior, **found.summary}

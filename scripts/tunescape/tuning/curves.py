"""Budget curves of searches, their bands, and what a warm start saved.

Two kinds of curve. *Best so far* is what a search had found after n runs; its interval comes from
repeated searches. The *tuning curve* is the median best of n runs drawn independently from what
the search drew, with a simultaneous confidence band (Lourie, Cho and He, NAACL 2024; package
opda). The band is exact for random search; for a search that learns it describes its runs as if
their order did not matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tunescape.tuning.selection import mean_interval
from tunescape.tuning.study import Search, TuningStudy
from tunescape.tuning.trials import Trial, complete_trials

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

CURVE_COLUMNS: dict[str, str] = {
    "stage": "str",
    "arm": "str",
    "runs": "int64",
    "searches": "int64",
    "best": "float64",
    "best_low": "float64",
    "best_high": "float64",
    "tuning": "float64",
    "tuning_low": "float64",
    "tuning_high": "float64",
}
"""Columns of curves.csv, a row a stage, arm and number of runs. ``best`` is the mean of the best so
far over repeated searches, ``tuning`` the median tuning curve, each with its limits."""

SHARES = ("accuracy", "f1", "f1_macro", "precision", "recall", "precision_macro", "recall_macro")
MANY_RUNS = 100
BOUNDS = {**dict.fromkeys(SHARES, (0.0, 1.0)), "loss": (0.0, math.inf)}


@dataclass(frozen=True)
class TuningCurve:
    """Median best of n independent runs, with a simultaneous band; arrays of shape (len(ns),)."""

    ns: Array
    median: Array
    low: Array
    high: Array
    level: float


def bounds_of(metric: str) -> tuple[float, float]:
    """Least and largest value that a metric can have."""
    return BOUNDS.get(metric, (-1.0, 1.0))


def tuning_curve(
    values: ArrayLike,
    ns: ArrayLike,
    *,
    maximise: bool = True,
    level: float = 0.95,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> TuningCurve:
    """Median tuning curve of runs, with its confidence band.

    The band holds for all n at once, and is conservative where runs tie. It is that of
    Learned-Miller and DeStefano, equal tails; above 100 runs, where that one takes long, that of
    Dvoretzky, Kiefer and Wolfowitz.

    Args:
        values: (runs,) of one metric.
        ns: numbers of runs, above 0.
        bounds: least and largest possible value.
    """
    y = np.sort(np.asarray(values, dtype=float))
    n = np.asarray(ns, dtype=float)
    # Quantiles of the bands are runs or bounds, so places in the order say it all.
    places = np.concatenate([[min(bounds[0], y[0])], y, [max(bounds[1], y[-1])]])
    # A lower distribution function is a higher metric.
    high, median, low = (
        places[d.quantile_tuning_curve(n, q=0.5, minimize=not maximise).astype(int)]
        for d in _ordered_bands(len(y), level)
    )
    return TuningCurve(n, median, low, high, level)


@lru_cache(maxsize=256)
def _ordered_bands(count: int, level: float) -> tuple[Any, Any, Any]:
    """Lower band, distribution function and upper band of 1, 2, ..., ``count``.

    They depend on the number of runs alone and take opda up to seconds, so they are remembered.
    """
    from opda.nonparametric import EmpiricalDistribution

    bands: tuple[Any, Any, Any] = EmpiricalDistribution.confidence_bands(
        np.arange(1.0, count + 1),
        level,
        a=0.0,
        b=count + 1.0,
        generator=np.random.default_rng(0),
        method="ld_equal_tailed" if count <= MANY_RUNS else "dkw",
        n_jobs=1,
    )
    return bands


def best_so_far(values: ArrayLike, maximise: bool = True) -> Array:
    """Best of the first 1, 2, ... values; runs that failed (nan) find nothing."""
    y = np.asarray(values, dtype=float)
    worst = -math.inf if maximise else math.inf
    y = np.where(np.isfinite(y), y, worst)
    best = np.maximum.accumulate(y) if maximise else np.minimum.accumulate(y)
    return np.where(np.isfinite(best), best, math.nan)


def search_values(study: TuningStudy, search: Search, trials: Sequence[Trial]) -> Array:
    """The metric of a search's trials in order; nan where a run failed or was stopped early."""
    whole = {
        t.place for t in complete_trials(study, [t for t in trials if t.search == search.name])
    }
    longer = {t.parent for t in trials if t.search == search.name and t.parent}
    return np.array(
        [
            float(t.value) if t.place in whole and t.value is not None else math.nan
            for t in trials
            if t.search == search.name and t.place not in longer
        ]
    )


def budget_curves(study: TuningStudy, trials: Sequence[Trial], level: float = 0.95) -> pd.DataFrame:
    """Curves of every stage and arm, :data:`CURVE_COLUMNS`.

    Screenings and grids have no order of their own; their trials are taken in the order of the
    design. Repeated searches of an arm are averaged, and pooled for the tuning curve.
    """
    import pandas as pd

    groups: dict[tuple[str, str], list[Array]] = {}
    for search in study.searches:
        values = search_values(study, search, trials)
        if search.kind != "confirm" and np.isfinite(values).any():
            groups.setdefault((search.stage, search.arm), []).append(values)
    rows = []
    for (stage, arm), members in groups.items():
        length = min(len(values) for values in members)
        best = np.array([best_so_far(v[:length], study.maximise) for v in members])
        pooled = np.concatenate(members)
        ns = np.arange(1, length + 1)
        curve = tuning_curve(
            pooled[np.isfinite(pooled)],
            ns,
            maximise=study.maximise,
            level=level,
            bounds=bounds_of(study.metric),
        )
        for i in range(length):
            known = best[np.isfinite(best[:, i]), i]
            mean, low, high = mean_interval(known, level) if len(known) else (math.nan,) * 3
            tuning = (curve.median[i], curve.low[i], curve.high[i])
            rows.append((stage, arm, i + 1, len(members), mean, low, high, *tuning))
    return pd.DataFrame(rows, columns=list(CURVE_COLUMNS))


# Warm against cold ------------------------------------------------------------------------------


def runs_to_reach(values: ArrayLike, target: float, maximise: bool = True) -> int | None:
    """Runs until the target was reached; None when it never was."""
    best = best_so_far(values, maximise)
    there = best >= target - 1e-12 if maximise else best <= target + 1e-12
    return int(np.argmax(there)) + 1 if there.any() else None


def runs_saved(warm: ArrayLike, cold: ArrayLike, maximise: bool = True) -> int | None:
    """Runs that a warm start saved against a cold one of the same budget (negative: lost).

    Both are timed to the worse of their two final bests, which both reach. None when an arm has
    no run that ended well.
    """
    ends = [best_so_far(arm, maximise) for arm in (warm, cold)]
    finals = [float(end[-1]) for end in ends if len(end) and math.isfinite(end[-1])]
    if len(finals) < 2:
        return None
    target = min(finals) if maximise else max(finals)
    first = runs_to_reach(warm, target, maximise)
    second = runs_to_reach(cold, target, maximise)
    return None if first is None or second is None else second - first


def compare_starts(
    study: TuningStudy, trials: Sequence[Trial], level: float = 0.95
) -> list[dict[str, Any]]:
    """What each warm start gained or lost beside the cold start of the same budget and seeds.

    Returns:
        One mapping a stage: ``runs_saved`` (mean over pairs, with Student's limits where there
        are two pairs or more), ``gain`` in the metric's final best, the number of ``pairs``,
        ``budget``, whether the bands of the tuning curves ``overlap`` at the full budget, and a
        ``statement``.
    """
    found = []
    stages = {s.stage: s for s in study.searches if s.arm == "warm"}
    for stage, described in stages.items():
        pairs = []
        for warm in (s for s in study.searches if s.stage == stage and s.arm == "warm"):
            cold = next(
                s
                for s in study.searches
                if s.stage == stage and s.arm == "cold" and s.repeat == warm.repeat
            )
            pairs.append(tuple(search_values(study, arm, trials) for arm in (warm, cold)))
        saved = [runs_saved(w, c, study.maximise) for w, c in pairs]
        known = [float(value) for value in saved if value is not None]
        if not known:
            continue
        sign = 1.0 if study.maximise else -1.0
        gains = [
            sign * float(best_so_far(w, study.maximise)[-1] - best_so_far(c, study.maximise)[-1])
            for (w, c), value in zip(pairs, saved, strict=True)
            if value is not None
        ]
        budget = int(described.options["trials"])
        curves = [
            tuning_curve(
                pooled[np.isfinite(pooled)],
                [budget],
                maximise=study.maximise,
                level=level,
                bounds=bounds_of(study.metric),
            )
            for pooled in (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
        ]
        overlap = bool(
            curves[0].low[0] <= curves[1].high[0] and curves[1].low[0] <= curves[0].high[0]
        )
        mean, low, high = mean_interval(known, level)
        gain, gain_low, gain_high = mean_interval(gains, level)
        found.append(
            {
                "stage": stage,
                "prior": str(described.options["prior"]),
                "pairs": len(known),
                "budget": budget,
                "runs_saved": mean,
                "runs_saved_low": low,
                "runs_saved_high": high,
                "gain": gain,
                "gain_low": gain_low,
                "gain_high": gain_high,
                "overlap": overlap,
                "statement": _said(
                    stage,
                    (mean, low, high),
                    (gain, gain_low, gain_high),
                    len(known),
                    budget,
                    overlap,
                ),
            }
        )
    return found


def _said(
    stage: str,
    runs: tuple[float, float, float],
    gains: tuple[float, float, float],
    pairs: int,
    budget: int,
    overlap: bool,
) -> str:
    """Both sides of a warm start: how much earlier, and how much better at the end."""
    mean, low, high = runs
    verb = "saved" if mean >= 0 else "lost"
    many = f"{abs(mean):.1f}" if mean else "none"
    text = f"{stage}: the warm start {verb} {many} of {budget} runs"
    if math.isfinite(low):
        decided = low > 0 or high < 0
        text += f" (95 % {low:.1f} to {high:.1f}, {pairs} pairs"
        text += ")" if decided else "; not distinguishable from none)"
    gain, gain_low, gain_high = gains
    text += (
        f" until the lesser of the two bests, and its own best is {gain:+.4f} beside the cold one"
    )
    if math.isfinite(gain_low):
        text += f" (95 % {gain_low:+.4f} to {gain_high:+.4f})"
    if pairs == 1:
        text += "; one pair of searches decides nothing"
    return text + f"; the bands of the tuning curves {'overlap' if overlap else 'do not overlap'}"

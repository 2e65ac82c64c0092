"""The shape of the fitted surfaces: stationary point, its region, and the way to better values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tunescape.figures.style import short_number, wording
from tunescape.regression import BOUNDS
from tunescape.report.data import Analysis, ReportData, by_parent
from tunescape.report.numbers import aligned, count, listed, percent, significant
from tunescape.report.section import Context, Section, analysis_plot, metric_words, slug
from tunescape.report.sections.experiments import in_words
from tunescape.response import LOWER_IS_BETTER
from tunescape.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("stationary_point", "ridge", "optimum_region")
STEPS = 5
INTERVALS = {"cr3": "CR3", "classical": "classical"}


def build(data: ReportData) -> Context | None:
    """One part a population and metric (absolute view), experiments among them."""
    populations = []
    for name in (*data.populations, *data.experiments):
        metrics = [
            {
                "id": slug("surface", name, analysis.metric),
                "name": wording(analysis.metric),
                "shown": shown,
            }
            for analysis in data.of(name)
            if (shown := shown_surface(data, analysis)) is not None
        ]
        if metrics:
            populations.append({"name": name, "metrics": metrics})
    return {"populations": populations} if populations else None


def shown_surface(data: ReportData, analysis: Analysis) -> dict[str, Any] | None:
    """What the macro ``surface`` shows of one regression; None without its tables."""
    place = (analysis.population, analysis.view, analysis.metric)
    files = by_parent(data.inputs.get("surfaces", ()), 3).get(place, {})
    if any(name not in files for name in NEEDED):
        return None
    tables = {name: read_table(path) for name, path in files.items()}
    point, region = tables["stationary_point"], tables["optimum_region"]
    names = data.names(analysis.population)
    factors = [str(name) for name in point["factor"] if isinstance(name, str) and name]
    goal = "minimum" if analysis.metric in LOWER_IS_BETTER else "maximum"
    said = str(point["statement"].iloc[0]) if len(point) else "no surface"
    bounds = BOUNDS.get(analysis.metric, (None, None))
    ways = [
        _way(tables[kind], factors, goal, kind, bounds)
        for kind in ("ridge", "steepest")
        if kind in tables and not tables[kind].empty
    ]
    known = bool(len(point)) and str(point["nature"].iloc[0]) != "unknown"
    return {
        "metric": metric_words(analysis),
        "said": _capital(in_words(said, names)) + ".",
        "more": [_place(point, analysis), *_resampled(region, goal, analysis)] if known else [],
        "known": known,
        "goal": goal,
        "factors": [wording(name) for name in factors],
        "ways": [way for way in ways if way["rows"]],
        "plot": analysis_plot(data, analysis, "contour"),
    }


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _place(point: pd.DataFrame, analysis: Analysis) -> str:
    """Where the stationary point is and what is predicted there."""
    if not np.isfinite(point["raw"]).all():
        return ""
    at = listed(
        f"{wording(str(line['factor']))} {short_number(float(line['raw']))}"
        for _, line in point.iterrows()
    )
    said = f"It lies at {at}"
    if np.isfinite(point["predicted"].iloc[0]):
        value, se = point["predicted"].iloc[0], point["se"].iloc[0]
        metric = wording(analysis.metric)
        said += f", where {metric} is {significant(value, 3)} ± {significant(se, 2)}"
    return f"{said}."


def _resampled(region: pd.DataFrame, goal: str, analysis: Analysis) -> list[str]:
    """What resampled surfaces say of the optimum, in sentences."""
    if region.empty or not int(region["draws"].iloc[0]):
        return []
    first = region.iloc[0]
    said = [
        f"Of {count(first['draws'])} surfaces refitted to resampled {analysis.nouns.cluster}s, "
        f"{percent(first[f'share_{goal}'])} have a {goal}, {percent(first['share_inside'])} one "
        f"within the range of the data; {percent(first['share_saddle'])} are saddles."
    ]
    if np.isfinite(region[["raw_low", "raw_high"]].to_numpy(dtype=float)).all():
        limits = listed(
            f"{wording(str(line['factor']))} {short_number(float(line['raw_low']))} to "
            f"{short_number(float(line['raw_high']))}"
            for _, line in region.iterrows()
        )
        said.append(f"Central 95 % of these {goal[:-2]}a: {limits}.")
    return said


def _way(
    path: pd.DataFrame,
    factors: list[str],
    goal: str,
    kind: str,
    bounds: tuple[float | None, float | None],
) -> dict[str, Any]:
    """A path towards the better values, a few steps of it."""
    own = path[path["goal"] == goal].sort_values("radius", kind="stable")
    chosen = own.iloc[np.unique(np.linspace(0, len(own) - 1, STEPS + 1).round().astype(int))]
    rows: list[dict[str, Any]] = [
        {
            "radius": f"{line['radius']:.1f}",
            "settings": [short_number(float(line[name])) for name in factors],
            "fit": significant(line["fit"], 3),
            "interval": f"{significant(line['ci_low'], 3)} to {significant(line['ci_high'], 3)}",
            "known": bool(line["estimable"]),
            "note": _note(line, bounds),
        }
        for _, line in chosen.iterrows()
    ]
    known = [row for row in rows if row["known"]]
    for row, text in zip(known, aligned(r["fit"] for r in known), strict=True):
        row["fit"] = text
    interval = str(own["interval"].iloc[0]) if len(own) else ""
    return {
        "kind": kind,
        "rows": rows if known else [],
        "interval": INTERVALS.get(interval, interval),
        "noted": any(row["note"] for row in rows),
    }


def _note(line: pd.Series, bounds: tuple[float | None, float | None]) -> str:
    """What speaks against a step of a path."""
    low, high = bounds
    impossible = (low is not None and line["fit"] < low) or (
        high is not None and line["fit"] > high
    )
    reaches = (low is not None and line["ci_low"] < low) or (
        high is not None and line["ci_high"] > high
    )
    said = ["outside the data"] if line["extrapolated"] else []
    if impossible or reaches:
        said.append("impossible" if impossible else "interval partly impossible")
    return ", ".join(said)


SECTION = Section("surface", "Surfaces", build)

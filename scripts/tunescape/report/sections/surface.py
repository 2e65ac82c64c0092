"""The shape of the fitted surfaces: stationary point, its region, and the way to better values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tunescape.figures.style import short_number, wording
from tunescape.report.data import Analysis, ReportData, by_parent
from tunescape.report.numbers import aligned, count, percent, significant
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
    ways = [
        _way(tables[kind], factors, goal, kind)
        for kind in ("ridge", "steepest")
        if kind in tables and not tables[kind].empty
    ]
    return {
        "metric": metric_words(analysis),
        "said": _capital(in_words(said, names)) + ".",
        "resampled": _resampled(region, goal, analysis),
        "point": _point(point, region, goal),
        "predicted": _predicted(point),
        "nature": str(point["nature"].iloc[0]) if len(point) else "unknown",
        "goal": goal,
        "factors": [wording(name) for name in factors],
        "ways": [way for way in ways if way["rows"]],
        "plot": analysis_plot(data, analysis, "contour"),
    }


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _resampled(region: pd.DataFrame, goal: str, analysis: Analysis) -> str:
    """What resampled surfaces say of the optimum, in a sentence."""
    if region.empty:
        return ""
    first = region.iloc[0]
    if not int(first["draws"]):
        return ""
    return (
        f"Of {count(first['draws'])} surfaces refitted to resampled {analysis.nouns.cluster}s, "
        f"{percent(first[f'share_{goal}'])} have a {goal}, {percent(first['share_inside'])} one "
        f"within the range of the data, and {percent(first['share_saddle'])} are saddles."
    )


def _point(point: pd.DataFrame, region: pd.DataFrame, goal: str) -> list[dict[str, str]]:
    """The stationary point with the region of the optimum; empty where there is no point."""
    limits = region.set_index("factor") if len(region) else region
    rows = []
    for _, line in point.iterrows():
        if not np.isfinite(line["raw"]):
            return []
        low, high = (
            (limits.loc[line["factor"], key] for key in ("raw_low", "raw_high"))
            if len(limits) and line["factor"] in limits.index
            else (float("nan"),) * 2
        )
        rows.append(
            {
                "factor": wording(str(line["factor"])),
                "raw": short_number(float(line["raw"])),
                "region": f"{short_number(low)} to {short_number(high)}"
                if np.isfinite([low, high]).all()
                else "–",
            }
        )
    return rows


def _predicted(point: pd.DataFrame) -> str:
    if point.empty or not np.isfinite(point["predicted"].iloc[0]):
        return ""
    first = point.iloc[0]
    return f"{significant(first['predicted'], 3)} ± {significant(first['se'], 2)}"


def _way(path: pd.DataFrame, factors: list[str], goal: str, kind: str) -> dict[str, Any]:
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
            "outside": bool(line["extrapolated"]),
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
        "outside": any(row["outside"] for row in rows),
    }


SECTION = Section("surface", "Surfaces", build)

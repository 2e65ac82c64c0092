"""Several metrics at once: the most desirable setting and the Pareto front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tunescape.figures.style import plain, short_number, wording
from tunescape.report.data import MODELS, RUNS, Analysis, ReportData, by_parent
from tunescape.report.numbers import count, fixed, is_number, listed, plural, significant
from tunescape.report.section import Context, Section
from tunescape.tables import read_json, read_table

if TYPE_CHECKING:
    import pandas as pd

MOST = 20


def build(data: ReportData) -> Context | None:
    """One part a population, in the absolute view (or the first there is)."""
    places: dict[tuple[str, ...], dict[str, Any]] = by_parent(data.inputs.get("tradeoffs", ()), 2)
    populations = []
    for name in (*data.populations, *data.experiments):
        views = sorted(place[1] for place in places if place[0] == name)
        files = places.get((name, views[0])) if views else None
        if not files or any(stem not in files for stem in ("surface", "observed", "summary")):
            continue
        populations.append(
            shown_tradeoff(
                data,
                name,
                read_json(files["summary"]),
                read_table(files["surface"]),
                read_table(files["observed"]),
            )
        )
    return {"populations": populations} if populations else None


def shown_tradeoff(
    data: ReportData,
    name: str,
    summary: dict[str, Any],
    surface: pd.DataFrame,
    observed: pd.DataFrame,
) -> dict[str, Any]:
    """What the section shows of one population."""
    goals = summary["goals"]
    metrics = [str(goal["metric"]) for goal in goals]
    factors = [c for c in surface.columns if c not in _derived(metrics)]
    counts = summary["candidates"]
    said = [
        f"Of {plural(counts['tried'], 'setting')} tried, {count(counts['kept'])} lie in the data "
        "of every metric with possible predictions"
    ]
    if len(surface):
        said[0] += f"; {plural(len(surface), 'is', 'are')} on the Pareto front"
    elif summary["reason"]:
        said = [_capital(str(summary["reason"]))]
    for metric, reason in summary["not_fitted"].items():
        said.append(f"{_capital(wording(metric))} is left out, not fitted: {reason}")
    worse = [wording(a.metric) for a in data.of(name) if a.metric in metrics and not _carries(a)]
    if worse and len(surface):
        cluster = RUNS.cluster if name in data.experiments else MODELS.cluster
        surfaces = f"the surface{'s' * (len(worse) > 1)} of {listed(worse)}"
        said.append(
            f"This is no recommendation: {surfaces} {'do' if len(worse) > 1 else 'does'} not "
            f"predict {cluster}s left out better than a mean"
        )
    front = observed[observed["front"].astype(bool)] if len(observed) else observed
    return {
        "name": name,
        "said": [f"{text}." for text in said],
        "goals": "; ".join(
            f"{wording(g['metric'])} {significant(g['worst'], 3)} to {significant(g['target'], 3)}"
            for g in goals
        ),
        "factors": [wording(f) for f in factors],
        "metrics": [wording(m) for m in metrics],
        "best": [_row(why, line, factors, metrics) for why, line in _chosen(surface, goals)],
        "front": [_row("", line, factors, metrics) for _, line in surface.head(MOST).iterrows()],
        "front_said": (
            f"The {plural(len(surface), 'setting')} of the front."
            if len(surface) <= MOST
            else f"The {count(MOST)} most desirable of {count(len(surface))} settings of the front."
        ),
        "models": [_row(why, line, factors, metrics) for why, line in _chosen(front, goals)],
        "models_said": (
            f"{plural(len(observed), 'model states', 'models state')} every metric, "
            f"{count(len(front))} of them on the Pareto front"
        ),
    }


def _carries(analysis: Analysis) -> bool:
    """Whether a surface predicts clusters left out better than a mean."""
    found = analysis.summary.get("held_out", {}).get("owner", {}).get("r2")
    return is_number(found) and found > 0


def _derived(metrics: list[str]) -> set[str]:
    own = {c for m in metrics for c in (m, f"{m}_low", f"{m}_high", f"d_{m}")}
    return own | {"desirability"}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _chosen(table: pd.DataFrame, goals: list[dict[str, Any]]) -> list[tuple[str, pd.Series]]:
    """The most desirable row and the best in each metric; one line where they coincide."""
    found: dict[Any, list[str]] = {}
    if table.empty:
        return []
    found[table["desirability"].idxmax()] = ["most desirable"]
    for goal in goals:
        column = table[goal["metric"]]
        at = column.idxmax() if goal["maximise"] else column.idxmin()
        word = "highest" if goal["maximise"] else "lowest"
        found.setdefault(at, []).append(f"{word} {wording(goal['metric'])}")
    return [(listed(words), table.loc[at]) for at, words in found.items()]


def _row(why: str, line: pd.Series, factors: list[str], metrics: list[str]) -> dict[str, Any]:
    predicted = []
    for metric in metrics:
        low, high = line.get(f"{metric}_low"), line.get(f"{metric}_high")
        between = (
            f"{significant(low, 3)} to {significant(high, 3)}"
            if is_number(low) and is_number(high)
            else ""
        )
        predicted.append({"value": fixed(line[metric], 3), "interval": between})
    return {
        "why": why,
        "id": plain(line["id"], 44) if "id" in line else "",
        "settings": [
            short_number(float(line[f])) if np.isfinite(float(line[f])) else "–" for f in factors
        ],
        "metrics": predicted,
        "desirability": fixed(line["desirability"]),
    }


SECTION = Section("tradeoffs", "Trade-offs", build)

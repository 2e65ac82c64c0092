"""What was asked, and what the numbers allow to be answered."""

from __future__ import annotations

from typing import Any

from tunescape.figures.style import wording
from tunescape.report.data import Analysis, ReportData
from tunescape.report.numbers import count, listed
from tunescape.report.section import Context, Section
from tunescape.report.verdict import verdict_of_models, verdict_of_runs


def build(data: ReportData) -> Context:
    """Facts in figures, and a verdict for each population and experiment."""
    source = data.flow[data.flow["population"] == "(source)"]
    start = int(source["after"].iloc[-1]) if len(source) else _first(data.flow)
    asked = [a for name in data.populations for a in data.of(name)] or data.analyses
    factors = list(dict.fromkeys(f for a in asked for f in a.summary["factors"]))
    metrics = list(dict.fromkeys(a.metric for a in asked))
    tested = count(sum(map(_tests, data.analyses)))
    verdicts = [
        verdict_of_models(name, data.of(name), tested, grades_of(data, name))
        for name in data.populations
    ]
    verdicts += [verdict_of_runs(name, data.of(name)) for name in data.experiments]
    return {
        "read": count(start),
        "factors": listed(map(wording, factors)),
        "metrics": listed(map(wording, metrics)),
        "verdicts": verdicts,
        "mined": bool(data.populations),
        "experiments": bool(data.experiments),
        "tunings": list(data.spec.get("tunings", {})),
    }


def grades_of(data: ReportData, population: str) -> dict[tuple[str, str], str]:
    """(metric, term) -> grade of the strategy map; empty without one."""
    table = data.strategies.get(population)
    if table is None:
        return {}
    terms = table[table["kind"].isin(("effect", "curvature", "interaction"))]
    return {
        (str(row["metric"]), str(row["term"])): str(row["grade"]) for _, row in terms.iterrows()
    }


def _tests(analysis: Analysis) -> int:
    table = analysis.table
    return int(table.loc[table["kind"] != "intercept", "p_cr3"].notna().sum())


def _first(flow: Any) -> int:
    return int(flow["before"].max()) if len(flow) else 0


SECTION = Section("answer", "Question and answer", build)

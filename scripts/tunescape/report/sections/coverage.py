"""Which hyperparameters and metrics are stated often enough to be analysed."""

from __future__ import annotations

from tunescape.figures.style import wording
from tunescape.report.data import ReportData
from tunescape.report.numbers import count
from tunescape.report.section import Context, Section, population_plot


def build(data: ReportData) -> Context | None:
    """Coverage figure of each population, and candidates that the rule leaves out."""
    if not data.populations:
        return None
    rule = data.spec.get("coverage", {})
    populations = []
    for name in data.populations:
        table = data.coverage[data.coverage["population"] == name]
        most = count(table["rows"].max()) if len(table) else "0"
        alt = (
            f"Coverage of {name}: models and distinct settings for every pair of hyperparameter "
            f"and metric; at most {most} models state a pair."
        )
        left_out = []
        if data.chosen is not None:
            own = data.chosen[data.chosen["population"] == name]
            left_out = [
                {
                    "pair": f"{wording(row['hyperparameter'])} for {wording(row['metric'])}",
                    "reason": row["reason"],
                    "rows": count(row["rows"]),
                    "settings": count(row["settings"]),
                }
                for _, row in own[~own["chosen"].astype(bool)].iterrows()
            ]
        populations.append(
            {
                "name": name,
                "plot": population_plot(data, name, "coverage", alt),
                "left_out": left_out,
            }
        )
    return {
        "populations": populations,
        "min_rows": count(rule.get("min_rows")),
        "min_settings": count(rule.get("min_settings")),
    }


SECTION = Section("coverage", "Coverage", build)

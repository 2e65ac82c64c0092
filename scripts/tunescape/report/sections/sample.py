"""How many models survived each step."""

from __future__ import annotations

from tunescape.figures.flow import flow_steps
from tunescape.figures.style import wording
from tunescape.populations import NONE_DESCENDS
from tunescape.report.data import ReportData
from tunescape.report.numbers import count
from tunescape.report.section import Context, Section, population_plot


def build(data: ReportData) -> Context | None:
    """Flow figure and table of each population, and what was lost before there were any."""
    if not data.populations:
        return None
    source = data.flow[data.flow["population"] == "(source)"]
    populations = []
    for name in data.populations:
        own = data.flow[data.flow["population"] == name]
        steps = flow_steps(own)
        rows = [
            {
                "step": wording(step.step),
                "before": count(step.before),
                "after": count(step.after),
                "removed": [
                    {"count": count(removed), "reason": reason} for reason, removed in step.reasons
                ],
            }
            for step in steps
        ]
        trunk = [step for step in steps if not step.branch]
        left = count(trunk[-1].after) if trunk else "0"
        start = count(steps[0].before) if steps else "0"
        alt = f"Sample flow of {name}: {start} models read, {left} with every hyperparameter."
        populations.append(
            {
                "name": name,
                "left": left,
                "childless": sorted(filter(_names_none, own["reason"].dropna())),
                "rows": rows,
                "plot": population_plot(data, name, "flow", alt),
            }
        )
    lost = [
        {"reason": reason, "count": count(removed)}
        for reason, removed in zip(source["reason"], source["removed"], strict=True)
        if removed
    ]
    return {"populations": populations, "lost": lost}


def _names_none(reason: str) -> bool:
    return reason.startswith(NONE_DESCENDS)


SECTION = Section("sample", "Sample flow", build)

"""Correlations and scatter plots, and where each of the study's figures has its counterpart."""

from __future__ import annotations

from tunescape.figures.style import wording
from tunescape.report.data import ReportData
from tunescape.report.section import Context, Section, analysis_plot, plot_id, slug


def build(data: ReportData) -> Context | None:
    """Figures by population and metric, and the table of counterparts."""
    populations = []
    for name in (*data.populations, *data.experiments):
        metrics = []
        for analysis in data.of(name):
            both = [
                analysis,
                *(a for a in data.of(name, "relative") if a.metric == analysis.metric),
            ]
            plots = [
                plot
                for one in both
                for kind in ("correlation", "scatter")
                if (plot := analysis_plot(data, one, kind)) is not None
            ]
            if plots:
                metrics.append({"name": wording(analysis.metric), "plots": plots})
        if metrics:
            populations.append({"name": name, "id": slug("plots", name), "metrics": metrics})
    counterparts = _counterparts(data)
    if not populations and not counterparts:
        return None
    return {"populations": populations, "counterparts": counterparts}


def _counterparts(data: ReportData) -> list[dict[str, str]]:
    if data.paper_figures is None or not data.populations:
        return []
    rows = []
    for _, line in data.paper_figures.iterrows():
        place = (data.populations[0], str(line["view"]), str(line["metric"]))
        kind = str(line["kind"])
        rows.append(
            {
                "figure": str(line["figure"]),
                "kind": kind,
                "metric": wording(str(line["metric"])),
                "view": str(line["view"]),
                "id": plot_id(*place, kind) if (place, kind) in data.figures else "",
            }
        )
    return rows


SECTION = Section("figures", "Correlations and scatter plots", build)

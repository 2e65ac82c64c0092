"""Whether a coefficient depends on how one fits: the specification curve of each metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunescape.figures.specification import LEVELS, WORDS
from tunescape.figures.style import plain, wording
from tunescape.report.data import ReportData
from tunescape.report.numbers import count, percent
from tunescape.report.section import Context, Plot, Section, plot_id, slug
from tunescape.report.svg import inline_svg
from tunescape.report.verdict import thresholds

if TYPE_CHECKING:
    import pandas as pd


def build(data: ReportData) -> Context | None:
    """One figure a population and metric, and what it shows in a sentence."""
    populations = []
    for name in data.populations:
        metrics = [
            {
                "id": slug("specifications", name, metric),
                "name": wording(metric),
                "said": sentence(table, thresholds(data.spec).share_significant),
                "plot": _plot(data, name, metric),
            }
            for (population, metric), table in data.specifications.items()
            if population == name
        ]
        if metrics:
            populations.append({"name": name, "metrics": metrics})
    return {"populations": populations} if populations else None


def sentence(summary: pd.DataFrame, least: float) -> str:
    """How many specifications there are, how many terms stand in them, and what decides most.

    Args:
        summary: of ``specification.summarise_curve``.
        least: share of specifications in which a term is to be significant.
    """
    every = summary[summary["decision"] == "all"]
    if every.empty:
        return "No specification could be fitted."
    said = f"{count(every['specifications'].max())} specifications a coefficient"
    tested = every[every["tested"] > 0]
    if tested.empty:
        return f"{said}, none of which can test one."
    if tested["distinct"].max() < every["specifications"].max():
        said += f", {count(tested['distinct'].max())} of them different"
    firm = tested[tested["share_significant_sign"] >= least]
    best = tested.iloc[int(tested["share_significant_sign"].argmax())]
    if len(firm):
        terms = ", ".join(
            f"{wording(str(row['term']))} ({percent(row['share_significant_sign'])})"
            for _, row in firm.iterrows()
        )
        said += f"; significant with the study’s sign in {percent(least)} or more: {terms}"
    elif not best["share_significant_sign"] > 0:
        said += "; no term is significant with the study’s sign in any"
    else:
        said += (
            f"; no term is significant with the study’s sign in {percent(least)} of them, "
            f"{wording(str(best['term']))} comes closest "
            f"({percent(best['share_significant_sign'])})"
        )
    return f"{said}. {_what_decides(summary)}".strip()


def _what_decides(summary: pd.DataFrame) -> str:
    """The decision whose levels differ most in the mean share of significant terms."""
    levels = summary[(summary["decision"] != "all") & (summary["tested"] > 0)]
    if levels.empty:
        return ""
    means = levels.groupby(["decision", "level"], sort=False)["share_significant_sign"].mean()
    spread: Any = means.groupby("decision", sort=False).agg(lambda s: s.max() - s.min())
    decision = str(spread.idxmax())
    if not spread.max() > 0:
        return ""
    own = means[decision].sort_values()
    low, high = (str(level) for level in (own.index[0], own.index[-1]))
    return (
        f"The choice that matters most: {WORDS.get(decision, decision)} "
        f"({LEVELS.get(high, high)}: {percent(own.iloc[-1])} of tests significant; "
        f"{LEVELS.get(low, low)}: {percent(own.iloc[0])})."
    )


def _plot(data: ReportData, population: str, metric: str) -> Plot | None:
    path = data.figures.get(((population, metric), "specifications"))
    if path is None:
        return None
    own = plot_id(population, metric, "specifications")
    caption = (
        f"Each coefficient of {wording(metric)} over all specifications, as its ratio to the "
        "standard error in order, and the share that is significant by decision."
    )
    return Plot(own, inline_svg(path, own, f"{plain(population)}: {caption}"), caption, "")


SECTION = Section("specifications", "Other ways to fit", build)

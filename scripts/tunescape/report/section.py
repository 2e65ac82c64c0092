"""What a section of the report is, and the figures that sections show."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tunescape.figures.style import plain, wording
from tunescape.report.data import RUNS, Analysis, ReportData
from tunescape.report.numbers import count, fixed, listed, plural
from tunescape.report.svg import inline_svg

Context = Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """One section: ``build`` gives what its template shows, or None when it has nothing to say.

    Attributes:
        id: anchor on the page; ``template`` is ``templates/sections/{id}.html.j2``.
        title: heading and entry in the table of contents.
        build: made from the tables alone.
    """

    id: str
    title: str
    build: Callable[[ReportData], Context | None]

    @property
    def template(self) -> str:
        """Path of the template below the template folder."""
        return f"sections/{self.id}.html.j2"


@dataclass(frozen=True)
class Plot:
    """A figure on the page."""

    id: str
    svg: Markup
    caption: str
    paper: str


def slug(*parts: object) -> str:
    """Parts joined to an id for links within the page."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", "-".join(map(str, parts)))


def analysis_plot(data: ReportData, analysis: Analysis, kind: str) -> Plot | None:
    """A figure of one regression, or None when it was not drawn."""
    place = (analysis.population, analysis.view, analysis.metric)
    path = data.figures.get((place, kind))
    if path is None:
        return None
    own = plot_id(*place, kind)
    alt, caption = _describe(analysis, kind)
    return Plot(own, inline_svg(path, own, alt), caption, _paper_number(data, analysis, kind))


def population_plot(data: ReportData, population: str, kind: str, alt: str) -> Plot | None:
    """A figure of a population, or None when it was not drawn."""
    path = data.figures.get(((population,), kind))
    if path is None:
        return None
    own = plot_id(population, kind)
    return Plot(own, inline_svg(path, own, alt), alt, "")


def plot_id(*parts: str) -> str:
    """Anchor of a figure."""
    return slug("fig", *parts)


def _describe(analysis: Analysis, kind: str) -> tuple[str, str]:
    """Alternative text and caption."""
    summary = analysis.summary
    metric = metric_words(analysis)
    factors = listed(map(wording, summary["factors"]))
    n = count(summary["n"])
    runs = analysis.nouns is RUNS
    fit = (
        f"R² {fixed(summary.get('r2'))}" if analysis.fitted else f"not fitted: {summary['reason']}"
    )
    texts = {
        "regression": (
            f"{metric} against {factors} with the fitted curve over each, the others held at their "
            f"median, its interval and the residuals",
            f"n = {n}; {fit}",
        ),
        "scatter": (
            f"{metric} against {factors}" + ("" if runs else ", marked by uploader"),
            f"At most {plural(summary['n'], analysis.nouns.row)}",
        ),
        "correlation": (
            f"Correlations among {metric}, {factors} and their second-order terms: Pearson below "
            "the diagonal, Spearman above it",
            "n in every cell",
        ),
        "contour": (
            f"Fitted {metric} and its standard error over each pair of hyperparameters, the others "
            f"at their median; points are {analysis.nouns.row}s, the line is their hull",
            f"n = {n}; {fit}",
        ),
        "forest": (
            f"Coefficients of {metric} in coded units with classical intervals and intervals "
            f"clustered by {analysis.nouns.cluster}",
            f"n = {n}; {fit}",
        ),
    }
    first, second = texts.get(kind, (f"{metric}: {kind}", f"n = {n}"))
    said = first[:1].upper() + first[1:]
    return f"{plain(analysis.population)}: {said}. {second}.", f"{said}. {second}."


def metric_words(analysis: Analysis) -> str:
    """The response in words, as the view shows it."""
    words = wording(analysis.metric)
    return words if analysis.view == "absolute" else f"difference in {words} to the baseline"


def _paper_number(data: ReportData, analysis: Analysis, kind: str) -> str:
    """Number of the study's figure that this one is the counterpart of, or nothing."""
    table = data.paper_figures
    if table is None or not data.populations or analysis.population != data.populations[0]:
        return ""
    same = table[
        (table["kind"] == kind)
        & (table["metric"] == analysis.metric)
        & (table["view"] == analysis.view)
    ]
    return str(same["figure"].iloc[0]) if len(same) else ""

"""All figures of one regression, population or experiment, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunescape.figures.contour import draw_contour
from tunescape.figures.correlation import draw_correlation
from tunescape.figures.coverage import draw_coverage
from tunescape.figures.design import draw_design
from tunescape.figures.flow import draw_flow
from tunescape.figures.forest import draw_forest
from tunescape.figures.learning import draw_learning
from tunescape.figures.regression import draw_regression
from tunescape.figures.scatter import draw_scatter

REGRESSION_KINDS = ("correlation", "scatter", "regression", "forest", "contour")
POPULATION_KINDS = ("flow", "coverage")
EXPERIMENT_KINDS = ("design", "learning")

Paths = Sequence[str | Path]


def draw_analysis(
    features: str | Path,
    coefficients: str | Path,
    fit: str | Path,
    diagnostics: str | Path,
    outputs: Paths,
    spec: Mapping[str, Any],
) -> None:
    """Draw the figures of one population, view and metric.

    Args:
        features: the population's models.
        coefficients, fit, diagnostics: what the regression wrote.
        outputs: files named ``correlation``, ``scatter``, ``regression``, ``forest`` or
            ``contour`` with ``.svg`` or ``.png``; what is not named is not drawn.
        spec: the regression's, ``dpi``, and ``unit`` (``model``; ``run`` for an experiment, whose
            groups are configurations instead of owners).
    """
    wanted = _by_kind(outputs)
    if "correlation" in wanted:
        draw_correlation(features, wanted["correlation"], spec)
    if "scatter" in wanted:
        draw_scatter(features, wanted["scatter"], spec)
    if "regression" in wanted:
        draw_regression(fit, diagnostics, wanted["regression"], spec)
    if "forest" in wanted:
        draw_forest(coefficients, fit, wanted["forest"], spec)
    if "contour" in wanted:
        draw_contour(fit, diagnostics, wanted["contour"], spec)


def draw_population(
    sample_flow: str | Path, coverage: str | Path, outputs: Paths, spec: Mapping[str, Any]
) -> None:
    """Draw sample flow and coverage of one population.

    Args:
        sample_flow, coverage: the tables written with the features.
        outputs: files named ``flow`` or ``coverage``.
        spec: ``population``, ``min_rows``, ``min_settings``, ``factors``, ``metrics``, ``dpi``.
    """
    wanted = _by_kind(outputs)
    if "flow" in wanted:
        draw_flow(sample_flow, wanted["flow"], spec)
    if "coverage" in wanted:
        draw_coverage(coverage, wanted["coverage"], spec)


def draw_experiment(
    design: str | Path,
    diagnostics: str | Path,
    summary: str | Path,
    history: str | Path,
    outputs: Paths,
    spec: Mapping[str, Any],
) -> None:
    """Draw the design and the learning curves of one experiment.

    Args:
        design, diagnostics, summary: what ``design.write_design`` wrote.
        history: of ``experiments.collect_runs``.
        outputs: files named ``design`` or ``learning``.
        spec: ``dpi``.
    """
    wanted = _by_kind(outputs)
    if "design" in wanted:
        draw_design(design, diagnostics, summary, wanted["design"], spec)
    if "learning" in wanted:
        draw_learning(history, wanted["learning"], spec)


def _by_kind(outputs: Paths) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in map(Path, outputs):
        found.setdefault(path.stem, []).append(path)
    return found

"""All figures of one regression, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunescape.figures.contour import draw_contour
from tunescape.figures.correlation import draw_correlation
from tunescape.figures.forest import draw_forest
from tunescape.figures.regression import draw_regression
from tunescape.figures.scatter import draw_scatter
from tunescape.figures.style import Paths, by_kind

REGRESSION_KINDS = ("correlation", "scatter", "regression", "forest", "contour")


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
    wanted = by_kind(outputs)
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

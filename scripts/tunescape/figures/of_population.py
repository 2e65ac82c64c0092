"""All figures of one population, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunescape.figures.coverage import draw_coverage
from tunescape.figures.flow import draw_flow
from tunescape.figures.style import Paths, by_kind


def draw_population(
    sample_flow: str | Path, coverage: str | Path, outputs: Paths, spec: Mapping[str, Any]
) -> None:
    """Draw sample flow and coverage of one population.

    Args:
        sample_flow, coverage: the tables written with the features.
        outputs: files named ``flow`` or ``coverage``.
        spec: ``population``, ``min_rows``, ``min_settings``, ``factors``, ``metrics``, ``dpi``.
    """
    wanted = by_kind(outputs)
    if "flow" in wanted:
        draw_flow(sample_flow, wanted["flow"], spec)
    if "coverage" in wanted:
        draw_coverage(coverage, wanted["coverage"], spec)

"""All figures of one experiment, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunescape.figures.design import draw_design
from tunescape.figures.learning import draw_learning
from tunescape.figures.style import Paths, by_kind


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
    wanted = by_kind(outputs)
    if "design" in wanted:
        draw_design(design, diagnostics, summary, wanted["design"], spec)
    if "learning" in wanted:
        draw_learning(history, wanted["learning"], spec)

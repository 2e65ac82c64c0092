"""draw_analysis: the five figures of a regression, each with its n."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.parametrize("kind", ["correlation", "scatter", "regression", "forest", "contour"])
def test_each_figure_is_drawn_and_undated(finished: Path, kind: str) -> None:
    for population in ("distilbert-sst2", "distilbert"):
        base = finished / "results/figures" / population / "relative/loss" / kind
        svg = base.with_suffix(".svg").read_text(encoding="utf-8")
        assert svg.rstrip().endswith("</svg>") and "<dc:date>" not in svg
        assert base.with_suffix(".png").stat().st_size > 5_000

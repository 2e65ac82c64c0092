"""draw_contrast: both arms' estimates, term by term."""

from __future__ import annotations

from pathlib import Path


def test_forest_is_whole_and_undated(finished: Path) -> None:
    base = finished / "results/figures/contrast/distilbert/mini-surface/loss"
    svg = base.with_suffix(".svg").read_text(encoding="utf-8")
    assert svg.rstrip().endswith("</svg>") and "<dc:date>" not in svg
    assert base.with_suffix(".png").stat().st_size > 5_000

"""draw_specifications: the curve of every coefficient."""

from __future__ import annotations

from pathlib import Path


def test_figure_is_whole_and_undated(finished: Path) -> None:
    for population in ("distilbert-sst2", "distilbert"):
        base = finished / "results/figures" / population / "specifications/loss"
        svg = base.with_suffix(".svg").read_text(encoding="utf-8")
        assert svg.rstrip().endswith("</svg>") and "<dc:date>" not in svg
        assert base.with_suffix(".png").stat().st_size > 5_000

"""draw_population: sample flow and coverage, as SVG and PNG."""

from __future__ import annotations

from pathlib import Path


def test_figures_are_whole_and_undated(finished: Path) -> None:
    for kind in ("flow", "coverage"):
        base = finished / "results/figures/distilbert" / kind
        svg = base.with_suffix(".svg").read_text(encoding="utf-8")
        assert svg.rstrip().endswith("</svg>") and "<dc:date>" not in svg
        assert base.with_suffix(".png").read_bytes().startswith(b"\x89PNG")

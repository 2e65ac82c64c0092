"""draw_experiment: the design and the learning curves."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.parametrize("kind", ["design", "learning"])
def test_figure_is_whole_and_undated(finished: Path, kind: str) -> None:
    base = finished / "results/figures/experiments/mini-surface" / kind
    svg = base.with_suffix(".svg").read_text(encoding="utf-8")
    assert svg.rstrip().endswith("</svg>") and "<dc:date>" not in svg
    assert base.with_suffix(".png").stat().st_size > 5_000

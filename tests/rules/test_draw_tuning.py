"""draw_tuning: budget curves, parallel coordinates, training curves of the best."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.parametrize("kind", ["budget", "parallel", "training"])
def test_figure_is_whole_and_undated(tuned: Path, kind: str) -> None:
    base = tuned / "results/figures/experiments/mrpc-tuning" / kind
    svg = base.with_suffix(".svg").read_text(encoding="utf-8")
    assert svg.rstrip().endswith("</svg>") and "<dc:date>" not in svg
    assert base.with_suffix(".png").stat().st_size > 5_000

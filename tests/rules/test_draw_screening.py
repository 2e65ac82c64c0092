"""draw_screening: effects against what noise alone would give."""

from __future__ import annotations

from pathlib import Path


def test_figure_names_every_factor(tuned: Path) -> None:
    base = tuned / "results/figures/experiments/mrpc-tuning/screen/half_normal"
    svg = base.with_suffix(".svg").read_text(encoding="utf-8")
    assert svg.rstrip().endswith("</svg>") and "<dc:date>" not in svg
    for name in ("learning rate", "weight decay", "warmup steps", "dropout"):
        assert name in svg
    assert base.with_suffix(".png").stat().st_size > 5_000

"""weigh_metrics: what is on the front, and what was excluded, adds up."""

from __future__ import annotations

from pathlib import Path

import pytest
from tunescape.tables import read_json, read_table


@pytest.mark.parametrize(
    "place", ["distilbert/absolute", "distilbert/relative", "mini-surface/absolute"]
)
def test_candidates_are_accounted_for(finished: Path, place: str) -> None:
    folder = finished / "results/analysis" / place
    told = read_json(folder / "tradeoffs/summary.json")
    counts = told["candidates"]
    excluded = sum(counts[key] for key in ("outside_data", "not_determined", "impossible", "kept"))
    assert counts["tried"] == excluded
    observed = read_table(folder / "tradeoffs/observed.csv")
    fit = read_json(folder / "loss/fit.json")
    assert len(observed) == fit["n"] == told["observed"]["models"]
    assert observed["desirability"].is_monotonic_decreasing
    # One metric: the front is its least value.
    assert (observed["front"] == (observed["loss"] == observed["loss"].min())).all()

"""map_strategy: every number of the prose is a table cell, in both arms."""

from __future__ import annotations

from pathlib import Path

import pytest
from tunescape.strategy import unresolved_numbers
from tunescape.tables import read_table

GRADES = {"supported", "fragile", "artefact", "no evidence", "identity"}


@pytest.mark.parametrize("population", ["distilbert-sst2", "distilbert", "mini-surface"])
def test_numbers_resolve_and_grades_have_rules(finished: Path, population: str) -> None:
    analysis = finished / "results/analysis"
    strategy = read_table(analysis / population / "strategy.csv")
    assert unresolved_numbers(strategy, analysis) == []
    assert set(strategy["grade"]) <= GRADES and strategy["rule"].notna().all()
    assert {"first", "last", "effect"} <= set(strategy["kind"])
    text = " ".join(strategy["text"])
    assert ("of specifications" in text) == (population != "mini-surface")
    assert "owners" not in text if population == "mini-surface" else "configurations" not in text

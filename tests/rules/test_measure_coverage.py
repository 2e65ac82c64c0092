"""measure_coverage: nine by nine, and what the rule makes of it."""

from __future__ import annotations

from pathlib import Path

from tunescape.tables import read_table


def test_the_choice_follows_from_the_coverage(finished: Path) -> None:
    for population in ("distilbert-sst2", "distilbert"):
        folder = finished / "results/analysis" / population
        coverage = read_table(folder / "coverage.csv")
        chosen = read_table(folder / "chosen.csv")
        assert len(coverage) == 81 and len(chosen) == 3 * 1
        enough = (chosen["rows"] >= 12) & (chosen["settings"] >= 2)
        assert (chosen["chosen"] == enough).all()
        cells = coverage.set_index(["hyperparameter", "metric"])["rows"]
        for row in chosen.itertuples():
            assert cells[row.hyperparameter, row.metric] == row.rows

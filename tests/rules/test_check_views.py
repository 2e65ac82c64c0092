"""check_views: each pair of fits is one model to 1e-8, or it is said why that is not known."""

from __future__ import annotations

from pathlib import Path

from tunescape.regression import IDENTITY_COLUMNS
from tunescape.tables import read_table


def test_pairs_are_one_model(finished: Path) -> None:
    table = read_table(finished / "results/analysis/identity.csv")
    assert list(table.columns) == list(IDENTITY_COLUMNS)
    assert set(table["population"]) == {"distilbert-sst2", "distilbert"}
    known = table[table["status"] != "not compared"]
    assert len(known) and (known["status"] == "one model").all() and known["holds"].all()
    assert (known["largest"] <= 1e-8).all()

"""compare_published: each published table's rows beside our own."""

from __future__ import annotations

import json
from pathlib import Path

from tunescape.tables import read_table


def test_every_published_row_has_its_named_term(finished: Path) -> None:
    published = read_table(finished / "resources/published_tables.csv")
    folder = finished / "results/analysis/distilbert"
    table = read_table(folder / "published.csv")
    assert len(table) == len(published) == 58
    mapping = json.loads((folder / "published_terms.json").read_text())["mapping"]
    assert mapping["x1"] == "learning_rate" and mapping["x7"] == "train_batch_size^2"
    both = table[table["raw_estimate"].notna()] if "raw_estimate" in table else table
    assert len(both) > 20

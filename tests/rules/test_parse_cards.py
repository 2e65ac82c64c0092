"""parse_cards: one row a model, and where each value was read."""

from __future__ import annotations

from pathlib import Path

from tunescape.parsing import PARSED_COLUMNS
from tunescape.tables import read_table


def test_one_row_a_model_with_provenance(finished: Path) -> None:
    for bucket in "012":
        parsed = read_table(finished / f"results/hub/parsed/{bucket}.parquet")
        places = read_table(finished / f"results/hub/parsed/{bucket}.provenance.parquet")
        files = list((finished / "results/hub/raw" / bucket).glob("*.json"))
        assert list(parsed.columns) == list(PARSED_COLUMNS) and len(parsed) == len(files)
        assert not parsed["status"].str.startswith("failed").any()
        stated = parsed.loc[parsed["learning_rate"].notna(), "id"]
        assert len(stated) > 50
        assert set(stated) <= set(places.loc[places["field"] == "learning_rate", "id"])

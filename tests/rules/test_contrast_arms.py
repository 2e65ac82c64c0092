"""contrast_arms: same terms, same coding, and what cannot be compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tunescape.contrast import TABLE_COLUMNS
from tunescape.tables import read_json, read_table

FOLDER = "results/contrast/distilbert/mini-surface/loss"


def test_differences_are_of_the_two_estimates(finished: Path) -> None:
    table = read_table(finished / FOLDER / "contrast.csv").set_index("term")
    assert ["term", *table.columns] == list(TABLE_COLUMNS)
    both = table[table["comparable"]]
    assert {"learning_rate", "num_epochs", "learning_rate:num_epochs"} <= set(both.index)
    gap = both["experiment_estimate"] - both["hub_estimate"]
    assert np.allclose(both["difference"], gap)
    error = np.hypot(both["experiment_se"], both["hub_se"])
    assert np.allclose(both["se_difference"], error)
    low = both[["hub_estimate", "experiment_estimate"]].min(axis=1)
    high = both[["hub_estimate", "experiment_estimate"]].max(axis=1)
    assert both["combined"].between(low - 1e-12, high + 1e-12).all()


def test_terms_that_the_experiment_cannot_tell_are_named(finished: Path) -> None:
    table = read_table(finished / FOLDER / "contrast.csv").set_index("term")
    summary = read_json(finished / FOLDER / "contrast.json")
    assert set(summary["not_comparable"]) == {"learning_rate^2", "num_epochs^2"}
    assert not table.loc[["learning_rate^2", "num_epochs^2"], "comparable"].any()
    assert summary["samples"]["experiment"]["n"] == 8
    assert summary["joint"]["df1"] == 3 and 0 <= summary["joint"]["p"] <= 1
    assert summary["labels"] == {"hub": "distilbert", "experiment": "mini-surface"}

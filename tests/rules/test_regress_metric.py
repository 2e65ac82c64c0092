"""regress_metric: named terms, both kinds of errors, and the plain truth about the data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tunescape.tables import read_table


def test_terms_are_named_and_the_views_agree(finished: Path) -> None:
    folder = finished / "results/analysis/distilbert"
    fits = {}
    for view in ("absolute", "relative"):
        table = read_table(folder / view / "loss" / "coefficients.csv").set_index("term")
        assert "learning_rate:num_epochs" in table.index and "num_epochs^2" in table.index
        fits[view] = table
    for term in ("learning_rate^2", "num_epochs^2", "learning_rate:num_epochs"):
        one, other = fits["absolute"].loc[term], fits["relative"].loc[term]
        assert np.isclose(one["raw_estimate"], other["raw_estimate"], rtol=1e-8)
    summary = json.loads((folder / "absolute/loss/fit.json").read_text())
    assert summary["status"] == "ok" and summary["rank"] == 10
    assert len(read_table(folder / "absolute/loss/diagnostics.csv")) == summary["n"]


def test_a_deficient_population_is_said_to_be_one(finished: Path) -> None:
    folder = finished / "results/analysis/distilbert-sst2/absolute/loss"
    summary = json.loads((folder / "fit.json").read_text())
    said = " ".join(summary["statements"])
    assert summary["status"] == "rank_deficient" and "not estimable" in said
    assert "from one uploader" in said
    table = read_table(folder / "coefficients.csv")
    gone = table[~table["estimable"]]
    assert len(gone) and gone["estimate"].isna().all() and gone["aliased_with"].notna().all()

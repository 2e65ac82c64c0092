"""account_models: the source's records, then each population, in one flow."""

from __future__ import annotations

from pathlib import Path

from tunescape.tables import read_table


def test_populations_start_from_what_the_source_left(finished: Path) -> None:
    flow = read_table(finished / "results/analysis/sample_flow.csv")
    assert set(flow["population"]) == {"(source)", "distilbert-sst2", "distilbert", "mini-surface"}
    models = flow[flow["population"] == "(source)"]["after"].iloc[-1]
    starts = flow.groupby("population")["before"].first()
    assert starts["distilbert-sst2"] == starts["distilbert"] == models
    assert starts["mini-surface"] == 8

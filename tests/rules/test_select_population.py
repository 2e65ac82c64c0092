"""select_population: the population's models, and an account of all others."""

from __future__ import annotations

from pathlib import Path

import pytest
from tunescape.tables import read_table

SST2 = "distilbert-base-uncased-finetuned-sst-2-english"


@pytest.mark.parametrize("population", ["distilbert-sst2", "distilbert"])
def test_every_model_is_in_the_sample_or_accounted_for(finished: Path, population: str) -> None:
    features = read_table(finished / "results/hub/features.parquet")
    sample = read_table(finished / f"results/analysis/{population}/sample.parquet")
    flow = read_table(finished / f"results/analysis/{population}/sample_flow.csv")
    main = flow[~flow["step"].str.startswith("metric")]
    assert main["before"].iloc[0] == len(features)
    assert (main["before"] - main["removed"] == main["after"]).all()
    assert (main["before"].iloc[1:].to_numpy() == main["after"].iloc[:-1].to_numpy()).all()
    assert 20 < len(sample) < len(features)
    assert (sample["task"] == "text-classification").all()
    if population == "distilbert-sst2":
        assert sample["base_model"].str.endswith(SST2).all()

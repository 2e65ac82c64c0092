"""adjust_family: one family over all terms of all tables, an experiment's its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tunescape.tables import read_table


def test_adjusted_p_values_are_ordered(finished: Path) -> None:
    family = read_table(finished / "results/analysis/family.csv")
    assert set(family["population"]) == {"distilbert-sst2", "distilbert", "mini-surface"}
    known = family[family["p"].notna()]
    designed = known["population"] == "mini-surface"
    assert set(known.loc[~designed, "family"]) == {(~designed).sum()} and (~designed).sum() >= 15
    assert set(known.loc[designed, "family"]) == {designed.sum()}
    assert (known["holm"] >= known["bh"] - 1e-12).all()
    assert (known["bh"] >= known["p"] - 1e-12).all()
    assert np.isfinite(known["by"]).all()

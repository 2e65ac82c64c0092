"""adjust_family: one family over all terms of all tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tunescape.tables import read_table


def test_adjusted_p_values_are_ordered(finished: Path) -> None:
    family = read_table(finished / "results/analysis/family.csv")
    assert set(family["population"]) == {"distilbert-sst2", "distilbert", "mini-surface"}
    known = family[family["p"].notna()]
    assert (known["family"] == len(known)).all() and len(known) >= 15
    assert (known["holm"] >= known["bh"] - 1e-12).all()
    assert (known["bh"] >= known["p"] - 1e-12).all()
    assert np.isfinite(known["by"]).all()

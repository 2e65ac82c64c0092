"""trace_specifications: every combination of decisions, the study's own among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tunescape.specification import DECISIONS
from tunescape.tables import read_table


def test_each_coefficient_has_its_curve(finished: Path) -> None:
    for population in ("distilbert-sst2", "distilbert"):
        folder = finished / "results/analysis" / population / "specifications/loss"
        curve, summary = (read_table(folder / f"{name}.csv") for name in ("curve", "summary"))
        counts = curve.groupby("term")["specification"].nunique()
        assert len(counts) == 9 and (counts >= 200).all()
        overall = summary[summary["decision"] == "all"].set_index("term")
        assert (overall["specifications"] == counts[overall.index]).all()
        assert set(summary["decision"]) == {"all", *DECISIONS}


def test_the_reference_is_the_regression_of_the_study(finished: Path) -> None:
    folder = finished / "results/analysis/distilbert"
    summary = read_table(folder / "specifications/loss/summary.csv")
    overall = summary[summary["decision"] == "all"].set_index("term")
    own = read_table(folder / "absolute/loss/coefficients.csv").set_index("term").loc[overall.index]
    assert np.allclose(overall["reference_estimate"], own["estimate"], rtol=1e-5, equal_nan=True)
    assert np.allclose(overall["reference_p"], own["p_cr3"], rtol=1e-5, equal_nan=True)

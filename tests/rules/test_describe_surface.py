"""describe_surface: the tables of a fit agree with the fit, for published models and for runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tunescape.response import SURFACE_TABLES
from tunescape.tables import read_json, read_table

FITS = ("distilbert/absolute", "distilbert/relative", "mini-surface/absolute")


@pytest.mark.parametrize("place", FITS)
def test_all_tables_are_there_and_come_from_the_fit(finished: Path, place: str) -> None:
    folder = finished / "results/analysis" / place / "loss"
    tables = {name: read_table(folder / "surface" / f"{name}.csv") for name in SURFACE_TABLES}
    own = read_table(folder / "coefficients.csv")
    assert np.allclose(
        tables["estimates"]["estimate"], own["estimate"], rtol=1e-9, atol=1e-12, equal_nan=True
    )
    told = read_json(folder / "fit.json")
    checks = tables["checks"].set_index("check")["value"]
    assert checks["n"] == told["n"] and checks["rank"] == told["rank"]
    assert checks["r2"] == pytest.approx(told["r2"], rel=1e-12)
    held = told["held_out"]["owner"]["r2"]
    assert checks["left_out_owner_r2"] == pytest.approx(held or np.nan, nan_ok=True)
    order = tables["error_anova"].set_index("source")["ss"]
    assert order["lack of fit"] + order["pure error"] == pytest.approx(order["total error"])
    assert tables["stationary_point"]["statement"].nunique() == 1


def test_second_order_tables_are_those_of_either_view(finished: Path) -> None:
    one, two = (
        read_table(finished / f"results/analysis/distilbert/{view}/loss/surface/spectral.csv")
        for view in ("absolute", "relative")
    )
    assert np.allclose(one["eigenvalue"], two["eigenvalue"], rtol=1e-8)

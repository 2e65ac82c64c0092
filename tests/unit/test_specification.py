"""Specification curves: every combination is there, counted right, and means the same thing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from study_tables import BASELINE, FACTORS, models
from tunescape.regression import fit_population
from tunescape.schemas import FEATURE_COLUMNS, PROVENANCE_COLUMNS
from tunescape.specification import (
    DECISIONS,
    reference_choice,
    specification_curve,
    summarise_curve,
    trace_curve,
)
from tunescape.tables import read_table, write_table

POPULATION = {"name": "p", "base_model": ["base"], "duplicates": "drop", "min_confidence": 0.5}
SPEC = {
    "metric": "accuracy", "factors": FACTORS, "baseline": BASELINE, "population": POPULATION,
    "cluster": "owner",
}  # fmt: skip


def features(rows: int = 140) -> pd.DataFrame:
    frame = models(rows, seed=3).assign(base_model="base", task="text-classification")
    again = frame.iloc[:10].assign(
        id=[f"copy/{i}" for i in range(10)], duplicate_of=frame["id"].iloc[:10].to_numpy()
    )
    return pd.concat([frame, again], ignore_index=True).astype(FEATURE_COLUMNS)


def provenance(frame: pd.DataFrame) -> pd.DataFrame:
    """Ten models whose learning rate was read with little confidence."""
    table = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in PROVENANCE_COLUMNS.items()})
    unsure = pd.DataFrame(
        {"id": frame["id"].iloc[20:30], "field": "learning_rate", "value": "1", "confidence": 0.7}
    )
    return pd.concat([table, unsure], ignore_index=True).astype(PROVENANCE_COLUMNS)


@pytest.fixture(scope="module")
def curve() -> pd.DataFrame:
    frame = features()
    return trace_curve(frame, provenance(frame), SPEC)


def test_every_coefficient_has_200_specifications_over_all_decisions(curve):
    per_term = curve.groupby("term")["specification"].nunique()
    assert len(per_term) == 9
    assert per_term.min() >= 200
    for decision in DECISIONS:
        assert curve[decision].nunique() >= 2, decision
    once = curve[["term", *DECISIONS]]
    assert not once.duplicated().any()


def test_decisions_change_the_rows_as_they_say(curve):
    own = reference_choice(SPEC)
    counts = {}
    for decision, level in (("duplicates", "keep"), ("confidence", "0.9"), ("coding", "study")):
        place = {**own, decision: level}
        part = curve[np.logical_and.reduce([curve[k] == v for k, v in place.items()])]
        counts[level] = int(part["n"].iloc[0])
    assert counts == {"study": 140, "keep": 150, "0.9": 130}


def test_reference_specification_is_the_regression_of_the_study(curve):
    frame = features()
    sample = frame[frame["duplicate_of"].isna()]
    table = fit_population(sample, {**SPEC, "wild_draws": 0}).coefficients.set_index("term")
    own = curve[np.logical_and.reduce([curve[k] == v for k, v in reference_choice(SPEC).items()])]
    own = own.set_index("term")
    assert np.allclose(own["estimate"], table.loc[own.index, "estimate"], rtol=1e-5)
    assert np.allclose(own["p"], table.loc[own.index, "p_cr3"], rtol=1e-4)


def test_with_data_set_effects_the_reference_has_them(curve):
    frame = features()
    sample = frame[frame["duplicate_of"].isna()]
    spec = {**SPEC, "wild_draws": 0, "effects": ["dataset"]}
    table = fit_population(sample, spec).coefficients.set_index("term")
    choice = reference_choice(spec)
    own = curve[np.logical_and.reduce([curve[k] == v for k, v in choice.items()])]
    own = own.set_index("term")
    assert np.allclose(own["estimate"], table.loc[own.index, "estimate"], rtol=1e-5)
    assert np.allclose(own["p"], table.loc[own.index, "p_cr3"], rtol=1e-4)


def test_views_share_second_order_terms_but_not_the_point_of_slopes(curve):
    whole = curve[(curve["intercept"] == "yes") & (curve["covariance"] == "cr3")]
    keys = ["term", *(d for d in DECISIONS if d != "view")]
    both = whole.pivot_table(index=keys, columns="view", values="estimate").reset_index()
    second = both["term"].str.contains(r"\^2|:")
    assert np.allclose(both.loc[second, "absolute"], both.loc[second, "relative"], rtol=1e-4)
    slope = both["term"] == "learning_rate"
    assert not np.allclose(both.loc[slope, "absolute"], both.loc[slope, "relative"], rtol=0.05)


def test_summary_counts_by_hand():
    rows = 8
    made = pd.DataFrame(dict.fromkeys(DECISIONS, ["a"] * rows)).assign(
        metric="accuracy", term="x", specification=range(rows),
        covariance=["cr3", "hc3"] * 4,
        view=["own"] + ["other"] * 7,
        estimate=[1.0, 1, 1, -1, -1, 2, np.nan, 3],
        p=[0.01, 0.2, 0.03, 0.01, 0.5, np.nan, np.nan, 0.04],
        n=50, se=[0.1, 0.5, 0.1, 0.1, 0.5, np.nan, np.nan, 0.5], df=20.0,
    )  # fmt: skip
    reference = {**dict.fromkeys(DECISIONS, "a"), "covariance": "cr3", "view": "own"}
    table = summarise_curve(made, reference)
    found = table[table["decision"] == "all"].iloc[0]
    assert (found["specifications"], found["estimated"], found["tested"]) == (8, 7, 6)
    assert found["distinct"] == 5
    assert found["share_sign"] == pytest.approx(5 / 7)
    assert found["share_significant"] == pytest.approx(4 / 6)
    assert found["share_significant_sign"] == pytest.approx(3 / 6)
    assert found["share_verdict"] == pytest.approx(4 / 6)
    within = table[(table["decision"] == "covariance") & (table["level"] == "hc3")].iloc[0]
    assert (within["specifications"], within["tested"]) == (4, 3)


def test_a_strong_curvature_is_found_everywhere_and_noise_is_not(curve):
    table = summarise_curve(curve, reference_choice(SPEC))
    shares = table[table["decision"] == "all"].set_index("term")
    square = table[(table["term"] == "learning_rate^2") & (table["decision"] == "intercept")]
    by_intercept = square.set_index("level")["share_sign"]
    assert by_intercept["yes"] == 1.0
    # Through the origin of a log scale the surface is forced through a rate of 1.
    assert by_intercept["no"] < 1.0
    assert shares.loc["train_batch_size:num_epochs", "share_significant_sign"] < 0.3


def test_files_and_left_out_factors(tmp_path):
    frame = features()
    write_table(frame, tmp_path / "features.parquet")
    write_table(provenance(frame), tmp_path / "provenance.parquet")
    chosen = pd.DataFrame(
        {
            "population": "p", "metric": "accuracy", "hyperparameter": list(FACTORS), "rows": 150,
            "settings": 4, "chosen": [True, True, False], "reason": ["", "", "few"],
        }
    )  # fmt: skip
    write_table(chosen, tmp_path / "chosen.csv")
    paths = [tmp_path / n for n in ("features.parquet", "provenance.parquet", "chosen.csv")]
    out = tmp_path / "curve.csv", tmp_path / "summary.csv"
    specification_curve(*paths, *out, SPEC)
    summary = read_table(out[1])
    terms = set(summary["term"])
    assert "num_epochs" not in terms and "learning_rate^2" in terms
    assert summary.loc[summary["decision"] == "all", "specifications"].min() >= 200
    write_table(chosen.assign(chosen=False), tmp_path / "chosen.csv")
    specification_curve(*paths, *out, SPEC)
    assert read_table(out[0]).empty and read_table(out[1]).empty

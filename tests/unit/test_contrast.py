"""The two arms compared: known differences found, nothing found where there is nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tunescape.contrast import (
    TABLE_COLUMNS,
    Estimate,
    combine,
    contrast,
    contrast_samples,
    difference,
    two_sample_wald,
)
from tunescape.design import make_design
from tunescape.errors import UserError
from tunescape.factors import read_factors
from tunescape.tables import read_json, read_table, write_table

FACTORS = {"learning_rate": "log", "num_epochs": "linear"}
SPEC: dict[str, Any] = {"metric": "accuracy", "factors": FACTORS}
DESIGN = read_factors(
    {
        "learning_rate": {"low": 1e-5, "high": 1e-3, "scale": "log"},
        "num_epochs": {"low": 1, "high": 5},
    }
)


def truth(frame: pd.DataFrame, slope: float = 0.03) -> pd.Series:
    z, e = np.log10(frame["learning_rate"]) + 4, (frame["num_epochs"] - 3) / 2
    return 0.8 + slope * z - 0.04 * z**2 + 0.01 * e - 0.02 * z * e


def hub(rng: np.random.Generator, sd: float = 0.01, owners: int = 20) -> pd.DataFrame:
    """Published models of uneven uploaders, each with a level of its own."""
    sizes = rng.choice([1, 2, 3, 6], size=owners)
    owner = np.repeat(np.arange(owners), sizes)
    frame = pd.DataFrame(
        {
            "id": [f"m{i:03d}" for i in range(len(owner))],
            "owner": [f"o{g:02d}" for g in owner],
            "learning_rate": 10 ** rng.uniform(-5, -3, len(owner)),
            "num_epochs": rng.integers(1, 6, len(owner)).astype(float),
        }
    )
    level = sd * rng.normal(size=owners)[owner]
    return frame.assign(accuracy=truth(frame) + level + sd * rng.normal(size=len(frame)))


def runs(rng: np.random.Generator, slope: float = 0.03, sd: float = 0.01) -> pd.DataFrame:
    design = make_design("central_composite", DESIGN, {"center": 2}).frame
    frame = pd.concat([design] * 3, ignore_index=True)
    frame = frame.assign(
        id=[f"r{i:03d}" for i in range(len(frame))], owner=frame["point"].map("c{:02d}".format)
    )
    return frame.assign(accuracy=truth(frame, slope) + sd * rng.normal(size=len(frame)))


def test_a_known_difference_is_recovered_where_it_is() -> None:
    rng = np.random.default_rng(3)
    table, summary = contrast_samples(hub(rng), runs(rng, slope=-0.03), SPEC)
    assert list(table.columns) == list(TABLE_COLUMNS)
    row = table.set_index("term").loc["learning_rate"]
    assert row["difference"] == pytest.approx(-0.06, abs=3 * row["se_difference"])
    assert row["p"] < 0.001 and row["p_holm"] < 0.005 and not row["same_sign"]
    assert row["tau"] > 0.02 and row["combined_se"] > row["hub_se"]
    assert row["experiment_estimate"] < row["experiment_shrunk"] < row["hub_shrunk"]
    assert row["hub_error"] == "cr3"
    same = table.set_index("term").loc["learning_rate:num_epochs"]
    assert same["p"] > 0.05 and same["same_sign"]
    assert summary["joint"]["p"] < 0.001 and summary["joint"]["df1"] == 5
    slope = summary["slopes"][0]
    # One doubling is log10(2) of a decade, and a decade is one coded unit.
    assert slope["difference"] == pytest.approx(row["difference"] * np.log10(2), rel=1e-6)
    said = " ".join(summary["statements"])
    assert "doubling learning_rate at centre of the coding" in said
    assert "differ by more than their errors" in said


def test_both_samples_share_terms_and_coding() -> None:
    rng = np.random.default_rng(4)
    exact = hub(rng, sd=0.0)
    table, summary = contrast_samples(exact, runs(rng, sd=0.0), SPEC)
    found = table.set_index("term")
    assert found["difference"].to_numpy() == pytest.approx(0.0, abs=1e-10)
    assert found.loc["learning_rate", "hub_estimate"] == pytest.approx(0.03)
    assert found.loc["learning_rate:num_epochs", "experiment_estimate"] == pytest.approx(-0.02)
    assert summary["coding"][0]["centre"] == pytest.approx(np.log(1e-4))
    both = contrast_samples(exact, runs(rng, sd=0.0), {**SPEC, "coded_on": "hub"})[1]
    assert both["coding"][0]["centre"] != summary["coding"][0]["centre"]


def test_row_order_and_units_change_nothing() -> None:
    rng = np.random.default_rng(5)
    one, two = hub(rng), runs(rng)
    first, _ = contrast_samples(one, two, SPEC)
    second, _ = contrast_samples(one[::-1], two.sample(frac=1, random_state=0), SPEC)
    pd.testing.assert_frame_equal(first, second)
    scaled = [f.assign(learning_rate=f["learning_rate"] * 1e6) for f in (one, two)]
    third, _ = contrast_samples(*scaled, SPEC)
    assert third["p"].to_numpy() == pytest.approx(first["p"].to_numpy(), rel=1e-8)


def test_the_whole_contrast_keeps_its_level_under_the_null() -> None:
    rng = np.random.default_rng(6)
    linear = {**SPEC, "degree": 1, "factors": {"num_epochs": "linear"}}
    p, joint = [], []
    for _ in range(40):
        one, two = hub(rng), runs(rng)
        for frame in (one, two):
            frame["accuracy"] -= truth(frame)
        table, summary = contrast_samples(one, two, linear)
        p.append(float(table["p"].iloc[1]))
        joint.append(summary["joint"]["p"])
    # 40 draws at 5 %: 2 expected, 6 or fewer with probability 0.997.
    assert np.sum(np.array(p) < 0.05) <= 6
    assert 0.3 < np.median(p) < 0.7
    assert joint == pytest.approx(p)


def test_t_of_the_difference_is_calibrated() -> None:
    rng = np.random.default_rng(7)
    p = []
    for _ in range(1500):
        arms = []
        for sd, df in ((1.0, 6), (0.4, 25)):
            se = sd * np.sqrt(rng.chisquare(df) / df)
            nan = float("nan")
            arms.append(Estimate(sd * rng.normal(), se, df, nan, nan, nan, "cr3"))
        p.append(difference(*arms).p)
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.017)
    assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("classical", [False, True])
def test_joint_wald_keeps_its_level_with_few_degrees_of_freedom(classical: bool) -> None:
    rng = np.random.default_rng(8)
    q, sizes, scales = 3, (12, 8), (1.0, 0.8)
    rejected = 0
    for _ in range(1500):
        gap = sum(scale * rng.normal(size=q) for scale in scales)
        draws = scales[0] * rng.normal(size=(sizes[0], q))
        parts = [(draws.T @ draws / sizes[0], float(sizes[0]), False)]
        draws = scales[1] * rng.normal(size=(sizes[1], q))
        second = draws.T @ draws / sizes[1]
        if classical:
            second = scales[1] ** 2 * rng.chisquare(sizes[1]) / sizes[1] * np.eye(q)
        parts.append((second, float(sizes[1]), classical))
        f, df2 = two_sample_wald(np.asarray(gap), parts)
        rejected += stats.f.sf(f, q, df2) < 0.05
    assert rejected / 1500 == pytest.approx(0.05, abs=0.017)


def test_joint_wald_is_exact_where_an_exact_test_is_known() -> None:
    gap, spread = np.array([1.0, -2.0, 0.5]), np.diag([1.0, 4.0, 0.25])
    none = np.zeros((3, 3))
    f, df2 = two_sample_wald(gap, [(spread, 5.0, True), (none, 9.0, False)])
    assert (f, df2) == (pytest.approx(3.0 / 3), pytest.approx(5.0))
    f, df2 = two_sample_wald(gap, [(spread, 12.0, False), (none, 9.0, False)])
    assert (f, df2) == (pytest.approx(3.0 * 10 / (12 * 3)), pytest.approx(10.0))
    assert np.isnan(two_sample_wald(gap, [(spread, 3.0, False), (none, 9.0, False)])[0])
    assert np.isnan(two_sample_wald(gap, [(none, 3.0, False), (none, 9.0, False)])[0])


def test_welch_is_the_joint_test_of_one_term() -> None:
    one = Estimate(0.0, 2.0, 7.0, 0, 0, 0, "cr3")
    two = Estimate(3.0, 1.0, 19.0, 0, 0, 0, "cr3")
    gap = difference(one, two)
    parts = [(np.array([[4.0]]), 7.0, False), (np.array([[1.0]]), 19.0, True)]
    f, df2 = two_sample_wald(np.array([3.0]), parts)
    assert df2 == pytest.approx(25 / (16 / 7 + 1 / 19)) and df2 == pytest.approx(gap.df)
    assert f == pytest.approx(gap.t**2) and f == pytest.approx(9 / 5)


def test_combined_estimate_is_derSimonian_and_lairds() -> None:
    agreeing = combine((1.0, 1.0), (1.2, 0.5))
    assert agreeing.tau == 0 and agreeing.value == pytest.approx((1 + 4 * 1.2) / 5)
    assert agreeing.se == pytest.approx(np.sqrt(1 / 5))
    assert agreeing.shrunk == pytest.approx((agreeing.value, agreeing.value))
    # tau^2 = (16 - 1.25) / 2; the general formula with k = 2 gives the same.
    apart = combine((0.0, 1.0), (4.0, 0.5))
    w = np.array([1.0, 4.0])
    q = float(w @ (np.array([0.0, 4.0]) - 16 / 5) ** 2)
    assert apart.tau**2 == pytest.approx((q - 1) / (w.sum() - (w @ w) / w.sum()))
    assert apart.i2 == pytest.approx(1 - 1 / q)
    assert np.isnan(combine((0.0, float("nan")), (1.0, 1.0)).value)


def test_terms_that_a_sample_cannot_estimate_are_named() -> None:
    rng = np.random.default_rng(9)
    constant = hub(rng).assign(num_epochs=3.0)
    table, summary = contrast_samples(constant, runs(rng), SPEC)
    found = table.set_index("term")
    lost = {"num_epochs", "num_epochs^2", "learning_rate:num_epochs"}
    assert set(found.index[~found["comparable"]]) == lost == set(summary["not_comparable"])
    assert "the Hub cannot estimate it: it equals 0 there" in found.loc["num_epochs", "reason"]
    assert np.isfinite(found.loc["num_epochs", "experiment_estimate"])
    assert found.loc["learning_rate", "comparable"]
    assert [entry["comparable"] for entry in summary["slopes"]] == [True, False]
    assert "the Hub says nothing, as it cannot estimate it" in " ".join(summary["statements"])


def test_a_confounded_term_is_compared_as_what_it_stands_for() -> None:
    rng = np.random.default_rng(10)
    tied = hub(rng)
    # Epochs follow the learning rate: coded, both factors are one.
    tied["num_epochs"] = 3 + 2 * (np.log10(tied["learning_rate"]) + 4)
    tied["accuracy"] = truth(tied) + 0.001 * rng.normal(size=len(tied))
    table, summary = contrast_samples(tied, runs(rng, sd=0.001), SPEC)
    row = table.set_index("term").loc["learning_rate"]
    assert row["compared"] == "learning_rate + 1 num_epochs"
    assert row["hub_estimate"] == pytest.approx(0.04, abs=0.003)
    assert row["experiment_estimate"] == pytest.approx(0.04, abs=0.003)
    square = table.set_index("term").loc["learning_rate^2"]
    assert square["compared"] == "learning_rate^2 + 1 learning_rate:num_epochs + 1 num_epochs^2"
    assert square["difference"] == pytest.approx(0.0, abs=0.005)
    assert summary["joint"]["df1"] == 2


def test_a_term_that_rests_on_one_uploader_has_no_part_in_the_joint_test() -> None:
    rng = np.random.default_rng(11)
    frame = hub(rng)
    alone = frame["owner"] == "o00"
    frame["num_epochs"] = np.where(alone, frame["num_epochs"], 3.0)
    frame = pd.concat([frame, frame[alone].assign(id="extra", num_epochs=5.0)])
    table, summary = contrast_samples(frame, runs(rng), {**SPEC, "degree": 1})
    row = table.set_index("term").loc["num_epochs"]
    assert row["hub_error"] == "classical"
    assert summary["joint"]["left_out"] == {"num_epochs": "no cluster-robust error in the Hub"}
    assert summary["joint"]["tested"] == ["learning_rate"]


def test_slopes_are_compared_at_a_named_point() -> None:
    rng = np.random.default_rng(12)
    point = {"name": "the baseline", "values": {"learning_rate": 1e-5, "num_epochs": 9}}
    one, two = hub(rng, sd=0.0), runs(rng, sd=0.0)
    _, summary = contrast_samples(one, two, {**SPEC, "point": point})
    rate, epochs = summary["slopes"]
    # d/dz = 0.03 - 0.08 z - 0.02 e at z = -1, e = 3; d/de = 0.01 - 0.02 z, one epoch is e / 2.
    assert rate["hub_estimate"] == pytest.approx((0.03 + 0.08 - 0.06) * np.log10(2))
    assert epochs["experiment_estimate"] == pytest.approx((0.01 + 0.02) / 2)
    assert epochs["inside"] == {"hub": False, "experiment": False}
    assert "at the baseline (learning_rate 1e-05, num_epochs 9)" in summary["statements"][1]
    with pytest.raises(UserError, match="no value of num_epochs"):
        bad = {"values": {"learning_rate": 1e-5}}
        contrast_samples(one, two, {**SPEC, "point": bad})


def test_rows_outside_the_experiment_can_be_left_out() -> None:
    rng = np.random.default_rng(13)
    frame = hub(rng)
    frame.loc[frame.index[:7], "num_epochs"] = 30.0
    _, whole = contrast_samples(frame, runs(rng), SPEC)
    _, inner = contrast_samples(frame, runs(rng), {**SPEC, "restrict": True})
    assert whole["samples"]["hub"]["n"] == len(frame)
    assert inner["samples"]["hub"]["n"] == len(frame) - 7 == whole["hub_rows_inside_experiment"]
    warning = "most of its models lie outside of"
    assert warning not in " ".join([*whole["statements"], *inner["statements"]])
    frame.loc[frame.index[: len(frame) // 2 + 1], "num_epochs"] = 30.0
    assert warning in contrast_samples(frame, runs(rng), SPEC)[1]["statements"][1]


def test_a_box_behnken_design_has_one_error_for_all_terms() -> None:
    rng = np.random.default_rng(14)
    batch = {"train_batch_size": {"low": 8, "high": 32, "scale": "log"}}
    factors = (*DESIGN, *read_factors(batch))
    frame = make_design("box_behnken", factors).frame
    frame = frame.assign(id=frame.index.map(str), owner=frame["point"].map(str))
    frame["accuracy"] = truth(frame) + 0.01 * rng.normal(size=len(frame))
    published = hub(rng, owners=40)
    published["train_batch_size"] = rng.choice([8, 16, 32, 64], size=len(published))
    spec = {**SPEC, "factors": {**FACTORS, "train_batch_size": "log"}}
    table, summary = contrast_samples(published, frame, spec)
    # Without its centre the design loses the squares, and with them their robust error.
    assert "learning_rate^2" in summary["samples"]["experiment"]["no_robust_error"]
    assert set(table["experiment_error"]) == {"classical"} and set(table["hub_error"]) == {"cr3"}
    assert summary["joint"]["covariance"] == {"hub": "cr3", "experiment": "classical"}
    assert summary["joint"]["df1"] == 9 and summary["joint"]["p"] is not None


def test_samples_that_cannot_be_compared_say_why_and_files_are_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(15)
    write_table(hub(rng), tmp_path / "hub.parquet")
    write_table(runs(rng), tmp_path / "runs.parquet")
    out = (tmp_path / "contrast.csv", tmp_path / "contrast.json")
    contrast(tmp_path / "hub.parquet", tmp_path / "runs.parquet", *out, SPEC)
    assert len(read_table(out[0])) == 6 and read_json(out[1])["status"] == "ok"
    lost = {**SPEC, "metric": "f1"}
    contrast(tmp_path / "hub.parquet", tmp_path / "runs.parquet", *out, lost)
    assert read_json(out[1])["status"] == "not_fitted"
    assert "0 rows with f1" in read_json(out[1])["statements"][0]
    assert list(read_table(out[0]).columns) == list(TABLE_COLUMNS)
    with pytest.raises(UserError, match="experiment, hub or both"):
        contrast_samples(hub(rng), runs(rng), {**SPEC, "coded_on": "hbu"})

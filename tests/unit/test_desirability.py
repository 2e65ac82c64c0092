"""Desirability and Pareto fronts, the region of the data, and surface tables as files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from study_tables import analyse, models
from tunescape.desirability import (
    Goal,
    desirability,
    goal_from_data,
    overall_desirability,
    pareto_front,
    weigh_metrics,
)
from tunescape.errors import UserError
from tunescape.region import Region, outline
from tunescape.response import SURFACE_TABLES, read_response, write_surface
from tunescape.tables import read_json, read_table


def test_desirability_is_the_clipped_power_of_the_share():
    goal = Goal("accuracy", worst=0.8, target=0.9, weight=2.0)
    found = desirability([0.7, 0.8, 0.85, 0.9, 0.95], goal)
    assert np.allclose(found, [0, 0, 0.25, 1, 1])
    lower = Goal("loss", worst=1.0, target=0.2)
    assert np.allclose(desirability([1.2, 0.6, 0.1], lower), [0, 0.5, 1])
    assert not lower.maximise


def test_overall_is_a_weighted_geometric_mean_that_a_zero_ends():
    single = np.array([[0.25, 1.0], [0.0, 1.0]])
    assert np.allclose(overall_desirability(single, [1, 1]), [0.5, 0])
    assert np.allclose(overall_desirability(single, [3, 1]), [0.25**0.75, 0])


def test_goals_come_from_the_data_and_can_be_overridden():
    values = np.linspace(0, 1, 101)
    goal = goal_from_data("accuracy", values)
    assert (goal.worst, goal.target) == pytest.approx((0.05, 0.95))
    goal = goal_from_data("loss", values, target=0.0)
    assert (goal.worst, goal.target) == pytest.approx((0.95, 0.0))
    assert goal_from_data("accuracy", [*[0.5] * 50, 0.9]).target == 0.9
    with pytest.raises(UserError, match="make no scale"):
        goal_from_data("accuracy", [0.5, 0.5])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
def test_front_is_what_nothing_dominates(points):
    values = np.array(points, dtype=float)
    front = pareto_front(values, [True, False])
    for i, (a, b) in enumerate(points):
        beaten = any((c >= a and d <= b) and (c > a or d < b) for c, d in points)
        assert front[i] == (not beaten)


def test_region_of_full_flat_and_single_data():
    square = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    assert Region(square).contains(np.array([[0.5, 0.5], [1, 1], [1.1, 0.5]])).tolist() == [
        True, True, False,
    ]  # fmt: skip
    line = np.array([[0.0, 0, 0], [1, 1, 1], [2, 2, 2]])
    assert Region(line).dimension == 1
    assert Region(line).contains(np.array([[1.5, 1.5, 1.5], [1, 1, 0], [3, 3, 3]])).tolist() == [
        True, False, False,
    ]  # fmt: skip
    point = np.array([[1.0, 2.0], [1.0, 2.0]])
    assert Region(point).contains(np.array([[1.0, 2.0], [1.0, 2.1]])).tolist() == [True, False]
    assert len(outline(np.vstack([square, [[0.5, 0.5]]]))) == 4
    assert len(outline(line[:, :2])) == 2


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    frame = models(150, seed=5)
    # Loss is best at a higher rate than accuracy, so that there is something to trade.
    rate = frame["learning_rate"].to_numpy(dtype=float)
    frame["loss"] = 0.3 + 0.05 * np.log(rate / 1e-4) ** 2 + 0.01 * np.sin(np.arange(150))
    return [analyse(frame, folder / metric, metric, "absolute") for metric in ("accuracy", "loss")]


def weigh(study, out, **spec):
    paths = out / "surface.csv", out / "observed.csv", out / "summary.json"
    weigh_metrics(
        [p / "fit.json" for p in study], [p / "diagnostics.csv" for p in study], *paths, spec
    )
    return read_table(paths[0]), read_table(paths[1]), json.loads(paths[2].read_text())


def test_surface_front_trades_and_stays_in_the_data(study, tmp_path):
    surface, observed, summary = weigh(study, tmp_path)
    assert len(surface) > 1
    rates = surface["learning_rate"]
    assert rates.min() >= 2e-5 and rates.max() <= 1e-4 * (1 + 1e-9)
    by_accuracy = surface.sort_values("accuracy")
    assert by_accuracy["loss"].is_monotonic_increasing
    assert (surface["desirability"].diff().dropna() <= 1e-12).all()
    counts = summary["candidates"]
    parts = sum(counts[k] for k in ("outside_data", "not_determined", "impossible", "kept"))
    assert parts == counts["tried"]
    assert len(observed) == 150
    assert observed["front"].sum() == summary["observed"]["front"] > 0
    assert (surface["accuracy_low"] < surface["accuracy"]).all()


def test_importance_moves_the_best_setting(study, tmp_path):
    first, _, _ = weigh(study, tmp_path, goals={"loss": {"importance": 20.0}})
    second, _, _ = weigh(study, tmp_path, goals={"accuracy": {"importance": 20.0}})
    assert first["learning_rate"].iloc[0] > second["learning_rate"].iloc[0]


def test_nothing_fitted_says_so(tmp_path):
    folder = analyse(models(5, seed=1), tmp_path / "a", "accuracy", "absolute")
    surface, observed, summary = weigh([folder], tmp_path)
    assert surface.empty and observed.empty and summary["best"] is None
    assert summary["reason"] == "no metric could be fitted"
    assert "accuracy" in summary["not_fitted"]


def test_surface_tables_are_written_from_the_fit(study, tmp_path):
    folder = study[0]
    outputs = [tmp_path / f"{name}.csv" for name in SURFACE_TABLES]
    write_surface(folder / "fit.json", folder / "diagnostics.csv", outputs, {"draws": 200})
    tables = {path.stem: read_table(path) for path in outputs}
    coefficients = read_table(folder / "coefficients.csv")
    assert np.allclose(tables["estimates"]["estimate"], coefficients["estimate"])
    assert np.allclose(tables["estimates"]["p"], coefficients["p_classical"], rtol=1e-9, atol=0)
    anova = tables["model_anova"].set_index("source")
    parts = anova.loc[["linear", "quadratic", "interaction"]]
    assert parts["ss"].sum() == pytest.approx(anova.loc["total model", "ss"])
    ridge = tables["ridge"]
    assert set(ridge["goal"]) == {"maximum", "minimum"} and "learning_rate" in ridge
    assert (ridge["ci_low"] < ridge["fit"]).all() and (ridge["fit"] < ridge["ci_high"]).all()
    best = ridge[ridge["goal"] == "maximum"]["fit"]
    assert best.is_monotonic_increasing
    region = tables["optimum_region"]
    assert (region["draws"] > 0).all() and region["statement"].str.len().min() > 10
    told, rows = read_json(folder / "fit.json"), read_table(folder / "diagnostics.csv")
    joint = tables["joint_tests"].set_index(["error", "group"])
    for part in tables["factor_anova"].itertuples():
        assert joint.loc[("classical", f"factor:{part.factor}"), "f"] == pytest.approx(part.f)
    assert joint.loc[("cr3", "order:quadratic"), "df1"] == 3
    assert list(tables["importance"]["partial_r2"]) == [i["partial_r2"] for i in told["importance"]]
    slopes = tables["slopes"].set_index("factor")
    assert slopes.loc["num_epochs", "at"] == rows["num_epochs"].median()
    assert (slopes["error"] == "cr3").all() and (slopes["se"] != slopes["se_classical"]).all()
    ratio = slopes["per_measured_unit"] / slopes["se"]
    p = 2 * stats.t.sf(ratio.abs(), told["covariance"]["cr3"]["df"])
    assert np.allclose(slopes["p"], p, rtol=1e-10)
    checks = tables["checks"].set_index("check")
    assert checks.loc["largest_cook", "where"] == rows.loc[rows["cook"].idxmax(), "id"]
    assert checks.loc["largest_vif", "value"] == pytest.approx(coefficients["vif"].max())
    assert checks.loc["press_r2", "value"] == pytest.approx(
        1
        - (rows["held_out_residual"] ** 2).sum()
        / ((rows["response"] - rows["response"].mean()) ** 2).sum()
    )


def test_checks_tell_the_fit_without_the_most_influential_owner(tmp_path):
    frame = models(120, seed=5)
    # One owner of few, far settings with results of their own.
    frame.loc[:5, "owner"] = "decider"
    frame.loc[:5, "num_epochs"] = [20, 20, 24, 24, 30, 30]
    frame.loc[:5, "accuracy"] = [0.05, 0.1, 0.9, 0.95, 0.05, 0.1]
    whole = analyse(frame, tmp_path / "whole", "accuracy", "absolute")
    rest = analyse(frame.iloc[6:], tmp_path / "rest", "accuracy", "absolute")
    path = tmp_path / "checks.csv"
    write_surface(whole / "fit.json", whole / "diagnostics.csv", [path], {"draws": 10})
    checks = read_table(path).set_index("check")
    names = ["largest_cook_cluster", "r2_without_cluster", "left_out_owner_r2_without_cluster"]
    assert list(checks.loc[names, "where"]) == ["decider"] * 3
    assert checks.loc["largest_cook_cluster", "value"] > 1
    # The coding differs, the model does not.
    told = read_json(rest / "fit.json")
    assert checks.loc[names[1], "value"] == pytest.approx(told["r2"], rel=1e-8)
    assert checks.loc[names[2], "value"] == pytest.approx(told["held_out"]["owner"]["r2"], rel=1e-6)
    assert abs(checks.loc[names[1], "value"] - checks.loc["r2", "value"]) > 0.01


def test_rebuilt_response_is_the_fit_and_an_unfitted_one_gives_empty_tables(study, tmp_path):
    found = read_response(study[0] / "fit.json", study[0] / "diagnostics.csv")
    assert found.fit is not None
    assert found.fit.r2 == pytest.approx(found.summary["r2"], rel=1e-12)
    none = analyse(models(5, seed=1), tmp_path / "few", "accuracy", "absolute")
    outputs = [tmp_path / f"{name}.csv" for name in SURFACE_TABLES]
    write_surface(none / "fit.json", none / "diagnostics.csv", outputs, {})
    point = read_table(tmp_path / "stationary_point.csv")
    assert point["statement"].str.startswith("not fitted").all()
    assert read_table(tmp_path / "ridge.csv").empty
    with pytest.raises(UserError, match="no surface table"):
        write_surface(none / "fit.json", none / "diagnostics.csv", [tmp_path / "x.csv"], {})

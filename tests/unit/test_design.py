"""Designs: known ones, what they can tell, and runs that stay what they are when a list changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tunescape import constructions
from tunescape.design import (
    CENTRE_SEED_STEP,
    KINDS,
    Design,
    Noise,
    design_diagnostics,
    expand,
    make_design,
    plan_runs,
    read_noise,
    write_design,
)
from tunescape.errors import UserError
from tunescape.factors import read_factors
from tunescape.tables import read_json, read_table

THREE: dict[str, Any] = {
    "learning_rate": {"low": 1e-5, "high": 1e-3, "scale": "log"},
    "train_batch_size": {"low": 8, "high": 32, "scale": "log"},
    "num_epochs": {"low": 1, "high": 5},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "latin_hypercube": {"points": 9},
    "sobol": {"points": 8},
    "d_optimal": {"points": 14},
    "list": {
        "points": [
            {"learning_rate": 1e-4, "train_batch_size": 16, "num_epochs": 2},
            {"learning_rate": 1e-5, "train_batch_size": 8, "num_epochs": 5},
        ]
    },
}


def make(kind: str, factors: dict[str, Any] | None = None, **options: Any) -> Design:
    return make_design(kind, read_factors(factors or THREE), options)


def coded(design: Design) -> np.ndarray:
    names = [f"{f.name}_coded" for f in design.factors]
    return design.frame[names].to_numpy(dtype=float)


def diagnose(design: Design, **model: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    return design_diagnostics(design.frame, design.factors, Noise(0.01, "stated"), **model)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_to_bounds_repeats_the_centre_alone_and_is_deterministic(
    kind: str,
) -> None:
    one, two = (make(kind, **OPTIONS.get(kind, {})) for _ in range(2))
    pd.testing.assert_frame_equal(one.frame, two.frame)
    assert list(one.frame["point"]) == sorted(one.frame["point"])
    for factor in one.factors:
        assert one.frame[factor.name].between(factor.low, factor.high).all()
        if factor.integer:
            assert (one.frame[factor.name] % 1 == 0).all()
    names = [factor.name for factor in one.factors]
    away = one.frame[one.frame["kind"] != "center"]
    assert not away.duplicated(names).any()


def test_box_behnken_of_three_factors_has_twelve_edges_and_three_centres() -> None:
    design = make("box_behnken", center=3)
    assert design.frame["kind"].value_counts().to_dict() == {"edge": 12, "center": 3}
    edges = coded(design)[:12]
    assert (np.sum(edges == 0, axis=1) == 1).all()
    assert (np.sum(np.abs(edges) == 1, axis=1) == 2).all()
    centre = design.frame.iloc[-1]
    assert (centre["learning_rate"], centre["train_batch_size"], centre["num_epochs"]) == (
        1e-4,
        16,
        3,
    )


def test_central_composite_has_corners_axial_points_and_centres() -> None:
    faced = make("central_composite", center=4)
    assert faced.frame["kind"].value_counts().to_dict() == {"corner": 8, "axial": 6, "center": 4}
    assert set(np.unique(coded(faced))) == {-1.0, 0.0, 1.0}
    plain = {**THREE, "num_epochs": {"low": 1, "high": 5, "integer": False}}
    plain["train_batch_size"] = {"low": 8, "high": 32, "scale": "log", "integer": False}
    inner = coded(make("central_composite", plain, alpha="rotatable"))
    lengths = np.linalg.norm(inner[:-3], axis=1)
    alpha = 8**0.25
    assert lengths[:8] == pytest.approx(np.sqrt(3) / alpha, rel=1e-5)
    assert lengths[8:] == pytest.approx(1.0)


def test_plackett_burman_of_eleven_factors_is_orthogonal_in_twelve_runs() -> None:
    rows = constructions.plackett_burman(11)
    assert rows.shape == (12, 11)
    assert np.array_equal(rows.T @ rows, 12 * np.eye(11))
    assert len(constructions.plackett_burman(11, foldover=True)) == 24


@pytest.mark.parametrize("k", [3, 4, 5, 6, 7, 9, 10, 12])
def test_definitive_screening_separates_main_effects_from_the_second_order(k: int) -> None:
    rows = constructions.definitive_screening(k)
    moments = rows.T @ rows
    assert np.array_equal(moments, np.diag(np.diag(moments)))
    for i in range(k):
        for j in range(i, k):
            assert not np.any(rows.T @ (rows[:, i] * rows[:, j]))


def test_ofat_changes_one_factor_at_a_time_from_its_baseline() -> None:
    base = {"learning_rate": 5e-5, "train_batch_size": 16, "num_epochs": 3}
    frame = make("ofat", baseline=base).frame
    assert len(frame) == 7
    changed = sum((frame[name] != value).astype(int) for name, value in base.items())
    assert list(changed) == [0, 1, 1, 1, 1, 1, 1]


def test_factorial_crosses_numbers_and_names_and_ignores_their_order() -> None:
    factors = {"schedule": ["linear", "cosine"], "learning_rate": {"values": [1e-4, 1e-5, 5e-5]}}
    design = make("factorial", factors)
    assert len(design.frame) == 6
    turned = {"learning_rate": {"values": [5e-5, 1e-5, 1e-4]}, "schedule": ["cosine", "linear"]}
    pd.testing.assert_frame_equal(design.frame, make("factorial", turned).frame)
    assert "schedule_coded" not in design.frame


def test_sobol_points_are_extended_never_changed() -> None:
    few, many = (make("sobol", points=n).frame for n in (6, 11))
    pd.testing.assert_frame_equal(few, many.head(6))


def test_d_optimal_beats_random_choices_and_finds_the_best_two_level_one() -> None:
    design = make("d_optimal", points=12)
    _, best = diagnose(design)
    grid = make("factorial", levels=3)
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows = grid.frame.iloc[rng.choice(27, 12, replace=False)]
        _, other = design_diagnostics(rows, grid.factors, Noise(0.01, "stated"))
        assert other["d_efficiency"] <= best["d_efficiency"] + 1e-12
    _, linear = diagnose(make("d_optimal", points=8, degree=1), degree=1)
    assert linear["d_efficiency"] == pytest.approx(1.0)


def test_orthogonal_factorial_has_efficiency_one_and_no_inflation() -> None:
    table, summary = diagnose(make("factorial"), degree=1)
    assert summary["d_efficiency"] == pytest.approx(1.0)
    assert summary["condition"] == pytest.approx(1.0)
    assert summary["leverage"] == pytest.approx([0.5, 0.5])
    assert table["vif"].dropna().to_numpy() == pytest.approx(1.0)
    assert table["se_per_sd"].to_numpy() == pytest.approx(1 / np.sqrt(8))


def test_detectable_effect_is_found_with_the_stated_power() -> None:
    design = make("box_behnken")
    table, summary = diagnose(design)
    row = table.set_index("term").loc["learning_rate"]
    rng = np.random.default_rng(1)
    df = summary["df_residual"]
    draws = row["detectable_effect"] + 0.01 * row["se_per_sd"] * rng.normal(size=20_000)
    sd = 0.01 * row["se_per_sd"] * np.sqrt(rng.chisquare(df, 20_000) / df)
    power = np.mean(np.abs(draws / sd) > stats.t.ppf(0.975, df))
    assert power == pytest.approx(0.8, abs=0.03)


def test_aliasing_is_named_in_a_degenerate_design() -> None:
    table, summary = diagnose(make("factorial"))
    assert summary["d_efficiency"] == 0
    assert summary["aliased"]["learning_rate^2"] == "1 intercept"
    lost = table.set_index("term").loc["num_epochs^2"]
    assert not lost["estimable"] and np.isnan(lost["detectable_effect"])
    assert table.set_index("term").loc["intercept", "confounded_with"].split() == [
        "learning_rate^2",
        "num_epochs^2",
        "train_batch_size^2",
    ]


def test_names_enter_as_indicators_and_names_alone_have_no_polynomial() -> None:
    factors = {"schedule": ["linear", "cosine"], "learning_rate": THREE["learning_rate"]}
    table, summary = diagnose(make("factorial", factors), degree=1)
    assert "schedule[linear]" in set(table["term"]) and summary["rank"] == 3
    table, summary = diagnose(make("factorial", {"schedule": ["linear", "cosine"]}))
    assert table.empty and "no numeric factor" in summary["reason"]


def test_rounding_that_distorts_is_noted_and_merged_points_are_counted() -> None:
    factors = {
        "num_epochs": {"low": 1, "high": 4},
        "lora_r": {"low": 1, "high": 2},
        "learning_rate": THREE["learning_rate"],
    }
    notes = " ".join(make("central_composite", factors).notes)
    assert "num_epochs by up to 0.33" in notes
    assert "have the settings of another" in notes
    assert make("box_behnken").notes == ()


def test_noise_is_stated_or_binomial() -> None:
    assert read_noise({"sd": 0.02}).sd == 0.02
    assert read_noise({"accuracy": 0.9}, n_eval=900).sd == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("factors", "kind", "options", "said"),
    [
        ({"lerning_rate": {"low": 1, "high": 2}}, "factorial", {}, "Did you mean 'learning_rate'"),
        ({"dropout": {"low": 0.2, "high": 0.1}}, "factorial", {}, "low below high"),
        ({"dropout": {"low": 0, "high": 0.1, "scale": "log"}}, "factorial", {}, "log scale"),
        ({"lora_r": {"low": 1.5, "high": 4}}, "factorial", {}, "whole number"),
        ({"dropout": {"low": 0, "hihg": 1}}, "factorial", {}, "Did you mean 'high'"),
        ({"dropout": {"low": 0}}, "factorial", {}, "dropout.high: missing"),
        ({"schedule": {"low": 0, "high": 1}}, "factorial", {}, "a list of names"),
        ({}, "factorial", {}, "no factors"),
        (None, "box_benken", {}, "Did you mean 'box_behnken'"),
        (None, "sobol", {}, "design.points: got None"),
        (None, "sobol", {"points": 0}, "from 1 to 5000"),
        (None, "box_behnken", {"centre": 3}, "Did you mean 'center'"),
        (None, "d_optimal", {"points": 5}, "from 10 (terms of the model)"),
        (None, "factorial", {"levels": 30}, "27000 combinations"),
        (None, "central_composite", {"alpha": "round"}, "faced or rotatable"),
        (None, "list", {"points": [{"learning_rate": 1e-4}]}, "missing"),
        (None, "list", {"points": [{"epochs": 1}]}, "unknown factor 'epochs'"),
        ({"dropout": {"low": 0, "high": 1}}, "box_behnken", {}, "at least 3 factors"),
        ({"schedule": ["linear", "cosine"]}, "d_optimal", {}, "whose levels are names"),
    ],
)
def test_bad_designs_are_refused_clearly(
    factors: dict[str, Any] | None, kind: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError) as error:
        make_design(kind, read_factors(THREE if factors is None else factors), options)
    assert said in str(error.value)


# Runs -------------------------------------------------------------------------------------------


@pytest.fixture
def experiment(tmp_path: Path) -> dict[str, Any]:
    for split in ("train", "validation"):
        text = "sentence,label\n" + "".join(f"word {i},{i % 2}\n" for i in range(40))
        (tmp_path / f"{split}.csv").write_text(text)
    return {
        "name": "tiny",
        "model": "owner/encoder",
        "task": {
            "name": "toy",
            "files": {s: [str(tmp_path / f"{s}.csv")] for s in ("train", "validation")},
        },
        "design": {"kind": "factorial"},
        "factors": {"learning_rate": {"values": [1e-5, 1e-4]}, "num_epochs": {"values": [1, 2]}},
        "fixed": {"weight_decay": 0.01},
        "seeds": [1, 2],
    }


def ids(experiment: dict[str, Any], **changes: Any) -> set[str]:
    return {run.run_id for run in plan_runs({**experiment, **changes})}


def test_reordering_changes_nothing_and_adding_keeps_every_old_run(
    experiment: dict[str, Any], tmp_path: Path
) -> None:
    turned = {
        **experiment,
        "seeds": [2, 1],
        "factors": {"num_epochs": {"values": [2, 1]}, "learning_rate": {"values": [1e-4, 1e-5]}},
    }
    files = []
    for i, spec in enumerate((experiment, turned)):
        paths = [tmp_path / f"{i}-{name}" for name in ("design.csv", "diagnostics.csv", "s.json")]
        write_design(spec, *paths, tmp_path / "runs")
        files.append([path.read_bytes() for path in paths])
    assert files[0] == files[1]
    old = ids(experiment)
    assert len(old) == 8
    more = {**experiment["factors"], "learning_rate": {"values": [1e-5, 3e-5, 1e-4]}}
    assert old < ids(experiment, seeds=[0, 1, 2]) and len(ids(experiment, seeds=[0, 1, 2])) == 12
    assert old < ids(experiment, factors=more) and len(ids(experiment, factors=more)) == 12


def test_a_run_that_two_designs_share_has_one_id(experiment: dict[str, Any]) -> None:
    listed = {
        "kind": "list",
        "points": [
            {"num_epochs": 2, "learning_rate": 1e-4},
            {"num_epochs": 1, "learning_rate": 1e-5},
        ],
    }
    shared = ids(experiment, design=listed, factors={})
    assert len(shared) == 4 and shared < ids(experiment)


def test_copies_of_the_centre_are_runs_of_their_own_at_one_configuration(
    experiment: dict[str, Any],
) -> None:
    runs = plan_runs({**experiment, "factors": THREE, "design": {"kind": "box_behnken"}})
    centre = [run for run in runs if run.kind == "center"]
    assert len(runs) == 30 and len({run.run_id for run in runs}) == 30
    assert len({run.configuration for run in centre}) == 1
    assert [run.replicate for run in centre] == [1, 2, 3, 4, 5, 6]
    assert {run.seed for run in centre} == {
        seed + CENTRE_SEED_STEP * copy for seed in (1, 2) for copy in range(3)
    }


def test_the_design_is_written_with_its_cost_before_anything_is_trained(
    experiment: dict[str, Any], tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in ("design.csv", "diagnostics.csv", "summary.json")]
    spec = {**experiment, "factors": THREE, "design": {"kind": "central_composite"}, "code": "x"}
    write_design(
        spec, *paths, tmp_path / "runs", predict_seconds=lambda run: float(run["num_epochs"])
    )
    design, terms, summary = read_table(paths[0]), read_table(paths[1]), read_json(paths[2])
    assert summary["cost"]["core_seconds"] == design["num_epochs"].sum()
    assert len(terms) == 10 and terms["estimable"].all()
    assert summary["noise"]["source"].startswith("binomial error of an accuracy of 0.85 on 40 ")
    assert summary["df_pure_error"] == 34 - 15
    assert "34 runs at 15 settings" in summary["statements"][0]
    assert json.loads(paths[2].read_text()) == summary


def test_a_remembered_plan_is_the_same_plan(experiment: dict[str, Any], tmp_path: Path) -> None:
    spec = {**experiment, "factors": THREE, "design": {"kind": "latin_hypercube", "points": 5}}
    plans = [plan_runs(spec, cache=tmp_path / "cache") for _ in range(2)]
    assert plans[0] == plans[1] == plan_runs(spec)
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": []}, "experiment.seeds"),
        ({"seeds": [1, 1]}, "a seed is given twice"),
        ({"fixed": {"num_epochs": 3}}, "num_epochs is a factor and fixed as well"),
        ({"fixed": {"weigth_decay": 3}}, "Did you mean 'weight_decay'"),
        ({"sedes": [1]}, "Did you mean 'seeds'"),
        ({"max_runs": 7}, "8 runs; expected at most 7"),
        ({"design": {}}, "experiment.design.kind: missing"),
    ],
)
def test_bad_experiments_are_refused_clearly(
    experiment: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError) as error:
        plan_runs({**experiment, **changes})
    assert said in str(error.value)


def test_seeds_that_meet_at_the_centre_are_refused() -> None:
    with pytest.raises(UserError, match="occurs twice at the centre"):
        expand(make("box_behnken"), {}, [1, 1 + CENTRE_SEED_STEP])

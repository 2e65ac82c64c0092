"""Screening: known effects are found, noise is estimated, the rule keeps what it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from tunescape.errors import UserError
from tunescape.tables import read_json, read_table
from tunescape.tuning import rounds, screening
from tunescape.tuning.study import read_study
from tunescape.tuning.trials import write_round
from tuning_objective import make_trainer, study_spec

LINEAR = {"learning_rate": 0.03, "warmup_steps": -0.02, "dropout": 0.01}


def linear(noise: float):
    """An additive objective: the effect of each factor from low to high is known."""
    study = read_study(study_spec([{"screen": {}}]))

    def objective(spec):
        from tuning_objective import noise_of

        coded = {f.name: f.code(spec[f.name]) for f in study.factors}
        return 0.8 + sum(e / 2 * coded[n] for n, e in LINEAR.items()) + noise * noise_of(spec)

    return objective


def screened(tmp_path, options, noise=0.0005):
    spec = study_spec([{"screen": {"keep": 3, "replicates": 4, **options}}])
    rounds.run_study(spec, tmp_path, make_trainer(linear(noise)))
    effects = read_table(tmp_path / "screen/effects.csv").set_index("factor")
    return effects, read_json(tmp_path / "screen/kept.json")


@pytest.mark.parametrize("design", ["ofat", "plackett_burman", "definitive"])
def test_the_factors_that_matter_are_kept(tmp_path, design):
    effects, kept = screened(tmp_path, {"design": design})
    assert kept["kept"] == sorted(LINEAR)
    assert effects["kept"].sum() == 3
    assert effects["absolute"].is_monotonic_decreasing
    if design != "ofat":  # from the baseline a factor reaches a part of its range only
        assert list(effects.index[:3]) == list(LINEAR)


def test_two_level_effects_are_unbiased_and_their_errors_are_right(tmp_path):
    effects, _ = screened(tmp_path, {"design": "plackett_burman"})
    for name, effect in LINEAR.items():
        row = effects.loc[name]
        assert row["effect"] == pytest.approx(effect, abs=0.001)
        assert row["ci_low"] <= effect <= row["ci_high"]
    assert effects["df"].iloc[0] == 3


def test_the_rule_keeps_its_number_and_says_when_the_data_cannot_tell(tmp_path):
    _, kept = screened(tmp_path, {"keep": 4}, noise=0.002)
    assert len(kept["kept"]) == 4
    assert kept["not_above_noise"] and kept["undecided"]
    assert any("cannot tell" in said for said in kept["statements"])


def test_ties_are_taken_in_name_order():
    assert screening.rank_effects(["b", "c", "a"], [0.1, -0.1 - 1e-14, 0.2]) == [2, 0, 1]


def test_without_replicates_lenth_is_used(tmp_path):
    effects, kept = screened(tmp_path, {"design": "plackett_burman", "replicates": 1})
    assert "Lenth" in kept["method"]
    assert effects["df"].iloc[0] == pytest.approx(5 / 3)


def test_lenths_pseudo_standard_error_of_a_worked_example():
    # |c| = 1..7 and 40: s0 = 1.5 * 4.5, all but 40 lie below 2.5 s0, and 1.5 * median(1..7) = 6.
    pse, df = screening.pseudo_standard_error([1, -2, 3, -4, 5, -6, 7, 40])
    assert (pse, df) == (6.0, pytest.approx(8 / 3))


def test_half_normal_quantiles_are_those_of_ordered_absolute_normals():
    q = screening.half_normal_quantiles(7)
    assert q[3] == pytest.approx(stats.halfnorm.median())
    assert np.all(np.diff(q) > 0)


def test_noise_is_pooled_within_settings():
    found = screening.replicate_noise(["a", "a", "b", "b", "c"], [1.0, 3.0, 10.0, 10.0, 7.0])
    assert found == screening.Noise(1.0, 2)


def test_permutation_p_values_hold_their_level_over_all_factors():
    rng = np.random.default_rng(0)
    design = np.array([[1 if (i >> j) & 1 else -1 for j in range(3)] for i in range(8)], float)
    design = np.vstack([design, design])
    rejected = [
        screening.permutation_p(design, rng.normal(size=16), seed).min() <= 0.05
        for seed in range(30)
    ]
    assert np.mean(rejected) <= 0.2
    strong = screening.permutation_p(design, design[:, 1] * 5 + rng.normal(size=16))
    assert strong[1] < 0.01


def test_permutation_is_refused_where_runs_cannot_change_places(tmp_path):
    with pytest.raises(UserError, match="cannot change places"):
        screened(tmp_path, {"test": "permutation"})


def test_the_comparison_states_runs_and_variance():
    rows = {row["design"]: row for row in screening.compare_designs(7, replicates=3)}
    assert rows["ofat"]["runs"] == 17 and rows["ofat"]["variance"] == 2
    assert rows["plackett_burman"]["variance"] == pytest.approx(4 / 8)
    assert rows["plackett_burman"]["runs_for_equal"] > rows["plackett_burman"]["runs"]
    text = screening.comparison_statement(list(rows.values()), "ofat")
    assert text.startswith("One factor at a time cannot see interactions")


def test_a_failed_run_does_not_stop_the_screening(tmp_path):
    def fails(spec):
        return None if spec["dropout"] == 0.3 else linear(0.0005)(spec)

    rounds.run_study(study_spec([{"screen": {}}]), tmp_path, make_trainer(fails))
    kept = read_json(tmp_path / "screen/kept.json")
    assert kept["failed"] == 1 and "learning_rate" in kept["kept"]


def test_screening_waits_for_all_results(tmp_path):
    spec = study_spec([{"screen": {}}])
    proposed = rounds.propose_round(spec, tmp_path, "screen", 1)
    write_round(proposed, tmp_path / "screen/round-1.json")
    with pytest.raises(UserError, match="13 trials have no result"):
        screening.rank_factors(spec, tmp_path, "screen", tmp_path / "e.csv", tmp_path / "k.json")

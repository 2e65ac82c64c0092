"""Surface search: expected improvement, ascent, and the rule that stops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from tunescape.errors import UserError
from tunescape.factors import read_factors
from tunescape.tables import read_json
from tunescape.tuning import rounds, surface_search
from tuning_objective import FACTORS, accuracy, make_trainer, proposals, proposed, study_spec

TWO = read_factors({k: FACTORS[k] for k in ("learning_rate", "weight_decay")})
SPEC = {"factors": {k: FACTORS[k] for k in ("learning_rate", "weight_decay", "warmup_steps")}}


def runs(count, noise, seed=0):
    rng = np.random.default_rng(seed)
    points = surface_search.candidates(TWO, 1)[:count]
    values = [
        accuracy({**point, "warmup_steps": 100}, 0.0) + noise * rng.normal() for point in points
    ]
    return points, values


def test_expected_improvement_is_the_mean_of_the_gain():
    drawn = np.random.default_rng(0).normal(0.2, 0.5, 400_000)
    expected = np.maximum(drawn - 0.3, 0).mean()
    found = surface_search.expected_improvement(np.array([0.2]), np.array([0.5]), 0.3)
    assert found[0] == pytest.approx(expected, rel=0.01)
    sure = surface_search.expected_improvement(np.array([0.5, 0.1]), np.zeros(2), 0.3)
    assert sure == pytest.approx([0.2, 0.0])


def test_proposals_are_distinct_and_near_the_optimum():
    points, values = runs(20, 0.0005)
    found = surface_search.propose_points(TWO, points, values, 4)
    assert len({tuple(point.values()) for point in found}) == 4
    rates = np.array([float(point["learning_rate"]) for point in found])
    assert np.all(np.abs(np.log10(rates / 2.5e-5)) < 0.35)


def test_a_loss_is_searched_downwards():
    points, values = runs(20, 0.0005)
    up = surface_search.propose_points(TWO, points, values, 1)
    down = surface_search.propose_points(TWO, points, [-v for v in values], 1, maximise=False)
    assert up == down


def test_ascent_goes_along_the_gradient_to_the_border():
    points = surface_search.candidates(TWO, 1)[:12]
    values = [
        TWO[0].code(p["learning_rate"]) + 0.5 * TWO[1].code(p["weight_decay"]) for p in points
    ]
    path = surface_search.propose_points(TWO, points, values, 4, acquisition="steepest_ascent")
    assert path[-1]["learning_rate"] == pytest.approx(TWO[0].high)
    assert TWO[1].code(path[-1]["weight_decay"]) == pytest.approx(0.5, abs=1e-4)


def test_the_search_goes_on_while_a_gain_can_be_decided_and_stops_when_not():
    points, values = runs(14, 0.0002)
    # Nothing near the optimum was visited, and the noise is small.
    far = [(p, v) for p, v in zip(points, values, strict=True) if p["learning_rate"] > 5e-5]
    more = surface_search.candidates(TWO, 2)[:60]
    far += [
        (p, accuracy({**p, "warmup_steps": 100}, 0.0002)) for p in more if p["learning_rate"] > 5e-5
    ]
    on = surface_search.decide(TWO, [p for p, _ in far], [v for _, v in far], 20)
    assert not on.stop and on.gain_high > on.detectable
    points, values = runs(40, 0.02)
    off = surface_search.decide(TWO, points, [0.8 + 0.001 * i % 0.003 for i in range(40)], 2)
    assert off.stop and off.gain_high < off.detectable


def test_the_smallest_detectable_gain_is_that_of_two_means():
    points, values = runs(30, 0.01)
    found = surface_search.decide(TWO, points, values, 10)
    fit = surface_search.fit_trials(TWO, points, values)
    quantiles = stats.t.ppf(0.975, fit.df_residual) + stats.t.ppf(0.8, fit.df_residual)
    assert found.detectable == pytest.approx(quantiles * fit.sigma * np.sqrt(2 / 5))


def test_a_surface_search_runs_stops_and_resumes(tmp_path):
    stages = [{"surface": {"trials": 24, "parallel": 3}}]
    spec = study_spec(stages, **SPEC)
    trials = rounds.run_study(spec, tmp_path / "a", make_trainer())
    with pytest.raises(KeyboardInterrupt):
        rounds.run_study(spec, tmp_path / "b", make_trainer(limit=14))
    rounds.run_study(spec, tmp_path / "b", make_trainer())
    assert proposals(tmp_path / "a") == proposals(tmp_path / "b")
    best = max(trials, key=lambda t: t.value)
    assert best.value > 0.857
    told = [read_json(p)["decision"] for p in sorted((tmp_path / "a/surface").glob("*.json"))]
    assert all("reason" in one for one in told if one)
    if len(trials) < 24:
        assert any(one.get("stop") for one in told)


def test_noise_alone_stops_early_and_leaves_places_empty(tmp_path):
    from tuning_objective import noise_of

    stages = [{"surface": {"trials": 40, "parallel": 4}}]
    spec = study_spec(stages, factors={k: FACTORS[k] for k in ("learning_rate", "weight_decay")})
    trials = rounds.run_study(spec, tmp_path, make_trainer(lambda s: 0.8 + 0.01 * noise_of(s)))
    assert len(trials) < 40
    empty = [one for one in proposed(tmp_path) if one["spec"] is None]
    assert empty and all("from noise" in p["reason"] or "stopped" in p["reason"] for p in empty)


def test_names_for_levels_are_refused():
    with pytest.raises(UserError, match="names for levels"):
        surface_search.numeric_only(read_factors({"schedule": ["linear", "cosine"]}))

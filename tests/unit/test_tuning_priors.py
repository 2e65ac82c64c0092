"""Warm starts: finished trials as they are, a mined surface as an order at a part of its weight."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tunescape import regression
from tunescape.errors import UserError
from tunescape.factors import read_factors
from tunescape.tables import write_json, write_table
from tunescape.tuning import curves, priors, rounds
from tunescape.tuning.bayes import Observation, contains
from tunescape.tuning.study import read_study
from tunescape.tuning.trials import read_kept
from tuning_objective import FACTORS, make_trainer, study_spec

FACTORS_OF_HUB = read_factors({k: FACTORS[k] for k in ("learning_rate", "weight_decay")})


@pytest.fixture(scope="module")
def mined(tmp_path_factory):
    """A regression of made-up models whose best learning rate is 2.5e-5."""
    folder = tmp_path_factory.mktemp("mined")
    rng = np.random.default_rng(0)
    n = 200
    rate = 10 ** rng.uniform(-5.3, -3.8, n)
    epochs = rng.integers(1, 6, n).astype(float)
    score = 0.95 - 0.05 * np.log10(rate / 2.5e-5) ** 2 + 0.002 * epochs + rng.normal(0, 0.003, n)
    frame = pd.DataFrame(
        {
            "id": [f"o{i % 40}/m{i}" for i in range(n)],
            "owner": [f"o{i % 40}" for i in range(n)],
            "learning_rate": rate,
            "num_epochs": epochs,
            "accuracy": score,
        }
    )
    files = [folder / name for name in ("coefficients.csv", "fit.json", "diagnostics.csv")]
    spec = {"metric": "accuracy", "factors": {"learning_rate": "log", "num_epochs": "linear"}}
    result = regression.fit_population(frame, {**spec, "wild_draws": 99})
    write_table(result.coefficients, files[0])
    write_json(regression.plain(result.summary), files[1])
    write_table(result.diagnostics, files[2])
    return {"fit": files[1], "coefficients": files[0], "diagnostics": files[2]}


def read(mined):
    return priors.read_surface(mined["fit"], mined["coefficients"], mined["diagnostics"])


def prior(mined, weight, **changes):
    given = {"parallel": 4, "maximise": True, **changes}
    fixed = {"num_epochs": 3}
    return priors.hub_prior(read(mined), FACTORS_OF_HUB, fixed, weight=weight, **given)


def test_the_surface_is_read_back_as_it_was_fitted(mined):
    surface = read(mined)
    rows = pd.read_csv(mined["diagnostics"])
    points = rows[["learning_rate", "num_epochs"]].to_dict("records")
    assert surface.predict(points) == pytest.approx(rows["fitted"].to_numpy(), abs=1e-9)
    assert surface.models == 200


def test_starting_points_lie_where_the_surface_is_best(mined):
    found = prior(mined, 0.5)
    assert len(found.starts) == 2
    rates = [float(point["learning_rate"]) for point in found.starts]
    assert all(1.2e-5 < rate < 5e-5 for rate in rates)
    assert found.starts[0] != found.starts[1]


def test_ranges_move_a_part_of_the_way_and_never_outside(mined):
    wide = FACTORS_OF_HUB[0]
    for weight in (0.1, 0.5, 1.0):
        narrowed = prior(mined, weight).factors[0]
        assert wide.low <= narrowed.low < narrowed.high <= wide.high
        assert all(contains([narrowed], point) for point in prior(mined, weight).starts)
    assert prior(mined, 1.0).factors[0].high < prior(mined, 0.1).factors[0].high < wide.high


def test_made_up_trials_are_few_ordered_and_shrunken(mined):
    found = prior(mined, 0.25)
    assert len(found.points) == 5
    own = [Observation({}, value) for value in np.linspace(0.80, 0.86, 21)]
    values = [one.value for one in found.observations(own)]
    assert values == sorted(values)
    assert 0.80 < values[0] < 0.83 < values[-1] < 0.86, "within the search's own results"
    spread = prior(mined, 1.0).observations(own)
    assert spread[-1].value - spread[0].value > 2 * (values[-1] - values[0])


def test_for_a_loss_the_best_made_up_trial_is_the_lowest(mined):
    found = prior(mined, 0.25, maximise=False)
    values = [one.value for one in found.observations([Observation({}, v) for v in (1.0, 2.0)])]
    assert values == sorted(values, reverse=True)


def test_a_prior_that_says_nothing_says_why(mined):
    none = priors.hub_prior("not fitted", FACTORS_OF_HUB, {}, parallel=2, weight=0.5, maximise=True)
    assert none.points == () and none.summary["reason"] == "not fitted"
    assert none.factors == FACTORS_OF_HUB
    assert prior(mined, 0.0).starts == ()
    with pytest.raises(UserError, match="from 0 to 1"):
        prior(mined, 2.0)


def test_earlier_trials_warm_a_search_when_they_lie_in_its_region(tmp_path):
    stages = [
        {"screen": {"keep": 2}},
        {"grid": {"levels": 3}},
        {"bayes": {"trials": 8, "prior": "earlier_stages"}},
    ]
    spec = study_spec(stages)
    trials = rounds.run_study(spec, tmp_path, make_trainer())
    study = read_study(spec)
    search = study.search("bayes-warm")
    kept = read_kept(study, search, tmp_path)
    factors = study.factors_of(search, kept)
    earlier = [t for t in trials if t.search in ("screen", "grid")]
    warm, counts = priors.earlier_observations(study, factors, earlier)
    assert counts["used"] == len(warm) and counts["other_factor"] == 6
    assert sum(counts.values()) == len(earlier)
    assert all(contains(factors, one.settings) for one in warm)
    cold = [t for t in trials if t.search == "bayes-cold"]
    assert len(cold) == 8
    assert np.mean([t.value for t in trials if t.search == "bayes-warm"]) > np.mean(
        [t.value for t in cold]
    )


def test_a_hub_prior_is_run_beside_a_cold_start_and_compared(tmp_path, mined):
    stages = [{"bayes": {"trials": 8, "prior": "hub", "repeats": 2, "factors": "all"}}]
    spec = study_spec(stages, factors={k: FACTORS[k] for k in ("learning_rate", "weight_decay")})
    trials = rounds.run_study(spec, tmp_path, make_trainer(), mined)
    first = [t for t in trials if t.search == "bayes-warm-s1" and t.round == 1]
    assert first[0].kind == "start"
    (told,) = curves.compare_starts(read_study(spec), trials)
    assert told["pairs"] == 2 and told["budget"] == 8
    assert told["statement"].startswith("bayes: the warm start ")

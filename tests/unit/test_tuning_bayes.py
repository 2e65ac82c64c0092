"""Searches in rounds: resumed, repeated and on any number of cores they propose the same."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
from tunescape.factors import read_factors
from tunescape.tables import read_json
from tunescape.tuning import bayes, rounds
from tunescape.tuning.study import read_study
from tunescape.tuning.trials import read_trials, trial_table
from tuning_objective import FACTORS, accuracy, make_trainer, proposals, study_spec

THREE = read_factors({k: FACTORS[k] for k in ("learning_rate", "weight_decay", "warmup_steps")})
SEARCH = [{"bayes": {"trials": 12, "parallel": 3}}]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    rounds.run_study(study_spec(SEARCH), root, make_trainer())
    return root


@pytest.mark.parametrize("killed_after", [0, 1, 2, 4, 8, 11])
def test_a_search_killed_anywhere_ends_with_the_same_trials(tmp_path, undisturbed, killed_after):
    spec = study_spec(SEARCH)
    with pytest.raises(KeyboardInterrupt):
        rounds.run_study(spec, tmp_path, make_trainer(limit=killed_after))
    trained = []

    def counting(specs, folders):
        trained.extend(folders)
        make_trainer()(specs, folders)

    rounds.run_study(spec, tmp_path, counting)
    assert proposals(tmp_path) == proposals(undisturbed)
    assert len(trained) == 12 - killed_after, "no finished trial is run again"


def test_the_order_in_which_trials_end_changes_nothing(tmp_path, undisturbed):
    shuffled = random.Random(1)

    def scrambled(specs, folders):
        mixed = list(zip(specs, folders, strict=True))
        shuffled.shuffle(mixed)
        for spec, folder in mixed:
            make_trainer()([spec], [folder])

    rounds.run_study(study_spec(SEARCH), tmp_path, scrambled)
    assert proposals(tmp_path) == proposals(undisturbed)


def test_a_damaged_proposal_is_written_anew(tmp_path, undisturbed):
    shutil.copytree(undisturbed, tmp_path / "study")
    place = tmp_path / "study/bayes/round-2.json"
    place.write_text("{")
    told = {"study": study_spec(SEARCH), "search": "bayes", "round": 2}
    rounds.propose_trials(place, tmp_path / "study", told)
    assert proposals(tmp_path / "study") == proposals(undisturbed)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random"])
def test_rounds_are_deterministic_distinct_and_within_bounds(sampler):
    rng = np.random.default_rng(0)
    finished = [
        bayes.Observation(
            {
                "learning_rate": float(10 ** rng.uniform(-5, -3.7)),
                "weight_decay": float(rng.uniform(0, 0.2)),
                "warmup_steps": int(rng.integers(0, 500)),
            },
            float(rng.uniform(0.8, 0.9)),
        )
        for _ in range(6)
    ]
    sampling = bayes.Sampling(sampler, seed=3, startup=5)
    first = bayes.propose_round(THREE, finished, 2, 2, sampling)
    again = bayes.propose_round(list(reversed(THREE)), finished, 2, 2, sampling)
    assert first == again
    assert len({tuple(one.settings.values()) for one in first}) == 2
    for one in first:
        assert bayes.contains(THREE, one.settings)
        assert isinstance(one.settings["warmup_steps"], int)
        assert float(f"{one.settings['learning_rate']:.6g}") == one.settings["learning_rate"]
    other = bayes.propose_round(THREE, finished, 2, 3, sampling)
    assert other != first


def test_what_was_tried_becomes_a_replicate_with_another_seed():
    factors = read_factors({"schedule": {"values": ["linear", "cosine"]}})
    done = [bayes.Observation({"schedule": s}, 0.8, seed=5) for s in ("linear", "cosine")]
    asked = bayes.propose_round(factors, done, 3, 2, bayes.Sampling(), training_seed=5)
    assert all(one.seed > 5 for one in asked)
    assert len({(one.settings["schedule"], one.seed) for one in asked}) == 3


def test_failed_runs_stay_in_the_search(tmp_path):
    def sometimes(spec):
        return None if spec["learning_rate"] > 1e-4 else accuracy(spec)

    trials = rounds.run_study(study_spec(SEARCH), tmp_path, make_trainer(sometimes))
    assert "failed" in {t.status for t in trials} and len(trials) == 12


def test_the_search_beats_random_on_average(tmp_path):
    found = {}
    for sampler in ("tpe", "random"):
        stages = [{"bayes": {"trials": 24, "parallel": 4, "sampler": sampler, "repeats": 3}}]
        trials = rounds.run_study(study_spec(stages), tmp_path / sampler, make_trainer())
        names = sorted({t.search for t in trials})
        assert len(names) == 3
        found[sampler] = np.mean(
            [np.mean([t.value for t in trials if t.search == n][-8:]) for n in names]
        )
    assert found["tpe"] > found["random"] + 0.002


# Successive halving -----------------------------------------------------------------------------

HALVING = [{"bayes": {"trials": 8, "parallel": 4, "pruning": {"reduction": 2, "min_epochs": 1}}}]


def test_halving_promotes_the_best_of_each_rung_and_marks_the_others(tmp_path):
    spec = study_spec(HALVING, fixed={"num_epochs": 4, "schedule": "constant"})
    study = read_study(spec)
    assert study.search("bayes").rounds == (4, 2, 1, 4, 2, 1)
    trials = rounds.run_study(spec, tmp_path, make_trainer())
    table = trial_table(study, read_trials(study, tmp_path))
    assert table["epochs"].tolist() == [1, 1, 1, 1, 2, 2, 4] * 2
    rung = [t for t in trials if t.round == 1]
    best = sorted(rung, key=lambda t: -t.value)[:2]
    promoted = {t.parent for t in trials if t.round == 2}
    assert promoted == {t.place for t in best}
    assert table["promoted"].sum() == 6 and table["censored"].sum() == 6
    pruned = [o for o in bayes.observe(study, trials) if o.censored]
    assert len(pruned) == 6 and all(o.history for o in pruned)
    frozen = bayes.frozen_trials(study.factors, pruned)
    assert {t.state.name for t in frozen} == {"PRUNED"}


def test_round_files_say_what_was_done(undisturbed):
    told = read_json(undisturbed / "bayes/round-1.json")
    assert told["proposed"] == 3 and told["prior"] == {"prior": "none"}

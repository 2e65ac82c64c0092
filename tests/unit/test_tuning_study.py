"""Studies as stages and searches, what is known before anything runs, and messages."""

from __future__ import annotations

import pytest
from tunescape.errors import UserError
from tunescape.tuning import rounds
from tunescape.tuning.study import OPTIONS, read_study
from tunescape.tuning.trials import read_trials
from tuning_objective import FACTORS, make_trainer, proposals, study_spec


def test_a_study_has_searches_with_rounds_of_known_size():
    study = read_study(
        study_spec(
            [
                {"screen": {"design": "ofat", "keep": 3, "replicates": 3}},
                {"grid": {"levels": 2}},
                {"bayes": {"trials": 10, "parallel": 4, "prior": "earlier_stages", "repeats": 2}},
                {"confirm": {"seeds": [7, 8]}},
            ]
        )
    )
    sizes = {search.name: search.rounds for search in study.searches}
    assert sizes["screen"] == (2 * 5 + 3,)
    assert sizes["grid"] == (8,)
    assert sizes["bayes-warm-s1"] == sizes["bayes-cold-s2"] == (4, 4, 2)
    assert sizes["confirm"] == ((2 + 4) * 2,)
    assert study.search("bayes-cold-s1").reads == ("screen", "grid")
    assert study.baseline["learning_rate"] == 5e-5


def test_a_grid_has_room_for_the_largest_choice_of_factors():
    levels = {"learning_rate": [1e-5, 2e-5, 5e-5], "weight_decay": [0.0, 0.01, 0.05]}
    levels |= {"warmup_steps": [100, 200], "dropout": 2, "max_grad_norm": 2}
    study = read_study(study_spec([{"screen": {"keep": 3}}, {"grid": {"levels": levels}}]))
    assert study.search("grid").rounds == (3 * 3 * 2,)


def test_round_inputs_name_all_that_a_proposal_depends_on():
    study = read_study(study_spec([{"screen": {}}, {"bayes": {"trials": 4, "parallel": 2}}]))
    found = rounds.round_inputs(study, "bayes", 2)
    assert found[0] == "screen/kept.json"
    assert "screen/round-1/trial-13/run/metrics.json" in found
    assert found[-1] == "bayes/round-1/trial-2/run/metrics.json"
    assert not any("bayes/round-2" in path for path in found)


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([], "no stages"),
        ([{"bayse": {}}], "did you mean 'bayes'"),
        ([{"bayes": {"trails": 3}}], "did you mean 'trials'"),
        ([{"bayes": {"sampler": "cmaes"}}], "tpe"),
        ([{"bayes": {"trials": 0}}], "at least 1"),
        ([{"grid": {"around": "best"}}], "nothing comes before"),
        ([{"bayes": {"ranges": {"learning_rat": {}}}}], "did you mean 'learning_rate'"),
    ],
)
def test_a_wrong_stage_is_one_clear_message(stages, said):
    with pytest.raises(UserError, match=f"(?i){said}"):
        read_study(study_spec(stages))


def test_a_factor_cannot_be_fixed_as_well():
    with pytest.raises(UserError, match="fixed as well"):
        read_study(study_spec([{"screen": {}}], fixed={"learning_rate": 1e-5}))


def test_every_stage_documents_its_defaults():
    assert set(OPTIONS) == {"screen", "grid", "bayes", "surface", "confirm"}


def test_a_whole_study_runs_and_reuses_runs_it_has(tmp_path):
    stages = [
        {"screen": {"keep": 2}},
        {"grid": {"levels": 3}},
        {"grid": {"levels": 3, "around": "best"}},
        {"confirm": {"seeds": [101, 102]}},
    ]
    trials = rounds.run_study(study_spec(stages), tmp_path, make_trainer())
    assert {t.status for t in trials} == {"ok"}
    same = [p for p in proposals(tmp_path).values() if p.get("same_as")]
    assert same, "the finer grid holds the best point of the coarse one"
    for proposed in same:
        other = proposals(tmp_path)[f"{proposed['same_as']}/spec.json"]
        assert other["run_id"] == proposed["run_id"]
    grid = [t for t in trials if t.search == "grid"]
    finer = [t for t in trials if t.search == "grid2"]
    span = [max(t.settings["learning_rate"] for t in g) for g in (grid, finer)]
    assert span[1] < span[0]
    assert max(t.value for t in finer) >= max(t.value for t in grid)
    confirmed = {t.kind for t in trials if t.search == "confirm"}
    assert confirmed == {"baseline", "manual"}


def test_confirmation_refuses_seeds_that_chose(tmp_path):
    spec = study_spec([{"screen": {}}, {"confirm": {"seeds": [42]}}])
    with pytest.raises(UserError, match="seeds 42 were used to choose"):
        rounds.run_study(spec, tmp_path, make_trainer())


def test_an_unchanged_proposal_keeps_its_bytes_and_times(tmp_path):
    spec = study_spec([{"screen": {}}])
    paths = rounds.propose_round(spec, tmp_path, "screen", 1)
    before = [(p.stat().st_mtime_ns, p.read_bytes()) for p in paths]
    reordered = dict(reversed(list(FACTORS.items())))
    again = rounds.propose_round({**spec, "factors": reordered}, tmp_path, "screen", 1)
    assert [(p.stat().st_mtime_ns, p.read_bytes()) for p in again] == before


def test_a_result_of_another_run_counts_as_none(tmp_path):
    spec = study_spec([{"screen": {"replicates": 1}}])
    rounds.run_study(spec, tmp_path, make_trainer())
    changed = {**spec, "fixed": {**spec["fixed"], "num_epochs": 4}}
    rounds.propose_round(changed, tmp_path, "screen", 1)
    assert {t.status for t in read_trials(read_study(changed), tmp_path)} == {"pending"}


def test_empty_and_taken_over_places_get_their_files_without_training(tmp_path):
    spec = study_spec([{"grid": {"levels": {"learning_rate": 3}, "factors": ["learning_rate"]}}])
    paths = rounds.propose_round(spec, tmp_path, "grid", 1)
    make_trainer()([paths[0].parent])
    from tunescape.tables import read_json, write_json

    proposed = read_json(paths[1])
    first = read_json(paths[0])
    write_json({**proposed, "run_id": first["run_id"], "same_as": "grid/round-1/trial-1"}, paths[1])
    write_json({**read_json(paths[2]), "spec": None, "reason": "stopped"}, paths[2])
    rounds.train_trials([p.parent for p in paths[1:]], tmp_path, tmp_path / "work")
    taken = read_json(paths[1].parent / "run/metrics.json")
    assert taken["run_id"] == first["run_id"]
    assert read_json(paths[2].parent / "run/metrics.json")["status"] == "empty"
    assert (paths[2].parent / "run/history.csv").read_text().startswith("epoch,")

"""Studies as stages and searches, what is known before anything runs, and messages."""

from __future__ import annotations

import pytest
from tunescape.errors import UserError
from tunescape.tuning import rounds
from tunescape.tuning.study import OPTIONS, read_study, study_until
from tunescape.tuning.trials import read_trials, write_round
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


def test_a_round_is_told_no_more_of_the_study_than_it_depends_on():
    def told(search, number, **changes):
        bayes = {"trials": 10, "parallel": 4, "repeats": 2, "prior": "earlier_stages", **changes}
        confirm = [] if changes else [{"confirm": {}}]
        spec = study_spec([{"screen": {}}, {"bayes": bayes}, *confirm])
        return study_until(spec, read_study(spec).search(search), number)

    first = told("bayes-warm-s1", 2)
    assert [list(stage) for stage in first["stages"]] == [["screen"], ["bayes"]]
    assert first["stages"][1]["bayes"]["trials"] == 8
    assert first == told("bayes-warm-s1", 2, trials=40, repeats=5)
    assert read_study(first).search("bayes-warm-s1").rounds == (4, 4)
    assert told("bayes-warm-s1", 3) != told("bayes-warm-s1", 3, trials=40), "it was not full"
    assert told("bayes-warm-s1", 1) != told("bayes-warm-s1", 1, sampler="random")
    assert told("screen", 1) == told("screen", 1, sampler="random")


def test_how_effects_are_judged_is_no_part_of_a_screenings_proposals():
    def told(number, **options):
        spec = study_spec([{"screen": options}])
        return study_until(spec, read_study(spec).search("screen"), number)

    assert told(1) == told(1, keep=1, alpha=0.2)
    assert told(1) != told(1, replicates=2)
    assert told(None) != told(None, keep=1)


def test_a_larger_budget_continues_a_search(tmp_path):
    for name, trials in (("small", 8), ("large", 12)):
        stages = [{"bayes": {"trials": trials, "parallel": 4}}]
        rounds.run_study(study_spec(stages), tmp_path / name, make_trainer())
    small, large = proposals(tmp_path / "small"), proposals(tmp_path / "large")
    assert len(small) == 2 and len(large) == 3
    assert small == {name: large[name] for name in small}


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
        ([{"bayes": {"ranges": {"dropout": [0, 1]}}}], "low below high"),
        ([{"bayes": {"ranges": {"dropout": {"low": 0.3, "high": 0.1}}}}], "low below high"),
        ([{"bayes": {"pruning": True}}], "reduction"),
        ([{"bayes": {"pruning": {"reducton": 2}}}], "did you mean 'reduction'"),
        ([{"bayes": {"prior": "earlier_stages"}}], "nothing comes before"),
        ([{"bayes": {"startup": -3}}], "at least 1"),
        ([{"bayes": {"seed": "a"}}], "whole number"),
        ([{"surface": {"initial": "x"}}], "whole number"),
        ([{"grid": {"levels": "x"}}], "number of levels"),
        ([{"grid": {"levels": {"learning_rate": 0}}}], "number of levels"),
        ([{"screen": {"alpha": 9}}], "between 0 and 1"),
        ([{"screen": {"keep": 99}}], "at most the 5 factors"),
        ([{"screen": {"test": "permutation"}}], "nothing to permute"),
        ([{"screen": {}}, {"confirm": {"seeds": 5}}], "distinct whole numbers"),
        ([{"screen": {}}, {"confirm": {"seeds": []}}], "distinct whole numbers"),
        ([{"screen": {}}, {"confirm": {"seeds": [42]}}], "seeds 42 were used to choose"),
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
    same = [t for t in trials if t.same_as]
    assert same, "the finer grid holds the best point of the coarse one"
    places = {f"{t.search}/{t.place}": t for t in trials}
    assert all(places[str(t.same_as)].run_id == t.run_id for t in same)
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
    path, spec = tmp_path / "screen/round-1.json", study_spec([{"screen": {}}])
    rounds.propose_trials(path, tmp_path, {"study": spec, "search": "screen", "round": 1})
    before = path.stat().st_mtime_ns, path.read_bytes()
    turned = {**spec, "factors": dict(reversed(list(FACTORS.items())))}
    rounds.propose_trials(path, tmp_path, {"study": turned, "search": "screen", "round": 1})
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before


def test_a_result_of_another_run_counts_as_none(tmp_path):
    spec = study_spec([{"screen": {"replicates": 1}}])
    rounds.run_study(spec, tmp_path, make_trainer())
    changed = {**spec, "fixed": {**spec["fixed"], "num_epochs": 4}}
    write_round(
        rounds.propose_round(changed, tmp_path, "screen", 1), tmp_path / "screen/round-1.json"
    )
    assert {t.status for t in read_trials(read_study(changed), tmp_path)} == {"pending"}

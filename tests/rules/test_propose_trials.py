"""propose_trials: what a round tries, from the results that lie there and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from tunescape.errors import UserError
from tunescape.study import load_study
from tunescape.tables import read_json
from tunescape.tuning.rounds import propose_trials

PLACE = Path("results/experiments/mrpc-tuning")


def told(project: Path, search: str, number: str = "1") -> dict:
    study = load_study(project)
    return study.spec("propose_trials", tuning="mrpc-tuning", search=search, round=number)


@pytest.mark.parametrize("search", ["screen", "grid", "bayes-warm", "bayes-cold", "confirm"])
def test_a_proposal_is_the_same_bytes_again(
    tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, search: str
) -> None:
    monkeypatch.chdir(tuned)
    propose_trials(tmp_path / "round-1.json", PLACE, told(tuned, search))
    written = tuned / PLACE / search / "round-1.json"
    assert (tmp_path / "round-1.json").read_bytes() == written.read_bytes()


def test_the_screening_says_which_factors_are_searched(tuned: Path) -> None:
    kept = read_json(tuned / PLACE / "screen/kept.json")["kept"]
    base = read_json(tuned / PLACE / "screen/round-1.json")["trials"][0]["settings"]
    for search in ("grid", "bayes-warm", "bayes-cold"):
        content = read_json(tuned / PLACE / search / "round-1.json")
        assert content["kept"] == kept
        for trial in content["trials"]:
            moved = {name for name, value in trial["settings"].items() if value != base[name]}
            assert moved <= set(kept)


def test_the_warm_start_knows_the_earlier_trials_and_the_cold_one_nothing(tuned: Path) -> None:
    warm = read_json(tuned / PLACE / "bayes-warm/round-1.json")["prior"]
    assert warm["prior"] == "earlier_stages" and warm["used"] > 0
    assert read_json(tuned / PLACE / "bayes-cold/round-1.json")["prior"] == {"prior": "none"}


def test_a_trial_without_a_result_is_named(
    tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tuned)
    screen = tmp_path / "screen"
    screen.mkdir()
    for name in ("round-1.json", "kept.json"):
        (screen / name).write_bytes((tuned / PLACE / "screen" / name).read_bytes())
    with pytest.raises(UserError, match=r"17 trials? have no result|16 trials have no result"):
        propose_trials(tmp_path / "round-1.json", tmp_path, told(tuned, "grid"))

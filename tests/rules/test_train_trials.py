"""train_trials: packs share a round out, failures are kept, unusable inputs are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tunescape.errors import UserError
from tunescape.tables import read_json, write_json
from tunescape.training.run import finished_folder
from tunescape.tuning.training import train_trials

ROUND = Path("results/experiments/mrpc-tuning/grid/round-1.json")
TOLD: dict[str, Any] = {"packs": 2, "device": "cpu", "report_to": []}


@pytest.fixture
def project(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tuned)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tuned


def test_two_packs_give_what_one_gave(project: Path, tmp_path: Path) -> None:
    trials = read_json(ROUND)["trials"]
    trained: list[set[str]] = []
    for pack in (0, 1):
        train_trials(ROUND, tmp_path / f"{pack}.txt", tmp_path / "work", {**TOLD, "pack": pack})
        trained.append({path.name for path in (tmp_path / "work/finished").iterdir()})
    assert 0 < len(trained[0]) < len(trained[1]) == len(trials)
    for trial in trials:
        mine = finished_folder(tmp_path / "work", trial["spec"], "cpu")
        first = project / ROUND.with_suffix("") / f"trial-{trial['trial']}"
        for name in ("spec.json", "metrics.json", "history.csv", "predictions.csv"):
            assert (mine / name).read_bytes() == (first / name).read_bytes(), name


def test_a_setting_that_no_run_can_have_fails_alone(project: Path, tmp_path: Path) -> None:
    content = read_json(ROUND)
    trial = content["trials"][0]
    trial["spec"]["train_size"] = 5000
    write_json({**content, "trials": [trial]}, tmp_path / "round-1.json")
    told = {**TOLD, "packs": 1, "pack": 0}
    train_trials(tmp_path / "round-1.json", tmp_path / "done.txt", tmp_path / "work", told)
    folder = finished_folder(tmp_path / "work", trial["spec"], "cpu")
    metrics = read_json(folder / "metrics.json")
    assert metrics["status"] == "failed" and "has 60 rows" in metrics["error"]
    assert (tmp_path / "done.txt").is_file()


def test_a_missing_model_is_one_message(project: Path, tmp_path: Path) -> None:
    content = read_json(ROUND)
    for trial in content["trials"]:
        unknown = {"source": "nobody/no-such-model", "weights_sha256": None}
        trial["spec"]["model"] |= unknown
    write_json(content, tmp_path / "round-1.json")
    told = {**TOLD, "packs": 1, "pack": 0}
    with pytest.raises(UserError, match="nobody/no-such-model: the model cannot be found"):
        train_trials(tmp_path / "round-1.json", tmp_path / "done.txt", tmp_path / "work", told)
    assert not (tmp_path / "done.txt").exists()


def test_an_empty_round_trains_nothing(tmp_path: Path) -> None:
    empty = {"trials": [{"trial": 1, "kind": "empty", "reason": "stopped", "spec": None}]}
    write_json(empty, tmp_path / "round-9.json")
    told = {**TOLD, "packs": 1, "pack": 0}
    train_trials(tmp_path / "round-9.json", tmp_path / "done.txt", tmp_path / "work", told)
    assert (tmp_path / "done.txt").read_text() == "done\n" and not (tmp_path / "work").exists()

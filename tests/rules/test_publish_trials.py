"""publish_trials: every trial is an ordinary run at its place, with its predictions."""

from __future__ import annotations

from pathlib import Path

from tunescape.tables import read_json, read_table, write_json
from tunescape.tuning.training import publish_trials

PLACE = Path("results/experiments/mrpc-tuning")


def test_every_trial_has_the_files_of_a_run_and_its_predictions(tuned: Path) -> None:
    for path in sorted((tuned / PLACE).glob("*/round-1.json")):
        for trial in read_json(path)["trials"]:
            folder = path.with_suffix("") / f"trial-{trial['trial']}"
            if trial["spec"] is None:
                assert not folder.exists()
                continue
            metrics = read_json(folder / "metrics.json")
            assert metrics["run_id"] == trial["run_id"] and metrics["status"] == "ok"
            assert read_json(folder / "spec.json") == trial["spec"]
            table = read_table(folder / "predictions.csv")
            assert len(table) == metrics["n_eval"] == 40
            right = (table["label"] == table["prediction"]).mean()
            assert abs(right - metrics["accuracy"]) < 1e-12
            assert (folder / "model/README.md").is_file() and (folder / "history.csv").is_file()


def test_a_round_that_shrank_leaves_no_old_trial(tmp_path: Path) -> None:
    empty = {"trials": [{"trial": 1, "kind": "empty", "reason": "stopped", "spec": None}]}
    write_json(empty, tmp_path / "round-1.json")
    (tmp_path / "round-1/trial-1").mkdir(parents=True)
    publish_trials(tmp_path / "round-1.json", tmp_path / "round-1", tmp_path, {"device": "cpu"})
    assert list((tmp_path / "round-1").iterdir()) == []

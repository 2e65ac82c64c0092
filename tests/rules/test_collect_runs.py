"""collect_runs: runs as rows of the features table, every planned one accounted for."""

from __future__ import annotations

from pathlib import Path

from tunescape.schemas import FEATURE_COLUMNS, validate_features
from tunescape.tables import read_json, read_table

FOLDER = "results/experiments/mini-surface"


def test_features_are_the_runs_in_the_common_schema(finished: Path) -> None:
    features = read_table(finished / FOLDER / "features.parquet")
    design = read_table(finished / FOLDER / "design.csv").set_index("run_id")
    assert list(features.columns) == list(FEATURE_COLUMNS)
    validate_features(features, "features")
    assert list(features["id"]) == sorted(design.index)
    for row in features.itertuples():
        metrics = read_json(finished / f"results/runs/{row.id}/metrics.json")
        assert (row.loss, row.accuracy) == (metrics["loss"], metrics["accuracy"])
        assert row.owner == design.loc[row.id, "configuration"]
        assert row.learning_rate == design.loc[row.id, "learning_rate"]
    assert features["owner"].nunique() == 4


def test_every_planned_run_and_epoch_is_there(finished: Path) -> None:
    runs = read_table(finished / FOLDER / "runs.csv")
    assert len(runs) == 8 and set(runs["status"]) == {"ok"} and (runs["accuracy_se"] > 0).all()
    flow = read_table(finished / FOLDER / "sample_flow.csv")
    assert list(flow["step"]) == ["runs"] and list(flow["after"]) == [8]
    history = read_table(finished / FOLDER / "history.csv")
    epochs = history.groupby("run_id")["epoch"].max()
    assert (epochs == runs.set_index("run_id")["num_epochs"][epochs.index]).all()
    assert len(history) == runs["num_epochs"].sum()

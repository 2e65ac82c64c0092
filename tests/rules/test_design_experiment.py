"""design_experiment: runs, what they can tell and what they cost, before anything is trained."""

from __future__ import annotations

from pathlib import Path

from tunescape.tables import read_json, read_table
from tunescape.training.runspec import run_id


def test_every_planned_run_has_its_specification(finished: Path) -> None:
    folder = finished / "results/experiments/mini-surface"
    design = read_table(folder / "design.csv")
    settings = design[["learning_rate", "num_epochs", "seed"]].itertuples(index=False)
    assert {tuple(row) for row in settings} == {
        (rate, epochs, seed) for rate in (1e-4, 4e-4) for epochs in (1, 2) for seed in (1, 2)
    }
    assert {path.stem for path in (folder / "runs").glob("*.json")} == set(design["run_id"])
    for row in design.itertuples():
        spec = read_json(folder / f"runs/{row.run_id}.json")
        assert run_id(spec) == row.run_id
        assert (spec["learning_rate"], spec["seed"]) == (row.learning_rate, row.seed)
        assert spec["train_batch_size"] == 8 and spec["task"]["data_digest"]


def test_diagnostics_say_what_two_levels_cannot_tell(finished: Path) -> None:
    folder = finished / "results/experiments/mini-surface"
    table = read_table(folder / "diagnostics.csv").set_index("term")
    assert not table.loc["learning_rate^2", "estimable"]
    assert table.loc["learning_rate:num_epochs", "estimable"]
    assert (table.loc[["learning_rate", "num_epochs"], "detectable_effect"] > 0).all()
    summary = read_json(folder / "design.json")
    assert summary["runs"] == 8 and summary["df_pure_error"] == 4
    assert summary["cost"]["core_seconds"] > summary["cost"]["longest_run_seconds"] > 0
    assert "cannot be estimated" in " ".join(summary["statements"])

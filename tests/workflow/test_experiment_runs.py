"""Experiments that change: what is trained again, what a failure harms, what it says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from edits import changed_copy, configure, reverse
from harness import Outcome, snakemake
from test_reruns import EXPERIMENT, PACKS, jobs
from tunescape.tables import read_table

FOLDER = f"results/experiments/{EXPERIMENT}"
RUNS = f"{FOLDER}/runs.csv"
FACTORS = ("experiments", EXPERIMENT, "factors")


def planned(project: Path) -> set[str]:
    return set(read_table(project / FOLDER / "design.csv")["run_id"])


def store(project: Path) -> dict[str, tuple[int, int]]:
    """Finished runs: what would change if one were trained again."""
    files = sorted((project / "work/runs/finished").rglob("*.*"))
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def train(project: Path, *arguments: str) -> Outcome:
    """Run the workflow as far as the experiment's table of runs."""
    outcome = snakemake(project, RUNS, *arguments)
    assert outcome.returncode == 0, outcome.output[-4000:]
    return outcome


def test_a_point_and_a_seed_more_train_the_new_runs_alone(finished: Path, tmp_path: Path) -> None:
    project = changed_copy(finished, tmp_path / "study")
    runs, kept = planned(project), store(project)
    configure(*FACTORS, "learning_rate", "values", value=[1e-4, 2e-4, 4e-4])(project)
    configure("experiments", EXPERIMENT, "seeds", value=[1, 2, 3])(project)
    outcome = train(project)
    new = planned(project) - runs
    assert runs < planned(project) and len(new) == 3 * 2 * 3 - 8
    assert list(outcome.jobs) == sorted(
        [
            *jobs("design_experiment", experiment=[EXPERIMENT]),
            *jobs("finetune_pack", experiment=[EXPERIMENT], pack=PACKS),
            *jobs("publish_run", run_id=new),
            *jobs("collect_runs", experiment=[EXPERIMENT]),
        ]
    )
    after = store(project)
    assert {name: after[name] for name in kept} == kept
    assert set(read_table(project / RUNS)["status"]) == {"ok"}
    assert snakemake(project, RUNS, "--dry-run").jobs == ()


def test_reordered_lists_train_and_publish_nothing(finished: Path, tmp_path: Path) -> None:
    project = changed_copy(finished, tmp_path / "study")
    kept = store(project)
    reverse(*FACTORS)(project)
    reverse(*FACTORS, "learning_rate", "values")(project)
    reverse("experiments", EXPERIMENT, "seeds")(project)
    outcome = train(project)
    assert "publish_run" not in outcome.rules and store(project) == kept
    features = f"{FOLDER}/features.parquet"
    assert (project / features).read_bytes() == (finished / features).read_bytes()


def test_results_are_the_same_bytes_in_one_pack_as_in_two(finished: Path, tmp_path: Path) -> None:
    project = changed_copy(finished, tmp_path / "study")
    shutil.rmtree(project / "work")
    shutil.rmtree(project / "results/runs")
    configure("training", "packs", value=1)(project)
    outcome = train(project)
    assert outcome.rules == {"finetune_pack": 1, "publish_run": 8, "collect_runs": 1}
    for run in planned(project):
        for name in ("spec.json", "metrics.json", "history.csv", "model/README.md"):
            path = f"results/runs/{run}/{name}"
            assert (project / path).read_bytes() == (finished / path).read_bytes(), path


def test_a_failed_run_is_reported_and_harms_no_other(finished: Path, tmp_path: Path) -> None:
    project = changed_copy(finished, tmp_path / "study")
    runs, kept = planned(project), store(project)
    fixed = {"train_batch_size": 8, "eval_batch_size": 128}
    configure("experiments", EXPERIMENT, "fixed", value=fixed)(project)
    configure(*FACTORS, "max_length", value={"values": [16, 128]})(project)
    fit = f"results/analysis/{EXPERIMENT}/absolute/loss/fit.json"
    train(project, fit)
    table = read_table(project / RUNS)
    failed = table[table["max_length"] == 128]
    assert len(failed) == 8 and set(failed["status"]) == {"failed"}
    assert failed["reason"].str.contains("the model reads 64 at most").all()
    assert failed["loss"].isna().all()
    well = table[table["status"] == "ok"]
    assert set(well["run_id"]) == runs and well["loss"].notna().all()
    after = store(project)
    assert {name: after[name] for name in kept} == kept
    flow = read_table(project / FOLDER / "sample_flow.csv")
    assert list(flow["after"]) == [16, 8] and "the model reads 64 at most" in flow["reason"].iloc[1]
    assert (project / fit).is_file()


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("experiments", EXPERIMENT, "model"), "./nowhere", "nowhere: no such model folder"),
        (("training", "device"), "cuda", "no GPU for device 'cuda'"),
    ],
)
def test_what_is_not_there_is_one_message(
    finished: Path, tmp_path: Path, place: tuple[str, ...], value: str, said: str
) -> None:
    if value == "cuda" and (Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi")):
        pytest.skip("this machine may have a GPU")
    project = changed_copy(finished, tmp_path / "study")
    configure(*place, value=value)(project)
    outcome = snakemake(project, RUNS)
    assert outcome.returncode == 1 and "Traceback" not in outcome.output
    messages = {line for line in outcome.output.splitlines() if line.startswith("tunescape: ")}
    assert len(messages) == 1 and said in messages.pop()
    assert (project / "results/report.html").is_file()

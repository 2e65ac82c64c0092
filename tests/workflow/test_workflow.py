"""The whole workflow: job counts, a second run, wrong configurations, the zipped report."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from harness import copy_project, snakemake

SNAKEMAKE = Path(sys.executable).parent / "snakemake"


def test_first_run_has_exactly_these_jobs(first_jobs: dict[str, int]) -> None:
    assert first_jobs == {
        "split_source": 1,
        "harvest_models": 3,
        "parse_cards": 3,
        "build_features": 1,
        "design_experiment": 1,
        "finetune_pack": 2,
        "publish_run": 4 * 2,
        "collect_runs": 1,
        "select_population": 2,
        "account_models": 1,
        "measure_coverage": 2 + 1,
        "regress_metric": 2 * 2 + 1,
        "compare_published": 2,
        "adjust_family": 1,
        "describe_surface": 2 * 2 + 1,
        "weigh_metrics": 2 * 2 + 1,
        "trace_specifications": 2,
        "check_views": 1,
        "map_strategy": 2 + 1,
        "audit_tables": 1,
        "audit_claims": 1,
        "contrast_arms": 1,
        "draw_population": 2,
        "draw_analysis": 2 * 2 + 1,
        "draw_experiment": 1,
        "draw_specifications": 2,
        "draw_contrast": 1,
        "write_report": 1,
    }


def test_default_study_has_exactly_these_jobs(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "study")
    outcome = snakemake(project, "--dry-run")
    assert outcome.returncode == 0, outcome.output[-3000:]
    counts = outcome.rules
    assert counts["regress_metric"] == counts["draw_analysis"] == 2 * 2 * 3 + 3
    assert counts["describe_surface"] == counts["regress_metric"]
    assert counts["trace_specifications"] == counts["draw_specifications"] == 2 * 3
    assert counts["weigh_metrics"] == 2 * 2 + 1 and counts["map_strategy"] == 2 + 1
    assert counts["contrast_arms"] == counts["draw_contrast"] == 3
    assert counts["design_experiment"] == counts["collect_runs"] == 1
    assert counts["finetune_pack"] == 2
    assert counts["split_source"] == counts["write_report"] == 1


def test_second_run_does_nothing_and_says_so(finished: Path) -> None:
    outcome = snakemake(finished)
    assert outcome.returncode == 0 and outcome.jobs == ()
    assert "Nothing to be done" in outcome.output


def test_results_are_the_same_bytes_again(finished: Path, tmp_path: Path) -> None:
    project = tmp_path / "study"
    shutil.copytree(finished, project)
    kept = ["results/hub/features.parquet", "results/analysis/distilbert/sample.parquet"]
    fit = "results/analysis/distilbert-sst2/absolute/loss/"
    kept += [f"{fit}coefficients.csv", f"{fit}fit.json"]
    kept += ["results/figures/distilbert-sst2/absolute/loss/scatter.svg"]
    for name in kept:
        (project / name).unlink()
    outcome = snakemake(project, *kept, cores=1)
    assert outcome.returncode == 0, outcome.output[-3000:]
    for name in kept:
        assert (project / name).read_bytes() == (finished / name).read_bytes(), name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("regression: {degre: 2}", ["regression.degre: unknown key (did you mean 'degree'?)"]),
        (
            "hub: {source: web}\nregression: {metrics: [bleu]}",
            ["hub.source: got 'web'", "regression.metrics.0: got 'bleu'"],
        ),
        ("a: [", ["not valid YAML"]),
    ],
)
def test_wrong_configuration_is_told_before_anything(
    tmp_path: Path, text: str, says: list[str]
) -> None:
    project = copy_project(tmp_path / "study")
    (project / "config.yaml").write_text(text)
    done = subprocess.run([SNAKEMAKE, "--cores", "1"], cwd=project, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "Traceback" not in said and "Building DAG" not in said
    for message in says:
        assert f"config.yaml: {message}" in said or message in said
    assert not (project / "results" / "hub").exists()


def test_a_study_file_replaces_the_shipped_configuration(finished: Path, tmp_path: Path) -> None:
    study = tmp_path / "mine.yaml"
    study.write_text("regression: {degree: 4}")
    outcome = snakemake(finished, "--dry-run", "--configfile", str(study))
    assert outcome.returncode == 1
    assert f"{study}: regression.degree" in outcome.output


def test_zipped_report_is_built_with_its_captions(finished: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.zip"
    done = subprocess.run(
        [SNAKEMAKE, "--report", str(target)],
        cwd=finished,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    names = zipfile.ZipFile(target).namelist()
    assert any(name.endswith("report.html") for name in names)
    assert sum(name.endswith(".svg") for name in names) >= 20


def test_missing_source_is_one_message(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "study")
    (project / "broken.jsonl").write_text("not a record\n")
    outcome = snakemake(
        project,
        "results/hub/source.json",
        "--config",
        "hub={source: cards, path: broken.jsonl}",
        cores=1,
    )
    assert outcome.returncode == 1
    assert "broken.jsonl" in outcome.output
    assert not list((project / "results/hub").glob("models/*"))

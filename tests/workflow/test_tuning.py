"""Tuning studies as a workflow: which jobs, killed and resumed, continued with a larger budget."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from edits import changed_copy, configure
from filelock import FileLock
from harness import ROOT, copy_project, count_rules, jobs_of, snakemake
from test_reruns import TUNING, jobs, rounds
from tunescape.tables import read_json
from tunescape.training.run import _token

PLACE = f"results/experiments/{TUNING}"
STAGES = ("experiments", TUNING, "stages")
SEARCHES = ("screen", "grid", "bayes-warm", "bayes-cold", "confirm")
SAME = ("spec.json", "metrics.json", "history.csv", "predictions.csv")


def test_both_published_tunings_run_with_exactly_these_jobs(tuned: Path) -> None:
    assert count_rules(jobs_of(tuned)) == {
        "propose_trials": 5,
        "train_trials": 5,
        "publish_trials": 5,
        "rank_factors": 1,
        "export_search": 5,
        "summarise_study": 1,
        "draw_tuning": 1,
        "draw_screening": 1,
        "design_experiment": 1,
        "finetune_pack": 1,
        "publish_run": 8,
        "collect_runs": 1,
        "tabulate_lora": 1,
        "account_models": 1,
        "measure_coverage": 1,
        "regress_metric": 1,
        "adjust_family": 1,
        "describe_surface": 1,
        "weigh_metrics": 1,
        "map_strategy": 1,
        "check_views": 1,
        "audit_tables": 1,
        "audit_claims": 1,
        "draw_analysis": 1,
        "draw_experiment": 1,
        "write_report": 1,
    }


@pytest.mark.skipif(
    not (ROOT.parent / "shared/text/mrpc").is_dir(), reason="the real texts are not beside us"
)
def test_the_real_texts_are_what_was_tuned_on(tuned: Path) -> None:
    for name in ("mrpc", "imdb"):
        rows = (ROOT.parent / f"shared/text/{name}/small_dev.tsv").read_text(encoding="utf-8")
        assert rows.startswith((tuned / f"texts/{name}_dev.tsv").read_text(encoding="utf-8"))


def test_the_page_has_both_studies_and_reads_without_scripts(tuned: Path) -> None:
    page = (tuned / "results/report.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    said = re.sub(r"\s+", " ", re.sub(r"<script.*?</script>|<[^>]+>", " ", page, flags=re.DOTALL))
    for words in ("Tuning in stages", "best by hand", "Bayesian search, warm start",
                  "the warm start", "cannot see interactions", "one half of the 40 rows",
                  "LoRA and data size", "judged on the same rows", "optuna-dashboard"):  # fmt: skip
        assert words in said, words
    assert "model cards read" not in said and "Undefined" not in page
    assert '<div class="parallel small" id="parallel-mrpc-tuning" hidden>' in page
    assert not re.findall(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="', page)


def test_a_page_without_a_tuning_study_has_no_script(finished: Path) -> None:
    page = (finished / "results/report.html").read_text(encoding="utf-8")
    assert "<script" not in page and "Tuning in stages" not in page


def test_a_second_run_does_nothing(tuned: Path) -> None:
    outcome = snakemake(tuned, "--dry-run")
    assert outcome.returncode == 0 and outcome.jobs == ()


def test_a_larger_budget_adds_rounds_and_leaves_the_others(tuned: Path, tmp_path: Path) -> None:
    project = changed_copy(tuned, tmp_path / "study")
    bayes = {"bayes": {"trials": 4, "parallel": 2, "prior": "earlier_stages"}}
    configure(*STAGES, 2, value=bayes)(project)
    outcome = snakemake(project, f"{PLACE}/bayes-cold/round-2")
    assert list(outcome.jobs) == sorted(rounds("bayes-cold", "2"))
    for name in (*SAME, "timing.json"):
        trial = f"{PLACE}/bayes-cold/round-1/trial-1/{name}"
        assert (project / trial).read_bytes() == (tuned / trial).read_bytes()


# Killed -----------------------------------------------------------------------------------------


def store(project: Path) -> dict[str, tuple[int, int]]:
    """Finished runs: what would change if one were trained again."""
    files = sorted((project / "work/runs/finished").glob("[!.]*/metrics.json"))
    return {path.parent.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def trainers(project: Path) -> list[int]:
    """Process ids of trainers that run in a project."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            inside = (process / "cwd").resolve() == project.resolve()
        except OSError:
            continue
        if inside and re.search(rb"/tmp\w+\.train_trials\.py", command) and b"python" in command:
            found.append(int(process.name))
    return found


def start(project: Path, target: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", target]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=project, start_new_session=True, **quiet)


def wait_for(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not ready():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.02)


def hold(tuned: Path, project: Path, search: str) -> FileLock:
    """A hold on the trial that a round trains last, by which the round stays in its middle."""
    trials = read_json(tuned / PLACE / search / "round-1.json")["trials"]
    last = max(trials, key=lambda trial: trial["run_id"])
    return FileLock(project / "work/runs/locks" / f"{_token(last['spec'], 'auto')}.lock")


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc to find trainers in")
def test_killed_in_mid_round_it_resumes_and_ends_as_if_undisturbed(
    tuned: Path, tmp_path: Path
) -> None:
    project = changed_copy(tuned, tmp_path / "study")
    shutil.rmtree(project / "work/runs/finished")
    for search in ("grid", "bayes-cold"):
        shutil.rmtree(project / PLACE / search)
    target = f"{PLACE}/bayes-cold/export/trials.csv"
    with hold(tuned, project, "bayes-cold"):
        with hold(tuned, project, "grid"):
            # The workflow dies in the grid's round, and its trainer with it.
            workflow = start(project, target)
            wait_for(lambda: len(store(project)) == 3)
            os.kill(workflow.pid, signal.SIGKILL)
            workflow.wait()
            first = store(project)
            assert len(first) == 3
            assert not (project / PLACE / "grid/round-1").exists()
            wait_for(lambda: not trainers(project))
            # The next one's trainer waits for the same trial.
            workflow = start(project, target)
            wait_for(lambda: len(trainers(project)) == 1)
        # The trainer dies in the search's round.
        wait_for(lambda: len(store(project)) == 5)
        for trainer in trainers(project):
            os.kill(trainer, signal.SIGKILL)
        assert workflow.wait(120) != 0
    second = store(project)
    assert len(second) == 5 and first.items() <= second.items()

    outcome = snakemake(project, target)
    assert outcome.returncode == 0, outcome.output[-4000:]
    third = store(project)
    assert len(third) == 6 and second.items() <= third.items(), "no trial is lost or repeated"
    assert (project / target).read_bytes() == (tuned / target).read_bytes()
    for search in ("grid", "bayes-cold"):
        proposed = f"{PLACE}/{search}/round-1.json"
        assert (project / proposed).read_bytes() == (tuned / proposed).read_bytes()
        for trial in read_json(project / proposed)["trials"]:
            for name in SAME:
                path = f"{PLACE}/{search}/round-1/trial-{trial['trial']}/{name}"
                assert (project / path).read_bytes() == (tuned / path).read_bytes(), path


# The prior of the Hub ---------------------------------------------------------------------------


def test_a_mined_surface_is_an_input_of_the_warm_start_alone(
    finished: Path, tmp_path: Path
) -> None:
    project = changed_copy(finished, tmp_path / "study")
    tuning = {
        "task": "mini-reviews",
        "model": "tiny",
        "metric": "loss",
        "mined": "distilbert",
        "factors": {"learning_rate": {"low": 1e-5, "high": 1e-3, "scale": "log"}},
        "fixed": {"num_epochs": 2},
        "stages": [{"bayes": {"trials": 2, "parallel": 2, "prior": "hub", "weight": 0.5}}],
    }
    configure("experiments", "hub-tuning", value=tuning)(project)
    place = "results/experiments/hub-tuning"
    proposals = [f"{place}/bayes-{arm}/round-1.json" for arm in ("warm", "cold")]
    outcome = snakemake(project, *proposals)
    assert outcome.returncode == 0, outcome.output[-3000:]
    assert outcome.rules == {"propose_trials": 2}
    warm, cold = (read_json(project / path) for path in proposals)
    assert warm["prior"]["models"] > 0 and warm["prior"]["reason"] == ""
    assert warm["trials"][0]["kind"] == "start" and cold["prior"] == {"prior": "none"}
    fit = project / "results/analysis/distilbert/absolute/loss/fit.json"
    fit.write_text(fit.read_text() + "\n")
    again = snakemake(project, "--dry-run", *proposals)
    assert [job for job in again.jobs if job.startswith("propose")] == jobs(
        "propose_trials", tuning=["hub-tuning"], search=["bayes-warm"], round=["1"]
    )


# Wrong configurations ---------------------------------------------------------------------------


def test_a_wrong_stage_is_told_before_anything(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "study")
    wrong = project / "wrong.yaml"
    text = (project / "studies/mrpc.yaml").read_text()
    wrong.write_text(text.replace("sampler: tpe", "sampler: cmaes"))
    outcome = snakemake(project, "--dry-run", "--configfile", str(wrong))
    assert outcome.returncode == 1 and "Traceback" not in outcome.output
    assert (
        f"{wrong}: experiments.mrpc-tuning.stages[3].bayes.sampler: got 'cmaes'; expected one of "
        "tpe, gp, random"
    ) in outcome.output

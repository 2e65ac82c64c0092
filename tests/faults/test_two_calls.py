"""Two calls in one folder, and jobs whose call was killed."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from faulty import (
    Call,
    assert_same_results,
    assert_told,
    call_plainly,
    calling,
    scripts,
    wait_for,
)
from filelock import FileLock
from harness import snakemake
from test_reruns import EXPERIMENT, changed_copy
from tunescape.tables import read_json
from tunescape.training.run import _token

PACKS = [f"results/experiments/{EXPERIMENT}/packs/{pack}.txt" for pack in "01"]

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/cmdline").exists(), reason="no /proc to find scripts in"
)


def untrained(finished: Path, target: Path) -> Path:
    """A copy in which the packs are to be trained."""
    project = changed_copy(finished, target).resolve()
    shutil.rmtree(project / "work/runs/finished")
    for pack in PACKS:
        (project / pack).unlink()
    return project


def hold(project: Path) -> list[FileLock]:
    """Locks of all runs: trainers wait for them."""
    specs = [read_json(path) for path in (project / "results/runs").glob("*/spec.json")]
    (project / "work/runs/locks").mkdir(exist_ok=True)
    return [FileLock(project / f"work/runs/locks/{_token(spec, 'auto')}.lock") for spec in specs]


def training(call: Call) -> bool:
    assert not call.ended, call.finish().output[-3000:]
    return len(scripts(call.project)) == 2


def test_a_second_call_is_told_who_is_at_work(finished: Path, tmp_path: Path) -> None:
    project = untrained(finished, tmp_path / "study")
    held = hold(project)
    for lock in held:
        lock.acquire()
    with calling(project, *PACKS) as first:
        wait_for(lambda: training(first))
        second = call_plainly(project, *PACKS)
        assert_told(
            second, "another snakemake", f"process {first.pid} on", str(project), "Wait for it"
        )
        assert "unlock" not in second.output
        assert snakemake(project, "--dry-run").returncode == 0
        assert not first.ended and len(scripts(project)) == 2
        for lock in held:
            lock.release()
        outcome = first.finish()
    assert outcome.returncode == 0, outcome.output[-3000:]


def test_jobs_end_with_the_call_that_started_them(finished: Path, tmp_path: Path) -> None:
    project = untrained(finished, tmp_path / "study")
    held = hold(project)
    for lock in held:
        lock.acquire()
    with calling(project, *PACKS) as first:
        wait_for(lambda: training(first))
        os.kill(first.pid, signal.SIGKILL)
        wait_for(lambda: not scripts(project))
    for lock in held:
        lock.release()
    outcome = call_plainly(project)
    assert outcome.returncode == 0, outcome.output[-3000:]
    assert_same_results(project, finished)


def test_two_calls_that_start_at_once(finished: Path, tmp_path: Path) -> None:
    project = changed_copy(finished, tmp_path / "study")
    for name in ("results/report.html", "results/audit/findings.csv"):
        (project / name).unlink()
    with calling(project) as first:
        second = call_plainly(project)
        outcomes = [first.finish(), second]
    assert 0 in [outcome.returncode for outcome in outcomes]
    for outcome in outcomes:
        if outcome.returncode:
            assert_told(outcome, "another snakemake", "Wait for it")
    outcome = call_plainly(project)
    assert outcome.returncode == 0, outcome.output[-3000:]
    assert_same_results(project, finished)


# What is not there ------------------------------------------------------------------------------


def test_a_missing_model_and_a_missing_gpu(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # What is no folder here may be a name on the Hub.
    project = untrained(finished, tmp_path / "study")
    (project / "tiny").rename(project / "away")
    outcome = call_plainly(project)
    assert_told(outcome, "tiny: the model cannot be found", "expected a local folder")
    (project / "away").rename(project / "tiny")
    if not Path("/dev/nvidia0").exists() and not shutil.which("nvidia-smi"):
        outcome = call_plainly(project, "--config", "training={device: cuda}")
        assert_told(outcome, "no GPU for device 'cuda'")
    outcome = call_plainly(project)
    assert outcome.returncode == 0, outcome.output[-3000:]
    assert_same_results(project, finished)

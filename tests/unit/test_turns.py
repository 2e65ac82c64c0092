"""Turns: one call at a time, jobs that end with it, what a killed one leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tunescape import turns

CALL = "from tunescape.turns import take_turn; take_turn('.'); print('mine', flush=True); input()"
JOB = """
import os, sys
from tunescape.turns import LOOK_SECONDS, keep_turn
LOOK_SECONDS.update(remote=0.2)
{join}
keep_turn()
print("at work", flush=True)
input()
"""
JOIN = "from tunescape.turns import join_turn; join_turn()"


def start(folder: Path, code: str, **env: str) -> subprocess.Popen[str]:
    """A Python process that waits for a line when its work is done."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **env},
    )


def take(folder: Path) -> subprocess.Popen[str]:
    """A process that has the folder's turn."""
    (folder / ".snakemake").mkdir(exist_ok=True)
    process = start(folder, CALL)
    assert process.stdout is not None and process.stdout.readline() == "mine\n"
    return process


def work(folder: Path, join: str = "") -> subprocess.Popen[str]:
    """A job of the call that has the turn."""
    kind, token = "local", json.loads((folder / turns.TURN).read_text())["token"]
    process = start(folder, JOB.format(join=join), TUNESCAPE_TURN=f"{kind} {token} {folder}")
    assert process.stdout is not None and process.stdout.readline() == "at work\n"
    return process


def wait_for(ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.02)


def test_one_call_at_a_time(tmp_path: Path) -> None:
    first = take(tmp_path)
    assert not turns.is_free(tmp_path)
    second = start(tmp_path, CALL)
    _, said = second.communicate(timeout=60)
    assert second.returncode and f"another snakemake (process {first.pid} on" in said
    first.communicate("\n", timeout=60)
    assert turns.is_free(tmp_path) and (tmp_path / turns.TURN).read_text() == ""
    take(tmp_path).communicate("\n", timeout=60)


def test_a_killed_call_leaves_nothing_to_unlock_and_nothing_half_written(tmp_path: Path) -> None:
    first = take(tmp_path)
    first.send_signal(signal.SIGKILL)
    first.wait(60)
    assert turns.is_free(tmp_path)
    left = [tmp_path / "results/a/.b.csv.x.part", tmp_path / "work/.c.part/d"]
    kept = tmp_path / "results/a/b.csv"
    for path in (*left, kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    take(tmp_path).communicate("\n", timeout=60)
    assert kept.exists() and not any(path.exists() for path in left)
    assert not left[1].parent.exists()


def test_a_job_ends_with_its_call(tmp_path: Path) -> None:
    call = take(tmp_path)
    job = work(tmp_path)
    assert job.poll() is None
    call.send_signal(signal.SIGKILL)
    call.wait(60)
    wait_for(lambda: job.poll() is not None)
    assert job.returncode == 1


def test_a_job_on_a_cluster_outlives_its_call_until_the_next(tmp_path: Path) -> None:
    call = take(tmp_path)
    job = work(tmp_path, JOIN)
    call.send_signal(signal.SIGKILL)
    call.wait(60)
    old = json.loads((tmp_path / turns.TURN).read_text())["token"]
    time.sleep(1.0)
    assert job.poll() is None
    # The next call waits until the job has ended.
    following = take(tmp_path)
    assert job.wait(60) == 1
    # One that was still in the queue is told.
    late = start(tmp_path, JOB.format(join=JOIN), TUNESCAPE_TURN=f"local {old} {tmp_path}")
    _, said = late.communicate(timeout=60)
    assert late.returncode == 1 and "has ended" in said
    following.communicate("\n", timeout=60)


def test_a_job_that_does_not_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = take(tmp_path)
    job = work(tmp_path)
    job.send_signal(signal.SIGSTOP)
    os.waitpid(job.pid, os.WUNTRACED)  # Returns once it has stopped.
    call.send_signal(signal.SIGKILL)
    call.wait(60)
    code = "import tunescape.turns as t; t.LAST_JOBS_SECONDS = 0.3; t.take_turn('.')"
    following = start(tmp_path, code)
    _, said = following.communicate(timeout=60)
    job.send_signal(signal.SIGKILL)
    job.wait(60)
    assert following.returncode and "a job of an earlier call is still at work" in said


def test_without_a_call_nothing_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(turns.VARIABLE, raising=False)
    turns.keep_turn()
    turns.join_turn()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "results").touch()
    process = start(tmp_path, CALL)
    _, said = process.communicate(timeout=60)
    assert process.returncode and f"{tmp_path / 'results'}: the folder cannot be written" in said

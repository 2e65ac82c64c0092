"""SIGKILL at random points of the default workflow, until it has finished all the same."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from conftest import shrink
from faulty import (
    LIMIT,
    Call,
    assert_nothing_is_half_written,
    assert_same_results,
    call_plainly,
    calling,
    scripts,
    wait_for,
)
from harness import copy_project, snakemake

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/cmdline").exists(), reason="no /proc to find scripts in"
)

KILLS = {"trainer": 10, "script": 24, "workflow": 18}
MOST_SECONDS = {"trainer": 2.0, "script": 0.8, "workflow": 1.0}
"""Longest time between the start of a job and the kill."""
TRAINERS = ("finetune_pack", "train_trials")


def kill_a_script(call: Call, kind: str, delay: float, killed: set[int]) -> bool:
    """Let one script of a kind run for a while and kill it; whether one was hit."""
    wanted: dict[int, str] = {}

    def there_is_one() -> bool:
        found = scripts(call.project)
        wanted.update(
            {
                p: r
                for p, r in found.items()
                if p not in killed and (r in TRAINERS) == (kind == "trainer")
            }
        )
        return bool(wanted) or call.ended

    wait_for(there_is_one)
    if not wanted:
        return False
    target = min(wanted)
    killed.add(target)
    time.sleep(delay)
    if scripts(call.project).get(target) != wanted[target]:
        return False
    os.kill(target, signal.SIGKILL)
    return True


def have_begun(call: Call, number: int, seen: set[int]) -> bool:
    """Whether so many more jobs than those seen before have begun, or no job will."""
    seen.update(scripts(call.project))
    return call.ended or len(seen) >= number


def test_killed_many_times_it_ends_as_if_undisturbed(finished: Path, tmp_path: Path) -> None:
    chance = random.Random(2026)
    project = copy_project(tmp_path / "study").resolve()
    shrink(project)
    done = dict.fromkeys(KILLS, 0)
    deadline = time.monotonic() + 3 * LIMIT
    while left := [kind for kind in KILLS if done[kind] < KILLS[kind]]:
        assert time.monotonic() < deadline, f"too slow: {done}"
        killed: set[int] = set()
        with calling(project) as call:
            if left[0] != "workflow":
                for _ in range(2):
                    delay = chance.uniform(0.0, MOST_SECONDS[left[0]])
                    done[left[0]] += kill_a_script(call, left[0], delay, killed)
            more = chance.choice((1, 1, 2, 3, 4))
            wait_for(partial(have_begun, call, len(killed) + more, set(killed)))
            time.sleep(chance.uniform(0.0, MOST_SECONDS["workflow"]))
            done["workflow"] += call.kill(whole_group=chance.random() < 0.3)
            assert_nothing_is_half_written(project, finished)
            if call.ended and call.returncode == 0:  # Before all kills: once more from the start.
                assert_same_results(project, finished)
                shutil.rmtree(project / "work")
                shutil.rmtree(project / "results")
    print(f"kills: {done}")
    assert sum(done.values()) >= 50
    outcome = call_plainly(project)
    assert outcome.returncode == 0, outcome.output[-6000:]
    assert "Traceback" not in outcome.output
    assert_same_results(project, finished)
    assert snakemake(project, "--dry-run").jobs == ()

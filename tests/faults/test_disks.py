"""Disks that are full or cannot be written: one message, nothing half-written, and on it goes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from faulty import assert_nothing_is_half_written, assert_same_results, assert_told, call_plainly
from test_reruns import EXPERIMENT, changed_copy


def mount(*arguments: str) -> None:
    """Mount, or skip the test where that is not permitted."""
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount on this machine")
    if done.returncode:
        pytest.skip(f"mounting is not permitted here ({done.stderr.strip()})")


@contextmanager
def small_disk(folder: Path, free_kb: int) -> Iterator[None]:
    """A disk of its own for a folder, with so much space besides what is there."""
    aside = folder.with_name(f"{folder.name}.aside")
    folder.rename(aside)
    folder.mkdir()
    try:
        mount("-t", "tmpfs", "-o", "size=512m", "tmpfs", str(folder))
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        used = shutil.disk_usage(folder).used // 1024
        resize(folder, used + free_kb)
        yield
        shutil.rmtree(aside)
        shutil.copytree(folder, aside)
    finally:
        with suppress(FileNotFoundError):
            subprocess.run(["umount", str(folder)], capture_output=True)
        folder.rmdir()
        aside.rename(folder)


def resize(folder: Path, size_kb: int) -> None:
    mount("-o", f"remount,size={size_kb}k", str(folder))


def test_a_full_disk_under_the_results(finished: Path, tmp_path: Path) -> None:
    project = changed_copy(finished, tmp_path / "study")
    shutil.rmtree(project / f"results/figures/experiments/{EXPERIMENT}", ignore_errors=True)
    (project / "results/report.html").unlink()
    (project / "results/audit/findings.csv").unlink()
    with small_disk(project / "results", free_kb=0):
        outcome = call_plainly(project)
        assert_told(outcome, "no space left on device", "Free some space and run again")
        assert_nothing_is_half_written(project, finished)
        resize(project / "results", 512 * 1024)
        outcome = call_plainly(project)
        assert outcome.returncode == 0, outcome.output[-4000:]
        assert_same_results(project, finished)


def test_a_full_disk_under_training_is_no_failed_run(finished: Path, tmp_path: Path) -> None:
    project = changed_copy(finished, tmp_path / "study")
    shutil.rmtree(project / "work/runs")
    ledgers = sorted((project / f"results/experiments/{EXPERIMENT}/packs").glob("*.txt"))
    for ledger in ledgers:
        ledger.unlink()
    targets = [str(ledger.relative_to(project)) for ledger in ledgers]
    with small_disk(project / "work", free_kb=48):
        outcome = call_plainly(project, *targets)
        assert_told(outcome, "no space left on device", "Free some space and run again")
        assert not any(ledger.exists() for ledger in ledgers)
        resize(project / "work", 512 * 1024)
        outcome = call_plainly(project, *targets)
        assert outcome.returncode == 0, outcome.output[-4000:]
        for other in (finished / "work/runs/finished").glob("*/metrics.json"):
            again = project / other.relative_to(finished)
            assert again.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("name", ["results", "work"])
def test_a_folder_that_cannot_be_written(finished: Path, tmp_path: Path, name: str) -> None:
    project = changed_copy(finished, tmp_path / "study")
    (project / "results/report.html").unlink()
    folder = str(project / name)
    mount("--bind", folder, folder)
    try:
        mount("-o", "remount,bind,ro", folder)
        outcome = call_plainly(project)
    finally:
        subprocess.run(["umount", folder], check=True)
    assert_told(outcome, folder, "Read-only file system", "Make it writable")
    outcome = call_plainly(project)
    assert outcome.returncode == 0, outcome.output[-4000:]
    assert_same_results(project, finished)

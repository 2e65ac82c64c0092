"""Run Snakemake on a copy of the project and tell which jobs it ran (or would run)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Snakemake prints a job's message instead of its rule name; its log records hold both.
_RECORDER = """
import json, os, sys
from snakemake.cli import main
from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

def note(record):
    if getattr(record, "event", None) == LogEvent.JOB_INFO:
        with open(os.environ["TUNESCAPE_TEST_JOBS"], "a") as handle:
            job = [record.rule_name, sorted(dict(record.wildcards or {}).items())]
            handle.write(json.dumps(job) + "\\n")
    return True

logger.addFilter(note)
main(sys.argv[1:])
"""


@dataclass(frozen=True)
class Outcome:
    """What one call of Snakemake did."""

    returncode: int
    output: str
    jobs: tuple[str, ...]

    @property
    def rules(self) -> dict[str, int]:
        """Rule -> number of jobs."""
        return count_rules(self.jobs)


def count_rules(jobs: Iterable[str]) -> dict[str, int]:
    """Rule -> number of jobs."""
    return dict(Counter(job.split("[")[0] for job in jobs))


def jobs_of(project: Path) -> list[str]:
    """Every job of a finished study, as the run that finished it recorded them."""
    jobs: list[str] = json.loads(project.with_suffix(".json").read_text())
    return jobs


def copy_project(target: Path) -> Path:
    """Copy what git tracks or would track (no environment, no results) to ``target``."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in listed:
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / name)
    return target


def snakemake(
    project: Path,
    *arguments: str,
    cores: int | None = 2,
    timeout: float = 600,
    environment: Mapping[str, str] = os.environ,
) -> Outcome:
    """Call ``snakemake`` in ``project``; jobs come as ``rule[name=value,...]``, sorted.

    Target rules (``all``) are left out. ``cores=None`` leaves their number to the profile.
    """
    limit = [] if cores is None else ["--cores", str(cores)]
    jobs_file = project.parent / f"{project.name}.jobs"
    jobs_file.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", _RECORDER, *limit, *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**environment, "TUNESCAPE_TEST_JOBS": str(jobs_file)},
    )
    lines = jobs_file.read_text().splitlines() if jobs_file.exists() else []
    jobs = set()
    for rule, wildcards in map(json.loads, lines):
        if rule != "all":
            values = ",".join(f"{key}={value}" for key, value in wildcards)
            jobs.add(f"{rule}[{values}]" if values else rule)
    return Outcome(done.returncode, done.stdout + done.stderr, tuple(sorted(jobs)))

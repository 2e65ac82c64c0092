"""The workflow through a real Slurm of one node, with profiles/slurm as it is shipped.

`make test-slurm` runs these; the other test commands leave them out.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from cluster import Cluster, missing_programs, wait_until
from conftest import shrink
from harness import Outcome, copy_project, snakemake

# Snakemake asks for states at once; nothing else of the shipped profile is changed.
PROFILE = ("--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "1")
FINAL = ("COMPLETED", "CANCELLED", "FAILED", "OUT_OF_MEMORY", "TIMEOUT")
REMOTE = (
    "parse_cards",
    "build_features",
    "finetune_pack",
    "train_trials",
    "describe_surface",
    "trace_specifications",
)
LIMIT = 900.0

# What a script of the copy does before its own work.
HOLD_MEMORY = """import pathlib, time
first = not pathlib.Path("first").exists()
pathlib.Path("first").touch()
held = b"1" * (1 << 30)
time.sleep(120 if first else 0)
"""
AWAIT_FILE = """import pathlib, time
end = time.monotonic() + 600
while not pathlib.Path("go").exists() and time.monotonic() < end:
    time.sleep(0.1)
"""


def reduce(project: Path) -> None:
    """The small default study with one population, in packs that ask for a GPU each."""
    shrink(project)
    path = project / "config.yaml"
    config = yaml.safe_load(path.read_text())
    del config["populations"]["distilbert"]
    config["contrasts"][0]["population"] = "distilbert-sst2"
    config["training"] |= {"packs": 2, "gpus": 1}
    path.write_text(yaml.safe_dump(config, sort_keys=False))


@dataclass(frozen=True)
class Job:
    """A job as `scontrol` shows it."""

    number: str
    state: str
    comment: str
    memory_mb: int


def jobs(cluster: Cluster) -> list[Job]:
    """All jobs that the cluster's controller knows, the tasks of arrays one by one."""
    found = []
    for line in cluster.ask("scontrol", "--oneliner", "show", "job").splitlines():
        facts = dict(item.split("=", 1) for item in line.split() if "=" in item)
        if "JobId" in facts:
            task = facts.get("ArrayTaskId")
            number = f"{facts['ArrayJobId']}_{task}" if task else facts["JobId"]
            size, unit = facts["MinMemoryNode"][:-1], facts["MinMemoryNode"][-1]
            memory = round(float(size) * {"M": 1, "G": 1024}[unit])
            found.append(Job(number, facts["JobState"], facts.get("Comment", ""), memory))
    return found


class Run:
    """A run of the workflow through Slurm, beside the test's own thread."""

    def __init__(
        self, cluster: Cluster, project: Path, *arguments: str, patience: float = 300
    ) -> None:
        self.cluster = cluster
        self.logs = project / ".snakemake" / "log"
        self._known = {job.number for job in jobs(cluster)}
        self._outcome: Outcome | None = None
        environment = {**cluster.environment, "TUNESCAPE_SLURM_PATIENCE": str(patience)}

        def call() -> None:
            self._outcome = snakemake(
                project, *PROFILE, *arguments, cores=None, timeout=LIMIT, environment=environment
            )

        self._thread = threading.Thread(target=call, daemon=True)
        self._thread.start()

    def jobs(self, rule: str, *states: str) -> list[Job]:
        """The run's jobs of a rule that are in one of the states."""
        return [
            job
            for job in jobs(self.cluster)
            if job.number not in self._known
            and job.comment.startswith(f"rule_{rule}")
            and job.state in states
        ]

    def wait_for(self, what: str, condition: Callable[[], object]) -> None:
        """Wait for a condition to hold as long as the run goes on."""

        def holds() -> object:
            assert self._thread.is_alive(), self.end().output[-6000:]
            return condition()

        wait_until(what, holds, limit=LIMIT)

    def cancel(self, rule: str) -> None:
        """Cancel a job of a rule; another one, where it was over before."""
        while not self.jobs(rule, "CANCELLED"):
            self.wait_for(f"a job of {rule}", lambda: self.jobs(rule, "PENDING", "RUNNING"))
            for job in self.jobs(rule, "PENDING", "RUNNING")[:1]:
                self.cluster.call("scancel", job.number)
                self.cluster.await_end(job.number)

    def end(self) -> Outcome:
        """What the run did."""
        self._thread.join(LIMIT)
        assert self._outcome is not None, f"still running after {LIMIT:g} s"
        return self._outcome

    def success(self) -> Outcome:
        """What the run did; it must succeed."""
        outcome = self.end()
        assert outcome.returncode == 0, outcome.output[-6000:]
        return outcome


@contextmanager
def cluster(accounting: bool) -> Iterator[Cluster]:
    missing = missing_programs()
    assert not missing, f"no {', '.join(missing)}: see tests/slurm/packages.txt"
    # A socket's path is short.
    with (
        tempfile.TemporaryDirectory(prefix="slurm-") as folder,
        Cluster(Path(folder), accounting) as started,
    ):
        yield started


@pytest.fixture(scope="module")
def accounted() -> Iterator[Cluster]:
    """A Slurm with accounting."""
    with cluster(accounting=True) as started:
        yield started


@pytest.fixture(scope="module")
def plain() -> Iterator[Cluster]:
    """A Slurm without accounting."""
    with cluster(accounting=False) as started:
        yield started


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reduced study, before anything has run; tests take copies."""
    project = copy_project(tmp_path_factory.mktemp("study") / "project")
    reduce(project)
    return project


@pytest.fixture(scope="module")
def local(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study as it comes out on this machine without Slurm."""
    project = shutil.copytree(study, tmp_path_factory.mktemp("local") / "project")
    outcome = snakemake(project)
    assert outcome.returncode == 0, outcome.output[-6000:]
    return project


@pytest.fixture(scope="module")
def through(
    accounted: Cluster, study: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Outcome]:
    """The study through Slurm, where somebody cancels one of its jobs."""
    project = shutil.copytree(study, tmp_path_factory.mktemp("through") / "project")
    run = Run(accounted, project)
    run.cancel("build_features")
    return project, run.success()


@pytest.fixture
def project(study: Path, tmp_path: Path) -> Path:
    """A copy of the study."""
    return shutil.copytree(study, tmp_path / "project")


def before_cards_are_read(project: Path, work: str) -> None:
    """Let a rule's script do some other work first."""
    script = project / "scripts" / "parse_cards.py"
    script.write_text(work + script.read_text())


def accounts(cluster: Cluster) -> list[dict[str, str]]:
    """What accounting says of all jobs."""
    told = cluster.ask("sacct", "-X", "-P", "-o", "JobID,State,ReqMem,AllocTRES,Comment")
    names, *rows = (line.split("|") for line in told.splitlines())
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_rules_that_are_not_local_ran_in_slurm(
    accounted: Cluster, through: tuple[Path, Outcome]
) -> None:
    ran: dict[str, int] = {}
    for row in accounts(accounted):
        if row["State"] == "COMPLETED":
            # A job array shows the first of its tasks in the comment of each.
            rule = next(name for name in REMOTE if f"rule_{name}" in row["Comment"])
            ran[rule] = ran.get(rule, 0) + 1
    assert ran == {rule: through[1].rules[rule] for rule in REMOTE if rule != "train_trials"}


def test_a_gpu_is_asked_for(accounted: Cluster, through: tuple[Path, Outcome]) -> None:
    asked = {
        row["Comment"].startswith("rule_finetune_pack")
        for row in accounts(accounted)
        if "gres/gpu=1" in row["AllocTRES"]
    }
    assert asked == {True}


def test_packs_are_one_job_array(accounted: Cluster, through: tuple[Path, Outcome]) -> None:
    packs = [row for row in accounts(accounted) if "finetune_pack" in row["Comment"]]
    assert len({row["JobID"].split("_")[0] for row in packs}) == 1
    assert sorted(row["JobID"].split("_")[1] for row in packs) == ["1", "2"]


def test_a_cancelled_job_is_submitted_again(
    accounted: Cluster, through: tuple[Path, Outcome]
) -> None:
    states = [
        (row["State"].split()[0], row["ReqMem"])
        for row in accounts(accounted)
        if "rule_build_features" in row["Comment"]
    ]
    assert [state for state, _ in states][-2:] == ["CANCELLED", "COMPLETED"]
    assert states[-1][1] == "4000M"


def test_tables_are_those_of_a_local_run(local: Path, through: tuple[Path, Outcome]) -> None:
    project = through[0]
    tables = {
        path.relative_to(local)
        for path in (local / "results").rglob("*")
        if path.suffix in {".csv", ".parquet", ".jsonl"} and "benchmarks" not in path.parts
    }
    assert len(tables) > 50
    for table in sorted(tables):
        assert (project / table).read_bytes() == (local / table).read_bytes(), table


def test_a_second_call_does_nothing(accounted: Cluster, through: tuple[Path, Outcome]) -> None:
    before = len(accounts(accounted))
    again = Run(accounted, through[0]).success()
    assert not again.jobs
    assert "Nothing to be done" in again.output
    assert len(accounts(accounted)) == before


def test_accounting_can_be_asked_for_states(accounted: Cluster, project: Path) -> None:
    """`sacct` calls the tasks of an array, and a cancelled job, by other names than `squeue`.

    Fewer jobs are let in than are ready.
    """
    targets = [f"results/hub/parsed/{bucket}.parquet" for bucket in (0, 1, 2)]
    options = ("--slurm-status-command", "sacct", "--jobs", "2")
    run = Run(accounted, project, *targets, *options)
    run.cancel("parse_cards")
    run.success()


def test_more_memory_after_a_job_ran_out_of_it(plain: Cluster, project: Path) -> None:
    before_cards_are_read(project, HOLD_MEMORY)
    run = Run(plain, project, "results/hub/parsed/0.parquet")
    run.success()
    killed = run.jobs("parse_cards", "OUT_OF_MEMORY", "FAILED", "CANCELLED")
    passed = run.jobs("parse_cards", "COMPLETED")
    assert [job.memory_mb for job in killed + passed] == [1000, 2000]


def test_a_cancelled_job_is_survived_without_accounting(plain: Cluster, project: Path) -> None:
    assert plain.call("sacct").returncode
    run = Run(plain, project, "results/hub/parsed/0.parquet")
    run.cancel("parse_cards")
    run.success()


def test_an_outage_is_survived(plain: Cluster, project: Path) -> None:
    before_cards_are_read(project, AWAIT_FILE)
    run = Run(plain, project, "results/hub/parsed/0.parquet")
    run.wait_for("the job is running", lambda: run.jobs("parse_cards", "RUNNING"))
    plain.stop_slurm()
    run.wait_for(
        "a warning", lambda: any("does not answer" in log.read_text() for log in run.logs.iterdir())
    )
    plain.start_slurm()
    (project / "go").touch()
    run.success()
    assert [job.state for job in run.jobs("parse_cards", *FINAL)] == ["COMPLETED"]


def test_a_slurm_that_is_gone_ends_the_workflow(plain: Cluster, project: Path) -> None:
    before_cards_are_read(project, AWAIT_FILE)
    target = "results/hub/parsed/0.parquet"
    run = Run(plain, project, target, patience=3)
    run.wait_for("the job is running", lambda: run.jobs("parse_cards", "RUNNING"))
    plain.stop_slurm()
    outcome = run.end()
    assert outcome.returncode == 1
    assert re.search(r"Slurm: no answer to .* for \d+ s.*squeue --me", outcome.output)
    assert "Traceback" not in outcome.output
    # What the message asks for.
    plain.start_slurm()
    plain.cancel_jobs()
    (project / "go").touch()
    Run(plain, project, target).success()
    assert (project / target).is_file()

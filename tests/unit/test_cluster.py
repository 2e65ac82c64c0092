"""Waiting for Slurm: silence, lost jobs, and what the states of jobs are called."""

from __future__ import annotations

import asyncio
import logging

import pytest
import snakemake_executor_plugin_slurm as plugin
from tunescape.cluster import PATIENCE_VARIABLE, Watch, patience
from tunescape.errors import UserError

LOGGER = logging.getLogger("test")


class Slurm:
    """A Slurm whose answers a test sets, and its clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.up = True
        self.states: dict[str, str] | None = {}
        self.asked: list[str] = []

    async def answers(self) -> bool:
        return self.up

    async def query(
        self, command: str, logger: logging.Logger
    ) -> tuple[dict[str, str] | None, float | None]:
        self.asked.append(command)
        return self.states, None if self.states is None else 0.1

    def watch(self) -> Watch:
        return Watch(self.query, self.answers, patience=60, clock=lambda: self.now)


def ask(watch: Watch, command: str = "squeue --name x") -> dict[str, str]:
    return asyncio.run(watch.query(command, LOGGER))[0]


@pytest.mark.parametrize("cause", ["controller", "query"])
def test_silence_is_borne_for_a_while(cause: str) -> None:
    slurm = Slurm()
    watch = slurm.watch()
    slurm.states = {"7": "RUNNING"}
    assert ask(watch) == {"7": "RUNNING"}
    if cause == "controller":
        slurm.up = False
    else:
        slurm.states = None
    for _ in range(4):
        assert ask(watch) == {}
        watch.miss(["7"])
        slurm.now += 20
    with pytest.raises(UserError, match=r"Slurm: no answer to .*squeue.* for 80 s.*squeue --me"):
        ask(watch)
    slurm.up, slurm.states = True, {"7": "COMPLETED"}
    assert ask(watch) == {"7": "COMPLETED"}


def test_silence_counts_only_while_jobs_are_waited_for() -> None:
    slurm = Slurm()
    slurm.up = False
    watch = slurm.watch()
    assert ask(watch) == {}
    slurm.now += 1000
    watch.miss([])
    assert ask(watch) == {}


@pytest.mark.parametrize("gone", [{}, {"7": "PREEMPTED"}], ids=["forgotten", "preempted"])
def test_a_job_that_is_gone_is_told(gone: dict[str, str]) -> None:
    slurm = Slurm()
    watch = slurm.watch()
    slurm.states = {"7": "RUNNING", "9_[2-3]": "PENDING"}
    for _ in range(4):
        ask(watch)
        watch.miss(["7", "9_3"])
        slurm.now += 40
    slurm.states = {"9_3": "RUNNING", **gone}
    ask(watch)
    watch.miss(["7", "9_3"])
    slurm.now += 61
    ask(watch)
    with pytest.raises(UserError, match="job 7 is gone"):
        watch.miss(["7", "9_3"])


def test_a_job_is_missed_only_in_answers() -> None:
    slurm = Slurm()
    watch = slurm.watch()
    slurm.states = {"7": "RUNNING"}
    ask(watch)
    watch.miss(["7"])
    slurm.states = None
    slurm.now += 50
    ask(watch)
    watch.miss(["7"])
    slurm.states = {}
    slurm.now += 50
    ask(watch)
    watch.miss(["7"])


def test_states_of_accounting_are_named_as_those_of_the_queue() -> None:
    slurm = Slurm()
    slurm.states = {"8": "CANCELLED by 1000", "7_2": "COMPLETED"}
    command = plugin.query_job_status_sacct("x")
    assert ask(slurm.watch(), command) == {"8": "CANCELLED", "7_2": "COMPLETED"}
    assert "JobID,State" in slurm.asked[0] and "JobIdRaw" not in slurm.asked[0]


def test_the_plugin_has_what_is_mended() -> None:
    for name in ("query_job_status", "pending_jobs_for_rule", "WorkflowError"):
        assert callable(getattr(plugin, name)), name
    assert callable(plugin.Executor.check_active_jobs)
    settings = plugin.ExecutorSettings()
    assert settings.init_seconds_before_status_checks > 0


@pytest.mark.parametrize("told", ["", "soon", "0", "-3", "nan"])
def test_patience_is_a_number_of_seconds(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv(PATIENCE_VARIABLE, told)
    with pytest.raises(UserError, match=PATIENCE_VARIABLE):
        patience()


def test_patience_is_a_quarter_of_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PATIENCE_VARIABLE, raising=False)
    assert patience() == 900
    monkeypatch.setenv(PATIENCE_VARIABLE, "30")
    assert patience() == 30

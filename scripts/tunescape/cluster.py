"""Waiting for Slurm without waiting for ever.

Snakemake's plugin for Slurm (2.8.0) asks for the states of its jobs from time to time. It forgets
all of them when Slurm does not answer, and waits for ever for a job that Slurm lost, preempted or,
asked by `sacct`, calls ``CANCELLED by 1000``. `sacct` tells it one state for all tasks of an array,
and of like jobs that are ready it submits none when it may not submit all. :func:`mend` puts this
right in the plugin as it is loaded.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from tunescape.errors import UserError

PATIENCE_VARIABLE = "TUNESCAPE_SLURM_PATIENCE"
PATIENCE_S = 900.0

States = dict[str, str]
Query = Callable[[str, logging.Logger], Awaitable[tuple[States | None, float | None]]]


def patience() -> float:
    """Seconds for which Slurm may be silent: of the environment, or a quarter of an hour.

    Raises:
        UserError: the environment names no positive number.
    """
    told = os.environ.get(PATIENCE_VARIABLE, str(PATIENCE_S))
    try:
        seconds = float(told)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise UserError(repr(told), where=PATIENCE_VARIABLE, expected="seconds, more than 0")
    return seconds


async def controller_answers(limit: float = 30) -> bool:
    """Whether `scontrol ping` finds the controller within ``limit`` seconds.

    `sacct` goes on telling what it last heard of the jobs of a controller that is gone.
    """
    quiet = asyncio.subprocess.DEVNULL
    ping = await asyncio.create_subprocess_exec("scontrol", "ping", stdout=quiet, stderr=quiet)
    try:
        return await asyncio.wait_for(ping.wait(), timeout=limit) == 0
    except TimeoutError:
        ping.kill()
        return False


class Watch:
    """What Slurm says of the jobs of one workflow, and when it last said so.

    Args:
        query: asks `squeue` or `sacct`; job -> state, or None when there is no answer.
        answers: tells whether the controller answers.
        patience: seconds for which an answer, or one job in it, may be missing.
        clock: the time in seconds.
    """

    def __init__(
        self,
        query: Query,
        answers: Callable[[], Awaitable[bool]],
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._query, self._answers = query, answers
        self._patience, self._clock = patience, clock
        self._silent_since: float | None = None
        self._states: States | None = None
        self._listed: dict[str, float] = {}

    async def query(self, command: str, logger: logging.Logger) -> tuple[States, float]:
        """Ask for the states of all jobs; without an answer each job is where it was.

        Raises:
            UserError: there is no answer for longer than the patience.
        """
        self._states, seconds = None, None
        if await self._answers():
            # The raw number of an array's task is not the number that the plugin knows it by.
            told = command.replace("JobIdRaw", "JobID")
            self._states, seconds = await self._query(told, logger)
        now = self._clock()
        if self._states is None:
            self._silent_since = now if self._silent_since is None else self._silent_since
            silent = now - self._silent_since
            if silent > self._patience:
                raise UserError(
                    f"no answer to `scontrol ping` or `{command.split()[0]}` for {silent:.0f} s",
                    where="Slurm",
                    fix="when it is back, cancel or await the jobs that `squeue --me` shows, and "
                    "start the same command again",
                )
            logger.warning("Slurm does not answer; asking again (for %.0f s so far).", silent)
            return {}, 0.0
        self._silent_since = None
        # `sacct` adds who cancelled a job.
        self._states = {job: state.split()[0] for job, state in self._states.items() if state}
        return self._states, seconds or 0.0

    def miss(self, jobs: Sequence[str]) -> None:
        """Note which of the jobs that should be in Slurm, if any, the last answer lists.

        Raises:
            UserError: one is missing for longer than the patience.
        """
        if not jobs:
            self._silent_since = None
        if self._states is None:
            self._listed = dict.fromkeys(jobs, self._clock())
            return
        now = self._clock()
        # Waiting tasks of an array are listed together, as 7_[2-9]. A preempted job that will run
        # again is soon listed as waiting.
        found = [job for job, state in self._states.items() if state != "PREEMPTED"]
        listed = {job.split("_")[0] for job in found}
        for job in jobs:
            if job.split("_")[0] in listed:
                self._listed[job] = now
        lost = [job for job in jobs if now - self._listed.setdefault(job, now) > self._patience]
        if lost:
            raise UserError(
                f"job {', '.join(lost)} is gone: no longer known, or preempted for good",
                where="Slurm",
                fix="start the same command again; where Slurm forgets finished jobs soon "
                "(MinJobAge), say --slurm-status-command sacct",
            )


def mend(plugin: Any) -> None:
    """Let the plugin, where it is loaded, keep to a :class:`Watch`.

    Args:
        plugin: the module ``snakemake_executor_plugin_slurm``, or None.

    Raises:
        UserError: the patience that the environment asks for is no number of seconds.
    """
    if plugin is None:
        return
    watch = Watch(plugin.query_job_status, controller_answers, patience())
    check = plugin.Executor.check_active_jobs

    async def check_active_jobs(executor: Any, jobs: list[Any]) -> AsyncIterator[Any]:
        try:
            active = [job async for job in check(executor, jobs)]
            watch.miss([job.external_jobid for job in active])
        except UserError as error:
            # The kind that Snakemake shows without a traceback, as it ends.
            raise plugin.WorkflowError(str(error)) from None
        # A steady pace: the plugin's growing pauses leave a finished job unseen for minutes.
        settings = executor.workflow.executor_settings
        executor.next_seconds_between_status_checks = settings.init_seconds_before_status_checks
        for job in active:
            yield job

    def none_to_wait_for(_dag: Any, _rule: str) -> int:
        return 0

    plugin.query_job_status = watch.query
    plugin.Executor.check_active_jobs = check_active_jobs
    plugin.pending_jobs_for_rule = none_to_wait_for

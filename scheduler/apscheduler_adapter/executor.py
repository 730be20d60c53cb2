"""A BaseExecutor that hands the claims of a pass to the engine."""

import functools
from datetime import datetime

from apscheduler.executors.base import BaseExecutor
from apscheduler.job import Job

from scheduler import logbook
from scheduler.apscheduler_adapter.events import run_event
from scheduler.engine import Submit
from scheduler.errors import ReachThroughError
from scheduler.store import Claim, Outcome


class RunExecutor(BaseExecutor):  # type: ignore[misc]  # APScheduler has no types
    """Submits claims to the engine, and tells APScheduler's listeners how their runs ended."""

    def __init__(self, submit: Submit) -> None:
        """Take what submits a claim, given what to call at the end of its run."""
        super().__init__()
        self._submit = submit

    def _do_submit_job(self, job: Job, run_times: list[datetime]) -> None:
        if len(job.args) != 1 or not isinstance(job.args[0], Claim):
            raise ReachThroughError(job.id, "another executor for other functions")
        self._submit(job.args[0], functools.partial(self._has_ended, job, run_times[-1]))

    def _has_ended(self, job: Job, run_time: datetime, outcome: Outcome) -> None:
        events = []
        try:
            events = [run_event(outcome, job, run_time)] if self._scheduler.has_listeners else []
        except BaseException as error:  # noqa: BLE001 (what is asked of an exception that is not ours may raise as well)
            logbook.event_not_sent(outcome.claim.task.id, outcome.claim.run_id, error)
        self._run_job_success(job.id, events)

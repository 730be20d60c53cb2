"""APScheduler's own events, for its listeners."""

from datetime import datetime

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    JobExecutionEvent,
    JobSubmissionEvent,
)
from apscheduler.job import Job

from scheduler._safe_text import frames_text
from scheduler.apscheduler_adapter.guarded import TASKS
from scheduler.models import RunStatus
from scheduler.store import NotStarted, Outcome
from scheduler.timing.clock import to_datetime


def run_event(outcome: Outcome, job: Job, run_time: datetime) -> JobExecutionEvent:
    """Return the event of a run that has ended."""
    alias = job._jobstore_alias  # noqa: SLF001 (APScheduler's own executors read it there)
    if outcome.status is RunStatus.SUCCEEDED:
        return JobExecutionEvent(EVENT_JOB_EXECUTED, job.id, alias, run_time, retval=outcome.short_response)
    error = RuntimeError(outcome.error) if outcome.exception is None else outcome.exception
    return JobExecutionEvent(EVENT_JOB_ERROR, job.id, alias, run_time, exception=error, traceback=frames_text(error))


def not_started_event(each: NotStarted) -> JobExecutionEvent | JobSubmissionEvent:
    """Return the event of due times that were skipped or missed."""
    if each.status is RunStatus.MISSED:
        return JobExecutionEvent(EVENT_JOB_MISSED, each.task_id, TASKS, to_datetime(each.scheduled_at))
    return JobSubmissionEvent(EVENT_JOB_MAX_INSTANCES, each.task_id, TASKS, [to_datetime(each.scheduled_at)])

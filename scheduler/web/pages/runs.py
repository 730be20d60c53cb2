"""Runs: the history with filters, and one run with its prompt, answer, attempts and questions."""

from datetime import timedelta
from typing import Any, Final

from scheduler import TaskScheduler
from scheduler.errors import RunNotFoundError, TaskNotFoundError
from scheduler.models import OPEN_STATUSES, Run, RunStatus
from scheduler.shapes import run_shape, took
from scheduler.web.answering import Asked, asked_of, quick_decisions
from scheduler.web.lookup import BAD_STATUSES, find_runs
from scheduler.web.visit import Page, Refused, Visit

PAGE: Final = 50
SINCE: Final = {"": "any time", "1": "the last hour", "24": "the last 24 hours", "168": "7 days", "720": "30 days"}
_BAD: Final = "went_wrong"
_OPEN: Final = "open"
_GROUPS: Final = {_BAD: BAD_STATUSES, _OPEN: tuple(sorted(OPEN_STATUSES))}
STATUSES: Final = (_BAD, _OPEN, *RunStatus)
"""What can be chosen: the statuses, and two groups of them."""


def runs(scheduler: TaskScheduler, visit: Visit) -> Page:
    """Return the history, newest first."""
    task_id, status, since, before, tag = (visit.given(name) for name in ("task", "status", "since", "before", "tag"))
    if status is not None and status not in STATUSES:
        raise Refused(400, f"There is no status of this name; give one of {', '.join(STATUSES)}.")
    if since is not None and since not in SINCE:
        raise Refused(400, "since is a number of hours: 1, 24, 168 or 720.")
    statuses = None if status is None else _GROUPS.get(status, (RunStatus(status),) if status in {*RunStatus} else ())
    earliest = None if since is None else visit.now - timedelta(hours=int(since))
    filters = {"task_id": task_id, "statuses": statuses, "since": earliest, "tag": tag}
    page = find_runs(scheduler, visit, PAGE, before=before, **filters)

    def shape() -> list[dict[str, Any]]:
        return [run_shape(run) for run in page.runs]

    values = {
        "found": page,
        "task_id": task_id,
        "status": status,
        "statuses": STATUSES,
        "since": since,
        "sinces": SINCE,
        "before": before,
        "tag": tag,
    }
    return Page("runs.html", "Runs", values, shape)


def run(scheduler: TaskScheduler, visit: Visit) -> Page:
    """Return one run."""
    return run_page(scheduler, visit, seen_run(scheduler, visit))


def run_page(scheduler: TaskScheduler, visit: Visit, found: Run, asked: list[Asked] | None = None) -> Page:
    """Return the page of a run; `asked` is its answer form as it was filled in, where that was wrong."""
    response, task, prompt = scheduler.get_response(found.id), None, found.prompt
    try:
        task = scheduler.task_view(found.task_id)
        prompt = prompt or (None if task.definition is None else task.definition.subject)
    except TaskNotFoundError:
        pass  # it was removed, and its history is kept

    def shape() -> dict[str, Any]:
        return {**run_shape(found), "response": response, "prompt": prompt}

    is_wrong = asked is not None
    asked = asked_of(found) if asked is None else asked
    values = {
        "run": found,
        "task": task,
        "prompt": prompt,
        "response": response,
        "quick": quick_decisions(found),
        "asked": asked if found.status is RunStatus.WAITING else [],
        "duration": took(found.started_at, found.finished_at or (visit.now if found.started_at else None)),
        "is_open": found.status in OPEN_STATUSES,
        "next_due": None if task is None else task.next_due,
    }
    title = f"{found.task_id}#{found.number}" if found.number else found.task_id
    return Page("run.html", title, values, shape, status=400 if is_wrong else 200)


def seen_run(scheduler: TaskScheduler, visit: Visit) -> Run:
    """Return the run that the address names, if the person sees its task. Raises `RunNotFoundError`."""
    reference = visit.required("id")
    # Before the look: an answer that tells several runs from none would tell of tasks that the person does not see.
    found = scheduler.find_run(reference) if visit.access.sees is None else scheduler.get_run(reference)
    if not visit.sees(found.task_id):
        raise RunNotFoundError(reference)
    return found

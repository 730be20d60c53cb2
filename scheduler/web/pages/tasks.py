"""Tasks: a list to search, and one task with its due times, outcomes and runs."""

import statistics
from collections.abc import Sequence
from typing import Any, Final

from scheduler import TaskScheduler
from scheduler.models import Run, RunStatus, TaskDefinition, given_fields
from scheduler.shapes import due_times, in_words, run_shape, shown_seconds, task_shape, took
from scheduler.views import TaskState
from scheduler.web.access import Action
from scheduler.web.lookup import BAD_STATUSES, STATES, find_tasks, runs_of
from scheduler.web.pages.today import words_of
from scheduler.web.visit import Page, Refused, Visit

PAGE: Final = 50
_STRIP: Final = 15
_DUE_TIMES: Final = 5
_LOOKED_AT: Final = 100
_SHOWN_RUNS: Final = 15
_SHOWN_STRIP: Final = 60
_SHOWN_ELSEWHERE: Final = frozenset({"id", "name", "prompt"})
_CODE: Final = frozenset({"graph", "input_builder", "result_callback"})
PAUSES: Final = {
    "": "until it is resumed",
    "1": "for an hour",
    "4": "for 4 hours",
    "24": "for a day",
    "168": "for a week",
}


def tasks(scheduler: TaskScheduler, visit: Visit) -> Page:
    """Return the list of tasks."""
    state, search, tag, after = (visit.given(name) for name in ("state", "search", "tag", "after"))
    if state is not None and state not in {*STATES}:
        raise Refused(400, f"There is no state of this name; the states are {', '.join(STATES)}.")
    page = find_tasks(scheduler, visit, PAGE, after=after, state=state, search=search, tag=tag)
    runs = runs_of(scheduler, page.tasks, _STRIP)

    def shape() -> list[dict[str, Any]]:
        return [task_shape(task, next(iter(runs[task.id]), None)) for task in page.tasks]

    values = {
        "found": page,
        "runs": runs,
        "words": words_of(page.tasks),
        "states": STATES,
        "state": state,
        "search": search,
        "tag": tag,
        "after": after,
    }
    return Page("tasks.html", "Tasks", values, shape)


def task(scheduler: TaskScheduler, visit: Visit) -> Page:
    """Return one task."""
    task_id = visit.require_task(visit.required("id"))
    view = scheduler.task_view(task_id)
    runs = scheduler.list_runs(task_id, limit=_LOOKED_AT)
    due = due_times(view, _DUE_TIMES)

    def shape() -> dict[str, Any]:
        newest = runs[0] if runs else None
        shown = [run_shape(run) for run in runs[:_SHOWN_RUNS]]
        return {**task_shape(view, newest), "due_times": [moment.isoformat() for moment in due], "runs": shown}

    definition = view.definition
    values = {
        "task": view,
        "words": None if definition is None else in_words(definition, view.timezone),
        "due": due,
        "runs": runs[:_SHOWN_RUNS],
        "has_more_runs": len(runs) > _SHOWN_RUNS,
        "strip_runs": runs[:_SHOWN_STRIP],
        "numbers": _numbers(runs),
        "fields": [] if definition is None else _fields(definition),
        "pauses": PAUSES,
        "can_pause": view.state in {TaskState.SCHEDULED, TaskState.RUNNING, TaskState.WAITING},
        "can_resume": view.state in {TaskState.PAUSED, TaskState.UNUSABLE},
    }
    return Page("task.html", view.name, values, shape)


def confirm_removal(scheduler: TaskScheduler, visit: Visit) -> Page:
    """Return the question whether a task shall be removed."""
    visit.require(Action.REMOVE)
    view = scheduler.task_view(visit.require_task(visit.required("id")))
    return Page("confirm.html", f"Remove {view.name}?", {"task": view})


def _numbers(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Return what the latest runs say together: how many succeeded, how long they took, what they used."""
    ended = [run for run in runs if run.status is RunStatus.SUCCEEDED or run.status in BAD_STATUSES]
    found: list[tuple[str, str]] = []
    if ended:
        good = sum(1 for run in ended if run.status is RunStatus.SUCCEEDED)
        found.append(("Succeeded", f"{good} of {len(ended)} ({round(100 * good / len(ended))} %)"))
    seconds = [each for run in ended if (each := took(run.started_at, run.finished_at)) is not None]
    if seconds:
        found.append(("Typical duration", shown_seconds(statistics.median(seconds))))
        found.append(("Longest", shown_seconds(max(seconds))))
    tokens = [run.usage.total_tokens for run in runs if run.usage is not None]
    if tokens:
        found.append(("Tokens", f"{sum(tokens):,} in {len(tokens)} runs"))
    return found


def _fields(definition: TaskDefinition) -> list[tuple[str, Any, bool]]:
    """Return the fields that are given, each with whether it names code."""
    fields = given_fields(definition, mode="json")
    return [(name, value, name in _CODE) for name, value in fields.items() if name not in _SHOWN_ELSEWHERE]

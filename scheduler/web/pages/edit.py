"""Adding and changing tasks: the form, its preview, and what to do when somebody else was faster."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from scheduler import TaskDefinition, TaskScheduler, next_due_times
from scheduler.errors import TaskChangedError, TaskNotFoundError
from scheduler.models import given_fields
from scheduler.schedule_texts import schedule_fields
from scheduler.shapes import in_words
from scheduler.timing.schedule import DueTime
from scheduler.views import TaskView
from scheduler.web.access import Action
from scheduler.web.links import link
from scheduler.web.lookup import next_tasks
from scheduler.web.task_form import (
    TaskForm,
    definition_from,
    empty_form,
    form_of_task,
    mark_of,
    sent_form,
    with_refusal,
)
from scheduler.web.times import zone_names
from scheduler.web.visit import Answer, Page, Redirect, Refused, Visit

_DUE_TIMES: Final = 5
_LOOKED_AT: Final = 500
"""So many tasks are looked at for others that are due at the same time."""
_SAME_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Preview:
    """What a schedule means."""

    words: str
    zone: str
    due: list[DueTime]
    others: list[str]
    """The names of tasks that are due next at its first due time."""


def new_task(scheduler: TaskScheduler, visit: Visit) -> Page:  # noqa: ARG001 (like every page)
    """Return the form of a new task."""
    visit.require(Action.EDIT)
    return _page(visit, None, empty_form(visit.zone.key))


def edit_task(scheduler: TaskScheduler, visit: Visit) -> Page:
    """Return the form of a task."""
    visit.require(Action.EDIT)
    view, task = _stored(scheduler, visit)
    return _page(visit, view, form_of_task(task, view.timezone), _preview(scheduler, visit, task, view))


def preview(scheduler: TaskScheduler, visit: Visit) -> Page:
    """Return what a schedule means, for a script that puts it beside the form."""
    visit.require(Action.EDIT)
    text, zone = visit.query.get("schedule", "").strip(), visit.given("timezone")
    found, problem = None, None
    if text:
        try:
            task = _anonymous(schedule_fields(text, zone))
            found = _preview(scheduler, visit, task, None)
        except ValueError as error:
            problem = _sentence(error)

    def shape() -> dict[str, Any]:
        due = (
            []
            if found is None
            else [{"at": each.at.isoformat(), "runs": each.runs, "notes": each.notes} for each in found.due]
        )
        return {"schedule": None if found is None else found.words, "problem": problem, "explained": due}

    return Page("preview.html", "Preview", {"preview": found, "problem": problem}, shape)


def save_new_task(scheduler: TaskScheduler, visit: Visit) -> tuple[Answer, str | None]:
    """Add the task of a form; return what is shown, and the id of the task if it was added."""
    form = sent_form(visit.form)
    fields, form = definition_from(form, None, None)
    if form.problems or visit.form.get("step") == "preview":
        return _page(visit, None, form, _previewed(scheduler, visit, form, None, fields)), None
    if not visit.sees(fields["id"]):
        return _page(visit, None, form.with_problem("id", "Your access does not include a task of this id.")), None
    try:
        task = TaskDefinition(**fields)
        with scheduler.transaction() as store:
            try:
                store.view_task(task.id)
            except TaskNotFoundError:
                store.add_task(task)
            else:
                return _page(visit, None, form.with_problem("id", f"A task has the id {task.id} already.")), None
    except ValueError as error:
        return _page(visit, None, with_refusal(form, error)), None
    return Redirect(link("./task", id=task.id, done=Action.EDIT)), task.id


def save_task(scheduler: TaskScheduler, visit: Visit) -> tuple[Answer, str | None]:
    """Change a task by its form; return what is shown, and the id of the task if it was changed."""
    view, task = _stored(scheduler, visit)
    form = sent_form(visit.form)
    if form.expected != mark_of(task):
        return _changed_meanwhile(visit, view, task, form), None
    fields, form = definition_from(form, task, view.timezone)
    if view.source is not None and visit.form.get("confirmed") != "yes":
        form = form.with_problem("confirmed", "Confirm that you want to change it here.")
    if form.problems or visit.form.get("step") == "preview":
        return _page(visit, view, form, _previewed(scheduler, visit, form, task, fields)), None
    changes = {name: value for name, value in fields.items() if _plain(value) != _plain(getattr(task, name))}
    try:
        # In a transaction: this checks no code that the task names, which cannot be changed here.
        with scheduler.transaction() as store:
            store.update_task(task.id, changes, task)
    except TaskChangedError:
        view, task = _stored(scheduler, visit)
        return _changed_meanwhile(visit, view, task, form), None
    except ValueError as error:
        return _page(visit, view, with_refusal(form, error)), None
    return Redirect(link("./task", id=task.id, done=Action.EDIT)), task.id


def _stored(scheduler: TaskScheduler, visit: Visit) -> tuple[TaskView, TaskDefinition]:
    view = scheduler.task_view(visit.require_task(visit.required("id")))
    if view.definition is None:
        raise Refused(409, f"The stored definition cannot be used, and so not be edited here: {view.problem}")
    return view, view.definition


def _plain(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _changed_meanwhile(visit: Visit, view: TaskView, task: TaskDefinition, form: TaskForm) -> Page:
    """Return the form with what was typed beside what somebody else has stored; it can be sent again."""
    stored = form_of_task(task, view.timezone).values
    theirs = {name: value for name, value in stored.items() if value != form.values[name] and name != "id"}
    kept = TaskForm(form.values, form.problems, expected=mark_of(task))
    return _page(visit, view, kept, None, theirs, status=409)


def _page(  # noqa: PLR0913, PLR0917 (what it shows)
    visit: Visit,
    view: TaskView | None,
    form: TaskForm,
    found: Preview | None = None,
    theirs: Mapping[str, str] | None = None,
    status: int | None = None,
) -> Page:
    fixed = [] if view is None or view.definition is None else _fixed(view.definition)
    values = {
        "task": view,
        "form": form,
        "preview": found,
        "theirs": theirs,
        "zones": zone_names(),
        "fixed": fixed,
        "read_zone": visit.zone.key,
    }
    title = "New task" if view is None else f"Edit {view.name}"
    return Page("edit.html", title, values, status=status or (400 if form.problems else 200))


def _fixed(task: TaskDefinition) -> list[tuple[str, Any]]:
    """Return the fields that are given and are not in the form."""
    shown = {"id", "name", "prompt", "tags", "overlap", "timezone", "task_type", "enabled"}
    shown |= {"cron_expression", "interval_seconds", "run_at", "rrule", "timeout_seconds", "max_attempts", "max_runs"}
    shown |= {"misfire_grace_seconds", "pause_after_failures", "jitter_seconds"}
    return [(name, value) for name, value in given_fields(task, mode="json").items() if name not in shown]


def _previewed(
    scheduler: TaskScheduler, visit: Visit, form: TaskForm, task: TaskDefinition | None, fields: dict[str, Any]
) -> Preview | None:
    """Return the preview of a form, if its fields make a definition."""
    if "schedule" in form.problems:
        return None
    known = {} if task is None else {name: getattr(task, name) for name in task.model_fields_set}
    try:
        return _preview(scheduler, visit, TaskDefinition.model_validate({**known, **fields}), None)
    except ValueError:
        return None


def _preview(scheduler: TaskScheduler, visit: Visit, task: TaskDefinition, view: TaskView | None) -> Preview:
    zone = task.timezone or (None if view is None else view.timezone) or "UTC"
    placed = task.model_copy(update={"timezone": zone})
    due = next_due_times(placed, _DUE_TIMES, visit.now, explain=True)
    first = next((each.at for each in due if each.runs), None)
    others = [] if first is None else _due_then(scheduler, visit, first, task.id)
    return Preview(in_words(task, zone), zone, due, others)


def _due_then(scheduler: TaskScheduler, visit: Visit, moment: datetime, own: str) -> list[str]:
    """Return the names of other tasks that are due next within the same minute."""
    tasks = next_tasks(scheduler, visit, _LOOKED_AT)
    return [
        task.name
        for task in tasks
        if task.next_due is not None
        and task.id != own
        and abs((task.next_due - moment).total_seconds()) < _SAME_SECONDS
    ]


def _anonymous(fields: dict[str, Any]) -> TaskDefinition:
    given = {name: value for name, value in fields.items() if value is not None}
    return TaskDefinition(id="preview", name="preview", prompt="preview", **given)


def _sentence(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            str(line.get("ctx", {}).get("problem", line["msg"])) for line in error.errors(include_url=False)
        )
    return str(error)

"""The form of a task: what its fields hold, what they mean, and what is wrong with them."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import ValidationError

from scheduler._definition_errors import problems_in
from scheduler.errors import InvalidTaskError
from scheduler.models import OverlapPolicy, TaskDefinition, TaskType, given_fields, stored_text
from scheduler.schedule_texts import schedule_fields
from scheduler.shapes import in_words
from scheduler.web.fields import typed_in

_NO_SCHEDULE: Final[dict[str, Any]] = {
    "cron_expression": None,
    "interval_seconds": None,
    "run_at": None,
    "rrule": None,
    "exdates": (),
}
_SCHEDULE: Final = frozenset({*_NO_SCHEDULE, "task_type", "schedule"})
_NUMBERS: Final = {
    "timeout_seconds": ("Time-out of an attempt", "seconds"),
    "max_attempts": ("Attempts of a run", ""),
    "misfire_grace_seconds": ("Latest start after the due time", "seconds"),
    "pause_after_failures": ("Pause after so many failures in a row", ""),
    "max_runs": ("Finish after so many runs", ""),
    "jitter_seconds": ("Delay due times by up to", "seconds"),
}
"""Fields that are numbers: what they are called, and their unit."""
NAMES: Final = ("id", "name", "prompt", "schedule", "timezone", "tags", "overlap", *_NUMBERS)
_NOT_IN_IDS: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class TaskForm:
    """What is in the fields, as text, and what is wrong with it."""

    values: Mapping[str, str]
    problems: Mapping[str, str] = field(default_factory=dict)
    """Sentences by the names of fields; "" has what is about no single one."""
    expected: str = ""
    """The mark of the definition that was shown; empty for a new task."""

    numbers: Mapping[str, tuple[str, str]] = field(default_factory=lambda: _NUMBERS)
    overlaps: tuple[str, ...] = tuple(OverlapPolicy)

    def with_problem(self, name: str, sentence: str) -> "TaskForm":
        """Return the form with one more problem."""
        return replace(self, problems={**self.problems, name: sentence})


def mark_of(task: TaskDefinition) -> str:
    """Return what tells a definition from others."""
    return hashlib.sha256(stored_text(task).encode(errors="surrogatepass")).hexdigest()[:32]


def form_of_task(task: TaskDefinition, zone: str | None) -> TaskForm:
    """Return the form of a task as it is; `zone` is the one in force for it."""
    fields = given_fields(task, mode="json")
    values = {name: "" if fields.get(name) is None else str(fields[name]) for name in NAMES}
    values |= {name: _shown_number(getattr(task, name)) for name in _NUMBERS}
    values |= {"name": task.name, "schedule": _schedule_text(task, zone), "timezone": zone or ""}
    values |= {"tags": ", ".join(task.tags), "overlap": str(task.overlap), "prompt": task.prompt or ""}
    return TaskForm(values, expected=mark_of(task))


def empty_form(zone: str) -> TaskForm:
    """Return the form of a new task."""
    return TaskForm(
        {**dict.fromkeys(NAMES, ""), "timezone": zone, "overlap": str(OverlapPolicy.SKIP), "max_attempts": "1"}
    )


def sent_form(sent: Mapping[str, str]) -> TaskForm:
    """Return the form as it was filled in."""
    values = {name: typed_in(sent, name) for name in NAMES}
    return TaskForm(values, expected=sent.get("expected", ""))


def _shown_number(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if value < 1e6 else str(value)  # noqa: PLR2004 (g would round it)


def _schedule_text(task: TaskDefinition, zone: str | None) -> str:
    """Return a schedule as people type it: in words if these mean exactly it, else as it is; or nothing."""
    own = task.cron_expression or task.rrule
    try:
        words = in_words(task.model_copy(update={"calendar": None}), zone).removesuffix(f" ({zone})")
        if _meaning(words, zone) == _schedule_of(task):
            return words
    except ValueError:
        pass
    return own or ""


def _meaning(text: str, zone: str | None) -> dict[str, Any]:
    return {key: value for key, value in schedule_fields(text, zone).items() if key != "timezone" and value is not None}


def _schedule_of(task: TaskDefinition) -> dict[str, Any]:
    fields = {name: getattr(task, name) for name in ("cron_expression", "interval_seconds", "run_at", "rrule")}
    return {"task_type": task.task_type, **{key: value for key, value in fields.items() if value is not None}}


def definition_from(form: TaskForm, task: TaskDefinition | None, zone: str | None) -> tuple[dict[str, Any], TaskForm]:
    """Return the fields that the form gives, of a new task or of one that is there; and the form with its problems.

    A schedule that was left as it was shown stays, also where its text says less than the stored one.
    """
    fields: dict[str, Any] = {"prompt": form.values["prompt"] if form.values["prompt"].strip() else None}
    fields |= {"tags": form.values["tags"].replace(",", " ").split(), "overlap": form.values["overlap"]}
    if task is None:
        fields["id"] = form.values["id"].strip() or _id_from(form.values["name"])
    fields["name"] = form.values["name"].strip() or (fields["id"] if task is None else task.name)
    for name in _NUMBERS:
        fields[name], form = _number_in(form, name)
    when, form = _schedule_in(form, task, zone)
    fields |= when
    if form.problems:
        return fields, form
    try:
        known = {} if task is None else {name: getattr(task, name) for name in task.model_fields_set}
        TaskDefinition.model_validate({**known, **fields})
    except ValidationError as error:
        form = with_refusal(form, error)
    return fields, form


def with_refusal(form: TaskForm, error: Exception) -> TaskForm:
    """Return the form with what was refused, beside the fields that it is about."""
    if isinstance(error, ValidationError):
        lines = zip(error.errors(include_url=False), problems_in(error), strict=True)
        for line, problem in lines:
            form = form.with_problem(_field_of(line["loc"][0] if line["loc"] else ""), problem)
        return form
    if isinstance(error, InvalidTaskError):
        hint = "" if error.hint is None else f"; {error.hint}"
        return form.with_problem(_field_of(error.field or ""), f"{error.problem}{hint}")
    return form.with_problem("", str(error))


def _field_of(name: object) -> str:
    if name in _SCHEDULE:
        return "schedule"
    return str(name) if name in NAMES else ""


def _id_from(name: str) -> str:
    return _NOT_IN_IDS.sub("-", name.lower()).strip("-")[:60]


def _number_in(form: TaskForm, name: str) -> tuple[float | None, TaskForm]:
    text = form.values[name].strip()
    default = TaskDefinition.model_fields[name].default
    if not text:
        return default, form
    try:
        number = float(text)
        return (int(number) if number.is_integer() else number), form
    except (ValueError, OverflowError):
        return default, form.with_problem(name, "Give a number.")


def _schedule_in(form: TaskForm, task: TaskDefinition | None, zone: str | None) -> tuple[dict[str, Any], TaskForm]:
    text, chosen = form.values["schedule"].strip(), form.values["timezone"].strip() or None
    if task is not None:
        shown = form_of_task(task, zone).values
        if text == shown["schedule"].strip():
            is_other_zone = chosen != (zone or None) and task.task_type in {TaskType.CRON, TaskType.RRULE}
            return ({"timezone": chosen} if is_other_zone else {}), form
    if not text:
        return {}, form.with_problem("schedule", "Give a schedule, such as: every weekday at 9am.")
    try:
        given = {key: value for key, value in schedule_fields(text, chosen).items() if value is not None}
    except ValueError as error:
        return {}, form.with_problem("schedule", str(error))
    return ({**given} if task is None else {**_NO_SCHEDULE, **given}), form

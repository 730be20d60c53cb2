"""`--calendar`: a calendar as JSON, or the name of one that a task of the store has."""

from scheduler import Calendar, TaskDefinition, TaskScheduler
from scheduler.cli.errors import CommandError, ExitCode
from scheduler.cli.metadata_options import json_object
from scheduler.models import calendar_of


def calendar_value(text: str) -> object:
    """Return what the field `calendar` is given: the fields of a calendar, or a name."""
    return json_object("--calendar", text) if text.lstrip().startswith("{") else text


def with_stored_calendar(scheduler: TaskScheduler, task: TaskDefinition) -> TaskDefinition:
    """Return a definition with the calendar of the store in place of its name. Raises `CommandError`."""
    calendar = calendar_of(task)
    if calendar is None or not calendar.is_only_a_name:
        return task
    return task.model_copy(update={"calendar": stored_calendar(scheduler, str(calendar.name))})


def stored_calendar(scheduler: TaskScheduler, name: str) -> Calendar:
    """Return the calendar of this name that a task of the store has. Raises `CommandError`."""
    known: dict[str, Calendar] = {}
    for entry in scheduler.list_tasks():
        stored = None if entry["definition"] is None else calendar_of(entry["definition"])
        if stored is not None and stored.name is not None:
            known[stored.name] = stored
    if name not in known:
        names = ", ".join(sorted(known)) or "none"
        hint = """give the calendar itself, such as '{"closed": ["sat", "sun"]}'"""
        message = f"no task of this store has a calendar named {name!r} (there are: {names}); {hint}"
        raise CommandError(message, ExitCode.USAGE)
    return known[name]

"""The arguments of public calls: what cannot be meant is refused here, before a database or a library meets it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from scheduler._field_types import is_tag
from scheduler._limits import ID_LIMIT, TAG_LIMIT, TEXT_LIMIT
from scheduler._texts import is_unicode, shown
from scheduler.calendars import Calendar, named_calendar
from scheduler.errors import InvalidTaskError, RunNotFoundError, TaskNotFoundError
from scheduler.models import TaskDefinition, is_reserved
from scheduler.timing.clock import to_micros

E = TypeVar("E", bound=StrEnum)

_SHORTEST, _LONGEST = 0.001, 1e9
_LARGEST: Final = 2**63 - 1
"""The largest whole number: databases have no larger ones."""
_SOURCE_LIMIT: Final = 4096
"""As long as the path of a file can be."""
_NOTE_LIMIT: Final = 2_000
_SHORT_RESPONSE: Final = 2_000
_MOST_BACKFILLED: Final = 10_000
_CONTROL: Final = frozenset(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))


# --- Ids ---


def can_be_id(value: object) -> bool:
    """Return whether something can be the id of a task or a run."""
    return (
        isinstance(value, str) and 0 < len(value) <= ID_LIMIT and is_unicode(value) and not _CONTROL.intersection(value)
    )


def check_task_id(task_id: object) -> None:
    """Raise `ValueError` for what is no text, and `TaskNotFoundError` for a text that is the id of no task."""
    if not can_be_id(_text("task_id", task_id, "list_tasks()")):
        raise TaskNotFoundError(str(task_id))


def check_run_id(run_id: object) -> None:
    """Raise `ValueError` for what is no text, and `RunNotFoundError` for a text that is the id of no run."""
    if not can_be_id(_text("run_id", run_id, "list_runs()")):
        raise RunNotFoundError(str(run_id))


def check_thread_id(thread_id: object) -> None:
    """Raise `ValueError` for what can be the id of no thread."""
    if not _text("thread_id", thread_id, "Run.thread_id"):
        raise ValueError(f"thread_id={shown(thread_id)}: no thread has this id; give one as Run.thread_id shows it")


def check_task_filter(task_id: object) -> None:
    """Raise `ValueError` for what can be the id of no task; None means all tasks."""
    if task_id is not None and not can_be_id(_text("task_id", task_id, "list_tasks()")):
        hint = "give an id as list_tasks() shows it, or None for all tasks"
        raise ValueError(f"task_id={shown(task_id)}: no task can have this id; {hint}")


def _text(name: str, value: object, shown_by: str) -> str:
    if not isinstance(value, str):
        hint = f"give a text, as {shown_by} shows it"
        raise ValueError(f"{name}={shown(value)} is a {type(value).__name__}; {hint}")  # noqa: TRY004 (like every other refusal)
    return value


# --- Tasks ---


def check_definitions(definitions: Iterable[object]) -> None:
    """Raise `TypeError` for what is no definition, `InvalidTaskError` for an id that is there twice."""
    seen: set[str] = set()
    for task in definitions:
        if not isinstance(task, TaskDefinition):
            raise TypeError(f"{shown(task)} is a {type(task).__name__}, not a TaskDefinition")
        if task.id in seen:
            problem = f"id={task.id!r} is there twice among the tasks"
            raise InvalidTaskError(task.id, problem, "give each its own", field="id", value=task.id)
        seen.add(task.id)


def check_source(source: object) -> None:
    """Raise `ValueError` for what can be no name of a source of tasks."""
    if not isinstance(source, str) or not source.strip() or len(source) > _SOURCE_LIMIT:
        hint = (
            f"give a text that names what brings the tasks, such as 'tasks.toml', of at most {_SOURCE_LIMIT} characters"
        )
        raise ValueError(f"source={shown(source)}; {hint}")


def check_tag(tag: object) -> str:
    """Return a tag. Raises `ValueError` for what no task can have as one."""
    if not isinstance(tag, str) or not is_tag(tag):
        hint = (
            f"give a text of letters, digits and . : / @ + - _, such as 'team:sales', of at most {TAG_LIMIT} characters"
        )
        raise ValueError(f"tag={shown(tag)} is no tag; {hint}")
    return tag


def check_search(text: object) -> str:
    """Return a text that is looked for in others. Raises `ValueError`."""
    if not isinstance(text, str) or not 0 < len(text) <= _NOTE_LIMIT or not is_unicode(text) or "\0" in text:
        raise ValueError(f"search={shown(text)}; give a text of 1 to {_NOTE_LIMIT} characters")
    return text


def check_page_end(after: object) -> str:
    """Return the last id of a page. Raises `ValueError`."""
    if not can_be_id(after):
        raise ValueError(f"after={shown(after)} is no id; give the last id of the page before, or None")
    return str(after)


def check_configurable(given: object) -> dict[str, Any]:
    """Return what is configurable in all runs. Raises `ValueError`."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(f"configurable={shown(given)}; give a dict")  # noqa: TRY004 (like every other refusal)
    for name in given:
        if not isinstance(name, str) or is_reserved(name):
            raise ValueError(f"configurable has {shown(name)}, which the scheduler sets; leave it out")
    return dict(given)


# --- Times, numbers, choices ---


def micros_of(**arguments: datetime) -> int:
    """Return an aware datetime as microseconds since 1970. Raises `ValueError`."""
    ((name, moment),) = arguments.items()
    hint = "give an aware datetime, such as datetime.now(UTC)"
    if not isinstance(moment, datetime):
        raise ValueError(f"{name}={shown(moment)} is no datetime; {hint}")  # noqa: TRY004 (like every other refusal)
    if moment.utcoffset() is None:
        raise ValueError(f"{name}={moment.isoformat()} has no time zone; {hint}")
    return to_micros(moment)


def check_future(now: int, **arguments: datetime) -> int:
    """Return an aware datetime that is still to come as microseconds since 1970. Raises `ValueError`."""
    micros = micros_of(**arguments)
    if micros <= now:
        ((name, moment),) = arguments.items()
        raise ValueError(f"{name}={moment.isoformat()} has passed; give an instant in the future")
    return micros


def check_past_range(first: int, last: int, now: int, start: datetime, end: datetime) -> None:
    """Raise `ValueError` unless a range of instants lies in the past and its end is not before its start."""
    if last < first:
        raise ValueError(f"end={end.isoformat()} is before start={start.isoformat()}; give an end that is not")
    if last > now:
        raise ValueError(f"end={end.isoformat()} is in the future; the schedule sees to what is due then")


def check_backfill(limit: int, max_concurrent: int) -> None:
    """Raise `ValueError` for more runs than one call may queue, or let run at once."""
    for name, value in (("limit", limit), ("max_concurrent", max_concurrent)):
        if value > _MOST_BACKFILLED:
            raise ValueError(f"{name}={value}; give at most {_MOST_BACKFILLED}")


def check_note(**arguments: object) -> None:
    """Raise `ValueError` for what is no text, is blank, or is too long for a note that people read."""
    for name, value in arguments.items():
        if not isinstance(value, str) or not value.strip() or len(value) > _NOTE_LIMIT:
            raise ValueError(
                f"{name}={shown(value)}; give a text that is not blank, of at most {_NOTE_LIMIT} characters"
            )


def check_zone(timezone: object) -> None:
    """Raise `ValueError` unless there is a time zone of this name."""
    try:
        ZoneInfo(timezone)  # type: ignore[arg-type]  # what is no text is refused below
    except (ValueError, OSError, LookupError, TypeError, AttributeError):
        message = f"timezone={shown(timezone)}: no time zone has this name; give one such as 'Europe/Berlin'"
        raise ValueError(message) from None


def check_whole(*, least: int = 1, **arguments: object) -> None:
    """Raise `ValueError` for what is no whole number, or one that is too small, or too large for a database."""
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST:
            raise ValueError(f"{name}={shown(value)}; give a whole number, {least} or more, of at most {_LARGEST}")


def check_response_limit(response_limit: object) -> None:
    """Raise `ValueError` for what is no number of characters of a response."""
    check_whole(least=_SHORT_RESPONSE, response_limit=response_limit)
    if isinstance(response_limit, int) and response_limit > TEXT_LIMIT:
        raise ValueError(f"response_limit={response_limit}; give a number of characters of at most {TEXT_LIMIT:,}")


def check_seconds(*, least: float = _SHORTEST, **arguments: object) -> None:
    """Raise `ValueError` for what is no number of seconds, or one that is too small or too large."""
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= _LONGEST:
            raise ValueError(f"{name}={shown(value)}; give a number from {least:g} to {_LONGEST:g}")


def choice(kind: type[E], **arguments: Any) -> E:  # noqa: ANN401 (whatever a caller gives)
    """Return the member of an enum that an argument names. Raises `ValueError`."""
    ((name, value),) = arguments.items()
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(repr(str(member)) for member in kind)
        raise ValueError(f"{name}={shown(value)}; give one of {known}") from None


def check_calendars(calendars: Mapping[str, Calendar] | None) -> dict[str, Calendar]:
    """Return calendars, each under its name. Raises `ValueError`."""
    return {name: named_calendar(name, calendar) for name, calendar in (calendars or {}).items()}

"""Tasks as a file: TOML text -> definitions and back, and noticing that the file was edited."""

import errno
import json
import os
import re
import select
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from scheduler import _toml, _watching
from scheduler._arguments import check_source
from scheduler._definition_errors import id_of, no_field
from scheduler._texts import escaped, shown
from scheduler.calendars import Calendar, named_calendar
from scheduler.errors import InvalidTaskError, TasksFileError
from scheduler.models import SCHEDULE_FIELDS, TaskDefinition, TaskType, calendar_of, given_fields
from scheduler.phrases import is_relative, parse_schedule
from scheduler.redaction import beginning

TABLE: Final = "task"
"""Each task is a table of this name."""
DEFAULTS: Final = "defaults"
"""The table of what all tasks of the file have that do not say otherwise."""
CALENDARS: Final = "calendars"
"""Each calendar that the tasks of the file may name is a table in this one."""
SOURCE: Final = "source"
"""The key, at the top of a file, under which its tasks are remembered wherever it lies."""
_SCHEDULE: Final = "schedule"
_SAID_BY_WORDS: Final = ("task_type", "cron_expression", "interval_seconds", "run_at", "rrule")
_RULES: Final = ("FREQ=", "RRULE:")
"""How a recurrence rule begins."""
_JSON_FIELDS: Final = ("metadata", "context", "input", "configurable")
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST: Final = 16 * 1024 * 1024
"""A larger file is refused, in bytes: reading so much takes seconds."""
_DEEPEST: Final = 100
"""Values that are nested deeper are refused in a definition, too."""
_PIPE_SECONDS: Final = 5.0
"""How long the writer of a pipe is waited for."""


# --- Reading ---


def load_tasks(path: str | os.PathLike[str]) -> list[TaskDefinition]:
    """Return the tasks that a file holds: one `[[task]]` table each, in TOML.

    A table has the fields of `TaskDefinition`, or `schedule` with words in place of `task_type` and what belongs to
    it: `schedule = "every day at 9am"`, read as `parse_schedule` does, in the `timezone` of the table. Without `name`
    the id is the name, and without `task_type` the field of the schedule says it. Words that are
    relative to now are refused; an instant that has passed is none of this function's business (`apply_tasks` leaves
    such a task out). An empty file is refused, since it may be one that is being written; `task = []` is no task.

    Raises `TasksFileError`, a `ValueError` that names the file, the line and the task, for the first thing that is
    wrong, and says how many more there are.
    """
    file = Path(path)
    try:
        return _load(file)
    except TasksFileError:
        raise
    except Exception as error:  # what nobody foresaw is an error of the file, too: who reads has one thing to catch
        raise TasksFileError(str(file), None, f"it cannot be read ({type(error).__name__}: {error})") from error


def _load(file: Path) -> list[TaskDefinition]:
    text = _read(file)
    places = _Places(text)
    problems: list[tuple[int, str]] = []
    tasks: dict[str, tuple[TaskDefinition, int]] = {}
    tables, calendars, defaults = _contents(file, text)
    for number, table in enumerate(tables):
        try:
            task = _task({**defaults, **table}, calendars)
        except _WrongField as wrong:
            for name, problem in wrong.problems:
                is_default = name in defaults and name not in table
                problems.append(
                    (places.line_of_key(DEFAULTS, name) if is_default else places.line(number, name), problem)
                )
            continue
        if task.id in tasks:
            earlier = f"id={task.id!r} stands in line {places.line(tasks[task.id][1], 'id')} already"
            problems.append((places.line(number, "id"), f"Task {task.id}: {earlier}; give each task its own"))
        tasks.setdefault(task.id, (task, number))
    if problems:
        line, problem = min(problems)
        raise TasksFileError(str(file), line, problem, len(problems) - 1)
    return [task for task, _ in tasks.values()]


def source_of(path: str | os.PathLike[str]) -> str:
    """Return the name under which a store remembers what a file brings, for `apply_tasks(source=…)`.

    It is the text under the key `source` at the top of the file, which stays when the file is moved; without the key it
    is the file's absolute path. Raises `TasksFileError` for a file that cannot be read.
    """
    file = Path(path)
    text = _read(file)
    return _name_in(file, text, _parsed_toml(file, text)) or str(file.absolute())


def located(path: str | os.PathLike[str], error: InvalidTaskError) -> TasksFileError:
    """Return an error that `apply_tasks` raised for a task of a file, with the file and the line."""
    file = Path(path)
    line = None
    with suppress(TasksFileError):  # it may have been edited since
        text = _read(file)
        ids = [table.get("id") for table in _contents(file, text)[0]]
        if error.task_id in ids:
            line = _Places(text).line(ids.index(error.task_id), error.field or "")
    return TasksFileError(str(file), line, str(error), task_id=error.task_id)


def _read(file: Path) -> str:
    try:
        text = _content(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is not UTF-8 text; save the file in UTF-8"
        raise TasksFileError(str(file), None, problem) from error
    except (OSError, ValueError) as error:  # the second is what a NUL in a path raises
        reason = getattr(error, "strerror", None) or error
        raise TasksFileError(str(file), None, f"it cannot be read ({reason}); give a file of tasks") from error
    if not text.strip():
        raise TasksFileError(str(file), None, f"it is empty; write {TABLE} = [] if there is no task")
    return text.replace("\r\n", "\n")


def _content(file: Path) -> bytes:
    """Return the bytes of a file. What is no file, such as a pipe that nobody writes to, is never waited for long."""
    content = bytearray()
    end = time.monotonic() + _PIPE_SECONDS
    with FileIO(file, opener=_open_without_waiting) as stream:
        while (some := _next_bytes(stream, end)) and len(content) <= _LARGEST:
            content += some
    if len(content) > _LARGEST:
        raise OSError(errno.EFBIG, f"it is larger than {_LARGEST // 1024**2} MiB")
    return bytes(content)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has no such flag, and no named pipes as files


def _next_bytes(stream: FileIO, end: float) -> bytes:
    while (some := stream.read(1024 * 1024)) is None:  # a pipe whose writer is not done
        if not select.select([stream], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError(errno.ETIMEDOUT, f"its writer was not done after {_PIPE_SECONDS:g} s")
    return some


def _contents(file: Path, text: str) -> tuple[list[dict[str, Any]], dict[str, Calendar], dict[str, Any]]:
    """Return the tables of tasks, the calendars that they may name, and the fields that they have by default."""
    document = _parsed_toml(file, text)
    tables = document.pop(TABLE, [])
    calendars = _calendars(file, text, document.pop(CALENDARS, {}))
    defaults = _defaults(file, text, document.pop(DEFAULTS, {}))
    _name_in(file, text, document)
    document.pop(SOURCE, None)
    for key in document:
        problem = f"{beginning(escaped(key), 80)} is unknown here; each task is a table [[{TABLE}]]"
        raise TasksFileError(str(file), _Places(text).line_of_key(key), problem)
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problem = f"{TABLE} is no array of tables; begin each task with [[{TABLE}]]"
        raise TasksFileError(str(file), _Places(text).line_of_key(TABLE), problem)
    return tables, calendars, defaults


def _defaults(file: Path, text: str, fields: object) -> dict[str, Any]:
    """Return the fields of tasks that do not say otherwise; each has its own id and schedule."""
    if not isinstance(fields, dict):
        problem = f"{DEFAULTS} is no table; begin it with [{DEFAULTS}]"
        raise TasksFileError(str(file), _Places(text).line_of_key(DEFAULTS), problem)
    own = [name for name in ("id", "name", _SCHEDULE, *_SAID_BY_WORDS) if name in fields]
    wrong = [(name, f"{DEFAULTS}: {name} is each task's own; write it in the tasks") for name in own]
    for name, problem in (_unknown(fields, DEFAULTS) + wrong)[:1]:
        raise TasksFileError(str(file), _Places(text).line_of_key(DEFAULTS, name), problem)
    return fields


def _calendars(file: Path, text: str, tables: object) -> dict[str, Calendar]:
    if not isinstance(tables, dict):
        problem = f"{CALENDARS} is no table; begin each calendar with [{CALENDARS}.NAME]"
        raise TasksFileError(str(file), _Places(text).line_of_key(CALENDARS), problem)
    found: dict[str, Calendar] = {}
    for name, fields in tables.items():
        try:
            found[name] = named_calendar(name, fields)
        except ValueError as error:
            raise TasksFileError(str(file), _Places(text).line_of_key(CALENDARS, name), str(error)) from None
    return found


def _name_in(file: Path, text: str, document: dict[str, Any]) -> str | None:
    """Return the source that a file names, or None. Raises `TasksFileError` for what can be no name."""
    name = document.get(SOURCE)
    if name is None:
        return None
    try:
        check_source(name)
    except ValueError as error:
        raise TasksFileError(str(file), _Places(text).line_of_key(SOURCE), str(error)) from error
    return str(name)


def _parsed_toml(file: Path, text: str) -> dict[str, Any]:
    line = _toml.line_of_dotted_key(text, _DEEPEST + 1)
    if line is not None:
        problem = f"a key has more than {_DEEPEST} parts; nest at most {_DEEPEST} lists and tables in one another"
        raise TasksFileError(str(file), line, problem)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, problem = _place_of(error, text)
        raise TasksFileError(str(file), line, f"{problem}; correct the TOML") from error
    except RecursionError as error:
        line = _toml.line_nested_deeper(text, _DEEPEST)
        problem = f"it is nested too deeply; nest at most {_DEEPEST} lists and tables in one another"
        raise TasksFileError(str(file), line, problem) from error
    except ValueError as error:  # Python refuses to read an integer of so many digits
        digits = sys.get_int_max_str_digits()
        line = _toml.line_of_digits(text, digits + 1)
        problem = f"an integer has more than {digits} digits; write a smaller one, or text in quotes"
        raise TasksFileError(str(file), line, problem) from error


def _place_of(error: tomllib.TOMLDecodeError, text: str) -> tuple[int, str]:
    problem, _, place = str(error).partition(" (at ")
    found = re.match(r"line (\d+)", place)
    return int(found[1]) if found else text.count("\n") + 1, problem


class _Places:
    """Tells where the tasks of a text and their fields stand; the text is looked through when that is first asked."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _lines(self) -> dict[_toml.Path, int]:
        return _toml.lines_of(self._text)

    def line(self, number: int, field: str) -> int:
        """Return the line of a field of a task, else that of the task, else the first."""
        of_task = self._lines.get((TABLE, number), 1)
        return self._lines.get((TABLE, number, field), of_task)

    def line_of_key(self, *keys: str) -> int:
        """Return the line of a key that is in no table, or of one in the table of that name."""
        return self._lines.get(keys, 1)


class _WrongField(Exception):  # noqa: N818 (it never leaves this file)
    """What is wrong with a task: pairs of field and sentence."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__(problems)
        self.problems = problems


def _task(table: dict[str, Any], calendars: Mapping[str, Calendar]) -> TaskDefinition:
    fields = dict(table)
    if problems := _unknown(fields, f"Task {id_of(fields)}"):
        raise _WrongField(*problems)
    if isinstance(name := fields.get("calendar"), str):
        fields["calendar"] = calendars.get(name, name)  # or it is one of the scheduler's own
    if _SCHEDULE in fields:
        fields = _with_schedule(fields)
    elif not fields.keys() & set(_SAID_BY_WORDS):
        hint = f'give {_SCHEDULE}, such as {_SCHEDULE} = "every day at 9am"'
        raise _WrongField(("", f"Task {id_of(fields)}: it does not say when it is due; {hint}"))
    for name in _JSON_FIELDS:
        if isinstance(fields.get(name), str):
            fields[name] = _parsed_json(fields, name)
    fields = {**_inferred(fields), **fields}
    try:
        return TaskDefinition.model_validate(fields)
    except ValidationError as error:
        lines = error.errors(include_url=False, include_input=False)
        raise _WrongField(*((str(line["loc"][0]), line["msg"]) for line in lines)) from None


def _inferred(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what a table need not say: the name, which is the id then, and the type, if one schedule says it."""
    given = [kind for kind, field in SCHEDULE_FIELDS.items() if fields.get(field) is not None]
    kind = {"task_type": given[0]} if len(given) == 1 else {}
    return {"name": fields["id"], **kind} if "id" in fields else kind


def _unknown(fields: dict[str, Any], owner: str) -> list[tuple[str, str]]:
    """Return what is no field of a task, before what may be missing because of it, each with a sentence."""
    known = [*TaskDefinition.model_fields, _SCHEDULE]
    return [(name, f"{owner}: {no_field(name, known)}") for name in fields if name not in known]


def _with_schedule(fields: dict[str, Any]) -> dict[str, Any]:
    """Put what the words mean in their place."""
    words = fields.pop(_SCHEDULE)
    task = f"Task {id_of(fields)}"
    for name in _SAID_BY_WORDS:
        if name in fields:
            raise _WrongField((name, f"{task}: {name} and schedule both say when it is due; leave one of them out"))
    if isinstance(words, str) and is_relative(words):
        problem = f"schedule={shown(words)} is relative to now, and a file is read again and again"
        raise _WrongField((_SCHEDULE, f"{task}: {problem}; write 'at' with a date and a time"))
    try:
        return {**fields, **_parsed(words, fields.get("timezone"))}
    except ValueError as error:
        wrong = "timezone" if str(error).startswith("timezone=") else _SCHEDULE
        raise _WrongField((wrong, f"{task}: {error}")) from None


def _parsed(words: str, timezone: str | None) -> dict[str, Any]:
    if str(words).upper().lstrip().startswith(_RULES):
        return {"task_type": TaskType.RRULE, "rrule": words}
    try:
        return parse_schedule(words, timezone=timezone)
    except ValueError:
        # An instant that has passed is no mistake: the file is read again after the task has run.
        with suppress(ValueError):
            return parse_schedule(words, timezone=timezone, now=_LONG_AGO)
        raise


def _parsed_json(fields: dict[str, Any], name: str) -> object:
    try:
        return json.loads(fields[name])
    except (ValueError, RecursionError) as error:
        problem = f"Task {id_of(fields)}: {name} is text that is no JSON ({error}); write a table, or JSON"
        raise _WrongField((name, problem)) from None


# --- Writing ---


def dump_tasks(tasks: Iterable[TaskDefinition]) -> str:
    """Return the text of a file from which `load_tasks` reads equal definitions; defaults are left out."""
    given = list(tasks)
    calendars: dict[str, Calendar] = {}
    for task in given:
        calendar = calendar_of(task)
        if calendar is not None and calendar.name is not None and not calendar.is_only_a_name:
            calendars.setdefault(calendar.name, calendar)
    tables = [_calendar_table(name, calendar) for name, calendar in sorted(calendars.items())]
    tables += [_table(task, calendars) for task in given]
    return "\n".join(tables) if given else f"{TABLE} = []\n"


def _calendar_table(name: str, calendar: Calendar) -> str:
    fields = calendar.model_dump(exclude_defaults=True, exclude={"name"})
    lines = [f"{_toml.written_key(key)} = {_toml.written(value)}" for key, value in fields.items()]
    return "\n".join([f"[{CALENDARS}.{_toml.written_key(name)}]", *lines]) + "\n"


def _table(task: TaskDefinition, calendars: Mapping[str, Calendar]) -> str:
    fields = given_fields(task)
    calendar = calendar_of(task)
    if calendar is not None and calendar.name is not None and calendars.get(calendar.name, calendar) == calendar:
        fields["calendar"] = calendar.name
    tables = {name: fields.pop(name) for name in _JSON_FIELDS if name in fields}
    if "prompt" in fields:
        fields["prompt"] = fields.pop("prompt")  # last, as it may be long
    lines = [f"[[{TABLE}]]"]
    for name, value in tables.items():
        if _has_null(value):  # TOML has none
            fields[name] = json.dumps(value, ensure_ascii=False)
    lines += [f"{name} = {_toml.written(_as_whole(value))}" for name, value in fields.items()]
    for name, value in tables.items():
        if name not in fields:
            lines.append(f"\n[{TABLE}.{name}]")
            lines += [f"{_toml.written_key(key)} = {_toml.written(item)}" for key, item in value.items()]
    return "\n".join(lines) + "\n"


def _has_null(value: object) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(_has_null(item) for item in items)


def _as_whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# --- Watching ---


def watch_tasks(path: str | os.PathLike[str]) -> AsyncIterator[None]:
    """Yield, without end, each time the file has been edited, replaced or deleted, within a few seconds.

    The system reports edits; where it cannot (no inotify, or its limit is reached), a log line says so once, and the
    file is looked at every two seconds. Nothing is read: call `load_tasks` then. It ends only when it is closed.
    """
    import watchfiles  # noqa: F401, PLC0415 (only who watches pays for it; and not on the event loop)

    file = Path(path).absolute()
    return _watching.edits(file, _watching.state_of(file))

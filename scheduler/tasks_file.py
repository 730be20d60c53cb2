"""Tasks as a file: TOML text -> definitions and back, and noticing that the file was edited."""

import asyncio
import json
import os
import re
import tomllib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from scheduler.errors import InvalidTaskError, TasksFileError
from scheduler.models import TaskDefinition
from scheduler.words import is_relative, parse_schedule

TABLE: Final = "task"
"""Each task is a table of this name."""
_SCHEDULE: Final = "schedule"
_SAID_BY_WORDS: Final = ("task_type", "cron_expression", "interval_seconds", "run_at")
_JSON_FIELDS: Final = ("metadata", "context")
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOOK_MILLISECONDS: Final = 2_000


# --- Reading ---


def load_tasks(path: str | os.PathLike[str]) -> list[TaskDefinition]:
    """Return the tasks that a file holds: one `[[task]]` table each, in TOML.

    A table has the fields of `TaskDefinition`, or `schedule` with words in place of `task_type` and what belongs to
    it: `schedule = "every day at 9am"`, read as `parse_schedule` does, in the `timezone` of the table. Words that are
    relative to now are refused; an instant that has passed is none of this function's business (`apply_tasks` leaves
    such a task out). An empty file is refused, since it may be one that is being written; `task = []` is no task.

    Raises `TasksFileError`, a `ValueError` that names the file, the line and the task, for the first thing that is
    wrong, and says how many more there are.
    """
    file = Path(path)
    text = _read(file)
    tables = _tables(file, text)
    places = _Places.of(text)
    problems: list[tuple[int, str]] = []
    tasks: list[TaskDefinition] = []
    first_lines: dict[str, int] = {}
    for number, table in enumerate(tables):
        try:
            task = _task(table)
        except _WrongField as wrong:
            problems += [(places.line(number, name), problem) for name, problem in wrong.problems]
            continue
        line = places.line(number, "id")
        if task.id in first_lines:
            earlier = f"id={task.id!r} stands in line {first_lines[task.id]} already"
            problems.append((line, f"Task {task.id}: {earlier}; give each task its own"))
        first_lines.setdefault(task.id, line)
        tasks.append(task)
    if problems:
        line, problem = min(problems)
        raise TasksFileError(str(file), line, problem, len(problems) - 1)
    return tasks


def located(path: str | os.PathLike[str], error: InvalidTaskError) -> TasksFileError:
    """Return an error that `apply_tasks` raised for a task of a file, with the file and the line."""
    file = Path(path)
    line = None
    with suppress(TasksFileError):  # it may have been edited since
        text = _read(file)
        ids = [table.get("id") for table in _tables(file, text)]
        wrong = re.match(r"\w+", str(error).removeprefix(f"Task {error.task_id}: "))
        if error.task_id in ids:
            line = _Places.of(text).line(ids.index(error.task_id), wrong[0] if wrong else "")
    return TasksFileError(str(file), line, str(error))


def _read(file: Path) -> str:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise TasksFileError(str(file), None, f"it cannot be read ({error.strerror}); give a file of tasks") from error
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is not UTF-8 text; save the file in UTF-8"
        raise TasksFileError(str(file), None, problem) from error
    if not text.strip():
        raise TasksFileError(str(file), None, f"it is empty; write {TABLE} = [] if there is no task")
    return text.replace("\r\n", "\n")


def _tables(file: Path, text: str) -> list[dict[str, Any]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, problem = _place_of(error, text)
        raise TasksFileError(str(file), line, f"{problem}; mend the TOML") from error
    tables = document.pop(TABLE, [])
    for key in document:
        line = _line_of_top_level(text, key)
        raise TasksFileError(str(file), line, f"{key} is unknown here; each task is a table [[{TABLE}]]")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        line = _line_of_top_level(text, TABLE)
        raise TasksFileError(str(file), line, f"{TABLE} is no array of tables; begin each task with [[{TABLE}]]")
    return tables


def _place_of(error: tomllib.TOMLDecodeError, text: str) -> tuple[int, str]:
    problem, _, place = str(error).partition(" (at ")
    found = re.match(r"line (\d+)", place)
    return int(found[1]) if found else text.count("\n") + 1, problem


class _WrongField(Exception):  # noqa: N818 (it never leaves this file)
    """What is wrong with a task: pairs of field and sentence."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__(problems)
        self.problems = problems


def _task(table: dict[str, Any]) -> TaskDefinition:
    fields = dict(table)
    _refuse_unknown(fields)
    if _SCHEDULE in fields:
        fields = _with_schedule(fields)
    elif not fields.keys() & set(_SAID_BY_WORDS):
        mend = f'give {_SCHEDULE}, such as {_SCHEDULE} = "every day at 9am"'
        raise _WrongField(("", f"Task {fields.get('id')}: it does not say when it is due; {mend}"))
    for name in _JSON_FIELDS:
        if isinstance(fields.get(name), str):
            fields[name] = _parsed_json(fields, name)
    try:
        return TaskDefinition.model_validate(fields)
    except ValidationError as error:
        lines = error.errors(include_url=False, include_input=False)
        raise _WrongField(*((str(line["loc"][0]), line["msg"]) for line in lines)) from None


def _refuse_unknown(fields: dict[str, Any]) -> None:
    """Refuse a field that there is not, before what may be missing because of it."""
    known = [*TaskDefinition.model_fields, _SCHEDULE]
    problems = []
    for name in fields.keys() - known:
        from difflib import get_close_matches  # noqa: PLC0415 (only a mistake needs it)

        likely = get_close_matches(name, known, 1) or [f"one of {', '.join(known)}"]
        problems.append((name, f"Task {fields.get('id')}: {name} is no field of a task; write {likely[0]}"))
    if problems:
        raise _WrongField(*problems)


def _with_schedule(fields: dict[str, Any]) -> dict[str, Any]:
    """Put what the words mean in their place."""
    words = fields.pop(_SCHEDULE)
    task = f"Task {fields.get('id')}"
    for name in _SAID_BY_WORDS:
        if name in fields:
            raise _WrongField((name, f"{task}: {name} and schedule both say when it is due; leave one of them out"))
    if isinstance(words, str) and is_relative(words):
        problem = f"schedule={words!r} is relative to now, and a file is read again and again"
        raise _WrongField((_SCHEDULE, f"{task}: {problem}; write 'at' with a date and a time"))
    try:
        return {**fields, **_parsed(words, fields.get("timezone"))}
    except ValueError as error:
        wrong = "timezone" if str(error).startswith("timezone=") else _SCHEDULE
        raise _WrongField((wrong, f"{task}: {error}")) from None


def _parsed(words: str, timezone: str | None) -> dict[str, Any]:
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
    except ValueError as error:
        problem = f"Task {fields.get('id')}: {name} is text that is no JSON ({error}); write a table, or JSON"
        raise _WrongField((name, problem)) from None


# --- Where things stand in the text (tomllib does not say) ---

_STRINGS_AND_COMMENTS: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"""+'
    r"|'''.*?'''+"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*",
    re.DOTALL,
)
_HEADER: Final = re.compile(r"\s*\[\s*(\[?)\s*([^\s.\]]+)(?:\s*\.\s*([^\s.\]]+))?")
_KEY: Final = re.compile(r"\s*([\w-]+|\"[^\"]*\"|'[^']*')\s*[.=]")


@dataclass(slots=True)
class _Places:
    """The line of each `[[task]]` and of the keys in it."""

    tasks: list[dict[str, int]] = field(default_factory=list)

    @classmethod
    def of(cls, text: str) -> "_Places":
        """Look for them in TOML that is right."""
        places = cls()
        in_task = False
        for number, line in _code_lines(text):
            header = _HEADER.match(line)
            if header:
                in_task = places._note_header(number, *header.groups())
            elif in_task and (key := _KEY.match(line)):
                places.tasks[-1].setdefault(_bare(key[1]), number)
        return places

    def line(self, number: int, name: str) -> int:
        """Return the line of a field of a task, else that of the task, else the first."""
        lines = self.tasks[number] if number < len(self.tasks) else {}
        return lines.get(name, lines.get("", 1))

    def _note_header(self, number: int, double: str, name: str, sub: str | None) -> bool:
        """Note a header; tell whether keys of a task follow."""
        if _bare(name) != TABLE or not (double or self.tasks):
            return False
        if sub is None:
            self.tasks.append({"": number})
            return True
        self.tasks[-1].setdefault(_bare(sub), number)
        return False


def _code_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers, without comments and without what stands in strings of several lines."""
    return enumerate(_STRINGS_AND_COMMENTS.sub(_blank, text).split("\n"), start=1)


def _blank(found: re.Match[str]) -> str:
    is_kept = found[0][0] != "#" and found[0][:3] not in {'"""', "'''"}
    return found[0] if is_kept else "\n" * found[0].count("\n")


def _bare(key: str) -> str:
    return key.strip("\"'")


def _line_of_top_level(text: str, name: str) -> int:
    for number, line in _code_lines(text):
        header = _HEADER.match(line)
        found = header[2] if header else (key[1] if (key := _KEY.match(line)) else "")
        if _bare(found) == name:
            return number
    return 1


# --- Writing ---


def dump_tasks(tasks: Iterable[TaskDefinition]) -> str:
    """Return the text of a file from which `load_tasks` reads equal definitions; defaults are left out."""
    return "\n".join(_table(task) for task in tasks) or f"{TABLE} = []\n"


def _table(task: TaskDefinition) -> str:
    fields = task.model_dump(exclude_defaults=True)
    tables = {name: fields.pop(name) for name in _JSON_FIELDS if name in fields}
    fields["prompt"] = fields.pop("prompt")  # last, as it may be long
    lines = [f"[[{TABLE}]]"]
    for name, value in tables.items():
        if _has_null(value):  # TOML has none
            fields[name] = json.dumps(value, ensure_ascii=False)
    lines += [f"{name} = {_toml(_as_whole(value))}" for name, value in fields.items()]
    for name, value in tables.items():
        if name not in fields:
            lines.append(f"\n[{TABLE}.{name}]")
            lines += [f"{_key(key)} = {_toml(item)}" for key, item in value.items()]
    return "\n".join(lines) + "\n"


def _has_null(value: object) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(_has_null(item) for item in items)


def _as_whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _toml(value: object, *, inline: bool = False) -> str:
    """Return a value as TOML writes it; `inline`: on one line."""
    if isinstance(value, str):
        return _quoted(value) if inline or "\n" not in value else _on_lines(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, dict):
        items = ", ".join(f"{_key(key)} = {_toml(item, inline=True)}" for key, item in value.items())
        return f"{{ {items} }}" if items else "{}"
    if isinstance(value, list):
        return f"[{', '.join(_toml(item, inline=True) for item in value)}]"
    return repr(value)


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, too; TOML wants one more character escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _on_lines(text: str) -> str:
    body = "\n".join(_quoted(line)[1:-1].replace('\\"', '"') for line in text.split("\n"))
    body = body.replace('"""', '""\\"')
    if body.endswith('"'):
        body = f'{body[:-1]}\\"'
    return f'"""\n{body}"""'


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _moment(moment: datetime) -> str:
    offset = moment.utcoffset()
    if offset is None or offset.seconds % 60 or offset.microseconds:  # an offset has whole minutes in TOML
        moment = moment.astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")


# --- Watching ---


def watch_tasks(path: str | os.PathLike[str]) -> AsyncIterator[None]:
    """Yield, for ever, each time the file has been edited, replaced or deleted since this call, within a few seconds.

    Where the system cannot tell (no inotify, or its limit is reached), the folder is polled. Nothing is read: call
    `load_tasks` then.
    """
    import watchfiles  # noqa: F401, PLC0415 (only who watches pays for it; and not on the event loop)

    file = Path(path).absolute()
    return _edits(file, _state(file))


async def _edits(file: Path, seen: tuple[int, ...]) -> AsyncIterator[None]:
    polling: bool | None = None
    while True:
        try:
            async for _ in _looks(file, polling=polling):
                state = await asyncio.to_thread(_state, file)
                if state != seen:
                    seen = state
                    yield
        except OSError:
            if polling:
                raise
            polling = True


async def _looks(file: Path, *, polling: bool | None) -> AsyncIterator[None]:
    """Yield whenever the file may have been edited, and once soon: it may have been before the watch began."""
    from watchfiles import awatch  # noqa: PLC0415 (see above)

    names = {file.name, "..data"}  # the second is what Kubernetes replaces when a ConfigMap changes
    is_first = True

    def concerns_us(_: object, changed: str) -> bool:
        return is_first or Path(changed).name in names

    async for _ in awatch(
        file.parent,
        watch_filter=concerns_us,
        recursive=False,
        force_polling=polling,
        rust_timeout=_LOOK_MILLISECONDS,
        yield_on_timeout=True,
    ):
        is_first = False
        yield


def _state(file: Path) -> tuple[int, ...]:
    """Return what changes when a file is written or replaced."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino

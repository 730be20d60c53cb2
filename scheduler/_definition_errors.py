"""What is said of a definition that is refused: the task, the field, the value and how to correct it."""

import re
from collections.abc import Iterable
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from scheduler._limits import FIRST_YEAR, ID_LIMIT, INTERVAL_LIMIT, LAST_YEAR, NAME_LIMIT, TEXT_LIMIT
from scheduler._texts import shown
from scheduler.redaction import beginning, redact, shown_url

_MOMENT: Final = (
    f"give a datetime from the year {FIRST_YEAR} to {LAST_YEAR}; "
    "one without an offset is local if the task names timezone, else UTC"
)
HINTS: Final = {
    "id": f"give a text of 1 to {ID_LIMIT} characters without control characters",
    "name": f"give a text that is not blank, of at most {NAME_LIMIT} characters",
    "prompt": f"give a text that is not blank, of at most {TEXT_LIMIT:,} characters",
    "session_id": f"give a text of 1 to {ID_LIMIT} characters without control characters",
    "task_type": "give 'cron', 'interval' or 'one_time'",
    "enabled": "give True or False",
    "metadata": "give a dict of JSON values: text, finite numbers, True, False, None, lists and dicts",
    "interval_seconds": f"give a whole number of seconds from 1 to {INTERVAL_LIMIT}",
    "jitter_seconds": f"give a whole number of seconds from 0 to {INTERVAL_LIMIT}",
    "cron_expression": "give five fields, such as '0 9 * * 1-5', or an alias, such as '@daily'",
    "run_at": _MOMENT,
    "start_at": _MOMENT,
    "end_at": _MOMENT,
    "timezone": "give the name of an IANA zone, such as 'Europe/Berlin'",
    "result_callback": "give the dotted path of an async function, such as 'my_package.callbacks.notify'",
    "graph": "give 'module:attribute', such as 'my_package.graphs:research', or 'langgraph+http://host:port/assistant'",
    "max_runs": "give a whole number, 1 or more, or None for no bound",
    "misfire_grace_seconds": "give a number of seconds, 0 or more, or None for however late",
    "timeout_seconds": "give a number of seconds above 0, or None for no time-out",
    "coalesce": "give True or False",
    "overlap": "give one of OverlapPolicy: 'skip', 'buffer_one', 'buffer_all', 'cancel_other', 'allow_all'",
    "max_attempts": "give a whole number, 1 or more",
    "retry_delay_seconds": "give a number of seconds, 0 or more",
    "retry_max_delay_seconds": "give a number of seconds, 0 or more",
    "rerun_after_crash": "give True or False",
    "retry_from_start": "give True or False",
    "session_mode": "give one of SessionMode: 'shared', 'per_run'",
    "session_retention": "give a number of seconds above 0, or None for no limit",
    "expire_waiting_after_seconds": "give a number of seconds above 0, or None for no limit",
    "recursion_limit": "give a whole number, 1 or more, or None for LangGraph's default",
    "durability": "give one of Durability: 'exit', 'async', 'sync', or None for LangGraph's default",
    "context": "give a dict of JSON values, or None",
    "stream": "give True or False",
    "input_builder": "give the dotted path of a function that takes the task, such as 'my_package.inputs.build'",
    "pause_after_failures": "give a whole number, 1 or more, or None for never",
}


def id_of(data: object) -> str:
    """Return what an error calls a task whose fields may be wrong: its id, or what stands in its place."""
    value = data.get("id") if isinstance(data, dict) else getattr(data, "id", None)
    if isinstance(value, str) and value.isprintable() and value.strip():
        return beginning(value, ID_LIMIT)
    return shown(value)[:80]


def reworded(task_id: str, error: ValidationError, fields: Iterable[str]) -> ValidationError:
    """Return what pydantic refused, in sentences that name the task, the field, the value and the hint."""
    known = ", ".join(fields)
    return _error([_reword(task_id, dict(line), known) for line in error.errors(include_url=False)])


def refused(task_id: str, problems: Iterable[tuple[str, object, str]]) -> ValidationError:
    """Return an error of fields that contradict each other, each with its value and a sentence."""
    details = []
    for field, value, problem in problems:
        details.append(_detail(task_id, field, value, problem, "missing" if value is None else "contradiction"))
    return _error(details)


def problems_in(error: ValidationError) -> list[str]:
    """Return the sentences of a refused definition, without the id of the task."""
    return [line.get("ctx", {}).get("problem", line["msg"]) for line in error.errors(include_url=False)]


def _reword(task_id: str, line: dict[str, Any], known: str) -> InitErrorDetails:
    field = str(line["loc"][0]) if line["loc"] else "definition"
    value = None if line["type"] == "missing" else line["input"]
    return _detail(task_id, field, value, _sentence(field, line, known), line["type"])


def _sentence(field: str, line: dict[str, Any], known: str) -> str:
    if line["type"] == "missing":
        return f"{field} is required; {HINTS[field]}"
    if line["type"] == "extra_forbidden":
        return f"{field} is no field of a task; the fields are {known}"
    if line["type"] == "crontab":
        return str(line["msg"])
    if line["type"] == "server_url":
        return f"{field}={shown(shown_url(line['input']))}: {line['msg']}"
    reason = re.sub("^(Input|String|Value)", "it", line["msg"])
    hint = f"; {HINTS[field]}" if field in HINTS else ""
    return f"{field}={redact(shown(line['input']))}: {reason}{hint}"


def _detail(task_id: str, field: str, value: object, problem: str, cause: str) -> InitErrorDetails:
    """Return an error; `cause` is pydantic's type of it, or "contradiction"."""
    context = {"sentence": f"Task {task_id}: {problem}", "problem": problem, "cause": cause}
    error = PydanticCustomError("task_definition", "{sentence}", context)
    return InitErrorDetails(type=error, loc=(field,), input=value)


def _error(details: list[InitErrorDetails]) -> ValidationError:
    return ValidationError.from_exception_data("TaskDefinition", details, hide_input=True)

"""What is said of a definition that is refused: the task, the field, the value and how to correct it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

from scheduler._limits import ID_LIMIT
from scheduler._texts import escaped, shown
from scheduler.redaction import beginning, redact, shown_url


@dataclass(frozen=True, slots=True)
class Hint:
    """How to correct a field of a definition; it stands in the field's annotation."""

    text: str


def id_of(data: object) -> str:
    """Return what an error calls a task whose fields may be wrong: its id, or what stands in its place."""
    value = data.get("id") if isinstance(data, dict) else getattr(data, "id", None)
    if isinstance(value, str) and value.isprintable() and value.strip():
        return beginning(value, ID_LIMIT)
    return shown(value)[:80]


def reworded(task_id: str, error: ValidationError, fields: Mapping[str, FieldInfo]) -> ValidationError:
    """Return what pydantic refused, in sentences that name the task, the field, the value and the hint."""
    return _error([_reword(task_id, dict(line), fields) for line in error.errors(include_url=False)])


def refused(task_id: str, problems: Iterable[tuple[str, object, str]]) -> ValidationError:
    """Return an error of fields that contradict each other, each with its value and a sentence."""
    details = []
    for field, value, problem in problems:
        details.append(_detail(task_id, field, value, problem, "missing" if value is None else "contradiction"))
    return _error(details)


def problems_in(error: ValidationError) -> list[str]:
    """Return the sentences of a refused definition, without the id of the task."""
    return [line.get("ctx", {}).get("problem", line["msg"]) for line in error.errors(include_url=False)]


def _reword(task_id: str, line: dict[str, Any], fields: Mapping[str, FieldInfo]) -> InitErrorDetails:
    field = str(line["loc"][0]) if line["loc"] else "definition"
    value = None if line["type"] == "missing" else line["input"]
    return _detail(task_id, field, value, _sentence(field, line, fields), line["type"])


def _sentence(field: str, line: dict[str, Any], fields: Mapping[str, FieldInfo]) -> str:
    if line["type"] == "missing":
        return f"{field} is required{_hint(fields[field])}"
    if line["type"] == "extra_forbidden":
        return no_field(field, list(fields))
    if line["type"] in {"crontab", "calendar"}:
        return str(line["msg"])
    if line["type"] == "server_url":
        return f"{field}={shown(shown_url(line['input']))}: {line['msg']}"
    reason = re.sub("^(Input|String|Value)", "it", line["msg"])
    hint = _hint(fields[field]) if field in fields else ""
    return f"{field}={redact(shown(line['input']))}: {reason}{hint}"


def no_field(name: str, known: Sequence[str]) -> str:
    """Return the sentence about something that is no field of a task, with the field that is most like it."""
    from difflib import get_close_matches  # noqa: PLC0415 (only a mistake needs it)

    word = name.lower()
    same = [each for each in known if each == word or each.startswith(f"{word}_")]
    likely = same or [each for each in known if word in each.split("_")] or get_close_matches(word[:80], known, 1)
    likely = likely[:1] or [f"one of {', '.join(known)}"]
    return f"{beginning(escaped(name), 80)} is no field of a task; write {likely[0]}"


def _hint(field: FieldInfo) -> str:
    return next((f"; {each.text}" for each in field.metadata if isinstance(each, Hint)), "")


def _detail(task_id: str, field: str, value: object, problem: str, cause: str) -> InitErrorDetails:
    """Return an error; `cause` is pydantic's type of it, or "contradiction"."""
    context = {"sentence": f"Task {task_id}: {problem}", "problem": problem, "cause": cause}
    error = PydanticCustomError("task_definition", "{sentence}", context)
    return InitErrorDetails(type=error, loc=(field,), input=value)


def _error(details: list[InitErrorDetails]) -> ValidationError:
    return ValidationError.from_exception_data("TaskDefinition", details, hide_input=True)

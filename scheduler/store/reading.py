"""Reads stored definitions. What one release or machine cannot use may be right for another one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from scheduler._field_types import STORED
from scheduler.models import TaskDefinition

_PRIVATE: Final = frozenset({"prompt", "input", "metadata", "context", "configurable"})
"""Fields whose values are nobody else's business."""
_DAMAGE: Final = frozenset({"json_invalid", "model_type", "missing", "greater_than", "greater_than_equal"})
"""What is wrong with a definition in every release: no JSON object, no value where one is needed, less than nothing.

Any other value was right for the release that stored it: a later one may know further fields, words and forms.
"""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a stored definition cannot be used."""

    problem: str
    is_damaged: bool
    """Whether no process can use it, because the row itself is wrong."""


def read(definition: str, zone: str = "UTC") -> TaskDefinition | Unreadable:
    """Return a stored definition, or what is wrong with it; `zone` is the one that is in force for it."""
    try:
        task = TaskDefinition.model_validate_json(definition, context=STORED)
    except ValidationError as error:
        lines = error.errors(include_url=False, include_input=False)
        problem = "; ".join(_problem(line) for line in lines)
        return Unreadable(problem, all(_cause(line) in _DAMAGE for line in lines))
    try:
        ZoneInfo(zone)
    except (ValueError, LookupError, OSError):
        return Unreadable(f"no time zone is called {zone!r} on this machine", is_damaged=False)
    return task


def _cause(line: Mapping[str, Any]) -> str:
    return str(line.get("ctx", {}).get("cause", line["type"]))


def _problem(line: Mapping[str, Any]) -> str:
    field = str(line["loc"][0]) if line["loc"] else ""
    if field in _PRIVATE:
        return f"{field} is wrong"
    if _cause(line) == "extra_forbidden":
        return f"this release does not know the field {field}"
    return str(line["msg"])

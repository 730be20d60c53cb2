"""What is refused: a sentence that the model reads and can act on."""

from typing import Any

from langchain_core.tools import ToolException
from pydantic import ValidationError

from scheduler._definition_errors import problems_in
from scheduler.errors import InvalidTaskError


class Refusal(ToolException):
    """Says what is refused, and what to do instead; it becomes the tool's answer."""


def invalid_arguments(error: object) -> str:
    """Return what is wrong with the arguments of a call, one sentence for each."""
    if not isinstance(error, ValidationError):
        return "Not done: the arguments do not fit this tool's schema."
    lines = error.errors(include_url=False, include_context=False, include_input=False)
    return f"Not done: {'; '.join(_sentence(dict(line)) for line in lines)}. Correct the arguments and call again."


def _sentence(line: dict[str, Any]) -> str:
    field = ".".join(str(part) for part in line["loc"])[:80] or "arguments"
    if line["type"] == "extra_forbidden":
        return f"{field!r} is no argument of this tool, leave it out"
    return f"{field}: {line['msg']}"


def problems_of(error: ValueError) -> str:
    """Return what is wrong with a definition, without the id that the model has not chosen."""
    if isinstance(error, ValidationError):
        return "; ".join(problems_in(error))
    if isinstance(error, InvalidTaskError):
        return error.problem if error.hint is None else f"{error.problem}; {error.hint}"
    return str(error)

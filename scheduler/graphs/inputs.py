"""What a graph is given: its input, its context, and what its config has beside the thread."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ValidationError

from scheduler import _containment
from scheduler._safe_text import ERROR_LIMIT, error_text
from scheduler._texts import shown
from scheduler.graphs.bounded_talk import problem_with_bound
from scheduler.graphs.local_langgraph import as_server_graph, is_langgraph
from scheduler.models import TaskDefinition, is_reserved
from scheduler.redaction import redact

DEFAULT_PREFIX: Final = "scheduler:"
"""What the `session_id` in an input begins with."""


class Problem(NamedTuple):
    """Why a graph would refuse what a task gives it."""

    field: str
    """The field of the task: `input`, `prompt` or `context`."""
    problem: str


# --- What it is given ---


def graph_input(task: TaskDefinition, session_prefix: str = DEFAULT_PREFIX) -> dict[str, Any]:
    """Return what a graph is invoked with: the task's own input, or its prompt as a message."""
    if task.input is not None:
        return dict(task.input)
    return {
        "messages": [{"role": "user", "content": task.subject}],
        "session_id": f"{session_prefix}{task.session_id}",
        "metadata": {"channel": "scheduler", "task_id": task.id, "task_name": task.name, **task.metadata},
    }


def graph_context(graph: object, given: object, configurable: Mapping[str, Any]) -> object:
    """Return the context of a run, as LangGraph's server makes it.

    A graph with a `context_schema` that is given no context gets what is in `configurable`, so an empty dict if nothing
    is, and its defaults apply. Keys that the schema does not have are left out.
    """
    schema = context_schema_of(graph)
    if schema is None:
        return given
    context = configurable if given is None else given
    if not isinstance(context, Mapping):
        return context
    known = schema_keys(schema)
    return {name: value for name, value in context.items() if not known or name in known}


def with_context(config: dict[str, Any], context: object) -> dict[str, Any]:
    """Return a config whose `configurable` has what the context has, for graphs that look for it there.

    What `configurable` itself says comes first.
    """
    if not isinstance(context, Mapping) or not context:
        return config
    mirrored = {name: value for name, value in context.items() if isinstance(name, str) and not is_reserved(name)}
    return {**config, "configurable": {**mirrored, **config["configurable"]}}


# --- Whether it takes that ---


def problems_of(
    graph: object,
    task: TaskDefinition,
    *,
    context: object = None,
    configurable: Mapping[str, Any] | None = None,
    is_built: bool = False,
) -> Iterator[Problem]:
    """Yield why a local LangGraph would refuse a task's input or context: both are built as the graph builds them.

    `context` and `configurable` are what the scheduler gives to tasks that have none. `is_built`: an input builder
    makes the input, which nobody can know before.
    """
    is_known = is_langgraph(graph) or as_server_graph(graph) is not None
    if task.session_keep_runs is not None and is_known and (problem := problem_with_bound(graph)) is not None:
        yield Problem("session_keep_runs", problem)
    if not is_langgraph(graph):
        return
    field = "prompt" if task.input is None else "input"
    problem = None if is_built else problem_of_input(graph, graph_input(task))
    if problem is not None:
        yield Problem(field, problem)
    given = context if task.context is None else task.context
    others = {**(configurable or {}), **(task.configurable or {})}
    problem = _refusal(context_schema_of(graph), graph_context(graph, given, others))
    if problem is not None:
        yield Problem("context", f"the graph's context_schema refuses it: {problem}")


def problem_of_input(graph: object, given: dict[str, Any]) -> str | None:
    """Return why a local LangGraph would refuse an input, or None."""
    schema = input_schema_of(graph)
    keys = schema_keys(schema)
    if keys is not None and given and not keys & given.keys():
        return f"the graph has none of its keys ({', '.join(given)}); it has {', '.join(sorted(keys)) or 'no keys'}"
    # LangGraph gives the schema the keys that it has: others are dropped before.
    known = {name: value for name, value in given.items() if keys is None or name in keys}
    problem = _refusal(schema, known)
    return None if problem is None else f"the graph's input schema refuses it: {problem}"


def _refusal(schema: object, values: object) -> str | None:
    """Build a schema that refuses wrong values, a pydantic model or a dataclass; return what it says, or None.

    LangGraph gives nodes a TypedDict as it is, without a check.
    """
    if not isinstance(values, Mapping) or not isinstance(schema, type):
        return None
    if not issubclass(schema, BaseModel) and not dataclasses.is_dataclass(schema):
        return None
    try:
        schema(**values)
    except ValidationError as error:
        return redact("; ".join(_line(line) for line in error.errors(include_url=False)))[:ERROR_LIMIT]
    except BaseException as error:
        if _containment.must_pass(error):
            raise
        return redact(error_text(error, ERROR_LIMIT))
    return None


def _line(line: Any) -> str:  # noqa: ANN401 (pydantic's own dict)
    field = ".".join(map(str, line["loc"])) or "it"
    value = "" if line["type"] == "missing" else f"={shown(line['input'])}"
    return f"{field}{value}: {line['msg']}"


# --- Schemas ---


def context_schema_of(graph: object) -> object:
    """Return the type of a local LangGraph's context, or None."""
    return getattr(graph, "context_schema", None) if is_langgraph(graph) else None


def input_schema_of(graph: object) -> object:
    """Return the type of a local LangGraph's input, or None where nobody can know.

    Not its JSON schema: pydantic cannot express every state (before Python 3.12 no `typing.TypedDict` at all).
    """
    schema: Any = getattr(graph, "InputType", None) if is_langgraph(graph) else None
    # A mock of a class passes for one with isinstance.
    return schema if issubclass(type(schema), type) else None


def input_keys(graph: object) -> set[str] | None:
    """Return the keys of a local LangGraph's input, or None where nobody can know."""
    return schema_keys(input_schema_of(graph))


def schema_keys(schema: Any) -> set[str] | None:  # noqa: ANN401 (any class)
    """Return the keys of a TypedDict, a dataclass or a pydantic model, or None."""
    if not issubclass(type(schema), type):
        return None
    if dataclasses.is_dataclass(schema):
        return {field.name for field in dataclasses.fields(schema)}
    if hasattr(schema, "__required_keys__"):
        return {*schema.__required_keys__, *schema.__optional_keys__}
    fields = getattr(schema, "model_fields", None)
    return {field.alias or name for name, field in fields.items()} if isinstance(fields, dict) else None

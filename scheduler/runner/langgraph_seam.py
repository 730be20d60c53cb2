"""What LangGraph alone has: checkpointers, commands, cooperative stops. It is looked up, never imported at our import.

A graph of LangGraph can only be here if the program has imported LangGraph, so its modules are in `sys.modules`.
"""

import importlib
import inspect
import math
import sys
from collections.abc import Mapping
from typing import Any

from scheduler.models import Question


def is_langgraph(graph: object) -> bool:
    """Tell whether a graph is a local LangGraph: compiled, or a functional entrypoint."""
    pregel = sys.modules.get("langgraph.pregel")
    return pregel is not None and isinstance(graph, pregel.Pregel)


def has_checkpointer(graph: object) -> bool:
    """Tell whether a graph keeps its threads."""
    base = sys.modules.get("langgraph.checkpoint.base")
    return (
        base is not None
        and is_langgraph(graph)
        and isinstance(getattr(graph, "checkpointer", None), base.BaseCheckpointSaver)
    )


def with_checkpointer(graph: Any, checkpointer: object) -> Any:  # noqa: ANN401 (LangGraph's own graphs)
    """Return a copy of a local LangGraph that keeps its threads in a saver."""
    return graph.copy(update={"checkpointer": checkpointer})


def resume_command(answers: Mapping[str, Any]) -> Any:  # noqa: ANN401 (LangGraph's own class)
    """Return what continues a graph that asked, given answers by the ids of its interrupts."""
    return importlib.import_module("langgraph.types").Command(resume=dict(answers))


def questions_of(interrupts: object) -> tuple[Question, ...]:
    """Return interrupts as questions."""
    if not isinstance(interrupts, list | tuple):
        return ()
    return tuple(Question(id=str(each.id), value=_as_json(each.value)) for each in interrupts)


def _as_json(value: object) -> object:
    """Return a value as JSON has it; what JSON does not have is shown by its repr."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value if value is None or isinstance(value, str | bool | int | float) else repr(value)


def new_control(graph: object) -> Any | None:  # noqa: ANN401 (LangGraph's own class)
    """Return a control through which a run of this graph can be asked to stop at a step boundary, where it can be."""
    control = getattr(sys.modules.get("langgraph.runtime"), "RunControl", None)
    if control is None or not has_checkpointer(graph):
        return None
    takes_it = "control" in inspect.signature(graph.ainvoke).parameters  # type: ignore[attr-defined]
    return control() if takes_it else None


def is_drained(error: BaseException) -> bool:
    """Tell whether an error says that a run stopped at a step boundary because it was asked to."""
    drained = getattr(sys.modules.get("langgraph.errors"), "GraphDrained", None)
    return drained is not None and isinstance(error, drained)

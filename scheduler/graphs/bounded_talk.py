"""Conversations that keep the messages of their last runs alone: older ones are removed with a new run's input.

The conversation is cut at a message of a user, with which a run begins, so that tool calls and their answers stay
together. System messages stay.
"""

import importlib
import sys
from collections.abc import Mapping
from typing import Any

from scheduler.graphs.local_langgraph import as_server_graph, has_checkpointer, is_langgraph
from scheduler.graphs.messages import member

_HINT = "leave session_keep_runs out, or use such a state (MessagesState)"


def problem_with_bound(graph: object) -> str | None:
    """Return why a graph's conversations cannot be kept short, or None if they can be, or there are none."""
    if as_server_graph(graph) is not None:
        return "session_keep_runs is for graphs in this process, and this one is on a LangGraph server; leave it out"
    if not is_langgraph(graph):
        return f"session_keep_runs is for LangGraph's graphs, and this is a {type(graph).__name__}; leave it out"
    operator = getattr(getattr(graph, "channels", {}).get("messages"), "operator", None)
    known = getattr(sys.modules.get("langgraph.graph.message"), "add_messages", None)
    if known is None or operator is not known:
        return f"session_keep_runs needs a state whose `messages` have the reducer add_messages; {_HINT}"
    return None


async def with_removals(graph: Any, config: Mapping[str, Any], given: object, keep: int) -> object:  # noqa: ANN401
    """Return an input that also removes the messages before the last so many runs of a conversation.

    Raises `ValueError` if the graph or the input does not allow it, and what the saver raises.
    """
    if (problem := problem_with_bound(graph)) is not None:
        raise ValueError(problem)
    if not isinstance(given, dict) or not isinstance(given.get("messages"), list):
        raise ValueError("session_keep_runs needs an input with a list of messages; leave it out")  # noqa: TRY004
    if not has_checkpointer(graph):
        return given
    state = await graph.aget_state({"configurable": dict(config["configurable"])})
    removed = _removed(state.values.get("messages") or [], keep)
    return {**given, "messages": [*removed, *given["messages"]]} if removed else given


def _removed(messages: list[Any], keep: int) -> list[Any]:
    begins = [number for number, message in enumerate(messages) if member(message, "type") == "human"]
    if len(begins) <= keep:
        return []
    remove = importlib.import_module("langchain_core.messages").RemoveMessage
    older = messages[: begins[-keep]]
    return [remove(id=each.id) for each in older if member(each, "type") != "system" and each.id]

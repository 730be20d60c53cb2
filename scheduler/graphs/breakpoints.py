"""Graphs that stop at a breakpoint (`interrupt_before`, `interrupt_after`) until a human lets them continue."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from scheduler.graphs.clean_start import IN_ORDER
from scheduler.graphs.local_langgraph import as_server_graph
from scheduler.graphs.messages import member
from scheduler.graphs.position import Position, position_of
from scheduler.graphs.questions import json_value
from scheduler.models import BREAKPOINT_PREFIX, Question

_NOT_RUN: Final = "This call was not run: a human rejected it."


def breakpoint_id(position: Position) -> str:
    """Return the id of the question whether the graph may continue from here."""
    return f"{BREAKPOINT_PREFIX}{uuid.uuid5(uuid.NAMESPACE_OID, ' '.join(position.checkpoint_ids))}"


def breakpoint_question(position: Position) -> Question:
    """Return the question whether the graph may continue: what it would run next, and the tool calls that wait."""
    value: dict[str, Any] = {"question": f"Continue with {next_nodes(position)}?", "next": list(position.next)}
    calls = [{name: member(call, name) for name in ("name", "args", "id")} for call in _open_tool_calls(position)]
    return Question(id=breakpoint_id(position), value=json_value({**value, "tool_calls": calls} if calls else value))


def questions_at(position: Position, asked: tuple[Question, ...]) -> tuple[Question, ...]:
    """Return what a graph that has returned waits for: what it asks, and whether it may continue.

    One that asks nothing and has something left to do has stopped at a breakpoint. One that asks may have stopped at
    one as well, in a graph inside another of its nodes.
    """
    is_stopped = position.is_at_breakpoint if asked else bool(position.next)
    return (*asked, breakpoint_question(position)) if is_stopped else asked


def next_nodes(position: Position) -> str:
    """Return what the graph would run next, in words."""
    return " and ".join(repr(name) for name in position.next)


async def where_it_stopped(graph: Any, config: Mapping[str, Any]) -> Position | None:  # noqa: ANN401
    """Return where a graph that has returned stands. Raises what its saver or its server raises."""
    server = as_server_graph(graph)
    if server is None:
        return await position_of(graph, config)
    found: Position | None = await server.position(config)
    return found


def _open_tool_calls(position: Position) -> Sequence[Any]:
    """Return the tool calls of the last message: with a breakpoint at the tools, what a human is to decide about."""
    for values in [level.state.values for level in reversed(position.levels)] or [position.values]:
        messages = member(values, "messages")
        calls = member(messages[-1], "tool_calls") if isinstance(messages, list | tuple) and messages else None
        if isinstance(calls, list | tuple) and calls:
            return calls
    return ()


async def answer_tool_calls(graph: Any, config: Mapping[str, Any], position: Position) -> None:  # noqa: ANN401
    """Note in the conversation that its open tool calls were rejected: models refuse a conversation that has any.

    Unchanged are graphs on servers, and those whose `messages` would be replaced rather than continued. Raises what
    the saver raises.
    """
    channel = getattr(graph, "channels", {}).get("messages")
    calls = _open_tool_calls(position) if len(position.levels) == 1 and hasattr(channel, "operator") else ()
    if calls:
        reply = {"role": "tool", "content": _NOT_RUN, "status": "error"}
        replies = [{**reply, "tool_call_id": member(call, "id")} for call in calls]
        in_order = {**config, "metadata": {**config.get("metadata", {}), IN_ORDER: True}}
        await graph.aupdate_state(in_order, {"messages": replies}, as_node=position.next[0])

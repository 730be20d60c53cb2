"""A real LangGraph with checkpoints, for worlds in which runs continue, and ask."""

import asyncio
import functools
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

STEPS = ("ask", "one", "two")
_worlds: dict[Any, tuple[Any, Any]] = {}
"""By event loop: the world and the process to which it belongs."""


@functools.cache
def _compiled():
    builder: Any = StateGraph(MessagesState)
    for name in STEPS:
        builder.add_node(name, functools.partial(_step, name))
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "one")
    builder.add_edge("one", "two")
    return builder.compile(checkpointer=InMemorySaver())


async def _step(name, _state, config):
    world, process = _worlds[asyncio.get_running_loop()]
    call = world.begin_call(process, config, step=name)
    try:
        await world.make_step(process, call)
    except BaseException as error:
        call.error = type(error).__name__
        raise
    finally:
        world.end_call(call)
    if name == "ask" and world.asks(call):
        interrupt("Go on?")
    return {"messages": [("ai", name)]}


def graph_for(world, process, saver):
    """Return the graph of a process; the saver outlives the processes of a world, as a database does."""
    _worlds[process.loop] = world, process
    return _compiled().copy(update={"checkpointer": saver})


def forget(world):
    """Forget a world that is over."""
    for loop in [loop for loop, (of, _) in _worlds.items() if of is world]:
        del _worlds[loop]

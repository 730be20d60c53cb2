"""The graph that every case invokes: one async node that counts its calls."""

from collections import Counter
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph

calls: Counter[str] = Counter()
"""How often the graph was invoked for each task."""


class State(TypedDict, total=False):
    """What the scheduler sends."""

    messages: list[Any]
    session_id: str
    metadata: dict[str, Any]


async def answer(state: State) -> dict[str, Any]:
    """Count the call, and answer at once."""
    calls[state["metadata"]["task_id"]] += 1
    return {"messages": [{"role": "assistant", "content": "Done."}]}


async def ready() -> Any:  # noqa: ANN401 (LangGraph's own generic type says no more)
    """Return the graph, compiled and invoked once: the first call imports what the others need."""
    builder = StateGraph(State)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    graph = builder.compile()
    await graph.ainvoke({"messages": [], "metadata": {"task_id": "first"}})
    calls.clear()
    return graph


def check_each_once(number: int) -> None:
    """Raise unless the graph was invoked exactly once for each of so many tasks."""
    once = sum(count == 1 for count in calls.values())
    assert once == len(calls) == number, f"{number} tasks: {once} ran once, {len(calls) - once} more than once"

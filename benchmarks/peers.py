"""What the peers' cases share: the same input and config for the graph as ours, and which calls are over."""

import uuid
from typing import Any

from benchmarks.stores import PROMPT

ended: list[str] = []
"""The tasks whose call of the graph is over."""


async def invoke(graph: Any, task_id: str) -> None:  # noqa: ANN401 (any graph)
    """Invoke the graph for one task."""
    await graph.ainvoke(invocation(task_id), config(task_id))
    ended.append(task_id)


def invocation(task_id: str) -> dict[str, Any]:
    """Return what the graph is invoked with."""
    return {
        "messages": [{"role": "user", "content": PROMPT}],
        "session_id": f"scheduler:{task_id}",
        "metadata": {"channel": "scheduler", "task_id": task_id, "task_name": task_id},
    }


def config(task_id: str) -> dict[str, Any]:
    """Return the config of one call."""
    return {
        "configurable": {"thread_id": f"scheduler:{task_id}"},
        "run_id": uuid.uuid4(),
        "run_name": task_id,
        "tags": ["scheduler"],
        "metadata": {"task_id": task_id, "scheduler_run_id": task_id, "scheduled_at": "2026-01-01T00:00:00+00:00"},
    }

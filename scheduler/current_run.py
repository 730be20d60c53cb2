"""Marks the context in which a run is made, so that code called by the graph can be recognised as part of the run.

Context variables follow asyncio tasks, threads that LangGraph and `asyncio.to_thread` start, and nested calls of
graphs. Nothing in a request, a config or a state can set them.
"""

from contextvars import ContextVar
from typing import Final

_run_id: Final[ContextVar[str | None]] = ContextVar("scheduler_run_id", default=None)


def enter_run(run_id: str) -> None:
    """Mark the present context as part of a run. Call it at the start of the run's own asyncio task."""
    _run_id.set(run_id)


def current_run_id() -> str | None:
    """Return the id of the run that this code is part of, or None."""
    return _run_id.get()

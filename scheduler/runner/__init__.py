"""GraphRunner: one attempt of a run, start to end — input, config, time-out, callback, outcome."""

import asyncio
import inspect
import uuid
from typing import Any, Final

from scheduler import logbook
from scheduler.clock import Clock, to_datetime
from scheduler.errors import GraphError, InvalidTaskError
from scheduler.models import RunStatus, TaskDefinition
from scheduler.runner.callbacks import Callback, load_callback
from scheduler.runner.graphs import Graph, load_graph
from scheduler.runner.messages import response_text
from scheduler.store import Claim, Outcome

__all__ = ["GraphRunner", "check_task"]

_ERROR_LIMIT: Final = 2_000
"""So many characters of an error are kept."""


class GraphRunner:
    """Invokes the graph for claims; `load()` must have succeeded before."""

    def __init__(self, graph: object, clock: Clock) -> None:
        """Take the graph of tasks that name none: `module:attribute`, or any object with `ainvoke`."""
        self._default = graph
        self._clock = clock
        self._graphs: dict[str | None, Graph] = {}
        self._callbacks: dict[str | None, Callback] = {}

    def load(self) -> None:
        """Import and check the scheduler's graph. Raises `GraphError`."""
        self._graphs = {None: load_graph(self._default)}

    async def run(self, claim: Claim) -> Outcome:
        """Make one attempt and return how it ended; what the graph or the callback raises becomes an outcome.

        Cancellation passes through.
        """
        task = claim.task
        logbook.run_started(task.name, task.id, claim.run_id, claim.attempt)
        try:
            graph = self._graphs.get(task.graph) or await self._loaded_graph(task.graph)
            callback = self._callbacks.get(task.result_callback) or await self._loaded_callback(task.result_callback)
        except (GraphError, ValueError) as error:
            return self._ended(claim, RunStatus.FAILED, error=error, quarantine=str(error))
        limit = asyncio.timeout(task.timeout_seconds)
        try:
            async with limit:
                result = await graph.ainvoke(graph_input(task), graph_config(claim))
        except Exception as error:  # noqa: BLE001 (whatever a graph raises is the run's outcome, not ours)
            return self._timed_out(claim) if limit.expired() else self._failed(claim, error)
        if limit.expired():
            return self._timed_out(claim)
        return await self._succeeded(claim, result, callback)

    # A module may take seconds to import, so that is done in a thread.

    async def _loaded_graph(self, path: str | None) -> Graph:
        self._graphs[path] = graph = await asyncio.to_thread(load_graph, path)
        return graph

    async def _loaded_callback(self, path: str | None) -> Callback | None:
        if path is None:
            return None
        self._callbacks[path] = callback = await asyncio.to_thread(load_callback, path)
        return callback

    async def _succeeded(self, claim: Claim, result: object, callback: Callback | None) -> Outcome:
        response = response_text(result)
        logbook.run_succeeded(claim.task.name, response)
        error = None if callback is None else await self._call_back(callback, claim.task, result)
        return self._ended(claim, RunStatus.SUCCEEDED, response=response, error=error)

    async def _call_back(self, callback: Callback, task: TaskDefinition, result: object) -> Exception | None:
        try:
            returned: object = callback(task, result)
            if not inspect.isawaitable(returned):
                message = f"result_callback={task.result_callback!r} returned {type(returned).__name__}, no awaitable"
                raise TypeError(message)  # noqa: TRY301 (it is told like what the callback raises)
            await returned
        except Exception as error:  # noqa: BLE001 (a callback must not undo the graph's success)
            logbook.callback_failed(task.name, task.id, error)
            return error
        return None

    def _failed(self, claim: Claim, error: Exception) -> Outcome:
        logbook.run_failed(claim.task.name, claim.task.id, claim.run_id, error)
        return self._ended(claim, RunStatus.FAILED, error=error)

    def _timed_out(self, claim: Claim) -> Outcome:
        seconds = claim.task.timeout_seconds or 0
        logbook.run_timed_out(claim.task.name, claim.task.id, claim.run_id, seconds)
        return self._ended(claim, RunStatus.TIMED_OUT, error=TimeoutError(f"longer than timeout_seconds={seconds:g}"))

    def _ended(
        self,
        claim: Claim,
        status: RunStatus,
        *,
        response: str | None = None,
        error: Exception | None = None,
        quarantine: str | None = None,
    ) -> Outcome:
        prefix = "result_callback: " if status is RunStatus.SUCCEEDED else ""
        text = None if error is None else f"{prefix}{type(error).__name__}: {error}"[:_ERROR_LIMIT]
        return Outcome(claim, status, self._clock.now(), response, text, error, quarantine)


def graph_input(task: TaskDefinition) -> dict[str, Any]:
    """Return what the graph is invoked with."""
    return {
        "messages": [{"role": "user", "content": task.prompt}],
        "session_id": f"scheduler:{task.session_id}",
        "metadata": {"channel": "scheduler", "task_id": task.id, "task_name": task.name, **task.metadata},
    }


def graph_config(claim: Claim) -> dict[str, Any]:
    """Return the config of one attempt.

    The run's id never stands as `run_id` in the metadata: LangGraph takes an equal one for a resume and drops the new
    input.
    """
    return {
        "configurable": {"thread_id": claim.thread_id},
        "run_id": uuid.uuid4(),
        "run_name": claim.task.name,
        "tags": ["scheduler"],
        "metadata": {
            "task_id": claim.task.id,
            "scheduler_run_id": claim.run_id,
            "scheduled_at": to_datetime(claim.scheduled_at).isoformat(),
        },
    }


def check_task(task: TaskDefinition) -> None:
    """Import the callback and the graph that a task names, if it does. Raises `InvalidTaskError`."""
    try:
        if task.result_callback is not None:
            load_callback(task.result_callback)
        if task.graph is not None:
            load_graph(task.graph)
    except (ValueError, GraphError) as error:
        raise InvalidTaskError(task.id, str(error)) from error

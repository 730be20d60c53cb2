"""Whether a run that is restarted again and again makes progress.

Each checkpoint carries the number of the attempt that wrote it, from the second one on. An attempt that wrote none was
of no use.
"""

import importlib
from typing import Any, Final

from scheduler.models import RunStatus
from scheduler.runner.langgraph_seam import as_server_graph, has_checkpointer, saved_checkpoints
from scheduler.store import RESTART_LIMIT, Claim

ATTEMPT_KEY: Final = "scheduler_attempt"
"""The number of a further attempt, in the config's metadata, from which LangGraph copies it into its checkpoints."""


async def is_stuck(
    graph: Any,  # noqa: ANN401 (any graph)
    claim: Claim,
    config: dict[str, Any],
    *,
    has_checkpoint: bool,
) -> bool:
    """Tell whether a run's last attempts, all of them interrupted, exceed the limit without a new checkpoint.

    Each task of a graph's step that has finished since the last checkpoint counts as progress once: LangGraph keeps its
    result, and does not run it again. `has_checkpoint`: there is one of the run. Raises what the saver raises.
    """
    if claim.last_status is not RunStatus.INTERRUPTED or len(claim.interrupted) < RESTART_LIMIT:
        return False
    if not has_checkpoint:
        return True
    useless = await _attempts_without_checkpoint(graph, claim, config)
    if useless < RESTART_LIMIT or not has_checkpointer(graph):
        return useless >= RESTART_LIMIT
    return useless >= RESTART_LIMIT + await _finished_tasks(graph, config)


async def _attempts_without_checkpoint(graph: Any, claim: Claim, config: dict[str, Any]) -> int:  # noqa: ANN401
    """Return how many interrupted attempts followed the last one that wrote a checkpoint."""
    server = as_server_graph(graph)
    newest = 1 if server is None else await server.newest_attempt(config)
    useless = 0
    for attempt in reversed(claim.interrupted):
        if attempt <= newest or (server is None and await _has_written(graph, config, claim.run_id, attempt)):
            break
        useless += 1
    return useless


async def _has_written(graph: Any, config: dict[str, Any], run_id: str, attempt: int) -> bool:  # noqa: ANN401
    """Tell whether an attempt wrote a checkpoint, be it of the graph or of one inside its nodes."""
    thread = {"configurable": {"thread_id": config["configurable"]["thread_id"]}}
    wanted = {"scheduler_run_id": run_id, ATTEMPT_KEY: attempt}
    found = graph.checkpointer.alist(thread, filter=wanted, limit=1)
    return [each async for each in found] != []


async def _finished_tasks(graph: Any, config: dict[str, Any]) -> int:  # noqa: ANN401
    """Return how many tasks have finished since the last checkpoint; their results are saved beside it."""
    types = importlib.import_module("langgraph.checkpoint.serde.types")
    unfinished = {types.ERROR, types.INTERRUPT, types.RESUME}
    finished = {
        task
        async for saved in saved_checkpoints(graph, await graph.aget_state(config, subgraphs=True))
        for task, channel, _ in saved.pending_writes or ()
        if channel not in unfinished
    }
    return len(finished)

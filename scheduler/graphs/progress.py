"""Whether a run that is restarted again and again makes progress.

Each checkpoint carries the number of the attempt that wrote it, from the second one on. An attempt that wrote none was
of no use.
"""

from typing import Any

from scheduler.graphs.local_langgraph import has_checkpointer
from scheduler.graphs.position import ATTEMPT_KEY, Position
from scheduler.models import RunStatus
from scheduler.store import RESTART_LIMIT, Claim


async def is_stuck(graph: Any, claim: Claim, config: dict[str, Any], position: Position | None) -> bool:  # noqa: ANN401
    """Tell whether a run's last attempts, all of them interrupted, exceed the limit without a new checkpoint.

    Each task of a graph's step that has finished since the last checkpoint counts as progress once: LangGraph keeps its
    result, and does not run it again. `position`: that of the run, None if it has no checkpoint. Raises what the saver
    or the server raises.
    """
    if not claim.checkpointed:
        return False  # the store counts restarts where no checkpoint can show progress
    if claim.last_status is not RunStatus.INTERRUPTED or len(claim.interrupted) < RESTART_LIMIT:
        return False
    if position is None:
        return True
    finished = sum(len(level.finished) for level in position.levels)
    return await _attempts_without_checkpoint(graph, claim, config, position) >= RESTART_LIMIT + finished


async def _attempts_without_checkpoint(graph: Any, claim: Claim, config: dict[str, Any], position: Position) -> int:  # noqa: ANN401
    """Return how many interrupted attempts followed the last one that wrote a checkpoint."""
    useless = 0
    for attempt in reversed(claim.interrupted):
        if attempt <= position.attempt or await _has_written(graph, claim, config, attempt):
            break
        useless += 1
    return useless


async def _has_written(graph: Any, claim: Claim, config: dict[str, Any], attempt: int) -> bool:  # noqa: ANN401
    """Tell whether an attempt wrote a checkpoint, also in a graph that LangGraph does not find in the nodes."""
    if not has_checkpointer(graph):
        return False
    thread = {"configurable": {"thread_id": config["configurable"]["thread_id"]}}
    wanted = {"scheduler_run_id": claim.run_id, ATTEMPT_KEY: attempt}
    return [each async for each in graph.checkpointer.alist(thread, filter=wanted, limit=1)] != []

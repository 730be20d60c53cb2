"""Answers that a graph rejects: the run goes back to its question instead of failing, so that it can be answered again.

LangGraph gives a node that failed on an answer the same one again. A node whose `interrupt()` has a `response_schema`
has not taken an answer that does not fit, and can be given another one. Any other node is run again from its beginning,
on a copy of the checkpoint without what was heard.
"""

import sys
from collections.abc import Mapping
from typing import Any, Final

from scheduler.graphs.beginning import Begin, Beginning
from scheduler.graphs.local_langgraph import has_checkpointer
from scheduler.graphs.position import Position, position_of
from scheduler.graphs.wrapped import graph_to_continue
from scheduler.store import Claim

_OF_SHAPE: Final = (ValueError, TypeError, LookupError, AttributeError)
"""What code raises when a value has another shape than it expects."""


async def back_to_question(
    graph: Any,  # noqa: ANN401 (any graph)
    claim: Claim,
    config: Mapping[str, Any],
    opening: Beginning,
    error: Exception,
) -> Beginning | None:
    """Return how an attempt continues that failed on its answer; None if it is to fail.

    Only of local graphs with a checkpointer. An error that may have another cause is met by the attempts that the task
    grants, first. A question inside another graph's node, or one beside which a node of the same step has finished,
    stays failed: that would be run twice. Raises what the saver raises.
    """
    is_answered = claim.answers is not None and opening.how is Begin.CONTINUE
    if not is_answered or graph_to_continue(graph) is not graph or not has_checkpointer(graph):
        return None
    is_last_try = claim.failures + 1 >= claim.task.max_attempts
    if not _is_unfit(error) and not (is_last_try and isinstance(error, _OF_SHAPE)):
        return None
    position = await position_of(graph, config)
    if position is None or not position.questions:
        return None
    if _is_unfit(error):
        return Beginning(Begin.ASKED, result=position.values, questions=position.questions)
    return await _asked_again(graph, position) if _is_of_answer(position) else None


def _is_unfit(error: Exception) -> bool:
    """Tell whether `interrupt()` refused an answer by its schema."""
    tell = getattr(sys.modules.get("langgraph.errors"), "is_invalid_resume", None)
    return tell is not None and bool(tell(error))


def _is_of_answer(position: Position) -> bool:
    """Tell whether the node that failed has heard an answer, and nothing else of its step would be run twice."""
    if len(position.levels) != 1 or position.levels[0].hidden or position.levels[0].finished:
        return False
    level = position.levels[0]
    return any(task in level.failed and task in level.answers for task in level.asked.values())


async def _asked_again(graph: Any, position: Position) -> Beginning:  # noqa: ANN401 (a LangGraph)
    """Put a copy of the last checkpoint at the head of the thread, from which the graph asks again."""
    base: Any = sys.modules["langgraph.checkpoint.base"]
    saved = position.levels[0].saved
    step = saved.metadata.get("step", -1) + 1
    copied = {**base.copy_checkpoint(saved.checkpoint), "id": str(base.uuid6(clock_seq=step))}
    parent = (saved.parent_config or {"configurable": {}})["configurable"].get("checkpoint_id")
    place = {name: saved.config["configurable"][name] for name in ("thread_id", "checkpoint_ns")}
    before = {"configurable": {**place, **({} if parent is None else {"checkpoint_id": parent})}}
    # The metadata stay: the copy is of the same run, which can be continued from it.
    await graph.checkpointer.aput(before, copied, {**saved.metadata, "source": "fork", "step": step}, {})
    return Beginning(Begin.CONTINUE, None, position=position)

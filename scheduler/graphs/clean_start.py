"""Lets a new run begin behind what unsuccessful runs have left on its thread.

A tool that raised or took too long leaves a call without an answer, which no model accepts: every later run of the
conversation would fail. So does a bad input that was saved before the first step.
"""

import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

from scheduler.graphs.local_langgraph import has_checkpointer
from scheduler.graphs.threads import in_thread
from scheduler.models import RunStatus

IsUnsuccessful = Callable[[str], Awaitable[bool]]
"""Tells of a run, by its id, whether it is over and did not succeed."""
_UNSUCCESSFUL: Final = frozenset({RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.CANCELLED, RunStatus.INTERRUPTED})
IN_ORDER: Final = "scheduler_in_order"
"""The key in a checkpoint's metadata that says: whatever its run came to, the conversation is in order here."""
_EMPTY: Final = {"source": "fork", "step": -1, "parents": {}}


def unsuccessful_by(status_of: Callable[[str], RunStatus | None]) -> IsUnsuccessful:
    """Return what looks the status of a run up, in a thread."""

    async def is_unsuccessful(run_id: str) -> bool:
        return await in_thread(status_of, run_id) in _UNSUCCESSFUL

    return is_unsuccessful


async def start_clean(graph: Any, thread_id: str, is_unsuccessful: IsUnsuccessful) -> None:  # noqa: ANN401 (any graph)
    """Copy the last checkpoint that is not of an unsuccessful run to the head of a thread, if the head is of one.

    What others wrote to the thread stays, and so does all of its history. Only of local graphs with a checkpointer.
    Raises what the saver raises.
    """
    if not has_checkpointer(graph):
        return
    saver, here = graph.checkpointer, _place(thread_id)
    head = await saver.aget_tuple(here)
    if head is None or not await _is_left_behind(head, is_unsuccessful):
        return
    kept = await _last_kept(saver, here, head, is_unsuccessful)
    if kept is not None:
        # The copy carries the id of no run: a run that is killed right after it has not started.
        await graph.aupdate_state(_place(thread_id, kept.checkpoint["id"]), None, as_node="__copy__")
    else:
        base: Any = sys.modules["langgraph.checkpoint.base"]
        await saver.aput(here, base.empty_checkpoint(), _EMPTY, {})


async def _last_kept(saver: Any, here: dict[str, Any], head: Any, is_unsuccessful: IsUnsuccessful) -> Any | None:  # noqa: ANN401 (LangGraph's)
    """Return the last checkpoint that is not of an unsuccessful run; None if there is none."""
    async with aclosing(saver.alist(here, before=head.config)) as earlier:  # a saver may be locked until it is closed
        async for saved in earlier:
            if not await _is_left_behind(saved, is_unsuccessful):
                return saved
    return None


async def _is_left_behind(saved: Any, is_unsuccessful: IsUnsuccessful) -> bool:  # noqa: ANN401 (LangGraph's)
    run_id = saved.metadata.get("scheduler_run_id")
    return isinstance(run_id, str) and not saved.metadata.get(IN_ORDER) and await is_unsuccessful(run_id)


def _place(thread_id: str, checkpoint_id: str | None = None) -> dict[str, Any]:
    chosen = {} if checkpoint_id is None else {"checkpoint_id": checkpoint_id}
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": "", **chosen}}

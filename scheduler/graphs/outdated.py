"""Conversations that an earlier release of a graph has left, with values that the state of the present one refuses."""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Final

from pydantic import ValidationError

from scheduler._texts import shown
from scheduler.graphs.inputs import problem_of_input
from scheduler.graphs.local_langgraph import has_checkpointer
from scheduler.graphs.wrapped import graph_to_continue
from scheduler.store import Claim

_LOOKED_AT: Final = 100
"""Of so many checkpoints one of an earlier run is looked for."""


async def refusal_of_saved_state(
    graph: object, claim: Claim, config: Mapping[str, Any], given: object, error: Exception
) -> str | None:
    """Return what to say of an attempt that failed because the graph's state refuses what earlier runs have saved.

    None if it failed for another reason: the run's own input would be refused, too, or there are no earlier runs.
    Raises what the saver raises.
    """
    inside: Any = graph_to_continue(graph)
    if not isinstance(error, ValidationError) or not has_checkpointer(inside):
        return None
    schemas = getattr(getattr(inside, "builder", None), "schemas", ())
    if error.title not in {getattr(schema, "__name__", None) for schema in schemas}:
        return None
    if not isinstance(given, dict) or problem_of_input(inside, given) is not None:
        return None
    if not await _has_earlier_runs(inside.checkpointer, claim, config):
        return None
    fields = ", ".join(dict.fromkeys(".".join(map(str, line["loc"][:1])) for line in error.errors(include_url=False)))
    problem = (
        f"conversation {shown(claim.thread_id)} was saved with another state, and the graph's {error.title} refuses it"
    )
    hint = (
        f"forget_session(task_id={claim.task.id!r}) or `task-scheduler forget --task {claim.task.id}` begins a new one"
    )
    return f"{problem} ({fields}); let the state take the old values, or {hint}"


async def _has_earlier_runs(saver: Any, claim: Claim, config: Mapping[str, Any]) -> bool:  # noqa: ANN401
    here = {"configurable": {"thread_id": config["configurable"]["thread_id"], "checkpoint_ns": ""}}
    async with aclosing(saver.alist(here, limit=_LOOKED_AT)) as found:
        async for saved in found:
            if saved.metadata.get("scheduler_run_id") != claim.run_id:
                return True
    return False

"""Where a thread stands: what its graph would run next, what it asks, and what of it the graph no longer has."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from scheduler.graphs.levels import Level, is_at_breakpoint, levels_of, missing_from
from scheduler.graphs.local_langgraph import as_server_graph
from scheduler.graphs.questions import questions_of
from scheduler.models import Question

ATTEMPT_KEY: Final = "scheduler_attempt"
"""The number of a further attempt, in the config's metadata, from which LangGraph copies it into its checkpoints."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a thread stands."""

    run_id: str | None
    """The run that wrote the last checkpoint."""
    values: Any
    next: tuple[str, ...]
    """The nodes that the graph would run next; those of a graph inside a node follow its name, as in `inner.pay`."""
    questions: tuple[Question, ...] = ()
    """What the graph asks."""
    missing: tuple[str, ...] = ()
    """What is to run next and the graph no longer has, in words, such as `node 'pay'`."""
    attempt: int = 1
    """The highest number of an attempt that wrote a checkpoint, as far as the states show."""
    is_at_breakpoint: bool = False
    """Whether the graph stops in front of the next nodes until somebody lets it continue."""
    checkpoint_ids: tuple[str, ...] = ()
    """The checkpoints of the graph and of the graphs inside its nodes."""
    levels: tuple[Level, ...] = ()
    """The graph, and the graphs inside its nodes; empty for a graph on a server."""

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.next or self.questions or self.missing)


async def position_of(graph: Any, config: Mapping[str, Any]) -> Position | None:  # noqa: ANN401 (any graph with threads)
    """Return where a thread stands, or None if there is no such thread. Raises what the saver or the server raises."""
    server = as_server_graph(graph)
    if server is not None:
        found: Position | None = await server.position_left_behind(config)
        return found
    state = await graph.aget_state(config, subgraphs=True)
    levels = tuple([level async for level in levels_of(graph, graph.checkpointer, state)])
    if not levels:
        return None
    saved = [each for level in levels for each in (level.saved, *level.hidden)]
    return Position(
        run_id=state.metadata.get("scheduler_run_id"),
        values=state.values,
        next=_next_nodes(state),
        questions=questions_of(state.interrupts),
        missing=tuple(dict.fromkeys(each for level in levels for each in missing_from(level))),
        attempt=max(each.metadata.get(ATTEMPT_KEY, 1) for each in saved),
        is_at_breakpoint=any([await is_at_breakpoint(graph, level) for level in levels]),
        checkpoint_ids=tuple(each.checkpoint["id"] for each in saved),
        levels=levels,
    )


def _next_nodes(state: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return what a graph would run next, of the graphs inside its nodes the innermost."""
    inner = {task.name: task.state for task in state.tasks if hasattr(task.state, "tasks") and task.state.next}
    names = [
        f"{name}.{each}" if each else name
        for name in state.next
        for each in (_next_nodes(inner[name]) if name in inner else [""])
    ]
    return tuple(dict.fromkeys(names))


# --- Answers ---


def heard_answers(position: Position, answers: Mapping[str, Any]) -> set[str]:
    """Return the interrupts, of those that are still pending, whose nodes have been given the answer already.

    An earlier answer that was the same counts as well: then the graph asks again, where it might otherwise take one
    answer for two.
    """
    return {
        key
        for level in position.levels
        for key, task in level.asked.items()
        if key in answers and task in level.answers and level.answers[task] == answers[key]
    }


def resume_command(graph: object, answers: Mapping[str, Any]) -> Any:  # noqa: ANN401 (LangGraph's own class)
    """Return what continues a graph that asked, given answers by the ids of its interrupts."""
    if as_server_graph(graph) is not None:
        return importlib.import_module("scheduler.graphs.server").Answers(answers)
    return importlib.import_module("langgraph.types").Command(resume=dict(answers))

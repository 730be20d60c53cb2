"""What is saved of a local graph and of the graphs inside its nodes, and what follows from it.

LangGraph's own state says less: it passes over nodes that the graph does not know, so that a run whose next node was
renamed looks like one that has finished; and it does not show the breakpoints (`interrupt_before`, `interrupt_after`).
"""

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scheduler.graphs.local_langgraph import is_langgraph

_START: Final = "__start__"
_BRANCH: Final = "branch:to:"
_JOIN: Final = "join:"
_SENDS: Final = "__pregel_tasks"
_ERROR: Final = "__error__"
_INTERRUPT: Final = "__interrupt__"
_RESUME: Final = "__resume__"
_UNFINISHED: Final = frozenset({_ERROR, _INTERRUPT, _RESUME, "__error_source_node__"})
"""Channels of writes that a task leaves before it has finished; any other write is its result."""
_HIDDEN: Final = "langsmith:hidden"
"""The tag of nodes at which a breakpoint for all nodes does not stop."""


_MOST_TASKS: Final = 100
"""In the nodes of so many tasks of a step graphs are looked for that LangGraph does not find."""


@dataclass(frozen=True, slots=True)
class Level:
    """One graph of those that are inside one another, and where it stands."""

    graph: Any
    state: Any
    """LangGraph's `StateSnapshot`."""
    saved: Any
    """The `CheckpointTuple` that the state was read from."""
    path: tuple[str, ...]
    """The nodes that the graph is inside of."""
    hidden: tuple[Any, ...] = ()
    """The `CheckpointTuple`s of graphs in the nodes that LangGraph does not find, such as one that a method calls."""

    @property
    def finished(self) -> set[str]:
        """The ids of the tasks that have finished since the checkpoint."""
        return _finished_in(self._writes)

    @property
    def failed(self) -> set[str]:
        """The ids of the tasks that have raised an error since the checkpoint."""
        return {task for task, channel, _ in self._writes if channel == _ERROR}

    @property
    def asked(self) -> dict[str, str]:
        """The interrupts of tasks that have not finished, each with the task's id."""
        return _asked_in(self._writes)

    @property
    def answers(self) -> dict[str, Any]:
        """The latest answer that each task was given, by the task's id."""
        return {task: values[-1] for task, channel, values in self._writes if channel == _RESUME and values}

    @property
    def has_begun(self) -> bool:
        """Whether a task of the step was run: it has asked, failed or finished, or there is a graph at work in it."""
        inside = [task.state for task in self.state.tasks if hasattr(task.state, "tasks")]
        return bool(self._writes or self.hidden) or any(state.metadata is not None for state in inside)

    @property
    def _writes(self) -> Sequence[tuple[str, str, Any]]:
        """What tasks have left beside the checkpoint: the task's id, the channel, the value."""
        return self.saved.pending_writes or ()


async def levels_of(
    graph: Any,  # noqa: ANN401 (any LangGraph)
    saver: Any,  # noqa: ANN401
    state: Any,  # noqa: ANN401
    path: tuple[str, ...] = (),
) -> AsyncIterator[Level]:
    """Yield a graph, and the graphs in its nodes that are in progress. Raises what the saver raises."""
    saved = await saver.aget_tuple(state.config)
    if saved is None:
        return
    subgraphs = dict(graph.get_subgraphs()) if is_langgraph(graph) else {}
    yield Level(graph, state, saved, path, await _hidden_in(saver, state))
    for task in state.tasks:
        if hasattr(task.state, "tasks") and task.name in subgraphs:
            async for level in levels_of(subgraphs[task.name], saver, task.state, (*path, task.name)):
                yield level


async def _hidden_in(saver: Any, state: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """Return what is saved of graphs in the nodes of a step that LangGraph does not find."""
    own = state.config["configurable"]
    found = []
    for task in state.tasks[:_MOST_TASKS]:
        if not hasattr(task.state, "tasks"):
            name = "|".join(filter(None, [own.get("checkpoint_ns"), f"{task.name}:{task.id}"]))
            found.append(
                await saver.aget_tuple({"configurable": {"thread_id": own["thread_id"], "checkpoint_ns": name}})
            )
    return tuple(saved for saved in found if saved is not None)


async def nobody_heard(saver: Any, levels: Sequence[Level], answers: Collection[str]) -> bool:  # noqa: ANN401
    """Tell whether a graph that LangGraph does not find had asked something, and did not hear the answer.

    `levels` says where the graphs stood before the answers were given, `answers` holds the ids of the interrupts. A
    node that hears an answer notes it beside its checkpoint, and moves on to the next one when it has finished.
    """
    for saved in [saved for level in levels for saved in level.hidden]:
        asking = {task for key, task in _asked_in(saved.pending_writes or ()).items() if key in answers}
        own = saved.config["configurable"]
        place = {"thread_id": own["thread_id"], "checkpoint_ns": own["checkpoint_ns"]}
        now = await saver.aget_tuple({"configurable": place}) if asking else None
        if now is not None and now.checkpoint["id"] == saved.checkpoint["id"]:
            heard = {task for task, channel, _ in now.pending_writes or () if channel == _RESUME}
            if not asking <= heard:
                return True
    return False


def _finished_in(writes: Sequence[tuple[str, str, Any]]) -> set[str]:
    return {task for task, channel, _ in writes if channel not in _UNFINISHED}


def _asked_in(writes: Sequence[tuple[str, str, Any]]) -> dict[str, str]:
    """Return the interrupts of tasks that have not finished, each with the task's id."""
    finished = _finished_in(writes)
    asked = [(task, found) for task, channel, found in writes if channel == _INTERRUPT and task not in finished]
    return {each.id: task for task, interrupts in asked for each in interrupts}


# --- What the graph no longer has ---


def missing_from(level: Level) -> Iterator[str]:
    """Yield what the checkpoint wants to be run and the graph does not have, in words, such as `node 'pay'`."""
    where = f" (in {'.'.join(level.path)})" if level.path else ""
    found = [*_unknown_targets(level), *_unknown_sends(level), *_broken_joins(level)]
    if not found and not level.asked.keys() <= {each.id for each in level.state.interrupts}:
        found = ["the node that asked"]
    yield from (f"{each}{where}" for each in found)


def _unknown_channels(level: Level, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the channels with a prefix that have a value of this run and are unknown to the graph, and the value.

    Savers that keep the values of channels by version show those of earlier runs as well, where the graph did not know
    the channel and could not clear it. A run's own are newer than its input.
    """
    checkpoint = level.saved.checkpoint
    versions, values = checkpoint["channel_versions"], checkpoint["channel_values"]
    if _START in values:
        return  # the run has its input, and no step has been made yet
    start = checkpoint["versions_seen"].get(_START, {}).get(_START)
    for channel, value in values.items():
        if channel.startswith(prefix) and channel not in level.graph.channels:
            version = versions.get(channel)
            if start is None or version is None or version > start:
                yield channel.removeprefix(prefix), value


def _unknown_targets(level: Level) -> list[str]:
    """Return the nodes that edges lead to; the channel of an edge has a value until its node has run."""
    return [f"node {name!r}" for name, _ in _unknown_channels(level, _BRANCH)]


def _unknown_sends(level: Level) -> list[str]:
    sends = level.saved.checkpoint["channel_values"].get(_SENDS) or ()
    targets = [send.node for send in sends if getattr(send, "node", None)]
    return [f"node {name!r}" for name in targets if name not in level.graph.nodes]


def _broken_joins(level: Level) -> list[str]:
    """Return the nodes of edges from several nodes to one, where the graph no longer has the edge.

    Such an edge waits until all its nodes have run. One that waits in vain, because the run has finished without some
    of them, is no concern.
    """
    found = []
    for edge, value in _unknown_channels(level, _JOIN):
        sources, _, target = edge.rpartition(":")
        arrived = value[0] if isinstance(value, list | tuple) else value
        if level.state.next or set(sources.split("+")) <= set(arrived):
            ends = [*sources.split("+"), target]
            gone = [f"node {name!r}" for name in ends if name not in level.graph.nodes]
            found += gone or [f"the edge from {sources!r} to {target!r}"]
    return found


# --- Breakpoints ---


async def is_at_breakpoint(root: Any, level: Level) -> bool:  # noqa: ANN401 (a LangGraph)
    """Tell whether a graph stops where it stands, in front of its next nodes or behind those that it ran last.

    A graph that was cut off there has not stopped yet, and when it continues it passes the breakpoint. Raises what the
    saver raises.
    """
    if not level.state.next or level.has_begun:
        return False
    if _stops_at(level.graph, "interrupt_before_nodes", level.state.next):
        return True
    if not getattr(level.graph, "interrupt_after_nodes", ()) or not level.state.parent_config:
        return False
    previous = await root.aget_state(level.state.parent_config)
    return _stops_at(level.graph, "interrupt_after_nodes", [task.name for task in previous.tasks])


def _stops_at(graph: Any, setting: str, nodes: Sequence[str]) -> bool:  # noqa: ANN401
    """Tell whether a graph has a breakpoint at one of some nodes; the setting is a list of nodes, or `"*"`."""
    stops = getattr(graph, setting, ())
    if stops == "*":
        return any(_HIDDEN not in (getattr(graph.nodes.get(name), "tags", None) or ()) for name in nodes)
    return not set(stops).isdisjoint(nodes)

"""Graphs inside LangChain's runnables: `graph.with_retry()`, `.bind()`, `.with_fallbacks()`, a sequence around a graph.

What the scheduler does with a graph beyond calling it (taking turns on a thread, continuing a run, giving answers) it
does with the graph inside. A call still goes through the runnables around it, each time with a stand-in in the place of
the graph, through which the scheduler passes what the runnables do not: its options, a resumption, an interruption.
"""

import importlib
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from scheduler.graphs import local_langgraph
from scheduler.graphs.local_langgraph import as_remote_graph, as_server_graph, is_langgraph, with_breakpoints

Invoke: TypeAlias = Callable[[Any, object, dict[str, Any], Mapping[str, Any]], Awaitable[object]]
"""Calls a graph: the graph, its input, its config, further arguments."""

_BREAKPOINTS: Final = ("interrupt_before", "interrupt_after")


class WrappedGraph:
    """Runnables around one graph, or around several.

    With one graph that keeps threads, a run can be continued and answered like a run of the graph itself. With
    several, or with one that is called by a function, nobody can know which step of the runnables a run had reached:
    such runs take turns on their thread, and that is all.
    """

    def __init__(self, runnable: Any, load: Callable[[Any], Any]) -> None:  # noqa: ANN401 (a LangChain runnable)
        """Take the outermost runnable, and what turns a graph into one that the scheduler calls."""
        self.runnable: Any = _rebuilt(runnable, lambda graph, given: with_breakpoints(load(graph), _breakpoints(given)))
        self.name: str = type(runnable).__name__
        self.graphs: tuple[Any, ...] = tuple(_reachable(self.runnable))
        self.hidden: tuple[Any, ...] = tuple(_hidden(self.runnable))
        """Graphs that functions call, or that are in places where no call can be followed."""
        self.graph: Any | None = self._only_one()
        """The graph whose runs can be continued and answered; None if there is none, or more than one."""

    @property
    def inside(self) -> tuple[Any, ...]:
        """All graphs inside."""
        return (*self.graphs, *self.hidden)

    def _only_one(self) -> Any | None:  # noqa: ANN401
        keeping = [graph for graph in self.inside if local_langgraph.keeps_threads(graph)]
        [found, *others] = keeping or self.inside
        return None if others or not any(graph is found for graph in self.graphs) else found

    @property
    def first(self) -> Any | None:  # noqa: ANN401
        """The graph that gets the input as it is given, or None."""
        return _first(self.runnable)

    @property
    def problem(self) -> str:
        """Why runs cannot be continued and answered, in words."""
        if len(self.inside) > 1:
            return f"its {self.name} has {len(self.inside)} graphs"
        return f"in its {self.name} the graph is called by other code"

    async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002, ANN401 (LangGraph's own)
        """Call the runnables as they are."""
        return await self.runnable.ainvoke(input, config, **kwargs)

    async def call(self, given: object, config: dict[str, Any], invoke: Invoke, start: object | None) -> object:
        """Call the runnables, with `invoke` in place of the graphs' own `ainvoke`.

        `start`: the graph at which to start; the steps before it are passed over.
        """
        runnable = _rebuilt(self.runnable, lambda graph, _: _StandIn(graph, invoke), start)
        return await runnable.ainvoke(given, config)

    def takers(self) -> list[Any]:
        """Return the graphs to which a saver could be attached, unless they say that they keep nothing."""
        local = [graph for graph in self.graphs if is_langgraph(graph)]
        return [graph for graph in local if graph.checkpointer is not False] if len(local) > 1 else local

    def with_checkpointer(self, taker: object, saver: object) -> "WrappedGraph":
        """Return the same runnables around a graph that keeps its threads in a saver."""
        return WrappedGraph(
            self.runnable, lambda graph: local_langgraph.with_checkpointer(graph, saver) if graph is taker else graph
        )


class _StandIn:
    """Takes a graph's place in a runnable."""

    def __init__(self, graph: Any, invoke: Invoke) -> None:  # noqa: ANN401
        self._graph = graph
        self._invoke = invoke

    async def ainvoke(self, given: object, config: dict[str, Any], **options: Any) -> object:  # noqa: ANN401
        return await self._invoke(self._graph, given, config, options)

    def get_name(self, suffix: str | None = None, *, name: str | None = None) -> str:
        """Return what the runnables around the graph call it in traces."""
        return f"{name or type(self._graph).__name__}{suffix or ''}"


def unwrapped(runnable: object, load: Callable[[Any], Any]) -> WrappedGraph | None:
    """Return a runnable with graphs inside; None if it is no runnable, a graph itself, or has no graph inside."""
    if not _kind("base", "Runnable", runnable) or _is_graph(runnable):
        return None
    return WrappedGraph(runnable, load) if any(_reachable(runnable)) or any(_hidden(runnable)) else None


# --- The scheduler's questions to any graph ---


def graphs_of(graph: object) -> tuple[Any, ...]:
    """Return the graphs inside a graph; the graph itself if it is no runnable around others."""
    return graph.inside if isinstance(graph, WrappedGraph) else (graph,)


def first_graph(graph: object) -> Any | None:  # noqa: ANN401
    """Return the graph that gets the input as it is given, or None."""
    return graph.first if isinstance(graph, WrappedGraph) else graph


def graph_to_continue(graph: object) -> Any | None:  # noqa: ANN401
    """Return the graph whose runs can be continued and answered, or None."""
    return graph.graph if isinstance(graph, WrappedGraph) else graph


def keeps_threads(graph: object) -> bool:
    """Tell whether a graph, or one inside it, remembers its threads."""
    return any(local_langgraph.keeps_threads(each) for each in graphs_of(graph))


async def delete_thread(graph: object, thread_id: str) -> None:
    """Delete what a graph keeps of a thread, if it keeps any. Raises what its saver or its server raises."""
    for each in graphs_of(graph):
        await local_langgraph.delete_thread(each, thread_id)


def takes_checkpointer(graph: object) -> bool:
    """Tell whether a graph could keep its threads, and does not say itself where, or that it does not."""
    if not isinstance(graph, WrappedGraph):
        return local_langgraph.takes_checkpointer(graph)
    return not keeps_threads(graph) and [each.checkpointer for each in graph.takers()] == [None]


def with_checkpointer(graph: Any, saver: object) -> Any | None:  # noqa: ANN401
    """Return a graph that keeps its threads in a saver; None if it is no local LangGraph, or more than one."""
    if not isinstance(graph, WrappedGraph):
        return local_langgraph.with_checkpointer(graph, saver) if is_langgraph(graph) else None
    takers = graph.takers()
    return graph.with_checkpointer(takers[0], saver) if len(takers) == 1 and not graph.hidden else None


def with_store(graph: Any, store: object) -> Any:  # noqa: ANN401
    """Return a graph whose nodes are given a store, with all graphs inside it that have none."""

    def given(each: Any) -> Any:  # noqa: ANN401
        return local_langgraph.with_store(each, store) if local_langgraph.takes_store(each) else each

    return WrappedGraph(graph.runnable, given) if isinstance(graph, WrappedGraph) else given(graph)


def takes_store(graph: object) -> bool:
    """Tell whether there is a graph to which a store could be given: a local LangGraph, whether it has one or not."""
    return any(is_langgraph(each) for each in graphs_of(graph))


# --- Runnables ---


def _is_graph(runnable: object) -> bool:
    return is_langgraph(runnable) or as_remote_graph(runnable) is not None or as_server_graph(runnable) is not None


def _kind(module: str, name: str, runnable: object) -> bool:
    """Tell whether something is of a class of LangChain, whose modules are there if a program uses them."""
    found = getattr(sys.modules.get(f"langchain_core.runnables.{module}"), name, None)
    return found is not None and isinstance(runnable, found)


def _parts(runnable: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the fields of a runnable that hold what it passes its input to; nothing for runnables of other kinds."""
    if _kind("base", "RunnableBindingBase", runnable):
        return {"bound": runnable.bound}
    if _kind("fallbacks", "RunnableWithFallbacks", runnable):
        return {"runnable": runnable.runnable, "fallbacks": list(runnable.fallbacks)}
    if _kind("base", "RunnableSequence", runnable):
        return {"first": runnable.first, "middle": list(runnable.middle), "last": runnable.last}
    return {}


def _listed(parts: Mapping[str, Any]) -> Iterator[Any]:
    for part in parts.values():
        yield from part if isinstance(part, list) else (part,)


def _reachable(runnable: object) -> Iterator[Any]:
    """Yield the graphs in the places where a call can be followed; one that is in two places twice."""
    if _is_graph(runnable):
        yield runnable
    for part in _listed(_parts(runnable)):
        yield from _reachable(part)


def _first(runnable: Any) -> Any | None:  # noqa: ANN401
    if _is_graph(runnable):
        return runnable
    parts = list(_listed(_parts(runnable)))
    return _first(parts[0]) if parts else None


def _rebuilt(
    runnable: Any,  # noqa: ANN401
    replace: Callable[[Any, Mapping[str, Any]], Any],
    start: object | None = None,
    given: Mapping[str, Any] | None = None,
) -> Any:  # noqa: ANN401
    """Return a copy of a runnable with its graphs replaced; `replace` gets a graph and the arguments bound to it.

    That includes graphs in branches, whose runs cannot be continued: the branch would be chosen again.
    """
    if _is_graph(runnable):
        return replace(runnable, given or {})
    if _kind("branch", "RunnableBranch", runnable):
        branches = [(condition, _rebuilt(taken, replace, start, given)) for condition, taken in runnable.branches]
        default = _rebuilt(runnable.default, replace, start, given)
        return runnable.model_copy(update={"branches": branches, "default": default})
    parts = _parts(runnable)
    if not parts:
        return runnable
    bound = {**getattr(runnable, "kwargs", {}), **(given or {})} if "bound" in parts else given

    def rebuilt(part: Any) -> Any:  # noqa: ANN401
        return _rebuilt(part, replace, start, bound)

    copied = {name: [*map(rebuilt, part)] if isinstance(part, list) else rebuilt(part) for name, part in parts.items()}
    if start is not None and "first" in parts:
        copied = _from_start(parts, copied, start)
    return runnable.model_copy(update=copied)


def _from_start(parts: Mapping[str, Any], copied: Mapping[str, Any], start: object) -> dict[str, Any]:
    """Return the steps of a sequence with those before a graph replaced by steps that do nothing."""
    steps = list(_listed(copied))
    begin = next((n for n, each in enumerate(_listed(parts)) if any(graph is start for graph in _reachable(each))), 0)
    nothing = importlib.import_module("langchain_core.runnables.passthrough").RunnablePassthrough()
    steps[:begin] = [nothing] * begin
    return {"first": steps[0], "middle": steps[1:-1], "last": steps[-1]}


def _hidden(runnable: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield the graphs inside a runnable that are in other places, such as what a function calls."""
    seen: set[int] = set()
    waiting = [each for leaf in _leaves(runnable) for each in _contents(leaf)]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if _is_graph(each):
            yield each
        elif _kind("base", "Runnable", each):
            waiting += _contents(each)


def _leaves(runnable: object) -> Iterator[Any]:
    """Yield the runnables, other than graphs, in which a call cannot be followed."""
    parts = list(_listed(_parts(runnable)))
    if not parts and not _is_graph(runnable):
        yield runnable
    for part in parts:
        yield from _leaves(part)


def _contents(runnable: Any) -> list[Any]:  # noqa: ANN401
    """Return the values that a runnable holds: in its fields, in lists and dicts there, and what its function uses."""
    used = runnable.deps if _kind("base", "RunnableLambda", runnable) else ()
    values = [*getattr(runnable, "__dict__", {}).values(), *used]
    found = []
    for value in values:
        if isinstance(value, Mapping):
            found += list(value.values())
        elif isinstance(value, list | tuple):
            found += [member for each in value for member in (each if isinstance(each, tuple) else (each,))]
        else:
            found.append(value)
    return found


def _breakpoints(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the breakpoints among the arguments that are bound to a graph."""
    return {name: given[name] for name in _BREAKPOINTS if given.get(name)}

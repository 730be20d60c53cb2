"""The graphs that a scheduler has loaded, and those that factories make: once at the start, or for each run."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from scheduler import _containment, logbook
from scheduler.errors import GraphError
from scheduler.graphs.factories import GraphFactory, is_unfinished
from scheduler.graphs.loading import Graph, checked_graph, compiled, load_graph
from scheduler.graphs.wrapped import (
    WrappedGraph,
    keeps_threads,
    takes_checkpointer,
    takes_store,
    with_checkpointer,
    with_store,
)

T = TypeVar("T")
Loaded: TypeAlias = Graph | GraphFactory
"""A graph, or what makes one for each run."""

_PATIENCE: Final = 5.0
"""So many seconds a context manager has to end when it is left at a stop."""


class GraphTable:
    """The graphs by the paths that tasks name; None is the scheduler's own. Each is loaded once."""

    def __init__(self, default: object, checkpointer: object | None, store: object | None = None) -> None:
        """Take the scheduler's graph, or its name, and the saver and the store that are attached to graphs."""
        self._default = default
        self._saver = checkpointer
        self._store = store
        self._loaded: dict[str | None, Loaded] = {}
        self._making: dict[str | None, _MadeOnce] = {}
        self._held: list[_MadeOnce] = []

    def reset(self) -> None:
        """Forget all graphs, as at a new start."""
        self._loaded, self._making, self._held = {}, {}, []

    def known(self, path: str | None) -> Loaded | None:
        """Return a graph that is ready, or None."""
        return self._loaded.get(path)

    def name_of(self, path: str | None) -> str:
        """Return what a graph is called in errors."""
        named = self._default if path is None else path
        return named if isinstance(named, str) else type(named).__name__

    def load(self, path: str | None) -> None:
        """Import a graph, and make it unless that needs an event loop: then `made` does it. Raises `GraphError`."""
        if path in self._loaded or path in self._making:
            return
        found = load_graph(self._default if path is None else path, needs_messages=False)
        if not isinstance(found, GraphFactory):
            self._loaded[path] = self._with_saver(path, found)
        elif found.is_per_run:
            self._loaded[path] = found
        else:
            self._load_once(path, found)

    def _load_once(self, path: str | None, factory: GraphFactory) -> None:
        value = None if factory.is_async else factory.call()
        if factory.is_async or is_unfinished(value):
            self._making[path] = _MadeOnce(factory, value, partial(self._made_by, factory))
        else:
            self._loaded[path] = self._made_by(factory, value)

    async def made(self, path: str | None) -> Loaded:
        """Return a graph that `load` has loaded, when it is made. Raises `GraphError`; then `load` loads it again."""
        making = self._making.get(path)
        if making is None:
            return self._loaded[path]
        if making not in self._held:
            self._held.append(making)
        try:
            graph = self._loaded[path] = await making.graph()
        except GraphError:
            if self._making.get(path) is making:
                del self._making[path]
            raise
        self._making.pop(path, None)
        return graph

    async def use(
        self,
        loaded: Loaded,
        use: Callable[[Graph], Awaitable[T]],
        config: Mapping[str, Any] | None,
        context: object = None,
    ) -> T:
        """Call a function with a graph; one that is made for each run is made before, and left afterwards.

        What leaving it raises is logged and changes nothing. Raises what the function raises, and `GraphError`.
        """
        if not isinstance(loaded, GraphFactory):
            return await use(loaded)
        stack = AsyncExitStack()
        try:
            found = await stack.enter_async_context(loaded.made(config, context, self._store))
            result = await use(self._made_by(loaded, found))
        except BaseException as error:
            await _left(stack, error)
            raise
        await _left(stack, None)
        return result

    async def close(self) -> None:
        """Leave the context managers of graphs that were made once."""
        held, self._held = self._held, []
        for making in held:
            await making.leave()

    def _made_by(self, factory: GraphFactory, found: object) -> Graph:
        """Return what a factory has made as a graph. Raises `GraphError`.

        A saver that was made for one run with its graph would remember nothing, so it is replaced, as LangGraph's
        server replaces any.
        """
        graph = self._with_store(checked_graph(factory.name, compiled(found)))
        takes_saver = takes_checkpointer(graph) or (factory.is_per_run and keeps_threads(graph))
        if self._saver is None or not takes_saver:
            return graph
        return with_checkpointer(graph, self._saver) or graph

    def _with_store(self, graph: Graph) -> Graph:
        return graph if self._store is None else with_store(graph, self._store)

    def _with_saver(self, path: str | None, graph: Graph) -> Graph:
        if self._store is not None and path is None and not takes_store(graph):
            hint = "leave store= out, or give a compiled LangGraph"
            raise GraphError(self.name_of(path), f"it is a {type(graph).__name__}, which takes no store", hint)
        graph = self._with_store(graph)
        if self._saver is None or (path is not None and not takes_checkpointer(graph)):
            return graph
        attached = with_checkpointer(graph, self._saver)
        if attached is None:
            raise GraphError(self.name_of(path), *_no_taker(graph))
        return attached  # type: ignore[no-any-return]


def _no_taker(graph: object) -> tuple[str, str]:
    """Return why a graph takes no checkpointer, and the hint."""
    if isinstance(graph, WrappedGraph):
        problem = f"{graph.problem}, so that `checkpointer=` cannot be attached"
        return problem, "leave checkpointer= out and compile the graph that is to remember with a checkpointer"
    problem = f"it is a {type(graph).__name__}, which takes no checkpointer"
    return problem, "leave checkpointer= out, or give a compiled LangGraph"


async def _left(stack: AsyncExitStack, error: BaseException | None) -> None:
    """Leave a context manager, which sees the error; what it raises itself is logged."""
    try:
        await stack.__aexit__(type(error) if error else None, error, error.__traceback__ if error else None)
    except BaseException as raised:
        if _containment.must_pass(raised):
            raise
        if raised is not error:
            logbook.graph_not_left(raised)


class _MadeOnce:
    """A graph that is made in the event loop, by a task of its own: a context manager is left where it was entered."""

    def __init__(self, factory: GraphFactory, value: Any, finish: Callable[[object], Graph]) -> None:  # noqa: ANN401
        """Take the function, what it has returned unless it is async, and what turns that into a graph."""
        self._factory = factory
        self._value = value
        self._finish = finish
        self._leaving = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._graph: asyncio.Future[Graph] | None = None

    async def graph(self) -> Graph:
        """Return the graph when it is made. Raises `GraphError`."""
        loop = asyncio.get_running_loop()
        if self._task is None or self._graph is None:
            self._graph = loop.create_future()
            context = _containment.new_context()
            self._task = loop.create_task(self._hold(self._graph), name="make the graph", context=context)
        return await asyncio.shield(self._graph)

    async def leave(self) -> None:
        """Leave the context manager, or give up making the graph."""
        if self._task is None or self._graph is None:
            return
        self._leaving.set()
        if not self._graph.done():
            self._task.cancel()
        done, _ = await asyncio.wait([self._task], timeout=_PATIENCE)
        if not done:
            self._task.cancel()

    async def _hold(self, made: "asyncio.Future[Graph]") -> None:
        try:
            async with self._entered() as found:
                made.set_result(self._finish(found))
                await self._leaving.wait()
        except asyncio.CancelledError:
            made.cancel()
            raise
        except BaseException as error:
            if _containment.must_pass(error):
                raise
            if made.done():
                logbook.graph_not_left(error)
            else:
                made.set_exception(error if isinstance(error, GraphError) else self._factory.failed(error))
                made.exception()  # nobody need wait for it

    @asynccontextmanager
    async def _entered(self) -> AsyncIterator[Any]:
        value = self._factory.call() if self._value is None else self._value
        async with self._factory.entered(value) as found:
            yield found

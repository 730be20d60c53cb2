"""A name, an address on a server, or an object → a graph that can be invoked, checked as far as it can be."""

import importlib
import inspect
from typing import Any, Protocol

from scheduler.errors import GraphError
from scheduler.graph_names import NamedGraph, parse_graph_name
from scheduler.graphs.factories import GraphFactory, as_factory, is_unfinished
from scheduler.graphs.importing import imported
from scheduler.graphs.inputs import input_keys
from scheduler.graphs.local_langgraph import as_remote_graph
from scheduler.graphs.wrapped import first_graph, unwrapped
from scheduler.server_url import is_server_url

_UNCALLED = "name the function that makes it, without calling it"
_YIELDS = "put @asynccontextmanager above it"
_COMPILED = "give a compiled graph, such as `graph = builder.compile()`"


class Graph(Protocol):
    """Anything that can be invoked as LangGraph's compiled graphs are."""

    async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002, ANN401 (LangGraph's own)
        """Run the graph on one input."""
        ...


def load_graph(graph: object, *, needs_messages: bool = True) -> Graph | GraphFactory:
    """Import the graph if it is named, and check it; a function that makes one is not called. Raises `GraphError`.

    A graph that gets its input from an input builder needs no `messages`. One on a server is not looked for: the
    server may be down now, and up when the graph is due.
    """
    if isinstance(graph, str) and is_server_url(graph):
        return _server().at(graph)  # type: ignore[no-any-return]
    name = graph if isinstance(graph, str) else type(graph).__name__
    found = imported(graph) if isinstance(graph, str) else graph
    if isinstance(graph, str) and isinstance(parse_graph_name(graph), NamedGraph):
        found = compiled(found)
    factory = as_factory(name, found)
    if factory is not None:
        return factory
    checked = checked_graph(name, found)
    if needs_messages:
        check_messages(name, checked)
    return checked


def checked_graph(name: str, found: object) -> Graph:
    """Return an object as a graph that the scheduler calls. Raises `GraphError` if it cannot be one."""
    if as_remote_graph(found) is not None:
        return _with_client(found)  # type: ignore[no-any-return]
    checked = _checked(name, found)
    return unwrapped(checked, _with_client) or checked


def _with_client(graph: Any) -> Any:  # noqa: ANN401
    """Return LangGraph's client of a server as a graph on that server, and any other graph as it is."""
    return graph if as_remote_graph(graph) is None else _server().of(graph)


async def server_problem(url: str) -> str | None:
    """Ask a server for the graph at an address; return why a run would fail there, or None. Raises `GraphError`."""
    found: str | None = await _server().at(url).problem()
    return found


def _server() -> Any:  # noqa: ANN401 (a class)
    """Return the class of graphs on servers, whose client of HTTP is imported where there is such a graph."""
    return importlib.import_module("scheduler.graphs.server").ServerGraph


def compiled(found: Any) -> Any:  # noqa: ANN401
    """Return a graph that was not compiled as LangGraph's server compiles it, and anything else as it is."""
    if callable(getattr(found, "ainvoke", None)) or not callable(getattr(found, "compile", None)):
        return found
    return found.compile()


def _checked(name: str, graph: object) -> Graph:
    if not callable(getattr(graph, "ainvoke", None)):
        if callable(getattr(graph, "compile", None)):
            raise GraphError(name, f"it is a {type(graph).__name__} that was not compiled", _COMPILED)
        if is_unfinished(graph):
            raise GraphError(name, f"it is a {type(graph).__name__}, which is used up after one start", _UNCALLED)
        if inspect.isasyncgen(graph) or inspect.isgenerator(graph):
            raise GraphError(name, "its function yields a graph and is no context manager", _YIELDS)
        raise GraphError(name, f"it is a {type(graph).__name__}, which has no ainvoke", _COMPILED)
    return graph  # type: ignore[return-value]  # what it lacks beyond this shows when it is invoked


def check_messages(name: str, graph: object) -> None:
    """Raise `GraphError` if a graph takes no messages."""
    keys = input_keys(first_graph(graph))
    if keys is not None and "messages" not in keys:
        problem = f"its input has no `messages` (it has {', '.join(sorted(keys)) or 'no keys'})"
        raise GraphError(
            name,
            problem,
            "give the state a `messages` key, as MessagesState has, or the task an input or an input_builder",
        )

"""A name, an address on a server, or an object → a graph that can be invoked, checked as far as it can be."""

import importlib
import re
from functools import reduce
from typing import Any, Final, Protocol

from scheduler import _containment
from scheduler._safe_text import ERROR_LIMIT, error_text
from scheduler.errors import GraphError
from scheduler.graphs.inputs import input_keys
from scheduler.graphs.local_langgraph import as_remote_graph
from scheduler.graphs.wrapped import first_graph, unwrapped
from scheduler.server_url import is_server_url

_COMPILED = "give a compiled graph, such as `graph = builder.compile()`"

_PATH: Final = re.compile(r"[^\s/@?#:.][^\s/@?#:]*:[^\s/@?#:]+")


class Graph(Protocol):
    """Anything that can be invoked as LangGraph's compiled graphs are."""

    async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002, ANN401 (LangGraph's own)
        """Run the graph on one input."""
        ...


def load_graph(graph: object, *, needs_messages: bool = True) -> Graph:
    """Import the graph if it is named, and check it. Raises `GraphError`.

    A graph that gets its input from an input builder needs no `messages`. One on a server is not looked for: the
    server may be down now, and up when the graph is due.
    """
    if isinstance(graph, str) and is_server_url(graph):
        return _server().at(graph)  # type: ignore[no-any-return]
    name = graph if isinstance(graph, str) else type(graph).__name__
    found = _imported(graph) if isinstance(graph, str) else graph
    if as_remote_graph(found) is not None:
        return _with_client(found)  # type: ignore[no-any-return]
    checked = _checked(name, found)
    wrapped = unwrapped(checked, _with_client)
    if needs_messages:
        check_messages(name, wrapped or checked)
    return wrapped or checked


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


def _imported(path: str) -> object:
    module_name, _, attribute = path.partition(":")
    if not _PATH.fullmatch(path):
        raise GraphError(path, "it is not of the form module:attribute", "give it as in graph='graph:graph'")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise GraphError(path, *_missing(module_name, error)) from error
    except BaseException as error:
        if _containment.must_pass(error):
            raise
        problem = f"importing {module_name} raised {error_text(error, ERROR_LIMIT)}"
        raise GraphError(path, problem, f"correct {module_name}") from error
    try:
        return reduce(getattr, attribute.split("."), module)
    except AttributeError as error:
        problem = f"module {module_name} ({getattr(module, '__file__', None) or 'a folder'}) has no {attribute}"
        raise GraphError(path, problem, "name the variable that holds the compiled graph") from error


def _missing(module_name: str, error: ModuleNotFoundError) -> tuple[str, str]:
    """Return what is wrong, and the hint."""
    if f"{module_name}.".startswith(f"{error.name}."):
        problem = f"there is no module {error.name} beside the program or installed"
        return problem, f"put {module_name} where Python finds it"
    return f"importing {module_name} raised {error_text(error, ERROR_LIMIT)}", f"install what {module_name} needs"


def _checked(name: str, graph: object) -> Graph:
    if not callable(getattr(graph, "ainvoke", None)):
        if callable(getattr(graph, "compile", None)):
            raise GraphError(name, f"it is a {type(graph).__name__} that was not compiled", _COMPILED)
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

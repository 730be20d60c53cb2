"""Functions that make a graph, called as LangGraph's server calls them: once, or for each run if they take arguments.

A factory is a function, an async function, or a function that returns a context manager, as those with
`@asynccontextmanager` do. It may take the run's config, the server's runtime, or both.
"""

import importlib
import inspect
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from scheduler import _containment
from scheduler._safe_text import ERROR_LIMIT, error_text
from scheduler.errors import GraphError
from scheduler.graphs.threads import in_thread

_CONFIG: Final = re.compile(r"\b(Runnable)?Config\b")
_RUNTIME: Final = re.compile(r"\b(Server|_Execution|_Read)Runtime\b")
_HINT: Final = "let it take the config, a ServerRuntime, both, or nothing"
_ATTRIBUTES: Final = ("__aenter__", "__enter__")


@dataclass(frozen=True, slots=True)
class GraphFactory:
    """A function that makes a graph."""

    name: str
    function: Callable[..., Any]
    config: str | None
    """The parameter that gets the config of the run, if there is one."""
    runtime: str | None
    """The parameter that gets LangGraph's `ServerRuntime`, if there is one."""

    @property
    def is_per_run(self) -> bool:
        """Whether each run gets a graph of its own."""
        return self.config is not None or self.runtime is not None

    @property
    def is_async(self) -> bool:
        """Whether the function has to be called where an event loop runs."""
        return inspect.iscoroutinefunction(inspect.unwrap(self.function))

    def call(
        self,
        config: Mapping[str, Any] | None = None,
        context: object = None,
        store: object = None,
    ) -> Any:  # noqa: ANN401
        """Call the function and return what it returns: a graph, an awaitable, a context manager. Raises `GraphError`.

        `config` is that of a run. Without one it is called as the server does where it only looks at the graph.
        """
        try:
            return self.function(**self._arguments(config, context, store))
        except BaseException as error:
            if _containment.must_pass(error):
                raise
            raise self.failed(error) from error

    def _arguments(self, config: Mapping[str, Any] | None, context: object, store: object) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        if self.config is not None:
            arguments[self.config] = {"configurable": {}} if config is None else dict(config)
        if self.runtime is not None:
            arguments[self.runtime] = _server_runtime(context, store, is_run=config is not None)
        return arguments

    @asynccontextmanager
    async def made(
        self, config: Mapping[str, Any] | None = None, context: object = None, store: object = None
    ) -> AsyncIterator[Any]:
        """Make a graph, and leave it again if it is one that is entered. Raises `GraphError` if it cannot be made.

        A function that is not async is called in a thread, since it may block.
        """
        given = config, context, store
        value = self.call(*given) if self.is_async else await in_thread(self.call, *given)
        async with self.entered(value) as graph:
            yield graph

    @asynccontextmanager
    async def entered(self, value: Any) -> AsyncIterator[Any]:  # noqa: ANN401
        """Await or enter what the function has returned, and yield the graph. Raises `GraphError` if it raises."""
        manager = value if is_unfinished(value) and not inspect.isawaitable(value) else None
        try:
            graph = await value if inspect.isawaitable(value) else value
            if manager is not None:
                graph = await manager.__aenter__() if hasattr(manager, "__aenter__") else manager.__enter__()
        except BaseException as error:
            if _containment.must_pass(error):
                raise
            raise self.failed(error) from error
        if manager is None:
            yield graph
            return
        async with _Entered(manager):
            yield graph

    def failed(self, error: BaseException) -> GraphError:
        """Return the error for what the function has raised."""
        text = error_text(_containment.original(error), ERROR_LIMIT)
        return GraphError(self.name, f"making the graph raised {text}", "correct the function that makes it")


class _Entered:
    """A context manager that has been entered: all that is left to do is to leave it."""

    def __init__(self, manager: Any) -> None:  # noqa: ANN401
        self._manager = manager

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *error: object) -> bool | None:
        if hasattr(self._manager, "__aexit__"):
            return await self._manager.__aexit__(*error)  # type: ignore[no-any-return]
        return self._manager.__exit__(*error)  # type: ignore[no-any-return]


def is_unfinished(value: object) -> bool:
    """Tell whether what a factory has returned is to be awaited or entered before it is a graph."""
    return not _is_graph(value) and (inspect.isawaitable(value) or any(hasattr(value, each) for each in _ATTRIBUTES))


def as_factory(name: str, found: object) -> GraphFactory | None:
    """Return a function as a factory of graphs; None for anything else. Raises `GraphError` if it cannot be called."""
    if not callable(found) or isinstance(found, type) or _is_graph(found) or is_unfinished(found):
        return None
    try:
        parameters = list(inspect.signature(found).parameters.values())
    except (TypeError, ValueError):
        return None
    named = [each for each in parameters if each.kind in {each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY}]
    runtime = next((each for each in named if _RUNTIME.search(str(each.annotation))), None)
    others = [each for each in named if each is not runtime]
    required = [each for each in others if each.default is each.empty]
    config = next((each for each in others if _is_config(each)), None)
    if config is None and len(required) == 1:
        config = required[0]  # whatever it is called, as LangGraph's server does
    left = [each.name for each in parameters if _is_required(each) and each not in (config, runtime)]
    if left:
        raise GraphError(name, f"the function that makes it needs {', '.join(left)}", _HINT)
    return GraphFactory(name, found, *(None if each is None else each.name for each in (config, runtime)))


def _is_graph(value: object) -> bool:
    return callable(getattr(value, "ainvoke", None))


def _is_config(parameter: inspect.Parameter) -> bool:
    return parameter.name == "config" or _CONFIG.search(str(parameter.annotation)) is not None


def _is_required(parameter: inspect.Parameter) -> bool:
    is_open = parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    return parameter.default is parameter.empty and not is_open


def _server_runtime(context: object, store: object, *, is_run: bool) -> object:
    """Return what LangGraph's server gives to a factory, for a run or to look at the graph."""
    module: Any = importlib.import_module("langgraph_sdk.runtime")
    if is_run:
        return module._ExecutionRuntime(access_context="threads.create_run", store=store, context=context)  # noqa: SLF001
    return module._ReadRuntime(access_context="assistants.read", store=store)  # noqa: SLF001

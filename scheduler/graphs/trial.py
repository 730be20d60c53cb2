"""A graph is loaded as a scheduler loads it, made if a function makes it, and looked at; no run is started."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from scheduler.errors import GraphError
from scheduler.graphs.factories import GraphFactory
from scheduler.graphs.graph_table import GraphTable
from scheduler.graphs.inputs import context_schema_of, input_schema_of, problems_of, schema_keys
from scheduler.graphs.loading import Graph, check_messages
from scheduler.graphs.local_langgraph import nodes_that_ask_for_store
from scheduler.graphs.wrapped import first_graph, graphs_of, takes_checkpointer
from scheduler.models import TaskDefinition

_EXAMPLES: Final[Mapping[type, Any]] = {int: 1, float: 1.0, bool: False, list: [], dict: {}}


@dataclass(frozen=True, slots=True)
class SeenGraph:
    """A graph that could be loaded, and how tasks feed it."""

    graph: Graph
    is_per_run: bool = False
    """Whether a function makes it for each run."""

    @property
    def takes_saver(self) -> bool:
        """Whether a saver can be attached to it, and it has none."""
        return takes_checkpointer(self.graph)

    @property
    def nodes_that_ask_for_store(self) -> list[str]:
        """The nodes that cannot run without a store of LangGraph's, which it has not."""
        return [name for graph in graphs_of(self.graph) for name in nodes_that_ask_for_store(graph)]

    @property
    def takes_prompts(self) -> bool:
        """Whether it takes messages, as far as anybody can know."""
        keys = schema_keys(input_schema_of(first_graph(self.graph)))
        return keys is None or "messages" in keys

    def example_input(self, text: str) -> dict[str, Any]:
        """Return an input for a graph without messages, with a text in the first place that takes one."""
        return _example(input_schema_of(first_graph(self.graph)), text)

    def example_context(self, text: str) -> dict[str, Any]:
        """Return the values that its context needs and has no defaults for; nothing for one that nobody checks."""
        schema = context_schema_of(first_graph(self.graph))
        if hasattr(schema, "__required_keys__"):
            return {}
        return {name: _value(hint, text) for name, hint in _required(schema).items()}

    def problem_of(self, task: TaskDefinition, *, is_built: bool = False) -> str | None:
        """Return why it would refuse what a task gives it, or None. `is_built`: an input builder makes the input."""
        is_built = task.input is None and (is_built or task.input_builder is not None)
        if task.input is None and not is_built:
            try:
                check_messages("graph", self.graph)
            except GraphError as error:
                return f"{error.problem}; give the task an input or an input_builder"
        found = problems_of(first_graph(self.graph), task, is_built=is_built)
        return next((f"{field}: {problem}" for field, problem in found), None)


async def try_graph(name: str, configurable: Mapping[str, Any] | None = None) -> SeenGraph:
    """Load a graph, and make it if a function makes it. Raises `GraphError`.

    A function that makes it for each run is called with a config that has what is given, or as LangGraph's server calls
    it to look at the graph, with an empty one.
    """
    config = {"configurable": dict(configurable)} if configurable else None
    table = GraphTable(name, None)
    table.load(None)
    loaded = await table.made(None)

    async def look(graph: Graph) -> SeenGraph:
        return SeenGraph(graph, is_per_run=isinstance(loaded, GraphFactory))

    try:
        return await table.use(loaded, look, config, configurable)
    finally:
        await table.close()


# --- Examples ---


def _example(schema: Any, text: str) -> dict[str, Any]:  # noqa: ANN401 (any class)
    """Return the values that a schema needs, or the first that takes a text if it needs none.

    Of a TypedDict nobody can tell: a state names also what the graph itself fills in.
    """
    hints = _hints(schema)
    needed = {} if hasattr(schema, "__required_keys__") else _required(schema)
    if not needed:
        texts = [name for name, hint in hints.items() if _plain(hint) is str]
        needed = {name: hints[name] for name in texts[:1]} or hints
    return {name: _value(hint, text) for name, hint in needed.items()}


def _hints(schema: Any) -> dict[str, Any]:  # noqa: ANN401
    try:
        hints = typing.get_type_hints(schema)
    except Exception:  # noqa: BLE001 (names that nobody can resolve)
        hints = dict(getattr(schema, "__annotations__", {}))
    keys = schema_keys(schema) or set()
    return {name: hint for name, hint in hints.items() if name in keys}


def _required(schema: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the fields without a default, with their types."""
    hints = _hints(schema)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        named = {each.alias or name: each for name, each in schema.model_fields.items() if each.is_required()}
        return {name: each.annotation for name, each in named.items()}
    if dataclasses.is_dataclass(schema):
        missing = dataclasses.MISSING
        fields = [each for each in dataclasses.fields(schema) if each.init]
        names = [each.name for each in fields if each.default is missing and each.default_factory is missing]
        return {name: hints.get(name, str) for name in names}
    return {name: hint for name, hint in hints.items() if name in getattr(schema, "__required_keys__", ())}


def _value(hint: Any, text: str) -> Any:  # noqa: ANN401 (JSON)
    """Return an example of a type."""
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)[0]
    plain = _plain(hint)
    if isinstance(plain, type) and (issubclass(plain, BaseModel) or dataclasses.is_dataclass(plain)):
        return {name: _value(inner, text) for name, inner in _required(plain).items()}
    return _EXAMPLES.get(plain, text)


def _plain(hint: Any) -> Any:  # noqa: ANN401
    """Return the type inside `Annotated`, `Optional` and the like, without its arguments: `list` of `list[str]`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is None:
        return hint
    if origin in {typing.Union, types.UnionType}:
        return _plain(next(each for each in arguments if each is not type(None)))
    return origin if isinstance(origin, type) else _plain(arguments[0])

"""A name or an object becomes a graph that can be invoked, or is refused at the start with what is wrong with it."""

import asyncio
import gc
import sys
import warnings
from dataclasses import dataclass, field
from operator import add
from typing import Annotated, TypedDict
from unittest.mock import AsyncMock, MagicMock, create_autospec

import pytest
from helpers import EchoGraph
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph, add_messages
from langgraph.graph.state import CompiledStateGraph
from pydantic import BaseModel
from runner_kit import Returning, a_claim, a_runner, a_task, attempt
from typing_extensions import TypedDict as ExtendedTypedDict

from scheduler import RunStatus, SchedulerError
from scheduler.errors import GraphError, InvalidTaskError
from scheduler.graphs import check_task
from scheduler.graphs.loading import load_graph


def a_graph(state, node, **schemas):
    """Return a builder of a graph with one node."""
    builder = StateGraph(state, **schemas)
    builder.add_node("answer", node)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder


# --- Real graphs ---


class Session(MessagesState):
    session_id: str
    metadata: dict


class PydanticState(BaseModel):
    messages: Annotated[list[AnyMessage], add_messages] = []
    session_id: str = "none"
    metadata: dict = {}


class Tree(BaseModel):
    messages: Annotated[list[AnyMessage], add_messages] = []
    children: "list[Tree]" = []


@dataclass
class Data:
    messages: Annotated[list[AnyMessage], add_messages] = field(default_factory=list)
    session_id: str = "none"


class Texts(TypedDict):
    messages: Annotated[list, add]


async def answer_dict(state):
    return {"messages": [AIMessage(f"{state['messages'][-1].content} {state['session_id']}")]}


def answer_sync(state):
    return {"messages": [AIMessage(f"{state['messages'][-1].content} {state['metadata']['task_id']}")]}


async def answer_object(state):
    return {"messages": [AIMessage(f"{state.messages[-1].content} {state.session_id}")]}


async def answer_tree(state):
    return {"messages": [AIMessage(f"{state.messages[-1].content} {len(state.children)}")]}


async def answer_raw(state):
    return {"messages": [{"role": "assistant", "content": state["messages"][-1]["content"]}]}


async def answer_plain(state):
    return {"messages": [AIMessage(state["messages"][-1].content)]}


@entrypoint()
async def plain_entrypoint(given):
    return f"{given['messages'][-1]['content']} {given['session_id']}"


@task
async def shout(text):
    return text.upper()


@entrypoint()
async def entrypoint_with_tasks(given: dict) -> dict:
    return {"messages": [{"role": "assistant", "content": await shout(given["messages"][-1]["content"])}]}


@entrypoint()
async def typed_entrypoint(given: Session) -> str:
    return given["metadata"]["channel"]


REAL = {
    "MessagesState": (a_graph(MessagesState, answer_plain).compile(), "Go."),
    "more keys": (a_graph(Session, answer_dict).compile(), "Go. scheduler:scheduler"),
    "sync node": (a_graph(Session, answer_sync).compile(), "Go. t"),
    "pydantic": (a_graph(PydanticState, answer_object).compile(), "Go. scheduler:scheduler"),
    "dataclass": (a_graph(Data, answer_object).compile(), "Go. scheduler:scheduler"),
    "pydantic of itself": (a_graph(Tree, answer_tree).compile(), "Go. 0"),
    "no reducer of messages": (a_graph(Texts, answer_raw).compile(), "Go."),
    "input schema": (a_graph(Session, answer_dict, input_schema=Session).compile(), "Go. scheduler:scheduler"),
    "entrypoint": (plain_entrypoint, "Go. scheduler:scheduler"),
    "entrypoint with tasks": (entrypoint_with_tasks, "GO."),
    "typed entrypoint": (typed_entrypoint, "scheduler"),
    "with config": (a_graph(MessagesState, answer_plain).compile().with_config(tags=["mine"]), "Go."),
}


@pytest.mark.parametrize("kind", REAL)
async def test_real_graphs(kind):
    """Graphs of LangGraph of each kind are accepted and answer."""
    graph, text = REAL[kind]
    outcome = await attempt(graph, prompt="Go.", timeout_seconds=60)
    assert (outcome.status, outcome.response, outcome.error) == (RunStatus.SUCCEEDED, text, None)


async def test_a_node_that_raises():
    """What a node raises is the outcome of the run, as the node raised it."""

    async def broken(state):
        message = "no such city"
        raise LookupError(message)

    outcome = await attempt(a_graph(MessagesState, broken).compile())
    assert (outcome.status, outcome.error) == (RunStatus.FAILED, "LookupError: no such city")


async def test_a_node_that_takes_too_long():
    """A graph of LangGraph is cancelled in its node when the time is over."""
    ended = []

    async def endless(state):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    outcome = await attempt(a_graph(MessagesState, endless).compile(), timeout_seconds=0.05)
    assert outcome.status is RunStatus.TIMED_OUT
    assert ended == [True]


# --- Refused ---


class City(TypedDict):
    city: str


class ExtendedCity(ExtendedTypedDict, total=False):
    city: str


@dataclass
class CityData:
    city: str = ""


class CityModel(BaseModel):
    city: str = ""


def answer_city(state):
    return {"city": "Paris"}


@entrypoint()
async def city_entrypoint(given: City) -> str:
    return given["city"]


class InputAndOutput(MessagesState):
    city: str


WITHOUT_MESSAGES = {
    "typed dict": a_graph(City, answer_city).compile(),
    "typing_extensions": a_graph(ExtendedCity, answer_city).compile(),
    "dataclass": a_graph(CityData, answer_city).compile(),
    "pydantic": a_graph(CityModel, answer_city).compile(),
    "input schema": a_graph(InputAndOutput, answer_city, input_schema=City).compile(),
    "entrypoint": city_entrypoint,
}


@pytest.mark.parametrize("kind", WITHOUT_MESSAGES)
def test_input_without_messages(kind):
    """A graph that would drop the prompt is refused, with the keys that it has; with an input builder it is not."""
    graph = WITHOUT_MESSAGES[kind]
    with pytest.raises(GraphError) as caught:
        load_graph(graph)
    assert "its input has no `messages` (it has city); give the state a `messages` key" in str(caught.value)
    assert load_graph(graph, needs_messages=False) is graph


MODULE = """
    from langgraph.graph import MessagesState, StateGraph

    builder = StateGraph(MessagesState)
    nothing = None
    number = 5

    def make(model, tools):
        return builder

    class Graph:
        ainvoke = None
"""


@pytest.mark.parametrize(
    ("path", "problem", "hint"),
    [
        ("own_graphs:builder", "it is a StateGraph that was not compiled", "graph = builder.compile()"),
        ("own_graphs:make", "the function that makes it needs model, tools", "let it take the config, a ServerRuntime"),
        ("own_graphs:nothing", "it is a NoneType, which has no ainvoke", "give a compiled graph"),
        ("own_graphs:number", "it is a int, which has no ainvoke", "give a compiled graph"),
        ("own_graphs:Graph", "it is a type, which has no ainvoke", "give a compiled graph"),
        ("own_graphs:graph", "own_graphs.py) has no graph", "name the variable that holds the compiled graph"),
        ("own_graphs:builder.graph", "own_graphs.py) has no builder.graph", "name the variable"),
        ("folder_of_graphs:graph", "module folder_of_graphs (a folder) has no graph", "name the variable"),
        ("sys:graph", "module sys (a folder) has no graph", "name the variable"),
        (
            "nowhere_at_all:graph",
            "there is no module nowhere_at_all beside the program or installed",
            "put nowhere_at_all",
        ),
        ("own_graphs.sub:graph", "there is no module own_graphs.sub beside the program", "put own_graphs.sub where"),
        (
            "folder_of_graphs.no.x:graph",
            "there is no module folder_of_graphs.no beside",
            "put folder_of_graphs.no.x where",
        ),
        ("needing:graph", "ModuleNotFoundError: No module named 'nowhere_at_all'", "install what needing needs"),
        ("needing_name:graph", "ImportError: cannot import name 'nothing'", "correct needing_name"),
        ("raising:graph", "importing raising raised RuntimeError: no configuration", "correct raising"),
        ("raising_bare:graph", "importing raising_bare raised ModuleNotFoundError: gone", "raising_bare"),
        ("broken:graph", "importing broken raised SyntaxError: ", "correct broken"),
        ("leaving:graph", "importing leaving raised SystemExit: 2", "correct leaving"),
        ("graph", "not of the form module:attribute, and there is no langgraph.json here", "graph='graph:graph'"),
        ("graph:", "it is not of the form module:attribute", "graph='graph:graph'"),
        ("", "it is not of the form module:attribute", "graph='graph:graph'"),
        (".graph:graph", "it is not of the form module:attribute", "graph='graph:graph'"),
        ("./nothing.py:graph", "there is no file ./nothing.py in ", "give its path from there, or an absolute one"),
        ("./graph.py:", "it is not of the form module:attribute", "'./src/agent/graph.py:graph'"),
    ],
)
def test_names_that_lead_nowhere(path, problem, hint, module):
    """A graph that cannot be found or used is refused; the error names it and the problem, and says how to fix it."""
    module("own_graphs", MODULE)
    module("folder_of_graphs.other")
    module("needing", "import nowhere_at_all")
    module("needing_name", "from json import nothing")
    module("raising", "raise RuntimeError('no configuration')")
    module("raising_bare", "raise ModuleNotFoundError('gone')")
    module("broken", "def graph(:")
    module("leaving", "import sys; sys.exit(2)")
    with pytest.raises(GraphError) as caught:
        load_graph(path)
    said = str(caught.value)
    assert said.startswith(f"graph={path!r}: ")
    assert problem in said
    assert hint in said
    assert isinstance(caught.value, SchedulerError)


@pytest.mark.parametrize("graph", [None, 5, object(), {}, a_graph(MessagesState, answer_plain)])
def test_objects_that_are_no_graph(graph):
    """An object that cannot be invoked is refused by its type."""
    with pytest.raises(GraphError, match=f"it is a {type(graph).__name__}"):
        load_graph(graph)


def test_found_by_name(module):
    """A graph is found in a module, in a package, and as an attribute of something in a module."""
    source = "from helpers import EchoGraph\ngraph = EchoGraph()\nclass Graphs:\n    echo = graph\n"
    for path in ("fine:graph", "fine:Graphs.echo", "pkg.fine:graph"):
        module(path.partition(":")[0], source)
        assert isinstance(load_graph(path), EchoGraph)


def test_task_with_a_graph_of_its_own(module):
    """The graph of a task is checked when the task is added, and the refusal names the task."""
    module("own_graphs", MODULE)
    with pytest.raises(InvalidTaskError, match=r"Task t: graph='own_graphs:builder': it is a StateGraph"):
        check_task(a_task(graph="own_graphs:builder"))
    module("fine", "from helpers import EchoGraph\ngraph = EchoGraph()")
    check_task(a_task(graph="fine:graph"))


async def test_graph_of_a_task_that_is_gone(echo):
    """A stored task whose graph is gone cannot be loaded; the scheduler's own graph is not taken instead."""
    runner, task = a_runner(echo), a_task(graph="nowhere_at_all:graph")
    assert "there is no module nowhere_at_all" in await runner.load_code(task)
    outcome = await runner.run(a_claim(task))
    assert outcome.status is RunStatus.FAILED
    assert "there is no module nowhere_at_all" in outcome.error
    assert echo.calls == []


@pytest.mark.parametrize(
    "fields", [{"graph": "late:graph"}, {"result_callback": "late.f"}, {"input_builder": "late.g"}]
)
async def test_code_that_can_be_imported_at_a_later_try(echo, module, fields):
    """A module that raised once, or was missing, is imported again; what is loaded stays loaded."""
    runner, task = a_runner(echo), a_task(**fields)
    key = runner.needs_loading(task)
    assert key == runner.needs_loading(a_task(id="other", **fields))
    assert "late" in await runner.load_code(task)
    module("late", "raise ConnectionError('no network')")
    assert "ConnectionError: no network" in await runner.load_code(task)
    assert runner.needs_loading(task) == key
    lines = "from helpers import EchoGraph\ngraph = EchoGraph()\nasync def f(task, result): pass\ndef g(task): pass"
    module("late", lines)
    assert await runner.load_code(task) is None
    assert runner.needs_loading(task) is None
    assert runner.needs_loading(a_task()) is None


async def test_graph_of_a_task(echo, module):
    """A task that names a graph runs on it; one that names none runs on the scheduler's."""
    module("fine", "from helpers import EchoGraph\ngraph = EchoGraph()")
    outcome = await a_runner(echo).run(a_claim(a_task(graph="fine:graph")))
    assert (outcome.status, echo.calls) == (RunStatus.SUCCEEDED, [])
    assert len(sys.modules["fine"].graph.calls) == 1


async def test_an_empty_graph():
    """A graph that is false in a boolean sense, as one with a length of 0, is a graph."""

    class Empty(EchoGraph):
        def __len__(self):
            return 0

    assert (await attempt(Empty())).status is RunStatus.SUCCEEDED


# --- Stand-ins of tests ---

RESULT = {"messages": [AIMessage("Done.")]}


def autospecced(graph):
    double = create_autospec(graph, instance=True)
    double.ainvoke.return_value = RESULT
    return double


MOCKS = {
    "AsyncMock": lambda: AsyncMock(**{"ainvoke.return_value": RESULT}),
    "MagicMock": lambda: MagicMock(ainvoke=AsyncMock(return_value=RESULT)),
    "spec": lambda: MagicMock(spec=CompiledStateGraph, ainvoke=AsyncMock(return_value=RESULT)),
    "async spec": lambda: AsyncMock(spec=CompiledStateGraph, **{"ainvoke.return_value": RESULT}),
    "autospec": lambda: autospecced(REAL["MessagesState"][0]),
    "plain": lambda: Returning(RESULT),
}


@pytest.mark.parametrize("kind", MOCKS)
async def test_mocks_are_graphs(kind):
    """Mocks are accepted as graphs and invoked once, with input and config; nothing else of them is called."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = MOCKS[kind]()
        outcome = await attempt(graph, prompt="Go.")
        gc.collect()  # a coroutine that nobody awaited would warn
    assert (outcome.status, outcome.response) == (RunStatus.SUCCEEDED, "Done.")
    if kind != "plain":
        graph.ainvoke.assert_awaited_once()
        assert graph.ainvoke.await_args.args[0]["messages"] == [{"role": "user", "content": "Go."}]


@pytest.mark.parametrize("make", [AsyncMock, MagicMock])
async def test_bare_mocks(make):
    """A mock without a result succeeds, if its `ainvoke` can be awaited, or fails its run; it warns of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = await attempt(make())
        gc.collect()
    assert outcome.status is (RunStatus.SUCCEEDED if make is AsyncMock else RunStatus.FAILED)
    assert "Mock" in (outcome.response or outcome.error)


def test_loading_is_repeatable():
    """A runner can be loaded again, as at a second start."""
    runner = a_runner(EchoGraph())
    runner.load()

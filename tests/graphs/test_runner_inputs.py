"""What graphs are given: literal inputs, what is configurable, contexts; and what is refused when a task is added."""

import dataclasses
import sys
import types
from typing import TypedDict

import pytest
from helpers import hourly, wait_for_runs
from langgraph.config import get_config
from langgraph.graph import MessagesState, StateGraph
from langgraph.runtime import Runtime
from pydantic import BaseModel
from runner_kit import a_claim, a_runner, a_task

from scheduler import TaskDefinition, TaskScheduler, load_tasks
from scheduler.errors import GraphError, InvalidTaskError
from scheduler.graphs.server import ServerGraph
from scheduler.tasks_file import dump_tasks


class Topic(BaseModel):
    topic: str
    depth: int = 1


@dataclasses.dataclass
class Settings:
    """A context with defaults."""

    user: str = "nobody"
    limit: int = 10


@dataclasses.dataclass
class Tenant:
    """A context that needs a value."""

    tenant: str


class Loose(TypedDict, total=False):
    user: str


class Noting:
    """A graph whose node notes its state, its context and what is configurable."""

    def __init__(self, state=MessagesState, context=None):
        self.seen = []
        self.graph = _one_node(state, context, self._node())

    def _node(self):
        async def note(state, runtime: Runtime):
            named = get_config()["configurable"]
            plain = {key: value for key, value in named.items() if not key.startswith(("__", "checkpoint"))}
            self.seen.append((state, runtime.context, plain))
            return {}

        return note


def _one_node(state, context, node):
    builder = StateGraph(state, context_schema=context)
    builder.add_node("note", node)
    builder.set_entry_point("note")
    return builder.compile()


async def seen_by(noting, settings=None, **fields):
    """Run a task once, and return what the graph's node saw."""
    outcome = await a_runner(noting.graph, **(settings or {})).run(a_claim(a_task(**fields)))
    assert outcome.error is None
    (seen,) = noting.seen
    return seen


LITERAL = {"prompt": None, "input": {"topic": "tea"}}


# --- Literal input ---


async def test_an_input_is_passed_as_it_is(new_scheduler):
    """A graph without `messages` starts if its tasks have inputs; the run's prompt is the task's name."""
    noting = Noting(Topic)
    scheduler = new_scheduler(noting.graph)
    scheduler.add_task(hourly(**LITERAL))
    scheduler.start()
    run_id = scheduler.trigger_task("hourly")
    (run,) = await wait_for_runs(scheduler, 1)
    assert (run.id, run.status, run.error) == (run_id, "succeeded", None)
    assert noting.seen[0][0] == Topic(topic="tea")
    assert scheduler.get_task("hourly").subject == "Hourly"


async def test_a_graph_without_messages_needs_inputs(new_scheduler):
    """Without a task that has one, and with another task that has none, the start is refused."""
    scheduler = new_scheduler(Noting(Topic).graph)
    with pytest.raises(GraphError, match="no `messages`"):
        scheduler.start()


async def test_an_input_comes_before_the_builder_of_the_scheduler():
    """A task says more exactly what it wants."""
    state, _, _ = await seen_by(Noting(Topic), {"input_builder": lambda _task: {"topic": "coffee"}}, **LITERAL)
    assert state.topic == "tea"


def refused(**fields):
    with pytest.raises(ValueError, match="Task t: ") as caught:
        TaskDefinition(id="t", name="T", task_type="interval", interval_seconds=60, **fields)
    return str(caught.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "prompt is required"),
        ({"prompt": "Go.", "input": {}}, "leave one of them out"),
        ({"input": {}, "input_builder": "inputs.build"}, "leave one of them out"),
        ({"input": ["a"]}, "input="),
        ({"prompt": "Go.", "configurable": {"thread_id": "t"}}, "'thread_id', which the scheduler sets"),
        ({"prompt": "Go.", "configurable": {"__pregel_send": 1}}, "which the scheduler sets"),
        ({"prompt": "Go.", "configurable": {"run_id": "r"}}, "which the scheduler sets"),
    ],
)
def test_contradictions_are_refused(fields, said):
    """A task has a prompt or an input, and what is configurable leaves the thread and the run alone."""
    assert said in refused(**fields)


def test_a_builder_needs_no_prompt():
    """Neither a prompt nor an input."""
    task = TaskDefinition(id="t", name="T", task_type="interval", interval_seconds=60, input_builder="inputs.build")
    assert (task.prompt, task.subject) == (None, "T")


def test_a_tasks_file_has_inputs(tmp_path):
    """As tables, and as JSON where a value is null, which TOML does not have."""
    tasks = [
        hourly("a", prompt=None, input={"topic": "tea", "deep": {"er": [1, 2]}}, configurable={"model": "small"}),
        hourly("b", prompt=None, input={"topic": None}),
    ]
    file = tmp_path / "tasks.toml"
    file.write_text(dump_tasks(tasks))
    assert load_tasks(file) == tasks


async def test_a_builder_of_a_task_without_prompt_gets_the_run(monkeypatch):
    """Its prompt is None."""

    def build(task, run):
        return {"messages": [("user", f"{task.prompt} {run.prompt}")]}

    monkeypatch.setitem(sys.modules, "a_builder", types.SimpleNamespace(build=build))
    state, _, _ = await seen_by(Noting(), prompt=None, input_builder="a_builder:build")
    assert state["messages"][0].content == "None None"


async def test_a_prompt_by_hand_does_not_fit_an_input(new_scheduler):
    """It would be lost."""
    scheduler = new_scheduler(Noting(Topic).graph)
    scheduler.add_task(hourly(**LITERAL))
    with pytest.raises(ValueError, match="leave one of them out"):
        scheduler.trigger_task("hourly", prompt="Now!")


# --- Configurable and context ---


async def test_what_is_configurable_is_in_the_config():
    """The task's comes before the scheduler's, and the thread is the scheduler's."""
    _, context, named = await seen_by(
        Noting(), {"configurable": {"model": "small", "user": "ada"}}, configurable={"model": "large"}
    )
    assert context is None
    assert named == {"model": "large", "user": "ada", "thread_id": "scheduler:daily"}


async def test_a_context_is_configurable_too():
    """For graphs that look there, with or without a `context_schema`; what is configurable itself comes first."""
    fields = {"context": {"user": "ada", "limit": 3, "thread_id": "mine"}, "configurable": {"limit": 4}}
    _, context, named = await seen_by(Noting(), **fields)
    assert context == fields["context"]
    assert named == {"user": "ada", "limit": 4, "thread_id": "scheduler:daily"}


@pytest.mark.parametrize(
    ("fields", "context"),
    [
        ({}, Settings()),
        ({"context": {"user": "ada", "unknown": 1}}, Settings("ada")),
        ({"configurable": {"user": "ada", "unknown": 1}}, Settings("ada")),
        ({"context": {"limit": 1}, "configurable": {"user": "ada"}}, Settings(limit=1)),
    ],
)
async def test_a_context_as_the_server_makes_it(fields, context):
    """Defaults apply, unknown keys are left out, and what is configurable stands in for a context."""
    _, seen, _ = await seen_by(Noting(context=Settings), **fields)
    assert seen == context


async def test_the_context_of_a_typed_dict():
    """It has the keys of its type; LangGraph takes an empty one for none."""
    assert not (await seen_by(Noting(context=Loose)))[1]
    assert (await seen_by(Noting(context=Loose), context={"user": "ada", "unknown": 1}))[1] == {"user": "ada"}


async def test_a_context_that_is_bound_stays():
    """What a runnable binds to its graph is not replaced by the defaults."""
    noting = Noting(context=Settings)
    outcome = await a_runner(noting.graph.bind(context=Settings("bound"))).run(a_claim())
    assert outcome.error is None
    assert noting.seen[0][1] == Settings("bound")


async def test_a_prefix_of_sessions():
    """The input's session, without the prefix, for graphs that validate it."""

    class State(MessagesState):
        session_id: str

    state, _, named = await seen_by(Noting(State), {"session_prefix": ""}, session_id="b5f5")
    assert state["session_id"] == "b5f5"
    assert named["thread_id"] == "scheduler:daily"


# --- Checks ---


@pytest.fixture
def schedulers(new_scheduler, monkeypatch):
    """Return what gives a scheduler of a graph, and another one, for which the task names the graph."""

    def make(graph):
        module = types.ModuleType("a_graph")
        module.graph = graph
        monkeypatch.setitem(sys.modules, "a_graph", module)
        return (new_scheduler(graph), {}), (new_scheduler(persistent=False), {"graph": "a_graph:graph"})

    return make


@pytest.mark.parametrize(
    ("graph", "fields", "field", "said"),
    [
        (Noting(Topic), {"prompt": None, "input": {"depth": 2}}, "input", "topic: Field required"),
        (Noting(Topic), {"prompt": None, "input": {"topic": "a", "depth": "x"}}, "input", "depth='x'"),
        (Noting(Topic), {"prompt": None, "input": {"topik": "a"}}, "input", "it has depth, topic"),
        (Noting(), {"prompt": None, "input": {"topic": "a"}}, "input", "it has messages"),
        (Noting(context=Tenant), {}, "context", "'tenant'"),
        (Noting(context=Topic), {"context": {"topic": 5}}, "context", "topic=5"),
    ],
)
async def test_what_a_graph_would_refuse_is_refused(schedulers, graph, fields, field, said):
    """When the task is added, with the field: for a graph that the scheduler has, and for one that the task names."""
    for scheduler, more in schedulers(graph.graph):
        with pytest.raises(InvalidTaskError) as caught:
            scheduler.add_task(hourly(**fields, **more))
        assert caught.value.field == field
        assert said in str(caught.value)


async def test_the_context_of_the_scheduler_counts(new_scheduler):
    """What the scheduler gives to all tasks makes a context whole."""
    scheduler = new_scheduler(Noting(context=Tenant).graph, configurable={"tenant": "acme"})
    scheduler.add_task(hourly())


def test_what_the_scheduler_cannot_give():
    """The thread of a run is its session's."""
    for given in ({"thread_id": "x"}, ["x"], {1: 2}):
        with pytest.raises(ValueError, match="configurable"):
            TaskScheduler(persistent=False, configurable=given)


async def test_a_server_gets_one_of_the_two():
    """It refuses context and configurable at once; as configurable, it takes all for context as well."""
    server = ServerGraph.at("langgraph+http://127.0.0.1:1/agent")
    config = {"configurable": {"thread_id": "t", "model": "x"}, "tags": [], "metadata": {}}
    request = server._request({}, config, context={"user": "ada", "model": "y"})
    assert "context" not in request
    assert request["config"]["configurable"] == {"user": "ada", "model": "x"}
    alone = server._request({}, {**config, "configurable": {"thread_id": "t"}}, context={"user": "ada"})
    assert alone["context"] == {"user": "ada"}
    assert "configurable" not in alone["config"]

"""Small projects of every shape that people have: their files, and what a run of a first task answers."""

from dataclasses import dataclass, field
from typing import Any

ENV = ".env"
PROMPT = "Say what this task is for."

STATE = """
from langgraph.graph import MessagesState

class State(MessagesState):
    pass
"""

CHATBOT = """
from langgraph.graph import START, StateGraph
from scripted import a_model
{imports}

model = a_model()

async def answer(state):
    return {{"messages": [await model.ainvoke(state["messages"])]}}

builder = StateGraph(State)
builder.add_node("answer", answer)
builder.add_edge(START, "answer")
{ends}
"""

AGENT = """
from langchain.agents import create_agent
from langchain_core.tools import tool
from scripted import a_model

@tool
def weather() -> str:
    "Return the weather."
    return "sunny"

agent = create_agent(a_model(), [weather])
"""

RESEARCH = """
from typing_extensions import TypedDict
from langgraph.graph import START, StateGraph

class Input(TypedDict):
    topic: str
    depth: int

class State(Input):
    report: str

def write(state):
    return {"report": f"{state['depth']} pages on {state['topic']}"}

graph = StateGraph(State, input_schema=Input).add_node("write", write).add_edge(START, "write").compile()
"""

EMAIL = """
from langgraph.graph import START, StateGraph
from pydantic import BaseModel

class Email(BaseModel):
    sender: str
    urgent: bool

class State(BaseModel):
    email: Email
    answer: str = ""

def reply(state):
    return {"answer": f"Dear {state.email.sender}"}

graph = StateGraph(State).add_node("reply", reply).add_edge(START, "reply").compile()
"""

CONTEXT = """
from dataclasses import dataclass
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime

@dataclass
class Context:
    {fields}
    model: str = "small"

async def answer(state, runtime: Runtime[Context]):
    return {{"messages": [AIMessage(f"{{runtime.context.{field}}}")]}}

builder = StateGraph(MessagesState, context_schema=Context).add_node("answer", answer).add_edge(START, "answer")
graph = builder.compile()
"""

FUNCTIONAL = """
from langgraph.func import entrypoint

@entrypoint()
async def workflow(given: dict) -> dict:
    return {"messages": [{"role": "assistant", "content": "Done: " + given["messages"][-1]["content"]}]}
"""

SUPERVISOR = """
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from weather_agent import agent

def supervisor(state):
    return Command(goto="weather")

app = (
    StateGraph(MessagesState)
    .add_node("supervisor", supervisor, destinations=("weather",))
    .add_node("weather", agent)
    .add_edge(START, "supervisor")
    .compile()
)
"""

OBJECT = """
class Agent:
    def compile(self):
        return self

    async def ainvoke(self, given, config=None):
        return {"messages": [{"role": "assistant", "content": "Done."}]}

graph = Agent().compile()
"""

WITH_CONFIG = """
from langchain_core.runnables import RunnableConfig
from langgraph_sdk.runtime import ServerRuntime

async def make_graph(config: RunnableConfig, runtime: ServerRuntime):
    assert runtime.access_context in ("threads.create_run", "assistants.read")
    builder.name = config["configurable"].get("thread_id")
    return builder
"""

ENTERED = """
from contextlib import asynccontextmanager

@asynccontextmanager
async def make_graph():
    yield builder.compile()
"""


def chatbot(ends, imports=STATE):
    return CHATBOT.format(imports=imports, ends=ends)


COMPILED = "graph = builder.compile()"


@dataclass(frozen=True)
class Shape:
    """A project."""

    files: dict[str, Any]
    answer: str = PROMPT
    """What a run of the first task answers; "" if the graph returns no messages."""
    graph: str | None = None
    """What `--graph` names, where there is a choice."""
    found: str = ""
    """What `init` finds."""
    task: str | None = None
    own_program: bool = False
    fields: dict[str, Any] = field(default_factory=dict)
    """What the task has beside its prompt."""


def named(graph, **more):
    """Return a langgraph.json with one graph."""
    return {"graphs": {"agent": graph}, "dependencies": ["."], "env": ENV, **more}


SHAPES = {
    "`graph.py` with a compiled graph": Shape({"graph.py": chatbot(COMPILED)}, found="graph:graph"),
    "langgraph.json, a package in `src` that is not installed": Shape(
        {
            "langgraph.json": named("./src/agent/graph.py:graph"),
            "src/agent/__init__.py": "from agent.graph import graph",
            "src/agent/state.py": STATE,
            "src/agent/graph.py": chatbot(COMPILED, "from agent.state import State"),
        },
        found="agent",
    ),
    "langgraph.json, a dotted module": Shape(
        {
            "langgraph.json": named("react_agent.graph:graph"),
            "src/react_agent/state.py": STATE,
            "src/react_agent/graph.py": chatbot(COMPILED, "from react_agent.state import State"),
        },
        found="agent",
    ),
    "langgraph.json with several graphs": Shape(
        {
            "langgraph.json": named(
                "", graphs={"bot": "./bot.py:graph", "The Weather": {"path": "./the-weather.py:agent"}}
            ),
            "bot.py": chatbot(COMPILED),
            "the-weather.py": AGENT,
        },
        graph="The Weather",
        found="The Weather",
        answer="sunny",
    ),
    "langgraph.json with a graph in JavaScript as well": Shape(
        {
            "langgraph.json": named("", graphs={"py": "./agent.py:agent", "js": "./src/graph.ts:graph"}),
            "agent.py": AGENT,
        },
        found="py",
        answer="sunny",
    ),
    "a `StateGraph` that is not compiled, in langgraph.json": Shape(
        {"langgraph.json": named("./bot.py:builder"), "bot.py": chatbot("")}, found="agent"
    ),
    "a function": Shape(
        {"langgraph.json": named("./bot.py:make"), "bot.py": chatbot("def make():\n    return builder")}, found="agent"
    ),
    "an async function": Shape(
        {
            "langgraph.json": named("./bot.py:make"),
            "bot.py": chatbot("async def make():\n    return builder.compile()"),
        },
        found="agent",
    ),
    "an async context manager": Shape(
        {"langgraph.json": named("./bot.py:make_graph"), "bot.py": chatbot(ENTERED)}, found="agent"
    ),
    "a function that takes `config` and `ServerRuntime`": Shape(
        {"langgraph.json": named("./bot.py:make_graph"), "bot.py": chatbot(WITH_CONFIG)}, found="agent"
    ),
    "`create_agent`, in a file beside others": Shape(
        {"agents/weather_agent.py": AGENT}, found="./agents/weather_agent.py:agent", answer="sunny"
    ),
    "a supervisor with sub-agents": Shape(
        {
            "langgraph.json": named("./agents/supervisor.py:app", dependencies=["./agents"]),
            "agents/weather_agent.py": AGENT,
            "agents/supervisor.py": SUPERVISOR,
        },
        found="agent",
        answer="sunny",
    ),
    "a web service with a `main.py` of its own": Shape(
        {"main.py": "from app.agent import agent\nprint(agent)\n", "app/__init__.py": "", "app/agent.py": AGENT},
        found="./app/agent.py:agent",
        answer="sunny",
        own_program=True,
    ),
    "a function in a service that builds the graph": Shape(
        {"app/agent.py": chatbot("def build_graph(checkpointer=None):\n    return builder.compile(checkpointer)")},
        found="./app/agent.py:build_graph",
    ),
    "a functional `@entrypoint`": Shape({"graph.py": FUNCTIONAL}, found="graph:workflow", answer=f"Done: {PROMPT}"),
    "a graph inside a runnable": Shape(
        {"graph.py": chatbot("graph = builder.compile().with_retry()")}, found="graph:graph"
    ),
    "an object with `ainvoke`": Shape({"graph.py": OBJECT}, found="graph:graph", answer="Done."),
    "an input without messages": Shape(
        {"langgraph.json": named("./src/research/graph.py:graph"), "src/research/graph.py": RESEARCH},
        found="agent",
        answer="",
        task='every day at 9am={"topic": "tea", "depth": 2}',
        fields={"input": {"topic": "tea", "depth": 2}},
    ),
    "an input that is a pydantic model": Shape(
        {"graph.py": EMAIL},
        found="graph:graph",
        answer="",
        fields={"input": {"email": {"sender": PROMPT, "urgent": False}}},
    ),
    "a context with defaults": Shape(
        {"graph.py": CONTEXT.format(fields="user: str = 'Ada'", field="user")}, found="graph:graph", answer="Ada"
    ),
    "a context without defaults": Shape(
        {"graph.py": CONTEXT.format(fields="user: str", field="user")},
        found="graph:graph",
        answer="example",
        fields={"context": {"user": "example"}},
    ),
}

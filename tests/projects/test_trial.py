"""A graph that was looked at says what a task has to give it, with an example that the graph takes."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired, Optional

import pytest
from helpers import free_port, hourly
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from scheduler.cli.project_graphs import look_at
from scheduler.graphs.trial import SeenGraph


class Texts(TypedDict):
    count: int
    topic: str
    report: str


class Numbers(TypedDict, total=False):
    count: int
    tags: list[str]


class Sometimes(TypedDict):
    topic: NotRequired[str]


class Author(BaseModel):
    name: str
    age: int = 3


class Email(BaseModel):
    sender: Author
    subject: str = Field(alias="Subject")
    kind: Literal["spam", "ham"]
    parts: list[str]
    headers: dict[str, str]
    weight: float
    urgent: bool
    reply_to: Optional[Author]  # noqa: UP045 (as people write it)
    body: str | None
    anything: Any = None


@dataclass
class Research:
    topic: Annotated[str, "what"]
    depth: int
    notes: list[str] = field(default_factory=list)


@dataclass
class Defaults:
    verbose: bool = False
    topic: str = "tea"


EMAIL = {
    "sender": {"name": "Go."},
    "Subject": "Go.",
    "kind": "spam",
    "parts": [],
    "headers": {},
    "weight": 1.0,
    "urgent": False,
    "reply_to": {"name": "Go."},
    "body": "Go.",
}


def seen(state, **schemas):
    builder = StateGraph(state, **schemas).add_node("n", print).add_edge(START, "n")
    return SeenGraph(builder.compile())


@pytest.mark.parametrize(
    ("state", "example"),
    [
        (Texts, {"topic": "Go."}),
        (Numbers, {"count": 1, "tags": []}),
        (Sometimes, {"topic": "Go."}),
        (Email, EMAIL),
        (Research, {"topic": "Go.", "depth": 1}),
        (Defaults, {"topic": "Go."}),
    ],
)
def test_an_example_of_an_input(state, example):
    """It has what the graph needs, or the first text that it takes."""
    graph = seen(state)
    assert not graph.takes_prompts
    assert graph.example_input("Go.") == example
    assert graph.problem_of(hourly(prompt=None, input=example)) is None
    assert "its input has no `messages`" in graph.problem_of(hourly())
    assert graph.problem_of(hourly(), is_built=True) is None


@pytest.mark.parametrize(
    ("schema", "example"), [(Research, {"topic": "Go.", "depth": 1}), (Defaults, {}), (Texts, {}), (None, {})]
)
def test_an_example_of_a_context(schema, example):
    """It has what has no default, of a schema that is checked."""
    graph = seen(MessagesState, context_schema=schema)
    assert graph.takes_prompts
    assert graph.example_context("Go.") == example
    assert graph.problem_of(hourly(context=example or None)) is None


def test_a_graph_on_a_server():
    """Its server is asked."""
    found = look_at(f"langgraph+http://127.0.0.1:{free_port()}/agent")
    assert isinstance(found, str)
    assert "127.0.0.1" in found


def test_an_input_builder_that_is_not_there():
    """It is what is wrong, before the graph is loaded."""
    assert "input_builder='nowhere.build' cannot be imported" in look_at("helpers:EchoGraph", "nowhere.build")

"""A scheduler whose tasks succeed, fail, ask and wait, and a browser for its pages."""

import asyncio

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from web_kit import ASKED, SCHEMAS, Browser

from scheduler import web


async def answer(state: MessagesState):
    prompt = state["messages"][-1].text
    if prompt.startswith("Ask"):
        return {
            "messages": [("assistant", f"You said {interrupt(ASKED[prompt], response_schema=SCHEMAS.get(prompt))!r}")]
        }
    if prompt.startswith("Fail"):
        raise ValueError(prompt)
    if prompt == "Wait.":
        await asyncio.Event().wait()
    return {"messages": [("assistant", f"Echo: {prompt}")]}


GRAPH = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()


@pytest.fixture
def scheduler(new_scheduler):
    """Return a scheduler that is not started: it only has its store open."""
    return new_scheduler(GRAPH, checkpointer=InMemorySaver())


@pytest.fixture
def browse(scheduler):
    """Return what opens a browser on the pages of the scheduler."""

    def browse(auth=web.anyone, **options):
        return Browser(web.app(scheduler, auth=auth, **options))

    return browse

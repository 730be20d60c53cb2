"""One LangGraph server for all tests, and schedulers whose graph is on it."""

import asyncio

import pytest
from langgraph_sdk import get_client
from postgres import postgres_server, postgres_url  # noqa: F401 (fixtures)
from remote_kit import Gate, GraphServer


@pytest.fixture(scope="session")
def every_gate():
    gate = Gate()
    yield gate
    gate.close()


@pytest.fixture(scope="session")
def server(every_gate, tmp_path_factory):
    """Return a server that all tests share."""
    server = GraphServer(tmp_path_factory.mktemp("server"), every_gate)
    yield server
    server.kill()


@pytest.fixture
def gate(every_gate):
    """Return the gate, which knows nothing of earlier tests."""
    every_gate.reset()
    return every_gate


@pytest.fixture
async def client(server):
    """Return LangGraph's client of the server."""
    async with get_client(url=server.url) as client:
        yield client


@pytest.fixture
def remote_scheduler(server, new_scheduler):
    """Return what makes schedulers whose graph is on the server, and which look often."""

    def make(graph=None, **options):
        return new_scheduler(graph or server.graph, **{"poll_interval": 0.05, **options})

    return make


@pytest.fixture
def news(gate):
    """Return a function that waits for a step without blocking the loop."""

    async def wait_for(what):
        await asyncio.to_thread(gate.wait_for, what)

    return wait_for

"""Savers and stores for the tests of sessions."""

import pytest
from postgres import postgres_server, postgres_url  # noqa: F401 (fixtures)
from session_kit import Process, saver_at


@pytest.fixture
async def saver(db_path):
    """Return a saver on a file beside the store."""
    async with saver_at(("sqlite", db_path)) as saver:
        yield saver


@pytest.fixture
def scheduler_with(saver, new_scheduler):
    """Return what makes schedulers whose graphs keep their threads in one saver, and which look often."""

    def make(graph, **options):
        return new_scheduler(graph, **{"checkpointer": saver, "poll_interval": 0.05, **options})

    return make


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, db_path):
    """Return where a store and its saver are, on each of the two databases."""
    return request.param, str(db_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def begin(tmp_path):
    """Return what starts processes."""
    processes = []

    def start(place):
        processes.append(Process(tmp_path, *place))
        return processes[-1].wait_for("started")

    yield start
    for process in processes:
        if not process._process.stdout.closed:
            process.kill()

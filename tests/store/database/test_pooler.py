"""PostgreSQL behind a pooler that gives each transaction another connection to the server."""

import asyncio
import threading

import pytest
from pooler import Pooler
from sqlalchemy import make_url
from store_kit import Process, every

from scheduler import RunStatus, StoreError
from scheduler.cli.checkpoints import opened_saver
from scheduler.store import database_at

SETTINGS = "SELECT name, setting FROM pg_settings WHERE source = 'session'"
LOCKS = "SELECT pid FROM pg_locks WHERE locktype = 'advisory'"
PREPARED = "SELECT name FROM pg_prepared_statements"


@pytest.fixture(params=[False, True], ids=["a process of its own", "the process of a server"])
def pooler(request, postgres_server):
    """Return a pooler; what it says to be the server's process may even be one."""
    pooler = Pooler(postgres_server.socket, tells_server_process=request.param)
    yield pooler
    pooler.close()


@pytest.fixture
def pooled_url(pooler, postgres_url):
    """Return the URL of an empty database behind the pooler."""
    url = make_url(postgres_url).difference_update_query(["host"])
    return url.set(host="127.0.0.1", port=pooler.port, username="postgres").render_as_string(hide_password=False)


@pytest.fixture
def new_process(pooled_url):
    """Return what starts a process whose connections lead to the pooler."""
    opened = []

    def start(now=0):
        opened.append(Process(database_at(None, pooled_url)))
        return opened[-1].begin(now)

    yield start
    for process in opened:
        process.database.close()


def leaves_nothing_behind(pooler):
    """Assert that no session of the server has a setting, a lock or a statement of its clients."""
    assert pooler.ask(SETTINGS) == [[], []]
    assert pooler.ask(LOCKS) == [[], []]
    assert pooler.ask(PREPARED) == [[], []]


def test_all_calls_work(pooler, new_process):
    """Two processes, whose statements are executed many times; nothing is sent at the start that a pooler refuses."""
    first, second = new_process(), new_process()
    first.add(*(every(60, f"t{number}") for number in range(40)))
    for now in range(60, 60 * 12, 60):
        claims = first.run_pass(now, slots=30).claims + second.run_pass(now, slots=30).claims
        assert len({claim.task.id for claim in claims}) == 40
        first.complete(now + 1)
        second.complete(now + 1, RunStatus.FAILED)
        second.pause(now + 2, "t1")
        second.resume(now + 3, "t1")
        assert len(first.store.list_tasks()) == 40
    assert {run.status for run in first.runs("t0")} <= {"succeeded", "failed"}
    assert all(parameters.keys() <= {"user", "database", "client_encoding"} for parameters in pooler.started_with)
    leaves_nothing_behind(pooler)


def test_many_threads(pooler, new_process):
    """They share the connections of their process, and the pooler's."""
    processes = [new_process(), new_process()]
    failures = []

    def work(process, number):
        try:
            for turn in range(15):
                process.add(every(60, f"t{number}-{turn}"))
                assert process.listed(f"t{number}-{turn}") is not None
        except Exception as error:  # noqa: BLE001 (said by the assertion below)
            failures.append(error)

    threads = [threading.Thread(target=work, args=(processes[number % 2], number)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(processes[0].store.list_tasks()) == 120
    leaves_nothing_behind(pooler)


def test_options_are_refused_by_the_pooler(pooled_url):
    """They are the user's, and are sent as they are; the error is the pooler's."""
    url = make_url(pooled_url).update_query_dict({"options": "-csearch_path=agents"})
    database = database_at(None, url.render_as_string(hide_password=False))
    with pytest.raises(StoreError, match="unsupported startup parameter: options"):
        database.exists()


def test_conversations(pooler, pooled_url):
    """`serve --checkpoints` keeps them behind a pooler; two that begin together create the tables once."""

    async def use(number):
        async with opened_saver(pooled_url) as saver:
            for turn in range(10):
                config = {"configurable": {"thread_id": f"{number}-{turn}"}}
                assert await saver.aget(config) is None

    async def use_twice():
        await asyncio.gather(use(1), use(2))
        await use(3)

    asyncio.run(use_twice())
    leaves_nothing_behind(pooler)


# --- Without a pooler ---


def test_statements_are_prepared_on_a_connection_of_ones_own(postgres_url):
    """It makes passes faster by a third."""
    process = Process(database_at(None, postgres_url)).begin()
    process.add(*(every(60, f"t{number}") for number in range(10)))
    for now in range(60, 60 * 12, 60):
        process.run_pass(now)
        process.complete(now + 1)
    assert len(process.sql("SELECT name FROM pg_prepared_statements")) > 3
    process.database.close()

"""A store that is only looked at: nothing is created, nothing is waited for."""

import sqlite3

import pytest
from store_kit import Process, every

from scheduler import StoreError, TaskScheduler
from scheduler.errors import StoreNotFoundError


@pytest.fixture
def look(connect):
    """Return what opens the store as a program does that creates none."""

    def look():
        store = Process(connect()).store
        store.open(create=False)
        return store

    return look


def test_nothing_is_created(look, connect):
    """The first look makes no tables, so that the second finds none either."""
    for _ in range(2):
        with pytest.raises(StoreNotFoundError, match="there is none"):
            look()
    assert not connect().exists()


def test_what_is_there_is_read(request, look, process):
    """And can be changed, too."""
    if "memory" in request.node.callspec.id:
        pytest.skip("a database in memory is nobody else's")
    process.add(every(60, "a"))
    store = look()
    assert [task.id for task in store.list_tasks()] == ["a"]
    store.pause_task("a", 0)
    assert [task.paused for task in process.store.list_tasks()] == [True]


def test_a_look_does_not_wait_for_a_writer(request, look, process):
    """Somebody's long transaction does not keep people from seeing what there is."""
    if "memory" in request.node.callspec.id:
        pytest.skip("a database in memory is nobody else's")
    process.add(every(60, "a"))
    with process.database.write():
        assert [task.id for task in look().list_tasks()] == ["a"]


def test_a_newer_store_is_refused_by_who_looks(tmp_path):
    """As by everybody else."""
    path = tmp_path / "scheduler.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE scheduler_schema (version INTEGER)")
        connection.execute("INSERT INTO scheduler_schema VALUES (999)")
    connection.close()
    with pytest.raises(StoreError, match="schema version 999"):
        TaskScheduler(db_path=path, create=False)


def test_in_memory_there_is_none():
    """It would be new."""
    with pytest.raises(StoreNotFoundError, match="in memory"):
        TaskScheduler(persistent=False, create=False)

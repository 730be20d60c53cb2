"""The database fails while processes use it: they log it once, keep what they cannot write, and continue afterwards."""

import os
import resource
import sqlite3
import subprocess
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from arena import PATIENCE, Arena, each_second, eventually, one_time

from scheduler import RunStatus, StoreError, TaskScheduler

MEGABYTE = 1 << 20
SMALL = 4000
"""Bytes; the ledger of these tests is smaller, and no page of a database fits in."""


@contextmanager
def locked_file(arena, _child):
    """Another program holds the file for itself."""
    with closing(sqlite3.connect(arena.where["db_path"], isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def full_disk(arena, _child):
    """Somebody has used up the file system."""
    filler = arena.folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    yield
    filler.unlink()


@contextmanager
def failing_writes(_arena, child):
    """Every write of the process to the database is refused by the system."""
    _, hard = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (SMALL, hard))
    yield
    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def deleted_file(arena, _child):
    """The file is taken away, and put back."""
    path = arena.where["db_path"]
    away = path.with_suffix(".away")
    path.rename(away)
    yield
    away.rename(path)


@contextmanager
def locked_tables(arena):
    """Another program has locked the tables, for readers too."""
    with psycopg.connect(arena.where["db_url"].replace("+psycopg", "")) as connection:
        connection.execute("LOCK TABLE scheduler_tasks, scheduler_runs IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def a_writer_that_stands_still(arena, _child):
    """Another process stopped in the middle of a transaction."""
    with arena.face._store.database.write():
        yield


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder on a file system of its own, with room for little."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTE}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def on_small_disk(nursery, small_disk):
    """Return an arena on that disk."""
    arena = Arena(nursery, small_disk, {"db_path": small_disk / "scheduler.db"})
    yield arena
    arena.end()


@pytest.fixture
def stopped_server(postgres_server):
    """Return what stops the server for a while."""

    @contextmanager
    def stopped(_arena, _child):
        postgres_server.stop()
        try:
            yield
        finally:
            postgres_server.start()

    return stopped


@pytest.fixture
def standby_server(postgres_server):
    """Return what makes the server a standby for a while, as a failover does: it can be read, and not be changed."""

    @contextmanager
    def standing_by(_arena, _child):
        postgres_server.become_standby()
        try:
            yield
        finally:
            postgres_server.promote()

    return standing_by


TROUBLES = {
    "locked": ("on_sqlite", locked_file),
    "writes fail": ("on_sqlite", failing_writes),
    "disk full": ("on_small_disk", full_disk),
    "deleted": ("on_sqlite", deleted_file),
    "writer stands still": ("on_postgres", a_writer_that_stands_still),
    "server restarts": ("on_postgres", "stopped_server"),
    "server is a standby": ("on_postgres", "standby_server"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_database_that_fails_for_a_while(request, trouble):
    """The loop is free, runs end, and the log has one line; afterwards outcomes are written and due times start."""
    fixture, fault = TROUBLES[trouble]
    arena = request.getfixturevalue(fixture)
    fault = request.getfixturevalue(fault) if isinstance(fault, str) else fault
    arena.add(one_time("held", "hold"), one_time("again", "fail 1", max_attempts=2), each_second("each-second"))
    child = arena.start(poll_interval=0.2)
    child.wait_for("begin held")
    with fault(arena, child):
        child.wait_for("cannot be used")
        turns = child.turns()
        child.command("release")
        child.wait_for("end held")
        eventually(lambda: child.turns() > turns + 50, "the loop turns on")
    child.wait_for("can be used again")
    held = arena.eventually_status("held", RunStatus.SUCCEEDED)
    arena.eventually_status("again", RunStatus.SUCCEEDED)
    child.wait_for("end each-second", child.count("end each-second") + 1)
    child.stop()
    assert held.attempt == 1
    assert child.count("cannot be used") == child.count("can be used again") == 1
    assert not child.count("is another process's by now"), child.lines
    arena.account()


def test_a_call_on_locked_tables_does_not_wait_for_ever(on_postgres):
    """After five seconds it is a `StoreError`."""
    on_postgres.add(each_second("t"))
    with locked_tables(on_postgres), pytest.raises(StoreError, match="locked"):
        on_postgres.face.list_tasks()
    assert len(on_postgres.face.list_tasks()) == 1


def test_a_file_that_is_replaced(on_sqlite):
    """Processes continue with the new file; outcomes of runs from the old file are not written into it."""
    arena = on_sqlite
    path = arena.where["db_path"]
    arena.add(one_time("old", "hold"))
    children = [arena.start(poll_interval=0.2) for _ in range(2)]
    eventually(lambda: any(child.count("begin old") for child in children), "the old task runs")
    other = TaskScheduler(db_path=path.with_suffix(".new"))
    other.add_task(each_second("new"))
    other.stop()
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink()
    path.with_suffix(".new").replace(path)
    eventually(lambda: len(arena.runs("new", RunStatus.SUCCEEDED)) >= 2, "the new task runs")
    for child in children:
        child.command("release")
    eventually(lambda: any(child.count("is another process's by now") for child in children), "the old run ends")
    assert {each["id"] for each in arena.face.list_tasks()} == {"new"}
    assert {run.task_id for run in arena.runs()} == {"new"}
    assert not arena.runs(status=RunStatus.INTERRUPTED)
    for child in children:
        child.stop()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_stop_while_the_database_is_locked(on_sqlite):
    """The last outcomes are written as soon as that can be done, and the stop waits for it."""
    arena = on_sqlite
    arena.add(one_time("held", "hold"), one_time("again", "hold", rerun_after_crash=True))
    # It is the renewal of the lease that finds the file locked.
    child = arena.start(poll_interval=0.2, shutdown_grace_seconds=0.2, lease_seconds=3)
    child.wait_for("begin", 2)
    with locked_file(arena, child):
        child.wait_for("cannot be used")
        child.command("stop")
        child.wait_for("was still running when the scheduler stopped", 2)
    child.wait_for("has drained")
    child.wait_for_end()
    assert arena.run("held").error == "the scheduler was stopped"
    assert arena.run("again").status is RunStatus.PENDING
    second = arena.start(poll_interval=0.2)
    second.wait_for("begin again")
    second.command("release")
    arena.eventually_status("again", RunStatus.SUCCEEDED)
    second.stop()
    arena.account()


def test_a_stop_while_the_database_stays_locked(on_sqlite):
    """The last outcomes are left in a file beside it; the next start writes them, and deletes it."""
    arena = on_sqlite
    arena.add(
        one_time("held", "hold"), one_time("again", "stubborn", rerun_after_crash=True), one_time("fails", "fail 1")
    )
    child = arena.start(poll_interval=0.2, shutdown_grace_seconds=PATIENCE, lease_seconds=3)
    child.wait_for("begin", 3)
    arena.eventually_status("fails", RunStatus.FAILED)
    with locked_file(arena, child):
        child.wait_for("cannot be used")
        child.command("release")
        child.wait_for("end", 2)
        child.command("stop")
        child.wait_for("2 outcomes could not be written")
        child.wait_for("has drained")
        child.wait_for_end()
    assert {run.task_id for run in arena.runs(status=RunStatus.RUNNING)} == {"held", "again"}
    [file] = arena.folder.glob("scheduler.db-outcomes-*")
    second = arena.start(poll_interval=0.2)
    second.wait_for("2 of 2 outcomes in")
    arena.eventually_over("held", "again")
    second.stop()
    assert [run.status for run in (arena.run("held"), arena.run("again"))] == [RunStatus.SUCCEEDED] * 2
    assert arena.run("again").attempt == 1
    assert not file.exists()
    arena.account()


def test_a_process_that_runs_writes_what_another_one_left(on_sqlite):
    """Also where it cannot know that the other one is dead."""
    arena = on_sqlite
    arena.add(one_time("held", "hold", rerun_after_crash=True))
    child = arena.start(poll_interval=0.2, lease_seconds=60)
    child.wait_for("begin held")
    other = arena.start(poll_interval=0.2, lease_seconds=60)
    with locked_file(arena, child):
        child.command("release")
        child.wait_for("cannot be used")
        child.command("stop")
        child.wait_for("1 outcomes could not be written")
        child.wait_for_end()
    other.wait_for("1 of 1 outcomes in")
    assert arena.eventually_status("held", RunStatus.SUCCEEDED).attempt == 1
    other.stop()
    assert not other.count("begin held")
    arena.account()


def test_a_stop_while_postgresql_stays_locked(on_postgres):
    """There is no place for a file beside it: the log says that the outcome is lost, and the run is interrupted."""
    arena = on_postgres
    arena.add(one_time("held", "hold"))
    child = arena.start(poll_interval=0.2)
    child.wait_for("begin held")
    with a_writer_that_stands_still(arena, child):
        child.command("release")
        child.wait_for("cannot be used")
        child.command("stop")
        child.wait_for("the next start finds those runs interrupted")
        child.wait_for_end()
    second = arena.start(poll_interval=0.2)
    arena.eventually_status("held", RunStatus.INTERRUPTED)
    second.stop()
    assert sorted(path.name for path in arena.folder.iterdir()) == ["ledger"]

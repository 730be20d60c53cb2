"""A database that misbehaves: a `StoreError` that says so, nothing half stored, and all continues when it can."""

import sqlite3
import threading

import pytest
from sqlalchemy import event
from store_kit import Process, every, once

from scheduler import RunStatus, StoreError
from scheduler.store import database_at
from scheduler.store.database.sqlite_connections import Mode


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scheduler.db"


@pytest.fixture
def process(path):
    """Return a process on a file, which waits for nobody."""
    database = database_at(path, None)
    for name in ("write", "read"):
        unhurried = getattr(database, name)
        setattr(database, name, lambda _timeout=0, call=unhurried: call(0.01))
    yield Process(database).begin()
    database.close()


@pytest.fixture
def other(path, process):
    """Return a connection of another program to the same file."""
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


class FaultyConnection(sqlite3.Connection):
    """Fails at what the test names, as a disk does."""

    fault = None

    def commit(self):
        self._fail("commit")
        super().commit()

    def cursor(self, *_args):
        return super().cursor(FaultyCursor)

    def _fail(self, what):
        fault = FaultyConnection.fault
        if fault and fault[0] in what:
            error = sqlite3.OperationalError(f"injected at {fault[0]}")
            error.sqlite_errorcode = fault[1]
            raise error


class FaultyCursor(sqlite3.Cursor):
    def execute(self, statement, *args):
        self.connection._fail(statement)
        return super().execute(statement, *args)

    def executemany(self, statement, *args):
        self.connection._fail(statement)
        return super().executemany(statement, *args)


@pytest.fixture
def faulty(process, monkeypatch):
    """Return what lets the next uses of the database fail; None lets them succeed again."""
    process.database.close()

    def connect(_dialect, _record, _args, parameters):
        parameters["factory"] = FaultyConnection

    for mode in (Mode.READ, Mode.WRITE):
        event.listen(process.database._writer._engines.of(mode), "do_connect", connect)

    def fail(at, code=sqlite3.SQLITE_IOERR):
        monkeypatch.setattr(FaultyConnection, "fault", at and (at, code))

    return fail


def snapshot(process):
    tables = ("scheduler_tasks", "scheduler_runs", "scheduler_owners")
    return [sorted(map(tuple, process.sql(f"SELECT * FROM {table}"))) for table in tables]


# --- Locked ---


def test_a_locked_database_stores_nothing(process, other):
    """Each call says that it is locked, and that nothing was stored; later it is as if it had not been called."""
    process.add(every(60), every(60, task_id="second"))
    before = snapshot(process)
    other.execute("BEGIN EXCLUSIVE")
    calls = [
        lambda: process.add(every(60, task_id="new")),
        lambda: process.pause(1),
        lambda: process.resume(1),
        lambda: process.remove(1),
        lambda: process.trigger(1),
        lambda: process.run_pass(100),
    ]
    for call in calls:
        with pytest.raises(StoreError, match=r"another process has locked it.*nothing was stored: try again"):
            call()
    other.execute("ROLLBACK")
    assert snapshot(process) == before
    assert len(process.started(100)) == 2


def test_a_locked_database_can_be_read(process, other):
    """Readers do not wait for writers."""
    process.add(every(60))
    process.listed()
    other.execute("BEGIN IMMEDIATE")
    assert process.due() == 60
    assert process.runs() == []
    other.execute("ROLLBACK")


def test_an_idle_pass_needs_no_lock(process, other):
    """It only reads."""
    process.add(every(60))
    process.run_pass(1)
    other.execute("BEGIN IMMEDIATE")
    assert process.started(2) == []
    other.execute("ROLLBACK")


def test_a_store_that_is_locked_cannot_be_opened_and_can_later(process, other, path):
    """The first use says so, too."""
    late = database_at(path, None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="locked"), late.write(0.01):
        pass
    other.execute("ROLLBACK")
    with late.write(0.01):
        pass
    late.close()


def test_a_short_wait_stays_short_after_a_long_one(process, other, path):
    """The time that one call may wait is not the time that the next one waits."""
    database = database_at(path, None)
    waits = []
    with database.write(5):
        pass
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"), database.write(0):
        pass
    waits.append(database._writer.connection.driver.cursor().execute("PRAGMA busy_timeout").fetchone())
    other.execute("ROLLBACK")
    database.close()
    assert waits == [(0,)]


def test_outcomes_that_could_not_be_written_are_written_later(process, other):
    """The scheduler tells them again; they are written once."""
    process.add(every(60, pause_after_failures=2))
    process.run_pass(60)
    process.end(61, RunStatus.FAILED)
    other.execute("BEGIN EXCLUSIVE")
    for now in (61, 62, 63):
        with pytest.raises(StoreError):
            process.run_pass(now)
    other.execute("ROLLBACK")
    assert process.run_pass(64).lost == []
    assert process.statuses() == ["failed"]
    assert not process.listed().paused


def test_a_call_from_another_thread_waits_its_turn(path):
    """One thread uses a connection at a time; a thread that waits too long gets a `StoreError`."""
    database = database_at(path, None)
    inside, done = threading.Event(), threading.Event()

    def hold():
        with database.write():
            inside.set()
            done.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(20)
    with pytest.raises(StoreError, match=r"it was busy for 0\.01 s"), database.write(0.01):
        pass
    done.set()
    thread.join()
    with database.write(0.01):
        pass
    database.close()


def test_many_threads_can_use_one_store(path):
    """Nothing is lost, and nobody sees another's transaction."""
    process = Process(database_at(path, None)).begin()

    def work(number):
        for turn in range(10):
            process.add(every(60, task_id=f"t{number}-{turn}"))
            assert process.listed(f"t{number}-{turn}") is not None

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(process.store.list_tasks()) == 80
    process.database.close()


# --- Failing below SQLAlchemy ---

WRITES = ["commit", "BEGIN IMMEDIATE", "INSERT INTO scheduler_runs", "UPDATE scheduler_tasks"]


@pytest.mark.parametrize("at", WRITES)
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_IOERR, "the disk reported an error"),
        (sqlite3.SQLITE_FULL, "the disk is full"),
        (sqlite3.SQLITE_BUSY, "another process has locked it"),
        (sqlite3.SQLITE_INTERNAL, "the database failed"),
    ],
)
def test_a_pass_that_fails_anywhere_has_done_nothing(process, faulty, at, code, words):
    """No run without its due time, no due time without its run; the next pass does it all, on a new connection."""
    process.add(every(60), once(60, "once"))
    before = snapshot(process)
    faulty(at, code)
    with pytest.raises(StoreError, match=words):
        process.run_pass(60)
    faulty(None)
    assert snapshot(process) == before
    assert sorted(process.started(60)) == [("once", 60), ("t", 60)]
    assert sorted(run.status for run in process.runs(None)) == ["running", "running"]


@pytest.mark.parametrize("at", ["commit", "UPDATE scheduler_tasks"])
def test_a_call_that_fails_has_stored_nothing(process, faulty, at):
    """What the face has not returned from is not there."""
    process.add(every(60))
    before = snapshot(process)
    faulty(at)
    for call in (lambda: process.pause(1), lambda: process.remove(1), lambda: process.trigger(1)):
        with pytest.raises(StoreError):
            call()
    faulty(None)
    assert snapshot(process) == before
    process.pause(1)
    assert process.listed().paused


def test_a_read_that_fails_is_a_store_error_and_the_next_one_succeeds(process, faulty):
    """The reader's connection is opened again, too."""
    process.add(every(60))
    process.listed()
    faulty("SELECT")
    for call in (process.listed, process.runs, lambda: process.run_pass(1)):
        with pytest.raises(StoreError, match="disk reported an error"):
            call()
    faulty(None)
    assert process.due() == 60


def test_a_connection_that_failed_is_not_used_again(process, faulty):
    """Another one is opened, and the old one is closed."""
    process.add(every(60))
    old = process.database._writer.connection.driver
    faulty("commit")
    with pytest.raises(StoreError):
        process.pause(1)
    faulty(None)
    process.pause(1)
    assert process.database._writer.connection.driver is not old
    with pytest.raises(sqlite3.ProgrammingError):
        old.execute("SELECT 1")


def test_a_failure_while_the_store_is_opened_leaves_it_to_the_next_use(process, faulty):
    """Nothing is half open."""
    process.add(every(60))
    process.database.close()
    faulty("PRAGMA journal_mode")
    with pytest.raises(StoreError):
        process.add(every(60, task_id="new"))
    faulty(None)
    process.add(every(60, task_id="new"))
    assert len(process.store.list_tasks()) == 2


def test_a_full_disk_stores_nothing_and_is_named(process):
    """SQLite's own error, not one of ours."""
    process.add(every(60))
    with process.database.write() as connection:
        [pages] = connection.driver.execute("PRAGMA page_count").fetchone()
        connection.driver.execute(f"PRAGMA max_page_count = {pages}")
    tasks = [every(60, task_id=f"t{number}", prompt="long " * 500) for number in range(100)]
    with pytest.raises(StoreError, match="the disk is full"):
        process.add(*tasks)
    assert [each.id for each in process.store.list_tasks()] == ["t"]
    process.add(*tasks)
    assert len(process.store.list_tasks()) == 101


# --- The file itself ---


def test_a_deleted_file_is_noticed_and_not_made_anew(process, path):
    """An empty store in its place would have lost all tasks without a word."""
    process.add(every(60))
    process.listed()
    moved = path.rename(path.with_suffix(".moved"))
    calls = [process.listed, lambda: process.pause(1), lambda: process.run_pass(100), lambda: process.add(every(9))]
    for call in calls:
        with pytest.raises(StoreError, match="the file was deleted while it was in use; put it back"):
            call()
    assert not path.exists()
    moved.rename(path)
    assert process.due() == 60
    assert process.started(60) == [("t", 60)]


def test_a_file_that_was_put_in_its_place_is_used(process, path, tmp_path):
    """Such as a copy that was restored."""
    copy = tmp_path / "copy.db"
    restored = Process(database_at(copy, None)).begin()
    restored.add(every(90, task_id="restored"))
    restored.database.close()
    process.add(every(60))
    process.listed()
    copy.replace(path)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    assert [each.id for each in process.store.list_tasks()] == ["restored"]
    process.add(every(60), now=1)
    assert process.started(90) == [("t", 61), ("restored", 90)]


def test_a_run_that_was_going_when_the_file_was_replaced_is_not_in_the_new_one(process, path, tmp_path):
    """Its outcome is refused; nothing fails."""
    process.add(every(60))
    process.run_pass(60)
    copy = tmp_path / "copy.db"
    empty = Process(database_at(copy, None))
    empty.store.open()
    empty.database.close()
    copy.replace(path)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    assert len(process.complete(61).lost) == 1
    assert process.runs() == []


def test_a_database_in_memory_survives_an_error(monkeypatch):
    """Its connection is all there is of it: an error must not cost the tasks."""
    process = Process(database_at(None, None)).begin()
    process.add(every(60))
    with pytest.raises(StoreError):
        process.sql("SELECT * FROM no_such_table")
    assert process.due() == 60
    process.database.close()

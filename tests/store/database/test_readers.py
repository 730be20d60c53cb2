"""Many threads that read at once: each has its turn, and none waits for whoever writes."""

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError
from store_kit import Process, every

import scheduler
from scheduler import StoreError
from scheduler.store import database_at
from scheduler.store.database.sqlite import READERS
from scheduler.store.database.sqlite_connections import Engines, Mode

LONG = 20


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scheduler.db"


@pytest.fixture
def process(path):
    process = Process(database_at(path, None)).begin()
    process.add(every(60))
    yield process
    process.database.close()


def in_threads(number, work):
    """Call something in threads of their own; return what they raised."""
    failures = []

    def guarded(each):
        try:
            work(each)
        except Exception as error:  # noqa: BLE001 (returned)
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(each,)) for each in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


class Held:
    """A thread that is inside a use of the database until the test lets it leave."""

    def __init__(self, use):
        self._leave, inside = threading.Event(), threading.Event()

        def hold():
            with use:
                inside.set()
                assert self._leave.wait(LONG)

        self._thread = threading.Thread(target=hold, daemon=True)
        self._thread.start()
        assert inside.wait(LONG)

    def leave(self):
        self._leave.set()
        self._thread.join(LONG)


@pytest.mark.parametrize("kind", ["file", "memory", "postgresql"])
def test_more_threads_than_can_have_their_turn_in_time(request, path, kind):
    """They wait for each other for longer than a call waits for a lock, and all of them read."""
    limit = 0.5
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else None
    database = database_at(path if kind == "file" else None, url)
    with database.write():
        pass
    waits = []

    def read(_number):
        began = time.monotonic()
        with database.read(limit):
            waits.append(time.monotonic() - began)
            time.sleep(0.05)

    assert in_threads(20 if kind == "memory" else 20 * READERS, read) == []
    assert max(waits) > limit
    database.close()


def test_several_read_at_the_same_time(process):
    """A further one gets an error that the store is busy if none of them comes to its end."""
    readers = [Held(process.database.read()) for _ in range(READERS)]
    with pytest.raises(StoreError, match=r"it was busy for 0\.01 s"), process.database.read(0.01):
        pass
    readers.pop().leave()
    assert process.due() == 60
    for reader in readers:
        reader.leave()


def test_readers_that_are_opened_later_do_not_wait_for_a_writer(process):
    """Only the first one had to see that the tables are there."""
    process.listed()
    writing = Held(process.database.write())
    readers = [Held(process.database.read(0.01)) for _ in range(READERS)]
    for each in [*readers, writing]:
        each.leave()


def test_all_readers_see_what_was_committed(process):
    """At once."""
    for number in range(3):
        process.add(every(60, f"t{number}"))
        seen = []
        assert in_threads(READERS * 2, lambda _: seen.append(len(process.store.list_tasks()))) == []  # noqa: B023
        assert set(seen) == {number + 2}


def open_all(process):
    for reader in [Held(process.database.read()) for _ in range(READERS)]:
        reader.leave()


def test_all_readers_notice_another_file(process, path):
    """None of them keeps the old one."""
    open_all(process)
    copy = Process(database_at(path.with_name("copy.db"), None)).begin()
    copy.add(every(90, "restored"))
    copy.database.close()
    path.with_name("copy.db").replace(path)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    seen = []
    assert in_threads(READERS * 3, lambda _: seen.append(process.listed("restored") is not None)) == []
    assert set(seen) == {True}


@pytest.mark.parametrize("opened", [1, READERS])
def test_no_reader_makes_a_deleted_file_anew(path, process, opened):
    """Neither those that had it open nor those that are opened now; also where nothing was written."""
    process.database.close()
    looking = database_at(path, None)
    assert looking.exists()
    for reader in [Held(looking.read()) for _ in range(opened)]:
        reader.leave()
    path.unlink()

    def read(_number):
        with looking.read():
            pass

    failures = in_threads(READERS * 2, read)
    assert len(failures) == READERS * 2
    assert all("was deleted while it was in use" in str(failure) for failure in failures)
    assert not path.exists()
    looking.close()


def test_closing_waits_for_those_who_read(process, path):
    """Then nothing is open; and closing at the same time in several threads ends, too."""
    readers = [Held(process.database.read()) for _ in range(2)]
    closing = [threading.Thread(target=process.database.close) for _ in range(3)]
    for thread in closing:
        thread.start()
    closing[0].join(0.05)
    assert closing[0].is_alive()
    for reader in readers:
        reader.leave()
    for thread in closing:
        thread.join(LONG)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert process.due() == 60


def test_reading_writing_and_closing_at_once(process):
    """Whatever their order, each call does what it does alone."""

    def work(number):
        for turn in range(10):
            if number == 0:
                process.database.close()
            elif number % 2:
                process.add(every(60, f"t{number}-{turn}"))
            else:
                assert process.due() == 60

    assert in_threads(9, work) == []
    assert len(process.store.list_tasks()) == 1 + 4 * 10


# --- The log at the end ---


def log_size(path):
    return path.with_name(f"{path.name}-wal").stat().st_size


def test_closing_empties_the_log_though_another_process_is_there(process, path):
    """Else it would keep its largest size for as long as one process or another has the store open."""
    other = Process(database_at(path, None)).begin()
    process.add(*(every(60, f"t{number}", prompt="long " * 200) for number in range(500)))
    assert other.due() == 60
    assert log_size(path) > 100_000
    process.store.close()
    assert log_size(path) == 0
    assert len(other.store.list_tasks()) == 501
    other.database.close()


def test_closing_does_not_wait_for_another_process(process, path):
    """Whoever reads or writes at that moment keeps the log as it is."""
    process.add(every(60, "more"))
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        process.store.close()
        assert time.monotonic() - began < 2
        assert log_size(path) > 0
        other.execute("ROLLBACK")
    other.close()


def test_who_has_only_read_leaves_the_log_alone(process, path):
    """Looking changes nothing."""
    looking = Process(database_at(path, None))
    looking.store.open(create=False)
    assert looking.due() == 60
    before = log_size(path)
    looking.store.close()
    assert log_size(path) == before > 0


# --- Who may only read ---

NOBODY = 65534
PROGRAM = f"""
import contextlib, io, os, sys
from scheduler.cli import app

def look(path):
    for command in (["list"], ["show", "t"], ["runs"]):
        with contextlib.suppress(SystemExit):
            app([*command, "--db", path, "--json"], prog_name="task-scheduler")

if os.geteuid() == 0:
    with contextlib.redirect_stdout(io.StringIO()):
        look(sys.argv[2])  # all that is imported on the way may be unreadable to anybody else
    os.setgid({NOBODY})
    os.setuid({NOBODY})
look(sys.argv[1])
"""


@pytest.fixture
def readable():
    """Return an empty file in a folder; everybody may read both, and nobody but their owner may change them."""
    with tempfile.TemporaryDirectory(prefix="readable-") as name:
        folder, file = Path(name), Path(name) / "scheduler.db"
        folder.chmod(0o755)
        file.touch()
        file.chmod(0o644)
        yield file
        folder.chmod(0o755)


def forbid_changes(path):
    """Take the owner's rights away as well, unless that is root, who has them anyway."""
    if os.geteuid() != 0:
        for each in path.parent.iterdir():
            each.chmod(0o444)
        path.parent.chmod(0o555)


def look(path):
    """Return what a user who may only read the store sees of its task and its run, and what is said of errors."""
    source = Path(scheduler.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    with tempfile.TemporaryDirectory() as folder:
        another = Path(folder) / "scheduler.db"
        filled(another).store.close()
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM, str(path), str(another)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)
    return done.stdout, done.stderr


def sees_everything(path):
    output, errors = look(path)
    assert errors == ""
    assert output.count('"task_id": "t"') >= 2
    assert '"id": "t"' in output
    assert '"response": "the newest"' in output


def filled(path):
    process = Process(database_at(path, None)).begin()
    process.add(every(60))
    process.run_pass(60)
    process.complete(61, response="the newest")
    return process


def test_a_closed_store_is_read_by_who_may_not_change_it(readable):
    """SQLite would create a log beside it; nothing is created."""
    filled(readable).store.close()
    forbid_changes(readable)
    before = readable.read_bytes()
    sees_everything(readable)
    assert [each.name for each in readable.parent.iterdir()] == [readable.name]
    assert readable.read_bytes() == before


@pytest.mark.parametrize("is_log_empty", [False, True])
def test_a_store_in_use_is_read_by_who_may_not_change_it(readable, is_log_empty):
    """With all that is in its log."""
    process = filled(readable)
    if is_log_empty:
        other = Process(database_at(readable, None))
        other.add(every(60, "other"), now=61)
        other.store.close()
        assert log_size(readable) == 0
    sees_everything(readable)
    process.add(every(60, "later"))
    process.store.close()


def test_a_store_whose_process_was_killed_is_read_by_who_may_not_change_it(readable):
    """Its log is there."""
    process = filled(readable)
    files = {each: each.read_bytes() for each in readable.parent.iterdir()}
    process.store.close()
    for each, content in files.items():
        each.write_bytes(content)
    forbid_changes(readable)
    sees_everything(readable)


def test_a_log_that_cannot_be_read_is_named(readable):
    """Without its index SQLite would have to write; the newest runs are not left out without a word."""
    process = filled(readable)
    files = {each: each.read_bytes() for each in readable.parent.iterdir() if not each.name.endswith("-shm")}
    process.store.close()
    for each, content in files.items():
        each.write_bytes(content)
    forbid_changes(readable)
    output, errors = look(readable)
    assert output == ""
    assert "some of it is in its write-ahead log" in errors


@pytest.fixture
def only_readable(monkeypatch):
    """Let this process be one that may not change the file, which root always may."""
    monkeypatch.setattr("scheduler.store.database.sqlite.may_write", lambda _: False)


def test_a_closed_store_that_is_changed_while_it_is_read(readable, only_readable):
    """What was read is not trusted, for nothing said that it was read; the next read sees the change."""
    filled(readable).store.close()
    reading = Process(database_at(readable, None))

    def change_while_reading():
        writing = Process(database_at(readable, None))
        with reading.database.read():
            writing.add(every(60, "later"), now=62)
            writing.store.close()

    with pytest.raises(StoreError, match="another process changed it while it was read"):
        change_while_reading()
    assert reading.due("later") == 122
    reading.store.close()


def test_a_read_leaves_nothing_in_a_folder_that_may_be_changed(readable, only_readable):
    """Where the file alone is protected; what was left would belong to the wrong user."""
    filled(readable).store.close()
    reading = Process(database_at(readable, None))
    assert reading.due() == 120
    assert [each.name for each in readable.parent.iterdir()] == [readable.name]
    assert reading.runs()[0].response == "the newest"
    reading.store.close()
    assert [each.name for each in readable.parent.iterdir()] == [readable.name]


def test_a_store_that_is_closed_at_the_moment_of_reading(readable, only_readable, monkeypatch):
    """The log was there when it was looked for."""
    filled(readable).store.close()
    monkeypatch.setattr("scheduler.store.database.sqlite.has_index", lambda _: True)
    real = Engines.of

    def of(engines, mode):
        if mode is Mode.READ_ONLY:
            refused = sqlite3.OperationalError("unable to open database file")
            refused.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise DBAPIError("", {}, refused)
        return real(engines, mode)

    monkeypatch.setattr(Engines, "of", of)
    reading = Process(database_at(readable, None))
    assert reading.due() == 120
    reading.store.close()


@pytest.fixture
def without_log(readable):
    """Return a store that another program has switched to a rollback journal, as a copy by `VACUUM INTO` has it."""
    filled(readable).store.close()
    connection = sqlite3.connect(readable, isolation_level=None)
    connection.execute("PRAGMA journal_mode = DELETE")
    yield connection
    connection.close()


def test_a_store_without_a_log_is_read_by_who_may_not_change_it(readable, only_readable, without_log):
    """It is opened as it is."""
    reading = Process(database_at(readable, None))
    assert reading.due() == 120
    assert reading.runs()[0].response == "the newest"
    assert [each.name for each in readable.parent.iterdir()] == [readable.name]
    reading.store.close()


def test_half_of_a_transaction_is_not_read(readable, only_readable, without_log):
    """Where a program was killed in the middle of one, its journal has to be applied first."""
    without_log.execute("PRAGMA cache_size = 1")
    without_log.execute("BEGIN")
    without_log.execute("CREATE TABLE other (text)")
    without_log.executemany("INSERT INTO other VALUES (?)", [("long " * 500,)] * 200)
    files = {each: each.read_bytes() for each in readable.parent.iterdir()}
    assert len(files) == 2
    without_log.execute("ROLLBACK")
    for each, content in files.items():
        each.write_bytes(content)
    with pytest.raises(StoreError, match="it cannot be written"):
        Process(database_at(readable, None)).store.open(create=False)


def test_who_may_only_read_finds_no_old_tables(readable, only_readable):
    """They would have to be upgraded."""
    filled(readable).store.close()
    with sqlite3.connect(readable) as connection:
        connection.execute("UPDATE scheduler_schema SET version = 1")
    connection.close()
    reading = Process(database_at(readable, None))
    with pytest.raises(StoreError, match="it cannot be written, and it has schema version 1; open it once as a user"):
        reading.store.open(create=False)


def test_a_change_by_who_may_only_read_is_refused(readable, monkeypatch):
    """In words; the store stays as it is."""
    filled(readable).store.close()
    monkeypatch.setattr("scheduler.store.database.sqlite_files.os.access", lambda *_: False)
    monkeypatch.setattr("scheduler.store.database.sqlite.may_write", lambda _: False)
    before = readable.read_bytes()
    process = Process(database_at(readable, None))
    assert process.due() == 120
    with pytest.raises(StoreError, match="the file is read-only; make it writable"):
        process.pause(1)
    assert process.due() == 120
    process.store.close()
    assert readable.read_bytes() == before

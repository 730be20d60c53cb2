"""Opening a SQLite store: what is wrong with a path is said at once, and the file is left as it was."""

import gc
import os
import sqlite3
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest
from store_kit import Process, every

import scheduler
from scheduler import StoreError, TaskScheduler
from scheduler.store import database_at
from scheduler.store.schema import VERSION


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scheduler.db"


def make_store(path):
    process = Process(database_at(path, None)).begin()
    process.add(every(60))
    process.database.close()


def refused(path, reason):
    """Assert that a store is refused, with the path and the reason in the error."""
    database = database_at(path, None)
    with pytest.raises(StoreError, match=reason) as error:
        Process(database).store.open()
    assert str(path) in str(error.value)
    database.close()


def test_a_missing_folder_is_named_and_not_created(tmp_path):
    """The path is most likely mistyped."""
    refused(tmp_path / "nowhere" / "scheduler.db", r"folder .*nowhere does not exist; create it")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file(tmp_path):
    """The error says what to give instead."""
    refused(tmp_path, "it is a folder; give the path of a file in it")
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_file_is_left_as_it_is(path):
    """It is refused when it is opened, not when the first task is due; also to root, who may write anything."""
    make_store(path)
    path.chmod(0o444)
    before = path.read_bytes()
    refused(path, "the file is read-only; make it writable")
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"This is a diary.\n" * 100, b"xy", b"SQLite format 3\0" + b"\xff" * 5_000])
def test_a_file_that_is_no_database_is_left_as_it_is(path, content):
    """Neither a text, nor two bytes, nor something that only begins like a database."""
    path.write_bytes(content)
    refused(path, "no SQLite database|damaged")
    assert path.read_bytes() == content
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_newer_schema_is_left_as_it_is(path):
    """A later release wrote it; this one does not know what its columns mean."""
    make_store(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE scheduler_schema SET version = ?", (VERSION + 1,))
    connection.commit()
    connection.close()
    before = path.read_bytes()
    refused(path, f"schema version {VERSION + 1}.*upgrade")
    assert path.read_bytes() == before


def test_a_newer_schema_is_not_even_switched_to_another_journal(path):
    """Nothing at all is written before the version is known."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE scheduler_schema (version INTEGER)")
    connection.execute("INSERT INTO scheduler_schema VALUES (999)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    refused(path, "schema version 999")
    assert path.read_bytes() == before


def test_tables_of_others_in_the_same_file_are_left_alone(path):
    """A store can live beside what a program keeps itself."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (text)")
    connection.execute("INSERT INTO notes VALUES ('remember')")
    connection.commit()
    connection.close()
    make_store(path)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT text FROM notes").fetchall() == [("remember",)]
    connection.close()


def test_an_empty_file_becomes_a_store(path):
    """As `touch` or a mount makes it."""
    path.touch()
    make_store(path)
    assert path.stat().st_size > 0


@pytest.mark.parametrize("name", ["a b.db", "ä#?%41.db", "x;y&mode=ro.db", "file:x.db"])
def test_any_name_of_a_file_will_do(tmp_path, name):
    """It is a path, and no URL."""
    make_store(tmp_path / name)
    assert name in [each.name for each in tmp_path.iterdir()]


ODD_NAMES = {
    "in memory": (":memory:", r"this is no name for a file; use TaskScheduler\(persistent=False\)"),
    "end of line": ("scheduler.db\n", r"has the character '\\n'"),
    "tabulator": ("a\tb.db", r"has the character '\\t'"),
    "escape": ("\x1b[2J.db", r"has the character '\\x1b'"),
    "separator": ("a\u2028.db", r"has the character '\\u2028'"),
    "not UTF-8": ("caf\udce9.db", r"has the character '\\udce9'"),
    "surrogate": ("\ud800.db", "half of a surrogate pair"),
    "NUL": ("a\0b.db", "NUL character"),
    "long": ("x" * 300, "too long"),
    "deep": ("d/" * 3000 + "scheduler.db", "too long"),
}


@pytest.mark.parametrize(("name", "reason"), ODD_NAMES.values(), ids=ODD_NAMES.keys())
@pytest.mark.parametrize("as_url", [False, True])
def test_a_file_that_nobody_means_is_not_created(tmp_path, name, reason, as_url):
    """Such a name comes from a mistake; the error is one line and can be printed, also by who only looks."""
    where = {"db_url": f"sqlite:///{tmp_path}/{name}"} if as_url else {"db_path": tmp_path / name}
    if as_url and name == ":memory:":
        where = {"db_url": f"sqlite:///{tmp_path}/:memory:"}
    with pytest.raises(StoreError, match=reason) as error:
        TaskScheduler(**where)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1000
    with pytest.raises(StoreError, match=f"{reason}|there is none") as error:
        TaskScheduler(**where, create=False)
    assert str(error.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_regular_file(tmp_path):
    """A pipe, which nobody writes to, is not read; nor is a device."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        refused(path, "it is not a regular file; give another db_path")
        with pytest.raises(StoreError, match="there is none"):
            Process(database_at(path, None)).store.open(create=False)


@pytest.mark.parametrize("value", [5, None, True, b"scheduler.db", ["scheduler.db"], object()])
def test_what_is_no_path(tmp_path, monkeypatch, value):
    """It is named, and nothing is created."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^db_path=.*: it is no path; give a text or a Path"):
        TaskScheduler(db_path=value)
    assert list(tmp_path.iterdir()) == []


def test_a_working_directory_that_was_deleted(tmp_path, monkeypatch):
    """A path from the root is needed then."""
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(StoreError, match="the working directory was deleted; start the program in another one"):
        TaskScheduler()
    with pytest.raises(StoreError, match="the working directory was deleted"):
        TaskScheduler(db_url="sqlite:///scheduler.db")
    TaskScheduler(db_path=tmp_path / "scheduler.db").stop()
    TaskScheduler(persistent=False).stop()


def test_an_odd_file_that_is_there_is_opened(tmp_path):
    """Earlier releases created it, and it has tasks."""
    make_store(tmp_path / "usual.db")
    (tmp_path / "usual.db").rename(tmp_path / "scheduler.db\n")
    process = Process(database_at(tmp_path / "scheduler.db\n", None))
    assert process.due() == 60
    process.database.close()


def test_a_folder_may_have_any_name(tmp_path):
    """It is there, so it is meant."""
    folder = tmp_path / "caf\udce9 \n"
    folder.mkdir()
    make_store(folder / "scheduler.db")
    assert [each.name for each in folder.iterdir()] == ["scheduler.db"]


def test_a_store_is_found_again(path):
    """With all that is in it."""
    make_store(path)
    process = Process(database_at(path, None))
    assert process.due() == 60
    process.database.close()


def test_closing_leaves_one_file(path):
    """The write-ahead log is folded in; the next use opens the store again."""
    process = Process(database_at(path, None)).begin()
    process.add(every(60))
    process.listed()
    process.store.close()
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert process.due() == 60
    process.store.close()
    process.store.close()


def test_memory_leaves_no_file(tmp_path, monkeypatch):
    """`persistent=False` writes nothing anywhere."""
    monkeypatch.chdir(tmp_path)
    in_memory = TaskScheduler(persistent=False, graph=object())
    in_memory.add_task(every(60))
    assert [task["id"] for task in in_memory.list_tasks()] == ["t"]
    in_memory.stop()
    assert list(tmp_path.iterdir()) == []


def test_two_stores_in_memory_are_two(tmp_path):
    """Nothing is shared between them."""
    first, second = (Process(database_at(None, None)).begin() for _ in range(2))
    first.add(every(60))
    assert second.store.list_tasks() == []
    for process in (first, second):
        process.database.close()


def test_a_commit_is_safe_from_a_loss_of_power(path):
    """Write-ahead log, synchronised in full."""
    database = database_at(path, None)
    with database.write() as connection:
        assert connection.driver.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.driver.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


# --- Nothing is left open ---


@pytest.mark.parametrize("path_given", [True, False])
@pytest.mark.parametrize("closed", [True, False])
def test_no_connection_is_left_open(path, path_given, closed):
    """Neither after `close()`, nor when a store is let go of without it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        process = Process(database_at(path if path_given else None, None)).begin()
        process.add(every(60))
        process.listed()
        if closed:
            process.store.close()
        del process
        gc.collect()
    assert [str(each.message) for each in caught] == []


def test_no_connection_is_left_open_by_a_store_that_was_refused(path):
    """The error path closes what it has opened."""
    path.write_bytes(b"no database" * 100)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        refused(path, "no SQLite database")
        gc.collect()
    assert [str(each.message) for each in caught] == []


def test_a_program_that_never_closes_ends_without_a_word(tmp_path):
    """With all warnings on."""
    run(
        tmp_path, 'process = Process(database_at(Path("x.db"), None)).begin(); process.add(every(60)); process.listed()'
    )


# --- Forks ---


def test_use_after_a_fork_is_refused(tmp_path):
    """The connection belongs to the parent, which continues."""
    run(
        tmp_path,
        """
        process = Process(database_at(Path("x.db"), None)).begin()
        process.add(every(60))
        process.listed()
        child = os.fork()
        if child == 0:
            try:
                process.add(every(60, "child"))
            except StoreError as error:
                os._exit(0 if "fork" in str(error) else 1)
            os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        process.add(every(60, "parent"))
        assert {each.id for each in process.store.list_tasks()} == {"t", "parent"}
        process.store.close()
        """,
    )


def test_a_forked_child_that_ends_does_not_harm_the_parent(tmp_path):
    """Its copies of the parent's connections are closed without touching the file."""
    run(
        tmp_path,
        """
        process = Process(database_at(Path("x.db"), None)).begin()
        process.add(every(60))
        process.listed()
        child = os.fork()
        if child == 0:
            process.database.close()
            del process
            gc.collect()
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        process.add(every(60, "parent"))
        assert {each.id for each in process.store.list_tasks()} == {"t", "parent"}
        process.store.close()
        assert {each.id for each in process.store.list_tasks()} == {"t", "parent"}
        process.store.close()
        """,
    )


_PRELUDE = """
import gc, os, sys
from pathlib import Path
from store_kit import Process, every as _every
from scheduler import StoreError
from scheduler.store import database_at

def every(seconds, task_id="t"):
    return _every(seconds, task_id)
"""


def run(folder, source):
    """Run a program of its own, to which each warning is an error."""
    program = folder / "program.py"
    program.write_text(_PRELUDE + textwrap.dedent(source))
    command = [sys.executable, "-X", "dev", "-W", "error", str(program)]
    paths = [Path(scheduler.__file__).parents[1], Path(__file__).parent]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_a_new_file_is_for_its_owner_alone(tmp_path):
    """Its log, too, whatever the umask; one that is there keeps its mode."""
    before = os.umask(0)
    try:
        process = Process(database_at(tmp_path / "new.db", None)).begin(0)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        process.database.close()
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}, modes
    assert {"new.db", "new.db-wal"} <= set(modes)
    old = tmp_path / "old.db"
    old.touch(mode=0o644)
    old.chmod(0o644)
    Process(database_at(old, None)).begin(0).database.close()
    assert old.stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(os.name != "posix", reason="links are those of POSIX")
def test_a_link_that_leads_to_no_file_is_not_followed(tmp_path):
    """Who put it there would choose where the store lies; one that leads to a file is used."""
    target, link = tmp_path / "target.db", tmp_path / "scheduler.db"
    link.symlink_to(target)
    with pytest.raises(StoreError, match="it is a link to"):
        Process(database_at(link, None)).begin(0)
    assert not target.exists()
    Process(database_at(target, None)).begin(0).database.close()
    Process(database_at(link, None)).begin(0).database.close()

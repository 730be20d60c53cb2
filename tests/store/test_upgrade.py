"""A store of an earlier schema version is brought to the present one when it is opened, with all that is in it."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text
from store_kit import DAY, RETENTION, Process, instant, seconds_of

from scheduler import TaskNotFoundError, TaskScheduler
from scheduler.models import TokenUsage
from scheduler.store import database_at
from scheduler.store.schema import VERSION
from scheduler.timing.clock import SECOND

HERE = Path(__file__).parent


def written_by(version, dialect):
    """Return the statements that make a store as an earlier version wrote it."""
    return (HERE / f"version_{version}_{dialect}.sql").read_text(encoding="utf-8")


@pytest.fixture(params=["sqlite", "postgresql"])
def old_store(request, tmp_path):
    """Return what makes the URL of a store that an earlier version wrote."""

    def make(version):
        if request.param == "sqlite":
            connection = sqlite3.connect(tmp_path / "old.db")
            connection.executescript(written_by(version, "sqlite"))
            connection.close()
            return f"sqlite:///{tmp_path / 'old.db'}"
        url = request.getfixturevalue("postgres_server").new_database()
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql(written_by(version, "postgresql").replace("%", "%%"))
        engine.dispose()
        return url

    return make


@pytest.fixture
def new_url(request, tmp_path, old_store):
    """Return the URL of a store that the present version has made on the same kind of database."""

    def make(url):
        if url.startswith("sqlite"):
            fresh = f"sqlite:///{tmp_path / 'new.db'}"
        else:
            fresh = request.getfixturevalue("postgres_server").new_database()
        database = database_at(None, fresh)
        Process(database).store.open()
        database.close()
        return fresh

    return make


def shape_of(url):
    """Return what a database says of its tables: columns, checks and indexes."""
    engine = create_engine(url)
    looked = inspect(engine)
    shape = {
        table: (
            [(each["name"], str(each["type"]), each["nullable"]) for each in looked.get_columns(table)],
            sorted((each["name"], each["sqltext"]) for each in looked.get_check_constraints(table)),
            sorted(_index(each) for each in looked.get_indexes(table)),
        )
        for table in looked.get_table_names()
    }
    engine.dispose()
    return shape


def _index(found):
    options = sorted((name, str(value)) for name, value in found.get("dialect_options", {}).items())
    return found["name"], found["column_names"], found["unique"], options


def rows_of(url, table):
    engine = create_engine(url)
    with engine.connect() as connection:
        found = [dict(row) for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY id")).mappings()]
    engine.dispose()
    return found


@pytest.mark.parametrize("version", range(1, VERSION))
def test_an_upgraded_store_is_like_a_fresh_one(old_store, new_url, version):
    """The same tables, with the same columns in the same order, the same checks and the same indexes."""
    url = old_store(version)
    database = database_at(None, url)
    Process(database).store.open()
    database.close()
    assert shape_of(url) == shape_of(new_url(url))


TABLES = ("scheduler_tasks", "scheduler_runs", "scheduler_owners")


@pytest.mark.parametrize("version", range(1, VERSION))
def test_an_upgraded_store_keeps_its_rows(old_store, version):
    """Each task, run and owner as it was; a column that is new is empty, unless it follows from the others."""
    url = old_store(version)
    before = {table: rows_of(url, table) for table in TABLES}
    database = database_at(None, url)
    Process(database).store.open()
    database.close()
    after = {table: rows_of(url, table) for table in TABLES}
    for table, rows in before.items():
        kept = [{name: row[name] for name in rows[0]} for row in after[table]]
        assert kept == rows
        new = {(name, value) for row in after[table] for name, value in row.items() if name not in rows[0]}
        assert {name for name, value in new if value is not None} <= {"warn_at"}


def test_version_2_learns_when_to_say_that_something_expires(old_store):
    """After nine tenths of the time, at most a day before; of a task, and of a run that waits for an answer."""
    url = old_store(2)
    database = database_at(None, url)
    Process(database).store.open()
    database.close()
    tasks = {row["id"]: row["warn_at"] for row in rows_of(url, "scheduler_tasks") if row["warn_at"] is not None}
    runs = {row["task_id"]: row["warn_at"] for row in rows_of(url, "scheduler_runs") if row["warn_at"] is not None}
    assert tasks == {"bounded": 1767657600000000 - 8_640_000_000}
    assert runs == {"asks": 1767671260000000 - 10_000_000_000}


@pytest.mark.parametrize("version", range(1, VERSION))
def test_an_upgraded_store_goes_on(old_store, version):
    """The runs that were open when it was upgraded end, and tell what is new."""
    process = Process(database_at(None, old_store(version))).begin(570)
    assert [run_id for now in (570, 580, 590, 600) for run_id in process.run_pass(now).recovered]
    assert process.statuses("asks") == ["waiting"]
    process.store.answer_run(process.runs("asks")[0].id, "yes", 600)
    process.complete(601, usage=TokenUsage(input_tokens=1, output_tokens=2, total_tokens=3))
    process.complete(602, usage=TokenUsage(input_tokens=1, output_tokens=2, total_tokens=3))
    (asked,) = process.runs("asks")
    assert (asked.status, asked.attempt, asked.usage.total_tokens) == ("succeeded", 2, 3)
    assert next((run.status, run.attempt) for run in process.runs("fails")) == ("succeeded", 2)
    assert process.runs("paused")[0].status == "succeeded"
    assert process.due("t") > seconds_of(asked.scheduled_at)
    process.store.close()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("ahead", [0, 10 * 365 * DAY])
def test_an_upgraded_store_knows_that_the_clock_was_ahead(old_store, version, ahead):
    """Version 3 keeps a record of it; before, the rows tell."""
    url = old_store(version)
    engine = create_engine(url)
    with engine.begin() as connection:
        for table, columns in {"tasks": ("anchor", "next_due"), "runs": ("scheduled_at", "started_at")}.items():
            for column in columns:
                connection.execute(text(f"UPDATE scheduler_{table} SET {column} = {column} + {ahead * SECOND}"))
    engine.dispose()
    now = 130
    process = Process(database_at(None, url)).begin(now)
    assert now - 60 <= process.due("t") <= now + 60
    process.store.close()


@pytest.mark.parametrize("version", range(1, VERSION))
def test_an_upgraded_store_remembers_what_it_purges(old_store, version):
    """A one-time task of the old store is known when it is added again, long after it was purged."""
    process = Process(database_at(None, old_store(version))).begin(2 * RETENTION)
    task = process.store.get_task("last")
    process.run_pass(2 * RETENTION)
    with pytest.raises(TaskNotFoundError):
        process.store.get_task("last")
    left_out = process.store.add_tasks([task], instant(2 * RETENTION), refuse_passed=True)
    assert [task_id for task_id, _ in left_out] == ["last"]
    process.store.close()


def test_an_upgrade_that_is_cut_off_leaves_the_old_version(tmp_path, monkeypatch):
    """It is one transaction: the next opening starts it again."""
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    connection.executescript(written_by(1, "sqlite"))
    connection.close()
    with monkeypatch.context() as patched:
        patched.setattr("scheduler.store.schema.schema.update", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            TaskScheduler(db_path=path)
    url = f"sqlite:///{path}"
    assert "current_step" not in {name for name, *_ in shape_of(url)["scheduler_runs"][0]}
    TaskScheduler(db_path=path).stop()
    assert "current_step" in {name for name, *_ in shape_of(url)["scheduler_runs"][0]}

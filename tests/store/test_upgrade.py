"""A store of an earlier schema version is brought to the present one when it is opened, with all that is in it."""

import json
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text
from store_kit import DAY, RETENTION, Process, instant, seconds_of

from scheduler import StoreError, TaskDefinition, TaskNotFoundError, TaskScheduler
from scheduler.models import TokenUsage
from scheduler.store import database_at
from scheduler.store.reading import read
from scheduler.store.schema import VERSION
from scheduler.timing.clock import SECOND

HERE = Path(__file__).parent
WRITTEN = sorted({int(path.name.split("_")[1]) for path in HERE.glob("version_*.sql")})
"""The versions of which there is a store; that of the present one is written before it is released."""
DEFINITIONS = json.loads((HERE / "definitions.json").read_text(encoding="utf-8"))
"""Definitions with all fields set, as the last release of a schema version stored them; 3 and 4 stored those of 2."""


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
        found = [dict(row) for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY 1")).mappings()]
    engine.dispose()
    return found


def tables_of(url):
    engine = create_engine(url)
    names = inspect(engine).get_table_names()
    engine.dispose()
    return names


def content_of(url):
    return {table: rows_of(url, table) for table in tables_of(url)}


@pytest.mark.parametrize("version", WRITTEN)
def test_a_store_of_each_version_has_rows_in_every_table(old_store, version):
    """So that an upgrade is tried with all that there can be."""
    content = content_of(old_store(version))
    assert content["scheduler_schema"] == [{"version": version}]
    assert [table for table, rows in content.items() if not rows] == []


def test_there_is_a_store_of_each_version():
    """Of all earlier ones, on both databases."""
    assert set(range(1, VERSION)) <= set(WRITTEN)
    for dialect in ("sqlite", "postgresql"):
        assert all("scheduler_schema" in written_by(version, dialect) for version in WRITTEN)


@pytest.mark.parametrize("version", range(1, VERSION))
def test_an_upgraded_store_is_like_a_fresh_one(old_store, new_url, version):
    """The same tables, with the same columns in the same order, the same checks and the same indexes."""
    url = old_store(version)
    database = database_at(None, url)
    Process(database).store.open()
    database.close()
    assert shape_of(url) == shape_of(new_url(url))


@pytest.mark.parametrize("version", range(1, VERSION))
def test_an_upgraded_store_keeps_its_rows(old_store, version):
    """Each row of each table as it was; a column that is new is empty, unless it follows from the others."""
    url = old_store(version)
    before = content_of(url)
    database = database_at(None, url)
    Process(database).store.open()
    database.close()
    after = content_of(url)
    assert after["scheduler_schema"] == [{"version": VERSION}]
    del before["scheduler_schema"]
    for table, rows in before.items():
        kept = [{name: row[name] for name in rows[0]} for row in after[table]]
        assert kept == rows
        new = {(name, value) for row in after[table] for name, value in row.items() if name not in rows[0]}
        assert {name for name, value in new if value is not None} <= {"warn_at", "words"}


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


def test_a_later_release_is_refused(old_store):
    """A release that opens the store of a later one says so, and changes nothing in it."""
    url = old_store(WRITTEN[-1])
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE scheduler_schema SET version = {VERSION + 1}"))
        connection.execute(text("ALTER TABLE scheduler_runs ADD COLUMN of_the_future TEXT"))
    engine.dispose()
    before = shape_of(url), content_of(url)
    for create in (True, False):
        with pytest.raises(StoreError, match=f"schema version {VERSION + 1}.*upgrade"):
            TaskScheduler(db_url=url, create=create)
    assert (shape_of(url), content_of(url)) == before


# --- An old and a new release on one store ---


@pytest.mark.parametrize("version", range(1, VERSION))
def test_an_earlier_release_can_write_into_an_upgraded_store(old_store, version):
    """It names the columns that it knows. So a process of that release may continue while a new one has upgraded."""
    url = old_store(version)
    rows = {table: rows_of(url, table) for table in ("scheduler_tasks", "scheduler_runs", "scheduler_owners")}
    engine = create_engine(url)
    with engine.begin() as connection:
        for table in rows:
            connection.execute(text(f"DELETE FROM {table}"))
    process = Process(database_at(None, url)).begin(570)
    with engine.begin() as connection:
        for table, written in rows.items():
            for row in written:
                names = ", ".join(f'"{name}"' for name in row)
                values = ", ".join(f":{name}" for name in row)
                connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)
    engine.dispose()
    assert [run_id for now in (570, 580, 590, 600) for run_id in process.run_pass(now).recovered]
    assert process.statuses("asks") == ["waiting"]
    assert "succeeded" in process.statuses("t")
    process.store.close()


@pytest.mark.parametrize("version", range(1, VERSION))
def test_an_upgrade_only_adds(old_store, version):
    """Each column that an earlier release knows stays as it is, and one that is new may be left empty."""
    url = old_store(version)
    before = shape_of(url)
    database = database_at(None, url)
    Process(database).store.open()
    database.close()
    after = shape_of(url)
    for table, (columns, _, _) in before.items():
        assert after[table][0][: len(columns)] == columns
        assert all(nullable for _, _, nullable in after[table][0][len(columns) :])


# --- Definitions ---


@pytest.mark.parametrize(
    "definition", [each for all_of in DEFINITIONS.values() for each in all_of], ids=lambda each: each["id"]
)
def test_a_definition_of_an_earlier_release_loads(definition):
    """With each field as it was written."""
    task = read(json.dumps(definition))
    assert isinstance(task, TaskDefinition)
    assert task.model_fields_set >= definition.keys()
    stored = json.loads(task.model_dump_json())
    assert {name: stored[name] for name in definition} == definition


def test_the_definitions_of_earlier_releases_set_each_field():
    """Which fields there were is in the release; none of them may be missing by now."""
    for definitions in DEFINITIONS.values():
        known = set().union(*definitions)
        assert len(known) >= 34
        assert known <= TaskDefinition.model_fields.keys()

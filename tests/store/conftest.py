"""Databases of each kind, and processes that share them."""

import subprocess
import sys

import pytest
from helpers import EchoGraph
from postgres import postgres_server, postgres_url  # noqa: F401 (fixtures)
from sqlalchemy import create_engine, text
from store_kit import Process

from scheduler import TaskScheduler
from scheduler.store import database_at


@pytest.fixture(scope="session")
def postgres_store(request):
    """Return the URL of one database for all tests of the store, which each of them empties."""
    server = request.getfixturevalue("postgres_server")
    url = server.new_database()
    yield url
    server.drop_database(url)


@pytest.fixture(params=["file", "memory", "postgresql"])
def connect(request, tmp_path):
    """Return what opens one and the same database, as another process would; one in memory is the same object."""
    opened = []
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_store")
        _empty(url)

    def open_database():
        if request.param == "memory" and opened:
            return opened[0]
        path = tmp_path / "scheduler.db" if request.param == "file" else None
        opened.append(database_at(path, url if request.param == "postgresql" else None))
        return opened[-1]

    yield open_database
    for database in opened:
        database.close()


def _empty(url):
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()


@pytest.fixture
def new_process(connect):
    """Return what starts a further process on the database."""

    def start(now=0, **options):
        return Process(connect(), **options).begin(now)

    return start


@pytest.fixture
def process(new_process):
    """Return the first process; it begins at 0."""
    return new_process()


@pytest.fixture(scope="session")
def dead_pid():
    """Return the number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.fixture(params=["file", "memory", "postgresql"])
def face(request, tmp_path):
    """Return a scheduler on each kind of database."""
    options = {"file": {"db_path": tmp_path / "scheduler.db"}, "memory": {"persistent": False}}.get(request.param)
    if options is None:
        server = request.getfixturevalue("postgres_server")
        options = {"db_url": server.new_database()}
    scheduler = TaskScheduler(graph=EchoGraph(), poll_interval=0.05, **options)
    yield scheduler
    scheduler.stop()
    if "db_url" in options:
        server.drop_database(options["db_url"])

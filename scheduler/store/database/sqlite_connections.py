"""Connections to SQLite: how they are opened, kept from call to call, and closed."""

import contextlib
import sqlite3
import time
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Engine, NullPool, create_engine, event
from sqlalchemy import Connection as CoreConnection
from sqlalchemy.exc import DBAPIError

from scheduler.store.database.interface import CALL_TIMEOUT
from scheduler.store.database.sqlite_files import Identity, Snapshot, identity, snapshot
from scheduler.store.database.statements import Connection


class Mode(Enum):
    """What a connection is for."""

    WRITE = auto()
    READ = auto()
    #: For a file that may not be changed and is in use: there is a log with an index, and both can be read.
    READ_ONLY = auto()
    #: For a file that may not be changed and is closed: no log is created. Nobody may change the file meanwhile.
    IMMUTABLE = auto()


_OPTIONS: Final = {Mode.READ_ONLY: {"mode": "ro", "uri": "true"}, Mode.IMMUTABLE: {"immutable": "1", "uri": "true"}}


class Engines:
    """Opens connections to one file, or to a database in memory, where `path` is None."""

    def __init__(self, path: Path | None) -> None:
        """Take the path. Nothing is opened yet."""
        self.path = path
        self._engines: dict[Mode, Engine] = {}

    def of(self, mode: Mode) -> Engine:
        """Return what opens connections for a purpose."""
        if mode not in self._engines:
            self._engines[mode] = _engine(self.path, mode)
        return self._engines[mode]


class KeptConnection:
    """A connection that is kept from call to call, and which file it has open. One thread at a time uses it."""

    def __init__(self, engines: Engines) -> None:
        """Take what opens it. Nothing is opened yet."""
        self.connection: Connection | None = None
        self.mode: Mode = Mode.READ
        self._engines = engines
        self.file: Identity | None = None
        self._snapshot: Snapshot | None = None
        self._busy_timeout = -1

    def open(self, mode: Mode) -> Connection:
        """Open the database; SQLite looks at the file itself at the first statement."""
        path = self._engines.path
        self.mode = mode
        self._snapshot = None if path is None else snapshot(path)
        self.connection = Connection(self._engines.of(mode).connect())
        self.file = None if path is None else identity(path)
        self._busy_timeout = -1
        return self.connection

    @property
    def has_seen_changes(self) -> bool:
        """Whether the file was changed although nobody was to change it, so that what was read may be wrong."""
        path = self._engines.path
        return self.mode is Mode.IMMUTABLE and path is not None and snapshot(path) != self._snapshot

    def set_busy_timeout(self, seconds: float) -> None:
        """Let SQLite wait so long for other processes, to a tenth of a second."""
        tenths = max(0, round(seconds * 10))
        if tenths != self._busy_timeout and self.connection is not None:
            self.connection.driver.cursor().execute(f"PRAGMA busy_timeout = {tenths * 100:d}").close()
            self._busy_timeout = tenths

    def close_if_replaced(self, found: Identity | None) -> None:
        """Close the connection if it has another file open than the one that is there now."""
        if self.connection is not None and found != self.file:
            self.close()

    def after_error(self, *, is_trusted: bool) -> None:
        """Leave no transaction open.

        A connection that failed for another reason than a lock is not trusted again. One in memory is all there is of
        its database, and stays.
        """
        if self.connection is None or self.connection.core.invalidated:
            return
        if not is_trusted:
            self.close()
        elif self.connection.driver.in_transaction:
            self.connection.driver.rollback()

    def truncate_log(self) -> None:
        """Move the log's content into the file and empty the log, if no other process uses it at this moment.

        SQLite itself does so only where the last connection is closed; else the log keeps its largest size.
        """
        if self.connection is not None:
            with contextlib.suppress(DBAPIError, sqlite3.Error):
                self.set_busy_timeout(0)
                self.connection.driver.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").close()

    def close(self) -> None:
        """Close the connection, if it is open; a transaction in it is undone."""
        if self.connection is not None:
            connection, self.connection = self.connection, None
            with contextlib.suppress(DBAPIError, sqlite3.Error):
                if connection.driver.in_transaction:
                    connection.driver.rollback()
                connection.core.close()


def close_all(connections: tuple[KeptConnection, ...]) -> None:
    """Close connections that nobody uses any more."""
    for kept in connections:
        kept.close()


def _engine(path: Path | None, mode: Mode) -> Engine:
    url = URL.create("sqlite", database=None if path is None else str(path))
    if path is not None and mode in _OPTIONS:
        url = URL.create("sqlite", database=path.as_uri(), query=_OPTIONS[mode])
    arguments = {"check_same_thread": False, "timeout": CALL_TIMEOUT}
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments, paramstyle="named")
    event.listen(engine, "connect", _take_over_transactions)
    if mode is Mode.WRITE:
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _take_over_transactions(connection: Any, _record: object) -> None:  # noqa: ANN401 (a driver's own object)
    # The driver would begin deferred transactions, whose upgrade to a write can deadlock.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _begin_immediate(connection: CoreConnection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def use_wal(connection: Connection, deadline: float) -> None:
    """Switch the file to write-ahead logging, which does not block readers; the switch does not wait by itself."""
    while True:
        try:
            connection.driver.cursor().execute("PRAGMA journal_mode = WAL").close()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


# --- Errors ---


def code_of(error: BaseException | None) -> int:
    """Return SQLite's primary code of an error."""
    # It is in the lowest eight bits, what follows narrows it down.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_busy(error: BaseException | None) -> bool:
    """Tell whether an error says that somebody else has a lock."""
    return code_of(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

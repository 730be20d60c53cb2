"""What the store asks of a database.

A third kind of database is one more file beside `sqlite.py` and `postgres.py`, with a class that keeps to `Database`,
and a line in `address.py`. The database must have transactions that exclude other writers, `RETURNING`, `ON CONFLICT`
and partial unique indexes, or an equivalent of each; `statements.py` says how many rows are written at once.
"""

import contextlib
from pathlib import Path
from typing import Final, Protocol

from scheduler.errors import StoreError
from scheduler.store.database.statements import Connection

CALL_TIMEOUT: Final = 5.0
"""How long a call waits for a database that is locked, in seconds."""
PASS_TIMEOUT: Final = 1.0
"""How long a pass waits for it, in seconds; a pass is tried again."""
TRY_AGAIN: Final = "nothing was stored: try again"


class Database(Protocol):
    """Where the store keeps its rows: transactions on one kind of database."""

    name: str

    @property
    def is_shared(self) -> bool:
        """Whether other processes can use it."""
        ...

    @property
    def file(self) -> Path | None:
        """The file that it is, if it is one."""
        ...

    def exists(self) -> bool:
        """Tell whether the store's tables are there, of whatever version. Changes nothing. Raises `StoreError`."""
        ...

    def write(self, timeout: float = CALL_TIMEOUT) -> contextlib.AbstractContextManager[Connection]:
        """Give a connection inside a transaction that excludes other writers; commit it if nothing is raised.

        Waits up to `timeout` seconds for other writers. Raises `StoreError`, and then nothing is stored.
        """
        ...

    def read(self, timeout: float = CALL_TIMEOUT) -> contextlib.AbstractContextManager[Connection]:
        """Give a connection for reading; each statement sees what is committed. Raises `StoreError`."""
        ...

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        ...


def refuse_fork(name: str) -> StoreError:
    """Return what is raised in a child process that uses its parent's database."""
    return StoreError(name, "it was opened before a fork", "build the TaskScheduler in the child process")

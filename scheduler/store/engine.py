"""What the store asks of a database, the store's thread, and how long each waits."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

from scheduler.errors import StoreError
from scheduler.store.statements import Connection

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


class StoreThread:
    """The one thread in which passes use the database, started when it is first needed."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._executor: ThreadPoolExecutor | None = None

    @property
    def executor(self) -> ThreadPoolExecutor:
        """The thread as an executor."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scheduler-store")
        return self._executor

    def close(self, *, wait: bool = True) -> None:
        """End the thread, once what it is doing is done; wait for that, unless it is known to do nothing."""
        if self._executor is not None:
            self._executor.shutdown(wait=wait)
            self._executor = None


def refuse_fork(name: str) -> StoreError:
    """Return what is raised in a child process that uses its parent's database."""
    return StoreError(name, "it was opened before a fork", "build the TaskScheduler in the child process")

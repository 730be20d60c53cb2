"""The thread in which passes use the database."""

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor


def one_thread() -> Executor:
    """Return a thread of its own."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="scheduler-store")


class StoreThread:
    """The one thread in which passes use the database, started when it is first needed."""

    def __init__(self, make: Callable[[], Executor] = one_thread) -> None:
        """Take what makes the executor, which runs one call at a time. Nothing is started yet."""
        self._make = make
        self._executor: Executor | None = None

    @property
    def executor(self) -> Executor:
        """The thread as an executor."""
        if self._executor is None:
            self._executor = self._make()
        return self._executor

    def close(self, *, wait: bool = True) -> None:
        """End the thread, once what it is doing is done; wait for that, unless it is known to do nothing."""
        if self._executor is not None:
            self._executor.shutdown(wait=wait)
            self._executor = None

"""The thread in which passes use the database."""

from concurrent.futures import ThreadPoolExecutor


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

"""Calls to the store from the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

T = TypeVar("T")


class StoreCalls:
    """Calls functions in the store's thread; each result is waited for, even if the caller's task is cancelled."""

    def __init__(self, executor: Callable[[], Executor], on_cancelled: Callable[[], None]) -> None:
        """Take what returns the store's thread, and what is called when the waiting task is cancelled."""
        self._executor = executor
        self._on_cancelled = on_cancelled

    async def call(self, function: Callable[[], T]) -> T:
        """Call a function in the store's thread and return its result."""
        future = asyncio.get_running_loop().run_in_executor(self._executor(), function)
        while True:
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                self._on_cancelled()

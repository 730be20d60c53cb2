"""Deletes the LangGraph threads of single runs once they have been kept for long enough, beside the passes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from scheduler import logbook
from scheduler.clock import Clock
from scheduler.store import Store

_PATIENCE: Final = 5.0
"""How long a saver may take to leave off, in seconds."""


class OldThreads:
    """At most one round of deletions at a time; what fails is tried again with a later pass."""

    def __init__(self, store: Store, delete: Callable[[str], Awaitable[None]], clock: Clock) -> None:
        """Take the store, what deletes a thread, and the clock."""
        self._store = store
        self._delete = delete
        self._clock = clock
        self._round: asyncio.Task[None] | None = None

    def delete_some(self) -> None:
        """Begin a round, unless one is under way."""
        if self._round is None or self._round.done():
            self._round = asyncio.get_running_loop().create_task(self._delete_some(), name="old threads")

    async def stop(self) -> None:
        """End a round that is under way."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.wait([self._round], timeout=_PATIENCE)

    async def _delete_some(self) -> None:
        loop, executor = asyncio.get_running_loop(), self._store.thread.executor
        thread_id = "?"
        try:
            due = await loop.run_in_executor(executor, self._store.threads_to_delete, self._clock.now())
            for run_id, thread_id in due:
                await self._delete(thread_id)
                await loop.run_in_executor(executor, self._store.thread_is_deleted, run_id)
        except Exception as error:  # noqa: BLE001 (whatever the saver or the store raises)
            logbook.thread_not_deleted(thread_id, error)

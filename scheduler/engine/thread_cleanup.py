"""Deletes the LangGraph threads of single runs once they have been kept for long enough, beside the passes."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from scheduler import _containment, logbook
from scheduler.errors import StoreError
from scheduler.store import OldThread, SchedulerSession
from scheduler.timing.clock import SECOND, Clock

_PATIENCE: Final = 5.0
"""How long a saver may take to leave off, in seconds."""
_TRY_AGAIN: Final = 300 * SECOND
"""After so long a thread that could not be deleted is tried again."""


class ThreadCleanup:
    """At most one round of deletions at a time; what fails is tried again some minutes later."""

    def __init__(
        self, session: SchedulerSession, delete: Callable[[str, str | None], Awaitable[object]], clock: Clock
    ) -> None:
        """Take the store, what deletes a thread (given its id and its graph), and the clock."""
        self._session = session
        self._delete = delete
        self._clock = clock
        self._round: asyncio.Task[None] | None = None

    def delete_some(self) -> None:
        """Begin a round, unless one is in progress."""
        if self._round is None or self._round.done():
            self._round = asyncio.get_running_loop().create_task(self._delete_some(), name="old threads")

    async def stop(self) -> None:
        """End a round that is in progress."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.wait([self._round], timeout=_PATIENCE)

    async def _delete_some(self) -> None:
        loop, executor = asyncio.get_running_loop(), self._session.thread.executor
        with suppress(StoreError):  # the passes tell of it
            for old in await loop.run_in_executor(executor, self._session.threads_to_delete, self._clock.now()):
                try_again_at = await self._delete_one(old)
                await loop.run_in_executor(executor, self._session.keep_thread, old.run_id, try_again_at)

    async def _delete_one(self, old: OldThread) -> int | None:
        """Delete a thread; return when to try again if it fails."""
        try:
            await self._delete(old.thread_id, old.graph)
        except BaseException as error:
            if _containment.must_pass(error):
                raise
            logbook.thread_not_deleted(old.thread_id, error)
            return self._clock.now() + _TRY_AGAIN
        return None

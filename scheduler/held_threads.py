"""Threads that the program itself is using, so that no run starts on them meanwhile."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class HeldThreads:
    """The LangGraph threads that tasks of the program hold, one holder at a time. Passes read them in their thread."""

    def __init__(self) -> None:
        """Nobody holds any."""
        self._held: frozenset[str] = frozenset()
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: Counter[str] = Counter()
        """How many hold a thread, or wait for it."""

    def __call__(self) -> frozenset[str]:
        """Return what is held now; from any thread."""
        return self._held

    @asynccontextmanager
    async def hold(self, thread_id: str) -> AsyncIterator[None]:
        """Hold a thread, once nobody else of the program does."""
        lock = self._locks.setdefault(thread_id, asyncio.Lock())
        self._users[thread_id] += 1
        try:
            async with lock:
                self._held |= {thread_id}
                try:
                    yield
                finally:
                    self._held -= {thread_id}
        finally:
            self._users[thread_id] -= 1
            if not self._users[thread_id]:
                del self._users[thread_id], self._locks[thread_id]

"""A listener that records events, and waits for them."""

import asyncio

from helpers import PATIENCE


class Listening:
    """An async callable that records the events that it receives."""

    def __init__(self):
        self.events = []
        self._came = asyncio.Event()

    async def __call__(self, event):
        self.events.append(event)
        self._came.set()

    def kinds(self, task_id=None):
        return [str(event.kind) for event in self.events if task_id in {None, event.run.task_id}]

    async def wait_for(self, kind, number=1):
        """Return the events of a kind, once there are so many."""
        async with asyncio.timeout(PATIENCE):
            while len(found := [event for event in self.events if event.kind == kind]) < number:
                self._came.clear()
                await self._came.wait()
        return found

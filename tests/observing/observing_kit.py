"""A listener that records events, and waits for them."""

import asyncio

from helpers import PATIENCE

from scheduler import TaskEvent


class Listening:
    """An async callable that records the events of runs that it receives, and those of tasks apart from them."""

    def __init__(self):
        self.events = []
        self.task_events = []
        self._came = asyncio.Event()

    async def __call__(self, event):
        (self.task_events if isinstance(event, TaskEvent) else self.events).append(event)
        self._came.set()

    def kinds(self, task_id=None):
        return [str(event.kind) for event in self.events if task_id in {None, event.run.task_id}]

    async def wait_for(self, kind, number=1):
        """Return the events of a kind, once there are so many."""
        async with asyncio.timeout(PATIENCE):
            while len(found := [each for each in (*self.events, *self.task_events) if each.kind == kind]) < number:
                self._came.clear()
                await self._came.wait()
        return found

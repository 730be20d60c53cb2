"""Awaits code that is not ours for a bounded time, whatever it does when it is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

_PATIENCE: Final = 2.0
"""How long a coroutine may take to end when it is cancelled, in seconds; less than what the scheduler's stop waits."""

_left_behind: Final[set[asyncio.Task[Any]]] = set()
"""Tasks that have not ended since they were cancelled; asyncio itself does not keep them alive."""


class TooLongError(Exception):
    """A coroutine took too long, and was cancelled."""

    def __init__(self, *, has_ended: bool) -> None:
        """Say whether it has ended; if not, it is left behind."""
        super().__init__()
        self.has_ended = has_ended


async def within(seconds: float, coroutine: Coroutine[Any, Any, Any]) -> None:
    """Await a coroutine, in a task of its own, for so many seconds at most.

    Raises what it raises, and `TooLongError`. If the caller is cancelled, so is the coroutine.
    """
    task = asyncio.get_running_loop().create_task(coroutine)
    try:
        await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        await _cancel(task)
        raise
    if not task.done():
        await _cancel(task)
        raise TooLongError(has_ended=task.done())
    task.result()


async def _cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and wait a moment for its end."""
    task.cancel()
    _left_behind.add(task)
    task.add_done_callback(_has_ended)
    await asyncio.wait([task], timeout=_PATIENCE)


def _has_ended(task: asyncio.Task[Any]) -> None:
    _left_behind.discard(task)
    if not task.cancelled():
        task.exception()  # nobody else asks for it, of which asyncio would complain

"""Ends an engine that stops: running runs, the last outcomes, the store."""

import asyncio
import functools
from collections.abc import Collection
from typing import Final

from scheduler.engine.dependencies import Dependencies
from scheduler.engine.heartbeat import Heartbeat
from scheduler.engine.last_outcomes import write_last
from scheduler.engine.lifecycle import Lifecycle, State
from scheduler.engine.pass_log import log_pass
from scheduler.engine.pass_loop import PassLoop
from scheduler.engine.store_calls import StoreCalls
from scheduler.store import Outcome

CANCEL_PATIENCE: Final = 5.0
"""How long cancelled runs are waited for, in seconds."""


class Drain:
    """The end of one start of an engine, in two steps: `wait_for_runs`, then `close`.

    The first is left out where the event loop ends.
    """

    def __init__(
        self, parts: Dependencies, lifecycle: Lifecycle, passes: PassLoop, calls: StoreCalls, heartbeat: Heartbeat
    ) -> None:
        """Take what is to be ended."""
        self._parts = parts
        self._lifecycle = lifecycle
        self._passes = passes
        self._calls = calls
        self._heartbeat = heartbeat

    async def wait_for_runs(self) -> None:
        """Give running runs their grace, and write how they end meanwhile."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._lifecycle.grace
        while self._passes.slots.running and not self._is_cancelled and (left := deadline - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, self._parts.settings.poll_interval)):
                    await self._passes.wait_for_request()
            except TimeoutError:
                pass
            await self._passes.write_outcomes()

    async def close(self) -> None:
        """Cancel what still runs, write the last outcomes, and close the store."""
        await self._passes.cleanup.stop()
        self._passes.code.stop()
        await self._outlast(self._passes.slots.interrupt_all(but_cancelled=self._is_cancelled))
        self._passes.slots.give_up()
        await self._write_last()
        await self._leave_graphs()
        await self._parts.observers.end()
        # It would open the database again.
        await self._calls.call(self._heartbeat.stop)
        await self._calls.call(self._parts.session.database.close)

    @property
    def _is_cancelled(self) -> bool:
        return self._lifecycle.state is State.CANCELLED

    async def _outlast(self, runs: Collection[asyncio.Task[Outcome]]) -> None:
        """Wait for cancelled runs; the end of the loop, which cancels this task too, does not cut that short."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CANCEL_PATIENCE
        while runs and (left := deadline - loop.time()) > 0:
            try:
                _, runs = await asyncio.wait(runs, timeout=left)
                # The runs' ends are reported by callbacks of their own.
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self._lifecycle.cancel()

    async def _leave_graphs(self) -> None:
        try:
            await self._parts.runner.close()
        except asyncio.CancelledError:
            self._lifecycle.cancel()

    async def _write_last(self) -> None:
        parts, outcomes = self._parts, self._passes.outcomes.take()
        steps = parts.observers.take_steps(at_once=True)
        # All tries in the thread, where a cancellation does not cut them short.
        write = functools.partial(write_last, parts.session, outcomes, steps, parts.clock, sleep=parts.sleep)
        result = await self._calls.call(write)
        if result is not None:
            log_pass(result, parts.host.not_started)
            parts.observers.pass_done(result)

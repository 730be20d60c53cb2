"""Makes passes: write outcomes, claim what is due, commit, launch."""

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.engine.claim_ahead import ClaimAhead
from scheduler.engine.code_loader import CodeLoader
from scheduler.engine.dependencies import Dependencies
from scheduler.engine.lifecycle import Lifecycle
from scheduler.engine.outage import Outage
from scheduler.engine.outcome_batch import FlushTimer, OutcomeBatch
from scheduler.engine.pass_log import log_pass
from scheduler.engine.run_slots import RunSlots, SlotSigns
from scheduler.engine.signals import Signal
from scheduler.engine.store_calls import StoreCalls
from scheduler.engine.thread_cleanup import ThreadCleanup
from scheduler.observing import Attempt
from scheduler.store import Claim, Loaded, Outcome, PassResult
from scheduler.timing.clock import Moment


@dataclass(frozen=True, slots=True)
class Signals:
    """What others can wait for."""

    pass_done: Signal
    """Notified after each pass."""
    run_ended: Signal
    """Notified when a run has ended; its outcome is written by the next pass."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a pass is to write; it is given back if the pass fails."""

    outcomes: list[Outcome]
    steps: Sequence[tuple[Claim, str]]
    loaded: list[Loaded]


class PassLoop:
    """The passes of one start of an engine.

    It is *idle* until somebody asks for a pass (`want`); the pass is then *busy* in the store's thread; what it has
    claimed is launched on the event loop, and the loop is idle again. Requests that come meanwhile become one further
    pass. It ends when the engine stops.
    """

    def __init__(
        self, parts: Dependencies, lifecycle: Lifecycle, attempt: Attempt, signals: Signals, calls: StoreCalls
    ) -> None:
        """Take what makes one attempt, who is notified, and what calls the store. Must be called on the event loop."""
        loop = asyncio.get_running_loop()
        self._parts = parts
        self._lifecycle = lifecycle
        self._signals = signals
        self._calls = calls
        self._wanted = asyncio.Event()
        self.outage: Outage = Outage(loop.time)
        self.outcomes: OutcomeBatch = OutcomeBatch()
        signs = SlotSigns(lambda: self._is_busy, self._run_has_ended)
        self.slots: RunSlots = RunSlots(attempt, parts.clock, parts.settings, self.outcomes, signs)
        self.code: CodeLoader = CodeLoader(parts.runner.load_code, self.want)
        self.cleanup: ThreadCleanup = ThreadCleanup(parts.session, parts.runner.delete_thread, parts.clock)
        self.claim_ahead: ClaimAhead = ClaimAhead(loop.time())
        self._flush = FlushTimer(self._want_flush, self._expects_pass)
        self._is_busy = self._has_more = False

    # --- Asking for passes ---

    def want(self) -> None:
        """Ask for a pass; requests that come before it begins become one."""
        self._wanted.set()
        if self._is_busy:
            self._serve_others()

    async def wait_for_request(self) -> None:
        """Return when a pass is asked for."""
        await self._wanted.wait()
        self._wanted.clear()

    def _serve_others(self) -> None:
        """Let the host do its own work: it does not wait for the store, which may take its time."""
        if not self._lifecycle.is_stopping:
            self._parts.host.serve_others()

    def _run_has_ended(self) -> None:
        """Ask for a pass: at once where the next runs have to be fetched, else in a moment, with other outcomes."""
        self._signals.run_ended.notify()
        if self._lifecycle.is_stopping:
            self._wanted.set()
        elif self.outage.is_on:
            pass  # The store fails; the next try writes this outcome with the others.
        elif self._is_short_of_runs() and not self._is_busy:
            self._wanted.set()
        else:
            self._flush.start()

    def _is_short_of_runs(self) -> bool:
        return self._has_more and self.slots.queued <= self.claim_ahead.low

    def _expects_pass(self) -> bool:
        """Tell whether the pass that fetches the next runs will come soon: it writes outcomes, too."""
        return self._has_more and self.slots.queued > 0

    def _want_flush(self) -> None:
        if self.outcomes:
            self._wanted.set()

    # --- Making passes ---

    async def run(self) -> None:
        """Make passes until the engine stops."""
        while not self._lifecycle.is_stopping:
            await self.wait_for_request()
            if not self._lifecycle.is_stopping:
                await self._pass_or_retry()

    async def _pass_or_retry(self) -> None:
        """Make a pass, and set the timer whatever happens."""
        delay: float | None = None
        try:
            delay = await self.make_pass()
            self.outage.succeeded()
        except Exception as error:  # noqa: BLE001 (nothing may end the passes)
            delay = self._note_failure(error)
        if not self._lifecycle.is_stopping:
            wait = self._parts.settings.poll_interval
            self._parts.host.wake_after(wait if delay is None else min(delay, wait), self.want)
        self._signals.pass_done.notify()

    async def make_pass(self) -> float | None:
        """Make one pass: write outcomes, claim what is due, commit, launch.

        Returns how many seconds may pass until the next one, None if nothing is known to come. Raises `StoreError`.
        """
        began = Moment(self._parts.clock.now(), asyncio.get_running_loop().time())
        result = await self._pass_in_store(began.wall, claiming=not self._parts.host.is_paused())
        self._report(result)
        self._cancel(result)
        self.slots.cancel(result.taken_over, "another process has taken it over")
        self.slots.confirm(began)
        if result.has_old_threads and not self._lifecycle.is_stopping:
            self.cleanup.delete_some()
        if not self._lifecycle.is_stopping:
            self.code.load(result.unloadable.to_load)
        return self._launch(result)

    def _cancel(self, result: PassResult) -> None:
        """Cancel runs for which somebody, or their task's next due time, has asked for it."""
        for run_id, reason in result.cancels.items():
            self.slots.cancel([run_id], reason)

    async def write_outcomes(self) -> None:
        """Make a pass that claims nothing; if it fails, the outcomes are kept."""
        try:
            result = await self._pass_in_store(self._parts.clock.now(), claiming=False)
            self._report(result)
            self._cancel(result)
            self.outage.succeeded()
        except Exception as error:  # noqa: BLE001 (the drain continues)
            self._note_failure(error)

    def _take(self) -> _Taken:
        outcomes = self.outcomes.take()
        self._flush.cancel()
        steps = self._parts.observers.take_steps(at_once=bool(outcomes))
        return _Taken(outcomes, steps, self.code.take())

    def _give_back(self, taken: _Taken) -> None:
        self.outcomes.give_back(taken.outcomes)
        self._parts.observers.give_steps_back(taken.steps)
        self.code.give_back(taken.loaded)

    async def _pass_in_store(self, now: int, *, claiming: bool) -> PassResult:
        loop, taken = asyncio.get_running_loop(), self._take()
        self.claim_ahead.note_ended(len(taken.outcomes), loop.time())
        slots = max(0, self.slots.free + self.claim_ahead.ahead) if claiming else None
        running, early = list(self.slots.running), self.claim_ahead.early
        call = functools.partial(
            self._parts.session.run_pass, now, slots, taken.outcomes, running, early, taken.steps, taken.loaded
        )
        began = loop.time()
        self._is_busy = True
        self._serve_others()
        try:
            result = await self._calls.call(call)
        except Exception:
            self._give_back(taken)
            raise
        finally:
            self._is_busy = False
        self._has_more = result.has_more
        self.claim_ahead.note_pass(loop.time() - began)
        return result

    def _launch(self, result: PassResult) -> float | None:
        """Let the host submit the claims; what it leaves goes back into the queue of the store."""
        delay: float | None = None
        try:
            if not self._lifecycle.is_stopping:
                delay = self._parts.host.launch(result.claims, result.wake_at, self.slots.submit)
        finally:
            running = self.slots.running
            left = [claim for claim in result.claims if claim.run_id not in running]
            self.slots.release(left)
        if left or (self.outcomes and self._is_short_of_runs()):
            self._wanted.set()
        return delay

    def _report(self, result: PassResult) -> None:
        log_pass(result, self._parts.host.not_started)
        self._parts.observers.pass_done(result)

    def _note_failure(self, error: Exception) -> float:
        """Return how long to wait before the next try."""
        self._parts.session.failed(self._parts.clock.now())
        self._parts.observers.store_failed()
        return self.outage.failed(error)

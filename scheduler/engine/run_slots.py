"""Starts claimed runs as asyncio tasks, never more at once than there are slots."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final

from scheduler import _containment, logbook
from scheduler.engine import ended_runs
from scheduler.engine.claim_ahead import GAP
from scheduler.engine.outcome_batch import OutcomeBatch
from scheduler.engine.settings import LoopSettings
from scheduler.store import Claim, Outcome
from scheduler.timing.clock import Clock, Moment

_SUSPENDED: Final = 1.0
"""An early claim that would start this many seconds late goes back: the process was suspended meanwhile."""
_TRUSTED_SHARE: Final = 0.5
"""A pass leaves at least two thirds of the lease. For this share of it, no other process takes over a claim."""

OnEnd = Callable[[Outcome], None]
"""Called with the outcome when an attempt that was started has ended."""


@dataclass(frozen=True, slots=True)
class _Submitted:
    """A claim that was submitted and has not started."""

    claim: Claim
    on_end: OnEnd


@dataclass(frozen=True, slots=True)
class SlotSigns:
    """What run slots ask of the pass loop, and tell it."""

    is_store_busy: Callable[[], bool]
    """Whether a pass is in progress in the store's thread; runs then start `GAP` apart."""
    on_end: Callable[[], None]
    """Called when an outcome was added to the batch."""


class RunSlots:
    """The runs of one start of an engine.

    A claim that is submitted is *early* until its due time, if that has not come yet; then *queued* until a slot is
    free; then *running* until its task ends and its outcome is in the batch. From *early* and *queued* it can be
    withdrawn: it goes back into the queue of the store, or is cancelled.
    """

    def __init__(
        self,
        attempt: Callable[[Claim], Coroutine[Any, Any, Outcome]],
        clock: Clock,
        settings: LoopSettings,
        outcomes: OutcomeBatch,
        signs: SlotSigns,
    ) -> None:
        """Take what makes one attempt of a run, the wall clock, the limits, and where outcomes go. Nothing runs yet."""
        self._attempt = attempt
        self._clock = clock
        self._max_concurrent_runs = settings.max_concurrent_runs
        self._trusted_seconds = settings.lease_seconds * _TRUSTED_SHARE
        self._outcomes = outcomes
        self._signs = signs
        self._confirmed = Moment(0, 0.0)
        self._running: dict[str, tuple[asyncio.Task[Outcome], Claim]] = {}
        self._queue: dict[str, _Submitted] = {}
        self._early: dict[str, tuple[asyncio.TimerHandle, _Submitted]] = {}
        """What was claimed a moment before its due time, and waits for it."""
        self._reasons: dict[str, str] = {}
        self._starting: asyncio.Handle | None = None

    @property
    def running(self) -> Collection[str]:
        """The ids of the runs that are running, or submitted and about to start."""
        return self._running.keys() | self._queue.keys() | self._early.keys()

    @property
    def queued(self) -> int:
        """How many runs are submitted and wait for a free slot."""
        return len(self._queue)

    @property
    def free(self) -> int:
        """How many more runs may start now; negative if some wait already."""
        return self._max_concurrent_runs - len(self._running) - len(self._queue) - len(self._early)

    def longest_timeout(self) -> float:
        """Return the largest `timeout_seconds` of the runs that are running, 0 if they have none; from any thread."""
        running = list(self._running.values())  # one step of the interpreter: the loop may change the dict meanwhile
        return max((claim.task.timeout_seconds or 0.0 for _, claim in running), default=0.0)

    # --- Before the start ---

    def confirm(self, at: Moment) -> None:
        """Note that a pass that began at this moment has found which claims this process still owns."""
        self._confirmed = at
        self._start_queued()

    def submit(self, claim: Claim, on_end: OnEnd) -> None:
        """Start a claim when its due time has come and a slot is free."""
        submitted = _Submitted(claim, on_end)
        loop, starts_at = asyncio.get_running_loop(), claim.starts_at
        # By the loop's clock: the wall clock may have been set since the pass, by an hour as well as by a second.
        start_time = 0.0 if starts_at is None else self._confirmed.loop_time(starts_at)
        if start_time > loop.time():
            timer = loop.call_at(start_time, self._start_early, claim, start_time)
            self._early[claim.run_id] = timer, submitted
        else:
            self._queue[claim.run_id] = submitted
            self._start_queued()

    def release(self, claims: Iterable[Claim]) -> None:
        """Put claims back into the queue of the store: they were not started."""
        self._outcomes.release(claims, self._clock.now())

    def release_queued(self) -> None:
        """Put back all runs that were submitted and did not start."""
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None
        waiting = [self._withdrawn(run_id) for run_id in (*self._queue, *self._early)]
        self.release(submitted.claim for submitted in waiting if submitted is not None)

    def _withdrawn(self, run_id: str) -> _Submitted | None:
        """Take out a run that was submitted and has not started; return None if there is none."""
        if run_id in self._early:
            timer, submitted = self._early.pop(run_id)
            timer.cancel()
            return submitted
        return self._queue.pop(run_id, None)

    # --- The start ---

    def _start_early(self, claim: Claim, start_time: float) -> None:
        submitted = self._withdrawn(claim.run_id)
        if submitted is None:
            return
        planned = Moment(claim.scheduled_at, start_time)
        if planned.elapsed(self._now()) > _SUSPENDED:
            # Another process may have taken the run over; the store knows.
            self.release([claim])
            self._signs.on_end()
            return
        self._queue[claim.run_id] = submitted
        self._start_queued()

    def _start_queued(self, wait: float = 0.0) -> None:
        """Start one run in each turn of the loop.

        Short runs are then over before many run at once, whose objects together would trigger the garbage collector
        again and again: 32 graphs in step cost a quarter more each than eight.
        """
        if self._starting is None and self._queue and len(self._running) < self._max_concurrent_runs:
            loop = asyncio.get_running_loop()
            self._starting = loop.call_later(wait, self._start_one) if wait else loop.call_soon(self._start_one)

    def _start_one(self) -> None:
        self._starting = None
        if not self._queue or len(self._running) >= self._max_concurrent_runs:
            return
        if self._confirmed.elapsed(self._now()) > self._trusted_seconds:
            # The process was suspended, or the store fails: another process may have taken claims over. The next pass
            # finds out; `cancel` then withdraws those claims, and `confirm` starts the others.
            return
        self._start(self._queue.pop(next(iter(self._queue))))
        self._start_queued(GAP if self._signs.is_store_busy() else 0.0)

    def _start(self, submitted: _Submitted) -> None:
        claim, loop = submitted.claim, asyncio.get_running_loop()
        _containment.keep_guarding(loop)
        attempt, context = self._attempt(claim), _containment.new_context()
        try:
            task = loop.create_task(attempt, name=f"run {claim.run_id}", context=context)
        except Exception as error:  # noqa: BLE001 (a task factory of the program's own may raise)
            attempt.close()
            self._outcomes.add(ended_runs.failed(claim, error, self._clock.now()))
            self._signs.on_end()
            return
        self._running[claim.run_id] = task, claim
        # By a callback, not in the coroutine: one that is cancelled before its first step never runs.
        task.add_done_callback(lambda done: self._has_ended(done, submitted))

    def _now(self) -> Moment:
        return Moment(self._clock.now(), asyncio.get_running_loop().time())

    # --- The end ---

    def _has_ended(self, task: asyncio.Task[Outcome], submitted: _Submitted) -> None:
        claim = submitted.claim
        if self._running.pop(claim.run_id, None) is None:
            return
        outcome = ended_runs.outcome_of(task, claim, self._reasons.pop(claim.run_id, None), self._clock.now())
        self._outcomes.add(outcome)
        self._start_queued()
        self._signs.on_end()
        submitted.on_end(outcome)

    def cancel(self, run_ids: Iterable[str], reason: str) -> None:
        """Cancel runs; they end as `cancelled`, with the reason."""
        for run_id in run_ids:
            submitted = self._withdrawn(run_id)
            if submitted is not None:
                self._outcomes.add(ended_runs.cancelled(submitted.claim, reason, self._clock.now()))
            elif run_id in self._running and run_id not in self._reasons and self._running[run_id][0].cancel():
                self._reasons[run_id] = reason  # not of a run that has ended by itself at this very moment

    def interrupt_all(self, *, but_cancelled: bool) -> list[asyncio.Task[Outcome]]:
        """Cancel every run, to end as `interrupted`; return those that have to be waited for.

        `but_cancelled`: not those that were cancelled before, by the end of the loop; they may be clearing up.
        """
        tasks = [task for task, _ in self._running.values()]
        for task in tasks:
            if not (but_cancelled and task.cancelling()):
                task.cancel()
        return tasks

    def give_up(self) -> None:
        """Note runs that do not end although they were cancelled as interrupted."""
        for run_id, (_, claim) in self._running.items():
            logbook.run_will_not_end(claim.task.id, run_id)
            self._outcomes.add(ended_runs.interrupted(claim, self._clock.now()))
        self._running = {}

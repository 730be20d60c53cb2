"""A BaseExecutor that launches runs after the commit, and keeps how they ended until it is written."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from apscheduler.executors.base import BaseExecutor
from apscheduler.job import Job

from scheduler import _containment, logbook
from scheduler._safe_text import ERROR_LIMIT, error_text
from scheduler.apscheduler_adapter.events import run_event
from scheduler.engine.claim_ahead import GAP
from scheduler.errors import ReachThroughError
from scheduler.models import RunStatus
from scheduler.store import STOPPED, Claim, Outcome
from scheduler.timing.clock import Clock, Moment

_ITSELF: Final = "the graph cancelled itself"
_SUSPENDED: Final = 1.0
"""An early claim that would start this many seconds late goes back: the process was suspended meanwhile."""
_TRUSTED_SHARE: Final = 0.5
"""A pass leaves at least two thirds of the lease. For this share of it, no other process takes over a claim."""


@dataclass(frozen=True, slots=True)
class _Submitted:
    """A claim that was submitted and has not started."""

    claim: Claim
    job: Job
    run_time: datetime


class RunExecutor(BaseExecutor):  # type: ignore[misc]  # APScheduler has no types
    """Runs claims as asyncio tasks, never more than `max_concurrent_runs`."""

    def __init__(
        self,
        attempt: Callable[[Claim], Coroutine[Any, Any, Outcome]],
        clock: Clock,
        max_concurrent_runs: int,
        lease_seconds: float,
        on_end: Callable[[], None],
    ) -> None:
        """Set up an executor that runs nothing yet.

        Args:
            attempt: makes one attempt of a run.
            clock: the wall clock.
            max_concurrent_runs: how many attempts may run at once.
            lease_seconds: how long this process owns its claims without renewing its lease.
            on_end: called when an attempt has ended.
        """
        super().__init__()
        self._attempt = attempt
        self._clock = clock
        self._max_concurrent_runs = max_concurrent_runs
        self._trusted_seconds = lease_seconds * _TRUSTED_SHARE
        self._on_end = on_end
        self._confirmed = Moment(0, 0.0)
        self._going: dict[str, tuple[asyncio.Task[Outcome], Claim]] = {}
        self._queue: dict[str, _Submitted] = {}
        self._early: dict[str, tuple[asyncio.TimerHandle, _Submitted]] = {}
        """What was claimed a moment before its due time, and waits for it."""
        self._reasons: dict[str, str] = {}
        self._outcomes: list[Outcome] = []
        self._starting: asyncio.Handle | None = None
        self.is_store_busy = False
        """Whether a pass is under way in the store's thread; runs then start `GAP` apart."""

    @property
    def running(self) -> Collection[str]:
        """The ids of the runs that are going, or submitted and about to start."""
        return self._going.keys() | self._queue.keys() | self._early.keys()

    @property
    def queued(self) -> int:
        """How many runs are submitted and wait for a free slot."""
        return len(self._queue)

    @property
    def free_slots(self) -> int:
        """How many more runs may start now; negative if some wait already."""
        return self._max_concurrent_runs - len(self._going) - len(self._queue) - len(self._early)

    def longest_timeout(self) -> float:
        """Return the largest `timeout_seconds` of the runs that are running, 0 if they have none; from any thread."""
        going = list(self._going.values())  # one step of the interpreter: the loop may change the dict meanwhile
        return max((claim.task.timeout_seconds or 0.0 for _, claim in going), default=0.0)

    @property
    def has_outcomes(self) -> bool:
        """Whether there are outcomes that are not written yet."""
        return bool(self._outcomes)

    def confirm(self, at: Moment) -> None:
        """Note that a pass that began at this moment has found which claims this process still owns."""
        self._confirmed = at
        self._start_queued()

    def take_outcomes(self) -> list[Outcome]:
        """Return the outcomes that are not written yet; the caller writes them or gives them back."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def give_back(self, outcomes: list[Outcome]) -> None:
        """Keep outcomes that could not be written, before those that came meanwhile."""
        self._outcomes = outcomes + self._outcomes

    def release(self, claims: Iterable[Claim]) -> None:
        """Note that claims were not launched: their runs go back into the queue."""
        now = self._clock.now()
        self._outcomes += [Outcome(claim, RunStatus.PENDING, now) for claim in claims]

    def cancel(self, run_ids: Iterable[str], reason: str) -> None:
        """Cancel runs; they end as `cancelled`, with the reason."""
        for run_id in run_ids:
            submitted = self._withdrawn(run_id)
            if submitted is not None:
                self._outcomes.append(self._cancelled(submitted.claim, reason))
            elif run_id in self._going and run_id not in self._reasons:
                self._reasons[run_id] = reason
                self._going[run_id][0].cancel()

    def release_queued(self) -> None:
        """Put runs that were submitted and did not start back into the queue of the store."""
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

    def interrupt_all(self, *, but_cancelled: bool) -> list[asyncio.Task[Outcome]]:
        """Cancel every run, to end as `interrupted`; return those that have to be waited for.

        `but_cancelled`: not those that were cancelled before, by the end of the loop; they may be clearing up.
        """
        tasks = [task for task, _ in self._going.values()]
        for task in tasks:
            if not (but_cancelled and task.cancelling()):
                task.cancel()
        return tasks

    def give_up(self) -> None:
        """Note runs that do not end although they were cancelled as interrupted."""
        for run_id, (_, claim) in self._going.items():
            logbook.run_will_not_end(claim.task.id, run_id)
            self._outcomes.append(self._interrupted(claim))
        self._going = {}

    def _do_submit_job(self, job: Job, run_times: list[datetime]) -> None:
        if len(job.args) != 1 or not isinstance(job.args[0], Claim):
            raise ReachThroughError(job.id, "another executor for other functions")
        submitted = _Submitted(job.args[0], job, run_times[-1])
        loop, starts_at = asyncio.get_running_loop(), submitted.claim.starts_at
        # By the loop's clock: the wall clock may have been set since the pass, by an hour as well as by a second.
        start_time = 0.0 if starts_at is None else self._confirmed.loop_time(starts_at)
        if start_time > loop.time():
            timer = loop.call_at(start_time, self._start_early, submitted.claim, start_time)
            self._early[submitted.claim.run_id] = timer, submitted
        else:
            self._queue[submitted.claim.run_id] = submitted
            self._start_queued()

    def _start_early(self, claim: Claim, start_time: float) -> None:
        submitted = self._withdrawn(claim.run_id)
        if submitted is None:
            return
        planned = Moment(claim.scheduled_at, start_time)
        if planned.elapsed(self._now()) > _SUSPENDED:
            # Whether the run is still this process's is for the store to say.
            self.release([claim])
            self._on_end()
            return
        self._queue[claim.run_id] = submitted
        self._start_queued()

    def _start_queued(self, wait: float = 0.0) -> None:
        """Start one run in each turn of the loop.

        Short runs are then over before many go on at once, whose objects together would set off the garbage collector
        again and again: 32 graphs in step cost a quarter more each than eight.
        """
        if self._starting is None and self._queue and len(self._going) < self._max_concurrent_runs:
            loop = asyncio.get_running_loop()
            self._starting = loop.call_later(wait, self._start_one) if wait else loop.call_soon(self._start_one)

    def _start_one(self) -> None:
        self._starting = None
        if not self._queue or len(self._going) >= self._max_concurrent_runs:
            return
        if self._confirmed.elapsed(self._now()) > self._trusted_seconds:
            # The process was suspended, or the store fails: another process may have taken claims over. The next pass
            # finds out; `cancel` then withdraws those claims, and `confirm` starts the others.
            return
        self._launch(self._queue.pop(next(iter(self._queue))))
        self._start_queued(GAP if self.is_store_busy else 0.0)

    def _now(self) -> Moment:
        return Moment(self._clock.now(), asyncio.get_running_loop().time())

    def _launch(self, submitted: _Submitted) -> None:
        claim, loop = submitted.claim, asyncio.get_running_loop()
        _containment.keep_guarding(loop)
        attempt, context = self._attempt(claim), _containment.new_context()
        try:
            task = loop.create_task(attempt, name=f"run {claim.run_id}", context=context)
        except Exception as error:  # noqa: BLE001 (a task factory of the program's own may raise)
            attempt.close()
            self._outcomes.append(self._failed(claim, error))
            self._on_end()
            return
        self._going[claim.run_id] = task, claim
        # Told by a callback, not in the coroutine: one that is cancelled before its first step never runs.
        task.add_done_callback(lambda done: self._ended(done, submitted))

    def _ended(self, task: asyncio.Task[Outcome], submitted: _Submitted) -> None:
        claim = submitted.claim
        if self._going.pop(claim.run_id, None) is None:
            return
        outcome = self._outcome_in_any_case(task, claim)
        self._outcomes.append(outcome)
        self._start_queued()
        self._on_end()
        self._notify_apscheduler(outcome, submitted)

    def _notify_apscheduler(self, outcome: Outcome, submitted: _Submitted) -> None:
        events = []
        try:
            events = [run_event(outcome, submitted.job, submitted.run_time)] if self._scheduler.has_listeners else []
        except BaseException as error:  # noqa: BLE001 (what is asked of an exception that is not ours may raise as well)
            logbook.event_not_sent(outcome.claim.task.id, outcome.claim.run_id, error)
        self._run_job_success(submitted.job.id, events)

    def _outcome_in_any_case(self, task: asyncio.Task[Outcome], claim: Claim) -> Outcome:
        """Return how a run ended, whatever fails here: without an outcome it would be `running` for good."""
        try:
            return self._outcome_of(task, claim)
        except BaseException as error:  # noqa: BLE001
            text = f"how the run ended is not known: {error_text(error, ERROR_LIMIT)}"
            return Outcome(claim, RunStatus.FAILED, self._clock.now(), error=text, exception=error)

    def _outcome_of(self, task: asyncio.Task[Outcome], claim: Claim) -> Outcome:
        reason = self._reasons.pop(claim.run_id, None)
        if task.cancelled():
            if reason is None and task.cancelling():
                return self._interrupted(claim)
            return self._cancelled(claim, reason or _ITSELF)
        error = task.exception()
        if error is None:
            return task.result()
        return self._interrupted(claim) if _containment.is_from_signal(error) else self._failed(claim, error)

    def _failed(self, claim: Claim, error: BaseException) -> Outcome:
        raised = _containment.original(error)
        logbook.run_failed(claim.task.name, claim.task.id, claim.run_id, raised)
        text = error_text(raised, ERROR_LIMIT)
        return Outcome(claim, RunStatus.FAILED, self._clock.now(), error=text, exception=raised)

    def _cancelled(self, claim: Claim, reason: str) -> Outcome:
        logbook.run_cancelled(claim.task.id, claim.run_id, reason)
        return Outcome(claim, RunStatus.CANCELLED, self._clock.now(), error=reason)

    def _interrupted(self, claim: Claim) -> Outcome:
        logbook.run_interrupted(claim.task.id, claim.run_id)
        return Outcome(claim, RunStatus.INTERRUPTED, self._clock.now(), error=STOPPED)

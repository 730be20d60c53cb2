"""Observers: what listeners and telemetry learn of runs, and the steps that streaming runs report."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from scheduler.models import Run, RunStatus
from scheduler.observing.events import Event, EventKind, RunEvent, RunEventKind, TaskEvent, TaskEventKind
from scheduler.observing.listeners import Callback, Listener, check_callback, kinds_of
from scheduler.observing.telemetry import Telemetry
from scheduler.store import Claim, Committed, Outcome, PassResult
from scheduler.timing.clock import SECOND, Clock, to_datetime

__all__ = [
    "Attempt",
    "Callback",
    "EventKind",
    "Listener",
    "Observers",
    "RunEvent",
    "RunEventKind",
    "TaskEvent",
    "TaskEventKind",
    "Telemetry",
    "check_callback",
]

_DRAIN_SECONDS: Final = 2.0
"""How long listeners may take, when the scheduler stops, for what is queued."""

Attempt = Callable[[Claim], Coroutine[Any, Any, Outcome]]


class Observers:
    """Whoever wants to know what becomes of runs. But for `add` and `remove`, it is used on the loop."""

    def __init__(self, clock: Clock, step_interval: float, telemetry: Telemetry | None = None) -> None:
        """Take the clock, how often steps are written at most (in seconds), and where spans and metrics go."""
        self._clock = clock
        self.telemetry = telemetry
        self._listeners: tuple[Listener, ...] = ()
        self._changing = threading.Lock()
        self._going: dict[str, Run] = {}
        self._steps: dict[str, tuple[Claim, str]] = {}
        self._step_interval = round(step_interval * SECOND)
        self._steps_written = 0

    def is_listening(self) -> bool:
        """Tell whether anybody wants to know."""
        return bool(self._listeners) or self.telemetry is not None

    # --- Listeners ---

    def add(self, callback: Callback, events: Iterable[EventKind | str] | None = None) -> Listener:
        """Add a listener; it receives what happens from now on. Raises `ValueError`."""
        check_callback(callback, "callback")
        listener = Listener(callback, kinds_of(events), self._forget, self)
        with self._changing:
            self._listeners = (*self._listeners, listener)
        return listener

    def _forget(self, listener: Listener) -> None:
        with self._changing:
            self._listeners = tuple(each for each in self._listeners if each is not listener)

    def _tell(self, kind: RunEventKind, run: Run) -> None:
        event = RunEvent(kind=kind, at=run.finished_at or to_datetime(self._clock.now()), run=run)
        if self.telemetry is not None:
            self.telemetry.count(event)
        self._send(event)

    def _send(self, event: Event) -> None:
        for listener in self._listeners:
            listener.put(event)

    # --- What happens ---

    def observed(self, attempt: Attempt) -> Attempt:
        """Return what makes an attempt and lets it be seen; while nobody looks, it is the attempt itself."""

        def make(claim: Claim) -> Coroutine[Any, Any, Outcome]:
            return self._observe(attempt, claim) if self.is_listening() else attempt(claim)

        return make

    async def _observe(self, attempt: Attempt, claim: Claim) -> Outcome:
        if (run := self._going.get(claim.run_id)) is not None:
            self._tell(RunEventKind.STARTED, run)
        if self.telemetry is None:
            return await attempt(claim)
        return await self.telemetry.traced(attempt, claim)

    def pass_done(self, result: PassResult) -> None:
        """Report what a pass has committed; what it has claimed is reported when it starts."""
        committed = result.committed
        if committed is None:
            return
        for run_id in committed.released:
            self._going.pop(run_id, None)
        for run in committed.changed:
            self._going.pop(run.id, None)
            self._tell(_kind_of(run), run)
        for run in committed.expiring:
            self._tell(RunEventKind.EXPIRING, run)
        self._tell_tasks(result, committed)
        self._going.update((run.id, run) for run in committed.claimed)

    def _tell_tasks(self, result: PassResult, committed: Committed) -> None:
        happened = {
            TaskEventKind.QUARANTINED: result.quarantined,
            TaskEventKind.PAUSED: result.paused,
            TaskEventKind.EXPIRING: result.expiring.tasks,
            TaskEventKind.FINISHED: committed.finished,
        }
        at = to_datetime(self._clock.now())
        for kind, tasks in happened.items():
            for task_id, reason in tasks:
                run = committed.newest.get(task_id)
                self._send(TaskEvent(kind=kind, at=at, task_id=task_id, reason=reason, run=run))

    def store_failed(self) -> None:
        """Note that the store could not be used in a pass."""
        if self.telemetry is not None:
            self.telemetry.store_failed()

    async def end(self) -> None:
        """Let the listeners have what is queued for them, for a short while."""
        self._going.clear()
        if self.telemetry is not None:
            self.telemetry.end()
        await asyncio.gather(*(listener.drain(_DRAIN_SECONDS) for listener in self._listeners))

    # --- Steps ---

    def step_finished(self, claim: Claim, step: str) -> None:
        """Note that a step of a streaming run is done."""
        self._steps[claim.run_id] = claim, step
        run = self._going.get(claim.run_id)
        if run is not None:
            self._going[claim.run_id] = run = run.model_copy(update={"current_step": step})
            self._tell(RunEventKind.STEP_FINISHED, run)

    def take_steps(self, *, at_once: bool) -> list[tuple[Claim, str]]:
        """Return the steps that are to be written now; the caller writes them or gives them back.

        They make no transaction of their own but now and then: `at_once` says that one is made anyway.
        """
        now = self._clock.now()
        if not self._steps or not (at_once or abs(now - self._steps_written) >= self._step_interval):
            return []
        self._steps_written = now
        steps, self._steps = list(self._steps.values()), {}
        return steps

    def give_steps_back(self, steps: Iterable[tuple[Claim, str]]) -> None:
        """Keep steps that could not be written, but for runs that have come further meanwhile."""
        for claim, step in steps:
            self._steps.setdefault(claim.run_id, (claim, step))


def _kind_of(run: Run) -> RunEventKind:
    """Return what has become of a run; one that succeeded has an error only if its callback failed."""
    has_failed_callback = run.status is RunStatus.SUCCEEDED and run.error is not None
    return RunEventKind.CALLBACK_FAILED if has_failed_callback else _KINDS[run.status]


_KINDS: Final = {RunStatus.PENDING: RunEventKind.RETRYING} | {
    status: RunEventKind(status) for status in RunStatus if status not in {RunStatus.PENDING, RunStatus.RUNNING}
}

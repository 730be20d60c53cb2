"""What changes in the history while somebody looks on: the store is asked again and again."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from scheduler import Run, RunNotFoundError, RunStatus, TaskScheduler
from scheduler.cli.errors import CommandError

POLL_SECONDS: Final = 0.25
_WINDOW: Final = 100
_WIDEST: Final = 10_000
_REMEMBERED: Final = 20_000


class RunFeed:
    """The changes of status, and the steps, in the history, each once."""

    def __init__(self, scheduler: TaskScheduler, task_id: str | None) -> None:
        """Look at one task, or at all."""
        self._scheduler = scheduler
        self._task_id = task_id
        self._known: dict[str, tuple[RunStatus, int, str | None]] = {}
        self._open: set[str] = set()
        self._has_begun = False

    def skip(self, runs: list[Run]) -> None:
        """Take runs as known."""
        for run in runs:
            self._note(run)

    def changes(self) -> list[Run]:
        """Return the runs that are new or stand elsewhere than at the last look, oldest first."""
        newest = self._newest()
        seen = {run.id for run in newest}
        older = [run for run_id in sorted(self._open - seen) if (run := self._again(run_id)) is not None]
        return [run for run in [*older, *reversed(newest)] if self._note(run)]

    def _newest(self) -> list[Run]:
        window = _WINDOW
        while True:
            runs = self._scheduler.list_runs(self._task_id, limit=window)
            reaches_back = len(runs) < window or runs[-1].id in self._known
            if reaches_back or not self._has_begun or window >= _WIDEST:
                self._has_begun = True
                return runs
            window *= 2

    def _again(self, run_id: str) -> Run | None:
        try:
            return self._scheduler.get_run(run_id)
        except RunNotFoundError:
            self._open.discard(run_id)
            return None

    def _note(self, run: Run) -> bool:
        stands = (run.status, run.attempt, None if run.finished_at else run.current_step)
        is_new = self._known.get(run.id) != stands
        self._known[run.id] = stands
        (self._open.add if run.finished_at is None else self._open.discard)(run.id)
        if len(self._known) > _REMEMBERED:
            for run_id in list(self._known)[: _REMEMBERED // 2]:
                del self._known[run_id]
        return is_new


def polled(seconds: float | None = None) -> Iterator[None]:
    """Yield now and then, until so many seconds have passed; the last time when they have."""
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        yield
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            return
        time.sleep(POLL_SECONDS if left is None else min(left, POLL_SECONDS))


def wait_for_end(scheduler: TaskScheduler, run_id: str, seconds: float | None, changed: Callable[[Run], None]) -> Run:
    """Return a run once it is over, and tell of each change of status before. Raises `CommandError` if time is up."""
    before: RunStatus | None = None
    for _ in polled(seconds):
        run = scheduler.get_run(run_id)
        if run.finished_at is not None:
            return run
        if run.status is not before:
            before = run.status
            changed(run)
    raise CommandError(f"run {run_id} is still {before} after {seconds:g} s; it continues")

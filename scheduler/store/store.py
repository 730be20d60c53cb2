"""The public calls of a store, from any thread."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from scheduler.calendars import Calendar
from scheduler.errors import StoreNotFoundError
from scheduler.models import Run, RunStatus, TaskChanges, TaskDefinition
from scheduler.store import (
    adding,
    backfill,
    bulk,
    calendar_changes,
    clock_steps,
    control,
    finding,
    history,
    listing,
    outcomes,
    owners,
    pending,
    queue,
    responses,
    run_pages,
    run_references,
    tasks,
)
from scheduler.store.adding import OtherSources
from scheduler.store.database.interface import Database
from scheduler.store.database.statements import Connection
from scheduler.store.finding import TaskFilter
from scheduler.store.listing import Listed
from scheduler.store.run_pages import RunFilter
from scheduler.store.threads import is_in_use, open_run_on
from scheduler.store.transaction import StoreTransaction
from scheduler.store.unloadable import retry_soon


class Store:
    """The tasks and runs of one database, each call one committed transaction.

    All instants are microseconds since 1970. Every method raises `StoreError` when the database fails, and then
    nothing of the call is stored.
    """

    def __init__(
        self,
        database: Database,
        zone: str,
        history_limit: int,
        processes: owners.Processes | None = None,
        calendars: Mapping[str, Calendar] = MappingProxyType({}),
    ) -> None:
        """Take the database, the IANA zone of tasks that name none, and how many runs are kept for each task.

        `processes` knows which processes have ended; None: those of this machine. `calendars` are those that tasks may
        name.
        """
        self.database = database
        self._zone = zone
        self._calendars = calendars
        self._history_limit = history_limit
        self._processes = owners.Processes() if processes is None else processes

    def open(self, *, create: bool = True) -> None:
        """Open the database now, so that what is wrong with it is said now.

        Without `create` it raises `StoreNotFoundError` where there are none.
        """
        if not create and not self.database.exists():
            raise StoreNotFoundError(self.database.name)
        with self.database.write() if create else self.database.read():
            pass

    def add_tasks(
        self, definitions: Sequence[TaskDefinition], now: int, *, refuse_passed: bool = False
    ) -> list[tuple[str, str]]:
        """Add tasks or replace those with the same id; return those left out, each with the reason.

        Raises `ValueError`, and then nothing is stored. `refuse_passed`: also for a task that has no due time left and
        whose id was never stored.
        """
        prepared = [adding.prepare(definition, self._zone, self._calendars) for definition in definitions]
        with self._change(now) as connection:
            return adding.add(connection, prepared, now, refuse_passed=refuse_passed)

    def apply_tasks(  # noqa: PLR0913 (what to apply, and how)
        self,
        definitions: Sequence[TaskDefinition],
        source: str,
        now: int,
        others: OtherSources = OtherSources(),  # noqa: B008 (it is frozen)
        *,
        prune: bool,
        dry_run: bool,
    ) -> TaskChanges:
        """Add or replace what `source` brings, and remove what it no longer brings, all or none. Raises `ValueError`.

        A dry run does it all, and is undone.
        """
        prepared = [adding.prepare(definition, self._zone, self._calendars, source) for definition in definitions]
        with self._change(now) as connection:
            changes = adding.apply(connection, prepared, source, now, others, prune=prune)
            if dry_run:
                connection.undo()
        return changes

    def sources(self) -> list[str]:
        """Return the sources of the tasks that are stored."""
        with self.database.read() as connection:
            return adding.sources(connection)

    def follow_calendars(self, now: int) -> list[str]:
        """Give tasks the calendars that their names stand for in this process; return the ids of those that change."""
        with self._change(now) as connection:
            return calendar_changes.follow_calendars(connection, self._calendars, now)

    def remove_task(self, task_id: str, now: int) -> None:
        """Remove a task. Raises `TaskNotFoundError`."""
        with self._change(now) as connection:
            tasks.remove(connection, task_id, now)

    def update_task(
        self, task_id: str, changes: Mapping[str, Any], now: int, expected: TaskDefinition | None = None
    ) -> TaskDefinition:
        """Change fields of a task; return its definition. Raises `TaskNotFoundError`, `ValueError`."""
        with self._change(now) as connection:
            return adding.change(connection, task_id, changes, self._zone, self._calendars, now, expected)

    def pause_task(self, task_id: str, now: int, reason: str | None = None, until: int | None = None) -> None:
        """Pause a task, with a reason, and until an instant. Raises `TaskNotFoundError`."""
        with self._change(now) as connection:
            tasks.pause(connection, task_id, now, reason, until)

    def resume_task(self, task_id: str, now: int) -> None:
        """Resume a task. Raises `TaskNotFoundError`."""
        with self._change(now) as connection:
            tasks.resume(connection, task_id, now)

    def trigger_task(
        self, task_id: str, now: int, prompt: str | None = None, metadata: dict[str, Any] | None = None
    ) -> str:
        """Queue a run by hand; return its id. Raises `TaskNotFoundError`, `ValueError`."""
        with self._change(now) as connection:
            return queue.trigger(connection, task_id, now, self._history_limit, prompt, metadata)

    def pause_tasks(self, tag: str, now: int, reason: str | None = None, until: int | None = None) -> list[str]:
        """Pause the tasks with a tag that are not finished; return their ids."""
        with self._change(now) as connection:
            return bulk.pause(connection, tag, now, reason, until)

    def resume_tasks(self, tag: str, now: int) -> list[str]:
        """Resume the tasks with a tag that are paused or quarantined; return their ids. Raises `ValueError`."""
        with self._change(now) as connection:
            return bulk.resume(connection, tag, now)

    def remove_tasks(self, tag: str, now: int) -> list[str]:
        """Remove the tasks with a tag; return their ids."""
        with self._change(now) as connection:
            return bulk.remove(connection, tag, now)

    def trigger_tasks(
        self, tag: str, now: int, prompt: str | None = None, metadata: dict[str, Any] | None = None
    ) -> list[str]:
        """Queue a run by hand of each task with a tag that is not finished; return the runs. Raises `ValueError`."""
        with self._change(now) as connection:
            return bulk.trigger(connection, tag, now, self._history_limit, prompt, metadata)

    def cancel_run(self, run_id: str, reason: str | None, now: int) -> None:
        """Cancel a run, or ask its owner to. Raises `RunNotFoundError`, `ValueError`."""
        with self._change(now) as connection:
            control.cancel(connection, run_id, reason, now)

    def retry_run(self, run_id: str, now: int, *, from_start: bool = False) -> str:
        """Queue a run that repeats one; return its id. Raises `RunNotFoundError`, `TaskNotFoundError`, `ValueError`."""
        with self._change(now) as connection:
            return control.retry(connection, run_id, now, self._history_limit, from_start=from_start)

    def backfill_task(  # noqa: PLR0913 (the range, and how it is filled)
        self,
        task_id: str,
        start: int,
        end: int,
        now: int,
        *,
        limit: int,
        max_concurrent: int = 1,
        dry_run: bool = False,
        force: bool = False,
    ) -> list[int]:
        """Queue a run for each gap of a range; return their due times. Raises `TaskNotFoundError`, `ValueError`.

        A dry run is undone.
        """
        with self._change(now) as connection:
            gaps = backfill.backfill(
                connection, task_id, start, end, now, limit=limit, max_concurrent=max_concurrent, force=force
            )
            if dry_run:
                connection.undo()
        return gaps

    def answer_run(self, run_id: str, value: object, now: int) -> None:
        """Answer a waiting run. Raises `RunNotFoundError`, `ValueError`."""
        with self._change(now) as connection:
            outcomes.answer(connection, run_id, value, now)

    def get_task(self, task_id: str) -> TaskDefinition:
        """Return a definition. Raises `TaskNotFoundError`."""
        with self.database.read() as connection:
            return tasks.get(connection, task_id)

    def get_run(self, run_id: str, now: int | None = None) -> Run:
        """Return a run; if it is pending, with the reason, if `now` is given. Raises `RunNotFoundError`."""
        with self.database.read() as connection:
            run = history.read_run(connection, run_id)
            return run if now is None else pending.with_reasons(connection, [run], now)[0]

    def find_run(self, reference: str, now: int) -> Run:
        """Return the run that somebody names. Raises `RunNotFoundError`, `TaskNotFoundError`, `AmbiguousRunError`."""
        with self.database.read() as connection:
            return pending.with_reasons(connection, [run_references.find_run(connection, reference)], now)[0]

    def get_response(self, run_id: str) -> str | None:
        """Return the whole response of a run. Raises `RunNotFoundError`."""
        with self.database.read() as connection:
            run = history.read_run(connection, run_id)
            return responses.read(connection, run_id) or run.response

    def list_runs(self, wanted: RunFilter, now: int | None = None) -> list[Run]:
        """Return runs, newest first; those that are pending with the reason, if `now` is given."""
        with self.database.read() as connection:
            found = run_pages.read_runs(connection, wanted)
            return found if now is None else pending.with_reasons(connection, found, now)

    def ended_runs(self) -> list[str]:
        """Return the ids of the runs that are over, in the order in which they ended."""
        with self.database.read() as connection:
            return history.ended(connection)

    def is_thread_in_use(self, thread_id: str) -> bool:
        """Tell whether a run is running on a thread, in whichever process."""
        with self.database.read() as connection:
            return is_in_use(connection, thread_id)

    def open_run_on(self, thread_id: str) -> str | None:
        """Return a run that is open on a thread, the oldest; None if there is none."""
        with self.database.read() as connection:
            return open_run_on(connection, thread_id)

    def status_of(self, run_id: str) -> RunStatus | None:
        """Return the status of a run; None if it is not in the history any more."""
        with self.database.read() as connection:
            return history.status_of(connection, run_id)

    def before_run(self, task_id: str, run_id: str) -> tuple[Run | None, int | None]:
        """Return the run before a run, of those that have started, and when the task's newest success ended."""
        with self.database.read() as connection:
            return history.before_run(connection, task_id, run_id)

    def running_schedulers(self, now: int) -> int:
        """Return how many schedulers have a lease here."""
        with self.database.read() as connection:
            return owners.count_alive(connection, self._processes, now)

    def list_tasks(self, now: int | None = None, limit: int | None = None) -> list[Listed]:
        """Return the tasks that are not finished, by next due time; with `now`, also which ones cannot be loaded."""
        with self.database.read() as connection:
            return listing.list_tasks(connection, now, limit)

    def find_tasks(self, wanted: TaskFilter, now: int) -> list[Listed]:
        """Return tasks, ordered by id."""
        with self.database.read() as connection:
            return finding.find_tasks(connection, wanted, now)

    def view_task(self, task_id: str, now: int) -> Listed:
        """Return one task, finished or not. Raises `TaskNotFoundError`."""
        with self.database.read() as connection:
            return listing.view_task(connection, task_id, now)

    def find_task(self, task_id: str) -> Listed | None:
        """Return one task that is not finished, or None."""
        with self.database.read() as connection:
            return listing.find_task(connection, task_id)

    def close(self) -> None:
        """Close the database; a later call opens it again."""
        self.database.close()

    def look_again(self) -> None:
        """Release what is quarantined and not damaged; let every scheduler try again what it cannot load."""
        with self.database.write() as connection:
            tasks.release_quarantined(connection)
            retry_soon(connection)

    @contextlib.contextmanager
    def transaction(self, now: int) -> Iterator[StoreTransaction]:
        """Give a transaction in which to look and then change; what is raised inside undoes it."""
        with self._change(now) as connection:
            yield StoreTransaction(connection, now, self._zone, self._calendars, self._history_limit)

    @contextlib.contextmanager
    def _change(self, now: int) -> Iterator[Connection]:
        """Give a connection for a change that is made now."""
        with self.database.write() as connection:
            yield connection
            clock_steps.note(connection, now)

"""Looks and changes that belong together: nobody else changes the store between them, in this process or another."""

from collections.abc import Mapping
from typing import Any

from scheduler.calendars import Calendar
from scheduler.models import Run, TaskDefinition
from scheduler.store import adding, control, listing, queue, tasks
from scheduler.store.database.statements import Connection
from scheduler.store.listing import Listed
from scheduler.store.run_pages import RunFilter, read_runs


class StoreTransaction:
    """One transaction of a writer; it ends with the `with` of `Store.transaction`, and only then is it stored."""

    def __init__(
        self, connection: Connection, now: int, zone: str, calendars: Mapping[str, Calendar], history_limit: int
    ) -> None:
        """Take the open transaction, the present instant, and what `Store` knows of zones, calendars and history."""
        self._connection = connection
        self._now = now
        self._zone = zone
        self._calendars = calendars
        self._history_limit = history_limit

    def list_tasks(self) -> list[Listed]:
        """Return the tasks that are not finished, by next due time."""
        return listing.list_tasks(self._connection, self._now)

    def list_runs(self, task_id: str | None = None, *, since: int | None = None, limit: int = 100) -> list[Run]:
        """Return runs, newest first."""
        return read_runs(self._connection, RunFilter(limit, task_id, since=since))

    def add_task(self, definition: TaskDefinition) -> None:
        """Add a task. Raises `ValueError`, also if it has no due time left."""
        prepared = adding.prepare(definition, self._zone, self._calendars)
        adding.add(self._connection, [prepared], self._now, refuse_passed=True)

    def view_task(self, task_id: str) -> Listed:
        """Return one task, finished or not. Raises `TaskNotFoundError`."""
        return listing.view_task(self._connection, task_id, self._now)

    def update_task(
        self, task_id: str, changes: Mapping[str, Any], expected: TaskDefinition | None = None
    ) -> TaskDefinition:
        """Change fields of a task; return its definition.

        Raises `TaskNotFoundError`, `ValueError`, and `TaskChangedError` if the task is not the expected one.
        """
        return adding.change(self._connection, task_id, changes, self._zone, self._calendars, self._now, expected)

    def resume_task(self, task_id: str) -> None:
        """Resume a task. Raises `TaskNotFoundError`."""
        tasks.resume(self._connection, task_id, self._now)

    def trigger_task(self, task_id: str) -> str:
        """Queue a run by hand; return its id. Raises `TaskNotFoundError`."""
        return queue.trigger(self._connection, task_id, self._now, self._history_limit)

    def cancel_run(self, run_id: str, reason: str | None = None) -> None:
        """Cancel a run, or ask its owner to. Raises `RunNotFoundError`, `ValueError`: nothing is changed."""
        control.cancel(self._connection, run_id, reason, self._now)

    def retry_run(self, run_id: str, *, from_start: bool = False) -> str:
        """Queue a run that repeats one; return its id.

        Raises `RunNotFoundError`, `TaskNotFoundError`, `ValueError`: no run is added.
        """
        return control.retry(self._connection, run_id, self._now, self._history_limit, from_start=from_start)

"""What each tool does: plain functions over the scheduler's face, which may block and are called in threads."""

import secrets
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from scheduler.errors import InvalidTaskError, TaskNotFoundError
from scheduler.graphs import check_task
from scheduler.models import RunStatus, TaskDefinition
from scheduler.store import Listed, StoreTransaction, changed
from scheduler.task_scheduler import TaskScheduler
from scheduler.timing.clock import to_micros
from scheduler.timing.schedule import next_due_times
from scheduler.tools import wording
from scheduler.tools.callers import Caller
from scheduler.tools.guards import Guards
from scheduler.tools.rates import runs_in_next_hour
from scheduler.tools.refusal import Refusal, problems_of
from scheduler.tools.requests import HistoryRequest, ListRequest, ScheduleRequest, TaskRequest, UpdateRequest
from scheduler.tools.timetable import schedule_fields, zone_named
from scheduler.views import TaskView

_DUE_TIMES_SHOWN: Final = 3
_SLUG_LENGTH: Final = 40
_HOUR: Final = timedelta(hours=1)
_NO_SCHEDULE: Final = dict.fromkeys(["cron_expression", "interval_seconds", "run_at", "start_at", "end_at", "max_runs"])
_MOST_RUNS: Final = 100_000
_NOT_STARTED: Final = frozenset({RunStatus.SKIPPED, RunStatus.MISSED})


class Actions:
    """Does what agents ask for their owners."""

    def __init__(
        self, task_scheduler: TaskScheduler, guards: Guards, zone: str, task_fields: Mapping[str, Any]
    ) -> None:
        """Take the scheduler, the limits, the zone of local times, and what each task has beside what was asked."""
        self._scheduler = task_scheduler
        self._guards = guards
        self._zone = zone
        self._task_fields = task_fields

    def schedule(self, caller: Caller, asked: ScheduleRequest) -> str:
        """Add a task."""
        self._guards.check_place(caller)
        self._guards.check_texts(asked.name, asked.prompt)
        now = self._now()
        task = self._definition(caller, asked, now)
        self._guards.check_due_times(task, caller, now)
        _check_code(task)
        with self._scheduler.transaction() as store:
            own = _own(caller, store)
            self._guards.check_room(len(own))
            self._guards.check_rate(_runs(caller, store, now) + runs_in_next_hour(task, now))
            self._guards.check_busiest_hour([*_active(caller, store), task], now)
            _add(store, task)
        due_times = next_due_times(task, _DUE_TIMES_SHOWN, now)
        return wording.scheduled(caller.short_id(task.id), task, due_times, now)

    def show(self, caller: Caller, asked: ListRequest) -> str:
        """Show the owner's tasks that are not finished."""
        entries = self._own_tasks(caller)
        now = wording.present(self._now(), zone_named(asked.timezone or self._zone))
        if not entries:
            return f"There are no scheduled tasks. {now}"
        return "\n".join([*(wording.listed(caller.short_id(entry.id), entry) for entry in entries), now])

    def cancel(self, caller: Caller, asked: TaskRequest) -> str:
        """Remove a task."""
        task_id = self._own_id(caller, asked.task_id)
        self._scheduler.remove_task(task_id)
        return f"Cancelled task {caller.short_id(task_id)}. It will not run again; a running run continues to its end."

    def update(self, caller: Caller, asked: UpdateRequest) -> str:
        """Change a task."""
        self._guards.check_place(caller)
        task_id, now = self._own_id(caller, asked.task_id), self._now()
        changes = self._changes(asked, now)
        _check_code(self._changed(task_id, changes, caller, now))
        with self._scheduler.transaction() as store:
            task = _update(store, task_id, changes)
            self._guards.check_rate(_runs(caller, store, now))
            self._guards.check_busiest_hour(_active(caller, store), now)
        return wording.updated(caller.short_id(task_id), task, next_due_times(task, _DUE_TIMES_SHOWN, now), now)

    def _changes(self, asked: UpdateRequest, now: datetime) -> dict[str, Any]:
        """Return the fields that are to change. Raises `Refusal`."""
        changes: dict[str, Any] = {} if asked.name is None else {"name": " ".join(asked.name.split())}
        if asked.prompt is not None:
            changes["prompt"] = asked.prompt
        if asked.model_fields_set - {"task_id", "name", "prompt"}:
            changes |= {**_NO_SCHEDULE, **schedule_fields(asked, self._guards, self._zone, now)}
        if not changes:
            raise Refusal("Not done: nothing is to change. Give a prompt, a name or a schedule.")
        return changes

    def _changed(self, task_id: str, changes: Mapping[str, Any], caller: Caller, now: datetime) -> TaskDefinition:
        """Return the definition that a change makes. Raises `Refusal` if it is not allowed."""
        try:
            task = changed(self._scheduler.get_task(task_id), changes)
        except ValidationError as error:
            raise Refusal(f"Not done: {problems_of(error)}.") from None
        self._guards.check_texts(task.name, task.subject)
        if "task_type" in changes:
            self._guards.check_due_times(task, caller, now)
        return task

    def pause(self, caller: Caller, asked: TaskRequest) -> str:
        """Pause a task."""
        task_id = self._own_id(caller, asked.task_id)
        self._scheduler.pause_task(task_id)
        return f"Paused task {caller.short_id(task_id)}. It does not run until resume_scheduled_task is called."

    def resume(self, caller: Caller, asked: TaskRequest) -> str:
        """Resume a task."""
        self._guards.check_place(caller)
        task_id = self._own_id(caller, asked.task_id)
        with self._scheduler.transaction() as store:
            store.resume_task(task_id)
            now = self._now()
            self._guards.check_rate(_runs(caller, store, now))
            self._guards.check_busiest_hour(_active(caller, store), now)
        entry = next((entry for entry in self._own_tasks(caller) if entry.id == task_id), None)
        if entry is None:
            return f"Task {caller.short_id(task_id)} is finished: it has no due time any more. Schedule a new one."
        return f"Resumed task {caller.short_id(task_id)}. Next: {wording.next_run(entry)}."

    def run_now(self, caller: Caller, asked: TaskRequest) -> str:
        """Run a task now, as well as on schedule."""
        self._guards.check_place(caller)
        task_id = self._own_id(caller, asked.task_id)
        with self._scheduler.transaction() as store:
            newest = next(iter(store.list_runs(task_id, limit=1)), None)
            self._guards.check_run_now(newest, self._now())
            self._guards.check_rate(_runs(caller, store, self._now()) + 1)
            store.trigger_task(task_id)
        return f"Task {caller.short_id(task_id)} runs now, beside this; list_scheduled_runs shows the outcome."

    def history(self, caller: Caller, asked: HistoryRequest) -> str:
        """Show what came of a task."""
        task_id = self._own_id(caller, asked.task_id)
        runs = self._scheduler.list_runs(task_id, limit=asked.limit)
        if not runs:
            return f"Task {caller.short_id(task_id)} has had no run yet."
        zone = wording.zone_of(self._readable(task_id))
        return "\n".join(
            [f"Runs of task {caller.short_id(task_id)}, newest first:", *(wording.past_run(run, zone) for run in runs)]
        )

    def _now(self) -> datetime:
        return self._scheduler.now()

    def _own_tasks(self, caller: Caller) -> list[TaskView]:
        return [entry for entry in self._scheduler.task_views() if caller.owns(entry.id, entry.definition)]

    def _own_id(self, caller: Caller, given: str) -> str:
        """Return the id in the store of one of the owner's tasks; refuse any other in the same words."""
        task_id = caller.full_id(given)
        if task_id is not None and self._is_own(caller, task_id):
            return task_id
        raise Refusal(f"There is no task {wording.quoted(given, 60)}; list_scheduled_tasks shows the ids that exist.")

    def _is_own(self, caller: Caller, task_id: str) -> bool:
        try:
            return caller.owns(task_id, self._readable(task_id))
        except TaskNotFoundError:
            return False

    def _readable(self, task_id: str) -> TaskDefinition | None:
        """Return a definition, or None if the stored one cannot be used. Raises `TaskNotFoundError`."""
        try:
            return self._scheduler.get_task(task_id)
        except InvalidTaskError:
            return None

    def _definition(self, caller: Caller, asked: ScheduleRequest, now: datetime) -> TaskDefinition:
        task_id = f"{caller.prefix}{_slug(asked.name)}-{secrets.token_hex(4)}"
        fields = {
            **self._task_fields,
            "id": task_id,
            "name": " ".join(asked.name.split()),
            "prompt": asked.prompt,
            "session_id": caller.session,
            "metadata": caller.metadata,
            **schedule_fields(asked, self._guards, self._zone, now),
        }
        try:
            return TaskDefinition(**fields)
        except ValidationError as error:
            raise Refusal(f"Not done: {problems_of(error)}.") from None


def _check_code(task: TaskDefinition) -> None:
    """Import what the program's `task_fields` name; not in the transaction, which is to be short."""
    try:
        check_task(task)
    except ValueError as error:
        raise Refusal(f"Not done: {problems_of(error)}.") from None


def _add(store: StoreTransaction, task: TaskDefinition) -> None:
    try:
        store.add_task(task)
    except ValueError as error:
        raise Refusal(f"Not done: {problems_of(error)}.") from None


def _update(store: StoreTransaction, task_id: str, changes: Mapping[str, Any]) -> TaskDefinition:
    try:
        return store.update_task(task_id, changes)
    except ValueError as error:
        raise Refusal(f"Not done: {problems_of(error)}.") from None


def _own(caller: Caller, store: StoreTransaction) -> list[Listed]:
    return [listed for listed in store.list_tasks() if caller.owns(listed.id, listed.definition)]


def _runs(caller: Caller, store: StoreTransaction, now: datetime) -> int:
    """Return how many runs the owner's tasks, removed ones too, had in the past hour and have in the next one."""
    past = store.list_runs(since=to_micros(now - _HOUR), limit=_MOST_RUNS)
    had = sum(run.task_id.startswith(caller.prefix) and run.status not in _NOT_STARTED for run in past)
    return had + sum(runs_in_next_hour(task, now) for task in _active(caller, store))


def _active(caller: Caller, store: StoreTransaction) -> list[TaskDefinition]:
    """Return the owner's tasks that come due."""
    return [each.definition for each in _own(caller, store) if each.definition is not None and not each.paused]


def _slug(name: str) -> str:
    """Return a name as a part of an id: small letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = "".join(letter if letter.isalnum() else " " for letter in plain).split()
    return "-".join(words)[:_SLUG_LENGTH].strip("-") or "task"

"""A stage for the store: one process after another works on a database, at instants that the test names."""

from datetime import UTC, datetime

from sqlalchemy import text

from scheduler import RunStatus, TaskDefinition
from scheduler.store import Loaded, Outcome, RunFilter, SchedulerSession, Store
from scheduler.timing.clock import SECOND, to_datetime, to_micros

#: A Monday, midnight.
START = to_micros(datetime(2026, 1, 5, tzinfo=UTC))
MINUTE, HOUR, DAY = 60, 3_600, 86_400
LEASE = 30
RETENTION = 90 * DAY


def instant(seconds):
    """Return what the store knows as so many seconds after `START`."""
    return START + round(seconds * SECOND)


def moment(seconds):
    return to_datetime(instant(seconds))


def seconds_of(value):
    """Return an instant or a datetime as seconds after `START`."""
    micros = value if value is None or isinstance(value, int) else to_micros(value)
    return None if micros is None else (micros - START) / SECOND


def every(seconds=60, task_id="t", **fields):
    """Return an interval task."""
    fields = {"name": task_id.title(), "prompt": "Go on.", **fields}
    return TaskDefinition(id=task_id, task_type="interval", interval_seconds=seconds, **fields)


def once(seconds=60, task_id="t", **fields):
    """Return a task that is due once, so many seconds after `START`."""
    fields = {"name": task_id.title(), "prompt": "Go on.", **fields}
    return TaskDefinition(id=task_id, task_type="one_time", run_at=moment(seconds), **fields)


def cron(expression, task_id="t", **fields):
    """Return a crontab task."""
    fields = {"name": task_id.title(), "prompt": "Go on.", **fields}
    return TaskDefinition(id=task_id, task_type="cron", cron_expression=expression, **fields)


class StoreWithSession(Store):
    """The store of a process; what it does not do itself, the scheduler's session on it does."""

    session = None

    def __getattr__(self, name):
        return getattr(self.session, name)


class Process:
    """A process with a scheduler, as the store sees it: it makes passes, and says how what it started has ended.

    All times are seconds after `START`.
    """

    def __init__(
        self, database, *, zone="UTC", history_limit=100, lease=LEASE, retention=RETENTION, missing=None, grace=None
    ):
        self.database = database
        #: What keeps graphs from being imported, by their paths; None: all are there from the start.
        self.missing = missing
        #: The graphs that are imported.
        self.imported = set()
        self._loaded = []
        #: What the store asks of the other parts of a scheduler.
        self.is_checkpointed, self.is_observed = lambda _task: False, lambda: False
        self.store = StoreWithSession(database, zone, history_limit)
        self.session = self.store.session = SchedulerSession(
            database,
            history_limit,
            lease * SECOND,
            retention * SECOND,
            needs_loading=self._needs_loading,
            is_checkpointed=lambda task: self.is_checkpointed(task),  # noqa: PLW0108 (tests replace it)
            is_observed=lambda: self.is_observed(),  # noqa: PLW0108 (the same)
            grace=grace,
        )
        self.running = {}
        self._ended = []

    def _needs_loading(self, task):
        return None if self.missing is None or task.graph in {None, *self.imported} else task.graph

    def _import(self, wanted):
        """Import what a pass asks for; the next one is told what came of it."""
        for each in wanted:
            problem = self.missing.get(each.code)
            if problem is None:
                self.imported.add(each.code)
            self._loaded.append(Loaded(each.code, problem))

    # --- The scheduler's side ---

    def begin(self, now=0):
        self.session.begin(instant(now))
        return self

    def run_pass(self, now, slots=32, early=0):
        """Make a pass; claimed runs run until `end` is called. Outcomes that were not written are passed again."""
        ended, self._ended = self._ended, []
        loaded, self._loaded = self._loaded, []
        try:
            running = list(self.running)
            result = self.session.run_pass(instant(now), slots, ended, running, round(early * SECOND), (), loaded)
        except BaseException:
            self._ended, self._loaded = ended, loaded
            raise
        self._import(result.unloadable.to_load)
        self.running.update((claim.run_id, claim) for claim in result.claims)
        return result

    def started(self, now, slots=32, early=0):
        """Make a pass; return which due times it started: pairs of task and seconds."""
        claims = self.run_pass(now, slots, early).claims
        return [(claim.task.id, seconds_of(claim.scheduled_at)) for claim in claims]

    def end(self, now, status=RunStatus.SUCCEEDED, *, task_id=None, error=None, **more):
        """End the running runs of one task or of all; the next pass writes the outcomes."""
        for claim in [each for each in self.running.values() if task_id in {None, each.task.id}]:
            del self.running[claim.run_id]
            error = "ValueError: no" if error is None and status is RunStatus.FAILED else error
            self._ended.append(Outcome(claim, status, instant(now), error=error, **more))

    def complete(self, now, status=RunStatus.SUCCEEDED, slots=32, **more):
        """End the running runs, and make a pass that writes the outcomes."""
        self.end(now, status, **more)
        return self.run_pass(now, slots)

    # --- The face's side ---

    def add(self, *tasks, now=0):
        self.store.add_tasks(tasks, instant(now))
        return self

    def pause(self, now, task_id="t"):
        self.store.pause_task(task_id, instant(now))

    def resume(self, now, task_id="t"):
        self.store.resume_task(task_id, instant(now))

    def remove(self, now, task_id="t"):
        self.store.remove_task(task_id, instant(now))

    def trigger(self, now, task_id="t"):
        return self.store.trigger_task(task_id, instant(now))

    def listed(self, task_id="t", now=None):
        """Return a task as `list_tasks` shows it, or None; `now`, in seconds, is when that is asked."""
        now = None if now is None else instant(now)
        return next((each for each in self.store.list_tasks(now) if each.id == task_id), None)

    def due(self, task_id="t"):
        """Return when a task is due next."""
        return seconds_of(self.listed(task_id).next_due)

    def runs(self, task_id="t", **filters):
        """Return the history of a task, oldest first."""
        return self.store.list_runs(RunFilter(**{"limit": 10_000, "task_id": task_id, **filters}))[::-1]

    def history(self, task_id="t"):
        """Return the history of a task, oldest first: status, due time, further due times."""
        return [(str(run.status), seconds_of(run.scheduled_at), run.coalesced) for run in self.runs(task_id)]

    def statuses(self, task_id="t"):
        return [str(run.status) for run in self.runs(task_id)]

    # --- Behind the store's back ---

    def sql(self, statement, **values):
        """Execute a statement as somebody would by hand; return its rows, if it has any."""
        with self.database.write() as connection:
            return connection.execute(text(statement), values).all()

    def die(self, dead_pid):
        """Make this process one that has ended: what it had going is nobody's now."""
        self.sql(
            "UPDATE scheduler_owners SET pid = :pid, started = 1 WHERE id = :id",
            pid=dead_pid,
            id=self.session._owner.id,
        )
        self.running.clear()


def accounted(runs):
    """Return how many due times a history stands for."""
    return sum(1 + run.coalesced for run in runs if run.trigger == "schedule")

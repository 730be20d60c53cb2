"""TaskScheduler: the public API. It composes the other packages and holds no logic of theirs."""

import asyncio
import importlib
import os
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from scheduler import gc_control, logbook
from scheduler._arguments import (
    check_backfill,
    check_calendars,
    check_configurable,
    check_definitions,
    check_future,
    check_note,
    check_page_end,
    check_past_range,
    check_response_limit,
    check_run_id,
    check_search,
    check_seconds,
    check_source,
    check_tag,
    check_task_filter,
    check_task_id,
    check_thread_id,
    check_whole,
    check_zone,
    choice,
    micros_of,
)
from scheduler._texts import shown
from scheduler.apscheduler_adapter import StoreScheduler
from scheduler.calendars import Calendar
from scheduler.engine import Dependencies, Engine, Host, LoopSettings, Machine, RealMachine, ticker_for
from scheduler.errors import InvalidTaskError
from scheduler.graphs import GraphRunner, InputBuilder, RunnerSettings
from scheduler.graphs.threads import in_thread
from scheduler.held_threads import HeldThreads
from scheduler.models import Durability, Run, RunStatus, TaskChanges, TaskDefinition
from scheduler.observing import Callback, EventKind, Listener, Observers, Telemetry, check_callback
from scheduler.store import (
    Listed,
    OtherSources,
    RunFilter,
    SchedulerSession,
    Store,
    StoreThread,
    StoreTransaction,
    TaskFilter,
    TaskState,
    absolute_path,
    changed,
)
from scheduler.thread_ids import ThreadId, shared_thread
from scheduler.timing.clock import SECOND, to_datetime
from scheduler.views import TaskView, refuse_closed, view_of

DEFAULT_CONCURRENCY: Final = 32
"""For graphs that wait for a model. Short ones are over before so many have started: 16 took as long as 32."""
_DAY: Final = 86_400
_SHORTEST_WAIT, _LONGEST_WAIT = 0.01, 0.25
"""Between two looks at a run that somebody waits for, in seconds."""


class Stopping:
    """What `stop()` returns: `await` it to wait for the drain; done at once if nothing was running."""

    def __init__(self, future: Future[None], is_inside: Callable[[], bool]) -> None:
        """Take what is done when the scheduler has stopped, and what tells whether it has called the present code."""
        self._future = future
        self._is_inside = is_inside

    def __await__(self) -> Generator[Any, None, None]:
        """Wait for the drain, but not in code that the drain waits for. Cancelling the wait does not cancel the drain.

        That code is a run, its callback and input builder, or a listener: the wait is over at once there.
        """
        if self._is_inside():
            return asyncio.sleep(0).__await__()
        return asyncio.shield(asyncio.wrap_future(self._future)).__await__()


class TaskScheduler:
    """Runs tasks on a LangGraph graph when they are due: durably, once, and on time.

    Everything but `start` works before `start()`, without an event loop, and from any thread. Each call is one
    committed transaction: when it has returned, its change survives a crash. A call waits at most 5 s for a database
    that is locked; then it raises `StoreError`, and nothing is stored.
    """

    def __init__(  # noqa: PLR0913 (keywords, each with a default)
        self,
        persistent: bool = True,  # noqa: FBT001, FBT002 (may be positional)
        db_path: str | os.PathLike[str] = "scheduler.db",
        *,
        db_url: str | None = None,
        graph: object = "graph:graph",
        timezone: str = "UTC",
        max_concurrent_runs: int = DEFAULT_CONCURRENCY,
        poll_interval: float = 1.0,
        shutdown_grace_seconds: float = 30.0,
        lease_seconds: float = 30.0,
        history_limit: int = 1000,
        finished_retention_days: float = 90,
        checkpointer: object | None = None,
        store: object | None = None,
        input_builder: InputBuilder | str | None = None,
        context: object = None,
        configurable: Mapping[str, Any] | None = None,
        session_prefix: str = "scheduler:",
        thin_checkpoints: bool = True,
        durability: str | None = None,
        recursion_limit: int | None = None,
        sync_node_threads: int | None = None,
        freeze_gc: bool = False,
        create: bool = True,
        on_event: Callback | None = None,
        telemetry: bool = False,
        callback_timeout_seconds: float = 60.0,
        response_limit: int = 65_536,
        misfire_grace_seconds: float | None = None,
        default_timeout_seconds: float | None = None,
        calendars: Mapping[str, Calendar] | None = None,
        trusted_owner: str | None = None,
        machine: Machine | None = None,
    ) -> None:
        """Open the store; the graph is imported by `start()`.

        Args:
            persistent: False keeps everything in memory and leaves no file; it is gone after `stop()`.
            db_path: the SQLite file; created if its folder exists.
            db_url: an SQLAlchemy URL in place of `db_path`, such as `postgresql+psycopg://user:password@host/database`.
            graph: the graph of tasks that name none: `module:attribute`, `path/to/file.py:attribute`, a name of
                langgraph.json, any object with `ainvoke`, a function that makes one, or the address of a graph on a
                server, `langgraph+http://host:port/assistant`. It may be left out if each task names its own.
            timezone: the IANA zone of cron tasks that name none.
            max_concurrent_runs: how many runs may run at once in this process; what is due beyond that stays due.
            poll_interval: the longest wait, in seconds, before the store is looked at again.
            shutdown_grace_seconds: how long `stop()` lets running runs end by themselves.
            lease_seconds: how long a run counts as alive without a sign from its process.
            history_limit: how many runs are kept for each task.
            finished_retention_days: how long finished and removed tasks and their runs are kept.
            checkpointer: a LangGraph saver to attach to the graph, which then remembers each session.
            store: a store of LangGraph's (`BaseStore`), for what graphs remember across conversations; graphs that have
                one of their own keep it.
            input_builder: a function from the task, or from the task and its `CurrentRun`, to the graph's input, or
                its dotted path, for graphs whose state has no `messages`.
            context: the context of runs whose task gives none, for graphs that have a `context_schema`.
            configurable: what the config's `configurable` has in all runs; what a task gives comes before it.
            session_prefix: what the `session_id` in the graph's input begins with; "" leaves the task's as it is.
            thin_checkpoints: True deletes the checkpoints of our threads that nobody needs any more, when a run begins,
                from LangGraph's savers for SQLite and PostgreSQL; False keeps them all.
            durability: when checkpoints are written, for tasks that do not say: "sync" (the default where there is a
                checkpointer), "async" or "exit".
            recursion_limit: how many steps a graph may take, for tasks that do not say.
            sync_node_threads: how many synchronous nodes may work at once, such as `max_concurrent_runs`; `start()`
                then gives the event loop a default executor of so many threads. None leaves the loop as it is.
            freeze_gc: True leaves what exists at `start()` out of garbage collections (`gc.freeze`) until `stop()`,
                which shortens the pauses of the event loop. It is a setting of the whole process, so it is for programs
                that own theirs.
            create: False looks for a store that is there already, and leaves the place as it is if there is none.
            on_event: an async function that receives every `RunEvent` and `TaskEvent`, as by `add_listener`.
            telemetry: True gives a span of each attempt, and metrics, to OpenTelemetry.
            misfire_grace_seconds: that of tasks that set none: a due time that is served later than this is `missed`;
                None: however late it is, it starts. A task that is always to start sets a long time itself.
            default_timeout_seconds: `timeout_seconds` of tasks that set none; None: their runs may take any time. A
                task that needs more sets a longer time itself.
            calendars: calendars that tasks may name: `calendars={"office": Calendar(holidays="DE-BY")}`. A task holds
                the calendar itself; `start()` gives it to stored tasks whose calendar of this name was another one.
            response_limit: how many characters of a response `get_response` gives; from 2,000 to 1,000,000.
            callback_timeout_seconds: how long a `result_callback` may take; of a task with a shorter `timeout_seconds`,
                as long as that. Then it is cancelled, and the run records it.
            trusted_owner: the PostgreSQL role that owns the store's tables, if it is another one than the program's
                own. Whoever can write to these tables can have code run here.
            machine: the clock, the randomness, the processes and the threads that the scheduler uses; None: those of
                this machine. For simulations, as in `scheduler.testing`.

        Raises:
            StoreError: the store cannot be opened; it was not changed. With `create=False`,
                `StoreNotFoundError` if there is none.
            TelemetryError: OpenTelemetry is not installed.
            ValueError: an argument is out of its range.
        """
        check_zone(timezone)
        check_whole(max_concurrent_runs=max_concurrent_runs, history_limit=history_limit)
        if sync_node_threads is not None:
            check_whole(sync_node_threads=sync_node_threads)
        if recursion_limit is not None:
            check_whole(recursion_limit=recursion_limit)
        check_seconds(poll_interval=poll_interval, lease_seconds=lease_seconds)
        check_seconds(finished_retention_days=finished_retention_days)
        check_seconds(callback_timeout_seconds=callback_timeout_seconds)
        check_response_limit(response_limit)
        if misfire_grace_seconds is not None:
            check_seconds(least=0, misfire_grace_seconds=misfire_grace_seconds)
        check_seconds(least=0, shutdown_grace_seconds=shutdown_grace_seconds)
        if default_timeout_seconds is not None:
            check_seconds(default_timeout_seconds=default_timeout_seconds)
        if on_event is not None:
            check_callback(on_event, "on_event")
        machine = RealMachine() if machine is None else machine
        self._clock = machine.clock
        if db_url is not None and not persistent:
            message = "persistent=False keeps everything in memory; leave db_url out, or persistent"
            raise ValueError(message)
        path = absolute_path(db_path) if persistent and db_url is None else None
        database = machine.open_database(path, db_url, trusted_owner)
        retention = round(finished_retention_days * _DAY * SECOND)
        chosen = None if durability is None else choice(Durability, durability=durability)
        self._observers = Observers(
            self._clock, poll_interval, Telemetry(self._clock, self._queue_depth) if telemetry else None
        )
        runner_settings = RunnerSettings(
            graph=graph,
            checkpointer=checkpointer,
            store=store,
            input_builder=input_builder,
            context=context,
            configurable=check_configurable(configurable),
            durability=chosen,
            recursion_limit=recursion_limit,
            callback_timeout_seconds=callback_timeout_seconds,
            response_limit=response_limit,
            session_prefix=session_prefix,
            thin_checkpoints=thin_checkpoints,
        )
        self._calendars = check_calendars(calendars)
        self._store = Store(database, timezone, history_limit, machine.processes, self._calendars)
        self._runner = runner = GraphRunner(
            runner_settings,
            self._clock,
            self._observers.step_finished,
            self._store.before_run,
            self._store.status_of,
            self._definitions,
        )
        self._held_threads = HeldThreads()
        session = SchedulerSession(
            database,
            history_limit,
            round(lease_seconds * SECOND),
            retention,
            needs_loading=runner.needs_loading,
            is_checkpointed=runner.is_checkpointed,
            is_observed=self._observers.is_listening,
            thread=StoreThread(machine.store_executor),
            processes=machine.processes,
            chance=machine.chance,
            grace=misfire_grace_seconds,
            timeout=default_timeout_seconds,
            held=self._held_threads,
        )
        self._pass_thread = session.thread
        # A lease is renewed by the passes, so they must come often enough for it.
        longest_wait = min(poll_interval, lease_seconds / 3)
        settings = LoopSettings(
            max_concurrent_runs, longest_wait, lease_seconds, shutdown_grace_seconds, sync_node_threads, freeze_gc
        )
        ticker = ticker_for(machine, database)

        def make_engine(host: Host) -> Engine:
            parts = Dependencies(session, runner, machine.clock, settings, self._observers, ticker, host, machine.sleep)
            return Engine(parts)

        self.scheduler: StoreScheduler = StoreScheduler(self._store, timezone, make_engine, machine.clock)
        """APScheduler's `AsyncIOScheduler`: events, `get_jobs()`, and an in-memory job store for other functions."""
        self._engine = self.scheduler.engine
        self._store.open(create=create)
        if on_event is not None:
            self.add_listener(on_event)

    def _definitions(self) -> list[TaskDefinition]:
        """Return the definitions of the tasks that can be used."""
        return [listed.definition for listed in self._store.list_tasks() if listed.definition is not None]

    def _queue_depth(self) -> int | None:
        """Return how many runs are ready to start, from any thread; None before `__init__` is done."""
        scheduler: StoreScheduler | None = getattr(self, "scheduler", None)
        return None if scheduler is None else scheduler.engine.queue_depth()

    # --- Lifecycle ---

    def start(self) -> None:
        """Import the graph, and begin to fire on the running event loop; a scheduler that runs already continues.

        Raises:
            NoEventLoopError: no loop is running here.
            GraphError: the graph cannot be imported or invoked.
            StillStoppingError: an earlier `stop()` is not done.
            StoreError: the store cannot be opened.
        """
        if self._engine.is_orphaned:
            self._engine.abandon()
        if not self.scheduler.running:
            self.scheduler.start()
            if self._calendars:
                for task_id in self._store.follow_calendars(self._clock.now()):
                    logbook.calendar_followed(task_id)
                self.scheduler.wakeup()

    async def ready(self) -> None:
        """Wait until the graph is there, if a function makes it: one that is async is called once `start()` is over.

        `run_until_signal` and `async with` wait for it. Until then, no run on that graph starts. If making it fails,
        its tasks say why, and it is tried again.

        Raises:
            GraphError: the graph cannot be made, or cannot be invoked.
        """
        await self._runner.ready()

    def stop(self) -> Stopping:
        """End firing at once; await what it returns to wait until running runs have drained and the store is closed.

        Runs have `shutdown_grace_seconds` to end; then they are cancelled and recorded as `interrupted`. Where nobody
        awaits it and the loop ends, they have no grace. Calling it twice, or before `start()`, is no error.

        Awaited inside a run, a `result_callback` or a listener of this scheduler, it returns at once: the scheduler
        stops when they have ended.
        """
        if self._engine.is_orphaned:
            self._engine.abandon()
        elif self.scheduler.running:
            self.scheduler.shutdown()
        elif not self._engine.is_stopping:
            self._store.close()
        return Stopping(self._engine.stopped(), self._engine.is_calling)

    async def __aenter__(self) -> Self:
        """Start, and wait until the graph is there. Raises what `start` and `ready` raise."""
        self.start()
        try:
            await self.ready()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """Stop, and wait for the drain."""
        await self.stop()

    # --- Tasks ---

    def add_task(self, task: TaskDefinition) -> None:
        """Add a task, or replace the one with the same id.

        Added again with the same schedule, a task keeps its next due time and its pause; other changes take effect. A
        task that was stored once, and has no due time left, is left out with a warning in the log.

        Raises:
            ValueError: the definition is wrong, its callback or graph cannot be imported, or it is new and its time has
                passed.
            StoreError: nothing was stored.
        """
        self._add([task], refuse_passed=True)

    def add_tasks(self, tasks: Iterable[TaskDefinition]) -> None:
        """Add or replace several tasks in one transaction: all of them, or none. Raises what `add_task` raises.

        A task that is not stored, or is finished, and has no due time left (its `run_at` or `end_at` has passed, its
        `max_runs` was reached) is left out with a warning in the log, so that a program may add it at every start.
        """
        self._add(tasks)

    def _add(self, tasks: Iterable[TaskDefinition], *, refuse_passed: bool = False) -> None:
        with gc_control.held_off():
            definitions = list(tasks)
            check_definitions(definitions)
            for task in definitions:
                self._runner.check(task)
            if not definitions:
                return
            left_out = self._store.add_tasks(definitions, self._clock.now(), refuse_passed=refuse_passed)
        for task_id, reason in left_out:
            logbook.task_left_out(task_id, reason)
        self.scheduler.wakeup()

    @contextmanager
    def transaction(self) -> Iterator[StoreTransaction]:
        """Give a transaction in which to look and then change, as `scheduler.tools` does to hold its limits.

        Nobody else changes the store meanwhile, in this process or another, so leave it soon. Its instants are
        microseconds since 1970. It is stored when the `with` ends; what is raised inside undoes it. Code that a task
        names is not looked at: it must be known to be right. Raises `StoreError`.
        """
        with self._store.transaction(self._clock.now()) as transaction:
            yield transaction
        self.scheduler.wakeup()

    def apply_tasks(
        self,
        tasks: Iterable[TaskDefinition],
        *,
        source: str,
        prune: bool = False,
        dry_run: bool = False,
        adopt: Iterable[str] = (),
    ) -> TaskChanges:
        """Make the store hold what a source, such as a file, says: add or replace its tasks, in one transaction.

        `source` names it for good, such as `"tasks.toml"`; each task is remembered as brought by it, until another
        source or `add_task` brings the same id. What `add_task` says of adding again holds here, too. A task that is
        not stored, or is finished, and has no due time left is left out: that is no error.

        A source that is the absolute path of a file adopts the tasks of another path, if no file is there any more and
        both have a task in common, as after a deployment into a new folder. Where other machines may have the file,
        that is on PostgreSQL, it only warns of tasks that no file seems to hold.

        Args:
            tasks: all the tasks that the source holds now.
            source: what brings them; see `scheduler.tasks_file.source_of`.
            adopt: further sources whose tasks belong to this one from now on, such as its earlier name.
            prune: remove the tasks that this source brought earlier and that are not among `tasks` any more.
            dry_run: only say what would be done; all is checked, nothing is changed.

        Raises:
            ValueError: a definition is wrong, or its callback or graph cannot be imported; nothing is changed.
            StoreError: nothing was changed.
        """
        earlier = list(adopt)
        for each in (source, *earlier):
            check_source(each)
        with gc_control.held_off():
            definitions = list(tasks)
            check_definitions(definitions)
            for task in definitions:
                self._runner.check(task)
            others, now = self._other_sources(source, earlier), self._clock.now()
            changes = self._store.apply_tasks(definitions, source, now, others, prune=prune, dry_run=dry_run)
        if not dry_run:
            for adopted in changes.adopted:
                logbook.source_adopted(source, adopted)
            for task_id, file in changes.orphaned:
                logbook.source_orphaned(task_id, file)
            self.scheduler.wakeup()
        return changes

    def _other_sources(self, source: str, earlier: Iterable[str]) -> OtherSources:
        """Return what is to be known of the other sources in the store; files are looked for where one is applied."""
        adopted = frozenset(earlier) - {source}
        sources = self._store.sources() if Path(source).is_absolute() or adopted else []
        gone = {each for each in sources if each != source and _is_file_that_is_gone(each)}
        database = self._store.database
        # Another machine that shares the database may have the file.
        return OtherSources(
            adopted, frozenset(gone), may_adopt_gone=database.file is not None or not database.is_shared
        )

    def update_task(
        self,
        task_id: str,
        *,
        expected: TaskDefinition | None = None,
        **changes: Any,  # noqa: ANN401 (fields of a task)
    ) -> TaskDefinition:
        """Change fields of a task, and return its definition: read, changed, checked and stored in one transaction.

        `changes` are fields of `TaskDefinition`. What `add_task` says of adding again holds here, too; the task still
        belongs to the source that has brought it, such as a file, which brings its own values when it is applied again.

        Args:
            task_id: the task.
            expected: the definition that the change is meant for; if the task is another one by now, nothing is stored.
            changes: the fields, each with its new value.

        Raises:
            TaskNotFoundError: no task has this id.
            TaskChangedError: it is not as expected; a `ValueError`.
            ValueError: there is no such field, a value is wrong, code cannot be imported, or no due time is left.
            StoreError: nothing was stored.
        """
        check_task_id(task_id)
        with gc_control.held_off():
            # Before the transaction, which is to be short: imports may take seconds.
            self._runner.check(changed(self._store.get_task(task_id), changes))
            task = self._store.update_task(task_id, changes, self._clock.now(), expected)
        self.scheduler.wakeup()
        return task

    def remove_task(self, task_id: str) -> None:
        """Remove a task; a running run continues, one that waits is cancelled, and the history stays.

        Raises:
            TaskNotFoundError: no task has this id.
            StoreError: nothing was stored.
        """
        check_task_id(task_id)
        self._store.remove_task(task_id, self._clock.now())

    def pause_task(self, task_id: str, *, until: datetime | None = None, note: str | None = None) -> None:
        """Pause a task; instants while it is paused are no due times. A task that is paused stays so.

        Args:
            task_id: the task.
            until: an aware datetime at which it resumes by itself; what is due at this instant runs. None: it stays
                paused until `resume_task`.
            note: why it is paused, for people; it becomes the task's `pause_reason`.

        Raises what `remove_task` raises, and `ValueError` if `until` is naive or has passed, or the note is no text.
        """
        check_task_id(task_id)
        now = self._clock.now()
        end = None if until is None else check_future(now, until=until)
        if note is not None:
            check_note(note=note)
        self._store.pause_task(task_id, now, note, end)
        self.scheduler.wakeup()

    def resume_task(self, task_id: str) -> None:
        """Resume a paused task, from its next due time on. Raises what `remove_task` raises.

        A one-time task whose instant passed while it was paused runs now. Every scheduler that cannot load the task
        tries again, and a task that is quarantined is looked at again; if its stored definition still cannot be used,
        this raises `InvalidTaskError`, a `ValueError`.
        """
        check_task_id(task_id)
        self._store.resume_task(task_id, self._clock.now())
        self.scheduler.wakeup()

    def trigger_task(
        self,
        task_id: str,
        *,
        prompt: str | None = None,
        metadata: dict[str, Any] | None = None,
        respect_calendar: bool = False,
    ) -> str:
        """Run a task now, as well as on schedule, even if it is paused or finished; return the run's id.

        It waits for a running run of the task, unless `overlap` is `ALLOW_ALL`. A task that cannot be loaded, or
        is quarantined, is looked at again.

        Args:
            task_id: the task.
            prompt: what this run sends in place of the task's prompt.
            metadata: further metadata for this run, in addition to the task's; JSON.
            respect_calendar: raise `InvalidTaskError` if the task's calendar is closed now; without it, the run starts.

        Raises what `remove_task` raises, `InvalidTaskError`, a `ValueError`, if the stored definition cannot be used,
        and `ValueError` for a prompt or metadata that a task cannot have.
        """
        check_task_id(task_id)
        if respect_calendar:
            refuse_closed(self.task_view(task_id), self._clock.now())
        run_id = self._store.trigger_task(task_id, self._clock.now(), prompt, metadata)
        self.scheduler.wakeup()
        return run_id

    def pause_tasks(self, *, tag: str, until: datetime | None = None, note: str | None = None) -> list[str]:
        """Pause all tasks that have a tag and are not finished, in one transaction; return their ids.

        `until` and `note` are those of `pause_task`. Raises `ValueError`, and `StoreError`: nothing was stored.
        """
        now = self._clock.now()
        end = None if until is None else check_future(now, until=until)
        if note is not None:
            check_note(note=note)
        paused = self._store.pause_tasks(check_tag(tag), now, note, end)
        self.scheduler.wakeup()
        return paused

    def resume_tasks(self, *, tag: str) -> list[str]:
        """Resume all tasks that have a tag and are paused or quarantined, in one transaction; return their ids.

        Raises `ValueError`, also if the stored definition of one cannot be used, and `StoreError`: nothing was stored.
        """
        resumed = self._store.resume_tasks(check_tag(tag), self._clock.now())
        self.scheduler.wakeup()
        return resumed

    def remove_tasks(self, *, tag: str) -> list[str]:
        """Remove all tasks that have a tag, in one transaction; return their ids.

        Raises `ValueError`, and `StoreError`: nothing was stored.
        """
        return self._store.remove_tasks(check_tag(tag), self._clock.now())

    def trigger_tasks(
        self, *, tag: str, prompt: str | None = None, metadata: dict[str, Any] | None = None
    ) -> list[str]:
        """Run all tasks now that have a tag and are not finished; return the ids of the runs, by the tasks' ids.

        `prompt` and `metadata` are those of `trigger_task`. All in one transaction. Raises `ValueError`, also if the
        stored definition of one cannot be used, and `StoreError`: nothing was stored.
        """
        run_ids = self._store.trigger_tasks(check_tag(tag), self._clock.now(), prompt, metadata)
        self.scheduler.wakeup()
        return run_ids

    def backfill_task(  # noqa: PLR0913 (keywords, each with a default)
        self,
        task_id: str,
        start: datetime,
        end: datetime,
        *,
        limit: int = 1000,
        max_concurrent: int = 1,
        dry_run: bool = False,
        force: bool = False,
    ) -> list[datetime]:
        """Run a task for each due time of a past range for which no run has started; return these due times, in UTC.

        Due times that were skipped, missed or coalesced into another run count as gaps. Each gap becomes a run with the
        trigger `backfill`, the oldest first, which sees the due time as its `scheduled_at`. These runs start after
        everything that is due now, do not count for `max_runs`, and `overlap` is not about them; with a session that
        runs share, they take turns with the task's other runs.

        Args:
            task_id: the task; paused and finished ones, too.
            start: the beginning of the range, an aware datetime; the range includes it.
            end: its end, which it includes as well; not in the future.
            limit: more gaps than these are an error; at most 10,000.
            max_concurrent: how many of these runs may be running at once.
            dry_run: only return what would be run.
            force: also run due times that are older than the history that is kept of the task.

        Raises:
            TaskNotFoundError: no task has this id.
            ValueError: the range is none, it has too many due times or gaps, or nobody knows any more what ran then.
            StoreError: nothing was stored.
        """
        check_task_id(task_id)
        check_whole(limit=limit, max_concurrent=max_concurrent)
        check_backfill(limit, max_concurrent)
        now, first, last = self._clock.now(), micros_of(start=start), micros_of(end=end)
        check_past_range(first, last, now, start, end)
        options = {"limit": limit, "max_concurrent": max_concurrent, "dry_run": dry_run, "force": force}
        gaps = self._store.backfill_task(task_id, first, last, now, **options)  # type: ignore[arg-type]
        if not dry_run:
            self.scheduler.wakeup()
        return [to_datetime(due) for due in gaps]

    async def run_task(
        self,
        task_id: str,
        *,
        prompt: str | None = None,
        metadata: dict[str, Any] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 (the run continues when it is over)
    ) -> Run:
        """Run a task now, as `trigger_task` does, and return its run when it is over, as `wait_for_run` does."""
        run_id = await in_thread(partial(self.trigger_task, task_id, prompt=prompt, metadata=metadata))
        return await self.wait_for_run(run_id, timeout)

    async def wait_for_run(
        self,
        run_id: str,
        timeout: float | None = None,  # noqa: ASYNC109 (the run continues when it is over)
    ) -> Run:
        """Return a run when it is over, whichever process runs it; a run that waits for an answer is not over.

        `timeout` is in seconds. In a run of the same task, unless its `overlap` is `ALLOW_ALL`, it would wait for
        itself.

        Raises:
            TimeoutError: it is not over by then; it continues.
            RunNotFoundError: no run has this id, or it is too old to be kept.
            ValueError: `timeout` is out of its range.
            StoreError: the store cannot be read.
        """
        check_run_id(run_id)
        if timeout is not None:
            check_seconds(least=0, timeout=timeout)
        wait = _SHORTEST_WAIT
        async with asyncio.timeout(timeout):
            while (run := await in_thread(self._store.get_run, run_id)).finished_at is None:
                await asyncio.sleep(wait)
                wait = min(1.5 * wait, _LONGEST_WAIT)
        return run

    @asynccontextmanager
    async def thread(self, thread_id: str) -> AsyncIterator[None]:
        """Keep runs off a LangGraph thread while the program itself uses it: `async with scheduler.thread(chat_id): …`.

        It waits until no run is running there, in whichever process, and for whoever else in this program is in such a
        block. Inside, this scheduler starts no run on the thread: what is due waits, and starts afterwards. Others on
        the same store know nothing of it. A run that waits there for an answer keeps its place, but a new input to
        the graph discards its question, as LangGraph does. In a run on the same thread it would wait for itself.

        Raises `ValueError` for what is no thread's id, and `StoreError` if the store cannot be read.
        """
        check_thread_id(thread_id)
        is_in_use = partial(self._store.is_thread_in_use, thread_id)
        try:
            async with self._held_threads.hold(thread_id):
                if self.scheduler.running:
                    # In the thread of the passes: one that is in progress may not have seen that the thread is held.
                    await asyncio.get_running_loop().run_in_executor(self._pass_thread.executor, is_in_use)
                wait = _SHORTEST_WAIT
                while await in_thread(is_in_use):
                    await asyncio.sleep(wait)
                    wait = min(1.5 * wait, _LONGEST_WAIT)
                yield
        finally:
            self.scheduler.wakeup()

    async def forget_session(self, *, session_id: str | None = None, task_id: str | None = None) -> str:
        """Delete a conversation, of a session or of a task, from the savers of the graphs that use it.

        Their next runs begin a new one. On LangGraph servers the thread is deleted. Tasks, runs and their answers stay.
        Returns the thread's id.

        Raises:
            TaskNotFoundError: no task has this id.
            ValueError: not exactly one of the two is given; a run is open there (cancel it first, or wait for its end);
                each run of the task has a conversation of its own; the task's is one of the program's own; or no graph
                keeps conversations.
            GraphError: the graph cannot be loaded.
            StoreError: the store cannot be read.
        """
        thread_id, graphs = await in_thread(self._conversation, session_id, task_id)
        async with self._held_threads.hold(thread_id):
            open_run = await in_thread(self._store.open_run_on, thread_id)
            if open_run is not None:
                hint = "cancel_run it, or wait for its end"
                raise ValueError(f"conversation {shown(thread_id)}: run {open_run} is open on it; {hint}")
            if not any([await self._runner.delete_thread(thread_id, path) for path in graphs]):
                hint = "give TaskScheduler the checkpointer= that keeps them"
                raise ValueError(f"conversation {shown(thread_id)}: its graph keeps no conversations; {hint}")
        self.scheduler.wakeup()
        return thread_id

    def _conversation(self, session_id: str | None, task_id: str | None) -> tuple[str, list[str | None]]:
        """Return the thread of a session or of a task, and the graphs of the tasks that use it. Raises `ValueError`."""
        if (session_id is None) == (task_id is None):
            raise ValueError("give session_id=… or task_id=…, and not both")
        if task_id is not None:
            task = self.get_task(task_id)
            thread_id = shared_thread(task)
            if thread_id is None:
                hint = "session_retention says how long they are kept"
                raise ValueError(f"Task {task_id}: each of its runs has a conversation of its own; {hint}")
            if task.thread_id is not None:
                hint = "delete it with your own saver"
                raise ValueError(
                    f"Task {task_id}: thread_id={shown(task.thread_id)} is a conversation of the program's; {hint}"
                )
        else:
            thread_id = str(ThreadId(str(session_id)))
        users = [each for each in self._definitions() if shared_thread(each) == thread_id]
        users += [] if task_id is None else [task]
        return thread_id, list(dict.fromkeys(each.graph for each in users)) or [None]

    def cancel_run(self, run_id: str, reason: str | None = None) -> None:
        """Cancel a run: one that is pending or waiting at once, a running one within its process's `poll_interval`.

        That process may be any one on the store. The reason becomes the run's `error`. A graph that ignores its
        cancellation keeps its slot until it returns; its run is `cancelled` then, or `interrupted` if its scheduler
        stops first. To cancel a run that is being cancelled changes nothing.

        Raises:
            RunNotFoundError: no run has this id.
            ValueError: the run is over, or the reason is no text.
            StoreError: nothing was stored.
        """
        check_run_id(run_id)
        if reason is not None:
            check_note(reason=reason)
        self._store.cancel_run(run_id, reason, self._clock.now())
        self.scheduler.wakeup()

    def retry_run(self, run_id: str, from_start: bool = False) -> str:  # noqa: FBT001, FBT002 (may be positional)
        """Run a run that is over again, as a new run with the same prompt and metadata; return the new run's id.

        If its graph has a checkpointer, the new run continues at the step that did not succeed, as long as nothing else
        has written to the thread since. Otherwise, after a success, and with `from_start`, it begins from the
        beginning. `Run.retry_of` links the two, and `scheduled_at` is the time of the call.

        Raises:
            RunNotFoundError: no run has this id.
            TaskNotFoundError: its task was removed.
            ValueError: the run is not over, another run repeats it at present, or the task cannot be used.
            StoreError: nothing was stored.
        """
        check_run_id(run_id)
        new = self._store.retry_run(run_id, self._clock.now(), from_start=bool(from_start))
        self.scheduler.wakeup()
        return new

    def answer_run(self, run_id: str, value: object) -> None:
        """Answer what the graph of a `waiting` run asked; the run continues in whichever process runs this store.

        `value` is the answer, JSON; to several questions, a dict of answers by the ids of `Run.questions`. A `Decision`
        is given to the graph in the shape that its questions take. Where a question says what it takes (by a schema, or
        as LangChain's middleware and Agent Inbox do), other answers are refused. If the graph rejects the answer, the
        run asks again, and `Run.error` says why.

        Raises:
            RunNotFoundError: no run has this id.
            ValueError: the run does not wait, or the answer does not fit its questions.
            StoreError: nothing was stored.
        """
        check_run_id(run_id)
        self._store.answer_run(run_id, value, self._clock.now())
        self.scheduler.wakeup()

    # --- Looking ---

    def list_tasks(self) -> list[dict[str, Any]]:
        """Return the tasks that are not finished, by next due time.

        Each is a dict of `id`, `name`, `next_run` (the next due time in the task's zone as `str(datetime)`, else
        `"paused"`, `"running"`, `"waiting"` or `"error: …"`), `pause_reason`, `problem` (why it cannot run, or cannot
        be loaded by some of the schedulers, else None), `timezone` (the zone in force) and `definition`. Raises
        `StoreError`.
        """
        with gc_control.held_off():
            return [view.as_dict() for view in self.task_views()]

    def task_views(self, *, limit: int | None = None) -> list[TaskView]:
        """Return the tasks that are not finished, by next due time, as objects with types.

        `limit` is how many at most; None: all. Raises `ValueError` for a limit below 1, and `StoreError`.
        """
        if limit is not None:
            check_whole(limit=limit)
        return [view_of(listed) for listed in self._store.list_tasks(self._clock.now(), limit)]

    def task_view(self, task_id: str) -> TaskView:
        """Return one task as an object with types, also one that is finished.

        Raises:
            TaskNotFoundError: no task has this id.
            StoreError: the store cannot be read.
        """
        check_task_id(task_id)
        return view_of(self._store.view_task(task_id, self._clock.now()))

    def find_tasks(  # noqa: PLR0913 (keywords, each with a default)
        self,
        *,
        tag: str | None = None,
        search: str | None = None,
        state: TaskState | str | None = None,
        source: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> list[TaskView]:
        """Return at most `limit` tasks, ordered by id; a page stays in order while tasks come and go.

        Args:
            tag: only tasks that have this tag.
            search: only tasks whose id, name or prompt (its first 2,000 characters) contains this text, in any case.
            state: only tasks that are doing this, such as `"paused"`; `"finished"` for those that have no due time
                left, which are not found otherwise.
            source: only tasks that this has brought; see `apply_tasks`.
            after: only ids that come after this one: give the last id of a page to get the next one.
            limit: the size of a page.

        Raises:
            ValueError: an argument is none of these, such as a state that there is not.
            StoreError: the store cannot be read.
        """
        check_whole(limit=limit)
        if source is not None:
            check_source(source)
        wanted = TaskFilter(
            limit=limit,
            tag=None if tag is None else check_tag(tag),
            search=None if search is None else check_search(search),
            state=None if state is None else choice(TaskState, state=state),
            source=source,
            after=None if after is None else check_page_end(after),
        )
        return [view_of(listed) for listed in self._store.find_tasks(wanted, self._clock.now())]

    def check_tasks(self) -> dict[str, str]:
        """Look again at all tasks: read their definitions, and import in this process what they name.

        Returns what is wrong, by the id of the task. Every scheduler on the store tries again at its next pass what it
        could not load, and tasks that are quarantined come due again, unless their stored row is still damaged. Raises
        `StoreError`.
        """
        importlib.invalidate_caches()  # what was missing may have been installed since
        self._store.look_again()
        self.scheduler.wakeup()
        found = {listed.id: self._problem_of(listed) for listed in self._store.list_tasks()}
        return {task_id: problem for task_id, problem in found.items() if problem is not None}

    def _problem_of(self, listed: Listed) -> str | None:
        if listed.definition is None:
            return listed.trouble
        try:
            self._runner.check(listed.definition)
        except InvalidTaskError as error:
            return str(error)
        return None

    def get_task(self, task_id: str) -> TaskDefinition:
        """Return the definition of a task, also of one that is finished.

        Raises:
            TaskNotFoundError: no task has this id.
            StoreError: the store cannot be read.
        """
        check_task_id(task_id)
        return self._store.get_task(task_id)

    def get_run(self, run_id: str) -> Run:
        """Return a run of the history, as `trigger_task` and `list_runs` give its id.

        Raises:
            RunNotFoundError: no run has this id, or it was too old to be kept.
            StoreError: the store cannot be read.
        """
        check_run_id(run_id)
        return self._store.get_run(run_id, self._clock.now())

    def find_run(self, reference: str) -> Run:
        """Return the run that a person names: `digest#42`, `digest#last`, its id, or the beginning of its id.

        The number is `Run.number`, after the id of the task; a beginning has six characters or more.

        Raises:
            RunNotFoundError: no run is meant, or it was too old to be kept.
            TaskNotFoundError: no task has the id before the `#`.
            AmbiguousRunError: several ids begin so; a `ValueError` that names the newest of them.
            StoreError: the store cannot be read.
        """
        check_run_id(reference)
        return self._store.find_run(reference, self._clock.now())

    def get_response(self, run_id: str) -> str | None:
        """Return the whole response of a run, up to `response_limit`; `Run.response` has its first 2,000 characters.

        Raises what `get_run` raises.
        """
        check_run_id(run_id)
        return self._store.get_response(run_id)

    def list_runs(  # noqa: PLR0913 (keywords, each with a default)
        self,
        task_id: str | None = None,
        *,
        status: RunStatus | str | None = None,
        statuses: Iterable[RunStatus | str] | None = None,
        tag: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[Run]:
        """Return at most `limit` runs, newest first.

        Args:
            task_id: only runs of this task; None: of all tasks.
            status: only runs of this status; `statuses`: of any of these.
            tag: only runs of tasks that have this tag, or had it when they were removed.
            since: an aware datetime; only runs whose `scheduled_at` does not lie before it.
            until: the same; only runs whose `scheduled_at` lies before it.
            before: only runs that come after this one in the listing: give the last id of a page to get the next one.
            limit: the size of a page.

        Raises:
            ValueError: an argument is none of these, such as a status that there is not or a naive datetime.
            StoreError: the store cannot be read.
        """
        check_task_filter(task_id)
        check_whole(limit=limit)
        if before is not None:
            check_run_id(before)
        wanted = RunFilter(
            limit=limit,
            task_id=task_id,
            tag=None if tag is None else check_tag(tag),
            statuses=_statuses(status, statuses),
            since=None if since is None else micros_of(since=since),
            until=None if until is None else micros_of(until=until),
            before=before,
        )
        if statuses is not None and not wanted.statuses:
            return []
        return self._store.list_runs(wanted, self._clock.now())

    def now(self) -> datetime:
        """Return the present instant in UTC, by the clock that decides what is due."""
        return to_datetime(self._clock.now())

    def running_schedulers(self) -> int:
        """Return how many schedulers run on this store, in this process and in others, on any machine.

        One that was killed is noticed at once from the same machine, from another one when its lease
        (`lease_seconds`) is over. Raises `StoreError`.
        """
        return self._store.running_schedulers(self._clock.now())

    def add_listener(self, callback: Callback, events: Iterable[EventKind | str] | None = None) -> Listener:
        """Send an async function the events of this scheduler from now on, one after another.

        An event is a `RunEvent` about a run, or a `TaskEvent` about a task. Each listener has a queue and a task of its
        own, so a slow one delays neither runs nor other listeners; of more than 1,000 events that wait for it, the
        oldest are dropped. What it raises is logged. `stop()` gives the listeners 2 s for what is queued. An event is
        sent when it is stored already, so that `get_run` shows it. There are none of what other processes do, nor of
        what calls such as `pause_task` and `remove_task` do to tasks, and to runs that wait.

        Args:
            callback: is called as `await callback(event)`, on the loop of the scheduler.
            events: which kinds of events it wants, such as `["failed", "paused"]` or `TaskEventKind`; None: all.

        Returns:
            what removes it again: `listener.remove()`.

        Raises:
            ValueError: it is no async function, or there is no such kind of event.
        """
        return self._observers.add(callback, events)


def _statuses(status: RunStatus | str | None, statuses: Iterable[RunStatus | str] | None) -> tuple[RunStatus, ...]:
    """Return the wanted statuses; none: all."""
    if status is not None and statuses is not None:
        raise ValueError(f"status={shown(status)} and statuses are given; give one of them")
    if statuses is None:
        return () if status is None else (choice(RunStatus, status=status),)
    if isinstance(statuses, str):
        raise ValueError(f"statuses={shown(statuses)} is one text; give a list, such as [{statuses!r}]")  # noqa: TRY004 (like every other refusal)
    return tuple(sorted({choice(RunStatus, statuses=each) for each in statuses}))


def _is_file_that_is_gone(source: str) -> bool:
    """Tell whether a source is a file that certainly does not exist: not one that this user may not see."""
    if not Path(source).is_absolute():
        return False
    try:
        Path(source).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        pass
    return False

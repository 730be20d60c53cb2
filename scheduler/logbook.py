"""Every line that this package logs, worded once: others say what happened, this says how it reads.

The logger is `scheduler`. The library never configures logging; prompts and metadata are never logged. One record is
one line, followed by the indented lines of a traceback: no text from outside, such as a model's answer, looks like a
record of its own.

Each record has an `action`, the name of the function here that made it, and a `task_id` and a `run_id` (None where it
is about no single one), for programs that filter or count. The names are public: `docs/observing.md` lists them.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from scheduler import _containment
from scheduler._safe_text import ERROR_LIMIT, can_be_printed, error_text, message_text, traceback_text
from scheduler._texts import escaped
from scheduler.timing.clock import to_datetime

_IDS: Final = ("task_id", "run_id")
_LONGEST: Final = 2_000
"""A longer text is cut."""


class _Logger:
    """The program's logger. What its handlers, filters and formatters raise stops neither passes nor runs.

    Texts are escaped and cut here, before any handler has them. A record with an exception brings its traceback as
    text, which formatters take instead of formatting it themselves.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, message: str, *values: object, **ids: str | None) -> None:
        self._log(logging.DEBUG, message, values, ids)

    def info(self, message: str, *values: object, **ids: str | None) -> None:
        self._log(logging.INFO, message, values, ids)

    def warning(self, message: str, *values: object, **ids: str | None) -> None:
        self._log(logging.WARNING, message, values, ids)

    def error(self, message: str, *values: object, exc_info: BaseException | None = None, **ids: str | None) -> None:
        self._log(logging.ERROR, message, values, ids, exc_info)

    def _log(
        self,
        level: int,
        message: str,
        values: tuple[object, ...],
        ids: Mapping[str, str | None],
        error: BaseException | None = None,
    ) -> None:
        try:
            if self._logger.isEnabledFor(level):
                self._logger.handle(self._record(level, message, values, ids, error))
        except BaseException as raised:  # where a log cannot be written, nobody can be notified
            if _containment.must_pass(raised):
                raise

    def _record(
        self,
        level: int,
        message: str,
        values: tuple[object, ...],
        ids: Mapping[str, str | None],
        error: BaseException | None,
    ) -> logging.LogRecord:
        exc_info = None
        if error is not None and can_be_printed(error):
            exc_info = (type(error), error, error.__traceback__)
        elif error is not None:  # whoever has the exception itself would print it, so only its text is in the record
            message, values = f"{message}: %s", (*values, error_text(error, ERROR_LIMIT))
        file, line, function, _ = self._logger.findCaller(stacklevel=4)
        safe = tuple(_safe(value) for value in values)
        extra = {"action": function, **{name: _safe_id(ids.get(name)) for name in _IDS}}
        record = self._logger.makeRecord(
            self._logger.name, level, file, line, message, safe, exc_info, function, extra=extra
        )
        if error is not None:
            record.exc_text = traceback_text(error)
        return record


def _safe_id(value: str | None) -> object:
    return None if value is None else _safe(value)


def _safe(value: object) -> object:
    """Return what stands for a value in a record: a number as it is, anything else as text on one line."""
    if isinstance(value, int | float):
        return value
    text = message_text(value, _LONGEST) if isinstance(value, BaseException) else str(value)[:_LONGEST]
    return escaped(text)


_logger: Final = _Logger("scheduler")
_SHOWN: Final = 200
"""So many characters of a response are logged."""
_NAMED: Final = 5
"""So many tasks with the same problem are named."""


def scheduler_started(max_concurrent_runs: int, store: str) -> None:
    """Say that the scheduler runs."""
    _logger.info("Scheduler started: store %s, at most %d runs at once", store, max_concurrent_runs)


def scheduler_stopping(running: int, grace_seconds: float) -> None:
    """Say that firing has ended."""
    _logger.info("Scheduler stopping: %d runs still running, grace %g s", running, grace_seconds)


def scheduler_stopped() -> None:
    """Say that the drain is done."""
    _logger.info("Scheduler stopped")


def run_started(task_name: str, task_id: str, run_id: str, attempt: int) -> None:
    """Say that an attempt begins."""
    _logger.debug(
        "Task %s (%s) started: run %s, attempt %d", task_name, task_id, run_id, attempt, task_id=task_id, run_id=run_id
    )


def run_resumed(task_name: str, task_id: str, run_id: str) -> None:
    """Say that an attempt continues from a checkpoint."""
    _logger.info("Task %s (%s) continues: run %s", task_name, task_id, run_id, task_id=task_id, run_id=run_id)


def run_waiting(task_name: str, task_id: str, run_id: str, questions: int) -> None:
    """Say that the graph asked a human."""
    _logger.info(
        "Task %s (%s) waits for an answer: run %s, %d questions",
        task_name,
        task_id,
        run_id,
        questions,
        task_id=task_id,
        run_id=run_id,
    )


def thread_not_deleted(thread_id: str, error: BaseException) -> None:
    """Say that a thread that was to be deleted is still there."""
    text = error_text(error, ERROR_LIMIT)
    _logger.error("Thread %s could not be deleted, and is tried again: %s", thread_id, text)


def not_thinned_out(thread_id: str, error: BaseException) -> None:
    """Say that the checkpoints of a thread are all still there."""
    text = error_text(error, ERROR_LIMIT)
    _logger.warning("Thread %s: its old checkpoints were not deleted: %s", thread_id, text)


def run_succeeded(task_name: str, task_id: str, run_id: str, response: str) -> None:
    """Say that the graph returned, with the beginning of its response."""
    text = "Task %s completed. Response: %s"
    _logger.info(text, task_name, response[:_SHOWN], task_id=task_id, run_id=run_id)


def run_failed(task_name: str, task_id: str, run_id: str, error: BaseException) -> None:
    """Say that the graph raised."""
    _logger.error(
        "Task %s (%s) failed: run %s", task_name, task_id, run_id, exc_info=error, task_id=task_id, run_id=run_id
    )


def run_timed_out(task_name: str, task_id: str, run_id: str, seconds: float) -> None:
    """Say that an attempt took too long."""
    _logger.error(
        "Task %s (%s) timed out after %g s: run %s", task_name, task_id, seconds, run_id, task_id=task_id, run_id=run_id
    )


def run_ended_by_server(task_name: str, task_id: str, run_id: str, status: str, error: BaseException) -> None:
    """Say that an attempt ended without a result on a server; where in our code that was noticed helps nobody."""
    _logger.error(
        "Task %s (%s) %s: run %s: %s", task_name, task_id, status, run_id, error, task_id=task_id, run_id=run_id
    )


def graph_not_made(error: BaseException) -> None:
    """Say that no run starts on the scheduler's graph, which a function was to make."""
    _logger.error("The scheduler's graph is not there, and no run on it starts: %s", error_text(error, ERROR_LIMIT))


def graph_not_left(error: BaseException) -> None:
    """Say that what a graph was made with could not be closed."""
    _logger.warning("The context manager that made a graph raised when it was left: %s", error_text(error, ERROR_LIMIT))


def server_not_ready(problem: str) -> None:
    """Say that runs would fail on the scheduler's server now."""
    _logger.warning("The graph's server is not ready, and runs fail until it is: %s", problem)


def run_interrupted(task_id: str, run_id: str) -> None:
    """Say that a run was cut off by the scheduler's stop."""
    _logger.warning(
        "Task %s interrupted: run %s was still running when the scheduler stopped",
        task_id,
        run_id,
        task_id=task_id,
        run_id=run_id,
    )


def run_cancelled(task_id: str, run_id: str, reason: str) -> None:
    """Say that a run was cancelled."""
    _logger.info("Task %s cancelled: run %s: %s", task_id, run_id, reason, task_id=task_id, run_id=run_id)


def run_will_not_end(task_id: str, run_id: str) -> None:
    """Say that a run continues although it was cancelled."""
    _logger.error(
        "Task %s does not end although it was cancelled: run %s is given up",
        task_id,
        run_id,
        task_id=task_id,
        run_id=run_id,
    )


def run_recovered(run_id: str) -> None:
    """Say that a run of a dead process was found."""
    _logger.warning("Run %s was interrupted: its process is gone", run_id, run_id=run_id)


def run_taken_over(run_id: str) -> None:
    """Say that another process declared a run of this one dead."""
    _logger.error(
        "Run %s was taken over by another process while this one was suspended; it is cancelled here",
        run_id,
        run_id=run_id,
    )


def loop_blocked(seconds: float, kept_for: float) -> None:
    """Say that the event loop is blocked for longer than the lease."""
    text = (
        "The event loop has not responded for %.1f s, as when an async function calls something that blocks. "
        "This process keeps its runs until it has not responded for %g s"
    )
    _logger.warning(text, seconds, kept_for)


def lease_given_up(seconds: float) -> None:
    """Say that the lease of a process that hangs is not renewed any more."""
    text = "The event loop has not responded for %.1f s. Other processes take over the runs of this one"
    _logger.error(text, seconds)


def lease_not_renewed(error: BaseException) -> None:
    """Say that a renewal of the lease ended in a way that nobody foresaw."""
    _logger.error("The lease could not be renewed, and is tried again", exc_info=error)


def outcome_refused(task_id: str, run_id: str, status: str) -> None:
    """Say that an outcome came too late to be written."""
    _logger.warning(
        "Task %s: run %s ended as %s here, but it is another process's by now",
        task_id,
        run_id,
        status,
        task_id=task_id,
        run_id=run_id,
    )


def outcome_replaced(task_id: str, run_id: str, status: str, reason: str) -> None:
    """Say that the database refused an outcome, and has a failure in its place."""
    _logger.error(
        "Task %s: run %s ended as %s and is stored as failed, since %s",
        task_id,
        run_id,
        status,
        reason,
        task_id=task_id,
        run_id=run_id,
    )


def outcome_unwritten(task_id: str, run_id: str, status: str, reason: str) -> None:
    """Say that the database refused an outcome, and the failure in its place, too."""
    text = "Task %s: run %s ended as %s, which cannot be stored; the next start finds it interrupted: %s"
    _logger.error(text, task_id, run_id, status, reason, task_id=task_id, run_id=run_id)


def run_unreadable(run_id: str, error: BaseException) -> None:
    """Say that listeners are not notified about a run, because its row cannot be read."""
    _logger.error("Run %s cannot be read from the store, and no event is sent for it: %s", run_id, error, run_id=run_id)


def outcomes_left(number: int, file: str, error: BaseException) -> None:
    """Say that the last outcomes are in a file beside the store."""
    text = "%d outcomes could not be written (%s); they are in %s, and the next scheduler that finds them writes them"
    _logger.warning(text, number, error, file)


def left_outcomes_written(file: str, written: int, number: int) -> None:
    """Say that the outcomes of an earlier stop are in the store now, but for those that came too late."""
    _logger.warning("%d of %d outcomes in %s were written, and the file is deleted", written, number, file)


def left_outcomes_ignored(file: str, reason: str) -> None:
    """Say that a file with outcomes cannot be used."""
    _logger.error("The outcomes in %s are ignored: %s. Delete the file when you have looked at it", file, reason)


def outcomes_not_left(error: BaseException) -> None:
    """Say that the last outcomes could not be left in a file beside the store."""
    _logger.error("The last outcomes could not be left in a file beside the store: %s", error)


def outcomes_unwritten(number: int, error: BaseException) -> None:
    """Say that the last outcomes could not be stored."""
    _logger.error("%d outcomes could not be written (%s); the next start finds those runs interrupted", number, error)


def due_times_not_started(  # noqa: PLR0913 (what the line says)
    task_name: str, task_id: str, *, status: str, number: int, last: int, reason: str
) -> None:
    """Say that due times were skipped or missed."""
    moment = to_datetime(last).isoformat()
    text = "Task %s (%s) %s: %d due times up to %s: %s"
    _logger.warning(text, task_name, task_id, status, number, moment, reason, task_id=task_id)


def callback_failed(task_name: str, task_id: str, error: BaseException) -> None:
    """Say that a result callback raised."""
    _logger.error("Task %s (%s): result_callback failed", task_name, task_id, exc_info=error, task_id=task_id)


def source_adopted(source: str, earlier: str) -> None:
    """Say that the tasks of one source belong to another one now."""
    _logger.warning("Source %s: the tasks of %s belong to it now", source, earlier)


def source_orphaned(task_id: str, file: str) -> None:
    """Say that the file that brought a task is gone."""
    hint = "remove it, or adopt it with its file as a further source"
    _logger.warning("Task %s: its file %s does not exist here; %s", task_id, file, hint, task_id=task_id)


def no_steps(task_name: str, task_id: str, graph: str) -> None:
    """Say that the steps of a task cannot be seen although it asks for it."""
    _logger.warning(
        "Task %s (%s) has stream=True, and its graph, a %s, does not stream", task_name, task_id, graph, task_id=task_id
    )


def listener_is_slow(name: str, limit: int) -> None:
    """Say that a listener does not keep up; said once."""
    _logger.warning("Listener %s is too slow: more than %d events wait, and the oldest are dropped", name, limit)


def listener_failed(name: str, kind: str, subject: str, error: BaseException) -> None:
    """Say that a listener raised."""
    _logger.error("Listener %s failed at %s of %s", name, kind, subject, exc_info=error)


def telemetry_failed(error: BaseException) -> None:
    """Say that a span or a metric could not be given to OpenTelemetry."""
    _logger.error("OpenTelemetry failed; the run is not affected", exc_info=error)


def event_not_sent(task_id: str, run_id: str, error: BaseException) -> None:
    """Say that APScheduler's listeners were not notified of the end of a run."""
    _logger.error(
        "Task %s: listeners of APScheduler hear nothing of run %s",
        task_id,
        run_id,
        exc_info=error,
        task_id=task_id,
        run_id=run_id,
    )


def events_undelivered(name: str, number: int, seconds: float) -> None:
    """Say that a listener was not done when the scheduler stopped."""
    _logger.warning("Listener %s was not done %g s after the stop: %d events are dropped", name, seconds, number)


def task_left_out(task_id: str, reason: str) -> None:
    """Say that a task was not added because it has no due time left."""
    _logger.warning("Task %s is left out: %s", task_id, reason, task_id=task_id)


def calendar_followed(task_id: str) -> None:
    """Say that a stored task has another calendar now."""
    _logger.info("Task %s: its calendar was changed, and the task follows it", task_id, task_id=task_id)


def task_quarantined(task_id: str, problem: str) -> None:
    """Say that the row of a task is damaged."""
    _logger.error("Task %s is quarantined until it is added again: %s", task_id, problem, task_id=task_id)


def task_paused(task_id: str, reason: str) -> None:
    """Say that a task was paused because of `pause_after_failures`."""
    _logger.error("Task %s is paused: %s", task_id, reason, task_id=task_id)


def task_resumed(task_id: str) -> None:
    """Say that the pause of a task has ended by itself."""
    _logger.info("The pause of task %s has ended", task_id, task_id=task_id)


def web_token_made(token: str) -> None:
    """Say which token the web view asks for, where the program has set none."""
    _logger.warning(
        "The web view asks for a token, which this process has made: open its address with ?token=%s", token
    )


def web_action(user: str, action: str, task_id: str, run_id: str | None) -> None:
    """Say who has done what in the web view."""
    _logger.info(
        "Web view: %s by %s: task %s, run %s", action, user, task_id, run_id or "-", task_id=task_id, run_id=run_id
    )


def web_page_failed(error: BaseException) -> None:
    """Say that a page could not be made."""
    _logger.error("Web view: a page failed", exc_info=error)


def task_expires(task_id: str, reason: str) -> None:
    """Say that a task will be finished soon."""
    _logger.info("Task %s expires soon: %s", task_id, reason, task_id=task_id)


def run_expires(task_id: str, run_id: str, end: int) -> None:
    """Say that nobody has answered a waiting run yet."""
    moment = to_datetime(end).isoformat()
    _logger.warning(
        "Task %s waits for an answer: run %s is cancelled at %s",
        task_id,
        run_id,
        moment,
        task_id=task_id,
        run_id=run_id,
    )


def tasks_not_loaded(problems: Iterable[tuple[str, str]]) -> None:
    """Say which tasks cannot be loaded in this process, once for each problem."""
    tasks: dict[str, list[str]] = {}
    for task_id, problem in problems:
        tasks.setdefault(problem, []).append(task_id)
    for problem, ids in tasks.items():
        named = f"Task {ids[0]}" if len(ids) == 1 else f"Tasks {', '.join(ids[:_NAMED])}"
        more = f" and {len(ids) - _NAMED} others" if len(ids) > _NAMED else ""
        text = "%s%s cannot be loaded here: %s (left to other processes, and tried again from time to time)"
        _logger.error(text, named, more, problem, task_id=ids[0] if len(ids) == 1 else None)


def task_loaded_again(task_id: str) -> None:
    """Say that a task can be loaded that could not before."""
    _logger.warning("Task %s can be loaded here again", task_id, task_id=task_id)


def store_failed(error: BaseException) -> None:
    """Say that the store cannot be used; said once an outage."""
    _logger.error("The store cannot be used, and is tried again until it can: %s", error)


def store_recovered(seconds: float) -> None:
    """Say that the store can be used again."""
    _logger.warning("The store can be used again after %.1f s", seconds)


def pass_failed(error: BaseException) -> None:
    """Say that a pass ended in a way that nobody foresaw."""
    _logger.error("A pass failed, and is tried again", exc_info=error)


def waiting_for_runs() -> None:
    """Say that a signal was received, and what a second one does."""
    _logger.info("Waiting for running tasks to end; press Ctrl+C again to stop at once")


def stopping_at_once() -> None:
    """Say that a second Ctrl+C was received."""
    _logger.warning("Stopping at once")


def tasks_applied(file: str, *, added: int, changed: int, kept: int, removed: int) -> None:
    """Say what came of applying a tasks file."""
    text = "%s applied: %d added, %d changed, %d kept, %d removed"
    _logger.info(text, file, added, changed, kept, removed)


def edit_waits_for_store(error: BaseException) -> None:
    """Say that an edit of a tasks file cannot be applied before the store can be used; said once an edit."""
    _logger.error("The tasks stay as they were until the store can be used: %s", error)


def edit_refused(error: BaseException) -> None:
    """Say what is wrong with an edit of a tasks file."""
    _logger.error("The tasks stay as they were: %s", error)


def edit_failed(error: BaseException) -> None:
    """Say that applying an edit ended in a way that nobody foresaw."""
    _logger.error("The tasks stay as they were", exc_info=error)


def watching_without_reports(file: str, seconds: float, error: BaseException) -> None:
    """Say that the system does not report edits of a file; said once."""
    _logger.warning("%s: the system does not report edits (%s); the file is looked at every %g s", file, error, seconds)


def tool_store_failed(error: BaseException) -> None:
    """Say that an agent's tool could not use the store; the agent sees no details."""
    _logger.error("A tool of an agent cannot use the store: %s", error)

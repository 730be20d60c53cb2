"""What people do with single runs: cancel one that is open, repeat one that is over."""

from typing import Any, Final

from sqlalchemy import bindparam, select, update

from scheduler.errors import RunNotFoundError
from scheduler.models import OPEN_STATUSES, RunStatus, RunTrigger, TaskDefinition
from scheduler.store import history, queue
from scheduler.store import tasks as task_rows
from scheduler.store.database.statements import Connection, Query, Statement
from scheduler.store.rows import RunRow
from scheduler.store.schema import IS_PENDING, IS_RUNNING, IS_WAITING, is_open, runs

BY_HAND: Final = "cancelled by cancel_run"
"""The reason in runs for which nobody has given another one."""
_HAS_CHECKPOINT: Final = frozenset({RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.CANCELLED, RunStatus.INTERRUPTED})
"""How a run ends that may have a checkpoint from which it could continue."""


_BY_ID: Final = Query(RunRow, lambda: select(runs).where(runs.c.id == bindparam("run")))
_WAITS: Final = Query(
    task_rows.CancellableRun,
    lambda: task_rows.cancellable((runs.c.id == bindparam("run")) & (IS_PENDING | IS_WAITING)),
)
_ASK_OWNER: Final = Statement(
    lambda: (
        update(runs)
        .where(runs.c.id == bindparam("run"), IS_RUNNING, runs.c.cancel_reason.is_(None))
        .values(cancel_requested=1, cancel_reason=bindparam("reason"))
    )
)


def cancel(connection: Connection, run_id: str, reason: str | None, now: int) -> None:
    """Cancel a run that waits, or ask the owner of one that is running to cancel it.

    Raises `RunNotFoundError`, and `ValueError` if the run is over.
    """
    row = _run(connection, run_id)
    if row.status not in OPEN_STATUSES:
        message = f"Run {run_id}: it is {row.status} already, and cannot be cancelled"
        raise ValueError(f"{message}; list_runs(status='running') shows what is running")
    why = reason or BY_HAND
    if row.status == RunStatus.RUNNING:
        connection.execute(_ASK_OWNER, {"run": run_id, "reason": why})
        return
    waiting = connection.execute(_WAITS, {"run": run_id}).all()
    # Of a task whose row is gone there is no more than the run.
    task_rows.finish_if_over(connection, task_rows.cancel(connection, waiting, now, why), now)


_REPEATING: Final = Query(
    RunRow,
    lambda: select(runs).where(runs.c.task_id == bindparam("task"), is_open(), runs.c.retry_of == bindparam("run")),
)


def retry(connection: Connection, run_id: str, now: int, history_limit: int, *, from_start: bool) -> str:
    """Add a run that repeats one that is over; return its id.

    Raises `RunNotFoundError`, `TaskNotFoundError`, and `ValueError` if the run is not over, is being repeated already,
    or its task cannot be used.
    """
    row = _run(connection, run_id)
    if row.status in OPEN_STATUSES:
        message = f"Run {run_id}: it is {row.status}, and only a run that is over can be repeated"
        raise ValueError(f"{message}; wait for its end, or cancel it with cancel_run")
    task_row = task_rows.present(connection, row.task_id)
    task_rows.look_again(connection, task_row)
    task = task_rows.definition_of(task_row)
    for other in connection.execute(_REPEATING, {"task": row.task_id, "run": run_id}):
        raise ValueError(f"Run {run_id}: run {other.id} repeats it already, and is {other.status}; wait for its end")
    values: dict[str, Any] = {
        "trigger": RunTrigger.RETRY,
        "retry_of": run_id,
        "prompt": row.prompt,
        "metadata": row.metadata,
    }
    if not from_start and _can_continue(row, task):
        history.keep_thread(connection, run_id, None)  # from now on it is the thread of the new run
        values |= {"thread_id": row.thread_id, "continues": " ".join(filter(None, [run_id, row.continues]))}
        values["checkpointed"] = 1
    return queue.add(connection, task, task_row.last_seq, now, history_limit, values)


def _can_continue(row: RunRow, task: TaskDefinition) -> bool:
    """Tell whether a run may have left a checkpoint at the step that did not succeed."""
    return bool(row.checkpointed) and row.status in _HAS_CHECKPOINT and row.attempt > 0 and not task.retry_from_start


def _run(connection: Connection, run_id: str) -> RunRow:
    row = connection.execute(_BY_ID, {"run": run_id}).first()
    if row is None:
        raise RunNotFoundError(run_id)
    return row

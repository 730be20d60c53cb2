"""How attempts end in the runs table: outcomes, retries, runs that are taken back, and runs of owners that are gone."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from sqlalchemy import BigInteger, ColumnElement, Integer, Select, Text, and_, bindparam, func, select, update
from sqlalchemy.types import TypeEngine

from scheduler.errors import RunNotFoundError
from scheduler.models import Attempt, Question, RunStatus, RunTrigger, TaskDefinition, TokenUsage
from scheduler.store import history, responses
from scheduler.store import tasks as task_rows
from scheduler.store.answers import answers_json
from scheduler.store.claims import CANCELLED_BY_NEXT, Claim
from scheduler.store.database.statements import Bulk, Connection, Query, Statement, parameter
from scheduler.store.expiring import warning_time
from scheduler.store.failures import FAILURES, count_failures
from scheduler.store.reading import Unreadable, read
from scheduler.store.rows import RunRow
from scheduler.store.schema import IS_PENDING, IS_RUNNING, IS_WAITING, runs, tasks
from scheduler.timing.clock import SECOND, to_datetime
from scheduler.timing.planning import longest_retry_delay, retry_delay

STOPPED: Final = "the scheduler was stopped"
"""The reason that stands in attempts which the stop of their scheduler ended."""
RESTART_LIMIT: Final = 10
"""How often a run that makes no progress gets another attempt after an interruption.

A run may be what kills or stops its process, such as an agent that updates its own service; it must end some day.
"""

_SHORT_WAIT: Final = 10 * SECOND
"""Of a wait that is shorter nobody is warned: not a second would be left."""
_NOBODY: Final = "nobody answered within expire_waiting_after_seconds"
_MAY_GO_ON: Final = FAILURES | {RunStatus.INTERRUPTED}


@dataclass(slots=True)
class Outcome:
    """How an attempt ended; `PENDING` says that it was claimed and never launched. Like a claim, it is not changed."""

    claim: Claim
    status: RunStatus
    finished_at: int
    response: str | None = None
    """What the graph answered, up to the scheduler's limit."""
    error: str | None = None
    exception: BaseException | None = None
    """What the graph raised, for those who listen in this process."""
    questions: tuple[Question, ...] = ()
    """What the graph asks, for `WAITING`."""
    resumed: bool = False
    """Whether the attempt continued from a checkpoint."""
    is_last: bool = False
    """Whether there is no further attempt whatever the task grants: there is nothing to continue."""
    usage: TokenUsage | None = None
    """The tokens that the run used up to here, where more is known than its claim's meter has counted."""

    @property
    def known_usage(self) -> TokenUsage | None:
        """The tokens that the run used up to here, as far as is known."""
        return self.usage or self.claim.meter.usage

    @property
    def short_response(self) -> str | None:
        """The beginning of the response, which stands with the run."""
        return None if self.response is None else self.response[: responses.SHORT]


@dataclass(slots=True)
class Finished:
    """What came of writing how attempts ended."""

    lost: list[Outcome]
    """Those that came too late: the run belongs to another attempt by now."""
    paused: list[tuple[str, str]]
    """Tasks that were paused by their failures, each with the reason."""


class _RunOfTask(NamedTuple):
    """A run, and what is asked of its task."""

    id: str
    task_id: str
    scheduled_at: int
    started_at: int
    attempt: int
    coalesced: int
    trigger: str
    thread_id: str
    checkpointed: int
    cancel_requested: int
    cancel_reason: str | None
    earlier_attempts: str | None
    definition: str
    zone: str
    removed: int


def _with_task(condition: ColumnElement[bool]) -> Select[Any]:
    columns = [
        tasks.c[name] if name in {"definition", "zone", "removed"} else runs.c[name] for name in _RunOfTask._fields
    ]
    return select(*columns).join(tasks, tasks.c.id == runs.c.task_id).where(condition)


_TAKE_BACK: Final = Bulk(
    lambda given: (
        update(runs)
        .where(_mine(given))
        .values(status=RunStatus.PENDING, owner=None, started_at=None, attempt=runs.c.attempt - 1)
    )
)


Chance: TypeAlias = Callable[[], float]
"""Returns a random number from 0 to 1."""


def finish(connection: Connection, owner: str, outcomes: Sequence[Outcome], now: int, chance: Chance) -> Finished:
    """Write how attempts ended; `chance` varies how long the next attempts wait."""
    final = []
    for outcome in outcomes:
        if outcome.status is RunStatus.PENDING:
            connection.execute_many(_TAKE_BACK, [_key(owner, outcome)])
            _cancel_if_requested(connection, [outcome.claim.run_id], now)
            task_rows.cancel_if_removed(connection, outcome.claim.task.id, now)
        elif outcome.status is RunStatus.WAITING:
            final += _wait(connection, owner, outcome, now)
        elif not _goes_on(connection, owner, outcome, now, chance):
            final.append(outcome)
    lost = _write_final(connection, owner, final)
    kept = [outcome for outcome in final if outcome not in lost] if lost else final
    _keep_whole_responses(connection, kept)
    paused = count_failures(connection, kept, now)
    _keep_thread_for_a_while(connection, kept, now)
    task_rows.finish_if_over(connection, dict.fromkeys(outcome.claim.task.id for outcome in kept), now)
    return Finished(lost, paused)


_OWN_RUN: Final = Query(_RunOfTask, lambda: _with_task(_mine(parameter)))


def claim_of(connection: Connection, owner: str, run_id: str, attempt: int) -> Claim | None:
    """Return an attempt as its owner has claimed it; None if it is not the owner's any more, or cannot be read."""
    row = connection.execute(_OWN_RUN, {"run": run_id, "by": owner, "try": attempt}).first()
    task = None if row is None else task_rows.read_definition(row)
    if row is None or task is None:
        return None
    return Claim(
        run_id=row.id,
        task=task,
        scheduled_at=row.scheduled_at,
        attempt=row.attempt,
        coalesced=row.coalesced,
        trigger=RunTrigger(row.trigger),
        thread_id=row.thread_id,
        next_due=None,
        checkpointed=bool(row.checkpointed),
    )


_STEP: Final = Bulk(lambda given: update(runs).where(_mine(given)).values(current_step=given("step")))


def note_steps(connection: Connection, owner: str, steps: Iterable[tuple[Claim, str]]) -> None:
    """Write which step of its graph each streaming run finished last; one that is not this owner's is not changed."""
    values = [{"run": claim.run_id, "by": owner, "try": claim.attempt, "step": step} for claim, step in steps]
    if values:
        connection.execute_many(_STEP, values)


def _key(owner: str, outcome: Outcome) -> dict[str, Any]:
    return {"run": outcome.claim.run_id, "by": owner, "try": outcome.claim.attempt}


_FINISH: Final = Bulk(
    lambda given: (
        update(runs)
        .where(_mine(given))
        .values(
            status=given("state"),
            finished_at=given("end", BigInteger),
            response=given("reply"),
            error=given("problem"),
            resumed=given("continued", Integer),
            owner=None,
            usage=_known_usage(given("tokens")),
        )
    )
)


def _write_final(connection: Connection, owner: str, outcomes: Sequence[Outcome]) -> list[Outcome]:
    if not outcomes:
        return []
    values = [
        {
            **_key(owner, outcome),
            "state": outcome.status,
            "end": outcome.finished_at,
            "reply": outcome.short_response,
            "problem": outcome.error,
            "continued": int(outcome.resumed),
            "tokens": _usage_json(outcome),
        }
        for outcome in outcomes
    ]
    if connection.execute_many(_FINISH, values) == len(values):
        return []
    return [outcome for outcome in outcomes if not _was_written(connection, outcome)]


_WAIT: Final = Statement(
    lambda: (
        update(runs)
        .where(_mine(parameter))
        .values(
            status=RunStatus.WAITING,
            owner=None,
            questions=bindparam("asked"),
            expires_at=bindparam("until"),
            warn_at=bindparam("warn"),
            response=bindparam("reply"),
            resumed=bindparam("continued"),
            error=bindparam("problem"),
            usage=_known_usage(parameter("tokens")),
        )
    )
)


def _wait(connection: Connection, owner: str, outcome: Outcome, now: int) -> list[Outcome]:
    """Let a run wait for its answers; return what becomes of it instead if it was to be cancelled, or is lost."""
    row = connection.execute(_OWN_RUN, _key(owner, outcome)).first()
    if row is None or row.cancel_requested:
        reason = None if row is None else row.cancel_reason
        return [replace(outcome, status=RunStatus.CANCELLED, error=reason or CANCELLED_BY_NEXT)]
    since, most = _since(outcome, now), outcome.claim.task.expire_waiting_after_seconds
    until = None if most is None else since + round(most * SECOND)
    values = {
        **_key(owner, outcome),
        "asked": history.questions_json(outcome.questions),
        "problem": outcome.error,
        "until": until,
        "warn": None if until is None or until - since < _SHORT_WAIT else warning_time(since, until),
        "reply": outcome.short_response,
        "continued": int(outcome.resumed),
        "tokens": _usage_json(outcome),
    }
    connection.execute(_WAIT, values)
    _keep_whole_responses(connection, [outcome])
    task_rows.cancel_if_removed(connection, outcome.claim.task.id, outcome.finished_at)
    return []


def _keep_whole_responses(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """Store the responses that are longer than what stands with their runs."""
    again = [outcome.claim.run_id for outcome in outcomes if outcome.claim.attempt > 1]
    whole = {outcome.claim.run_id: outcome.response for outcome in outcomes if outcome.response is not None}
    responses.store(connection, whole, again)


def _keep_thread_for_a_while(connection: Connection, outcomes: Iterable[Outcome], now: int) -> None:
    """Note when the threads of single runs are to be deleted."""
    for outcome in outcomes:
        claim = outcome.claim
        if claim.checkpointed:
            history.keep_own_thread(connection, claim.task, claim.run_id, claim.thread_id, _since(outcome, now))


def _usage_json(outcome: Outcome) -> str | None:
    usage = outcome.known_usage
    return None if usage is None else usage.model_dump_json()


_BY_ID: Final = Query(RunRow, lambda: select(runs).where(runs.c.id == bindparam("run")))


def _was_written(connection: Connection, outcome: Outcome) -> bool:
    row = connection.execute(_BY_ID, {"run": outcome.claim.run_id}).first()
    return row is not None and (row.status, row.attempt) == (outcome.status, outcome.claim.attempt)


# --- Further attempts ---


def _goes_on(connection: Connection, owner: str, outcome: Outcome, now: int, chance: Chance) -> bool:
    """Put a run whose attempt did not succeed back into the queue, if its task grants it a further attempt."""
    task = outcome.claim.task
    may_go_on = task.max_attempts > 1 or task.rerun_after_crash or outcome.claim.checkpointed
    if outcome.is_last or outcome.status not in _MAY_GO_ON or not may_go_on:
        return False
    row = connection.execute(_OWN_RUN, _key(owner, outcome)).first()
    if row is None:
        return False
    is_interrupted = outcome.status is RunStatus.INTERRUPTED
    delay = _delay_after_interruption(task, row) if is_interrupted else _delay_after_failure(task, row, chance)
    return _queue_again(connection, row, outcome, delay, now)


class _Ending(Protocol):
    """What is to be known of an attempt's end."""

    @property
    def status(self) -> RunStatus: ...
    @property
    def finished_at(self) -> int: ...
    @property
    def error(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class _Interruption:
    """The end of an attempt whose process is gone, when that was noticed."""

    finished_at: int
    error: str
    status: RunStatus = RunStatus.INTERRUPTED


_EARLIEST: Final = SECOND
"""No due time is claimed so long before it comes."""


def _not_before_due(instant: int, row: _RunOfTask) -> int:
    """Return an instant, or the due time of a run that was claimed a moment before it, and interrupted then.

    A due time that lies further ahead is one of a clock that was wrong.
    """
    return row.scheduled_at if 0 < row.scheduled_at - instant <= _EARLIEST else instant


def _since(ending: _Ending, now: int) -> int:
    """Return from when on a wait counts: an attempt ends no later than now, unless the clock was set back since."""
    return min(ending.finished_at, now)


_QUEUE_AGAIN: Final = Statement(
    lambda: (
        update(runs)
        .where(runs.c.id == bindparam("run"))
        .values(
            status=RunStatus.PENDING,
            owner=None,
            ready_at=bindparam("ready"),
            earlier_attempts=bindparam("tries"),
            error=bindparam("problem"),
            usage=_known_usage(parameter("tokens")),
        )
    )
)


def _queue_again(connection: Connection, row: _RunOfTask, ending: _Ending, delay: int | None, now: int) -> bool:
    """Put a run back into the queue, if it has a further attempt, which waits for `delay` microseconds."""
    if row.removed or row.cancel_requested or delay is None:
        return False
    ended = Attempt(
        number=row.attempt,
        status=ending.status,
        started_at=to_datetime(row.started_at),
        finished_at=to_datetime(_not_before_due(ending.finished_at, row)),
        error=ending.error,
    )
    tries = history.attempts_json((*history.earlier_attempts(row), ended))
    ready = _not_before_due(_since(ending, now) + delay, row)
    values = {"run": row.id, "ready": ready, "tries": tries, "problem": ended.error}
    connection.execute(_QUEUE_AGAIN, {**values, "tokens": _usage_json(ending) if isinstance(ending, Outcome) else None})
    return True


def _delay_after_interruption(task: TaskDefinition | None, row: _RunOfTask) -> int | None:
    """Return how long the next attempt waits after an interrupted one; None: there is none.

    A run whose graph has a checkpointer always gets one: what starts it sees in the checkpoints whether there is
    something to continue, and whether the attempts before made progress. Without checkpoints nobody sees any, so every
    restart counts, by a stop as well as by a crash. Without a task, whose definition cannot be used here, the run goes
    back: who can use it decides then.
    """
    if row.checkpointed:
        return 0
    restarts = sum(attempt.status is RunStatus.INTERRUPTED for attempt in history.earlier_attempts(row))
    may_restart = task is None or task.rerun_after_crash
    return 0 if may_restart and restarts < RESTART_LIMIT else None


def _delay_after_failure(task: TaskDefinition, row: _RunOfTask, chance: Chance) -> int | None:
    """Return how long the next attempt waits after a failed one, in microseconds; None: there is none."""
    failed = 1 + sum(attempt.status in FAILURES for attempt in history.earlier_attempts(row))
    return retry_delay(task, failed, chance()) if failed < task.max_attempts else None


def longest_wait(task: TaskDefinition, attempts: Sequence[Attempt]) -> int:
    """Return how long a run may have to wait for its next attempt, in microseconds, given the attempts before."""
    if not attempts or attempts[-1].status not in FAILURES:
        return 0
    return longest_retry_delay(task, sum(attempt.status in FAILURES for attempt in attempts))


# --- Waiting for a human ---


_ANSWER: Final = Statement(
    lambda: (
        update(runs)
        .where(runs.c.id == bindparam("run"))
        .values(
            status=RunStatus.PENDING,
            ready_at=bindparam("now"),
            expires_at=None,
            error=None,
            answer=bindparam("answers"),
            earlier_attempts=bindparam("tries"),
        )
    )
)


def answer(connection: Connection, run_id: str, value: object, now: int) -> None:
    """Store the answer to a waiting run's questions, and put the run back into the queue.

    Raises `RunNotFoundError`, and `ValueError` if the run does not wait or the answer does not fit its questions.
    """
    row = connection.execute(_BY_ID, {"run": run_id}).first()
    if row is None:
        raise RunNotFoundError(run_id)
    if row.status != RunStatus.WAITING:
        message = f"Run {run_id}: it is {row.status}, and nothing is asked; list_runs(status='waiting') shows who asks"
        raise ValueError(message)
    attempts = history.earlier_attempts(row)
    asked = Attempt(
        number=row.attempt,
        status=RunStatus.WAITING,
        started_at=to_datetime(now if row.started_at is None else row.started_at),
        finished_at=to_datetime(now),
        error=row.error,
    )
    values = {
        "run": run_id,
        "now": now,
        "answers": answers_json(run_id, history.questions(row), value),
        "tries": history.attempts_json((*attempts, asked)),
    }
    connection.execute(_ANSWER, values)


_EXPIRED: Final = Query(
    task_rows.CancellableRun, lambda: task_rows.cancellable(and_(IS_WAITING, runs.c.expires_at <= bindparam("now")))
)


def expire(connection: Connection, now: int) -> list[str]:
    """Cancel runs that have waited for an answer for too long; return them."""
    rows = connection.execute(_EXPIRED, {"now": now}).all()
    if rows:
        task_rows.finish_if_over(connection, task_rows.cancel(connection, rows, now, _NOBODY), now)
    return [row.id for row in rows]


# --- Runs whose owner is gone ---


_INTERRUPT: Final = Statement(
    lambda: (
        update(runs)
        .where(runs.c.id == bindparam("run"))
        .values(status=bindparam("state"), owner=None, finished_at=bindparam("end"), error=bindparam("problem"))
    )
)
_RUNNING_OF: Final = Query(_RunOfTask, lambda: _with_task(and_(IS_RUNNING, runs.c.owner == bindparam("by"))))


def interrupt(connection: Connection, owner: str, now: int, error: str) -> list[str]:
    """End the running attempts of an owner that is gone; return the runs, whether they are over or continue."""
    rows = connection.execute(_RUNNING_OF, {"by": owner}).all()
    interruption = _Interruption(now, error)
    for row in rows:
        found = read(row.definition)  # its zone does not matter here
        task = found if isinstance(found, TaskDefinition) else None
        is_damaged = isinstance(found, Unreadable) and found.is_damaged
        delay = None if is_damaged else _delay_after_interruption(task, row)
        if not _queue_again(connection, row, interruption, delay, now):
            # Its owner was gone before it could cancel the run.
            state = RunStatus.INTERRUPTED if row.cancel_reason is None else RunStatus.CANCELLED
            end = _not_before_due(now, row)
            values = {"run": row.id, "end": end, "problem": row.cancel_reason or error, "state": state}
            connection.execute(_INTERRUPT, values)
            if task is not None and row.checkpointed:
                history.keep_own_thread(connection, task, row.id, row.thread_id, now)
    task_rows.finish_if_over(connection, dict.fromkeys(row.task_id for row in rows), now)
    return [row.id for row in rows]


def take_back_unlaunched(connection: Connection, owner: str, running: Collection[str], now: int) -> None:
    """Put back into the queue what a commit stored although it seemed to fail: claimed, and not going here."""
    rows = connection.execute(_RUNNING_OF, {"by": owner}).all()
    left = [{"run": row.id, "by": owner, "try": row.attempt} for row in rows if row.id not in running]
    if left:
        connection.execute_many(_TAKE_BACK, left)
        _cancel_if_requested(connection, [str(each["run"]) for each in left], now)


class _CancelReason(NamedTuple):
    id: str
    cancel_reason: str


_REQUESTED: Final = Query(
    _CancelReason,
    lambda: select(runs.c.id, runs.c.cancel_reason).where(
        runs.c.id.in_(bindparam("ids", expanding=True)), IS_PENDING, runs.c.cancel_reason.is_not(None)
    ),
)
_CANCELLABLE: Final = Query(
    task_rows.CancellableRun, lambda: task_rows.cancellable(and_(runs.c.id == bindparam("run"), IS_PENDING))
)


def _cancel_if_requested(connection: Connection, run_ids: Sequence[str], now: int) -> None:
    """Cancel runs that went back into the queue although somebody had asked for them to be cancelled."""
    for chunk in task_rows.chunks(run_ids):
        for row in connection.execute(_REQUESTED, {"ids": chunk}).all():
            waiting = connection.execute(_CANCELLABLE, {"run": row.id}).all()
            task_rows.finish_if_over(connection, task_rows.cancel(connection, waiting, now, row.cancel_reason), now)


_OWNERS: Final = Statement(lambda: select(runs.c.owner).where(IS_RUNNING).distinct())


def owners_of_running(connection: Connection) -> Iterable[str]:
    """Return the owners that have running runs."""
    return connection.execute(_OWNERS).scalars()


def _mine(given: Callable[[str, type[TypeEngine[Any]]], ColumnElement[Any]]) -> ColumnElement[bool]:
    """Return the condition that a run is still the attempt of its owner."""
    return and_(
        runs.c.id == given("run", Text),
        runs.c.owner == given("by", Text),
        runs.c.attempt == given("try", Integer),
        IS_RUNNING,
    )


def _known_usage(tokens: ColumnElement[str | None]) -> ColumnElement[str | None]:
    """Return what a run has used: an attempt that failed knows nothing of the attempts before."""
    return func.coalesce(tokens, runs.c.usage)

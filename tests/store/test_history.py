"""The history: bounded for each task, kept for a time, and found by an index however long it is."""

import re

import pytest
from store_kit import DAY, LEASE, RETENTION, every, once, seconds_of

from scheduler import RunStatus
from scheduler.store import RunFilter
from scheduler.store.database.statements import Bulk, Connection


@pytest.fixture
def short(new_process):
    """Return a process that keeps three runs for each task."""
    return new_process(history_limit=3)


def make_runs(process, number, *, start=1, task_id=None):
    for now in range(start, start + number):
        process.run_pass(now * 60)
        process.complete(now * 60 + 1, task_id=task_id)


def test_only_so_many_runs_are_kept_for_each_task(short):
    """The newest ones, also where several tasks are trimmed in one pass."""
    short.add(*(every(60, task_id=name) for name in "abc"))
    make_runs(short, 6)
    for name in "abc":
        assert [due for _, due, _ in short.history(name)] == [240, 300, 360]


def test_rows_of_due_times_that_were_not_started_are_trimmed_as_well(short):
    """A task that is always late has a bounded history, too."""
    short.add(every(60, misfire_grace_seconds=1))
    for now in range(70, 1000, 60):
        short.run_pass(now)
    assert len(short.runs()) == 3


def test_runs_by_hand_are_trimmed_as_well(short):
    """Also those of a finished task."""
    short.add(once(10))
    short.run_pass(10)
    short.complete(11)
    for now in range(20, 30):
        short.trigger(now)
        short.run_pass(now)
        short.complete(now)
    assert [due for _, due, _ in short.history()] == [27, 28, 29]


def test_open_runs_are_spared(short):
    """Running and waiting runs stay, however many runs came after them."""
    short.add(every(60, overlap="allow_all", max_attempts=2, retry_delay_seconds=10**6, retry_max_delay_seconds=10**6))
    [going] = short.run_pass(60).claims
    [waiting] = short.run_pass(120).claims
    short.running.pop(going.run_id)
    short.complete(121, RunStatus.FAILED)
    short.running[going.run_id] = going
    for now in range(180, 1000, 60):
        [claim] = short.run_pass(now).claims
        kept, short.running = short.running, {claim.run_id: claim}
        short.end(now)
        short.running = {key: value for key, value in kept.items() if key != claim.run_id}
    assert short.history()[:2] == [("running", 60, 0), ("pending", 120, 0)]
    assert {run.id for run in short.runs()} >= {going.run_id, waiting.run_id}
    assert short.complete(1001).lost == []


def test_trimming_one_task_leaves_the_others_alone(short):
    """A busy task does not push out the history of a quiet one."""
    short.add(once(60, "quiet"), every(60, task_id="busy"))
    make_runs(short, 10)
    assert short.statuses("quiet") == ["succeeded"]


# --- Reading ---


def test_runs_are_listed_newest_first(process):
    """Of one task, and of all."""
    process.add(*(every(60, task_id=name) for name in "ab"))
    make_runs(process, 3)
    of_one = process.store.list_runs(RunFilter(2, task_id="a"))
    assert [seconds_of(run.scheduled_at) for run in of_one] == [180, 120]
    of_all = process.store.list_runs(RunFilter(4))
    assert [seconds_of(run.scheduled_at) for run in of_all] == [180, 180, 120, 120]


def test_runs_are_listed_by_status(process):
    """`limit` counts those that fit."""
    process.add(every(60))
    for now, status in enumerate([RunStatus.FAILED, RunStatus.SUCCEEDED, RunStatus.FAILED], start=1):
        process.run_pass(now * 60)
        process.complete(now * 60 + 1, status)
    failed = process.store.list_runs(RunFilter(10, task_id="t", statuses=(RunStatus.FAILED,)))
    assert [seconds_of(run.scheduled_at) for run in failed] == [180, 60]
    assert len(process.store.list_runs(RunFilter(1, statuses=(RunStatus.FAILED,)))) == 1
    assert process.store.list_runs(RunFilter(10, task_id="t", statuses=(RunStatus.TIMED_OUT,))) == []
    assert process.store.list_runs(RunFilter(10, task_id="nobody")) == []


# --- Retention ---


def test_finished_and_removed_tasks_are_kept_for_a_time(process):
    """Then they go, with their history; the others stay."""
    process.add(once(60, "finished"), every(60, task_id="removed"), every(RETENTION, task_id="stays"))
    process.run_pass(60)
    process.complete(61)
    process.remove(62, "removed")
    process.run_pass(60 + RETENTION)
    assert process.statuses("finished") == process.statuses("removed") == ["succeeded"]
    process.run_pass(63 + RETENTION + DAY)
    assert process.runs("finished") == process.runs("removed") == []
    assert process.statuses("stays") == ["running"]
    assert [row.id for row in process.sql("SELECT id FROM scheduler_tasks")] == ["stays"]


def test_many_old_tasks_go_in_several_passes(process):
    """No transaction is long."""
    process.add(*(once(60, f"t{number}", misfire_grace_seconds=0) for number in range(1200)))
    process.run_pass(100, slots=5_000)
    assert process.store.list_tasks() == []
    passes = 0
    while process.sql("SELECT count(*) FROM scheduler_tasks") != [(0,)]:
        process.run_pass(100 + RETENTION + DAY + passes)
        passes += 1
        assert passes < 10
    assert passes > 1
    assert process.sql("SELECT count(*) FROM scheduler_runs") == [(0,)]


def test_a_task_that_is_taken_up_again_is_not_old(process):
    """Its retention starts again when it finishes again."""
    process.add(every(60, max_runs=1))
    make_runs(process, 1)
    process.add(every(60, max_runs=2), now=RETENTION - 100)
    process.run_pass(RETENTION + DAY)
    process.complete(RETENTION + DAY + 1)
    process.run_pass(RETENTION + 3 * DAY)
    assert len(process.runs()) == 2


def test_a_run_that_is_going_is_not_deleted_with_its_old_task(process):
    """Triggered by hand after the task had been finished for long, it ends as any other."""
    process.add(once(60))
    process.run_pass(60)
    process.complete(61)
    process.trigger(62 + RETENTION + DAY)
    process.run_pass(62 + RETENTION + DAY)
    assert process.complete(63 + RETENTION + DAY).lost == []


# --- Indexes ---


@pytest.fixture
def plans(process, monkeypatch):
    """Return what records how SQLite finds the rows of each statement; only there can it be asked so easily."""
    if process.database.name.startswith("postgresql"):
        pytest.skip("the planner of PostgreSQL looks at how many rows there are")
    found = {}

    def explain(connection, text, values):
        if text.startswith(("SELECT", "UPDATE", "DELETE")) and "scheduler_" in text:
            found[text] = [row[3] for row in connection.driver.execute(f"EXPLAIN QUERY PLAN {text}", values)]

    execute, execute_many = Connection.execute, Connection.execute_many

    def explained(connection, statement, values=None):
        values = values or {}
        explain(connection, *connection._compiled(statement).call(values))
        return execute(connection, statement, values)

    def explained_many(connection, statement, rows):
        if isinstance(statement, Bulk):
            for call in statement.together(connection.dialect, rows):
                explain(connection, *call)
        explain(connection, *statement.compiled(connection.dialect).call(rows[0]))
        return execute_many(connection, statement, rows)

    monkeypatch.setattr(Connection, "execute", explained)
    monkeypatch.setattr(Connection, "execute_many", explained_many)
    return found


_OPEN_BACKFILLS = "USING INDEX scheduler_runs_backfill"
"""An index of the open runs of backfills alone, which may be read whole."""


def scans(plans):
    """Return the steps that look at rows of tasks or runs one by one, with their statements."""
    of_tables = re.compile(r"(SCAN|SEARCH) (scheduler_tasks|scheduler_runs|other)\b")
    by_index = re.compile(r"SEARCH .* USING (COVERING )?INDEX|SCAN .* USING (COVERING )?INDEX scheduler_runs_running")
    return [
        (step, statement)
        for statement, steps in plans.items()
        for step in steps
        if of_tables.search(step) and not by_index.search(step) and _OPEN_BACKFILLS not in step
    ]


def test_no_statement_of_a_pass_scans_a_table(process, plans):
    """What is due, what is open, what is trimmed, what is purged: all by an index."""
    process.add(
        *(every(60, task_id=str(policy), overlap=policy, max_attempts=2) for policy in ("skip", "cancel_other")),
        every(60, task_id="buffer_all", overlap="buffer_all", coalesce=False, pause_after_failures=9),
        once(60, "once"),
    )
    for now in (60, 120, 250):
        process.run_pass(now)
    process.trigger(251, "skip")
    process.complete(252, RunStatus.FAILED)
    process.complete(700)
    by_hand = "UPDATE scheduler_runs SET owner = 'gone' WHERE owner IS NOT NULL"
    process.sql(by_hand)
    del plans[by_hand]
    process.running.clear()
    process.run_pass(800)
    process.complete(RETENTION + 9 * DAY)
    for call in (process.pause, process.resume, process.remove):
        call(RETENTION + 10 * DAY, "buffer_all")
    assert scans(plans) == []
    assert len(plans) > 20


def test_the_history_is_trimmed_and_read_by_an_index(new_process, process, plans):
    """By task and number of the run; by id for all tasks."""
    process.store._history_limit = process.session._history_limit = 2
    process.add(every(60))
    make_runs(process, 5)
    process.runs()
    [trim] = [steps for statement, steps in plans.items() if statement.startswith("DELETE FROM scheduler_runs")]
    assert trim == ["SEARCH scheduler_runs USING INDEX scheduler_runs_history (task_id=? AND seq<?)"]
    process.store.list_runs(RunFilter(10))
    [read] = [steps for statement, steps in plans.items() if "ORDER BY scheduler_runs.id DESC" in statement]
    assert read == ["SCAN scheduler_runs USING INDEX sqlite_autoindex_scheduler_runs_1"]


def test_an_idle_pass_reads_once_and_writes_nothing(process, plans):
    """However many tasks there are that are not due; only the lease is renewed now and then."""
    process.add(*(every(DAY, task_id=f"t{number}") for number in range(50)))
    process.run_pass(1)
    plans.clear()
    for now in range(2, LEASE // 3):
        process.run_pass(now)
    assert len(plans) == 1
    assert next(iter(plans)).startswith("SELECT")

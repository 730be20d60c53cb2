"""Whether every due time of every task is accounted for, and the graph was never started without need or twice."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime

from scheduler import RunStatus
from scheduler.timing.clock import SECOND, to_micros
from scheduler.timing.schedule import schedule_of

NOT_STARTED = {RunStatus.SKIPPED, RunStatus.MISSED}
BY_THE_GRAPH = {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.TIMED_OUT}
"""How an attempt ends only if the graph was entered."""


@dataclass(frozen=True)
class Entry:
    """A line of the ledger."""

    event: str
    task_id: str
    run_id: str
    scheduled_at: datetime
    pid: int


def read_ledger(path):
    """Return the lines that the children have written so far."""
    if not path.exists():
        return []
    fields = [line.split() for line in path.read_text().splitlines()]
    return [Entry(event, task, run, datetime.fromisoformat(due), int(pid)) for event, task, run, due, pid in fields]


def account(tasks, first_due, next_due, runs, ledger):
    """Assert that nothing was lost and nothing done twice.

    `first_due` is the first due time of each task, `next_due` that of the tasks for which there is one to come; both
    by id. `runs` is the whole history.
    """
    of_task = defaultdict(list)
    for run in runs:
        if run.trigger == "schedule":
            of_task[run.task_id].append(run)
    for task in tasks:
        _account_for_due_times(task, first_due[task.id], next_due.get(task.id), of_task[task.id])
    account_for_starts(runs, ledger)


def _account_for_due_times(task, first, coming, runs):
    """Each row stands for its due time and for those since the row before, none for two, and none is left out."""
    schedule = schedule_of(task, "UTC", to_micros(first) - (task.interval_seconds or 0) * SECOND)
    before = to_micros(first) - 1
    counted = 0
    for run in sorted(runs, key=lambda run: run.scheduled_at):
        counted += 1 + run.coalesced
        due = to_micros(run.scheduled_at)
        assert schedule.latest(due, due) == due, f"{task.id} has no due time at {run.scheduled_at}"
        expected = schedule.count(before, due)
        assert counted == expected, f"{task.id}: {counted} of {expected} due times are accounted for up to {run}"
    if coming is not None:
        expected = schedule.count(before, to_micros(coming) - 1)
        assert counted == expected, f"{task.id}: {counted} of {expected} due times are accounted for up to {coming}"
    elif task.run_at is not None:
        assert counted == 1, f"{task.id} has no run"


def account_for_starts(runs, ledger):
    """The graph was entered for committed runs alone, at most once for each attempt, and for each that it ended."""
    known = {run.id: run for run in runs}
    starts = Counter(entry.run_id for entry in ledger if entry.event == "begin")
    ended = Counter(entry.run_id for entry in ledger if entry.event == "end")
    assert set(starts) <= set(known), "the graph was started for a run that is not in the history"
    for run in runs:
        attempts = [*(each.status for each in run.earlier_attempts), *([run.status] if run.attempt else [])]
        by_the_graph = sum(status in BY_THE_GRAPH for status in attempts)
        assert by_the_graph <= starts[run.id] <= run.attempt, f"{starts[run.id]} starts: {run}"
        if run.status is RunStatus.SUCCEEDED:
            assert ended[run.id] >= 1, f"the graph did not return: {run}"
        if run.status in NOT_STARTED:
            assert not starts[run.id], f"the graph was started: {run}"

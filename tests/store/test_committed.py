"""What a pass tells of runs, to those who listen: what it has committed, and nothing that is another process's."""

import pytest
from store_kit import LEASE, MINUTE, every, instant, once, seconds_of

from scheduler import RunStatus
from scheduler.models import Question


@pytest.fixture
def process(new_process):
    return observed(new_process())


def observed(process):
    process.is_observed = lambda: True
    return process


def told(result):
    """Return what was told: of runs that changed, task, status and attempt; and which tasks begin an attempt."""
    changed = [(run.task_id, str(run.status), run.attempt) for run in result.committed.changed]
    return changed, [run.task_id for run in result.committed.claimed]


def test_nobody_listens(new_process):
    """Then nothing is read."""
    process = new_process()
    process.add(every(60))
    assert process.run_pass(60).committed is None
    assert process.complete(61).committed is None


def test_beginning_and_end(process):
    """The runs as they stand in the history."""
    process.add(every(60))
    result = process.run_pass(60)
    assert told(result) == ([], ["t"])
    assert result.committed.claimed == process.runs()
    result = process.complete(61)
    assert told(result) == ([("t", "succeeded", 1)], [])
    assert result.committed.changed == process.runs()


def test_a_further_attempt_in_the_same_pass(process):
    """It is told as it was between the two: waiting, after one attempt."""
    process.add(every(60, max_attempts=2, retry_delay_seconds=0))
    process.run_pass(60)
    result = process.complete(61, RunStatus.FAILED)
    assert told(result) == ([("t", "pending", 1)], ["t"])
    assert result.committed.claimed[0].attempt == 2


def test_what_was_not_launched(process):
    """It is no attempt: nobody is told, unless its task was removed meanwhile."""
    process.add(every(60), every(60, "gone"))
    process.run_pass(60)
    process.remove(61, "gone")
    released = set(process.running)
    process.end(61, RunStatus.PENDING)
    result = process.run_pass(61, slots=0)
    assert told(result) == ([("gone", "cancelled", 0)], [])
    assert set(result.committed.released) == released


def test_what_came_too_late(process, new_process, dead_pid):
    """A run that was taken over is told by whom it belongs to."""
    process.add(every(60))
    process.run_pass(60)
    process.end(61)
    process.sql("UPDATE scheduler_owners SET pid = :pid, started = 1", pid=dead_pid)
    other = observed(new_process(61))
    assert told(other.run_pass(61)) == ([("t", "interrupted", 1)], [])
    result = process.run_pass(62)
    assert len(result.lost) == 1
    assert told(result) == ([], [])


def test_due_times_that_were_not_started(process):
    """Each with the row that stands for it, also one that stands for further due times."""
    process.add(every(60), every(60, "late", misfire_grace_seconds=1))
    process.run_pass(60)
    process.end(61, task_id="late")
    assert told(process.run_pass(2 * MINUTE + 30)) == (
        [("late", "succeeded", 1), ("late", "missed", 0), ("t", "skipped", 0)],
        [],
    )
    result = process.run_pass(3 * MINUTE)
    (run,) = (run for run in result.committed.changed if run.task_id == "t")
    assert (seconds_of(run.scheduled_at), run.coalesced) == (3 * MINUTE, 1)


def test_more_than_one_statement_takes(process):
    """Hundreds of runs in one pass."""
    process.add(*(every(60, f"t{number}") for number in range(900)))
    assert len(told(process.run_pass(60, slots=1000))[1]) == 900
    assert len(told(process.run_pass(2 * MINUTE))[0]) == 900
    assert len(told(process.complete(2 * MINUTE + 1, slots=0))[0]) == 900


def test_waiting_and_its_end(process):
    """Asked; cancelled when nobody answers, or by the next due time."""
    question = (Question(id="q", value="Go on?"),)
    process.add(once(60, "expires", expire_waiting_after_seconds=10))
    process.add(every(60, "replaced", overlap="cancel_other"))
    process.run_pass(60)
    waiting = process.complete(61, RunStatus.WAITING, questions=question)
    assert told(waiting)[0] == [("expires", "waiting", 1), ("replaced", "waiting", 1)]
    assert told(process.run_pass(72)) == ([("expires", "cancelled", 1)], [])
    assert told(process.run_pass(2 * MINUTE)) == ([("replaced", "cancelled", 1)], [])


def test_the_last_writes(process):
    """`stop()` tells, too."""
    process.add(every(60))
    process.run_pass(60)
    process.end(61, RunStatus.INTERRUPTED)
    result = process.session.end(process._ended, instant(61))
    assert told(result) == ([("t", "interrupted", 1)], [])


def test_steps(process):
    """They are written for runs that are this process's and go on; the last one with the end of its run."""
    process.add(every(60), every(60, "other"))
    process.run_pass(60)
    claims = {claim.task.id: claim for claim in process.running.values()}
    process.session.run_pass(instant(61), 0, [], list(process.running), steps=[(claims["t"], "a\0")])
    assert [run.current_step for run in process.runs("t")] == ["a\ufffd"]
    process.sql("UPDATE scheduler_runs SET owner = 'another' WHERE task_id = 'other'")
    steps = [(claims["t"], "b"), (claims["other"], "b")]
    process.session.run_pass(instant(62), 0, [], list(process.running), steps=steps)
    assert [run.current_step for run in process.runs("other")] == [None]
    process.end(63, task_id="t")
    ended, process._ended = process._ended, []
    process.session.run_pass(instant(63), 0, ended, [], steps=[(claims["t"], "c")])
    assert [(str(run.status), run.current_step) for run in process.runs("t")] == [("succeeded", "c")]


def test_steps_of_many_runs(process):
    """They are written together, each to its own run."""
    process.add(*(every(60, f"t{number}") for number in range(50)))
    process.run_pass(60)
    steps = [(claim, f"step of {claim.task.id}") for claim in process.running.values()]
    process.session.run_pass(instant(61), 0, [], list(process.running), steps=steps)
    assert len(steps) == 32
    assert {run.task_id: run.current_step for claim, _ in steps for run in process.runs(claim.task.id)} == {
        claim.task.id: step for claim, step in steps
    }


def test_how_much_could_begin(process):
    """Tasks that are due and runs that are pending; not what is paused, comes later, or has begun."""
    process.add(every(60), every(60, "paused"), every(MINUTE * 60, "later"), every(60, "going"))
    process.pause(1, "paused")
    assert process.session.queue_depth(instant(30)) == 0
    process.trigger(30, "later")
    assert process.session.queue_depth(instant(60)) == 3
    process.run_pass(60)
    assert process.session.queue_depth(instant(60)) == 0
    assert process.session.queue_depth(instant(60 + LEASE)) == 0

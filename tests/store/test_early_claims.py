"""Due times that are claimed a moment before they come: only where nothing can be in their way when they do."""

import pytest
from store_kit import every, instant, once, seconds_of

from scheduler import RunStatus


def test_due_times_of_the_next_moment_are_claimed_together(process):
    """In one pass, in their order, each to be started when it is due; what comes later is left."""
    process.add(once(60.5, "a"), once(61, "b"), once(61.001, "c"))
    claims = process.run_pass(60, early=1).claims
    assert [(claim.task.id, seconds_of(claim.starts_at)) for claim in claims] == [("a", 60.5), ("b", 61)]
    [run] = process.runs("b")
    assert (run.status, seconds_of(run.scheduled_at), seconds_of(run.started_at)) == ("running", 61, 61)
    assert process.history("c") == []


def test_what_is_due_already_starts_at_once(process):
    """Only what is early has a moment to wait for."""
    process.add(once(60, "due"), once(60.5, "early"))
    claims = {claim.task.id: claim.starts_at for claim in process.run_pass(60, early=1).claims}
    assert claims == {"due": None, "early": instant(60.5)}


def test_an_early_claim_takes_one_due_time(process):
    """The next one stays for a later pass, and nothing is late, coalesced or skipped."""
    process.add(every(1, misfire_grace_seconds=0))
    assert process.started(0.5, early=0.5) == [("t", 1)]
    assert process.started(0.6, early=0.4) == []
    process.end(1.2)
    assert process.started(1.5, early=0.5) == [("t", 2)]
    assert process.history() == [("succeeded", 1, 0), ("running", 2, 0)]


def test_a_run_that_is_going_is_given_until_the_next_one_is_due(process):
    """Overlap is judged when the due time comes, not before."""
    process.add(every(1))
    process.run_pass(1)
    assert process.started(1.5, early=0.5) == []
    process.end(1.9)
    assert process.started(2) == [("t", 2)]
    assert process.started(3) == []
    assert process.history() == [("succeeded", 1, 0), ("running", 2, 0), ("skipped", 3, 0)]


@pytest.mark.parametrize("overlap", ["buffer_one", "buffer_all", "cancel_other"])
def test_nothing_is_buffered_or_cancelled_early(process, overlap):
    """Each overlap policy waits for the due time itself."""
    process.add(every(1, overlap=overlap))
    process.run_pass(1)
    assert process.run_pass(1.5, early=0.5).cancels == {}
    assert process.history() == [("running", 1, 0)]
    process.run_pass(2)
    assert process.history() == [("running", 1, 0), ("pending", 2, 0)]


def test_a_thread_that_is_taken_is_waited_for_until_the_due_time(process):
    """Another task's run may give it free before."""
    process.is_checkpointed = lambda _task: True
    process.add(every(60, "holds", session_id="shared"), once(60.5, "comes", session_id="shared"))
    assert process.started(60, early=1) == [("holds", 60)]
    process.end(60.2)
    assert process.started(60.3, early=1) == [("comes", 60.5)]


def test_paused_tasks_are_not_claimed_early(process):
    """Nor is what has no free slot."""
    process.add(once(60, "paused"), once(60, "b"))
    process.pause(1, "paused")
    assert process.started(59.5, slots=0, early=1) == []
    assert process.started(59.5, early=1) == [("b", 60)]


def test_the_next_pass_is_asked_for_in_time(process):
    """Half of the early-claim time before the next due time; for one that was not claimed early, when it is due."""
    process.add(every(1), once(30, "later"))
    assert seconds_of(process.run_pass(0.1, early=0.2).wake_at) == pytest.approx(0.9)
    process.run_pass(1)
    assert seconds_of(process.run_pass(1.9, early=0.2).wake_at) == 2


def test_an_early_claim_that_was_not_launched_waits_for_its_due_time(process):
    """A scheduler that stops gives it back; the next one starts it when it is due, not before."""
    process.add(once(60))
    process.run_pass(59, early=1)
    process.complete(59.5, RunStatus.PENDING)
    assert process.history() == [("pending", 60, 0)]
    assert process.started(59.9, early=1) == []
    assert process.started(60) == [("t", 60)]


def test_a_crash_before_the_due_time_leaves_an_interrupted_run(new_process, dead_pid):
    """As one between claim and launch: it is not started a second time."""
    first = new_process().add(once(60))
    first.run_pass(59, early=1)
    first.die(dead_pid)
    second = new_process(59.5)
    assert second.started(59.6, early=1) == second.started(61) == []
    assert second.history() == [("interrupted", 60, 0)]


def test_a_process_that_dies_before_the_due_time(process, new_process):
    """The attempt ends no sooner than it began, and the next one begins no sooner than the due time."""
    process.add(once(10, rerun_after_crash=True), once(10, "single"))
    process.run_pass(9.97, early=0.03)
    other = new_process(9.98)
    other.sql("DELETE FROM scheduler_owners WHERE id NOT IN (:me)", me=other.session._owner.id)
    assert len(other.run_pass(9.98).recovered) == 2
    assert other.started(9.99) == []
    assert other.started(9.99, early=0.03) in ([], [("t", 10)])
    other.run_pass(10)
    [run], [single] = other.runs("t"), other.runs("single")
    assert (run.status, run.attempt, seconds_of(run.started_at)) == ("running", 2, 10)
    assert seconds_of(run.earlier_attempts[0].finished_at) == 10
    assert (single.status, seconds_of(single.started_at), seconds_of(single.finished_at)) == ("interrupted", 10, 10)


def test_a_due_time_of_a_clock_that_was_wrong_keeps_no_attempt_back(process, new_process):
    """What lies further ahead than a claim can be early does not count."""
    process.add(once(3600, rerun_after_crash=True))
    process.run_pass(3600)
    other = new_process(10)
    other.sql("DELETE FROM scheduler_owners WHERE id NOT IN (:me)", me=other.session._owner.id)
    other.run_pass(10)
    [run] = other.runs("t")
    assert run.attempt == 2

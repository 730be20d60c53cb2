"""How attempts end: outcomes are written by the present owner alone, and retries are rows of the store."""

from itertools import pairwise

import pytest
from store_kit import every, instant, once, seconds_of

from scheduler import RunStatus
from scheduler.store import Outcome

FAILURES = [RunStatus.FAILED, RunStatus.TIMED_OUT]
ENDS = [RunStatus.SUCCEEDED, *FAILURES, RunStatus.CANCELLED, RunStatus.INTERRUPTED]


@pytest.mark.parametrize("status", ENDS)
def test_an_outcome_is_written_with_all_that_it_says(process, status):
    """Status, end, response and error are in the history."""
    process.add(every(60))
    process.run_pass(60)
    process.complete(75, status, response="Hello", error="an error")
    [run] = process.runs()
    assert (run.status, run.response, run.error) == (status, "Hello", "an error")
    assert (seconds_of(run.started_at), seconds_of(run.finished_at), run.attempt) == (60, 75, 1)


def test_an_outcome_is_written_once(process):
    """A second outcome of the same attempt is refused, and changes nothing."""
    process.add(every(60))
    [claim] = process.run_pass(60).claims
    process.complete(61)
    late = Outcome(claim, RunStatus.FAILED, instant(62), error="too late")
    result = process.session.run_pass(instant(62), 5, [late], [])
    assert result.lost == [late]
    assert process.statuses() == ["succeeded"]


def test_only_the_owner_writes_an_outcome(process, new_process):
    """Another process cannot end a run that is not its own."""
    process.add(every(60))
    [claim] = process.run_pass(60).claims
    other = new_process(60)
    foreign = Outcome(claim, RunStatus.SUCCEEDED, instant(61))
    assert other.session.run_pass(instant(61), 5, [foreign], []).lost == [foreign]
    assert process.statuses() == ["running"]


def test_only_the_present_attempt_writes_an_outcome(process):
    """The outcome of an attempt that has been followed by another is refused."""
    process.add(every(60, max_attempts=2, retry_delay_seconds=0))
    [first] = process.run_pass(60).claims
    [second] = process.complete(61, RunStatus.FAILED).claims
    assert (first.run_id, second.attempt) == (second.run_id, 2)
    late = Outcome(first, RunStatus.SUCCEEDED, instant(62))
    assert process.session.run_pass(instant(62), 5, [late], [second.run_id]).lost == [late]
    assert process.statuses() == ["running"]


def test_lost_outcomes_keep_no_others_from_being_written(process):
    """In a batch each stands for itself."""
    process.add(*(every(60, task_id=name) for name in "abc"))
    claims = {claim.task.id: claim for claim in process.run_pass(60).claims}
    process.complete(61, task_id="b")
    results = [Outcome(claims[name], RunStatus.FAILED, instant(62)) for name in "abc"]
    assert process.session.run_pass(instant(62), 5, results, []).lost == [results[1]]
    assert [process.statuses(name)[0] for name in "abc"] == ["failed", "succeeded", "failed"]


def test_text_that_a_database_does_not_take_is_stored_all_the_same(process):
    """NUL and lone surrogates are replaced: an outcome is never lost for what a graph has said."""
    process.add(every(60))
    process.run_pass(60)
    process.complete(61, RunStatus.FAILED, response="a\0b", error="\ud800 \0")
    [run] = process.runs()
    assert run.response == "a\ufffdb"
    assert "\0" not in run.error


def test_what_was_not_launched_goes_back_into_the_queue(process):
    """It was no attempt: the next start is the first one."""
    process.add(once(60))
    [claim] = process.run_pass(60).claims
    process.end(61, RunStatus.PENDING)
    process.run_pass(61, slots=0)
    [run] = process.runs()
    assert (run.status, run.attempt, run.started_at) == ("pending", 0, None)
    [again] = process.run_pass(62).claims
    assert (again.run_id, again.attempt) == (claim.run_id, 1)


# --- Retries ---


@pytest.mark.parametrize("status", FAILURES)
def test_a_failed_attempt_is_followed_by_another(process, status):
    """Up to `max_attempts`; each is visible in the history of the one run."""
    process.add(every(1000, max_attempts=3, retry_delay_seconds=10))
    process.run_pass(1000)
    for number in (1, 2):
        result = process.complete(1000 + 100 * number - 50, status, error=f"error {number}")
        assert result.claims == []
        assert process.statuses() == ["pending"]
        assert process.started(1000 + 100 * number) == [("t", 1000)]
    process.complete(1300, status, error="error 3")
    [run] = process.runs()
    assert (run.status, run.attempt, run.error) == (status, 3, "error 3")
    attempts = [(each.number, str(each.status), each.error) for each in run.earlier_attempts]
    assert attempts == [(1, status, "error 1"), (2, status, "error 2")]
    assert [seconds_of(each.started_at) for each in run.earlier_attempts] == [1000, 1100]
    assert [seconds_of(each.finished_at) for each in run.earlier_attempts] == [1050, 1150]
    assert process.started(1999) == []


def test_the_delay_doubles_up_to_its_bound(process):
    """A quarter more or less, so that tasks that failed together do not come back together."""
    process.add(every(10**6, max_attempts=6, retry_delay_seconds=8, retry_max_delay_seconds=30))
    now = 10**6
    process.run_pass(now)
    for delay in (8, 16, 30, 30, 30):
        ready = seconds_of(process.complete(now, RunStatus.FAILED).wake_at)
        assert delay * 0.75 <= ready - now <= min(delay * 1.25, 30)
        assert process.started(ready - 0.001) == []
        assert process.started(ready) == [("t", 10**6)]
        now = ready


def test_no_delay_retries_in_the_same_pass(process):
    """A pass writes outcomes before it claims."""
    process.add(every(60, max_attempts=2, retry_delay_seconds=0))
    process.run_pass(60)
    [claim] = process.complete(61, RunStatus.FAILED).claims
    assert claim.attempt == 2


def test_a_retry_survives_a_restart(process, new_process):
    """It is a row, not a coroutine that sleeps."""
    process.add(every(60, max_attempts=2, retry_delay_seconds=10))
    process.run_pass(60)
    process.end(61, RunStatus.FAILED)
    process.session.end(process._ended, instant(61))
    later = new_process(100)
    [claim] = later.run_pass(100).claims
    assert claim.attempt == 2


def test_a_success_needs_no_further_attempt(process):
    """Nor does a cancellation."""
    process.add(*(every(1000, task_id=name, max_attempts=5) for name in "ab"))
    process.run_pass(1000)
    process.end(1001, task_id="a")
    process.complete(1001, RunStatus.CANCELLED, task_id="b")
    assert process.started(1999) == []
    assert (process.statuses("a"), process.statuses("b")) == (["succeeded"], ["cancelled"])


def test_an_interruption_is_no_failure(process):
    """Without `rerun_after_crash` a run that was interrupted is over, whatever `max_attempts` says."""
    process.add(every(1000, max_attempts=5))
    process.run_pass(1000)
    process.complete(1001, RunStatus.INTERRUPTED)
    assert process.started(1999) == []
    assert process.statuses() == ["interrupted"]


def test_interruptions_do_not_use_up_the_attempts_after_failures(process):
    """The two kinds of further attempts are counted apart."""
    process.add(every(10**5, max_attempts=2, retry_delay_seconds=0, rerun_after_crash=True))
    process.run_pass(10**5)
    ends = [RunStatus.INTERRUPTED, RunStatus.INTERRUPTED, RunStatus.FAILED, RunStatus.INTERRUPTED]
    attempts = [process.complete(10**5 + number, status).claims[0].attempt for number, status in enumerate(ends)]
    assert attempts == [2, 3, 4, 5]
    assert process.complete(10**5 + 9, RunStatus.FAILED).claims == []
    assert process.statuses() == ["failed"]


def test_a_one_time_task_stays_listed_until_its_last_attempt_is_over(process):
    """Between two attempts it waits."""
    process.add(once(60, max_attempts=2, retry_delay_seconds=10))
    process.run_pass(60)
    process.complete(61, RunStatus.FAILED)
    assert process.listed().open_status is RunStatus.PENDING
    process.run_pass(100)
    assert process.listed().open_status is RunStatus.RUNNING
    process.complete(101)
    assert process.listed() is None


# --- Failures in a row ---


@pytest.mark.parametrize("status", FAILURES)
def test_a_task_whose_last_runs_failed_is_paused(process, status):
    """With the reason, which ends with the last error."""
    process.add(every(60, pause_after_failures=2))
    process.run_pass(60)
    process.complete(61, status, error="first")
    assert not process.listed().paused
    process.run_pass(120)
    process.complete(121, status, error="second")
    listed = process.listed()
    assert listed.paused
    assert "2 runs in a row failed" in listed.pause_reason
    assert listed.pause_reason.endswith("second")
    assert process.started(1000) == []


def test_a_success_sets_the_count_of_failures_back(process):
    """In a row means in a row."""
    process.add(every(60, pause_after_failures=2))
    for now, status in enumerate([RunStatus.FAILED, RunStatus.SUCCEEDED, RunStatus.FAILED], start=1):
        process.run_pass(now * 60)
        process.complete(now * 60 + 1, status)
    assert not process.listed().paused


def test_attempts_are_not_counted_as_failed_runs(process):
    """A run that succeeds at its second attempt has not failed."""
    process.add(every(60, pause_after_failures=1, max_attempts=2, retry_delay_seconds=0))
    process.run_pass(60)
    process.complete(61, RunStatus.FAILED)
    process.complete(62)
    assert not process.listed().paused


def test_resuming_forgets_the_failures(process):
    """It takes as many again to pause the task a second time, and the reason is gone."""
    process.add(every(60, pause_after_failures=2))
    for now in (60, 120):
        process.run_pass(now)
        process.complete(now + 1, RunStatus.FAILED)
    process.resume(130)
    assert process.listed().pause_reason is None
    process.run_pass(180)
    process.complete(181, RunStatus.FAILED)
    assert not process.listed().paused


def test_due_times_owed_when_failures_pause_a_task_are_accounted_for(process):
    """As with `pause_task`."""
    process.add(every(60, pause_after_failures=1))
    process.run_pass(60)
    process.complete(250, RunStatus.FAILED)
    assert process.history() == [("failed", 60, 0), ("skipped", 240, 2)]


def test_ids_of_runs_rise(process):
    """So the history of all tasks can be read newest first without looking at each row."""
    process.add(*(every(60, task_id=f"t{number}") for number in range(40)))
    for now in (60, 120):
        process.run_pass(now, slots=100)
        process.complete(now + 1)
    runs = process.runs(None)
    assert len(runs) == 80
    assert all(before.id < after.id for before, after in pairwise(runs))
    assert all(before.scheduled_at <= after.scheduled_at for before, after in pairwise(runs))

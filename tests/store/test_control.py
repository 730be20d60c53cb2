"""cancel_run and retry_run, as the store keeps them."""

import threading

import pytest
from helpers import hourly
from store_kit import LEASE, every, instant, seconds_of

from scheduler import RunNotFoundError, RunStatus, TaskNotFoundError
from scheduler.models import Question


def cancel(process, run_id, now, reason=None):
    process.store.cancel_run(run_id, reason, instant(now))


def retry(process, run_id, now, **options):
    return process.store.retry_run(run_id, instant(now), **options)


# --- Cancelling ---


def test_a_pending_run_is_cancelled_at_once(process):
    """It never starts, and the reason stands in its error."""
    process.add(every(60))
    run_id = process.trigger(1)
    cancel(process, run_id, 2, "not now")
    assert process.started(3) == []
    run = process.store.get_run(run_id)
    assert (run.status, run.error, seconds_of(run.finished_at)) == ("cancelled", "not now", 2)


def test_a_waiting_run_is_cancelled_at_once(process):
    """The task is free again."""
    process.add(every(60))
    run_id = process.trigger(1)
    process.run_pass(1)
    process.complete(2, RunStatus.WAITING, questions=(Question(id="q", value="?"),))
    cancel(process, run_id, 3)
    assert process.store.get_run(run_id).error == "cancelled by cancel_run"
    assert process.started(60) == [("t", 60)]


def test_the_owner_is_asked_to_cancel_a_running_run(process, new_process):
    """From another process; once it is asked, another reason does not count."""
    process.add(every(60))
    run_id = process.trigger(1)
    process.run_pass(1)
    other = new_process()
    cancel(other, run_id, 2, "stop it")
    cancel(other, run_id, 2, "another one")
    assert process.store.get_run(run_id).status == "running"
    assert new_process().run_pass(2).cancels == {}
    assert process.run_pass(2).cancels == {run_id: "stop it"}


def test_a_run_that_is_cancelled_has_no_further_attempt(process):
    """Although it failed before its owner could cancel it."""
    process.add(every(60, max_attempts=3))
    run_id = process.trigger(1)
    process.run_pass(1)
    cancel(process, run_id, 2)
    process.complete(3, RunStatus.FAILED)
    assert process.store.get_run(run_id).status == "failed"


@pytest.mark.parametrize("checkpointed", [False, True])
def test_the_owner_dies_between_the_cancel_and_its_effect(process, new_process, dead_pid, checkpointed):
    """The run does not continue elsewhere: it is cancelled."""
    process.is_checkpointed = lambda _task: checkpointed
    process.add(every(600, rerun_after_crash=True))
    run_id = process.trigger(1)
    process.run_pass(1)
    cancel(process, run_id, 2, "stop it")
    process.die(dead_pid)
    other = new_process(now=3)
    other.run_pass(3 + LEASE)
    assert other.started(4 + 2 * LEASE) == []
    run = other.store.get_run(run_id)
    assert (run.status, run.error) == ("cancelled", "stop it")


def test_a_claim_that_goes_back_is_cancelled(process):
    """Its owner stops before it has started it."""
    process.add(every(60))
    run_id = process.trigger(1)
    process.run_pass(1)
    cancel(process, run_id, 2, "stop it")
    process.complete(3, RunStatus.PENDING)
    assert process.started(4) == []
    assert process.store.get_run(run_id).error == "stop it"


def test_a_commit_that_seemed_to_fail_does_not_undo_a_cancel(process):
    """The run that nobody has launched is cancelled when it is found."""
    process.add(every(60))
    run_id = process.trigger(1)
    process.run_pass(1)
    cancel(process, run_id, 2, "stop it")
    process.running.clear()
    process.session.failed(instant(3))
    assert process.run_pass(4).claims == []
    assert process.store.get_run(run_id).status == "cancelled"


def test_a_run_that_asks_after_it_was_cancelled(process):
    """It does not wait for an answer."""
    process.add(every(60))
    run_id = process.trigger(1)
    process.run_pass(1)
    cancel(process, run_id, 2, "stop it")
    process.complete(3, RunStatus.WAITING, questions=(Question(id="q", value="?"),))
    run = process.store.get_run(run_id)
    assert (run.status, run.error) == ("cancelled", "stop it")


def test_a_next_attempt_is_not_cancelled_by_an_old_request(process):
    """A retry of a cancelled run starts afresh."""
    process.add(every(60))
    run_id = process.trigger(1)
    process.run_pass(1)
    cancel(process, run_id, 2)
    process.complete(3, RunStatus.CANCELLED)
    retry(process, run_id, 4)
    assert process.run_pass(4).cancels == {}


def test_what_cannot_be_cancelled(face):
    """No run, a run that is over, a reason that is none."""
    face.add_task(hourly("t"))
    with pytest.raises(RunNotFoundError):
        face.cancel_run("nothing")
    run_id = face.trigger_task("t")
    with pytest.raises(ValueError, match="reason=' '"):
        face.cancel_run(run_id, " ")
    face.cancel_run(run_id)
    with pytest.raises(ValueError, match=f"Run {run_id}: it is cancelled already"):
        face.cancel_run(run_id)


# --- Retrying ---


def failed(process, status=RunStatus.FAILED, **fields):
    """Return a run with a prompt of its own that has ended, at 2."""
    process.add(every(600, **fields))
    run_id = process.store.trigger_task("t", instant(1), "Other words.", {"a": 1})
    process.run_pass(1)
    process.complete(2, status)
    return run_id


@pytest.mark.parametrize("status", ["failed", "timed_out", "cancelled", "interrupted", "succeeded"])
def test_a_run_that_is_over_is_repeated(process, status):
    """As a new run, with the same words, at the time of the call."""
    old = failed(process, RunStatus(status))
    new = retry(process, old, 10)
    [claim] = process.run_pass(10).claims
    assert (claim.run_id, claim.task.prompt, claim.task.metadata) == (new, "Other words.", {"a": 1})
    assert (claim.trigger, claim.attempt, claim.continues) == ("retry", 1, ())
    run = process.store.get_run(new)
    assert (run.retry_of, run.trigger, run.prompt, seconds_of(run.scheduled_at)) == (old, "retry", "Other words.", 10)
    assert process.store.get_run(old).status == status


def test_a_due_time_that_was_not_started_is_repeated(process):
    """It runs now."""
    process.add(every(60))
    process.run_pass(60)
    process.run_pass(120)
    _, skipped = process.runs()
    process.complete(121)
    retry(process, skipped.id, 130)
    assert process.started(130) == [("t", 130)]


@pytest.mark.parametrize(
    ("status", "options", "fields", "continues"),
    [
        ("failed", {}, {}, True),
        ("interrupted", {}, {}, True),
        ("succeeded", {}, {}, False),
        ("failed", {"from_start": True}, {}, False),
        ("failed", {}, {"retry_from_start": True}, False),
    ],
)
def test_a_run_with_a_checkpoint_is_continued(process, status, options, fields, continues):
    """Unless it succeeded, or is to start over; on the thread of the run that it repeats."""
    process.is_checkpointed = lambda _task: True
    process.add(every(600, session_mode="per_run", **fields))
    old = process.trigger(1)
    process.run_pass(1)
    process.complete(2, RunStatus(status), is_last=True)
    retry(process, old, 10, **options)
    [claim] = process.run_pass(10).claims
    assert claim.continues == ((old,) if continues else ())
    assert (claim.thread_id == process.store.get_run(old).thread_id) is continues


def test_a_retry_of_a_retry_continues_either(process):
    """The last one may have written no checkpoint of its own."""
    process.is_checkpointed = lambda _task: True
    first = failed(process)
    second = retry(process, first, 10)
    process.run_pass(10)
    process.complete(11, RunStatus.FAILED)
    retry(process, second, 20)
    [claim] = process.run_pass(20).claims
    assert claim.continues == (second, first)


def test_the_thread_of_a_run_that_is_continued_is_kept(process):
    """It belongs to the new run, and is deleted so long after that one's end."""
    process.is_checkpointed = lambda _task: True
    old = failed(process, session_mode="per_run", session_retention=100)
    new = retry(process, old, 50)
    process.run_pass(50)
    assert process.session.threads_to_delete(instant(200)) == []
    process.complete(210)
    assert process.session.threads_to_delete(instant(309)) == []
    assert [each.run_id for each in process.session.threads_to_delete(instant(311))] == [new]


def test_what_cannot_be_repeated(process):
    """No run, a run that is open, one that is being repeated, one whose task was removed."""
    with pytest.raises(RunNotFoundError):
        retry(process, "nothing", 1)
    old = failed(process)
    new = retry(process, old, 10)
    with pytest.raises(ValueError, match=f"run {new} repeats it already, and is pending"):
        retry(process, old, 11)
    with pytest.raises(ValueError, match="it is pending, and only a run that is over"):
        retry(process, new, 11)
    process.run_pass(12)
    process.complete(13)
    assert retry(process, old, 14) != new
    process.remove(15)
    with pytest.raises(TaskNotFoundError):
        retry(process, old, 16)


def test_of_many_who_repeat_a_run_one_does(face):
    """And of many who cancel it, all are done or told that it is over."""
    face.add_task(hourly("t"))
    old = face.trigger_task("t")
    face.cancel_run(old)
    done, refused = [], []

    def attempt(call, *arguments):
        try:
            done.append(call(*arguments))
        except ValueError as error:
            refused.append(str(error))

    def all_at_once(call, *arguments):
        threads = [threading.Thread(target=attempt, args=(call, *arguments)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    all_at_once(face.retry_run, old)
    assert (len(done), len(refused)) == (1, 4)
    [new] = done
    all_at_once(face.cancel_run, new)
    assert (len(done), len(refused)) == (2, 8)
    assert [run.status for run in face.list_runs()] == ["cancelled", "cancelled"]

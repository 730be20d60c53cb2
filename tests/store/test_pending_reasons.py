"""Why a pending run does not run yet."""

from store_kit import MINUTE, every, instant, once

from scheduler import RunStatus
from scheduler.store import RunFilter


def reasons(process, now):
    """The reasons of the pending runs, the oldest run first, by their tasks."""
    found = process.store.list_runs(RunFilter(10_000), instant(now))
    return [(run.task_id, run.pending_reason) for run in reversed(found) if run.pending_reason is not None]


def running(process, task_id="t"):
    return next(run.id for run in process.runs(task_id) if run.status is RunStatus.RUNNING)


def test_a_run_waits_for_the_one_before_it(process):
    process.add(every(MINUTE, overlap="buffer_all"))
    process.run_pass(MINUTE)
    process.run_pass(2 * MINUTE)
    process.run_pass(3 * MINUTE)
    first = running(process)
    found = reasons(process, 3 * MINUTE)
    assert found == [("t", f"waits for run {first} of its task, which is running")] * 2
    assert process.store.get_run(first, instant(3 * MINUTE)).pending_reason is None


def test_a_run_waits_for_a_conversation(process):
    process.is_checkpointed = lambda _task: True
    shared = {"session_id": "team"}
    process.add(once(60, "digest", **shared), once(61, "mail", **shared))
    process.run_pass(60)
    process.run_pass(61)
    holder = running(process, "digest")
    process.store.trigger_task("mail", instant(62))
    process.run_pass(62)
    said = f"waits for the conversation scheduler:team, held by run {holder} of digest"
    assert ("mail", said) in reasons(process, 62)


def test_a_run_says_when_it_is_tried_again(process):
    process.add(once(60, max_attempts=2, retry_delay_seconds=30))
    process.run_pass(60)
    process.complete(61, RunStatus.FAILED)
    [(_, reason)] = reasons(process, 62)
    assert reason.startswith("tries again at 2026-01-05 00:01:")


def test_a_run_waits_for_one_that_will_be_tried_again(process):
    process.add(once(60, max_attempts=2, retry_delay_seconds=600))
    process.run_pass(60)
    first = running(process)
    process.complete(61, RunStatus.FAILED)
    process.trigger(62)
    assert reasons(process, 63)[-1] == ("t", f"waits for run {first} of its task, which will be tried again")


def test_a_run_waits_for_a_slot(process):
    process.add(every(MINUTE), every(MINUTE, "u"))
    process.store.trigger_task("t", instant(1))
    process.store.trigger_task("u", instant(2))
    process.run_pass(3, slots=1)
    assert reasons(process, 3) == [
        ("u", "waits for its turn: for a scheduler that has a free slot and can run its task")
    ]


def test_a_run_of_a_backfill_comes_last(process):
    process.add(every(MINUTE))
    process.run_pass(10 * MINUTE)
    process.store.backfill_task("t", instant(0), instant(3 * MINUTE), instant(10 * MINUTE), limit=10)
    assert {reason for _, reason in reasons(process, 10 * MINUTE)} == {
        "waits until nothing else is due: it is part of a backfill"
    }


def test_a_run_of_a_task_that_cannot_run_says_so(process):
    process.add(every(MINUTE))
    process.store.trigger_task("t", instant(1))
    process.sql("UPDATE scheduler_tasks SET definition = '{'")
    process.run_pass(2)
    [(_, reason)] = reasons(process, 2)
    assert reason.startswith("its task cannot run: the stored definition cannot be used")


def test_the_reasons_of_more_runs_than_a_statement_has_room_for(process):
    """Each waits for the one that has the conversation."""
    process.add(*(once(60, f"t{number}", session_id="team") for number in range(600)))
    process.is_checkpointed = lambda _task: True
    process.run_pass(60, slots=1_000)
    found = dict(reasons(process, 60))
    [holder] = [claim.task.id for claim in process.running.values()]
    assert len(found) == 599
    assert holder not in found
    assert all(reason.endswith(f" of {holder}") for reason in found.values())

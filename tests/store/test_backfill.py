"""backfill_task: runs for due times in the past for which no run has started."""

from datetime import UTC, datetime, timedelta

import pytest
from helpers import hourly
from store_kit import DAY, HOUR, cron, every, instant, moment, once, seconds_of

from scheduler import RunStatus, TaskNotFoundError


def backfill(process, start, end, now, task_id="t", **options):
    """Return the due times that a backfill queues, in seconds."""
    options = {"limit": 1000, **options}
    return [
        seconds_of(due)
        for due in process.store.backfill_task(task_id, instant(start), instant(end), instant(now), **options)
    ]


def started(process, now, slots=32):
    return [(each.trigger.value, seconds_of(each.scheduled_at)) for each in process.run_pass(now, slots).claims]


def test_due_times_before_the_task_was_added_are_gaps(process):
    """Of a crontab task; both ends of the range belong to it, and the runs see their due times, oldest first."""
    process.add(cron("0 * * * *"), now=10 * HOUR)
    assert backfill(process, HOUR, 3 * HOUR, 10 * HOUR) == [HOUR, 2 * HOUR, 3 * HOUR]
    for number in (1, 2, 3):
        assert started(process, 10 * HOUR + number) == [("backfill", number * HOUR)]
        process.end(10 * HOUR + number)
    process.run_pass(10 * HOUR + 4)
    assert process.history() == [("succeeded", n * HOUR, 0) for n in (1, 2, 3)]
    assert process.due() == 11 * HOUR


def test_what_has_started_is_no_gap(process):
    """What was skipped, coalesced into another run, or missed, is one; a run that waits for its turn is none."""
    process.add(every(60, misfire_grace_seconds=30))
    process.run_pass(60)  # runs
    process.run_pass(120)  # skipped
    process.complete(130)
    process.run_pass(325)  # 180 and 240 are coalesced into 300
    process.complete(326)
    process.run_pass(400)  # 360 is missed
    assert backfill(process, 0, 410, 410, dry_run=True) == [120, 180, 240, 360]
    assert len(process.runs()) == 4
    assert backfill(process, 0, 410, 410) == [120, 180, 240, 360]
    assert backfill(process, 0, 410, 411) == []
    process.run_pass(411)
    process.store.cancel_run(process.runs()[-1].id, None, instant(412))
    assert backfill(process, 0, 410, 413) == [360]


def test_what_is_due_now_comes_first(process):
    """Of the same task and of others, and also where slots are few."""
    process.add(every(60), every(100, task_id="other"))
    process.pause(61)
    backfill(process, 0, 60, 61)
    process.resume(61)
    backfill(process, 0, 61, 62)
    assert started(process, 130, slots=1) == [("schedule", 100)]
    assert started(process, 130, slots=1) == [("schedule", 120)]
    assert started(process, 130, slots=1) == [("backfill", 60)]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_backfill_has_its_own_concurrency(process, most):
    """The overlap policy counts neither its runs for the others, nor the others for it."""
    process.add(cron("0 * * * *", overlap="skip"), now=10 * HOUR)
    backfill(process, HOUR, 5 * HOUR, 10 * HOUR, max_concurrent=most)
    assert started(process, 10 * HOUR + 1) == [("backfill", n * HOUR) for n in range(1, most + 1)]
    assert started(process, 10 * HOUR + 2) == []
    assert started(process, 11 * HOUR) == [("schedule", 11 * HOUR)]
    process.trigger(11 * HOUR + 1)
    assert started(process, 11 * HOUR + 1) == []
    [run_id] = [claim.run_id for claim in process.running.values() if claim.trigger == "schedule"]
    process.end(11 * HOUR + 2)
    assert run_id not in process.running
    assert ("manual", 11 * HOUR + 1) in started(process, 11 * HOUR + 2)
    assert "skipped" not in process.statuses()


def test_a_backfill_is_not_cancelled_by_the_next_due_time(process):
    """`cancel_other` is about the schedule."""
    process.add(cron("0 * * * *", overlap="cancel_other"), now=10 * HOUR)
    backfill(process, HOUR, 2 * HOUR, 10 * HOUR)
    process.run_pass(10 * HOUR + 1)
    assert process.run_pass(11 * HOUR).cancels == {}
    assert process.statuses() == ["running", "pending", "running"]


def test_a_backfill_does_not_count_for_max_runs(process):
    """The task is finished by its scheduled runs, and may be backfilled when it is."""
    process.add(cron("0 * * * *", max_runs=1), now=10 * HOUR)
    backfill(process, HOUR, 2 * HOUR, 10 * HOUR)
    for second in range(1, 4):
        process.complete(10 * HOUR + second)
    assert started(process, 11 * HOUR) == [("schedule", 11 * HOUR)]
    process.complete(11 * HOUR + 1)
    assert process.listed() is None
    assert backfill(process, 3 * HOUR, 3 * HOUR, 12 * HOUR) == [3 * HOUR]
    assert started(process, 12 * HOUR) == [("backfill", 3 * HOUR)]


def test_runs_that_share_a_thread_take_turns(process):
    """What is due now does not wait for a backfill that has not started."""
    process.is_checkpointed = lambda _task: True
    process.add(cron("0 * * * *"), now=10 * HOUR)
    backfill(process, HOUR, 3 * HOUR, 10 * HOUR, max_concurrent=3)
    assert started(process, 10 * HOUR + 1) == [("backfill", HOUR)]
    process.run_pass(11 * HOUR)
    process.end(11 * HOUR + 1)
    assert started(process, 11 * HOUR + 1) == [("schedule", 11 * HOUR)]
    assert started(process, 11 * HOUR + 2) == []
    process.end(11 * HOUR + 3)
    assert started(process, 11 * HOUR + 3) == [("backfill", 2 * HOUR)]


def test_a_failed_backfill_has_its_further_attempts(process):
    """Between them it counts as one of the runs that may be running at once."""
    process.add(cron("0 * * * *", max_attempts=2, retry_delay_seconds=10), now=10 * HOUR)
    backfill(process, HOUR, 2 * HOUR, 10 * HOUR)
    process.run_pass(10 * HOUR)
    process.complete(10 * HOUR + 1, RunStatus.FAILED)
    assert started(process, 10 * HOUR + 2) == []
    assert started(process, 10 * HOUR + 30) == [("backfill", HOUR)]


def test_the_end_of_a_range_that_is_still_due_belongs_to_the_schedule(process):
    """A due time that has come and was not started is no gap yet; while the task is paused, it is one."""
    process.add(every(60))
    assert backfill(process, 0, 70, 70) == []
    process.pause(10)
    assert backfill(process, 0, 70, 70) == [60]


def test_a_task_that_runs_once(process):
    """Its only due time, if it was missed."""
    process.add(once(60, misfire_grace_seconds=1))
    process.run_pass(100)
    assert backfill(process, 0, 100, 100) == [60]


def test_a_task_that_runs_once_and_is_paused(process):
    """It runs when it is resumed, so that nobody may run its due time before; a recurring task serves none later."""
    process.add(once(60))
    process.pause(50)
    assert backfill(process, 0, 100, 100) == []
    process.resume(110)
    assert started(process, 110) == [("schedule", 60)]


def test_a_backfill_that_has_begun_keeps_its_thread(process):
    """When its further attempt may start, what waits on the thread waits for it, and not it for that."""
    process.is_checkpointed = lambda _task: True
    process.add(cron("0 * * * *", max_attempts=2, retry_delay_seconds=10), now=10 * HOUR)
    backfill(process, HOUR, HOUR, 10 * HOUR)
    process.run_pass(10 * HOUR)
    process.trigger(10 * HOUR + 1)
    assert started(process, 10 * HOUR + 1) == []
    process.complete(10 * HOUR + 2, RunStatus.FAILED)
    assert started(process, 10 * HOUR + 3) == []
    assert started(process, 10 * HOUR + 30) == [("backfill", HOUR)]
    process.end(10 * HOUR + 31)
    assert started(process, 10 * HOUR + 31) == [("manual", 10 * HOUR + 1)]


def test_times_that_the_history_does_not_know_any_more_are_refused(new_process):
    """Unless somebody insists on them."""
    process = new_process(history_limit=3)
    process.add(every(60, coalesce=False))
    for now in range(60, 60 * 7, 60):
        process.run_pass(now)
        process.complete(now + 1)
    assert [seconds_of(run.scheduled_at) for run in process.runs()] == [240, 300, 360]
    assert backfill(process, 200, 370, 370) == []
    with pytest.raises(ValueError, match="trimmed, so nobody knows what ran before 2026-01-05T00:04:00"):
        backfill(process, 0, 370, 370)
    assert backfill(process, 0, 370, 370, force=True) == [60, 120, 180]


def test_a_removed_task_is_backfilled_no_more(process):
    """What waits is cancelled with it."""
    process.add(cron("0 * * * *"), now=10 * HOUR)
    backfill(process, HOUR, 2 * HOUR, 10 * HOUR)
    process.remove(10 * HOUR)
    assert process.statuses() == ["cancelled", "cancelled"]
    with pytest.raises(TaskNotFoundError):
        backfill(process, HOUR, 2 * HOUR, 10 * HOUR)


def test_a_crash_in_a_backfill_starts_no_due_time_twice(process, new_process, dead_pid):
    """What was running is interrupted, and the others go on."""
    process.add(cron("0 * * * *"), now=10 * HOUR)
    backfill(process, HOUR, 3 * HOUR, 10 * HOUR)
    assert started(process, 10 * HOUR) == [("backfill", HOUR)]
    process.die(dead_pid)
    other = new_process(now=10 * HOUR + 1)
    claims = started(other, 10 * HOUR + 60) + started(other, 10 * HOUR + 61)
    assert claims == [("backfill", 2 * HOUR)]
    assert other.statuses() == ["interrupted", "running", "pending"]


def test_too_many_gaps_are_refused(process):
    """Nothing is queued."""
    process.add(cron("* * * * *"), now=30 * DAY)
    with pytest.raises(ValueError, match="there are more than limit=10 due times to fill"):
        backfill(process, 0, HOUR, 30 * DAY, limit=10)
    with pytest.raises(ValueError, match="the range has more than 10000 due times"):
        backfill(process, 0, 20 * DAY, 30 * DAY, limit=10_000, dry_run=True)
    assert process.runs() == []


@pytest.mark.parametrize(
    ("start", "end", "options", "problem"),
    [
        (moment(10), moment(5), {}, "is before start="),
        (moment(0), datetime(2900, 1, 1, tzinfo=UTC), {}, "is in the future"),
        (moment(0).replace(tzinfo=None), moment(5), {}, "start=.*has no time zone"),
        (moment(0), "now", {}, "end='now' is no datetime"),
        (moment(0), moment(5), {"limit": 0}, "limit=0"),
        (moment(0), moment(5), {"limit": 10_001}, "limit=10001; give at most 10000"),
        (moment(0), moment(5), {"max_concurrent": 0}, "max_concurrent=0"),
    ],
)
def test_a_wrong_range_is_refused(face, start, end, options, problem):
    """With the argument, its value and a hint."""
    face.add_task(hourly("t"))
    with pytest.raises(ValueError, match=problem):
        face.backfill_task("t", start, end, **options)


def test_the_due_times_are_returned(face):
    """In UTC; a dry run stores nothing."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    face.add_task(cron("0 * * * *"))
    wanted = [now - timedelta(hours=2), now - timedelta(hours=1)]
    assert face.backfill_task("t", wanted[0], wanted[1], dry_run=True) == wanted
    assert face.list_runs() == []
    assert face.backfill_task("t", wanted[0], wanted[1]) == wanted
    assert [run.scheduled_at for run in face.list_runs()] == wanted[::-1]
    with pytest.raises(TaskNotFoundError):
        face.backfill_task("other", wanted[0], wanted[1])

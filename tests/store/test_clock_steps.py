"""The wall clock is set back or forward: no due time is served twice, and no task falls silent."""

import pytest
from store_kit import HOUR, cron, every, instant, moment, seconds_of

# --- Due times that come again ---


def come_again(process, due):
    """Let due times come again from an instant on, as when the clock is set back."""
    process.sql("UPDATE scheduler_tasks SET next_due = :due", due=instant(due))


def test_a_clock_that_was_put_back_starts_nothing_twice(process):
    """Due times that have had their run come a second time, and are let go."""
    process.add(cron("*/10 * * * *"))
    for now in range(600, HOUR + 1, 600):
        assert process.started(now) == [("t", now)]
        process.complete(now + 1)
    started = [pair for now in range(60, 2 * HOUR + 301, 300) for pair in _start_and_end(process, now)]
    assert started == [("t", due) for due in range(HOUR + 600, 2 * HOUR + 1, 600)]
    assert len({run.scheduled_at for run in process.runs()}) == len(process.runs()) == 12


def _start_and_end(process, now):
    started = process.started(now)
    process.end(now)
    return started


def test_a_due_time_that_comes_a_second_time_while_a_run_goes_stops_nobody(process):
    """It has a row already; the pass continues with the other tasks."""
    process.add(cron("*/10 * * * *"), cron("*/10 * * * *", "other"))
    process.run_pass(600)
    process.run_pass(1200)
    process.complete(1201, task_id="other")
    process.run_pass(1800)
    process.complete(1801, task_id="other")
    process.run_pass(300)
    for now in range(600, 2401, 600):
        process.run_pass(now)
    assert process.history("other")[-1] == ("running", 2400, 0)
    assert [run for run in process.history() if run[0] != "skipped"] == [("running", 600, 0)]


def test_a_task_resumed_after_the_clock_was_put_back_is_not_started_twice(process):
    """Nor is one that is removed and added again."""
    process.add(every(60, overlap="allow_all"))
    for now in (60, 120, 180):
        process.run_pass(now)
    process.pause(190)
    process.resume(30)
    process.remove(31)
    process.add(cron("* * * * *", overlap="allow_all"), now=31)
    assert process.started(60) == process.started(120) == process.started(180) == []
    assert process.started(240) == [("t", 240)]


@pytest.mark.parametrize("coalesce", [True, False])
def test_due_times_that_come_again_are_not_counted_for_max_runs(process, coalesce):
    """The task ends after as many runs as it was granted."""
    fields = {"max_runs": 5, "coalesce": coalesce}
    process.add(every(60, "anchored", start_at=moment(0), **fields), cron("* * * * *", "cron", **fields))
    for now in (60, 120, 180):
        process.started(now)
        process.complete(now + 1)
    for now in range(50, 1200, 10):
        process.run_pass(now)
        process.end(now)
    for task_id in ("anchored", "cron"):
        assert process.history(task_id) == [("succeeded", due, 0) for due in (60, 120, 180, 240, 300)]
        assert process.listed(task_id) is None


@pytest.mark.parametrize("last", [None, moment(240)])
def test_a_task_whose_last_due_times_come_again_still_ends(process, last):
    """Nothing is left to be served: the task is finished, and not listed any more."""
    process.add(cron("* * * * *", end_at=last, max_runs=None if last else 4))
    for now in (60, 120, 180):
        process.started(now)
        process.complete(now + 1)
    come_again(process, 60)
    process.run_pass(180)
    assert process.due() == 240
    process.run_pass(240)
    process.complete(241)
    assert process.statuses() == ["succeeded"] * 4
    assert process.listed() is None


def test_a_backlog_counts_no_due_time_that_was_served(process):
    """`coalesced` is the number of due times that had no run yet."""
    process.add(cron("* * * * *"))
    for now in (120, 240, 360):
        process.started(now)
        process.complete(now)
    come_again(process, 60)
    assert process.started(420) == [("t", 420)]
    assert process.history()[-1] == ("running", 420, 3)


@pytest.mark.parametrize("overlap", ["skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"])
@pytest.mark.parametrize("coalesce", [True, False])
def test_every_overlap_policy_leaves_served_due_times_out(process, overlap, coalesce):
    """While a run is running, too: no row is added for a due time that has one."""
    process.add(cron("* * * * *", overlap=overlap, coalesce=coalesce))
    for now in (60, 120, 180):
        process.started(now)
        process.complete(now)
    process.trigger(185)
    process.run_pass(185)
    come_again(process, 60)
    for now in (60, 120, 180, 240):
        process.run_pass(now)
    scheduled = [run for run in process.runs() if run.trigger == "schedule"]
    assert [seconds_of(run.scheduled_at) for run in scheduled] == [60, 120, 180, 240]


@pytest.mark.parametrize("end", ["pause", "remove"])
def test_a_task_that_is_taken_away_owes_no_due_time_that_was_served(process, end):
    """Its last row says only what was left."""
    process.add(cron("* * * * *"))
    for now in (60, 120):
        process.started(now)
        process.complete(now)
    come_again(process, 60)
    getattr(process, end)(130)
    assert process.history() == [("succeeded", 60, 0), ("succeeded", 120, 0)]


def test_rows_that_were_changed_by_hand_start_nothing_twice(process):
    """The number of the next row is taken: that run is not started, and other tasks are served."""
    process.add(every(60, "a", overlap="allow_all"), every(60, "b", overlap="allow_all"))
    process.run_pass(60)
    process.sql("UPDATE scheduler_tasks SET last_seq = 0 WHERE id = 'a'")
    assert process.started(120) == [("b", 120)]
    assert process.started(180) == [("a", 180), ("b", 180)]
